"""Many runs, several workers: is each run in one hand at a time, what does it cost, how soon is it woken?

    python benchmarks/wakeups.py [--runs 1000] [--workers 8] [--processes 2] [--json FILE]

Runs against services that do nothing, at once; MongoDB, Redis, Celery and `flywheel worker`'s code are real
(servers: see tests/servers.py). Afterwards the trail of leases and revisions is audited: exit code 1 if a run
was advanced by two at once, a revision is missing or written twice, or a job was started twice.

CPU is that of the worker processes, without services and servers. A wake-up's latency is the time from the
end of one look at a run to the beginning of the next, less the pause that was asked for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from celery_world import Place, asgi, audit, children, trail
from flywheel.nemo.fake import NEMO_URL, PROXY_URL, FakeNemo
from flywheel.orchestrator.jobs import Jobs
from run_world import make_records, nim, settings
from servers import testbed
from serving_apps import serve_app

POLL_S = 0.05


def measure(folder: Path, runs: int, workers: int, processes: int) -> dict[str, float]:
    """Queue `runs` runs, start the workers, wait for the end of the last run."""
    name, nemo = f"queue-{uuid4().hex[:8]}", FakeNemo()
    make_records(folder).close()
    with ExitStack() as stack:
        using = settings(nim(), parallelism=workers).model_dump(mode="json")
        mongo = stack.enter_context(testbed("mongo"))["url"]
        broker = stack.enter_context(testbed("redis"))["url"]
        using["runs"] = {"type": "mongo", "url": mongo, "database": name}
        using["wakeups"] = {"type": "celery", "broker_url": broker, "queue": name, "sweep_interval": 5}
        place = Place(
            folder=str(folder),
            settings=using,
            nemo=stack.enter_context(serve_app(asgi(nemo, NEMO_URL))),
            proxy=stack.enter_context(serve_app(asgi(nemo, PROXY_URL))),
            lease_s=30,
            poll_s=POLL_S,
            concurrency=workers // processes,
        )
        context, waker = place.context(), place.waker()
        jobs = Jobs(context, waker.wake)
        began = time.perf_counter()
        ids = [jobs.start({"workload_id": "tool_router", "client_id": "support-app"}).id for _ in range(runs)]
        queued = time.perf_counter() - began
        started = stack.enter_context(children())
        for number in range(processes):
            started.start("worker", f"worker-{number}", place)
        started.start("beat", "beat", place)
        began = time.perf_counter()
        while context.runs.unfinished(1):
            time.sleep(0.5)
        wall = time.perf_counter() - began
        cpu = sum(
            sum(psutil.Process(child.pid).cpu_times()[:2])
            for who, child in started.running.items()
            if who.startswith("worker")
        )
        ended = [context.runs.load(run_id) for run_id in ids]
        started.end()
        assert {run.status for run in ended} == {"completed"}
        audit(place, {run.id: run.revision for run in ended})
        assert nemo.calls["POST /v1/customization/jobs"] == runs
        assert nemo.calls["POST /v1/evaluation/jobs"] == 3 * runs
        looks, late = _looks(place)
        for each in (waker, context.runs, context.logs, context.services):
            each.close()
    return {
        "runs": runs,
        "workers": workers,
        "queued_ms_per_run": queued / runs * 1000,
        "wall_s": wall,
        "runs_per_s": runs / wall,
        "cpu_ms_per_run": cpu / runs * 1000,
        "looks_per_run": looks / runs,
        "latency_p50_ms": statistics.median(late) * 1000,
        "latency_p95_ms": statistics.quantiles(late, n=20)[-1] * 1000,
    }


def _looks(place: Place) -> tuple[int, list[float]]:
    """How often runs were looked at by workers, and how late; waiting for a slot is not lateness."""
    released: dict[str, float] = {}
    begun: dict[str, bool] = defaultdict(bool)
    late: list[float] = []
    looks = 0
    for at, what, run_id, _, _, who in trail(place):
        if who == "test":
            continue
        if what == "lease":
            looks += 1
            if begun[run_id] and run_id in released:
                late.append(at - released[run_id] - POLL_S)
        elif what == "apply":
            begun[run_id] = True
        else:
            released[run_id] = at
    return looks, late


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), arguments.runs, arguments.workers, arguments.processes)
    for key, value in found.items():
        print(f"{key:<20} {value:10.1f}")
    print("audit: every run in one hand at a time, every revision written once, no job started twice")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
