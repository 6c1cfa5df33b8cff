"""`[TOOL_CALLS][{"name": …, "arguments": {…}}, …]`, and the newer `[TOOL_CALLS]name[ARGS]{…}`: Mistral.

The mark is a special token: decode with `skip_special_tokens=False`, or calls look like text.
"""

from flywheel.prompts.calls import Answer, Call, answer, call_from, json_at

MARK, ARGS, END = "[TOOL_CALLS]", "[ARGS]", "</s>"


def read(text: str, names: frozenset[str] | None = None) -> Answer:
    before, *bodies = text.removesuffix(END).split(MARK)
    calls: list[Call] = []
    malformed: list[str] = []
    for body in bodies:
        found = _calls(body)
        if found is None:
            malformed.append(body.strip())
        else:
            calls.extend(found)
    return answer([before], calls, malformed)


def _calls(body: str) -> list[Call] | None:
    head, named, arguments = body.partition(ARGS)
    if not named and not body.lstrip().startswith(("[", "{")):  # The form without [ARGS]: name{…}
        head, brace, rest = body.partition("{")
        named, arguments = brace, brace + rest
    if named:
        found = json_at(arguments, 0)
        value: object = {"name": head.strip(), "arguments": found[0]} if found else None
        whole = bool(found) and not arguments[found[1] if found else 0 :].strip()
        values = [value]
    else:
        found = json_at(body, 0)
        value = found[0] if found else None
        values = value if isinstance(value, list) else [value]
        whole = bool(found) and not body[found[1] if found else 0 :].strip()
    calls = [call_from(item) for item in values]
    if not whole or not calls or None in calls:
        return None
    return [call for call in calls if call]
