"""The whole program, put together: the only place that constructs stores, runtimes, clients and services.

`create_app` makes three FastAPI applications for three addresses: the API, the NeMo services, and the model
proxy, which cannot share one because two of them own `GET /v1/models`. What is left to `start` is what works
by itself: resuming jobs, syncing adapters, waking runs. It is called when all three addresses answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from fastapi import APIRouter, FastAPI

from flywheel import __version__
from flywheel.config import (
    CeleryWakeups,
    ElasticsearchRecords,
    EmbeddedRecords,
    EmbeddedRuns,
    EmbeddedWakeups,
    KubernetesRuntimeConfig,
    MongoRuns,
    NimConfig,
    NmpConfig,
    ProcessRuntimeConfig,
    Settings,
)
from flywheel.errors import ConfigError
from flywheel.hub import Hub
from flywheel.log import get_logger
from flywheel.nemo.calls import ServiceUrls
from flywheel.nemo.entity_store import EntityStoreClient
from flywheel.orchestrator.context import Context, Limits
from flywheel.orchestrator.loop import Loop
from flywheel.orchestrator.router import router as jobs_router
from flywheel.orchestrator.services import Services
from flywheel.runtime import Runtime
from flywheel.runtime.gpus import usable_gpus
from flywheel.runtime.process import ProcessRuntime
from flywheel.services.customizer.catalog import Target
from flywheel.services.customizer.router import router as customizer_router
from flywheel.services.customizer.service import CustomizerService
from flywheel.services.datastore.router import router as datastore_router
from flywheel.services.datastore.service import DatastoreService
from flywheel.services.deployments import DeploymentService, ServedModel, proxy_router
from flywheel.services.deployments import router as deployments_router
from flywheel.services.evaluator.router import router as evaluator_router
from flywheel.services.evaluator.service import EvaluatorService
from flywheel.stores.logs import EmbeddedLogStore, LogStore
from flywheel.stores.logs.embedded import FILE_NAME as RECORDS_FILE
from flywheel.stores.runs import RunStore
from flywheel.stores.runs.embedded import EmbeddedRunStore
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

if TYPE_CHECKING:
    from flywheel.orchestrator.broker import Broker
    from flywheel.orchestrator.tasks import CeleryWaker

ROLES = ("orchestrator", "datastore", "customizer", "evaluator", "deployments")
"""What a process can be; `deployments` includes the model proxy, `datastore` the entity store."""

_QUEUE_S = 300.0
"""Workers wake a run that waits for others when one of them ends; by itself it looks only this often."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Addresses:
    """Where this process listens: the API, the NeMo services, the model proxy."""

    api: str
    nemo: str
    models: str


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
    urls = _urls(settings.nmp_config, addresses)
    data_dir = data_dir.resolve()  # Child processes have other working folders.
    models = data_dir / "models"
    hub = Hub(f"{urls.datastore}/v1/hf")
    records: LogStore | None = None
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
            models=[_served(nim) for nim in settings.nims],
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
        api_routers.append(jobs_router(context, wake))
        place = _place(settings.runs, data_dir)
        parts.append(Part("runs", "", place, stop=context.runs.close, check=context.runs.check))
        if isinstance(settings.wakeups, CeleryWakeups):
            broker = open_broker(settings.wakeups)  # Without it runs are stored, and woken later.
            check = advice("wake-ups", broker.check)
            place = f"Celery, {settings.wakeups.broker_url}"
            parts.append(Part("wake-ups", "", place, stop=broker.close, check=check))
        states += [run_states(context.runs), record_states(records)]
        candidates = f"candidates: {', '.join(nim.model_name for nim in settings.nims) or 'none'}"
        stop = _in_turn(stop, context.services.close)
        parts.append(Part("orchestrator", addresses.api, candidates, start, stop))

    flywheel = Flywheel(
        api=make_app("Flywheel", "problem", api_routers),
        nemo=make_app("NeMo microservices", "nemo", nemo_routers),
        models=make_app("Model proxy", "openai", proxy_routers),
        addresses=addresses,
        records=records,
        parts=parts,
    )
    vitals = vitals_router(flywheel.findings, states)
    for app in (flywheel.api, flywheel.nemo, flywheel.models):
        app.include_router(vitals)
    flywheel.api.include_router(_api_health(flywheel))
    return flywheel


def open_records(settings: Settings, data_dir: Path) -> LogStore:
    """The store of records that the settings name; ConfigError where its client is not installed."""
    match settings.records:
        case ElasticsearchRecords() as config:
            try:
                from flywheel.stores.logs.elasticsearch import ElasticsearchLogStore  # noqa: PLC0415
            except ModuleNotFoundError as error:
                raise ConfigError(
                    "records.type: elasticsearch needs packages that are not installed here:"
                    " pip install 'flywheel[servers]'"
                ) from error
            return ElasticsearchLogStore(config)
        case EmbeddedRecords():
            return EmbeddedLogStore(data_dir / RECORDS_FILE)


def open_runs(settings: Settings, data_dir: Path) -> RunStore:
    """The store of runs that the settings name."""
    match settings.runs:
        case MongoRuns() as config:
            try:
                from flywheel.stores.runs.mongo import MongoRunStore  # noqa: PLC0415 - optional
            except ImportError as error:
                raise ConfigError(
                    "runs.type: mongo needs pymongo: pip install 'flywheel[servers]'"
                ) from error
            return MongoRunStore(config)
        case EmbeddedRuns():
            return EmbeddedRunStore(data_dir / "runs.sqlite")


def open_runtime(settings: Settings, data_dir: Path, *, owner: str) -> Runtime:
    """What launches the programs of `owner`, a service."""
    match settings.runtime:
        case ProcessRuntimeConfig() as config:
            return ProcessRuntime(data_dir / "runtime", gpus=usable_gpus(config.gpus))
        case KubernetesRuntimeConfig() as config:
            try:
                from flywheel.runtime.kubernetes import KubernetesRuntime  # noqa: PLC0415 - optional, and slow
            except ImportError as error:
                needs = "runtime.type: kubernetes needs the client: pip install 'flywheel[servers]'"
                raise ConfigError(needs) from error
            return KubernetesRuntime(config, folder=data_dir, owner=owner)


def open_celery(config: CeleryWakeups) -> CeleryWaker:
    """What sends wake-ups to workers, and answers them in one."""
    try:
        from flywheel.orchestrator.tasks import CeleryWaker  # noqa: PLC0415 - optional
    except ImportError as error:
        needs = "wakeups.type: celery needs Celery and Redis' client: pip install 'flywheel[servers]'"
        raise ConfigError(needs) from error
    return CeleryWaker(config)


def open_broker(config: CeleryWakeups) -> Broker:
    """What looks at Redis, and leaves the traces of workers there."""
    try:
        from flywheel.orchestrator.broker import Broker  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ConfigError(
            "wakeups.type: celery needs Redis' client: pip install 'flywheel[servers]'"
        ) from error
    return Broker(config)


def open_worker(settings: Settings, *, data_dir: Path) -> Context:
    """What a worker advances runs with: the same stores and services as the API's process.

    Raises ConfigError where the services are only known to the process that opens them.
    """
    nmp = settings.nmp_config
    if nmp.nemo_base_url is None or nmp.nim_base_url is None:
        raise ConfigError(
            "nmp_config: a worker must be told where the services are, such as "
            "nemo_base_url: http://127.0.0.1:8001 and nim_base_url: http://127.0.0.1:8002"
        )
    urls = _urls(nmp, Addresses("", nmp.nemo_base_url, nmp.nim_base_url))
    data_dir = data_dir.resolve()
    return open_context(settings, open_records(settings, data_dir), data_dir=data_dir, urls=urls)


def open_context(settings: Settings, records: LogStore, *, data_dir: Path, urls: ServiceUrls) -> Context:
    """What runs are advanced with, in the API's process or in a worker."""
    services = Services.at(urls, Hub(f"{urls.datastore}/v1/hf"))
    wakeups = settings.wakeups
    queue_s = _QUEUE_S if isinstance(wakeups, CeleryWakeups) else Limits().queue_s
    limits = Limits(poll_s=wakeups.poll_interval, queue_s=queue_s)
    return Context(settings, open_runs(settings, data_dir), records, services, limits=limits)


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


def _urls(nmp: NmpConfig, addresses: Addresses) -> ServiceUrls:
    """Where the services are: as configured, else what this process opens."""
    nemo = nmp.nemo_base_url or addresses.nemo
    return ServiceUrls(
        entities=nemo,
        datastore=nmp.datastore_base_url or addresses.nemo,
        customizer=nmp.customizer_base_url or nemo,
        evaluator=nmp.evaluator_base_url or nemo,
        deployments=nmp.deployments_base_url or nemo,
        models=nmp.nim_base_url or addresses.models,
    )


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
    )


def _judge(settings: Settings) -> str:
    judge = settings.llm_judge_config
    return f"judge {judge.model_name}" if judge and judge.url else "text-matcher (no judge model configured)"


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
    def health() -> dict[str, Any]:
        """Every part, whether it answers, and where."""
        return {"version": __version__, "parts": [vars(part) for part in flywheel.health()]}

    return router
