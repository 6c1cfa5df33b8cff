"""Wake-ups by Celery on Redis: one task, `advance(run_id)`, and who sends it.

A message says only that a run is worth a look; all state is in the store of runs. So every message may be
lost, late or twice. What is lost is found by `sweep`; what comes twice meets the lease. A run that is waiting
comes back by a message with a delay, and at most one of those counts: the store knows when the run is next
looked at, and a delayed message that arrives before that time was overtaken by another one and ends.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlsplit

from celery import Celery
from kombu.exceptions import KombuError

from flywheel.config import CeleryWakeups, secret
from flywheel.errors import FlywheelError, Unavailable
from flywheel.log import get_logger
from flywheel.orchestrator.context import Context, after
from flywheel.orchestrator.workflow import advance
from flywheel.stores.runs.document import is_run_id

log = get_logger(__name__)

_ADVANCE: Final = "flywheel.advance"
_BROKEN_S: Final = 5.0
"""Pause after something that is not the run's fault, such as a store that is away."""
_EARLY_S: Final = 1.0
"""A delayed message may be so early, since hosts' clocks differ a little."""
_BACKLOG: Final = 100
"""With more messages waiting, workers are behind: nothing is lost, and more messages would not help."""
_AT_ONCE: Final = 0.001
"""A delay that only marks a message as one that ends if the run is looked after."""
_VISIBLE_S: Final = 3600
"""A message that a worker took and did not finish goes to another one after so long. The sweep is faster."""
_SOCKET_S: Final = 2.0
"""Redis answers in milliseconds or not at all; `POST /api/jobs` must not hang on it."""


class BrokerAway(Unavailable):
    """Redis cannot be reached, or refuses."""

    code = "broker_away"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the broker of wake-ups at {url} does not answer: {reason}")


class CeleryWaker:
    """Sends wake-ups over the Redis that `config` names, and answers them in a worker."""

    def __init__(self, config: CeleryWakeups, *, environment: Mapping[str, str] = os.environ) -> None:
        self._shown_url = config.broker_url
        self.celery = Celery("flywheel", set_as_current=False)
        self.celery.conf.update(
            broker_url=_url(config, environment),
            broker_use_ssl=_tls(config),
            broker_transport_options={
                "visibility_timeout": _VISIBLE_S,
                "global_keyprefix": f"{config.queue}.",
                "socket_connect_timeout": _SOCKET_S,
                "socket_timeout": _SOCKET_S * 5,  # Above the 1 s for which a worker listens in one call.
            },
            broker_connection_retry_on_startup=True,
            broker_connection_max_retries=None,
            task_default_queue=config.queue,
            task_serializer="json",
            accept_content=["json"],
            task_ignore_result=True,
            task_acks_late=True,
            task_reject_on_worker_lost=True,
            task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_max": 0.1},
            worker_prefetch_multiplier=1,
            worker_enable_remote_control=False,
            worker_hijack_root_logger=False,
            worker_redirect_stdouts=False,
        )
        lazy = self.celery.connection_for_write()  # Not connected; it knows what Redis' client raises.
        self._away = (KombuError, OSError, *lazy.connection_errors, *lazy.channel_errors)

    def wake(self, run_id: str) -> bool:
        """Have the run looked at now: it is new, or somebody changed it. False: the sweep will have to."""
        return self._send(run_id, None)

    def answer(self, context: Context) -> None:
        """Advance the runs of `context` in this process when messages ask for it."""

        @self.celery.task(name=_ADVANCE, bind=True)  # type: ignore[untyped-decorator]
        def woken(task: Any, run_id: object) -> None:
            if isinstance(run_id, str) and is_run_id(run_id):
                self._turn(run_id, context, delayed=task.request.eta is not None)

    def sweep(self, context: Context, grace: float) -> None:
        """Wake the runs that nobody looks after: those whose message was lost, and those whose turn it is.

        One that is less than `grace` seconds late has a message in the hands of some worker.
        """
        try:
            if self.backlog() > _BACKLOG:
                return
            for run_id in context.runs.neglected(context.slots, grace):
                if not self._send(run_id, _AT_ONCE):
                    return
        except FlywheelError as error:
            log.warning("runs could not be swept", extra={"error": str(error)})

    def backlog(self) -> int:
        """Messages that wait for a worker. Raises BrokerAway."""
        with self._translated(), self.celery.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=_SOCKET_S)
            queue = self.celery.conf.task_default_queue
            return int(connection.default_channel.queue_declare(queue=queue).message_count)

    def close(self) -> None:
        self.celery.close()

    def _turn(self, run_id: str, context: Context, *, delayed: bool) -> None:
        try:
            if delayed and context.runs.rest(run_id) > _EARLY_S:
                return
            following = advance(run_id, context)
        except FlywheelError as error:
            log.warning("run could not be advanced", extra={"run_id": run_id, "error": str(error)})
            following = after(_BROKEN_S)
        except Exception:  # One run's trouble must not cost its wake-ups.
            log.exception("run could not be advanced", extra={"run_id": run_id})
            following = after(_BROKEN_S)
        if following.seconds is None:
            self.sweep(context, math.inf)  # Its slots are free: others may be waiting for them.
        else:
            self._send(run_id, max(following.seconds, _AT_ONCE))

    def _send(self, run_id: str, delay: float | None) -> bool:
        try:
            with self._translated():
                self.celery.send_task(_ADVANCE, (run_id,), countdown=delay)
        except BrokerAway as error:
            extra = {"run_id": run_id, "error": str(error)}
            log.warning("wake-up not sent; the sweep will find the run", extra=extra)
            return False
        return True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._away as error:
            raise BrokerAway(self._shown_url, str(error)) from error


def _url(config: CeleryWakeups, environment: Mapping[str, str]) -> str:
    password = secret(config.password_env, where="wakeups.password_env", environment=environment)
    if not password and not config.username:
        return config.broker_url
    parts = urlsplit(config.broker_url)
    entry = f"{quote(config.username or '', safe='')}:{quote(password or '', safe='')}"
    return parts._replace(netloc=f"{entry}@{parts.netloc}").geturl()


def _tls(config: CeleryWakeups) -> dict[str, Any] | None:
    if not config.broker_url.startswith("rediss://"):
        return None
    return {"ssl_cert_reqs": "required", "ssl_ca_certs": str(config.ca_file) if config.ca_file else None}
