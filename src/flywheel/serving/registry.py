"""The names that can be asked for: the base model, and adapters that come and go while the server runs.

A name means the same weights for the life of the server, also after it was unloaded: evaluations are filed
under names.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from flywheel.log import get_logger
from flywheel.serving.engine import Engine
from flywheel.serving.errors import AdapterConflict, AdapterInvalid, ModelNotServed
from flywheel.serving.lora import BASE, Adapters, read_adapter

log = get_logger(__name__)


@dataclass(frozen=True)
class Served:
    """A name on the wire. `number` is the engine's."""

    name: str
    number: int
    root: str
    parent: str | None
    created: int


class Registry:
    """Thread-safe."""

    def __init__(self, base: str, adapters: Adapters, engine: Engine) -> None:
        self._adapters, self._engine = adapters, engine
        self._served = {base: Served(base, BASE, base, None, int(time.time()))}
        self._base = base
        self._known: dict[str, str] = {}
        self._next = 0
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        return list(self._served)

    def all(self) -> list[Served]:
        return list(self._served.values())

    def find(self, name: str) -> Served:
        """Raises ModelNotServed."""
        served = self._served.get(name)
        if served is None:
            raise ModelNotServed(name, self.names())
        return served

    def load(self, name: str, folder: Path, sha256: str | None = None) -> Served:
        """Serve the adapter in `folder` as `name`; the same again changes nothing.

        Raises AdapterInvalid (not an adapter, not for this base, not the expected hash), AdapterConflict.
        """
        if name == self._base:
            raise AdapterInvalid(name, "that is the base model's name")
        weights = read_adapter(name, folder)
        if sha256 is not None and weights.sha256 != sha256:
            raise AdapterInvalid(name, f"its content is sha256:{weights.sha256}, not the expected {sha256}")
        with self._lock:
            if self._known.get(name, weights.sha256) != weights.sha256:
                raise AdapterConflict(name, self._known[name], weights.sha256)
            if name in self._served:
                return self._served[name]
            self._adapters.check(name, weights)
            number, self._next = self._next, self._next + 1
            self._engine.between_steps(lambda: self._adapters.attach(number, weights)).result()
            self._known[name] = weights.sha256
            self._served[name] = Served(name, number, str(folder), self._base, int(time.time()))
        log.info("adapter loaded", extra={"adapter": name, "sha256": weights.sha256[:12]})
        return self._served[name]

    def unload(self, name: str) -> None:
        """Requests that are on their way still end. Raises ModelNotServed."""
        with self._lock:
            served = self.find(name)
            if served.parent is None:
                raise AdapterInvalid(name, "the base model cannot be unloaded")
            del self._served[name]
            self._engine.between_steps(lambda: self._engine.detach(served.number))
        log.info("adapter unloaded", extra={"adapter": name})
