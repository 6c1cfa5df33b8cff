"""Spans: what a process did for whom, and for how long, joined over processes by the `traceparent` header.

Off unless the configuration names a collector; then `otel` does the work. What is off costs a
function call. A span holds names, ids and statuses; never a body, a header or a secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

import httpx

from flywheel.config import TelemetryConfig
from flywheel.errors import ConfigError

Kind = Literal["internal", "server", "client"]
Attributes = Mapping[str, str | int | float | bool]


class Span(Protocol):
    """What is being done."""

    def note(self, **attributes: str | float | bool) -> None:
        """Add attributes; in their names `__` stands for a dot."""

    def rename(self, name: str) -> None: ...

    def fail(self, reason: str) -> None:
        """It did not come to what was wanted."""


class Tracer(Protocol):
    """What records spans."""

    def span(
        self, name: str, kind: Kind, attributes: Attributes, parent: str | None
    ) -> AbstractContextManager[Span]: ...

    def traceparent(self) -> str | None: ...

    def close(self) -> None: ...


class _Nothing:
    """The span of a tracer that is off."""

    def note(self, **attributes: str | float | bool) -> None: ...

    def rename(self, name: str) -> None: ...

    def fail(self, reason: str) -> None: ...


class _Off:
    @contextmanager
    def span(self, name: str, kind: Kind, attributes: Attributes, parent: str | None) -> Iterator[Span]:
        yield _NOTHING

    def traceparent(self) -> str | None:
        return None

    def close(self) -> None: ...


_NOTHING = _Nothing()


class _Switch:
    """The tracer of this process."""

    tracer: Tracer = _Off()


def start(config: TelemetryConfig, role: str) -> None:
    """Send this process's spans where `config` says; nothing where it says nothing.

    Raises ConfigError where the packages for it are not installed.
    """
    stop()
    if config.otlp_endpoint is None:
        return
    try:
        from flywheel.telemetry.otel import OtlpTracer  # noqa: PLC0415 - an optional package
    except ImportError as error:
        raise ConfigError(
            "telemetry.otlp_endpoint: needs OpenTelemetry's packages: pip install 'flywheel[telemetry]'"
        ) from error
    _Switch.tracer = OtlpTracer(config, role)


def stop() -> None:
    """Send what is left, for a moment, and record nothing any more."""
    tracer, _Switch.tracer = _Switch.tracer, _Off()
    tracer.close()


def span(
    name: str, attributes: Attributes | None = None, *, kind: Kind = "internal", parent: str | None = None
) -> AbstractContextManager[Span]:
    """What the body does. It belongs to `parent`, a traceparent, else to the span around it.

    An error that leaves the body marks the span as failed, with the error's class.
    """
    return _Switch.tracer.span(name, kind, attributes or {}, parent)


def traceparent() -> str | None:
    """The current span, for whoever goes on with it elsewhere or later; None where nothing is recorded."""
    return _Switch.tracer.traceparent()


def headers() -> dict[str, str]:
    """What a call out carries, so that the called one's spans join ours."""
    parent = traceparent()
    return {"traceparent": parent} if parent else {}


def carry(request: httpx.Request) -> None:
    """An event hook of httpx clients whose calls are no spans of their own."""
    request.headers.update(headers())
