"""The OpenAPI document that a server answers with: good by the validator, and true of what it does."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from serving import ROOT, Server
from speakers import BASE

KEY = "the-key-of-the-tests"


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    with Server(BASE, workers=1, sets=(f"http_api.key={KEY}",)) as server:
        yield server


def fetch(server: Server, path: str, key: str = KEY) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{server.internal}/api/{path}", headers={"X-API-Key": key})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_the_document_is_openapi_3_1(api: Server) -> None:
    document = fetch(api, "openapi.json")
    assert document["openapi"].startswith("3.1")
    validate(document, cls=OpenAPIV31SpecValidator)
    assert document == json.loads((ROOT / "docs" / "openapi.json").read_text()), "docs/openapi.json is another one"


def test_the_document_needs_the_key(api: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        fetch(api, "openapi.json", "wrong")
    assert refused.value.code == 401


def test_a_validator_that_finds_nothing_wrong_would_prove_nothing(api: Server) -> None:
    document = fetch(api, "openapi.json")
    document["paths"]["/publish"]["post"]["responses"] = {"200": {"no": "description"}}
    with pytest.raises(Exception, match="description|not valid"):
        validate(document, cls=OpenAPIV31SpecValidator)
