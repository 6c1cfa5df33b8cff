"""Datastore, customizer and deployments together over HTTP, killed with kill -9 while they work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flywheel.hub import Hub
from flywheel.nemo.customization import CustomizationClient, CustomizationJob
from flywheel.nemo.datastore import hub_endpoint
from flywheel.nemo.deployment import DeploymentClient
from flywheel.nemo.entity_store import EntityStoreClient
from flywheel.nemo.inference import InferenceClient
from services.customizer.parts import Control, rows, until

LIFE = Path(__file__).with_name("life.py")
JOB: dict[str, Any] = {
    "config": "flywheel/student@v1.0.0+local",
    "dataset": "ns/data",
    "namespace": "ns",
    "output_model": "ns/customized-flywheel-student",
    "hyperparameters": {"finetuning_type": "lora", "log_every_n_steps": 1},
}
DEPLOYMENT = {"name": "student", "namespace": "ns", "config": {"model": "flywheel/student"}}


class Life:
    """The services in a process of their own."""

    def __init__(self, data: Path, control: Control) -> None:
        command = [sys.executable, str(LIFE), str(data), str(control.folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        assert self._process.stdout is not None
        addresses = json.loads(self._process.stdout.readline())
        self.hub = Hub(hub_endpoint(addresses["nemo"]))
        self.entities = EntityStoreClient(addresses["nemo"])
        self.customizer = CustomizationClient(addresses["nemo"])
        self.deployments = DeploymentClient(addresses["nemo"])
        self.models = InferenceClient(addresses["proxy"])

    def create_job(self) -> CustomizationJob:
        files = {"training/a.jsonl": rows(20).encode(), "validation/b.jsonl": rows(4).encode()}
        self.hub.upload("ns/data", files, repo_type="dataset", message="rows")
        self.entities.create_dataset(
            {"name": "data", "namespace": "ns", "files_url": "hf://datasets/ns/data"}
        )
        return self.customizer.create_job(JOB)

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        for client in (self.entities, self.customizer, self.deployments, self.models):
            client.close()


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path / "control")


@pytest.fixture
def lives(tmp_path: Path, control: Control) -> Iterator[list[Life]]:
    lives = [Life(tmp_path, control)]
    yield lives
    lives[-1].close()
    until(lambda: not launched(tmp_path))


def test_an_adapter_is_trained_uploaded_and_served(lives: list[Life], control: Control) -> None:
    (life,) = lives
    life.deployments.create(DEPLOYMENT)
    control.allow()

    job = life.create_job()
    until(lambda: life.customizer.job_status(job.id).finished, 60)

    assert life.customizer.job_status(job.id).status == "completed"
    model = f"ns/customized-flywheel-student@{job.id}"
    assert job.output_model == model
    until(lambda: life.models.serves(model), 60)
    repo, revision = model.split("@")
    assert life.hub.exists(repo, repo_type="model", path="adapter_model.safetensors", revision=revision)
    entity = life.entities.model("ns", model.split("/")[1])
    assert entity is not None
    assert entity.artifact is not None
    assert (entity.artifact.status, entity.artifact.files_url) == ("upload_completed", f"hf://{model}")

    life.entities.delete_model("ns", model.split("/")[1])
    until(lambda: not life.models.serves(model), 60)


def test_kill_9_in_the_middle_of_training_and_serving(
    lives: list[Life], control: Control, tmp_path: Path
) -> None:
    (first,) = lives
    first.deployments.create(DEPLOYMENT)
    until(lambda: first.models.serves("flywheel/student"), 60)
    job = first.create_job()
    control.allow(1, 2)
    until(lambda: first.customizer.job_status(job.id).steps_completed == 2, 60)

    first.kill()
    until(lambda: not launched(tmp_path))
    lives.append(second := Life(tmp_path, control))
    control.allow()
    until(lambda: second.customizer.job_status(job.id).finished, 60)

    assert second.customizer.job_status(job.id).status == "completed"
    assert control.trained_steps == [1, 2, 3, 4]
    until(lambda: second.models.serves(str(job.output_model)), 60)
    found = second.deployments.get("ns", "student")
    assert found is not None
    assert found.status == "ready"


def test_kill_9_right_after_training_trains_nothing_again(
    lives: list[Life], control: Control, tmp_path: Path
) -> None:
    (first,) = lives
    job = first.create_job()
    control.allow()
    until(lambda: list(tmp_path.glob("customizer/jobs/*/output/adapter")), 60)

    first.kill()
    lives.append(second := Life(tmp_path, control))
    until(lambda: second.customizer.job_status(job.id).finished, 60)

    assert second.customizer.job_status(job.id).status == "completed"
    assert control.trained_steps == [1, 2, 3, 4]


def launched(tmp_path: Path) -> list[int]:
    """Every living process that this test's runtime launched."""
    mark, found = str(tmp_path / "runtime"), []
    for process in psutil.process_iter():
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and process.environ().get("FLYWHEEL_RUNTIME") == mark:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
