"""How fast, and in how much memory, 100,000 records become data sets: `python benchmarks/curation.py`.

The input is `snips` of ../shared/data as one workload, repeated to 100,000 records in the embedded store.
Three ways to repeat it: `identical` (the same request and response, as the figures for NVIDIA's blueprint
were taken; ids and times differ, or the store would not keep them), `distinct` (every request different: the
worst case), and `naive`, a plain replica of the blueprint's way (everything parsed into memory, checks, dedup
by user messages, random split, rows) on the `identical` records, for a ratio of the same machine and moment.

Each is measured in a process of its own: records per second of CPU time and of wall time, and the peak of the
resident memory, modules included. Times cover reading from the store, curation, and writing all rows.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "snips.jsonl.gz"
COUNT = 100_000


def build(folder: Path) -> None:
    from flywheel.stores.logs import EmbeddedLogStore

    with gzip.open(DATA) as file:
        lines = [json.loads(line) for line in file]
    for name in ("identical", "distinct"):
        EmbeddedLogStore(folder / f"{name}.sqlite").add(_repeated(lines, distinct=name == "distinct"))


def _repeated(lines: list[dict[str, Any]], *, distinct: bool) -> Iterator[Any]:
    from flywheel.models import Record, Workload

    workload = Workload("snips", "all")
    for number in range(COUNT):
        line = lines[number % len(lines)]
        request = line["request"]
        if distinct:
            *head, last = request["messages"]
            request = request | {"messages": [*head, last | {"content": f"{last['content']} #{number}"}]}
        response = line["response"] | {"id": f"{line['response']['id']}-{number}"}
        yield Record.of(workload, line["timestamp"] + number, request, response)


def ours(store: Path) -> tuple[int, dict[str, Any]]:
    import msgspec

    from flywheel.config import DataSplitConfig
    from flywheel.curation import curate, eval_rows, training_rows
    from flywheel.models import Workload
    from flywheel.stores.logs import EmbeddedLogStore

    began, cpu = time.perf_counter(), time.process_time()
    records = EmbeddedLogStore(store).query()
    split = DataSplitConfig(eval_size=100, limit=None)
    made = curate(records, workload=Workload("snips", "all"), split=split)
    curated = time.process_time() - cpu
    size = 0
    for rows in (eval_rows(made.eval), training_rows(made.train), training_rows(made.val)):
        size += sum(len(msgspec.json.encode(row)) for row in rows)
    report = made.report
    times = {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu, "curate_cpu": curated}
    parts = {name: part.records for name, part in report.parts.items()}
    return report.records_in, times | {"parts": parts, "mb": round(size / 1e6, 1)}


def naive(store: Path) -> tuple[int, dict[str, Any]]:
    from flywheel.stores.logs import EmbeddedLogStore

    began, cpu = time.perf_counter(), time.process_time()
    records = [
        {"request": json.loads(each.request_json), "response": json.loads(each.response_json)}
        for each in EmbeddedLogStore(store).query()
    ]
    count, seen, kept = len(records), set(), []
    for record in records:
        calls = record["response"]["choices"][0]["message"].get("tool_calls")
        if not calls:
            continue
        for call in calls:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        asked = tuple(m["content"] for m in record["request"]["messages"] if m["role"] == "user")
        if asked not in seen:
            seen.add(asked)
            kept.append(record)
    kept = random.Random(1).sample(kept, len(kept))
    rows = [json.dumps(each) for each in kept[:100]]
    for record in kept[100:]:
        answer = record["response"]["choices"][0]["message"]
        row = {"messages": [*record["request"]["messages"], answer], "tools": record["request"]["tools"]}
        rows.append(json.dumps(row))
    size = len("\n".join(rows).encode())
    times = {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}
    return count, times | {"mb": round(size / 1e6, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, store = options.child
        if kind == "build":
            build(Path(store))
            return
        count, found = (naive if kind == "naive" else ours)(Path(store))
        found["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        found["records_per_cpu_s"] = round(count / found["cpu"])
        found["records_per_s"] = round(count / found["wall"])
        print(json.dumps(found))
        return
    if not DATA.exists():
        sys.exit(f"{DATA} is not here; this benchmark needs it")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Building is a process of its own, too: a child's peak begins with what its parent holds.
        stores = {"build": "", "identical": "identical.sqlite", "distinct": "distinct.sqlite"}
        for kind, store in (stores | {"naive": "identical.sqlite"}).items():
            command = [sys.executable, __file__, "--child", kind, str(folder / store)]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(f"{kind:<10}", told.strip() or "done", flush=True)


if __name__ == "__main__":
    main()
