"""A dict as TOML: what the server's file is written with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml(document: Mapping[str, Any]) -> str:
    """The text of a document: values first, then tables, then lists of tables."""
    return "\n".join(_table(document, ())).strip() + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    plain = {name: value for name, value in table.items() if not _is_table(value)}
    if path and (plain or not table):
        yield f"\n[{_joined(path)}]"
    yield from _pairs(plain)
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _table(value, (*path, name))
        elif _is_table(value):
            for one in value:
                yield f"\n[[{_joined((*path, name))}]]"
                yield from _pairs({key: item for key, item in one.items() if not _is_table(item)})
                for key, item in one.items():
                    if _is_table(item):
                        yield from _table({key: item}, (*path, name))


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    for name, value in table.items():
        yield f"{_key(name)} = {_value(value)}"


def _is_table(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _joined(path: tuple[str, ...]) -> str:
    return ".".join(_key(one) for one in path)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    raise TypeError(f"{value!r} has no place in TOML")
