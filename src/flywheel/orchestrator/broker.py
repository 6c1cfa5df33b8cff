"""Redis as an operator sees it: whether it is fit to carry wake-ups, and who was seen working for it lately.

Workers and beats leave a key behind that goes by itself after a while; nobody asks them anything. Messages
are the business of `orchestrator.tasks`.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final, Literal

from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from flywheel.config import CeleryWakeups, secret
from flywheel.errors import FlywheelError, Unavailable, UpstreamError
from flywheel.log import get_logger
from flywheel.telemetry.health import Finding

Role = Literal["worker", "beat"]

SEEN_EVERY_S: Final = 10.0
SEEN_FOR_S: Final = 35
"""Three missed times mean that a process is gone."""
_TIMEOUT_S: Final = 2.0
_LONG_QUEUE: Final = 1000

log = get_logger(__name__)


class BrokerAway(Unavailable):
    """Redis cannot be reached."""

    code = "broker_away"

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(f"Redis at {url} does not answer: {reason}")


class BrokerRefused(UpstreamError):
    """Redis does not let us in, or not do what we must."""

    code = "broker_refused"

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(f"Redis at {url} refused: {reason}; see wakeups.username and wakeups.password_env")


class Broker:
    """The Redis that `config` names. Nothing is sent before the first call."""

    def __init__(self, config: CeleryWakeups, *, environment: Mapping[str, str] = os.environ) -> None:
        password = secret(config.password_env, where="wakeups.password_env", environment=environment)
        tls: dict[str, Any] = {}
        if config.broker_url.startswith("rediss://") and config.ca_file:
            tls = {"ssl_ca_certs": str(config.ca_file)}
        self._url, self._queue = config.broker_url, config.queue
        self._redis: Redis = Redis.from_url(
            config.broker_url,
            username=config.username,
            password=password,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            decode_responses=True,
            **tls,
        )

    def close(self) -> None:
        self._redis.close()

    def check(self, *, thorough: bool = False) -> list[Finding]:
        """What is to be said about it, in two quick calls; `thorough` is for an operator.

        Raises BrokerAway, BrokerRefused.
        """
        with self._in_our_words():
            probe = f"{self._queue}.doctor"
            self._redis.set(probe, "1", ex=5)
            info: Mapping[str, Any] = self._redis.info()
            findings = [_server(self._url, info), _saving(info)]
            if thorough:
                findings += [_memory(info), _persistence(info), self._backlog()]
                findings += [self._seen("worker"), self._seen("beat")]
        return findings

    def leave_trace(self, role: Role) -> None:
        """Say that this process is there, for a while."""
        with self._in_our_words():
            name = f"{socket.gethostname()}.{os.getpid()}"
            self._redis.set(f"{self._queue}.seen.{role}.{name}", str(int(time.time())), ex=SEEN_FOR_S)

    def present(self, role: Role) -> Sequence[str]:
        """The processes of this role that were seen lately, as host.pid."""
        prefix = f"{self._queue}.seen.{role}."
        with self._in_our_words():
            return sorted(key.removeprefix(prefix) for key in self._redis.scan_iter(f"{prefix}*", count=1000))

    def _seen(self, role: Role) -> Finding:
        present = self.present(role)
        shown = ", ".join(present[:5]) + (f" and {len(present) - 5} more" if len(present) > 5 else "")
        seen = (
            f"{len(present)} on queue {self._queue!r}: {shown}"
            if present
            else f"none on queue {self._queue!r}"
        )
        mend = f"start flywheel {role} with this configuration"
        return Finding(f"{role}s", bool(present), seen, mend)

    def _backlog(self) -> Finding:
        length = int(self._redis.llen(f"{self._queue}.{self._queue}") or 0)
        mend = "start more workers (flywheel worker); the sweep adds nothing to a long queue"
        return Finding("queue", length < _LONG_QUEUE, f"{length} wake-ups wait", mend, blocks=False)

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except (AuthenticationError, NoPermissionError) as error:
            raise BrokerRefused(self._url, type(error).__name__) from error
        except ResponseError as error:
            raise BrokerRefused(self._url, str(error)) from error
        except (RedisError, OSError) as error:
            raise BrokerAway(self._url, f"{type(error).__name__}: {error}") from error


@contextmanager
def seen_as(role: Role, broker: Broker) -> Iterator[None]:
    """Leave a trace every few seconds for as long as the body runs."""
    over = threading.Event()

    def say() -> None:
        while True:
            try:
                broker.leave_trace(role)
            except FlywheelError as error:
                log.debug("no trace left", extra={"error": str(error)})
            if over.wait(SEEN_EVERY_S):
                return

    thread = threading.Thread(target=say, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_TIMEOUT_S)


def examine(config: CeleryWakeups) -> Iterator[Finding]:
    """Every finding about the wake-ups of `config`."""
    with closing(Broker(config)) as broker:
        try:
            yield from broker.check(thorough=True)
        except FlywheelError as error:
            yield Finding("redis", False, str(error), "start it, or correct the block wakeups")


def _server(url: str, info: Mapping[str, Any]) -> Finding:
    master = info.get("role") == "master"
    seen = f"Redis {info.get('redis_version')} at {url}{'' if master else ', a replica'}"
    return Finding("redis", master, seen, "wakeups.broker_url must name the master")


def _saving(info: Mapping[str, Any]) -> Finding:
    """Redis refuses writes after it could not save."""
    failed = [
        name
        for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
        if info.get(name, "ok") != "ok"
    ]
    mend = "look into Redis' log; its disk may be full"
    return Finding("redis saving", not failed, f"failed: {', '.join(failed)}" if failed else "well", mend)


def _memory(info: Mapping[str, Any]) -> Finding:
    policy, limit = str(info.get("maxmemory_policy")), int(info.get("maxmemory") or 0)
    seen = (
        f"{policy}, {info.get('used_memory_human')} of {info.get('maxmemory_human') if limit else 'no limit'}"
    )
    mend = "set maxmemory-policy noeviction: else a full Redis drops wake-ups, and runs wait for a sweep"
    return Finding("redis memory", policy == "noeviction" or not limit, seen, mend, blocks=False)


def _persistence(info: Mapping[str, Any]) -> Finding:
    aof = int(info.get("aof_enabled") or 0) == 1
    seen = "append-only file" if aof else "no append-only file"
    mend = "set appendonly yes: without it a restart loses wake-ups, and runs wait for a sweep"
    return Finding("redis persistence", aof, seen, mend, blocks=False)
