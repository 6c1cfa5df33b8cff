"""What every block of the configuration is made of: frozen, no unknown keys, addresses without secrets."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
)

from flywheel.errors import ConfigError
from flywheel.hidden import hide


def _address(*schemes: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"must start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return _without_secret(value).rstrip("/")

    return check


def _without_secret(address: str) -> str:
    if "@" in address.partition("://")[2].partition("/")[0]:
        raise SecretInAddress
    return address


class SecretInAddress(ValueError):
    """The value must not be repeated in a message."""

    def __init__(self) -> None:
        super().__init__(
            "must not hold a user or a password, because addresses are shown; see the settings beside it"
        )


Address = Annotated[str, AfterValidator(_address("http", "https"))]


MongoAddress = Annotated[str, AfterValidator(_address("mongodb", "mongodb+srv"))]


RedisAddress = Annotated[str, AfterValidator(_address("redis", "rediss"))]


def secret(variable: str | None, *, where: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """What the environment holds under the name `variable`, read when it is needed; None for no name.

    Raises ConfigError, naming the setting `where`, when the variable is not set.
    """
    if not variable:
        return None
    value = environment.get(variable)
    if not value:
        raise ConfigError(f"{where}: the environment variable {variable} is not set")
    hide(value)
    return value


class Block(BaseModel):
    """A block of the configuration: frozen, no unknown keys, documented field by field."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        use_attribute_docstrings=True,
        populate_by_name=True,
    )
