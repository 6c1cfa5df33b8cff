"""`<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Hermes, Qwen 2.5 and 3, our own student."""

from flywheel.prompts.calls import Answer, Call, answer, call_from, json_at

OPEN, CLOSE = "<tool_call>", "</tool_call>"
THINK, THOUGHT = "<think>", "</think>"


def read(text: str, names: frozenset[str] | None = None) -> Answer:
    """Calls are found by their JSON, not by the closing mark, so a value may hold the mark itself.

    A complete call whose closing mark is missing (the token limit fell there) counts; half a call does not.
    What a reasoning model (Qwen 3) thinks before it answers is no part of the answer.
    """
    text = _spoken(text)
    texts: list[str] = []
    calls: list[Call] = []
    malformed: list[str] = []
    at = 0
    while (start := text.find(OPEN, at)) >= 0:
        texts.append(text[at:start])
        body = start + len(OPEN)
        found = json_at(text, body)
        call = call_from(found[0]) if found else None
        rest = text[found[1] :].lstrip() if found else ""
        if found and call and (not rest or rest.startswith((CLOSE, OPEN))):
            calls.append(call)
            at = len(text) - len(rest) + (len(CLOSE) if rest.startswith(CLOSE) else 0)
            continue
        stop = text.find(CLOSE, body)
        following = text.find(OPEN, body)
        if stop < 0 or 0 <= following < stop:
            stop = following if following >= 0 else len(text)
            at = stop
        else:
            at = stop + len(CLOSE)
        malformed.append(text[body:stop].strip())
    texts.append(text[at:])
    return answer(texts, calls, malformed)


def _spoken(text: str) -> str:
    """`text` without the thought that it opens with, if that has an end."""
    if not text.lstrip().startswith(THINK):
        return text
    _, ended, rest = text.partition(THOUGHT)
    return rest if ended else text
