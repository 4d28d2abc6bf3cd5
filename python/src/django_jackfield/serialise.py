"""Python values to JSON bytes, with the semantics of DjangoJSONEncoder."""

from __future__ import annotations

import json
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]

_default = DjangoJSONEncoder().default


def to_json(value: Any) -> bytes:
    """Serialises `value`. Raises TypeError or ValueError, at the caller, if it is not JSON."""
    if orjson is not None:
        options = (
            orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
        ) | orjson.OPT_PASSTHROUGH_DATACLASS
        try:
            return orjson.dumps(value, default=_default, option=options)
        except TypeError:
            pass  # Why: integers beyond 64 bits; the standard library decides and words the error.
    text = json.dumps(
        value, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return text.encode()
