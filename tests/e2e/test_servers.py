"""The same turn of the wheel on Elasticsearch, MongoDB, Redis and two Celery workers as in one process."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from e2e.wheel import ASKED, CONFIG, begun, completed, same_turn, wheel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def on_servers(elasticsearch_url: str, mongo_url: str, redis_url: str) -> str:
    """The tests' configuration, on servers, under a name of its own there."""
    name = f"test-{uuid4().hex[:12]}"
    return (
        CONFIG.partition("wakeups:")[0]
        + f"""
records: {{type: elasticsearch, url: "{elasticsearch_url}", index: "{name}"}}
runs: {{type: mongo, url: "{mongo_url}", database: "{name}"}}
wakeups: {{type: celery, broker_url: "{redis_url}", queue: "{name}", poll_interval: 0.2, sweep_interval: 2}}
"""
    )


def test_the_scores_are_those_of_one_process_though_a_worker_is_killed(
    embedded: dict[str, Any], tmp_path: Path, elasticsearch_url: str, mongo_url: str, redis_url: str
) -> None:
    config = on_servers(elasticsearch_url, mongo_url, redis_url)
    with wheel(tmp_path, config=config) as server:
        first = server.start_worker()
        server.start_worker()
        server.start_worker("beat")
        run_id = server.post(**ASKED)
        server.wait_for(run_id, begun("base-eval"), "the first evaluation")
        first.send_signal(signal.SIGKILL)
        job = completed(server, run_id)
    same_turn(job, embedded)
