"""`{"name": …, "parameters": {…}}` with nothing around it, or after `<|python_tag|>`: Llama 3.1 and later.

Bare JSON has no mark, so text is a call only if it is nothing but call objects (separated by `;`, commas or
white space). With tools known, an object whose name is none of theirs is still a call, a wrong one; with no
tools at all it is the text that somebody asked for.
"""

from flywheel.prompts.calls import Answer, Call, answer, call_from, json_at

MARK = "<|python_tag|>"
ENDS = ("<|eom_id|>", "<|eot_id|>")


def read(text: str, names: frozenset[str] | None = None) -> Answer:
    for end in ENDS:
        text = text.removesuffix(end)
    before, marked, body = text.partition(MARK)
    if not marked:
        before, body = "", text
    if not marked and (not body.lstrip().startswith("{") or names == frozenset()):
        return answer([text], [], [])
    calls: list[Call] = []
    at = 0
    while body[at:].strip(" \t\r\n;,"):
        at += len(body[at:]) - len(body[at:].lstrip(" \t\r\n;,"))
        found = json_at(body, at)
        call = call_from(found[0], "parameters") if found else None
        if not found or not call:
            if marked or '"name"' in body[at:]:
                return answer([before], calls, [body[at:].strip()])
            return answer([text], [], [])
        calls.append(call)
        at = found[1]
    return answer([before], calls, [])
