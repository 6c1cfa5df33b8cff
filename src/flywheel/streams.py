"""From the pieces of a streamed chat completion to the response that would have come in one.

Only what OpenAI's protocol streams: one JSON object behind each `data:`, deltas by choice and by call.
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

_END = b"[DONE]"
_NOT_OF_THE_HEAD = ("choices", "usage", "object")


class BrokenStream(ValueError):
    """A stream that makes no answer: the message says why."""


class CutShort(BrokenStream):
    """The stream ended before the answer did."""


class StreamFailed(ValueError):
    """The server reported an error in the middle of its answer; `status` is its code where it has one."""

    def __init__(self, detail: str, status: int) -> None:
        self.status = status
        super().__init__(detail)


class Assembly:
    """One response, growing by the stream's objects."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._usage: Any = None
        self._choices: dict[int, _Choice] = {}

    def add(self, piece: Mapping[str, Any]) -> bool:
        """Take one object of the stream; True where it brought words or a part of a call.

        Raises BrokenStream and StreamFailed.
        """
        if error := piece.get("error"):
            code = error.get("code") if isinstance(error, Mapping) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 500
            raise StreamFailed(json.dumps(error, ensure_ascii=False), status)
        if not self._head:
            self._head = {name: value for name, value in piece.items() if name not in _NOT_OF_THE_HEAD}
        if piece.get("usage") is not None:
            self._usage = piece["usage"]
        said = [
            self._choices.setdefault(_index(choice), _Choice()).add(choice)
            for choice in _objects(piece.get("choices") or [], "choices")
        ]
        return any(said)

    def response(self) -> dict[str, Any]:
        """The whole. Raises CutShort where a choice has not come to its end."""
        if not self._choices:
            raise CutShort("it ended without a choice")
        choices = [{"index": index, **self._choices[index].whole()} for index in sorted(self._choices)]
        usage = {} if self._usage is None else {"usage": self._usage}
        return {**self._head, "object": "chat.completion", "choices": choices, **usage}


class _Choice:
    def __init__(self) -> None:
        self._message: dict[str, Any] = {"role": "assistant", "content": None}
        self._calls: list[tuple[Any, dict[str, Any]]] = []
        self._finish_reason: Any = None

    def add(self, choice: Mapping[str, Any]) -> bool:
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
        said = False
        for name, value in _object(choice.get("delta") or {}, "delta").items():
            if name == "role" or not value:  # An empty piece opens an answer, and says nothing.
                continue
            said = True
            if name == "tool_calls":
                for call in _objects(value, "tool_calls"):
                    self._add_call(call)
            elif name == "function_call":
                _extend(self._message.setdefault(name, {}), _object(value, name))
            elif isinstance(value, str):
                self._message[name] = (self._message.get(name) or "") + value
            elif name == "content":
                raise BrokenStream(f"a piece of its text is a {type(value).__name__}")
            else:
                self._message[name] = value
        return said

    def _add_call(self, piece: Mapping[str, Any]) -> None:
        """Servers tell calls apart by index; some give all the same one, or none, but each its own id."""
        index, id_ = piece.get("index"), piece.get("id")
        function = _object(piece.get("function") or {}, "function")
        same = [call for at, call in self._calls if at == index]
        begins = bool(id_ and function.get("name") and same and same[-1]["id"] not in (None, id_))
        if not same or begins:
            call: dict[str, Any] = {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
            self._calls.append((index, call))
        else:
            call = same[-1]
        call["id"] = call["id"] or id_
        call["type"] = piece.get("type") or call["type"]
        _extend(call["function"], function)

    def whole(self) -> dict[str, Any]:
        if self._finish_reason is None:
            raise CutShort("it ended before the answer did")
        calls = {"tool_calls": [call for _, call in self._calls]} if self._calls else {}
        return {"message": {**self._message, **calls}, "finish_reason": self._finish_reason}


def _extend(function: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add a piece of a call. Some servers repeat the name with every piece of the arguments."""
    if (name := piece.get("name")) and name != function.get("name"):
        function["name"] = function.get("name", "") + str(name)
    if (arguments := piece.get("arguments")) is not None:
        if not isinstance(arguments, str):  # An object where text belongs is a whole one.
            arguments = json.dumps(arguments, ensure_ascii=False)
        function["arguments"] = function.get("arguments", "") + arguments


def _objects(value: Any, name: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise BrokenStream(f"its {name} are no list: {value!r}")
    return [_object(each, name) for each in value]


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BrokenStream(f"its {name} is no object: {value!r}")
    return value


def _index(choice: Mapping[str, Any]) -> int:
    index = choice.get("index", 0)
    if not isinstance(index, int):
        raise BrokenStream(f"the index of a choice is {index!r}")
    return index


async def objects(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of server-sent events, to `[DONE]`. Raises BrokenStream.

    Lines end at line feeds alone: JSON may hold U+2028 and others that `str.splitlines` takes for ends.
    """
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if (data := _data(line)) is not None:
                yield data
    if (data := _data(rest)) is not None:
        yield data


def _data(line: bytes) -> dict[str, Any] | None:
    """None for comments, other fields, blank lines and the end mark."""
    name, _, text = line.strip().partition(b":")
    text = text.strip()
    if name != b"data" or not text or text == _END:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenStream(f"not JSON: {text[:200]!r}") from error
    if not isinstance(value, dict):
        raise BrokenStream(f"not an object: {text[:200]!r}")
    return value
