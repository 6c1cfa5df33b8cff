"""From tokens to what a client reads: whole answers, and the pieces of a streamed one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.prompts import parse_answer
from flywheel.serving.engine import Generation
from flywheel.serving.model import CALL_OPENINGS, ServedModel
from flywheel.serving.wire import message_of

UNFINISHED = "\ufffd"
"""What a tokenizer writes for a character of which only some bytes are there."""


class Reading:
    """How one request's tokens are read. `opening` was put in the model's mouth and belongs to the text."""

    def __init__(
        self,
        served: ServedModel,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        opening: str = "",
        stop: tuple[str, ...] = (),
    ) -> None:
        self._served, self._tools, self._opening, self._stop = served, tools, opening, stop

    def text(self, tokens: list[int]) -> str:
        """All of it, up to the first stop string."""
        made = self._served.text(tokens)
        cuts = [at for stop in self._stop if (at := made.find(stop)) >= 0]
        return self._opening + (made[: min(cuts)] if cuts else made)

    def choice(self, generation: Generation) -> tuple[dict[str, Any], str]:
        """The message and its finish reason; without tools nothing is taken for a call."""
        text = self.text(generation.tokens)
        if not self._tools:
            return {"role": "assistant", "content": text.strip()}, generation.finish or "stop"
        message, calls = message_of(parse_answer(text, self._served.family, self._tools), text)
        return message, "tool_calls" if calls else generation.finish or "stop"

    def sure_content(self, tokens: list[int]) -> str:
        """What is content whatever comes next: no call, stop string or character may have begun in it."""
        text = self.text(tokens).rstrip(UNFINISHED)
        if not self._tools:
            return _without(text, self._stop).strip()
        mark = CALL_OPENINGS.get(self._served.family)
        if mark is None:
            return ""  # Anything may turn out to be a call.
        return _without(text.partition(mark)[0], (mark, *self._stop)).strip()


class Pieces:
    """The deltas of one streamed choice; together they are what the whole answer would have been."""

    def __init__(self, reading: Reading) -> None:
        self._reading, self._sent = reading, ""

    def more(self, tokens: list[int]) -> str:
        """What can be sent of the content now, "" if nothing; nothing sent is ever taken back."""
        return self._send(self._reading.sure_content(tokens))

    def last(self, generation: Generation) -> tuple[list[dict[str, Any]], str]:
        """The deltas that are left at the end, and the finish reason."""
        message, finish = self._reading.choice(generation)
        rest = self._send(message["content"] or "")
        deltas: list[dict[str, Any]] = [{"content": rest}] if rest else []
        for index, call in enumerate(message.get("tool_calls", [])):
            deltas.append({"tool_calls": [{"index": index, **call}]})
        return deltas, finish

    def _send(self, text: str) -> str:
        if not text.startswith(self._sent):
            return ""
        piece, self._sent = text[len(self._sent) :], text
        return piece


def _without(text: str, marks: Sequence[str]) -> str:
    """`text` without an end that may be the beginning of one of `marks`."""
    longest = 0
    for mark in marks:
        for length in range(min(len(mark) - 1, len(text)), longest, -1):
            if text.endswith(mark[:length]):
                longest = length
                break
    return text[: len(text) - longest]
