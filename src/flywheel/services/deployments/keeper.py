"""Keeps one deployment alive: launches its engine, waits until it answers, starts it again when it dies.

One thread per deployment. What is wanted is in the deployment's document, so the next life of the program
goes on from it; what is ready is in `Backends`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from flywheel.errors import FlywheelError
from flywheel.log import get_logger
from flywheel.nemo.deployment import DeploymentState
from flywheel.runtime import LaunchConflict, NotEnoughGpus, Runtime, Status
from flywheel.services.deployments.backends import Backend, Backends
from flywheel.services.deployments.engines import Engine, ServedModel, Wanted
from flywheel.stores.entities import Document, Entities, EntityNotFound

log = get_logger(__name__)

DEPLOYMENTS = "model deployments"


class EngineEnded(FlywheelError):
    """An engine is gone, or never answered."""

    code = "engine_ended"

    def __init__(self, reason: str, output: str) -> None:
        self.reason, self.output = reason, output
        super().__init__(reason + (f"; its last output:\n{output}" if output else ""))


@dataclass(frozen=True)
class Patience:
    """How long things may take, in seconds; a test has less of it."""

    startup: float = 1800
    """From launch to the first answer: a large model loads for minutes."""
    look: float = 0.25
    """Between two looks at an engine."""
    restart_pauses: tuple[float, ...] = (1, 5, 15)
    """Before each restart; when they are used up, the deployment has failed."""
    steady: float = 600
    """After so long without a crash, the pauses start anew."""


@dataclass(frozen=True)
class Tools:
    """What keepers share."""

    folder: Path
    entities: Entities
    runtime: Runtime
    backends: Backends
    engines: Mapping[str, Engine]
    models: Mapping[str, ServedModel]
    resolve: Callable[[str], Path]
    gpus: int
    entity_store_url: str | None
    patience: Patience
    ready: Callable[[], None]
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=5))


class Keeper:
    """The thread of the deployment `deployment_id`. `release` takes it down, `abandon` leaves it running."""

    def __init__(self, tools: Tools, deployment_id: str) -> None:
        self._tools, self._id = tools, deployment_id
        self._over = threading.Event()
        self._take_down = False
        self._thread = threading.Thread(target=self._keep, name=f"keep-{deployment_id}", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Stop answering now, and end the engine soon."""
        self._take_down = True
        self._over.set()
        self._tools.backends.remove(self._id)

    def abandon(self) -> None:
        """Stop keeping; the engine is the runtime's to end."""
        self._over.set()

    @property
    def busy(self) -> bool:
        """Whether its engine may still be running."""
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _keep(self) -> None:
        try:
            wanted, engine = self._prepare()
            self._lives(wanted, engine)
        except EntityNotFound:
            log.debug("deleted while it started", extra={"deployment": self._id})
        except (FlywheelError, OSError) as error:
            log.warning("a deployment failed", extra={"deployment": self._id, "error": str(error)})
            self._settle("failed", str(error))
        except Exception as error:
            log.exception("a deployment failed unforeseen", extra={"deployment": self._id})
            self._settle("failed", f"unforeseen {type(error).__name__}: {error}")
        finally:
            self._tools.backends.remove(self._id)
            if self._take_down:
                self._tools.runtime.stop(self._id)

    def _prepare(self) -> tuple[Wanted, Engine]:
        """What to launch, from the deployment's document and the settings' models."""
        tools, document = self._tools, self._tools.entities.get_by_id(DEPLOYMENTS, self._id)
        config, nim = document["_config"], document["_config"].get("nim_deployment") or {}
        name = config["model"]
        model = tools.models.get(name) or ServedModel(name)
        engine = tools.engines[model.engine]
        self._settle("pending", f"getting the files of {name}")
        folder = tools.resolve(model.path or name) if engine.needs_files else Path()
        image = f"{nim['image_name']}:{nim.get('image_tag') or 'latest'}" if nim.get("image_name") else None
        # Of the caller's choice only inside a container: out here they could make a program run other code.
        env = dict(nim.get("additional_envs") or {}) if engine.contained else {}
        if token := document.get("_hf_token"):
            env["HF_TOKEN"] = token
        wanted = Wanted(
            launch_name=self._id,
            model=name,
            folder=folder,
            port=document.get("_port") or 0,
            workdir=tools.folder / self._id,
            gpus=min(nim.get("gpu") or model.gpus, tools.gpus),
            context_length=model.context_length,
            image=image,
            env=env,
            lora=not nim.get("disable_lora_support"),
            entity_store_url=tools.entity_store_url,
        )
        return wanted, engine

    def _lives(self, wanted: Wanted, engine: Engine) -> None:
        """One engine after the other, until it is over or there were too many crashes."""
        patience, crashes = self._tools.patience, 0
        while not self._over.is_set():
            started = time.monotonic()
            try:
                self._live(wanted, engine)
            except EngineEnded as error:
                if time.monotonic() - started > patience.steady:
                    crashes = 0
                if crashes == len(patience.restart_pauses):
                    raise
                log.warning("an engine ended", extra={"deployment": self._id, "reason": error.reason})
                self._settle("pending", f"starting again after: {error}")
                self._over.wait(patience.restart_pauses[crashes])
                crashes += 1

    def _live(self, wanted: Wanted, engine: Engine) -> None:
        """One life of the engine. Returns when it is over; raises EngineEnded when the engine goes first."""
        tools = self._tools
        url = self._launch(wanted, engine)
        if url is None or not self._answers(url + engine.health):
            return
        backend = Backend(
            deployment_id=self._id,
            url=url,
            model=wanted.model,
            loads_adapters=engine.loads_adapters,
            max_model_len=wanted.context_length,
        )
        tools.backends.add(backend)
        self._settle("ready", f"{wanted.model} answers", url=url + "/v1")
        log.info("deployment ready", extra={"deployment": self._id, "model": wanted.model, "url": url})
        tools.ready()
        while not self._over.is_set():
            if (status := tools.runtime.wait(self._id, tools.patience.look)).ended:
                tools.backends.remove(self._id)
                raise self._ended(status)

    def _launch(self, wanted: Wanted, engine: Engine) -> str | None:
        """Start the engine, on the port it has if it runs already; its address. None when it is over."""
        runtime = self._tools.runtime
        while not self._over.is_set():
            if wanted.port == 0 or runtime.status(self._id).state != "running":
                wanted = replace(wanted, port=free_port())
            spec = engine.build(wanted)
            try:
                runtime.launch(spec)
            except LaunchConflict:
                runtime.stop(self._id)
                continue
            except NotEnoughGpus as error:
                if not error.ever:
                    raise
                self._settle("pending", f"NotEnoughResources: {error}")
                self._over.wait(1.0)
                continue
            url = f"http://127.0.0.1:{wanted.port}"
            self._settle("running", f"{wanted.model} is loading", _port=wanted.port)
            return url
        return None

    def _answers(self, url: str) -> bool:
        """Wait for the engine's first answer; false when it is over before."""
        tools, patience = self._tools, self._tools.patience
        end = time.monotonic() + patience.startup
        while not self._over.is_set():
            try:
                if tools.http.get(url).is_success:
                    return True
            except httpx.TransportError as error:
                log.debug("not answering yet", extra={"url": url, "error": str(error)})
            if (status := tools.runtime.wait(self._id, patience.look)).ended:
                raise self._ended(status)
            if time.monotonic() > end:
                output = tools.runtime.logs(self._id, tail=20)
                tools.runtime.stop(self._id)
                raise EngineEnded(f"no answer from {url} in {patience.startup:g} s", output)
        return False

    def _ended(self, status: Status) -> EngineEnded:
        reason = status.cause or ("it ended by itself" if status.state == "succeeded" else status.state)
        return EngineEnded(f"the engine ended: {reason}", self._tools.runtime.logs(self._id, tail=20))

    def _settle(self, status: DeploymentState, description: str, **fields: object) -> None:
        """Record where the deployment stands; one that was deleted meanwhile stays deleted."""
        details = {"status_details": {"status": status, "description": description}}

        def change(document: Document) -> Document:
            return {**document, **details, "deployed": status == "ready", **fields}

        with suppress(EntityNotFound):
            self._tools.entities.update(DEPLOYMENTS, self._id, change)


def free_port() -> int:
    """A port of the loopback address that nobody uses now. Somebody may take it before the engine does: then
    the engine ends, and the next try gets another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
