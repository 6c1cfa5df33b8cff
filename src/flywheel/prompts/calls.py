"""The parts every family's reader needs: the answer's shape, and JSON found at a place in text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

_JSON = json.JSONDecoder(strict=False)  # Models write raw newlines into strings.


@dataclass(frozen=True)
class Call:
    name: str
    arguments: str
    """JSON text of an object."""


@dataclass(frozen=True)
class Answer:
    content: str | None
    calls: tuple[Call, ...] = ()
    malformed: tuple[str, ...] = ()
    """The raw texts of calls that could not be read."""


def answer(texts: list[str], calls: list[Call], malformed: list[str]) -> Answer:
    return Answer(content="".join(texts).strip() or None, calls=tuple(calls), malformed=tuple(malformed))


def json_at(text: str, start: int) -> tuple[object, int] | None:
    """The JSON value that begins at `start` (after white space) and where it ends, or None."""
    while start < len(text) and text[start].isspace():
        start += 1
    try:
        return _JSON.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None


def call_from(value: object, arguments_key: str = "arguments") -> Call | None:
    """A call from `{"name": …, "arguments": …}`; None where the value is not one."""
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str) or not value["name"]:
        return None
    other = "parameters" if arguments_key == "arguments" else "arguments"
    arguments = value.get(arguments_key, value.get(other, {}))
    if isinstance(arguments, str):
        inner = json_at(arguments, 0)
        if inner is None or arguments[inner[1] :].strip():
            return None
        arguments = inner[0]
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        return None
    return Call(name=value["name"], arguments=json.dumps(arguments, ensure_ascii=False))
