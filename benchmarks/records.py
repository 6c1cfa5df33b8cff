"""How fast, and in how much memory, 100,000 records go into and come out of the embedded store.

`python benchmarks/records.py` writes `snips` of ../shared/data, repeated to 100,000 different calls, to a
gzip file, and measures, each in a process of its own, what a user does: import, import again (nothing new),
read one workload newest first, count the workloads.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "snips.jsonl.gz"
COUNT = 100_000


def build(path: Path) -> None:
    with gzip.open(DATA) as file:
        lines = [json.loads(line) for line in file]
    with gzip.open(path, "wt", compresslevel=1) as out:
        for number in range(COUNT):
            line = lines[number % len(lines)]
            line["timestamp"] += 1
            line["response"]["id"] = f"chat-{number}"
            out.write(json.dumps(line) + "\n")


def measure(work: str, log: Path, store_file: Path) -> dict[str, Any]:
    from flywheel.cli.importing import import_files
    from flywheel.models import Workload
    from flywheel.stores.logs import EmbeddedLogStore

    store = EmbeddedLogStore(store_file)
    began, cpu = time.perf_counter(), time.process_time()
    found: dict[str, Any] = {}
    if work.startswith("import"):
        imported = import_files([log], store)
        found = {"new": imported.new, "there already": imported.duplicates}
    elif work == "query":
        found = {"read": sum(1 for _ in store.query(Workload("snips-train", "snips_books")))}
    else:
        found = {"workloads": len(store.workloads())}
    found |= {"wall_s": round(time.perf_counter() - began, 3), "cpu_s": round(time.process_time() - cpu, 3)}
    return found | {"peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        work, log, store = options.child
        if work == "build":
            build(Path(log))
            return
        print(json.dumps(measure(work, Path(log), Path(store))))
        return
    if not DATA.exists():
        sys.exit(f"{DATA} is not here; this benchmark needs it")
    with tempfile.TemporaryDirectory() as name:
        log, store = Path(name) / "log.jsonl.gz", Path(name) / "records.sqlite"
        # Building is a process of its own, too: a child's peak begins with what its parent holds.
        for work in ("build", "import", "import again", "query", "workloads"):
            command = [sys.executable, __file__, "--child", work, str(log), str(store)]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(f"{work:<13}", told.strip() or "done", flush=True)
        sizes = [path.stat().st_size / 1e6 for path in (store, log)]
        print("on disk       {:.0f} MB, packed log {:.0f} MB".format(*sizes))


if __name__ == "__main__":
    main()
