"""The processes of Celery's size: `worker` advances runs when messages ask, `beat` finds forgotten ones.

Threads, not child processes: a step waits for services and for its stores, torch is never loaded here, and a
worker that dies takes all of its steps with it either way. `beat` is a loop of ours, not Celery's scheduler:
its sweep needs no message, which a full queue would delay and an emptied Redis would lose; two of them do no
harm, since what both wake is advanced once.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from celery import bootsteps, signals
from celery.worker import state

from flywheel.log import get_logger
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.scheduling.tick import Scheduler
from flywheel.orchestrator.tasks import BrokerAway, CeleryWaker

log = get_logger(__name__)

_LISTENS_S = 5.0
"""Between two looks at whether this worker still hears its broker."""


def work(waker: CeleryWaker, context: Context, *, concurrency: int) -> int:
    """Answer wake-ups, `concurrency` at a time, until SIGTERM or SIGINT and the end of the steps in flight.

    A broker that is away is waited for. Returns the exit code.
    """
    waker.answer(context)
    waker.celery.steps["consumer"].add(_watch(waker))
    signals.setup_logging.connect(_keep_logging)
    worker = waker.celery.Worker(
        pool="threads",
        concurrency=concurrency,
        hostname=f"flywheel@{socket.gethostname()}",
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    log.info("worker started", extra={"queue": waker.celery.conf.task_default_queue, "at_once": concurrency})
    worker.start()
    return int(worker.exitcode or 0)


def beat(waker: CeleryWaker, context: Context, *, interval: float, stop: threading.Event) -> None:
    """Sweep now and every `interval` seconds, and start the runs of schedules that are due, until `stop`."""
    log.info("beat started", extra={"interval_s": interval})
    scheduler = Scheduler(context, waker.wake)
    tick_at = time.monotonic()
    while True:
        waker.sweep(context, grace=interval / 3)
        if time.monotonic() >= tick_at:
            tick_at = time.monotonic() + scheduler.tick()
        if stop.wait(min(interval, max(0.0, tick_at - time.monotonic()))):
            return


def _keep_logging(**_: object) -> None:
    """Celery configures logging unless somebody listens to this signal."""


def _watch(waker: CeleryWaker) -> type[Any]:
    """A part of the worker that connects anew when it has gone deaf.

    kombu 5.7 closes a connection that breaks while all of the worker's hands are full, to open it again when
    one is free; but a hand is freed by acknowledging over that connection, so that never happens.
    """

    class Watch(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.consumer.tasks:Tasks",)
        heard = -1

        def start(self, consumer: Any) -> None:
            self.heard = -1
            self.entry = consumer.timer.call_repeatedly(_LISTENS_S, self.look)

        def stop(self, consumer: Any) -> None:
            self.entry.cancel()

        def look(self) -> None:
            before, self.heard = self.heard, state.all_total_count[0]
            if before != self.heard or state.active_requests:
                return
            try:
                waiting = waker.backlog()
            except BrokerAway:
                return
            if waiting:
                log.warning("worker no longer heard its broker; connecting anew", extra={"waiting": waiting})
                raise ConnectionResetError

    return Watch
