"""Keeps one deployment alive: launches its engine, waits until it answers, starts it again when it dies.

One thread per deployment. What is wanted is in the deployment's document, so the next life of the program
goes on from it; what is ready is in `Backends`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from flywheel.errors import FlywheelError, StorageFull, Unavailable
from flywheel.hidden import hide
from flywheel.log import get_logger
from flywheel.nemo.deployment import DeploymentState
from flywheel.runtime import LaunchConflict, NotEnoughGpus, Runtime, Status
from flywheel.services.deployments.backends import Backend, Backends
from flywheel.services.deployments.contents import Contents
from flywheel.services.deployments.engines import Engine, ServedModel, Wanted
from flywheel.stores.entities import Document, Entities, EntityNotFound
from flywheel.telemetry import tracing

log = get_logger(__name__)

DEPLOYMENTS = "model deployments"
_FIRST_ANSWER_S = 60
"""A large model compiles its kernels on the first question."""


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
    entity_store_url: str | None
    patience: Patience
    ready: Callable[[], None]
    contents: Contents = field(default_factory=Contents)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=5))


class Keeper:
    """The thread of the deployment `deployment_id`. `release` takes it down, `abandon` leaves it running."""

    def __init__(self, tools: Tools, deployment_id: str) -> None:
        self._tools, self._id = tools, deployment_id
        self._over = threading.Event()
        self._take_down = False
        self._trace: str | None = None
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
        except Exception as error:  # A thread that dies in silence leaves a deployment pending for ever.
            log.exception("a deployment failed unforeseen", extra={"deployment": self._id})
            self._settle("failed", f"unforeseen {type(error).__name__}: {error}")
        else:
            self._end_engine(always=False)
            return
        self._end_engine(always=True)

    def _end_engine(self, *, always: bool) -> None:
        """Answer no more; end the engine where it was released, or has failed for good."""
        self._tools.backends.remove(self._id)
        if always or self._take_down:
            try:
                self._tools.runtime.stop(self._id)
            except FlywheelError as error:
                log.warning("not ended yet", extra={"deployment": self._id, "error": str(error)})

    def _prepare(self) -> tuple[Wanted, Engine]:
        """What to launch, from the deployment's document and the settings' models."""
        tools, document = self._tools, self._tools.entities.get_by_id(DEPLOYMENTS, self._id)
        self._trace = document.get("_trace")
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
            hide(token)
            env["HF_TOKEN"] = token
        wanted = Wanted(
            launch_name=self._id,
            model=name,
            folder=folder,
            port=document.get("_port") or 0,
            workdir=tools.folder / self._id,
            site=tools.runtime.site,
            gpus=tools.runtime.site.granted(nim.get("gpu") or model.gpus),
            context_length=model.context_length,
            image=image if engine.contained else model.image,
            disk=nim.get("pvc_size") or None,
            env=env,
            lora=not (nim.get("disable_lora_support") or model.embeds),
            embeds=model.embeds,
            entity_store_url=tools.entity_store_url,
            run=(document.get("custom_fields") or {}).get("flywheel_run"),
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
        """One launch of the engine. Returns when it is over; raises EngineEnded when the engine goes first.

        A runtime may start it again by itself, elsewhere and without its adapters: it is waited for anew.
        """
        with self._span("launch", wanted):
            url = self._launch(wanted, engine)
        while url is not None:
            with self._span("load", wanted):
                # Hashed while the engine loads: both read the same files.
                folder = wanted.folder if engine.needs_files else None
                content = self._tools.contents.sha256(folder, self._over.is_set) if folder else None
                life = self._answers(url, engine, wanted)
            if life is None:
                return
            self._offer(wanted, engine, url, content)
            self._watch(life)

    def _span(self, what: str, wanted: Wanted) -> AbstractContextManager[tracing.Span]:
        about = {"flywheel.deployment": self._id, "flywheel.model": wanted.model}
        return tracing.span(f"deployment {what}", about, parent=self._trace)

    def _offer(self, wanted: Wanted, engine: Engine, url: str, content: str | None) -> None:
        tools = self._tools
        backend = Backend(
            deployment_id=self._id,
            url=url,
            model=wanted.model,
            loads_adapters=engine.loads_adapters,
            max_model_len=wanted.context_length,
            sha256=content,
        )
        tools.backends.add(backend)
        self._settle("ready", f"{wanted.model} answers", url=url + "/v1")
        log.info("deployment ready", extra={"deployment": self._id, "model": wanted.model, "url": url})
        tools.ready()

    def _watch(self, life: str) -> None:
        """Returns when it is over, or the engine is not any more the one that began to answer."""
        tools = self._tools
        while not self._over.is_set():
            status = tools.runtime.wait(self._id, tools.patience.look)
            if status.ended or status.state == "pending" or (status.life or "") != life:
                tools.backends.remove(self._id)
                if status.ended:
                    raise self._ended(status)
                log.warning("an engine is elsewhere now", extra={"deployment": self._id})
                return

    def _launch(self, wanted: Wanted, engine: Engine) -> str | None:
        """Start the engine, on the port it has if it runs already; its address. None when it is over."""
        runtime = self._tools.runtime
        while not self._over.is_set():
            if wanted.site.port is not None:
                wanted = replace(wanted, port=wanted.site.port)
            elif wanted.port == 0 or runtime.status(self._id).state != "running":
                wanted = replace(wanted, port=free_port())
            spec = engine.build(wanted)
            try:
                handle = runtime.launch(spec)
            except LaunchConflict:
                runtime.stop(self._id)
                continue
            except NotEnoughGpus as error:
                if not error.ever:
                    raise
                self._settle("pending", f"NotEnoughResources: {error}")
                self._over.wait(1.0)
                continue
            except StorageFull:
                raise
            except Unavailable as error:
                self._settle("pending", f"trying again: {error}")
                self._over.wait(1.0)
                continue
            self._settle("running", f"{wanted.model} is loading", _port=wanted.port)
            return handle.address
        return None

    def _answers(self, url: str, engine: Engine, wanted: Wanted) -> str | None:
        """Wait for the engine's first answer: which life of it gave it. None when it is over before.

        What it spends waiting for a machine does not count as its start."""
        tools, patience = self._tools, self._tools.patience
        end, told = time.monotonic() + patience.startup, "loading"
        while not self._over.is_set():
            if (status := tools.runtime.wait(self._id, patience.look)).ended:
                raise self._ended(status)
            if status.state == "pending":
                end = time.monotonic() + patience.startup
                cause = status.cause or "waiting to be started"
                if cause != told:
                    self._settle("pending", cause)
                told = cause
                continue
            if told != "loading":
                told = "loading"
                self._settle("running", f"{wanted.model} is loading")
            if self._works(url, engine, wanted):
                return status.life or ""
            if time.monotonic() > end:
                output = tools.runtime.logs(self._id, tail=20)
                tools.runtime.stop(self._id)
                raise EngineEnded(f"no answer from {url} in {patience.startup:g} s", output)
        return None

    def _works(self, url: str, engine: Engine, wanted: Wanted) -> bool:
        """Whether the engine says that it is ready, and answers a question: of a model that refuses to chat,
        or is known to embed, for a vector. One that refuses both as they are answers too."""
        try:
            if not self._tools.http.get(url + engine.health).is_success:
                return False
            if not wanted.embeds:
                messages = [{"role": "user", "content": "hi"}]
                status = self._asked(
                    url + "/v1/chat/completions",
                    {"model": wanted.model, "messages": messages, "max_tokens": 1},
                )
                if status < 400 or status >= 500:
                    return status < 400
            embedded = self._asked(url + "/v1/embeddings", {"model": wanted.model, "input": ["hi"]})
        except httpx.TransportError as error:
            log.debug("not answering yet", extra={"url": url, "error": str(error)})
            return False
        return embedded < (400 if wanted.embeds else 500)

    def _asked(self, url: str, body: Mapping[str, object]) -> int:
        return self._tools.http.post(url, json=dict(body), timeout=_FIRST_ANSWER_S).status_code

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
