"""The whole program, put together: the only place that constructs services, from what `opening` opens.

`create_app` makes three FastAPI applications for three addresses: the API, the NeMo services, and the model
proxy, which cannot share one because two of them own `GET /v1/models`. What is left to `start` is what works
by itself: resuming jobs, syncing adapters, waking runs. It is called when all three addresses answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI

from flywheel import __version__
from flywheel.checkup import backends, machine
from flywheel.config import (
    CeleryWakeups,
    ElasticsearchRecords,
    EmbeddedRecords,
    EmbeddedRuns,
    EmbeddedWakeups,
    KubernetesRuntimeConfig,
    MongoRuns,
    NimConfig,
    ProcessRuntimeConfig,
    Settings,
)
from flywheel.dashboard import router as dashboard_router
from flywheel.hub import Hub
from flywheel.log import get_logger
from flywheel.nemo.calls import ServiceUrls
from flywheel.nemo.datastore import hub_endpoint
from flywheel.nemo.entity_store import EntityStoreClient
from flywheel.opening import (
    Addresses,
    open_broker,
    open_celery,
    open_context,
    open_records,
    open_runtime,
    urls_of,
)
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.loop import Loop
from flywheel.orchestrator.routers import routers as orchestrator_routers
from flywheel.orchestrator.watching import Watch
from flywheel.runtime import Runtime
from flywheel.services.customizer.catalog import Target
from flywheel.services.customizer.router import router as customizer_router
from flywheel.services.customizer.service import CustomizerService
from flywheel.services.datastore.router import router as datastore_router
from flywheel.services.datastore.service import DatastoreService
from flywheel.services.deployments import DeploymentService, ServedModel, proxy_router
from flywheel.services.deployments import router as deployments_router
from flywheel.services.evaluator.router import router as evaluator_router
from flywheel.services.evaluator.service import EvaluatorService
from flywheel.stores.logs import LogStore
from flywheel.telemetry.health import Check, Finding, Readiness
from flywheel.telemetry.metrics import Reading
from flywheel.vitals import (
    advice,
    folder_check,
    record_states,
    run_states,
    service_check,
)
from flywheel.vitals import router as vitals_router
from flywheel.web import make_app

ROLES = ("orchestrator", "datastore", "customizer", "evaluator", "deployments")
"""What a process can be; `deployments` includes the model proxy, `datastore` the entity store."""

_THOROUGH_S = 20.0
"""Seconds for a thorough look; the slowest check, a hub that is away, gives up before."""
_THOROUGH_KEPT_S = 15.0
"""A page that is opened again and again asks the judge, which costs money, no more often."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Health:
    """Whether a part works, where it is, and what there is to say about it."""

    name: str
    ok: bool
    address: str | None
    detail: str


@dataclass
class Part:
    """A running piece: how it starts, how it stops, and where it answers."""

    name: str
    address: str
    detail: str = ""
    start: Callable[[], object] = lambda: None
    stop: Callable[[], object] = lambda: None
    check: Check | None = None
    """Whether what it needs answers; None: it needs nothing that could be away."""


@dataclass
class Flywheel:
    """The applications for the three addresses, and the parts behind them in the order of their start."""

    api: FastAPI
    nemo: FastAPI
    models: FastAPI
    addresses: Addresses
    records: LogStore | None
    """Those of the orchestrator; None in a process without it, which needs none."""
    parts: Sequence[Part]
    thorough: Readiness
    """All that a doctor would look at; asked for seldom, and kept for a moment."""
    readiness: Readiness = field(init=False)
    started: bool = False

    def __post_init__(self) -> None:
        self.readiness = Readiness({part.name: part.check for part in self.parts if part.check})

    def start(self) -> None:
        """Begin the background work, part by part; what an earlier life left unfinished goes on."""
        for part in self.parts:
            part.start()
        self.started = True

    def stop(self) -> None:
        """End the background work in reverse order; every part is stopped, whatever another one does."""
        self.started = False
        with ExitStack() as stack:
            for part in self.parts:
                stack.callback(part.stop)
            stack.callback(self.readiness.close)
            stack.callback(self.thorough.close)

    def findings(self) -> list[Finding]:
        """What this process needs, and whether it answers."""
        if not self.started:
            return [Finding("start", False, "the process is starting or stopping", "wait a moment")]
        return self.readiness.findings()

    def health(self) -> list[Health]:
        """Ask every address whether it answers."""
        answers = {part.address: _answers(part.address) for part in self.parts if part.address}
        return [
            Health(part.name, answers.get(part.address, True), part.address or None, part.detail)
            for part in self.parts
        ]


def create_app(
    settings: Settings, roles: frozenset[str], *, data_dir: Path, addresses: Addresses
) -> Flywheel:
    """Everything that `roles` need, with what it keeps under `data_dir`; nothing works until `start`."""
    urls = urls_of(settings.nmp_config, addresses)
    data_dir = data_dir.resolve()  # Child processes have other working folders.
    models = data_dir / "models"
    hub = Hub(hub_endpoint(urls.datastore))
    records: LogStore | None = None
    checks: dict[str, Check] = {}
    parts: list[Part] = [
        Part("data folder", "", str(data_dir), check=folder_check(data_dir)),
        *_services_elsewhere(urls, addresses, roles),
    ]
    states: list[Callable[[], Iterable[Reading]]] = []
    nemo_routers: list[APIRouter] = []
    proxy_routers: list[APIRouter] = []
    api_routers: list[APIRouter] = []

    if "datastore" in roles:
        store = DatastoreService(data_dir / "datastore")
        nemo_routers.append(datastore_router(store))
        parts.append(Part("datastore", addresses.nemo, "entity store and hub", store.start, store.stop))

    runtimes: dict[str, Runtime] = {}
    for owners in _owners(settings.runtime, roles & {"customizer", "deployments"}):
        runtime = open_runtime(settings, data_dir, owner=owners[0])
        runtimes |= dict.fromkeys(owners, runtime)
        detail = _runtime_detail(runtime)
        parts.append(Part("runtime", "", detail, runtime.reap, runtime.close, runtime.check))
    if "customizer" in roles:
        customizer = CustomizerService(
            data_dir / "customizer",
            runtime=runtimes["customizer"],
            store=EntityStoreClient(urls.entities),
            hub=hub,
            targets=[_target(nim) for nim in settings.nims if nim.customization_enabled],
            max_trainings=settings.runtime.max_trainings,
            model_cache=models,
        )
        nemo_routers.append(customizer_router(customizer))
        parts.append(Part("customizer", addresses.nemo, "LoRA", customizer.start, customizer.stop))
    if "deployments" in roles:
        deployments = DeploymentService(
            data_dir / "deployments",
            runtime=runtimes["deployments"],
            store=EntityStoreClient(urls.entities),
            hub=hub,
            models=[*_served_besides(settings), *(_served(nim) for nim in settings.nims)],
            entity_store_url=urls.entities,
            model_cache=models,
        )
        nemo_routers.append(deployments_router(deployments))
        proxy_routers.append(proxy_router(deployments))
        parts.append(Part("deployments", addresses.nemo, "", deployments.start, deployments.stop))
        parts.append(Part("model proxy", addresses.models, "OpenAI API"))
    if "evaluator" in roles:
        evaluator = EvaluatorService(
            data_dir / "evaluator",
            datastore_url=urls.datastore,
            nim_url=urls.models,
            max_infrastructure_failures=settings.evaluation_config.max_failed_share,
        )
        nemo_routers.append(evaluator_router(evaluator))
        parts.append(Part("evaluator", addresses.nemo, _judge(settings), evaluator.start, evaluator.stop))

    if "orchestrator" in roles:
        records = open_records(settings, data_dir)
        place = _place(settings.records, data_dir)
        parts.append(Part("records", "", place, stop=records.close, check=records.check))
        context = open_context(settings, records, data_dir=data_dir, urls=urls)
        wake, start, stop = _waking(settings, context)
        watch = Watch(context.runs)
        api_routers += [*orchestrator_routers(context, wake, watch), dashboard_router()]
        place = _place(settings.runs, data_dir)
        close = _in_turn(context.schedules.close, context.runs.close)
        parts.append(Part("runs", "", place, stop=close, check=context.runs.check))
        if isinstance(settings.wakeups, CeleryWakeups):
            broker = open_broker(settings.wakeups)  # Without it runs are stored, and woken later.
            check = advice("wake-ups", broker.check)
            place = f"Celery, {settings.wakeups.broker_url}"
            parts.append(Part("wake-ups", "", place, stop=broker.close, check=check))
        states += [run_states(context.runs), record_states(records)]
        candidates = f"candidates: {', '.join(nim.model_name for nim in settings.nims) or 'none'}"
        stop = _in_turn(watch.close, stop, context.services.close)
        parts.append(Part("orchestrator", addresses.api, candidates, start, stop))
        checks = backends(
            settings,
            data_dir,
            records=lambda: context.logs.check(thorough=True),
            runs=lambda: context.runs.check(thorough=True),
        )

    flywheel = Flywheel(
        api=make_app("Flywheel", "problem", api_routers),
        nemo=make_app("NeMo microservices", "nemo", nemo_routers),
        models=make_app("Model proxy", "openai", proxy_routers),
        addresses=addresses,
        records=records,
        parts=parts,
        thorough=Readiness(
            machine(data_dir) | checks, timeout_s=_THOROUGH_S, keep_s=_THOROUGH_KEPT_S, tell=False
        ),
    )
    vitals = vitals_router(flywheel.findings, states)
    for app in (flywheel.api, flywheel.nemo, flywheel.models):
        app.include_router(vitals)
    flywheel.api.include_router(_api_health(flywheel))
    return flywheel


def _waking(
    settings: Settings, context: Context
) -> tuple[Callable[[str], object], Callable[[], object], Callable[[], object]]:
    """How a run is woken, and how that starts and stops: threads here, or messages to workers."""
    match settings.wakeups:
        case EmbeddedWakeups() as config:
            loop = Loop(context, workers=config.workers)
            return loop.wake, loop.start, loop.stop
        case CeleryWakeups() as config:
            waker = open_celery(config)
            return waker.wake, _in_turn(), waker.close


def _owners(
    config: ProcessRuntimeConfig | KubernetesRuntimeConfig, services: frozenset[str]
) -> list[tuple[str, ...]]:
    """Services that share a runtime: all of a process do, because they share its GPUs; in a cluster each
    finds its own by label."""
    if isinstance(config, KubernetesRuntimeConfig):
        return [(service,) for service in sorted(services)]
    return [tuple(sorted(services))] if services else []


def _runtime_detail(runtime: Runtime) -> str:
    site = runtime.site
    gpus = "as many GPUs as there are" if site.gpus is None else f"{site.gpus} GPUs"
    return f"{'pods' if site.containers else 'processes'}, {gpus}"


_NEEDS = {
    "orchestrator": ("entities", "datastore", "customizer", "evaluator", "deployments", "models"),
    "customizer": ("entities", "datastore"),
    "deployments": ("entities", "datastore"),
    "evaluator": ("datastore", "models"),
}
"""The services that a role calls, by their names in ServiceUrls."""


def _services_elsewhere(urls: ServiceUrls, addresses: Addresses, roles: frozenset[str]) -> list[Part]:
    """What `roles` call in other processes: looked at, but no reason to turn callers away, since runs wait
    for a service that is away."""
    called = {getattr(urls, name): name for role in roles for name in _NEEDS.get(role, ())}
    own = {addresses.nemo, addresses.models}
    return [
        Part(where, "", url, check=advice(where, service_check(where, url)))
        for url, where in ((url, f"{name} elsewhere") for url, name in called.items())
        if url not in own
    ]


def _place(config: EmbeddedRecords | ElasticsearchRecords | EmbeddedRuns | MongoRuns, data_dir: Path) -> str:
    return f"SQLite, {data_dir}" if config.type == "embedded" else f"{config.type}, {config.url}"


def _target(nim: NimConfig) -> Target:
    configs = nim.customizer_configs
    return Target(
        name=nim.target,
        base_model=nim.model_name,
        model_path=nim.model_path or nim.model_name,
        max_seq_length=configs.max_seq_length,
        gpus=configs.gpus,
    )


def _served(nim: NimConfig) -> ServedModel:
    return ServedModel(
        name=nim.model_name,
        path=nim.model_path,
        engine=nim.engine,
        gpus=nim.gpus or 0,
        context_length=nim.context_length,
        image=nim.engine_image,
        embeds=nim.model_type == "embedding",
    )


def _served_besides(settings: Settings) -> Iterable[ServedModel]:
    """Judge and embedding model, where runs deploy them."""
    judge, embedding = settings.llm_judge_config, settings.icl_config.similarity_config.embedding_nim_config
    for config in (judge, embedding):
        if config is not None and config.deployed:
            embeds = config is embedding
            yield ServedModel(
                name=config.model_name or "",
                path=config.model_path,
                engine=config.engine,
                gpus=config.gpus or 0,
                context_length=None if embeds else config.context_length,
                embeds=embeds,
            )


def _judge(settings: Settings) -> str:
    judge = settings.llm_judge_config
    if judge is None or not judge.asked:
        return "text-matcher (no judge model configured)"
    return f"judge {judge.model_name}"


def _in_turn(*steps: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for step in steps:
            step()

    return run


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/live", timeout=5).is_success
    except httpx.HTTPError:
        return False


def _api_health(flywheel: Flywheel) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/api/health")
    def health(thorough: bool = False) -> dict[str, Any]:
        """Every part, whether it answers, and where; `thorough` adds what `flywheel doctor` would find."""
        shown = {"version": __version__, "parts": [vars(part) for part in flywheel.health()]}
        if not thorough:
            return shown
        return shown | {"findings": [asdict(finding) for finding in flywheel.thorough.findings()]}

    return router
