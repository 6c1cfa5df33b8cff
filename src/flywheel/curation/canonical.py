"""What makes two requests, two answers or two conversations the same, and what makes an answer usable.

Bodies are decoded into the few fields that matter; everything else (model, sampling, usage, ids) does not
count. Two requests are the same when the teacher read the same: messages with calls and results, tools in any
order, tool_choice, response_format. Call ids are replaced by the number of the call, because servers draw
them anew and some repeat them. Two answers are the same with the same text and the same calls in any order.

The keys of conversations decide who is in the holdout, for ever: a change of what goes into them would move
conversations between training and evaluation. A test pins them.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Any

import msgspec

from flywheel.curation.reasons import Reason
from flywheel.curation.tools import Tools, ToolSets
from flywheel.models import Record

_sorted = msgspec.json.Encoder(order="deterministic")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode
_SYSTEM = ("system", "developer")
_TEXTS = frozenset({"text", "input_text", "output_text", "refusal"})
_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning"})  # Parts that are not what was said.
_NOTHING_CHOSEN = frozenset({b"", b"null", b'"auto"'})


class _Function(msgspec.Struct, gc=False):
    name: Any = None
    arguments: Any = None


class _Call(msgspec.Struct, gc=False):
    id: Any = None
    type: Any = None
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    role: str | None = None
    content: str | list[Any] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: Any = None
    name: Any = None
    function_call: _Function | None = None
    refusal: Any = None


class _Request(msgspec.Struct, gc=False):
    messages: list[_Message]
    tools: msgspec.Raw = msgspec.Raw(b"")
    functions: msgspec.Raw = msgspec.Raw(b"")
    tool_choice: msgspec.Raw = msgspec.Raw(b"")
    response_format: msgspec.Raw = msgspec.Raw(b"")


class _Choice(msgspec.Struct, gc=False):
    message: _Message | None = None
    finish_reason: Any = None


class _Response(msgspec.Struct, gc=False):
    choices: msgspec.Raw = msgspec.Raw(b"null")


_requests = msgspec.json.Decoder(_Request)
_responses = msgspec.json.Decoder(_Response)
_choices = msgspec.json.Decoder(list[_Choice] | None)


class Request(msgspec.Struct, frozen=True, gc=False):
    """A request as curation sees it. `key` tells requests apart, `opening` conversations without an id."""

    key: bytes
    opening: bytes
    tools: Tools


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A usable answer: its key, and the names of the functions it calls, sorted, with repeats."""

    key: bytes
    called: tuple[str, ...]


def read_request(body: bytes, tool_sets: ToolSets) -> Request | Reason:
    """The request of a record, or why it cannot be used."""
    try:
        request = _requests.decode(body)
        tools = tool_sets.of(bytes(request.tools), bytes(request.functions))
    except (msgspec.MsgspecError, RecursionError):
        return Reason.MALFORMED
    if not request.messages:
        return Reason.MALFORMED
    said: list[Any] = []
    calls = _Calls()
    system: list[str] = []
    first: Any = None
    for message in request.messages:
        content = message.content
        text = content if isinstance(content, str) else text_of(content)
        if text is None:
            return Reason.UNSUPPORTED_CONTENT
        role = message.role
        if message.tool_calls or message.tool_call_id is not None or message.function_call or message.name:
            said.append([role, text, *_linked(message, calls)])
        else:
            said.append([role, text])
        if first is None:
            if role == "user":
                first = text
            elif role in _SYSTEM:
                system.append(text)
    chosen = bytes(request.tool_choice)
    wanted = "" if chosen in _NOTHING_CHOSEN else _decode(chosen)
    form = _decode(request.response_format) if request.response_format else None
    opening = [system, said[0] if first is None else first, tools.key]
    return Request(
        key=_digest(_sorted.encode([said, tools.key, wanted, form])),
        opening=_digest(_encode(opening)),
        tools=tools,
    )


class _Calls:
    """The calls of a conversation so far, by number. An id that is used again means the later call."""

    def __init__(self) -> None:
        self._count = 0
        self._numbers: dict[str, int] = {}

    def made(self, id_: object) -> int:
        self._count += 1
        self._numbers[str(id_)] = self._count
        return self._count

    def number(self, id_: object) -> int | None:
        return self._numbers.get(str(id_))


def _linked(message: _Message, calls: _Calls) -> list[Any]:
    """The calls and links of a message, with ids replaced by the number of the call."""
    made = [[*_called(call.function), calls.made(call.id)] for call in message.tool_calls or ()]
    if message.function_call is not None:
        made.append(_called(message.function_call))
    answered = None if message.tool_call_id is None else calls.number(message.tool_call_id)
    return [made, answered, None if message.role == "tool" else message.name]


def _called(function: _Function | None) -> list[Any]:
    """Name and arguments of a call; arguments that are an object, as text or not, become the object."""
    if function is None:
        return [None, None]
    arguments = function.arguments
    if isinstance(arguments, str):
        with suppress(msgspec.DecodeError, RecursionError):  # Else told apart as the text it is.
            arguments = _decode(arguments or "{}")
    return [function.name, arguments]


def text_of(content: list[Any] | None) -> str | None:
    """The text of a message's parts; None where one of them is not text (an image, audio, a file, …)."""
    texts = []
    for part in content or ():
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and (kind := part.get("type", "text")) not in _THOUGHTS:
            text = part.get("refusal" if kind == "refusal" else "text")
            if kind not in _TEXTS or not isinstance(text, str):
                return None
            texts.append(text)
    return "\n".join(texts)


class Answers:
    """Answers by the JSON text of their choices, each worked out once: caches and retries repeat them."""

    _MOST = 16_384  # Answers kept; most are never seen again.

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Answer | Reason] = {}

    def of(self, body: bytes, tools: Tools) -> Answer | Reason:
        """The answer of a response to a request with these tools, or why it cannot be used."""
        try:
            where = (bytes(_responses.decode(body).choices), tools.key)
        except (msgspec.MsgspecError, RecursionError):
            return Reason.MALFORMED
        known = self._known.get(where)
        if known is None:
            if len(self._known) >= self._MOST:
                self._known.clear()
            known = self._known[where] = read_answer(where[0], tools)
        return known


def read_answer(choices_json: bytes, tools: Tools) -> Answer | Reason:
    """The first of a response's choices, or why it cannot be used."""
    try:
        choices = _choices.decode(choices_json)
    except (msgspec.MsgspecError, RecursionError):
        return Reason.MALFORMED
    if not choices or (message := choices[0].message) is None:
        return Reason.NO_CHOICES
    finish = choices[0].finish_reason
    if finish == "length":
        return Reason.TRUNCATED
    if finish == "content_filter":
        return Reason.FILTERED
    content = message.content
    text = content if isinstance(content, str) else text_of(content)
    if text is None:
        return Reason.UNSUPPORTED_CONTENT
    text = text.strip()
    functions = [call.function for call in message.tool_calls or ()]
    if message.function_call is not None and message.function_call.name:
        functions.append(message.function_call)
    if not functions:
        if not text:
            return Reason.REFUSED if message.refusal else Reason.EMPTY_ANSWER
        return Answer(_digest(text.encode()), ())
    calls = []
    for function in functions:
        arguments = _arguments(function, tools)
        if isinstance(arguments, Reason):
            return arguments
        calls.append([function.name, arguments])
    if len(calls) > 1:
        calls.sort(key=_sorted.encode)
    return Answer(_digest(_sorted.encode([text, calls])), tuple([name for name, _ in calls]))


def calls_in(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Name and arguments of each call in a usable answer; none where it is words."""
    choices = _choices.decode(_responses.decode(body).choices)
    message = choices[0].message if choices else None
    if message is None:
        return []
    functions = [call.function for call in message.tool_calls or ()]
    if message.function_call is not None and message.function_call.name:
        functions.append(message.function_call)
    called = [_called(function) for function in functions]
    return [(name, arguments) for name, arguments in called if isinstance(arguments, dict)]


def _arguments(function: _Function | None, tools: Tools) -> dict[str, Any] | Reason:
    """The arguments of a call, or what is wrong with it."""
    if function is None or not isinstance(function.name, str) or not function.name:
        return Reason.BAD_CALL
    arguments = function.arguments
    if isinstance(arguments, str):
        try:
            arguments = _decode(arguments or "{}")  # Some servers write nothing for none.
        except (msgspec.DecodeError, RecursionError):
            return Reason.ARGUMENTS_NOT_JSON
    if not isinstance(arguments, dict):
        return Reason.ARGUMENTS_NOT_JSON
    if function.name not in tools.names:
        return Reason.TOOL_NOT_OFFERED
    validator = tools.validators.get(function.name)
    if validator is not None and not validator.is_valid(arguments):
        return Reason.SCHEMA_VIOLATION
    return arguments


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()


def spoken(body: bytes) -> str:
    """What users and tools said in a request, in order."""
    messages = _requests.decode(body).messages
    texts = (
        message.content if isinstance(message.content, str) else text_of(message.content)
        for message in messages
        if message.role in ("user", "tool", "function")
    )
    return "\n".join(text for text in texts if text)


def last_words(record: Record) -> tuple[str, str]:
    """What was asked last and what was answered, for people to recognise the record; "" for nothing."""
    try:
        asked = spoken(record.request_json)
        choices = _choices.decode(_responses.decode(record.response_json).choices)
    except msgspec.MsgspecError:
        return "", ""
    if not choices or (message := choices[0].message) is None:
        return asked, ""
    content = message.content
    said = content if isinstance(content, str) else text_of(content) or ""
    calls = [
        f"{call.function.name}({call.function.arguments})"
        for call in message.tool_calls or ()
        if call.function is not None
    ]
    return asked.rsplit("\n", 1)[-1], " ".join([said, *calls]).strip()
