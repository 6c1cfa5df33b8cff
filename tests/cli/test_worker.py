"""`flywheel worker` and `flywheel beat` as commands: what they need, and a run that they bring to its end."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import httpx
import yaml

from celery_world import asgi, finished, until
from flywheel.config import CeleryWakeups, load_settings
from flywheel.nemo.fake import NEMO_URL, PROXY_URL, FakeNemo
from flywheel.opening import open_celery, open_worker
from flywheel.orchestrator.jobs import Jobs
from flywheel.services.datastore.router import router as datastore_router
from flywheel.services.datastore.service import DatastoreService
from flywheel.web import make_app
from run_world import make_records, nim, settings
from serving_apps import serve_app

FLYWHEEL = [sys.executable, "-m", "flywheel"]


def say(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([*FLYWHEEL, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_without_celery_they_say_what_is_missing(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("nims: []\n")
    for command in ("worker", "beat"):
        code, error = say(command, "--config", str(file), "--data", str(tmp_path))
        assert code == 1
        assert f"wakeups.type: flywheel {command} needs celery, not embedded" in error


def test_without_addresses_of_the_services_a_worker_says_so(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("nims: []\nwakeups: {type: celery}\n")
    code, error = say("worker", "--config", str(file), "--data", str(tmp_path))
    assert code == 1
    assert "nmp_config: a worker must be told where the services are" in error
    assert "Traceback" not in error


def test_a_worker_and_a_beat_bring_a_run_to_its_end(tmp_path, mongo_url, redis_url):
    name = f"test-{uuid4().hex[:12]}"
    nemo, store = FakeNemo(polls=1), DatastoreService(tmp_path / "datastore")
    make_records(tmp_path).close()
    with ExitStack() as stack:
        hub = stack.enter_context(serve_app(make_app("Datastore", "nemo", [datastore_router(store)])))
        using = settings(nim()).model_dump(mode="json")
        using["nmp_config"] |= {
            "nemo_base_url": stack.enter_context(serve_app(asgi(nemo, NEMO_URL))),
            "nim_base_url": stack.enter_context(serve_app(asgi(nemo, PROXY_URL))),
            "datastore_base_url": hub,
        }
        using["runs"] = {"type": "mongo", "url": mongo_url, "database": name}
        using["wakeups"] = {
            "type": "celery",
            "broker_url": redis_url,
            "queue": name,
            "poll_interval": 0.05,
            "sweep_interval": 1,
        }
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(using))
        here = open_worker(load_settings(file), data_dir=tmp_path)
        wakeups = here.settings.wakeups
        assert isinstance(wakeups, CeleryWakeups)
        waker = open_celery(wakeups)
        arguments = ["--config", str(file), "--data", str(tmp_path)]
        processes = []
        for command in ("worker", "beat"):
            output = stack.enter_context((tmp_path / f"{command}.log").open("w"))
            processes.append(subprocess.Popen([*FLYWHEEL, command, *arguments, "--port", "0"], stderr=output))
        try:
            body = {"workload_id": "tool_router", "client_id": "support-app"}
            woken = Jobs(here, waker.wake).start(body).id
            forgotten = Jobs(here, lambda run_id: None).start(body).id
            until(lambda: finished(here, [woken, forgotten]))
            assert {here.runs.load(each).status for each in (woken, forgotten)} == {"completed"}
            said = subprocess.run(
                [*FLYWHEEL, "doctor", *arguments, "--json"],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            seen = {finding["check"]: finding["ok"] for finding in json.loads(said.stdout)}
            assert (seen["runs"], seen["redis"], seen["workers"], seen["beats"]) == (True,) * 4
            url = re.findall(r"at=(http://127\.0\.0\.1:\d+)", (tmp_path / "worker.log").read_text())[0]
            assert httpx.get(f"{url}/health/ready", timeout=20).json()["status"] == "ready"
            page = httpx.get(f"{url}/metrics", timeout=20).text
            assert 'flywheel_runs_finished_total{status="completed"} 2.0' in page
        finally:
            for process in processes:
                process.terminate()
            codes = [process.wait(20) for process in processes]
            waker.close()
            here.runs.close()
            here.logs.close()
            here.services.close()
        assert codes == [0, 0]
        assert "run completed" in Path(tmp_path / "worker.log").read_text()
