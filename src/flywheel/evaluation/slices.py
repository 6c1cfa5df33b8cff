"""Which slices of the traffic a record belongs to: by turn, tools offered, length, script, and the tool to be
called.

Slices are of the request and the reference, never of an answer, so all systems have the same.
"""

from __future__ import annotations

import json
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

Slices = Mapping[str, tuple[str, ...]]
"""Labels by axis. A record that calls two tools has two labels on one axis."""

LANGUAGE = "language"
"""The axis of the languages that users write in; `pairing` adds it, for it takes all records to tell."""
TOOL = "tool"
"""The axis of the tools that the reference calls."""
NO_CALL = "(no call)"

_TURNS = (1, 2, 3, 6)
_TURN_LABELS = ("1", "2", "3 to 5", "6 or more")
_TOOLS = (0, 1, 2, 6, 16)
_TOOL_LABELS = ("none", "1", "2 to 5", "6 to 15", "16 or more")
_LENGTHS = (0, 1_000, 4_000, 16_000)
_LENGTH_LABELS = ("under 1,000", "1,000 to 3,999", "4,000 to 15,999", "16,000 or more")

_HEARD = 4_000
"""Characters of each of the user's texts that tell its script; the rest would only cost time."""
_SCRIPTS = {"CJK": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana", "KATAKANA-HIRAGANA": "Kana"}
_DENSE = frozenset({"Han", "Kana", "Hangul"})
"""Scripts whose characters stand for about as much as three letters of the others."""


def slices_of(request: Mapping[str, Any], expected_tools: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The slices of one record, from its request body and the names of the tools that the reference calls.

    `turn`: which answer of the conversation this is. `request_length`: characters of the messages as JSON.
    `script`: what users mostly write in, as Unicode names it (Latin, Cyrillic, Han, …). It tells languages
    apart only where they are written differently; `languages` does the rest, for a whole data set.
    """
    found = request.get("messages")
    messages = found if isinstance(found, list) else []
    answers = sum(isinstance(m, Mapping) and m.get("role") == "assistant" for m in messages)
    tools = request.get("tools")
    length = len(json.dumps(messages, ensure_ascii=False, default=str))
    return {
        "turn": (_label(answers + 1, _TURNS, _TURN_LABELS),),
        "tools_offered": (_label(len(tools) if isinstance(tools, list) else 0, _TOOLS, _TOOL_LABELS),),
        "request_length": (_label(length, _LENGTHS, _LENGTH_LABELS),),
        "script": (_script_of(messages),),
        TOOL: tuple(sorted(set(expected_tools))) or (NO_CALL,),
    }


def words_of(request: Mapping[str, Any]) -> str:
    """What the users say in a request, with a line for each text."""
    found = request.get("messages")
    return "\n".join(_words_of(found if isinstance(found, list) else []))


def _label(number: int, edges: tuple[int, ...], labels: tuple[str, ...]) -> str:
    return labels[bisect_right(edges, number) - 1]


def _script_of(messages: list[Any]) -> str:
    """The script with most of the users' letters, Kana where both that and Han are there: Japanese."""
    found: Counter[str] = Counter()
    for text in _words_of(messages):
        for character, count in Counter(text[:_HEARD]).items():
            if script := _script(character):
                found[script] += count * (3 if script in _DENSE else 1)
    if found["Kana"]:
        found["Kana"] += found.pop("Han", 0)
    return min(found, key=lambda name: (-found[name], name)) if found.total() else "(no letters)"


def _words_of(messages: list[Any]) -> Iterable[str]:
    for message in messages:
        if not isinstance(message, Mapping) or message.get("role") != "user":
            continue
        content = message.get("content")
        for part in content if isinstance(content, list) else [content]:
            text = part.get("text") if isinstance(part, Mapping) else part
            if isinstance(text, str):
                yield text


@lru_cache(maxsize=8_192)
def _script(character: str) -> str:
    """The script of a letter, by the first word of its compatible form's name; "" of anything else."""
    letter = unicodedata.normalize("NFKC", character)[0]
    if not letter.isalpha():
        return ""
    word = unicodedata.name(letter, "").partition(" ")[0]
    return _SCRIPTS.get(word, word.capitalize())
