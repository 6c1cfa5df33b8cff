"""Brings adapters to the engines: what the entity store calls uploaded is downloaded and loaded.

It looks every second, when it is woken, and when somebody asks the proxy for an adapter that is not there
yet. An adapter is listed only after its engine has loaded it. One that does not load is tried again, ever
more seldom, and its reason is shown with the deployment.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from flywheel.errors import FlywheelError, UpstreamError
from flywheel.hub import Hub, parse_hf_url
from flywheel.log import get_logger
from flywheel.nemo.entity_store import EntityStoreClient, Model
from flywheel.services.deployments.backends import Backend, Backends
from flywheel.telemetry import tracing

log = get_logger(__name__)

_LONGEST_PAUSE_S: Final = 60.0
_WEIGHTS: Final = "adapter_model.safetensors"


class AdapterBroken(FlywheelError):
    code = "adapter_broken"

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"adapter {name}: {problem}")


class EngineRefused(UpstreamError):
    code = "engine_refused"

    def __init__(self, url: str, answer: str) -> None:
        super().__init__(f"POST {url}: {answer}")


@dataclass(frozen=True)
class Failure:
    """An adapter that one engine does not have, and when it is tried again (monotonic seconds)."""

    reason: str
    tries: int
    again_at: float


class AdapterSync:
    """The thread that keeps `backends` in step with the entity store. `folder` is its own cache of files."""

    def __init__(
        self,
        folder: Path,
        backends: Backends,
        store: EntityStoreClient,
        hub: Hub,
        *,
        interval_s: float = 1.0,
        load_timeout_s: float = 120.0,
    ) -> None:
        self._folder, self._backends, self._store, self._hub = folder, backends, store, hub
        self._interval_s = interval_s
        self._http = httpx.Client(timeout=load_timeout_s, event_hooks={"request": [tracing.carry]})
        self._failures: dict[tuple[str, str], Failure] = {}
        self._unreachable: str | None = None
        self._began = 0.0
        self._at_work = threading.Lock()
        self._wake, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name="adapters", daemon=True)

    def start(self) -> None:
        """Begin with an empty cache: what is still wanted is near, what is not would stay for ever."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._wake.set()
        self._thread.join(timeout=5)
        self._http.close()

    def wake(self) -> None:
        """Look now rather than in a second."""
        self._wake.set()

    def look(self, *, patience_s: float = -1) -> None:
        """One round: load what is uploaded, unload what is gone. Trouble is recorded, not raised.

        Those who ask while a round goes on share the next one; who has waited for `patience_s` goes without.
        """
        asked = time.monotonic()
        if not self._at_work.acquire(timeout=patience_s):
            return
        try:
            if self._began > asked:
                return
            self._began = time.monotonic()
            self._round()
        finally:
            self._at_work.release()

    def failures(self, deployment_id: str) -> Mapping[str, str]:
        """Adapters that the deployment's engine should have and has not, with the reason."""
        return {name: f.reason for (where, name), f in list(self._failures.items()) if where == deployment_id}

    def failure(self, name: str) -> str | None:
        """Why no engine has the adapter `name`, if it was tried."""
        return next((f.reason for (_, known), f in list(self._failures.items()) if known == name), None)

    def forget(self, deployment_id: str) -> None:
        for key in [key for key in list(self._failures) if key[0] == deployment_id]:
            self._failures.pop(key, None)

    def _loop(self) -> None:
        while not self._over.is_set():
            try:
                self.look()
            except Exception:  # The next look may find what this one stumbled over mended.
                log.exception("looking for adapters failed unforeseen")
            self._wake.wait(self._interval_s)
            self._wake.clear()

    def _round(self) -> None:
        for backend in self._backends.all():
            try:
                self._update(backend)
            except UpstreamError as error:
                if self._unreachable != str(error):
                    log.warning("adapters cannot be looked up", extra={"error": str(error)})
                self._unreachable = str(error)
            else:
                self._unreachable = None

    def _update(self, backend: Backend) -> None:
        if not backend.loads_adapters:
            self._read_names(backend)
            return
        wanted = {f"{m.namespace}/{m.name}": m for m in self._uploaded(backend.model)}
        for name in [name for name in backend.adapters if name not in wanted]:
            self._unload(backend, name)
        for name, model in wanted.items():
            failure = self._failures.get((backend.deployment_id, name))
            due = failure is None or time.monotonic() >= failure.again_at
            if name not in backend.adapters and due:
                self._try(backend, name, model, failure)

    def _uploaded(self, base_model: str) -> list[Model]:
        """The adapters of `base_model` that are complete in the data store."""
        query = {"filter[base_model]": base_model, "filter[artifact][status]": "upload_completed"}
        return [
            model
            for model in self._store.models(query)
            if model.artifact is not None
            and model.artifact.status == "upload_completed"
            and model.peft is not None
            and _base(model) == base_model
        ]

    def _try(self, backend: Backend, name: str, model: Model, failure: Failure | None) -> None:
        key = (backend.deployment_id, name)
        try:
            folder, digest = self._files(name, model)
            body = {"lora_name": name, "lora_path": str(folder), "sha256": digest}
            self._post(backend.url + "/v1/load_lora_adapter", body)
        except FlywheelError as error:
            tries = failure.tries + 1 if failure else 1
            pause = min(_LONGEST_PAUSE_S, 2.0 ** (tries - 1))
            self._failures[key] = Failure(str(error), tries, time.monotonic() + pause)
            log.warning("adapter not loaded", extra={"adapter": name, "error": str(error), "again_s": pause})
            return
        self._failures.pop(key, None)
        root = model.artifact.files_url if model.artifact else name
        self._backends.set_adapters(backend, {**backend.adapters, name: root})
        log.info("adapter loaded", extra={"adapter": name, "deployment": backend.deployment_id})

    def _files(self, name: str, model: Model) -> tuple[Path, str]:
        """The adapter's folder, downloaded once, and the hash of its weights, checked each time."""
        assert model.artifact is not None  # noqa: S101 - `_uploaded` has looked
        _, repo, _, revision = parse_hf_url(model.artifact.files_url)
        folder = self._cached(model.artifact.files_url)
        if not (folder / _WEIGHTS).is_file():
            self._hub.download(repo, folder, repo_type="model", revision=revision or "main")
        if not (folder / _WEIGHTS).is_file():
            raise AdapterBroken(name, f"{model.artifact.files_url} has no {_WEIGHTS}")
        with (folder / _WEIGHTS).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        for said in (_recorded_hash(folder), model.custom_fields.get("sha256")):
            if said not in (None, digest):
                (folder / _WEIGHTS).unlink()  # The next try downloads it anew.
                raise AdapterBroken(name, f"its weights have sha256 {digest}, but {said} was recorded")
        return folder, digest

    def _cached(self, files_url: str) -> Path:
        return self._folder / hashlib.sha256(files_url.encode()).hexdigest()[:32]

    def _unload(self, backend: Backend, name: str) -> None:
        files_url = backend.adapters[name]
        self._backends.set_adapters(backend, {k: v for k, v in backend.adapters.items() if k != name})
        self._post(backend.url + "/v1/unload_lora_adapter", {"lora_name": name}, fine=frozenset({404}))
        shutil.rmtree(self._cached(files_url), ignore_errors=True)
        log.info("adapter unloaded", extra={"adapter": name, "deployment": backend.deployment_id})

    def _read_names(self, backend: Backend) -> None:
        """For an engine that gets its adapters itself: believe its own list."""
        try:
            listed = self._http.get(backend.url + "/v1/models").json()["data"]
        except (httpx.TransportError, ValueError, KeyError) as error:
            raise EngineRefused(backend.url + "/v1/models", str(error)) from error
        names = {m["id"]: m.get("root") or m["id"] for m in listed if m["id"] != backend.model}
        self._backends.set_adapters(backend, names)

    def _post(self, url: str, body: Mapping[str, str], fine: frozenset[int] = frozenset()) -> None:
        try:
            response = self._http.post(url, json=dict(body))
        except httpx.TransportError as error:
            raise EngineRefused(url, f"{type(error).__name__}: {error}") from error
        if not response.is_success and response.status_code not in fine:
            raise EngineRefused(url, f"{response.status_code} {response.text[:500]}")


def _recorded_hash(folder: Path) -> str | None:
    """What `flywheel.json` says about the weights; adapters that others trained have none."""
    try:
        said = json.loads((folder / "flywheel.json").read_text())["sha256"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return str(said)


def _base(model: Model) -> str | None:
    base = model.base_model
    if isinstance(base, dict):
        namespace, name = base.get("namespace"), base.get("name")
        return f"{namespace}/{name}" if namespace else name
    return base
