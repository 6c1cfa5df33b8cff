"""`client.health` and `client.config`: how the server is, and what it is set to."""

from __future__ import annotations

from typing import Any

from flywheel.client.documents import Config, Health, Readiness
from flywheel.client.routes import Resource, Route, S, call
from flywheel.client.steps import Steps


class HealthChecks(Resource[S]):
    """Whether the server, and everything behind it, works."""

    @call("GET", "/api/health")
    def get(self, to: Route, /, *, thorough: bool = False) -> Steps[Health]:
        """Every part and whether it answers; `thorough` adds what `flywheel doctor` finds on the server."""
        query = {"thorough": "true"} if thorough else {}
        return to.ask(Health.read, query=query, timeout_s=_THOROUGH_S if thorough else None)

    @call("GET", "/health/ready")
    def ready(self, to: Route, /) -> Steps[Readiness]:
        """Whether what the server cannot do without answers; what does not is in `not_ready`."""
        return to.ask(Readiness.read, also=(503,))

    @call("GET", "/health/live")
    def live(self, to: Route, /) -> Steps[dict[str, Any]]:
        """The process answers; its version."""
        return to.ask(dict)

    @call("GET", "/metrics")
    def metrics(self, to: Route, /) -> Steps[str]:
        """What Prometheus reads: every metric of this process, as text."""
        return to.text()


_THOROUGH_S = 120.0
"""Seconds that a thorough look may take: it asks every server and every judge."""


class Configuration(Resource[S]):
    """What the server is set to, as far as it concerns those who start runs."""

    @call("GET", "/api/config")
    def get(self, to: Route, /) -> Steps[Config]:
        """The candidates, and the defaults that a run's overrides change."""
        return to.ask(Config.read)
