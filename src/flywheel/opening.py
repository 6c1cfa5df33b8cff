"""What the settings name, opened: stores, runtimes, brokers, and what runs are advanced with.

Packages that not everybody has are imported where they are needed; without one, ConfigError says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flywheel.config import (
    CeleryWakeups,
    ElasticsearchRecords,
    EmbeddedRecords,
    EmbeddedRuns,
    KubernetesRuntimeConfig,
    MongoRuns,
    NmpConfig,
    ProcessRuntimeConfig,
    Settings,
)
from flywheel.errors import ConfigError
from flywheel.exports.mlflow import Mlflow
from flywheel.hub import Hub
from flywheel.nemo.calls import ServiceUrls
from flywheel.nemo.datastore import hub_endpoint
from flywheel.orchestrator.context import Context, Limits
from flywheel.orchestrator.services import Services
from flywheel.runtime import Runtime
from flywheel.runtime.gpus import usable_gpus
from flywheel.runtime.process import ProcessRuntime
from flywheel.stores.logs import EmbeddedLogStore, LogStore
from flywheel.stores.logs.embedded import FILE_NAME as RECORDS_FILE
from flywheel.stores.runs import RunStore
from flywheel.stores.runs.embedded import EmbeddedRunStore
from flywheel.stores.schedules import EmbeddedScheduleStore, ScheduleStore
from flywheel.stores.schedules.embedded import FILE_NAME as SCHEDULES_FILE

if TYPE_CHECKING:
    from flywheel.orchestrator.broker import Broker
    from flywheel.orchestrator.tasks import CeleryWaker

_QUEUE_S = 300.0
"""Workers wake a run that waits for others when one of them ends; by itself it looks only this often."""


@dataclass(frozen=True)
class Addresses:
    """Where this process listens: the API, the NeMo services, the model proxy."""

    api: str
    nemo: str
    models: str


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


def open_schedules(settings: Settings, data_dir: Path) -> ScheduleStore:
    """The store of schedules: where the runs are."""
    match settings.runs:
        case MongoRuns() as config:
            from flywheel.stores.schedules.mongo import MongoScheduleStore  # noqa: PLC0415 - optional

            return MongoScheduleStore(config)
        case EmbeddedRuns():
            return EmbeddedScheduleStore(data_dir / SCHEDULES_FILE)


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
    urls = urls_of(nmp, Addresses("", nmp.nemo_base_url, nmp.nim_base_url))
    data_dir = data_dir.resolve()
    return open_context(settings, open_records(settings, data_dir), data_dir=data_dir, urls=urls)


def open_context(settings: Settings, records: LogStore, *, data_dir: Path, urls: ServiceUrls) -> Context:
    """What runs are advanced with, in the API's process or in a worker."""
    services = Services.at(urls, Hub(hub_endpoint(urls.datastore)))
    wakeups = settings.wakeups
    queue_s = _QUEUE_S if isinstance(wakeups, CeleryWakeups) else Limits().queue_s
    limits = Limits(poll_s=wakeups.poll_interval, queue_s=queue_s)
    tracker = Mlflow(settings.mlflow_config) if settings.mlflow_config.enabled else None
    runs, schedules = open_runs(settings, data_dir), open_schedules(settings, data_dir)
    return Context(
        settings, runs, records, services, schedules, limits=limits, spool=data_dir, tracker=tracker
    )


def urls_of(nmp: NmpConfig, addresses: Addresses) -> ServiceUrls:
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
