"""Commands are serialised as spec/examples/commands.json says."""

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from django_jackfield import serialise
from django_jackfield.command import (
    Command,
    disconnection,
    history_question,
    message,
    new_id,
    publication,
    question,
)

EXAMPLES = json.loads(
    (Path(__file__).parents[2] / "spec" / "examples" / "commands.json").read_text()
)
BUILT = ("publish", "broadcast", "send", "disconnect", "presence", "presence_stats", "history")
"""The methods that this package has functions for."""
BY_HAND = {"disconnect all but one", "disconnect a session"}
"""Forms that its functions do not make."""
GOOD = [
    one for one in EXAMPLES if one["ok"] and one["method"] in BUILT and one["name"] not in BY_HAND
]
REFUSED_HERE = {
    "two kinds of data",
    "empty channel",
    "disconnect nobody",
    "disconnect with a transport code",
}


def built(method, payload):
    """The command that the public functions make for the payload of an example."""
    rest = dict(payload)
    if "b64data" in rest:
        rest["data"] = base64.b64decode(rest.pop("b64data"))
    if method in ("publish", "broadcast"):
        channel = rest.pop("channel", None)
        return publication(rest.pop("channels") if channel is None else channel, **rest)
    if method == "send":
        return message(rest["user"], rest.get("data"), text=rest.get("text"))
    if method == "disconnect":
        return disconnection(
            rest.get("user"), rest.get("client"), rest.get("code"), rest.get("reason", "")
        )
    if method == "history":
        return history_question(
            rest["channel"], rest["limit"], rest.get("since"), rest.get("reverse")
        )
    return question(method, rest["channel"])


@pytest.mark.parametrize("example", GOOD, ids=lambda one: one["name"])
def test_serialises_as_the_spec(example):
    command = built(example["method"], example["payload"])
    assert command.method == example["method"]
    assert json.loads(command.payload) == example["payload"]
    assert command.key == example["partition_key"]
    assert command.partition(8) == example["partition"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one["name"])
def test_partition_of_every_example(example):
    payload = example["payload"]
    if isinstance(payload, dict):
        command = Command.make(example["method"], payload)
        assert command.key == example["partition_key"]
        assert command.partition(8) == example["partition"]


@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if e["name"] in REFUSED_HERE], ids=lambda one: one["name"]
)
def test_refuses_what_the_server_would_bury(example):
    with pytest.raises((TypeError, ValueError)):
        built(example["method"], example["payload"])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"version": 0}, "from 1"),
        ({"version": True}, "from 1"),
        ({"version": 1 << 64}, "from 1"),
        ({"version": 1.5}, "from 1"),
        ({"version_epoch": "e"}, "give version too"),
        ({"idempotency_key": ""}, "idempotency_key must be"),
        ({"key": ""}, "key must be"),
    ],
    ids=str,
)
def test_what_few_publications_have_is_checked(wrong, words):
    with pytest.raises((TypeError, ValueError), match=words):
        publication("a", 1, **wrong)


def test_ids_are_version_7_and_sort_by_time():
    first, second = UUID(new_id()), UUID(new_id())
    assert first.version == second.version == 7
    assert first.variant == "specified in RFC 4122"
    assert abs((first.int >> 80) - (second.int >> 80)) < 1000


@pytest.mark.parametrize("fast", [True, False])
def test_json_is_that_of_django(fast, monkeypatch):
    if not fast:
        monkeypatch.setattr(serialise, "orjson", None)
    elif serialise.orjson is None:
        pytest.skip("orjson is not installed")
    value = {
        "at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "price": Decimal("1.50"),
        "key": UUID(int=1),
        7: "číslo",
        "big": 2**70,
    }
    assert json.loads(serialise.to_json(value)) == {
        "at": "2026-01-02T03:04:05.678Z",
        "price": "1.50",
        "key": "00000000-0000-0000-0000-000000000001",
        "7": "číslo",
        "big": 2**70,
    }
    with pytest.raises(TypeError):
        serialise.to_json(object())


def test_a_late_change_of_the_data_is_not_sent():
    data = {"n": 1}
    command = publication("room:1", data)
    data["n"] = 2
    assert command.data == {"n": 1}


def test_a_lone_surrogate_is_refused_at_the_caller():
    with pytest.raises((ValueError, TypeError)):
        publication("room:1", "\ud800")


def test_too_much_data_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match="publish a reference"):
        publication("room:1", "x" * (1024 * 1024))


def test_data_comes_back_in_its_form():
    assert publication("a", b"\x00\x01").data == b"\x00\x01"
    assert publication("a", text="hi").data == "hi"
    assert publication(["a", "b"], [1]).channels == ["a", "b"]
