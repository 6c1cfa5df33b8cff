"""`{"name": …, "parameters": {…}}` with nothing around it, or after `<|python_tag|>`: Llama 3.1 and later.

Bare JSON has no mark, so text is a call only if it is nothing but call objects (separated by `;`, commas or
white space). With tools known, an object whose name is none of theirs is still a call, a wrong one; with no
tools at all it is the text that somebody asked for. Words before a call are words only where the tools are
known and the call is of one of them.
"""

import re

from flywheel.prompts.calls import Answer, Call, answer, call_from, json_at

MARK = "<|python_tag|>"
ENDS = ("<|eom_id|>", "<|eot_id|>")
_BETWEEN = " \t\r\n;,"
_OPENING = re.compile(r'\{\s*"name"')


def read(text: str, names: frozenset[str] | None = None) -> Answer:
    for end in ENDS:
        text = text.removesuffix(end)
    bare = text.lstrip().startswith("{")
    before, marked, body = ("", "", text) if bare else text.partition(MARK)
    if not marked and (not bare or names == frozenset()):
        return _after_words(text, names or frozenset())
    calls, rest = _calls(body)
    if not rest:
        return answer([before], calls, [])
    if marked or '"name"' in rest or (calls and rest.startswith("{")):
        return answer([before], calls, [rest])
    return answer([text], [], [])


def _after_words(text: str, names: frozenset[str]) -> Answer:
    for opening in _OPENING.finditer(text) if names else ():
        calls, rest = _calls(text[opening.start() :])
        if calls and not rest and all(call.name in names for call in calls):
            return answer([text[: opening.start()]], calls, [])
    return answer([text], [], [])


def _calls(text: str) -> tuple[list[Call], str]:
    """The calls that `text` begins with, and what follows the last one."""
    calls: list[Call] = []
    rest = text.lstrip(_BETWEEN)
    while rest:
        found = json_at(rest, 0)
        call = call_from(found[0], "parameters") if found else None
        if not found or not call:
            break
        calls.append(call)
        rest = rest[found[1] :].lstrip(_BETWEEN)
    return calls, rest.strip()
