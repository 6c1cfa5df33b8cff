"""Which models can be asked right now, and where: what the proxy knows. In memory; deployments fill it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from flywheel.telemetry import metrics


@dataclass
class Backend:
    """A running engine that answers for `model` and for its `adapters` (name → where the files are from)."""

    deployment_id: str
    url: str
    model: str
    loads_adapters: bool
    max_model_len: int | None = None
    sha256: str | None = None
    """Of the model's files; None where the engine fetches them itself."""
    adapters: dict[str, str] = field(default_factory=dict)
    since: int = field(default_factory=lambda: int(time.time()))
    in_flight: int = 0

    @property
    def names(self) -> list[str]:
        return [self.model, *self.adapters]


class Backends:
    """The engines that are ready; safe to use from any thread."""

    def __init__(self) -> None:
        self._backends: dict[str, Backend] = {}
        self._lock = threading.Lock()

    def add(self, backend: Backend) -> None:
        with self._lock:
            self._backends[backend.deployment_id] = backend
            metrics.DEPLOYMENTS_READY.set(len(self._backends))

    def remove(self, deployment_id: str) -> None:
        with self._lock:
            self._backends.pop(deployment_id, None)
            metrics.DEPLOYMENTS_READY.set(len(self._backends))

    def all(self) -> list[Backend]:
        with self._lock:
            return list(self._backends.values())

    def get(self, deployment_id: str) -> Backend | None:
        with self._lock:
            return self._backends.get(deployment_id)

    def acquire(self, model: str, besides: frozenset[str] = frozenset()) -> Backend | None:
        """The least busy engine that serves `model`, other than those of the deployments `besides`.

        It counts as busier until it is released.
        """
        with self._lock:
            able = [b for b in self._backends.values() if model in b.names and b.deployment_id not in besides]
            chosen = min(able, key=lambda backend: backend.in_flight, default=None)
            if chosen is not None:
                chosen.in_flight += 1
            return chosen

    def release(self, backend: Backend) -> None:
        with self._lock:
            backend.in_flight -= 1

    def set_adapters(self, backend: Backend, adapters: dict[str, str]) -> None:
        with self._lock:
            backend.adapters = adapters

    def listing(self) -> list[dict[str, Any]]:
        """OpenAI's list of models: base models, then their adapters with their `parent`; each name once."""
        found: dict[str, dict[str, Any]] = {}
        for backend in sorted(self.all(), key=lambda b: (b.model, b.since)):
            for name in backend.names:
                found.setdefault(name, _entry(backend, name))
        return list(found.values())


def _entry(backend: Backend, name: str) -> dict[str, Any]:
    base = name == backend.model
    return {
        "id": name,
        "object": "model",
        "created": backend.since,
        "owned_by": "system",
        "root": name if base else backend.adapters.get(name, name),
        "parent": None if base else backend.model,
        "max_model_len": backend.max_model_len,
        "permission": [],
        "sha256": backend.sha256 if base else None,
    }
