"""Is this value the one that was meant? Two JSON values compared under the tool's JSON Schema.

What a reader means by "the same": 5 and 5.0 are one number, "é" is the same text however it is composed,
`true` is never 1, an omitted argument equals its default. What differs is told as a class of failure
(`wrong_value`, `wrong_type`, `missing_argument`, `unknown_argument`), with its path. Nothing here raises,
whatever the JSON.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from flywheel.evaluation.failures import Failure

Schema = Mapping[str, Any]
Mode = Literal["exact", "normalized", "date", "numeric", "any", "alike", "set"]
"""How one argument is compared: `exact`; `normalized` (case, blanks and punctuation do not count); `date`
(ISO 8601, in any of its forms); `numeric` (within a tolerance); `any` (free text that only has to be
there); `alike` (by `Rules.alike`, such as a judge); `set` (an array whose order does not count)."""

GRAVEST_FIRST = (
    Failure.INVALID_JSON,
    Failure.MISSING_ARGUMENT,
    Failure.UNKNOWN_ARGUMENT,
    Failure.WRONG_TYPE,
    Failure.WRONG_VALUE,
)

_DEEPEST = 64
_NOTHING: Schema = {}
_LITERAL = frozenset({str, int, bool, type(None)})
"""Types whose equal values are the same under every rule but an argument's own; 5.0 may be no integer."""
_PUNCTUATION = re.compile(r"[ ,./\-_*^]")


@dataclass(frozen=True, slots=True)
class ArgumentRule:
    """How one argument is compared, where the schema alone does not say. `tolerance` is for `numeric`."""

    mode: Mode
    tolerance: float = 0.0


def similar_text(expected: str, got: str) -> bool:
    """The stand-in for a judge: the same words in another case and punctuation."""
    return normalized(expected) == normalized(got)


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as the same.

    `strings`: `exact` after Unicode NFC and outer blanks, `normalized` as the Berkeley leaderboard's
    checker does. `numbers`: `schema` (5 is 5.0 wherever a number stands), `strict` (an integer is not
    written 5.0), `lenient` ("5" is 5 where the schema wants a number, and "true" is true). `arguments`:
    rules by `tool.argument`, or by `argument` for every tool. `sequential`: the order of calls counts.
    """

    strings: Literal["exact", "normalized"] = "exact"
    numbers: Literal["schema", "strict", "lenient"] = "schema"
    arguments: Mapping[str, ArgumentRule] = field(default_factory=dict)
    sequential: bool = False
    alike: Callable[[str, str], bool] = similar_text


@dataclass(frozen=True, slots=True)
class Accepted:
    """The values that are right for one argument; `optional` where leaving it out is right too."""

    any_of: tuple[Any, ...]
    optional: bool = False


class Shape(dict[str, Accepted]):
    """An object that is right when each of its members is one of the accepted ones."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as expected; `path` leads to it: `address.city`, `items[2]`."""

    path: str
    failure: Failure


def differences(
    expected: Mapping[str, Accepted], got: Any, schema: Schema, rules: Rules, tool: str = ""
) -> list[Difference]:
    """What is wrong with the arguments `got` of a call of `tool`, whose `parameters` are `schema`."""
    if not isinstance(got, dict):
        return [Difference("", Failure.WRONG_TYPE)]
    return list(_members(expected, got, schema, _Way(rules, schema, tool)))


def value_differences(expected: Any, got: Any, schema: Schema, rules: Rules) -> list[Difference]:
    """How the JSON value `got`, which ought to fit `schema`, differs from the expected one."""
    return list(_compare(expected, got, _resolved(schema, schema), _Way(rules, schema, "")))


def gravest(found: Iterable[Difference]) -> Failure | None:
    """The class of the gravest difference; None where there is none."""
    classes = {difference.failure for difference in found}
    return next((failure for failure in GRAVEST_FIRST if failure in classes), None)


def accepted(arguments: Mapping[str, Any]) -> dict[str, Accepted]:
    """The arguments of one logged call, as the only ones that are right."""
    return {name: Accepted((value,)) for name, value in arguments.items()}


@dataclass(frozen=True, slots=True)
class _Way:
    """Where a comparison stands: the rules, the whole schema for `$ref`, the tool, and the path so far."""

    rules: Rules
    root: Schema
    tool: str
    path: str = ""
    depth: int = 0

    def into(self, name: str) -> _Way:
        path = f"{self.path}.{name}" if self.path else name
        return _Way(self.rules, self.root, self.tool, path, self.depth + 1)

    def at(self, index: int) -> _Way:
        return _Way(self.rules, self.root, self.tool, f"{self.path}[{index}]", self.depth + 1)

    @property
    def rule(self) -> ArgumentRule | None:
        rules = self.rules.arguments
        return (rules.get(f"{self.tool}.{self.path}") or rules.get(self.path)) if rules else None


def _members(
    expected: Mapping[str, Accepted], got: Mapping[str, Any], schema: Schema, way: _Way
) -> Iterator[Difference]:
    """The members of an object, in the order of the reference, then what only the answer has."""
    properties, required = _properties(schema), _required(schema)
    plain = not way.rules.arguments  # A rule may refuse even what is equal.
    for name, right in expected.items():
        if plain and name in got and _is_one_of(got[name], right.any_of):
            continue
        inner = _resolved(properties.get(name), way.root)
        if name in got and not (got[name] is None and _may_be_left_out(name, right, inner, required, way)):
            yield from _one_of(right, got[name], inner, way.into(name))
        elif not _may_be_left_out(name, right, inner, required, way):
            yield Difference(way.into(name).path, Failure.MISSING_ARGUMENT)
    for name, value in got.items():
        if name not in expected and not _goes_without_saying(
            name, value, _resolved(properties.get(name), way.root), required, way
        ):
            yield Difference(way.into(name).path, Failure.UNKNOWN_ARGUMENT)


def _may_be_left_out(name: str, right: Accepted, schema: Schema, required: frozenset[str], way: _Way) -> bool:
    """Whether saying nothing says the same: it is optional, null, or the default."""
    if right.optional:
        return True
    if name in required:
        return False
    if any(value is None for value in right.any_of) and (_nullable(schema) or not schema):
        return True
    return "default" in schema and not any(_one_of(right, schema["default"], schema, way.into(name)))


def _goes_without_saying(name: str, value: Any, schema: Schema, required: frozenset[str], way: _Way) -> bool:
    """Whether an argument that the reference leaves out changes nothing: null, or its default."""
    if not schema or name in required:
        return False
    if value is None:
        return _nullable(schema) or schema.get("default", value) is None
    return "default" in schema and _same(schema["default"], value, schema, way.into(name))


def _one_of(right: Accepted, got: Any, schema: Schema, way: _Way) -> Iterator[Difference]:
    """Nothing if `got` is one of the accepted values, else how it differs from the one that is nearest."""
    nearest: list[Difference] | None = None
    for value in right.any_of:
        found = list(_compare(value, got, schema, way))
        if not found:
            return
        if nearest is None or _gravity(found) < _gravity(nearest):
            nearest = found
    yield from nearest if nearest is not None else [Difference(way.path, Failure.UNKNOWN_ARGUMENT)]


def _is_one_of(got: Any, values: Iterable[Any]) -> bool:
    """Whether it stands there to the letter: most answers do, and need no schema for that."""
    kind = type(got)
    return kind in _LITERAL and any(type(value) is kind and value == got for value in values)


def _gravity(found: Sequence[Difference]) -> tuple[bool, int]:
    return any(difference.failure is Failure.WRONG_TYPE for difference in found), len(found)


def _same(expected: Any, got: Any, schema: Schema, way: _Way) -> bool:
    return not any(_compare(expected, got, schema, way))


def _compare(expected: Any, got: Any, schema: Schema, way: _Way) -> Iterator[Difference]:
    if way.depth > _DEEPEST:
        if expected != got:
            yield Difference(way.path, Failure.WRONG_VALUE)
        return
    rule = way.rule
    if isinstance(expected, dict):
        if not isinstance(got, dict):
            yield Difference(way.path, Failure.WRONG_TYPE)
        else:
            shape = expected if isinstance(expected, Shape) else accepted(expected)
            yield from _members(shape, got, schema, way)
    elif isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple):
            yield Difference(way.path, Failure.WRONG_TYPE)
        else:
            free = schema.get("uniqueItems") is True or (rule is not None and rule.mode == "set")
            yield from _items(expected, got, schema, free, way)
    else:
        failure = _scalar(expected, got, schema, rule, way.rules)
        if failure is not None:
            yield Difference(way.path, failure)


def _items(
    expected: Sequence[Any], got: Sequence[Any], schema: Schema, free: bool, way: _Way
) -> Iterator[Difference]:
    inner = _resolved(schema.get("items"), way.root)
    if len(expected) != len(got):
        yield Difference(way.path, Failure.WRONG_VALUE)
    elif free:
        same = np.array([[_same(e, g, inner, way.at(i)) for g in got] for i, e in enumerate(expected)])
        if len(expected) and same[linear_sum_assignment(same, maximize=True)].sum() < len(expected):
            yield Difference(way.path, Failure.WRONG_VALUE)
    else:
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from _compare(one, other, inner, way.at(index))


def _scalar(
    expected: Any, got: Any, schema: Schema, rule: ArgumentRule | None, rules: Rules
) -> Failure | None:
    """The class of the difference of two values, of which the expected one is no object and no array."""
    if rule is not None and rule.mode == "any":
        return None if isinstance(got, str) and got.strip() else Failure.WRONG_VALUE
    if rules.numbers == "lenient":
        expected, got = _coerced(expected, schema), _coerced(got, schema)
    if _is_number(expected) and _is_number(got):
        tolerance = rule.tolerance if rule is not None and rule.mode == "numeric" else 0.0
        return _number(expected, got, schema, tolerance, rules)
    if _kind(expected) != _kind(got):
        return Failure.WRONG_TYPE
    if isinstance(expected, str):
        return None if _text(expected, got, schema, rule, rules) else Failure.WRONG_VALUE
    return None if expected == got else Failure.WRONG_VALUE


def _number(expected: float, got: float, schema: Schema, tolerance: float, rules: Rules) -> Failure | None:
    if rules.numbers == "strict" and isinstance(got, float) and not _wants(schema, "number"):
        whole = _wants(schema, "integer") or isinstance(expected, int)
        if whole:
            return Failure.WRONG_TYPE
    if expected == got:
        return None
    return None if tolerance > 0 and _close(expected, got, tolerance) else Failure.WRONG_VALUE


def _close(expected: float, got: float, tolerance: float) -> bool:
    try:
        return abs(expected - got) <= tolerance
    except OverflowError:  # An integer that no float can hold.
        return False


def _text(expected: str, got: str, schema: Schema, rule: ArgumentRule | None, rules: Rules) -> bool:
    mode = rule.mode if rule is not None else rules.strings
    if expected == got:
        return True
    if mode == "normalized":
        return normalized(expected) == normalized(got)
    if mode == "alike":
        return rules.alike(expected, got)
    if mode == "date":
        moment = _moment(expected)
        return moment is not None and moment == _moment(got)
    if "enum" in schema or "const" in schema:
        return False
    return _plain(expected) == _plain(got)


def normalized(text: str) -> str:
    """Case, blanks and the punctuation , . / - _ * ^ taken away, quotes made one kind: the rule of the
    Berkeley Function-Calling Leaderboard's checker (`standardize_string`, Patil et al. 2024)."""
    return _PUNCTUATION.sub("", text).lower().replace("'", '"')


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _moment(text: str) -> date | datetime | None:
    """The day or the moment that ISO 8601 text names; midnight without a zone is that day."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    bare = found.tzinfo is None and found.time() == datetime.min.time()
    return found.date() if bare else found


def _coerced(value: Any, schema: Schema) -> Any:
    """`value` as the type that the schema wants, where text says it plainly."""
    if not isinstance(value, str):
        return value
    if _wants(schema, "boolean") and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if _wants(schema, "integer") or _wants(schema, "number"):
        try:
            return int(value)
        except ValueError:
            pass
        try:
            number = float(value)
        except ValueError:
            return value
        return number if math.isfinite(number) else value
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, dict) else "array"


def _wants(schema: Schema, name: str) -> bool:
    kind = schema.get("type")
    return name in kind if isinstance(kind, list) else kind == name


def _nullable(schema: Schema) -> bool:
    if _wants(schema, "null") or schema.get("nullable") is True:
        return True
    options = schema.get("anyOf", schema.get("oneOf"))
    return isinstance(options, list) and any(
        isinstance(option, Mapping) and _wants(option, "null") for option in options
    )


def _properties(schema: Schema) -> Mapping[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, (dict, Mapping)) else {}


def _required(schema: Schema) -> frozenset[str]:
    found = schema.get("required")
    return (
        frozenset(name for name in found if isinstance(name, str)) if isinstance(found, list) else frozenset()
    )


def _resolved(found: Any, root: Schema) -> Schema:
    """The schema behind a local `$ref`, and of a choice with null the other one; {} where there is none."""
    for _ in range(8):
        if not isinstance(found, (dict, Mapping)):  # The first is found at once.
            return _NOTHING
        schema: Schema = found
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return _without_null(schema, root)
        found = _pointed(reference, root)
    return _NOTHING


def _without_null(schema: Schema, root: Schema) -> Schema:
    """A choice between one schema and null, as that schema, nullable; others as they are."""
    options = schema.get("anyOf", schema.get("oneOf"))
    if not isinstance(options, list):
        return schema
    real = [o for o in options if isinstance(o, Mapping) and not _wants(o, "null")]
    if len(real) != 1 or real[0] is schema:
        return schema
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
    nullable = {"nullable": True} if len(options) > 1 else {}
    return {**rest, **_resolved(real[0], root), **nullable}


def _pointed(reference: str, root: Schema) -> Any:
    """RFC 6901, within the tool's own parameters."""
    found: Any = root
    for part in reference[2:].split("/"):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part.replace("~1", "/").replace("~0", "~"))
    return found
