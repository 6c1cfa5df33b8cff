"""Deployments: up, kept up, down, and up again after a restart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flywheel.nemo.conventions import BadName, ListQuery
from flywheel.nemo.deployment import ModelDeployment
from flywheel.nemo.deployment import ModelDeploymentBody as Body
from flywheel.runtime import Status
from flywheel.runtime.process import ProcessRuntime
from flywheel.services.deployments import DeploymentService, ServedModel
from flywheel.services.deployments.service import (
    DeploymentExists,
    DeploymentNotFound,
    ModelNotReady,
    ModelNotServed,
    NotDeployable,
)
from services.customizer.parts import MemoryEntityStore, MemoryHub, until
from services.deployments.conftest import ADAPTER, Control

Start = Callable[..., DeploymentService]


def body(model: str | None = "flywheel/student", name: str = "student-1", **config: Any) -> Body:
    fields = {"name": name, "namespace": "ns", "config": {"model": model, **config}}
    return Body.model_validate(fields)


def found(service: DeploymentService, name: str = "student-1") -> ModelDeployment:
    return ModelDeployment.model_validate(service.deployment("ns", name))


def wait_for(service: DeploymentService, status: str, name: str = "student-1") -> ModelDeployment:
    until(lambda: found(service, name).status in (status, "failed"))
    deployment = found(service, name)
    assert deployment.status == status, deployment.status_details.description
    return deployment


def names(service: DeploymentService) -> list[str]:
    return [entry["id"] for entry in service.models()]


def test_a_deployment_becomes_ready_and_is_listed(service: DeploymentService) -> None:
    created = ModelDeployment.model_validate(service.deploy(body()))
    assert created.status == "created"

    ready = wait_for(service, "ready")

    assert ready.deployed
    assert ready.models == ["flywheel/student"]
    assert service.models()[0] | {"created": 0} == {
        "id": "flywheel/student",
        "object": "model",
        "created": 0,
        "owned_by": "system",
        "root": "flywheel/student",
        "parent": None,
        "max_model_len": 512,
        "permission": [],
        "sha256": None,
    }


def test_it_is_not_listed_before_its_engine_answers(service: DeploymentService, control: Control) -> None:
    control.put("hold")
    service.deploy(body())
    wait_for(service, "running")

    assert names(service) == []
    with pytest.raises(ModelNotReady, match="flywheel/student is loading"):
        service.acquire("flywheel/student")

    control.remove("hold")
    wait_for(service, "ready")
    assert names(service) == ["flywheel/student"]


def test_an_embedding_model_is_ready_when_it_gives_a_vector(
    service: DeploymentService, control: Control
) -> None:
    control.put("embeds", "cold")
    service.deploy(body())
    until(lambda: control.lines("events").count("asked for a vector") > 2)
    assert found(service).status == "running"
    assert names(service) == []

    control.remove("cold")
    wait_for(service, "ready")
    assert names(service) == ["flywheel/student"]


def test_a_model_that_is_known_to_embed_is_not_asked_to_chat(start: Start, control: Control) -> None:
    """Its chat route answers here, which would be taken for its readiness."""
    service = start(models=[ServedModel("flywheel/student", embeds=True)])
    control.put("cold")
    service.deploy(body())
    until(lambda: control.lines("events").count("asked for a vector") > 2)
    assert found(service).status == "running"
    control.remove("cold")
    wait_for(service, "ready")


def test_a_name_is_deployed_once(service: DeploymentService) -> None:
    service.deploy(body())
    with pytest.raises(DeploymentExists, match=r"^model deployment already exists$"):
        service.deploy(body())


def test_a_deleted_deployment_is_gone_at_once_and_its_engine_soon(
    service: DeploymentService, tmp_path: Path
) -> None:
    service.deploy(body())
    wait_for(service, "ready")

    service.delete("ns", "student-1")

    with pytest.raises(DeploymentNotFound):
        service.deployment("ns", "student-1")
    assert names(service) == []
    until(lambda: not engines(tmp_path))
    service.deploy(body())
    wait_for(service, "ready")


def test_deleting_while_it_loads_ends_it(
    service: DeploymentService, control: Control, tmp_path: Path
) -> None:
    control.put("hold")
    service.deploy(body())
    until(lambda: control.lines("starts"))

    service.delete("ns", "student-1")

    until(lambda: not engines(tmp_path))


def test_an_unknown_model_fails_and_is_named(service: DeploymentService) -> None:
    service.deploy(body("no/such"))
    until(lambda: found(service).status == "failed")

    assert "there is no model 'no/such'" in str(found(service).status_details.description)


def test_an_engine_that_dies_is_started_again(
    service: DeploymentService, control: Control, tmp_path: Path
) -> None:
    service.deploy(body())
    wait_for(service, "ready")

    for process in engines(tmp_path):
        process.kill()

    until(lambda: len(control.lines("starts")) == 2)
    wait_for(service, "ready")
    assert names(service) == ["flywheel/student"]


def test_an_engine_that_keeps_dying_fails_with_the_end_of_its_output(
    service: DeploymentService, control: Control
) -> None:
    control.put("die")
    service.deploy(body())
    until(lambda: found(service).status == "failed")

    description = str(found(service).status_details.description)
    assert "the engine ended: exit code 1" in description
    assert "no memory left for the weights" in description
    assert len(control.lines("starts")) == 3


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"model": None}, NotDeployable, "config.model: give the model's name"),
        ({"model": "../../etc"}, BadName, "config.model"),
        ({"model": "-x"}, BadName, "config.model"),
        ({"external_endpoint": {"host_url": "http://x"}}, NotDeployable, "external_endpoint"),
        ({"nim_deployment": {"image_name": "--privileged"}}, NotDeployable, "'--privileged' is no name"),
    ],
)
def test_what_cannot_be_deployed_is_refused_at_once(
    service: DeploymentService, config: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        service.deploy(body(**config))
    assert service.deployments(ListQuery()).data == []


# Restarts


def test_after_a_restart_what_is_wanted_comes_up_again(
    start: Start, runtime: ProcessRuntime, tmp_path: Path, upload: Callable[..., str]
) -> None:
    first_life = start()
    first_life.deploy(body())
    first_life.deploy(body("no/such", name="broken"))
    upload()
    until(lambda: names(first_life) == ["flywheel/student", ADAPTER])
    until(lambda: found(first_life, "broken").status == "failed")
    first_life.stop()
    runtime.close()

    second = ProcessRuntime(tmp_path / "runtime")
    second.reap()
    second_life = start(second)

    assert found(second_life).status == "pending"
    until(lambda: names(second_life) == ["flywheel/student", ADAPTER])
    assert found(second_life, "broken").status == "failed"
    second_life.stop()
    second.close()


def test_an_engine_that_still_runs_is_taken_over(start: Start, control: Control) -> None:
    first_life = start()
    first_life.deploy(body())
    wait_for(first_life, "ready")
    first_life.stop()

    second_life = start()

    wait_for(second_life, "ready")
    assert len(control.lines("starts")) == 1


# Adapters


def test_an_uploaded_adapter_is_loaded_and_listed_with_its_parent(
    service: DeploymentService, control: Control, upload: Callable[..., str]
) -> None:
    service.deploy(body())
    wait_for(service, "ready")
    digest = upload()

    until(lambda: ADAPTER in names(service))

    assert control.lines("loaded") == [f"{ADAPTER} {digest}"]
    entry = service.model(ADAPTER)
    assert (entry["parent"], entry["root"]) == ("flywheel/student", f"hf://{ADAPTER}")
    assert found(service).models == ["flywheel/student", ADAPTER]


def test_an_adapter_that_is_not_uploaded_yet_waits(
    service: DeploymentService, upload: Callable[..., str], entity_store: MemoryEntityStore
) -> None:
    service.deploy(body())
    wait_for(service, "ready")
    upload(status="created")
    upload("ns/other@cust-2")
    until(lambda: "ns/other@cust-2" in names(service))
    assert ADAPTER not in names(service)

    entity_store.entities[f"models/{ADAPTER}"]["artifact"]["status"] = "upload_completed"

    until(lambda: ADAPTER in names(service))


def test_an_adapter_is_looked_for_when_it_is_asked_for(
    service: DeploymentService, upload: Callable[..., str]
) -> None:
    service.deploy(body())
    wait_for(service, "ready")
    upload()

    assert service.acquire(ADAPTER).model == "flywheel/student"


def test_an_adapter_that_disappears_is_unloaded(
    service: DeploymentService,
    control: Control,
    upload: Callable[..., str],
    entity_store: MemoryEntityStore,
    tmp_path: Path,
) -> None:
    service.deploy(body())
    upload()
    until(lambda: ADAPTER in names(service))

    del entity_store.entities[f"models/{ADAPTER}"]

    until(lambda: names(service) == ["flywheel/student"])
    until(lambda: control.lines("loaded")[-1] == f"-{ADAPTER}")
    until(lambda: not list(tmp_path.glob("deployments/adapters/*")))


def test_an_adapter_comes_back_with_its_engine(
    service: DeploymentService, control: Control, upload: Callable[..., str], tmp_path: Path
) -> None:
    service.deploy(body())
    upload()
    until(lambda: ADAPTER in names(service))

    for process in engines(tmp_path):
        process.kill()

    until(lambda: len(control.lines("loaded")) == 2)
    until(lambda: ADAPTER in names(service))


def test_an_adapter_with_other_content_than_recorded_is_not_loaded(
    service: DeploymentService, control: Control, upload: Callable[..., str]
) -> None:
    service.deploy(body())
    wait_for(service, "ready")
    upload(recorded="0" * 64)

    until(lambda: adapters(service))

    (shown,) = adapters(service)
    assert shown["status"] == "failed"
    assert "0000 was recorded" in shown["detail"]
    assert control.lines("loaded") == []
    with pytest.raises(ModelNotReady, match="was recorded"):
        service.acquire(ADAPTER)


def test_an_adapter_that_the_engine_refuses_is_tried_again(
    service: DeploymentService, control: Control, upload: Callable[..., str]
) -> None:
    control.put("refuse")
    service.deploy(body())
    wait_for(service, "ready")
    upload()
    until(lambda: adapters(service))
    assert "rank 4096 is too large" in adapters(service)[0]["detail"]

    control.remove("refuse")

    until(lambda: ADAPTER in names(service))
    assert adapters(service) == [{"name": ADAPTER, "status": "loaded"}]


def test_an_entity_store_that_is_down_stops_nothing(
    service: DeploymentService, entity_store: MemoryEntityStore, upload: Callable[..., str], hub: MemoryHub
) -> None:
    entity_store.down = True
    service.deploy(body())
    wait_for(service, "ready")
    with pytest.raises(ModelNotServed, match="models that answer now: flywheel/student"):
        service.acquire(ADAPTER)

    upload()
    entity_store.down = False

    until(lambda: ADAPTER in names(service))


def adapters(service: DeploymentService) -> list[dict[str, str]]:
    shown: list[dict[str, str]] = service.deployment("ns", "student-1")["adapters"]
    return shown


def engines(tmp_path: Path) -> list[psutil.Process]:
    """The living engines of this test."""
    living = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if str(tmp_path) in command and process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
        except psutil.Error:
            continue
    return living


# A runtime that moves its programs about, as a cluster does


class Crowded(ProcessRuntime):
    """Has no place until `free` is set; then `life` says which start of the program this is."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.free, self.life = threading.Event(), "1"

    def wait(self, name: str, timeout_s: float) -> Status:
        if not self.free.is_set():
            return Status(state="pending", cause="Unschedulable: 0/3 nodes have 1 nvidia.com/gpu free")
        return super().wait(name, timeout_s).model_copy(update={"life": self.life})


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Crowded]:
    runtime = Crowded(tmp_path / "runtime-2")
    yield runtime
    runtime.close()


def test_what_waits_for_a_place_says_so_and_is_not_listed(start: Start, crowded: Crowded) -> None:
    service = start(crowded)
    service.deploy(body())

    until(lambda: "0/3 nodes have 1 nvidia.com/gpu free" in str(found(service).status_details.description))
    assert found(service).status == "pending"
    assert names(service) == []

    crowded.free.set()
    wait_for(service, "ready")


def test_an_engine_that_was_started_elsewhere_is_given_its_adapters_again(
    start: Start, crowded: Crowded, control: Control, upload: Callable[..., str]
) -> None:
    crowded.free.set()
    service = start(crowded)
    service.deploy(body())
    upload()
    until(lambda: ADAPTER in names(service))

    crowded.life = "2"

    until(lambda: len(control.lines("loaded")) == 2)
    until(lambda: ADAPTER in names(service))
    assert len(control.lines("starts")) == 1
