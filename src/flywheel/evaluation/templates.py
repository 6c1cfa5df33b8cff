"""Templates of requests, references and judge prompts, rendered as NeMo's evaluator does, in a sandbox.

Users write them, so they run in Jinja's immutable sandbox. NeMo's rules: dicts and lists are rendered
through; a string that is one lone `{{ expression }}` keeps the value's type; a string that uses `tojson`
is parsed as JSON after rendering. One thing differs on purpose: `tojson` keeps the order of keys (Jinja
sorts them), because a student that was trained on a tool's arguments in one order must not be asked in
another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import ChainableUndefined, Environment, StrictUndefined, Template, TemplateError, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from flywheel.errors import UserError

_BRACES = re.compile(r"^\{\{[-+]?|[-+]?\}\}$")


class BadTemplate(UserError):
    """`where` a template stands, and what is wrong with it."""

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(f"template {where}: {reason}")


def _tojson(value: Any) -> str:
    return "null" if isinstance(value, Undefined) else json.dumps(value, ensure_ascii=False)


def _environment(undefined: type[Undefined]) -> Environment:
    environment = ImmutableSandboxedEnvironment(undefined=undefined)  # Prompts are text: nothing to escape.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment


_STRICT = _environment(StrictUndefined)
_LENIENT = _environment(ChainableUndefined)
_LENIENT.filters["tojson"] = _tojson


def check(template: Any, where: str) -> None:
    """Raise BadTemplate if some string in `template` is no Jinja."""
    if isinstance(template, Mapping):
        for key, value in template.items():
            check(value, f"{where}.{key}")
    elif isinstance(template, list):
        for position, value in enumerate(template):
            check(value, f"{where}[{position}]")
    elif isinstance(template, str):
        try:
            _STRICT.parse(template)
        except TemplateError as error:
            raise BadTemplate(where, str(error)) from error


def render(template: Any, context: Mapping[str, Any], where: str, *, lenient: bool = False) -> Any:
    """The template with `context` in it. Raises BadTemplate.

    What is not defined is an error, or nothing where `lenient`: a judge's prompt prints a candidate's
    calls, and a candidate that made none must not break it.
    """
    if isinstance(template, Mapping):
        return {
            key: render(value, context, f"{where}.{key}", lenient=lenient) for key, value in template.items()
        }
    if isinstance(template, list):
        return [render(v, context, f"{where}[{i}]", lenient=lenient) for i, v in enumerate(template)]
    if not isinstance(template, str):
        return template
    try:
        return _render_text(_LENIENT if lenient else _STRICT, template, context)
    except json.JSONDecodeError as error:
        raise BadTemplate(where, f"did not render to JSON: {error}") from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
        raise BadTemplate(where, f"{type(error).__name__}: {error}") from error


def _render_text(environment: Environment, template: str, context: Mapping[str, Any]) -> Any:
    expression = _lone_expression(template)
    if expression is None:
        text = _compiled(environment, template).render(dict(context))
        return json.loads(text) if "tojson" in template else text
    value = _compiled_expression(environment, expression)(dict(context))
    if isinstance(value, Undefined):
        value = str(value)  # Raises where undefined is an error; else it is empty.
    if "tojson" in template and isinstance(value, str):
        return json.loads(value)
    return value


@lru_cache(maxsize=256)
def _compiled(environment: Environment, template: str) -> Template:
    return environment.from_string(template)


@lru_cache(maxsize=256)
def _compiled_expression(environment: Environment, expression: str) -> Callable[..., Any]:
    return environment.compile_expression(expression, undefined_to_none=False)


def _lone_expression(template: str) -> str | None:
    text = template.strip()
    lone = text.startswith("{{") and text.endswith("}}") and text.count("{{") == text.count("}}") == 1
    return _BRACES.sub("", text).strip() if lone and "{%" not in text else None


def context_of(item: Mapping[str, Any], sample: Mapping[str, Any]) -> dict[str, Any]:
    """What a template sees: the row's fields and the sample's at the root (the sample's win), `item`,
    `sample`.
    """
    root = {key: value for key, value in item.items() if key.isidentifier()}
    return {**root, **sample, "item": item, "sample": sample}


def normalised(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with keys as NeMo offers them: lower case, other signs than letters and digits as `_`; a
    key that is taken gets `_1`, `_2`. Nested keys stay."""
    item: dict[str, Any] = {}
    for key, value in row.items():
        name = wanted = re.sub(r"[^a-z0-9]", "_", str(key).lower())
        number = 0
        while name in item:
            number += 1
            name = f"{wanted}_{number}"
        item[name] = value
    return item
