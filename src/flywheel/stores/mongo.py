"""MongoDB as every store here uses it: one way to connect, our errors for its own, names that it takes.

What it does not take is an error about a run, since runs, and the schedules that start them, are what is kept
there; the block `runs` of the configuration says where it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from flywheel.config import MongoRuns, secret
from flywheel.errors import ConfigError, StorageFull
from flywheel.stores.runs.errors import RunNotStorable, RunStoreAway, RunStoreFailed

_DISK_FULL: Final = frozenset({14031, 12501, 14037})
_NO_ENTRY: Final = frozenset({13, 18, 33, 8000})
_LATER: Final = frozenset({6, 7, 50, 64, 89, 91, 112, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""Codes of servers that stop, start, elect or are too slow."""
_ESCAPES: Final = {"%": "%25", ".": "%2E", "$": "%24", "\0": "%00"}
"""What MongoDB does not take, or misreads, in the name of a field, such as that of a file."""


def connect(config: MongoRuns, environment: Mapping[str, str]) -> MongoClient[dict[str, Any]]:
    """A client of the server that `config` names; nothing is sent before the first call.

    Raises ConfigError.
    """
    options: dict[str, Any] = {"tlsCAFile": str(config.ca_file)} if config.ca_file else {}
    if config.username:
        options["username"] = config.username
        options["password"] = secret(config.password_env, where="runs.password_env", environment=environment)
    try:
        return MongoClient(
            config.url,
            appname="flywheel",
            timeoutMS=round(config.request_timeout * 1000),
            connectTimeoutMS=round(min(config.request_timeout, 5.0) * 1000),
            w="majority",
            readConcernLevel="majority",
            readPreference="primary",
            retryWrites=True,
            connect=False,
            **options,
        )
    except (ConfigurationError, ValueError, OSError) as error:
        raise ConfigError(f"runs: {config.url} cannot be used: {error}") from error


@contextmanager
def in_our_words(url: str) -> Iterator[None]:
    """What goes wrong with the server at `url` comes out as one of our errors."""
    try:
        yield
    except DocumentTooLarge as error:
        raise RunNotStorable("it is larger than the 16 MB that MongoDB takes") from error
    except (BSONError, OverflowError, UnicodeEncodeError) as error:
        raise RunNotStorable(str(error)) from error
    except (ConnectionFailure, ExecutionTimeout, WTimeoutError) as error:
        raise RunStoreAway(url, _brief(error)) from error
    except PyMongoError as error:
        raise _translated(url, error) from error


def escaped(value: Any) -> Any:
    """The value with names of fields that MongoDB takes, at any depth."""
    if isinstance(value, dict):
        return {"".join(_ESCAPES.get(c, c) for c in key): escaped(each) for key, each in value.items()}
    return [escaped(each) for each in value] if isinstance(value, list) else value


def unescaped(value: Any) -> Any:
    """What `escaped` was given."""
    if isinstance(value, dict):
        return {_plain(key): unescaped(each) for key, each in value.items()}
    return [unescaped(each) for each in value] if isinstance(value, list) else value


def _plain(key: str) -> str:
    for plain, escape in reversed(_ESCAPES.items()):
        key = key.replace(escape, plain)
    return key


def _translated(url: str, error: PyMongoError) -> Exception:
    code = error.code if isinstance(error, OperationFailure) else None
    if code in _DISK_FULL:
        return StorageFull("the state of a run (in MongoDB)")
    if code in _LATER or error.timeout:
        return RunStoreAway(url, _brief(error))
    if code in _NO_ENTRY:
        hint = "; check runs.username, runs.password_env and the user's roles"
        return RunStoreFailed(url, _brief(error) + hint, 401)
    return RunStoreFailed(url, _brief(error))


def _brief(error: PyMongoError) -> str:
    """The first sentence; what follows is the driver's view of the topology, or the server's whole answer."""
    return str(error).split(", Timeout: ")[0].split(", full error: ")[0]
