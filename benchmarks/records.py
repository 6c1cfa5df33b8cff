"""How fast, and in how much memory, records go into and come out of the stores, side by side.

`python benchmarks/records.py` writes `snips` of ../shared/data, repeated to 100,000 different calls (or
`--records N`), to a gzip file, and measures, each in a process of its own, what a user does: import, import
again (nothing new), read one workload newest first, count the workloads, count by day, delete that workload.
Elasticsearch is the one at `--elasticsearch URL`, else the test bed's; where there is neither it is left out.
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
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SHARED = Path(__file__).parents[1].parent / "shared"
DATA = SHARED / "data" / "snips.jsonl.gz"
TESTBED = SHARED / "testbed" / "testbed"
WORKS = ("import", "import again", "read one workload", "count workloads", "count by day", "delete it")


def build(path: Path, count: int) -> None:
    with gzip.open(DATA) as file:
        lines = [json.loads(line) for line in file]
    with gzip.open(path, "wt", compresslevel=1) as out:
        for number in range(count):
            line = lines[number % len(lines)]
            line["timestamp"] += 1
            line["response"]["id"] = f"chat-{number}"
            out.write(json.dumps(line) + "\n")


def open_store(place: str) -> Any:
    """The store on a file, or on an index as `http://…#index`."""
    from flywheel.stores.logs import EmbeddedLogStore

    if not place.startswith("http"):
        return EmbeddedLogStore(Path(place))
    from flywheel.config import ElasticsearchRecords
    from flywheel.stores.logs.elasticsearch import ElasticsearchLogStore

    url, _, index = place.partition("#")
    return ElasticsearchLogStore(ElasticsearchRecords(type="elasticsearch", url=url, index=index))


def measure(work: str, log: Path, place: str) -> dict[str, Any]:
    from flywheel.cli.importing import import_files
    from flywheel.models import Workload

    store, one = open_store(place), Workload("snips-train", "snips_books")
    began = time.perf_counter()
    match work:
        case "import" | "import again":
            imported = import_files([log], store)
            count, detail = imported.new + imported.duplicates, f"{imported.new:,} new"
        case "read one workload":
            count, detail = sum(1 for _ in store.query(one)), ""
        case "count workloads":
            found = store.workloads()
            count, detail = sum(each.count for each in found), f"{len(found)} workloads"
        case "count by day":
            days = store.histogram()
            count, detail = sum(each.count for each in days), f"{len(days)} days"
        case _:
            count, detail = store.delete(one), ""
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"records": count, "seconds": seconds, "peak_mb": peak, "detail": detail}


def child(*arguments: str) -> str:
    """A process of its own, because a child's peak begins with what its parent holds."""
    command = [sys.executable, __file__, "--child", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def elasticsearch(url: str | None) -> Iterator[str | None]:
    """A new index on the server at `url` or of the test bed, removed at the end; None for no server."""
    import httpx

    bed = None
    if url is None and TESTBED.exists():
        bed = subprocess.Popen([sys.executable, str(TESTBED), "search"], stdout=subprocess.PIPE, text=True)
        assert bed.stdout is not None
        url = json.loads(bed.stdout.readline())["url"]
    try:
        index = f"benchmark-{uuid.uuid4().hex[:8]}"
        yield f"{url}#{index}" if url else None
        if url:
            size = httpx.get(f"{url}/{index}/_stats/store", timeout=60).json()
            print(f"on disk, elasticsearch: {size['_all']['total']['store']['size_in_bytes'] / 1e6:.0f} MB")
            httpx.delete(f"{url}/{index}", timeout=60)
            httpx.delete(f"{url}/_index_template/flywheel-{index}", timeout=60)
    finally:
        if bed:
            bed.terminate()
            bed.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=100_000, help="how many (100,000)")
    parser.add_argument("--elasticsearch", metavar="URL", help="a server, instead of the test bed's")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        work, log, place = options.child
        if work == "build":
            build(Path(log), int(place))
        else:
            print(json.dumps(measure(work, Path(log), place)))
        return
    if not DATA.exists():
        sys.exit(f"{DATA} is not here; this benchmark needs it")
    with tempfile.TemporaryDirectory() as name, elasticsearch(options.elasticsearch) as index:
        log, file = Path(name) / "log.jsonl.gz", Path(name) / "records.sqlite"
        child("build", str(log), str(options.records))
        print(f"{options.records:,} records")
        print(f"{'':<18} {'store':<14} {'records':>10} {'seconds':>8} {'per second':>11} {'peak MB':>8}")
        places = {"embedded": str(file)} | ({"elasticsearch": index} if index else {})
        for work in WORKS:
            for store, place in places.items():
                told = json.loads(child(work, str(log), place))
                rate = told["records"] / told["seconds"]
                print(
                    f"{work:<18} {store:<14} {told['records']:>10,} {told['seconds']:>8.2f} {rate:>11,.0f}"
                    f" {told['peak_mb']:>8.0f}  {told['detail']}",
                    flush=True,
                )
        sizes = (log.stat().st_size / 1e6, file.stat().st_size / 1e6)
        print("packed log: {:.0f} MB; on disk, embedded: {:.0f} MB".format(*sizes))


if __name__ == "__main__":
    main()
