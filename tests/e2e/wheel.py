"""Drives a real `flywheel serve` from outside, as users and accidents would: start, post, watch, kill -9."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

CONFIG = """
nims:
  - model_name: "flywheel/student"
    context_length: 2048
    customization_enabled: true
    customizer_configs: {max_seq_length: 1024}
training_config: {epochs: 1, batch_size: 8, learning_rate: 0.006}
lora_config: {adapter_dim: 16, alpha: 16, adapter_dropout: 0.0}
evaluation_config: {max_tokens: 128}
data_split_config: {eval_size: 12, val_ratio: 0.1, min_total_records: 20, limit: 100}
icl_config: {max_context_length: 2048, reserved_tokens: 256, max_examples: 2, min_examples: 1}
wakeups: {type: embedded, poll_interval: 0.1}
"""
DEADLINE_S = 600.0
"""A machine may be busy with other things; a healthy step takes seconds."""


Job = dict[str, Any]
ASKED = {"workload_id": "tool_router", "client_id": "support-app"}


def evaluation(job: Job, eval_type: str) -> Job:
    found = [e for nim in job["nims"] for e in nim["evaluations"] if e["eval_type"] == eval_type]
    return found[0] if found else {}


def begun(eval_type: str) -> Callable[[Job], bool]:
    return lambda job: bool(evaluation(job, eval_type).get("started_at"))


def training(job: Job) -> Job:
    found = [c for nim in job["nims"] for c in nim["customizations"]]
    return found[0] if found else {}


STEPS: list[tuple[str, Callable[[Job], bool]]] = [
    ("curate", lambda job: job["status"] == "running"),
    ("deploy", lambda job: any(nim["deployment_status"] for nim in job["nims"])),
    ("base-eval", begun("base-eval")),
    ("customize", lambda job: (training(job).get("progress") or 0) > 0),
    ("adapter", lambda job: bool(training(job).get("customized_model"))),
    ("customized-eval", begun("customized-eval")),
    ("decide", lambda job: bool(job["decision"])),
]
"""A step of a run, and whether a job's document shows that it was reached."""


class Wheel:
    """A data folder and the server that works in it; the server may die and be started again.

    `workers` are Celery workers beside it, for a configuration that wants them.
    """

    def __init__(self, folder: Path, config: str = CONFIG) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.config = folder / "config.yaml"
        self.config.write_text(config, "utf-8")
        self.process: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.url = ""

    def start(self) -> None:
        """Start the server in a process group of its own and wait until it answers."""
        self.process = self._spawn("serve", "--port", "0")
        self.until(self._answers, "the server to answer", 120)

    def start_worker(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `flywheel worker` or, with "beat", `flywheel beat`, on the same configuration."""
        urls = {"nemo_base_url": self.nemo, "nim_base_url": self.models, "datastore_base_url": self.nemo}
        more = {f"FLYWHEEL_NMP_CONFIG__{name.upper()}": url for name, url in urls.items()}
        self.workers.append(self._spawn(*(arguments or ("worker",)), env=more))
        return self.workers[-1]

    def _spawn(
        self, command: str, *arguments: str, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """`flywheel COMMAND` in a process group of its own, with its output in serve.log."""
        line = [sys.executable, "-m", "flywheel", command, "--data", str(self.data)]
        line += ["--config", str(self.config), *arguments]
        with (self.folder / "serve.log").open("ab") as log:
            return subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **(env or {})},
            )

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"serve ended:\n{self.log()}"
        with contextlib.suppress(OSError, ValueError, KeyError):
            recorded = json.loads((self.data / "serve.json").read_text())
            if recorded["pid"] == self.process.pid:
                self.url = recorded["api"]
                self.nemo = recorded["nemo"]
                self.models = recorded["models"]
                return True
        return False

    def log(self) -> str:
        return (self.folder / "serve.log").read_text(errors="replace")[-6000:]

    def flywheel(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run the command line against this folder."""
        return subprocess.run(
            [sys.executable, "-m", "flywheel", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=True,
            env={**os.environ, "FLYWHEEL_DATA": str(self.data)},
        )

    def post(self, **body: Any) -> str:
        answer = httpx.post(f"{self.url}/api/jobs", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def job(self, run_id: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/api/jobs/{run_id}", timeout=30)
        answer.raise_for_status()
        job: dict[str, Any] = answer.json()
        return job

    def wait_for(self, run_id: str, when: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Poll the job until `when` holds for its document."""
        last: dict[str, Any] = {}

        def look() -> bool:
            last.update(self.job(run_id))
            return when(last)

        self.until(look, what, DEADLINE_S, detail=lambda: json.dumps(last, indent=1)[:4000])
        return last

    def until(
        self, done: Callable[[], bool], what: str, seconds: float, detail: Callable[[], str] = lambda: ""
    ) -> None:
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, f"waited {seconds} s in vain for {what}\n{detail()}\n{self.log()}"
            time.sleep(0.03)

    def kill(self) -> None:
        """kill -9 of the whole process group, as an out-of-memory killer or a power cut would have it."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.until(lambda: not self.leftovers(), "every child to be gone", 15, lambda: str(self.leftovers()))

    def stop(self) -> None:
        """Ctrl-C, politely."""
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(60)
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    def leftovers(self) -> list[str]:
        """Command lines of living processes that work in this folder."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            line = " ".join(process.info["cmdline"] or [])
            if str(self.folder) in line and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(line)
        return found

    def children(self) -> list[str]:
        """Command lines of the trainings and model servers that run now."""
        return [
            line for line in self.leftovers() if "flywheel.training" in line or "flywheel.serving" in line
        ]


def completed(server: Wheel, run_id: str) -> Job:
    """The job's document when it is over, which must be well."""
    job = server.wait_for(run_id, lambda j: j["status"] not in ("queued", "running"), "the run's end")
    assert job["status"] == "completed", job["error"]
    return job


def same_turn(job: Job, other: Job) -> None:
    """Both runs had the same data, learned the same and scored the same."""
    assert _datasets(job) == _datasets(other)
    for key in ("train_loss", "val_loss"):
        assert math.isclose(training(job)[key], training(other)[key], rel_tol=1e-3), key
    assert _scores(job) == _scores(other)


def _datasets(job: Job) -> dict[str, str]:
    return {dataset["kind"]: dataset["sha256"] for dataset in job["datasets"]}


def _scores(job: Job) -> dict[str, dict[str, float]]:
    return {e["eval_type"]: e["scores"] for nim in job["nims"] for e in nim["evaluations"]}


def teacher_log(folder: Path, records: int) -> Path:
    """A file with `records` records of the demo's `tool_router` workload."""
    everything, log = folder / "all.jsonl", folder / "records.jsonl"
    command = [sys.executable, "-m", "flywheel.synthesis.support", "--seed", "7", "--out", str(everything)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    wanted = [line for line in everything.read_text("utf-8").splitlines() if '"tool_router"' in line]
    log.write_text("\n".join(wanted[:records]), "utf-8")
    return log


@contextlib.contextmanager
def wheel(folder: Path, records: int = 300, config: str = CONFIG) -> Iterator[Wheel]:
    """A running server with `records` records of the demo's `tool_router` workload in it."""
    made = Wheel(folder, config)
    log = teacher_log(folder, records)
    made.flywheel(
        "records", "import", str(log), *(("--config", str(made.config)) if config != CONFIG else ())
    )
    made.start()
    try:
        yield made
    finally:
        made.stop()
        assert not made.leftovers()
