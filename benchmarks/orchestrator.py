"""What the orchestrator itself costs: whole runs against services that do nothing, at once.

    python benchmarks/orchestrator.py [--runs 5] [--records 1000] [--candidates 1] [--polls 0] [--json FILE]

Everything but the services is real: the stores on disk, curation, the data sets as files, the clients, the
embedded loop's `advance`. Printed for each run: seconds in the orchestrator, by what they went to; commits to
the store of runs; calls to services, and how many of them only looked. Exit code 1 if a run needs 2 seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from flywheel.config import DataSplitConfig, NimConfig, NmpConfig, Settings
from flywheel.models import Record, Workload
from flywheel.nemo.fake import URLS, FakeNemo
from flywheel.orchestrator.context import Context, Limits
from flywheel.orchestrator.jobs import Jobs
from flywheel.orchestrator.services import Services
from flywheel.orchestrator.workflow import advance
from flywheel.stores.logs import EmbeddedLogStore
from flywheel.stores.runs import EmbeddedRunStore
from flywheel.stores.schedules import EmbeddedScheduleStore

LIMIT_S = 2.0
WORKLOAD = Workload("benchmark", "tool_router")
WRITES = ("create", "apply", "lease", "renew", "release", "delete")


class CountedStore:
    """A store of runs that counts its calls and the time that they take."""

    def __init__(self, store: EmbeddedRunStore) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.calls[name] += 1
                self.seconds += time.perf_counter() - began

        return counted


def record(number: int) -> Record:
    """A tool call of a support assistant; every request is different."""
    names = ("order_status", "return_item", "product_question")
    tools = [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": f"Answers with the {name.replace('_', ' ')}",
                "parameters": {
                    "type": "object",
                    "properties": {"number": {"type": "string"}, "day": {"type": "integer"}},
                    "required": ["number"],
                },
            },
        }
        for name in names
    ]
    arguments = json.dumps({"number": f"A-{number}", "day": number % 31})
    call = {"id": "c1", "type": "function", "function": {"name": names[number % 3], "arguments": arguments}}
    question = (
        f"It is day {number % 31}. What about number A-{number}, please? My {number % 7} others are fine."
    )
    return Record.of(
        WORKLOAD,
        1.7e9 + number,
        {"model": "teacher", "messages": [{"role": "user", "content": question}], "tools": tools},
        {
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": None, "tool_calls": [call]},
                    "finish_reason": "tool_calls",
                }
            ]
        },
    )


def measure(folder: Path, records: int, candidates: int, polls: int) -> dict[str, float]:
    """One run from the POST to its end."""
    nemo = FakeNemo(polls=polls)
    runs = CountedStore(EmbeddedRunStore(folder / "runs.sqlite"))
    logs = EmbeddedLogStore(folder / "records.sqlite")
    logs.add(record(n) for n in range(records))
    nims = tuple(
        NimConfig(model_name=f"test/student-{n}", context_length=8192, customization_enabled=True)
        for n in range(candidates)
    )
    settings = Settings(
        nmp_config=NmpConfig(nim_parallelism=candidates),
        nims=nims,
        data_split_config=DataSplitConfig(eval_size=100),
    )
    services = Services.at(URLS, nemo.hub, nemo)
    schedules = EmbeddedScheduleStore(folder / "schedules.sqlite")
    context = Context(settings, runs, logs, services, schedules, limits=Limits(poll_s=0.0, poll_max_s=0.0))
    began = time.perf_counter()
    woken: list[str] = []
    body = {"workload_id": WORKLOAD.workload_id, "client_id": WORKLOAD.client_id}
    run_id = Jobs(context, woken.append).start(body).id
    steps = 1
    while advance(run_id, context).seconds is not None:
        steps += 1
    seconds = time.perf_counter() - began
    run = runs.load(run_id)
    assert run.status == "completed", run.error
    services.close()
    schedules.close()
    runs.close()
    looks = sum(count for name, count in nemo.calls.items() if name.startswith("GET"))
    return {
        "seconds": seconds,
        "store_seconds": runs.seconds,
        "wakes": steps,
        "revisions": run.revision,
        "writes": sum(runs.calls[name] for name in WRITES),
        "calls": nemo.calls.total(),
        "looks": looks,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--candidates", type=int, default=1)
    parser.add_argument("--polls", type=int, default=0, help="looks at each job before it is done")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    measured = []
    for _ in range(asked.runs):
        with tempfile.TemporaryDirectory() as folder:
            measured.append(measure(Path(folder), asked.records, asked.candidates, asked.polls))
    median = {name: statistics.median(m[name] for m in measured) for name in measured[0]}
    sizes = f"{asked.records} records, {asked.candidates} candidates, {asked.polls} polls"
    print(f"Medians of {asked.runs} runs: {sizes}")
    for name, value in median.items():
        print(f"  {name:14} {value:8.3f}")
    worst = max(m["seconds"] for m in measured)
    print(f"  {'worst':14} {worst:8.3f} s of {LIMIT_S:g} allowed")
    if asked.json:
        asked.json.write_text(json.dumps({"median": median, "worst_seconds": worst}, indent=1), "utf-8")
    return int(worst >= LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
