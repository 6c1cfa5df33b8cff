"""`flywheel worker` and `flywheel beat`: who advances runs, and who finds forgotten ones, beside `serve`."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flywheel import log
from flywheel.cli.serve import ConfigFile, DataDir, settings_at
from flywheel.config import CeleryWakeups, Settings
from flywheel.errors import ConfigError
from flywheel.opening import open_broker, open_celery, open_worker
from flywheel.orchestrator.context import Context
from flywheel.telemetry import tracing
from flywheel.vitals import answering

Port = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, help="Port of /health/live, /health/ready and /metrics.", show_default="none"
    ),
]
Host = Annotated[str, typer.Option(help="Interface of that port; 0.0.0.0 for all.")]

if TYPE_CHECKING:
    from flywheel.orchestrator.tasks import CeleryWaker


def worker(
    data: DataDir = Path(".flywheel"),
    config: ConfigFile = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Runs advanced at the same time.", show_default="wakeups.workers"),
    ] = None,
    port: Port = None,
    host: Host = "127.0.0.1",
) -> None:
    """Advance runs, woken by Celery on Redis; as many of these as you like, on any host."""
    settings, wakeups = _celery(config, "worker")
    waker = open_celery(wakeups)
    context = open_worker(settings, data_dir=data)
    from flywheel.worker import work  # noqa: PLC0415 - Celery is optional, and slow to import

    tracing.start(settings.telemetry, "worker")
    with _watched("worker", wakeups, context, host, port):
        code = work(waker, context, concurrency=concurrency or wakeups.workers)
    _close(waker, context)
    sys.exit(code)


def beat(
    data: DataDir = Path(".flywheel"),
    config: ConfigFile = None,
    port: Port = None,
    host: Host = "127.0.0.1",
) -> None:
    """Wake the runs that nobody looks after; one is enough, two do no harm."""
    settings, wakeups = _celery(config, "beat")
    waker = open_celery(wakeups)
    context = open_worker(settings, data_dir=data)
    from flywheel.worker import beat as sweep  # noqa: PLC0415 - as above

    tracing.start(settings.telemetry, "beat")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with _watched("beat", wakeups, context, host, port):
        sweep(waker, context, interval=wakeups.sweep_interval, stop=stop)
    _close(waker, context)


@contextmanager
def _watched(
    role: Literal["worker", "beat"], wakeups: CeleryWakeups, context: Context, host: str, port: int | None
) -> Iterator[None]:
    """Seen by the doctor, and on `port` by probes and Prometheus."""
    from flywheel.orchestrator.broker import seen_as  # noqa: PLC0415 - as above

    with ExitStack() as stack:
        broker = stack.enter_context(closing(open_broker(wakeups)))
        stack.enter_context(seen_as(role, broker))
        if port is not None:
            checks = {"records": context.logs.check, "runs": context.runs.check, "redis": broker.check}
            log.get_logger(__name__).info(
                "watched", extra={"at": stack.enter_context(answering(host, port, checks))}
            )
        yield


def _celery(config: Path | None, role: str) -> tuple[Settings, CeleryWakeups]:
    settings = settings_at(config)
    log.configure(settings.logging_config.level, as_json=settings.logging_config.format == "json")
    if not isinstance(settings.wakeups, CeleryWakeups):
        raise ConfigError(
            f"wakeups.type: flywheel {role} needs celery, not {settings.wakeups.type}; "
            "with embedded wake-ups `flywheel serve` advances the runs itself"
        )
    return settings, settings.wakeups


def _close(waker: CeleryWaker, context: Context) -> None:
    waker.close()
    context.services.close()
    context.schedules.close()
    context.runs.close()
    context.logs.close()
    tracing.stop()
