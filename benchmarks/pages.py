"""How fast the dashboard's pages and the routes behind them answer, with much in them.

    python benchmarks/pages.py [--runs 1000] [--workloads 200] [--samples 10000] [--keep DIR] [--json F]

`flywheel serve` is real, with every role, on a folder that is filled first: records of all workloads, runs
with curation reports, loss curves and the table of six systems, and for the newest run the answers of its six
evaluations. Printed for each route: median and worst of `--times` calls, and the bytes of the answer; for
each page, where there is a Chromium, median and worst of `--times` loads until all of it is drawn and
nothing is loading any more. Also how long the first comparison of the answers takes (the page of a run asks
for it ahead), and how long others wait meanwhile. Exit code 1 if the median of a route or of a page is over
a second, or the first comparison takes ten.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser import CHROMIUM, Proxy
from dashboard.looking import chromium, settled
from flywheel.models import Record, Workload
from flywheel.nemo.fake import FakeNemo
from flywheel.services.evaluator.lifecycle import JOBS
from flywheel.stores.entities import Entities
from flywheel.stores.logs import EmbeddedLogStore
from flywheel.stores.runs import EmbeddedRunStore, Run
from flywheel.stores.runs.document import Losses
from run_world import make_records, make_world, nim, settings

LIMIT_S, FIRST_LIMIT_S = 1.0, 10.0
MODELS = ("meta/llama-3.2-1b", "meta/llama-3.2-3b")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"tool_{number}",
            "description": "What a support assistant may do, told in a sentence or two of plain words. " * 2,
            "parameters": {
                "type": "object",
                "properties": {
                    name: {"type": "string", "description": f"the {name} of the order"}
                    for name in ("order", "reason", "city", "day")
                },
                "required": ["order"],
            },
        },
    }
    for number in range(6)
]


def workload(number: int) -> Workload:
    return Workload(f"app-{number % 10}", f"workload-{number:03}")


def seed(folder: Path, *, runs: int, workloads: int, samples: int) -> str:
    """Fill a data folder; the id of the newest run, whose answers are there."""
    logs = EmbeddedLogStore(folder / "records.sqlite")
    logs.add(record(workload(w), n) for w in range(workloads) for n in range(30))
    logs.close()
    finished = a_finished_run(folder)
    store = EmbeddedRunStore(folder / "runs.sqlite")
    for number in range(runs):
        store.create(variant(finished, number, runs, workload(number % workloads)))
    newest = store.briefs().runs[0].id
    run = store.load(newest)
    store.close()
    seed_answers(folder / "evaluator", run, samples)
    return newest


def record(of: Workload, number: int) -> Record:
    request, response = exchange(number)
    return Record.of(of, 1.7e9 + 3600 * number, request, response)


def exchange(number: int, *, right: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """A request of 4 kB and its answer: a call of one of six tools."""
    given = {"order": f"A-{number}" if right else "A-0", "reason": f"it is too {number % 7}", "city": "Graz"}
    function = {"name": f"tool_{number % 6}", "arguments": given}
    call = {"id": "c1", "type": "function", "function": function | {"arguments": json.dumps(given)}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    asked = f"Please look at my order A-{number}, it is too {number % 7}. I live in Graz."
    request = {
        "model": "teacher",
        "messages": [{"role": "system", "content": "You help. " * 20}, {"role": "user", "content": asked}],
        "tools": TOOLS,
    }
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return request, {"choices": [choice], "usage": {"prompt_tokens": 900, "completion_tokens": 30}}


def a_finished_run(folder: Path) -> Run:
    """One real run of two candidates against services that do nothing, with its curation and decision."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        place = Path(made)
        using = settings(*(nim(name) for name in MODELS), parallelism=2)
        world = make_world(place, make_records(place), FakeNemo(), using)
        run = world.finish(world.start())
        world.close()
        world.context.logs.close()
    return run


def variant(run: Run, number: int, runs: int, of: Workload) -> Run:
    """The run as another one, some hours later, with loss curves of full length."""
    later = timedelta(hours=number)
    curve = tuple((step, 2.0 / (1 + step)) for step in range(1, 501))
    candidates = [
        candidate.but(
            customization=candidate.customization.but(losses=Losses(train=curve, val=curve[::5])),
            evaluations=tuple(
                e.but(finished_at=e.finished_at + later, job_id=f"eval-{number}-{at}-{c}")
                for at, e in enumerate(candidate.evaluations)
            ),
        )
        for c, candidate in enumerate(run.candidates)
    ]
    return run.but(
        id=f"{0x65000000 + number:08x}{number:016x}",
        client_id=of.client_id,
        workload_id=of.workload_id,
        candidates=tuple(candidates),
        created_at=run.created_at + later,
        finished_at=run.finished_at + later,
        status="failed" if number % 10 == 3 else "completed",
    )


def seed_answers(folder: Path, run: Run, samples: int) -> None:
    """What the evaluator keeps of the run's evaluations: a job, and its samples as JSON lines."""
    folder.mkdir(parents=True, exist_ok=True)
    entities = Entities(folder / "evaluator.sqlite")
    jobs = [evaluation.job_id for candidate in run.candidates for evaluation in candidate.evaluations]
    for place, job in enumerate(jobs):
        details = {"message": None, "task_status": {}, "progress": 100.0}
        entities.create(
            JOBS,
            {
                "id": job,
                "name": job,
                "namespace": "default",
                "status": "completed",
                "status_details": details,
                "result": None,
                "config": {"type": "custom", "tasks": {}},
                "target": {"type": "model", "model": MODELS[0]},
            },
        )
        file = folder / "jobs" / job / "samples.jsonl"
        file.parent.mkdir(parents=True)
        with file.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(sample(number, place)) + "\n" for number in range(samples))
    entities.close()


def sample(number: int, system: int) -> dict[str, Any]:
    """What the evaluator keeps of one answer."""
    right = (number * 7 + system) % 10 < 5 + system
    request, reference = exchange(number)
    value = float(right)
    names = ("function_name_accuracy", "function_name_and_args_accuracy")
    schema = ("schema_function_name", "schema_function_name_and_args_accuracy", "argument_accuracy")
    return {
        "task": "custom-tool-calling",
        "key": f"{number:032x}",
        "index": number,
        "item": {
            "name": f"{number:016x}",
            "conversation": f"{number // 3:032x}",
            "request": request,
            "response": reference,
        },
        "request": request,
        "response": exchange(number, right=right)[1],
        "output_text": "",
        "calls": [],
        "scores": {"tool-calling-accuracy": dict.fromkeys((*names, *schema), value)},
        "details": {},
        "notes": {},
        "failure": None if right else "wrong_value",
        "error": None,
        "infrastructure": False,
        "bad_reference": None,
        "finish_reason": "tool_calls",
        "latency_ms": 20.0,
        "first_token_ms": None,
        "usage": {"prompt_tokens": 900, "completion_tokens": 30},
    }


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """`flywheel serve` on the folder; the address of its API."""
    command = [sys.executable, "-m", "flywheel", "serve", "--data", str(folder), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    try:
        address = folder / "serve.json"
        for _ in range(600):
            if address.exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        yield json.loads(address.read_text("utf-8"))["api"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def routes(run_id: str, workloads: int) -> list[str]:
    """What the pages ask for."""
    of = workload(workloads // 2)
    whose = f"client_id={of.client_id}&workload_id={of.workload_id}"
    base, best = (quote(f"{MODELS[0]} {kind}") for kind in ("base-eval", "customized-eval"))
    compared = f"/api/jobs/{run_id}/compared"
    return [
        "/api/jobs?limit=50",
        "/api/jobs?limit=50&offset=900",
        "/api/jobs?limit=50&status=failed",
        f"/api/jobs?limit=50&{whose}",
        "/api/jobs?limit=1000",
        f"/api/jobs/{run_id}",
        f"/api/jobs/{run_id}/losses",
        f"/api/jobs/{run_id}/logs?source=run",
        "/api/evaluations?limit=100",
        f"/api/evaluations?limit=100&{whose}",
        f"/api/evaluations?limit=100&model_name={quote(MODELS[1], safe='')}&eval_type=customized-eval",
        "/api/workloads?limit=50",
        "/api/workloads?limit=50&sort=count&search=workload-1",
        f"/api/workloads/profile?{whose}",
        "/api/models?limit=50",
        "/api/datasets?limit=50",
        "/api/schedules?limit=50",
        f"{compared}?limit=50",
        f"{compared}?limit=50&offset=5000",
        f"{compared}?limit=50&tool=tool_3&failure=wrong_value&of={base}",
        f"{compared}?limit=50&right={best}&wrong={base}",
        f"{compared}?limit=50&search=A-99",
        f"{compared}/{1234:016x}?wrong={base}",
    ]


def pages(run_id: str, workloads: int) -> list[str]:
    """Every kind of page of which the folder has one, and lists far down."""
    of = workload(workloads // 2)
    base = quote(f"{MODELS[0]} base-eval")
    return [
        "/runs",
        "/runs?offset=900",
        f"/runs/{run_id}",
        f"/runs/{run_id}/samples",
        f"/runs/{run_id}/samples?offset=9000&wrong={base}",
        f"/runs/{run_id}/samples/{1234:016x}",
        "/workloads",
        f"/workloads/{of.client_id}/{of.workload_id}",
        f"/compare?client_id={of.client_id}&workload_id={of.workload_id}",
        "/compare",
        "/models",
        "/datasets",
        "/schedules",
        "/health",
    ]


def drawn(url: str, run_id: str, workloads: int, times: int) -> dict[str, list[float]]:
    """Seconds of each load of each page, until everything is drawn; empty without a Chromium."""
    if CHROMIUM is None:
        return {}
    proxy, found = Proxy(), {}
    try:
        with chromium(proxy) as browser:
            page = browser.new_page(viewport={"width": 1600, "height": 1000})
            for address in pages(run_id, workloads):
                found[address] = [loaded(page, url + address) for _ in range(times)]
    finally:
        proxy.close()
    return found


def loaded(page: Any, address: str) -> float:
    page.goto("about:blank")
    began = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("main h1")
    settled(page)
    return time.perf_counter() - began


def first_comparison(http: httpx.Client, url: str, run_id: str) -> tuple[float, float]:
    """Seconds until the first page of the answers is there, and the longest that a list took meanwhile."""
    done, waits = threading.Event(), [0.0]  # Of somebody who asks ten times a second.

    def others() -> None:
        with httpx.Client(timeout=120) as other:
            while not done.wait(0.1):
                waits.append(timed(other, f"{url}/api/jobs?limit=50")[0])

    thread = threading.Thread(target=others)
    thread.start()
    seconds, _ = timed(http, f"{url}/api/jobs/{run_id}/compared?limit=50")
    done.set()
    thread.join()
    return seconds, max(waits)


def first_event(http: httpx.Client, url: str, run_id: str) -> float:
    """Seconds until a run's stream has told the run."""
    began = time.perf_counter()
    with http.stream("GET", f"{url}/api/jobs/{run_id}/events") as stream:
        next(line for line in stream.iter_lines() if line.startswith("data:"))
    return time.perf_counter() - began


def timed(http: httpx.Client, url: str) -> tuple[float, int]:
    began = time.perf_counter()
    answer = http.get(url)
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    return seconds, len(answer.content)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--workloads", type=int, default=200)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=10, help="calls of each route")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="a folder for the data, used again if it is filled already")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = asked.keep or Path(made)
        known = folder / "newest-run"
        if not known.exists():
            folder.mkdir(parents=True, exist_ok=True)
            run_id = seed(folder, runs=asked.runs, workloads=asked.workloads, samples=asked.samples)
            known.write_text(run_id, "utf-8")
        run_id = known.read_text("utf-8")
        with serving(folder) as url, httpx.Client(timeout=120) as http:
            timed(http, f"{url}/api/jobs?limit=1")
            first, waited = first_comparison(http, url, run_id)
            found = {
                route: [timed(http, url + route) for _ in range(asked.times)]
                for route in routes(run_id, asked.workloads)
            }
            event = first_event(http, url, run_id)
            seen = drawn(url, run_id, asked.workloads, asked.times)
    print(f"{asked.runs} runs, {asked.workloads} workloads, {asked.samples} samples of 6 systems")
    print(f"  {'first comparison':75} {first:7.2f} s")
    print(f"  {'longest list meanwhile':75} {waited * 1000:7.0f} ms")
    print(f"  {'first event of a run':75} {event * 1000:7.0f} ms")
    slow = first > FIRST_LIMIT_S
    told: dict[str, dict[str, float]] = {}
    for route, calls in found.items():
        slow |= tell(told, route.replace(run_id, "ID"), [seconds for seconds, _ in calls])
        told[route.replace(run_id, "ID")]["bytes"] = calls[0][1]
    shown: dict[str, dict[str, float]] = {}
    for address, loads in seen.items():
        slow |= tell(shown, "page " + address.replace(run_id, "ID"), loads)
    if asked.json:
        about = {"first_comparison_s": first, "longest_meanwhile_s": waited, "first_event_s": event}
        asked.json.write_text(json.dumps(about | {"routes": told, "pages": shown}, indent=1), "utf-8")
    return int(slow)


def tell(told: dict[str, dict[str, float]], name: str, seconds: list[float]) -> bool:
    """Print and note one line; whether its median is over the limit."""
    median, worst = statistics.median(seconds), max(seconds)
    told[name] = {"median_ms": 1000 * median, "worst_ms": 1000 * worst}
    print(f"  {name:75} {1000 * median:7.0f} ms {1000 * worst:7.0f} ms")
    return median > LIMIT_S


if __name__ == "__main__":
    sys.exit(main())
