"""Reading the configuration: the file, then the environment; what is wrong is said with what is right."""

from __future__ import annotations

import difflib
import os
import types
import typing
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Union

import yaml
from pydantic import (
    BaseModel,
    ValidationError,
)

from flywheel.config.block import SecretInAddress
from flywheel.config.settings import Settings
from flywheel.errors import ConfigError

ENV_PREFIX = "FLYWHEEL_"


Model = typing.TypeVar("Model", bound=BaseModel)


def load_settings(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read `path` (None: the configuration that ships with the package) and the environment's overrides.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds a key or value that is not understood;
            the message names the key, the value and what would be right.
    """
    data = _read(path)
    name = str(path) if path else "the built-in configuration"
    for variable, text in sorted(environment.items()):
        if variable.startswith(ENV_PREFIX) and "__" in variable:
            _override(data, variable, text)
    return parse(Settings, data, where=name)


def parse(model: type[Model], data: object, *, where: str) -> Model:
    """Validate `data` as `model`; a problem becomes a ConfigError that says what would be right.

    `where` names the source of the data in the message: a file, or "the job's body".
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(
            "\n".join(f"{where}: {_explain(model, problem)}" for problem in error.errors())
        ) from error


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """' (did you mean "x"?)' for the known name closest to `name`, or the list of all where none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else f" (known here: {', '.join(names)})"


def _read(path: Path | None) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8") if path else _built_in()
    except FileNotFoundError as error:
        raise ConfigError(
            f"no configuration file at {path}; leave --config out for the built-in one"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a configuration: {error}") from error
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path} must hold blocks such as nims: and training_config:, not {type(data).__name__}"
        )
    return data


def _built_in() -> str:
    """The default configuration: packed into the wheel, or `config/config.yaml` of a checkout."""
    packed = resources.files("flywheel").joinpath("default_config.yaml")
    if packed.is_file():
        return packed.read_text("utf-8")
    return (Path(__file__).parents[3] / "config" / "config.yaml").read_text("utf-8")


def _override(data: dict[str, Any], variable: str, text: str) -> None:
    *parents, last = (part.lower() for part in variable.removeprefix(ENV_PREFIX).split("__"))
    at: Any = data
    for part in parents:
        if isinstance(at, list):
            at = at[_index(at, part, variable)]
        else:
            if at.get(part) is None:
                at[part] = {}
            at = at[part]
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"the environment variable {variable} is not a YAML value") from error
    if isinstance(at, list):
        at[_index(at, last, variable)] = value
    elif isinstance(at, dict):
        at[last] = value
    else:
        raise ConfigError(f"the environment variable {variable} points into a value that has no parts")


def _index(items: list[Any], part: str, variable: str) -> int:
    if not part.isdigit() or int(part) >= len(items):
        raise ConfigError(
            f"the environment variable {variable}: {part} is not an item of 0 to {len(items) - 1}"
        )
    return int(part)


def _explain(model: type[BaseModel], problem: Any) -> str:
    owner, path = _walk(model, problem["loc"])
    where = ".".join(path)
    match problem["type"]:
        case "extra_forbidden":
            return f"there is no setting {where}{nearest(path[-1], owner.model_fields) if owner else ''}"
        case "missing":
            return f"{where} is missing"
        case "union_tag_invalid":
            context = problem["ctx"]
            return f"{where}.type: must be one of {context['expected_tags']}, not {context['tag']!r}"
    if isinstance(problem.get("ctx", {}).get("error"), SecretInAddress):
        return f"{where} {problem['ctx']['error']}"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}, not {problem['input']!r}"


def _walk(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[type[BaseModel] | None, list[str]]:
    """The block that holds the last part of `loc`, and the keys on the way as they stand in the file.

    Pydantic also names the chosen member of a union (`records`, `elasticsearch`, `url`); the file does not.
    """
    blocks: list[type[BaseModel]] = [model]
    path: list[str] = []
    for part in loc[:-1]:
        if chosen := [block for block in blocks if path and part == _tag(block)]:
            blocks = chosen
            continue
        path.append(str(part))
        if isinstance(part, str):
            fields = [block.model_fields[part] for block in blocks if part in block.model_fields]
            blocks = [inner for field in fields for inner in blocks_in(field.annotation)]
    return (blocks[0] if blocks else None), [*path, *map(str, loc[-1:])]


def _tag(block: type[BaseModel]) -> str | None:
    field = block.model_fields.get("type")
    options = typing.get_args(field.annotation) if field else ()
    return str(options[0]) if len(options) == 1 else None


def blocks_in(annotation: Any) -> list[type[BaseModel]]:
    """The blocks that a field of this type may hold: several where it is a choice by `type`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (Union, types.UnionType, tuple, Annotated):
        return [block for part in typing.get_args(annotation) for block in blocks_in(part)]
    return []
