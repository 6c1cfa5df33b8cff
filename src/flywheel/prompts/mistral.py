"""`[TOOL_CALLS][{"name": …, "arguments": {…}}, …]` or `[TOOL_CALLS]name[CALL_ID]id[ARGS]{…}`: Mistral.

The mark is a special token: decode with `skip_special_tokens=False`, or calls look like text. Calls are read
by their JSON and not by the next mark, so a value may hold the marks themselves.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.prompts.calls import Answer, Call, answer, call_from, json_at

MARK, END = "[TOOL_CALLS]", "</s>"
_HEAD = re.compile(r"\s*([^\s\[\]{}]+)\s*(?:\[CALL_ID\][^\[\]{}]*)?(?:\[ARGS\])?")
_SHORT = re.compile(r"[A-Za-z0-9]{9}")


def read(text: str, names: frozenset[str] | None = None) -> Answer:
    text = text.removesuffix(END)
    before, mark, _ = text.partition(MARK)
    calls: list[Call] = []
    malformed: list[str] = []
    at = len(before) + len(mark)
    while mark:
        found, end = _calls(text, at)
        rest = text[end:].lstrip() if found else ""
        if found and (not rest or rest.startswith(MARK)):
            calls.extend(found)
            following = len(text) - len(rest) if rest else -1
        else:
            following = text.find(MARK, at)
            malformed.append(text[at : following if following >= 0 else len(text)].strip())
        if following < 0:
            break
        at = following + len(MARK)
    return answer([before], calls, malformed)


def short_ids(turns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`turns` with ids of calls and results that are nine letters or digits, as Mistral's templates demand.

    Others (OpenAI's are longer) are replaced by a digest, the same for a call and its result.
    """
    return [_with_short_ids(turn) for turn in turns]


def _with_short_ids(turn: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(turn)
    if turn.get("role") == "tool":
        made["tool_call_id"] = _nine(turn.get("tool_call_id"))
    if "tool_calls" in turn:
        made["tool_calls"] = [{**call, "id": _nine(call.get("id"))} for call in turn["tool_calls"]]
    return made


def _nine(given: Any) -> str:
    if isinstance(given, str) and _SHORT.fullmatch(given):
        return given
    return hashlib.sha256(str(given).encode("utf-8", "surrogatepass")).hexdigest()[:9]


def _calls(text: str, at: int) -> tuple[list[Call], int]:
    """The calls that stand at `at`, and where they end; none where something else does."""
    found = json_at(text, at)
    if found:
        values = found[0] if isinstance(found[0], list) else [found[0]]
    else:
        head = _HEAD.match(text, at)
        found = json_at(text, head.end()) if head else None
        values = [{"name": head.group(1), "arguments": found[0]}] if head and found else []
    calls = [call_from(value) for value in values]
    whole = [call for call in calls if call]
    return (whole, found[1]) if found and len(whole) == len(calls) else ([], at)
