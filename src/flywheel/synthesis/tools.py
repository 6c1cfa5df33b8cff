# ruff: noqa: E501  Tables of phrases are easier to read with a phrase book's line length.
"""Tools with names of their own: the same action is another function, with other parameters, every time it is met.

A student that has seen `book_table(city)` a thousand times has learned a name; one that has seen a thousand names
has learned to read the signature. So everything about a tool is drawn anew: its name and its style, which
parameters it has, what they are called, their order, which are required, and whether anything is described.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from flywheel.synthesis import lexicon as lex
from flywheel.synthesis.actions import ACTIONS, Action
from flywheel.synthesis.slots import BOOLEANS, ENUMS, SLOTS

_ENUM_BY_NAME = {name: line for line in ENUMS for name in line[0].split(",")}
_BOOLEAN_BY_NAME = {name: line for line in BOOLEANS for name in line[0].split(",")}


@dataclass(frozen=True)
class Style:
    """How one API writes its names."""

    case: str
    prefix: str
    describe: float
    """The share of its tools and parameters that are described."""

    def name(self, words: str) -> str:
        return self.prefix + styled(words, self.case)

    def key(self, words: str) -> str:
        return styled(words, "snake" if self.case in ("pascal", "dotted") and not self.prefix else self.case)


def styled(words: str, case: str) -> str:
    parts = words.replace("-", " ").split()
    if case == "snake":
        return "_".join(part.lower() for part in parts)
    if case == "kebab":
        return "-".join(part.lower() for part in parts)
    if case == "upper":
        return "_".join(part.upper() for part in parts)
    if case == "dotted":
        return ".".join(part.lower() for part in parts)
    if case == "spaced":
        return " ".join(parts)
    joined = "".join(part[:1].upper() + part[1:] for part in parts)
    return joined if case == "pascal" else joined[:1].lower() + joined[1:]


def draw_style(rng: Random) -> Style:
    case = rng.choice(
        ("snake", "snake", "snake", "camel", "camel", "pascal", "dotted" if rng.random() < 0.3 else "snake")
    )
    prefix = ""
    if rng.random() < 0.2:
        word = rng.choice((lex.invented(rng), rng.choice(lex.NOUNS)))
        prefix = rng.choice((f"{word}_", f"{word.title()}_{rng.randint(1, 4)}_", f"{word}.", f"{word}__"))
    return Style(case, prefix, rng.choice((0.0, 0.4, 0.8, 1.0)))


@dataclass(frozen=True)
class Param:
    key: str
    words: str
    schema: dict[str, Any]
    required: bool
    say: Callable[[Random], tuple[str, Any]]
    """A phrase of a request, and the value that it means."""


@dataclass(frozen=True)
class ToolKind:
    name: str
    description: str
    params: tuple[Param, ...]
    requests: tuple[str, ...]
    domain: str = ""
    group: str = ""
    """Where set, the optional parameters live in a nested object of this name."""

    @property
    def wire(self) -> dict[str, Any]:
        inner = [param for param in self.params if self.group and not param.required]
        outer = [param for param in self.params if param not in inner]
        schema = _object(outer)
        if inner:
            schema["properties"][self.group] = _object(inner)
        function: dict[str, Any] = {"name": self.name, "parameters": schema}
        if self.description:
            function = {"name": self.name, "description": self.description, "parameters": schema}
        return {"type": "function", "function": function}

    def arguments(self, values: dict[str, Any]) -> dict[str, Any]:
        if not self.group:
            return {param.key: values[param.key] for param in self.params if param.key in values}
        flat = {
            param.key: values[param.key] for param in self.params if param.required and param.key in values
        }
        nested = {
            param.key: values[param.key]
            for param in self.params
            if not param.required and param.key in values
        }
        return {**flat, self.group: nested} if nested else flat


def _object(params: list[Param]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {param.key: param.schema for param in params},
        "required": [param.key for param in params if param.required],
    }


def tool_for(rng: Random, action: Action, style: Style) -> ToolKind:
    kinds = [(kind, True) for kind in action.required]
    optional = [kind for kind in action.optional if rng.random() < 0.75]
    kinds += [(kind, rng.random() < 0.1) for kind in optional]
    if rng.random() < 0.25:
        kinds.append((rng.choice(sorted(SLOTS)), False))
    rng.shuffle(kinds)
    params: list[Param] = []
    for kind, required in kinds:
        param = _param(rng, kind, style, {p.key for p in params}, required=required)
        if param:
            params.append(param)
    verb, thing = rng.choice(action.verbs), rng.choice(action.objects)
    words = rng.choice(
        (f"{verb} {thing}", f"{verb} {thing}", f"{verb} {rng.choice(action.objects)}", f"{thing} {verb}")
    )
    described = rng.random() < max(style.describe, 0.4)
    description = (
        rng.choice(
            (
                f"{verb.capitalize()} {thing}",
                f"{verb.capitalize()} a {thing}",
                f"{rng.choice(action.verbs)} {thing}",
            )
        )
        if described
        else ""
    )
    group = ""
    if rng.random() < 0.06 and sum(not p.required for p in params) >= 2:
        group = styled(rng.choice(("details", "options", "filters", "extra info", "params")), style.case)
        if any(p.key == group for p in params):
            group = ""
    return ToolKind(style.name(words), description, tuple(params), action.requests, action.domain, group)


def nonsense_tool(rng: Random, style: Style) -> ToolKind:
    """A function nobody can guess: its name, and what is said, are all there is to go by."""

    def word() -> str:
        return lex.invented(rng) if rng.random() < 0.6 else rng.choice(lex.NOUNS)

    words = " ".join(word() for _ in range(rng.choice((1, 2, 2))))
    params: list[Param] = []
    for _ in range(rng.choice((1, 2, 2, 3, 3, 4))):
        label = " ".join(word() for _ in range(rng.choice((1, 1, 2))))
        key = style.key(label)
        if any(p.key == key for p in params):
            continue
        slot = SLOTS[
            rng.choice(
                (
                    "title",
                    "title",
                    "code",
                    "number",
                    "count",
                    "note",
                    "person",
                    "city",
                    "tags",
                    "email",
                    "money",
                    "topic",
                )
            )
        ]
        schema = _schema(rng, slot.type, label, style)
        params.append(Param(key, label, schema, rng.random() < 0.6, _named(label, slot.sample)))
    return ToolKind(
        style.name(words),
        rng.choice(("", f"{words}", f"Do the {words}")),
        tuple(params),
        (words, f"{words} now", f"do the {words}", f"i need {words}", f"run {words}"),
    )


def distractors(rng: Random, style: Style, near: Action | None, count: int) -> list[ToolKind]:
    """Other tools, some of the same domain, none for the same thing."""
    others = [action for action in ACTIONS if action is not near]
    same = [action for action in others if near and action.domain == near.domain]
    picked: list[Action] = []
    for _ in range(count):
        action = rng.choice(same if same and rng.random() < 0.4 else others)
        if action not in picked:
            picked.append(action)
    return [tool_for(rng, action, style) for action in picked]


def _param(rng: Random, kind: str, style: Style, taken: set[str], *, required: bool) -> Param | None:
    if kind.endswith(":e"):
        names, labels = _ENUM_BY_NAME[kind[:-2]]
        return _enum_param(rng, names, labels.split(","), style, taken, required)
    if kind.endswith(":b"):
        names, yes, no = _BOOLEAN_BY_NAME[kind[:-2]]
        words = rng.choice(names.split(","))
        key = style.key(words)
        if key in taken:
            return None
        schema = _schema(rng, "boolean", words, style)
        return Param(key, words, schema, required, _boolean(yes.split(";"), no.split(";")))
    slot = SLOTS[kind]
    words = rng.choice(slot.names)
    key = style.key(words)
    if key in taken:
        return None
    schema = _schema(rng, slot.type, words, style)
    say = _named(words, slot.sample) if rng.random() < 0.15 else _phrased(slot.phrases, slot.sample)
    return Param(key, words, schema, required, say)


def _schema(rng: Random, type_: str, words: str, style: Style) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": type_}
    if type_ == "array":
        schema["items"] = {"type": "string"}
    if rng.random() < style.describe * 0.7:
        schema["description"] = rng.choice(
            (f"The {words}", words.capitalize(), f"{words.capitalize()} to use", f"What {words}")
        )
    return schema


def _enum_param(
    rng: Random, names: str, labels: list[str], style: Style, taken: set[str], required: bool
) -> Param | None:
    words = rng.choice(names.split(","))
    key = style.key(words)
    if key in taken:
        return None
    chosen = rng.sample(labels, rng.randint(2, len(labels)))
    case = rng.choice(("snake", "snake", "spaced", "upper", "kebab"))
    values = {label: styled(label, case) for label in chosen}
    schema: dict[str, Any] = {"type": "string", "enum": list(values.values())}

    def say(inner: Random) -> tuple[str, Any]:
        label = inner.choice(chosen)
        return inner.choice(
            (label, f"{label} {words}", f"{words} {label}", f"make it {label}", f"in {label}")
        ), values[label]

    return Param(key, words, schema, required, say)


def _phrased(
    phrases: tuple[str, ...], sample: Callable[[Random], tuple[str, Any]]
) -> Callable[[Random], tuple[str, Any]]:
    def say(rng: Random) -> tuple[str, Any]:
        text, value = sample(rng)
        return rng.choice(phrases).replace("{}", text), value

    return say


def _named(words: str, sample: Callable[[Random], tuple[str, Any]]) -> Callable[[Random], tuple[str, Any]]:
    def say(rng: Random) -> tuple[str, Any]:
        text, value = sample(rng)
        return rng.choice(
            (
                f"{words} {text}",
                f"{words} is {text}",
                f"with {words} {text}",
                f"{words}: {text}",
                f"{text} as {words}",
            )
        ), value

    return say


def _boolean(yes: list[str], no: list[str]) -> Callable[[Random], tuple[str, Any]]:
    def say(rng: Random) -> tuple[str, Any]:
        value = rng.random() < 0.6
        return rng.choice(yes if value else no), value

    return say
