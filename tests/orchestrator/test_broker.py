"""What the doctor sees of Redis and of those who work for it, on a real Redis."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from redis import Redis

from flywheel.config import CeleryWakeups
from flywheel.orchestrator.broker import (
    SEEN_FOR_S,
    Broker,
    BrokerAway,
    BrokerRefused,
    _persistence,
    _saving,
    examine,
    seen_as,
)
from servers import testbed as start_server

PASSWORD = "p4ss-of-the-broker"


@pytest.fixture
def config(redis_url: str) -> CeleryWakeups:
    return CeleryWakeups(type="celery", broker_url=redis_url, queue=f"test-{uuid4().hex[:8]}")


@pytest.fixture
def broker(config: CeleryWakeups) -> Iterator[Broker]:
    broker = Broker(config)
    yield broker
    broker.close()


def test_a_redis_without_workers_is_well_but_nobody_is_there(config: CeleryWakeups) -> None:
    found = {finding.check: finding for finding in examine(config)}
    assert found["redis"].seen.startswith("Redis ")
    assert config.broker_url in found["redis"].seen
    assert found["redis saving"].ok
    assert found["redis memory"].ok
    assert found["queue"].seen == "0 wake-ups wait"
    for role in ("worker", "beat"):
        assert found[f"{role}s"].wrong
        assert f"flywheel {role}" in found[f"{role}s"].mend


def test_a_process_is_seen_while_it_is_there(broker: Broker, config: CeleryWakeups) -> None:
    with seen_as("worker", broker):
        end = time.monotonic() + 10
        while not broker.present("worker"):
            assert time.monotonic() < end
    assert broker.present("worker")[0].endswith(f".{os.getpid()}")
    assert broker.present("beat") == []
    with Redis.from_url(config.broker_url) as redis:
        (key,) = redis.keys(f"{config.queue}.seen.*")
        assert 0 < redis.ttl(key) <= SEEN_FOR_S


def test_another_installation_on_the_same_redis_is_not_ours(broker: Broker, config: CeleryWakeups) -> None:
    other = Broker(config.model_copy(update={"queue": f"other-{uuid4().hex[:8]}"}))
    other.leave_trace("worker")
    other.close()
    assert broker.present("worker") == []


def test_a_policy_that_evicts_is_advice_where_there_is_a_limit(broker: Broker, config: CeleryWakeups) -> None:
    with Redis.from_url(config.broker_url) as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
        redis.config_set("maxmemory", "100mb")
        try:
            (memory,) = [f for f in broker.check(thorough=True) if f.check == "redis memory"]
        finally:
            redis.config_set("maxmemory", "0")
            redis.config_set("maxmemory-policy", "noeviction")
    assert (memory.ok, memory.wrong) == (False, False)
    assert "allkeys-lru" in memory.seen
    assert "noeviction" in memory.mend


def test_persistence_and_failed_saves() -> None:
    assert not _persistence({"aof_enabled": 0}).ok
    assert _persistence({"aof_enabled": 1}).ok
    assert _saving({"rdb_last_bgsave_status": "err"}).wrong


def test_a_redis_that_is_away_is_an_error_soon() -> None:
    away = Broker(CeleryWakeups(type="celery", broker_url="redis://127.0.0.1:9/0"))
    began = time.monotonic()
    with pytest.raises(BrokerAway, match=r"redis://127\.0\.0\.1:9/0 does not answer"):
        away.check()
    away.close()
    assert time.monotonic() - began < 5


def test_a_wrong_password_is_refused_and_not_repeated() -> None:
    with start_server("redis") as facts:
        url = facts["url"]
        with Redis.from_url(url) as redis:
            redis.config_set("requirepass", PASSWORD)
        settings = CeleryWakeups(type="celery", broker_url=url, password_env="REDIS_PASSWORD")
        wrong = Broker(settings, environment={"REDIS_PASSWORD": "wr0ng-word"})
        with pytest.raises(BrokerRefused, match=r"wakeups\.password_env") as caught:
            wrong.check()
        wrong.close()
        right = Broker(settings, environment={"REDIS_PASSWORD": PASSWORD})
        assert right.check()[0].ok
        right.close()
    told = "".join((str(caught.value), repr(caught.value.__cause__), repr(wrong), repr(right)))
    assert "wr0ng-word" not in told
    assert PASSWORD not in told
