"""Deployments on a stand-in engine, with a hub and an entity store in memory."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from flywheel.hub import ModelNotFound
from flywheel.nemo.entity_store import EntityStoreClient
from flywheel.runtime.process import ProcessRuntime
from flywheel.services.deployments import DeploymentService, ServedModel, proxy_router, router
from flywheel.services.deployments.engines import Engine, Wanted, local
from flywheel.services.deployments.keeper import Patience
from flywheel.web import make_app
from services.customizer.parts import MemoryEntityStore, MemoryHub
from serving_apps import nemo_app, serve_app

STAND_IN = Path(__file__).with_name("stand_in_engine.py")
ADAPTER = "ns/customized@cust-1"


class Control:
    """Steers the stand-in engines by files, and sees what they did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def put(self, *names: str) -> None:
        for name in names:
            (self.folder / name).touch()

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path / "control")


@pytest.fixture
def hub() -> MemoryHub:
    return MemoryHub()


@pytest.fixture
def entity_store() -> MemoryEntityStore:
    return MemoryEntityStore()


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[ProcessRuntime]:
    runtime = ProcessRuntime(tmp_path / "runtime")
    yield runtime
    runtime.close()


@pytest.fixture
def start(
    tmp_path: Path, control: Control, hub: MemoryHub, entity_store: MemoryEntityStore, runtime: ProcessRuntime
) -> Iterator[Callable[..., DeploymentService]]:
    """Starts a deployment service on this test's folder; call it again after `stop` for the next life."""
    lives: list[DeploymentService] = []

    def build(wanted: Wanted) -> object:
        spec = local(wanted)
        command = (sys.executable, "-S", str(STAND_IN), spec.command[-1], str(control.folder))
        return spec.model_copy(update={"command": command})

    def resolve(name: str) -> Path:
        if name == "no/such":
            raise ModelNotFound(name, "the hub does not know it")
        return tmp_path / "model"

    def start(
        runtime: ProcessRuntime = runtime,
        models: Sequence[ServedModel] = (ServedModel("flywheel/student", context_length=512),),
    ) -> DeploymentService:
        service = DeploymentService(
            tmp_path / "deployments",
            runtime=runtime,
            store=EntityStoreClient("http://entities.test", transport=entity_store.transport),
            hub=hub,  # type: ignore[arg-type]
            models=models,
            resolve=resolve,
            engines={"local": Engine(build, "/v1/health/ready")},  # type: ignore[arg-type]
            patience=Patience(startup=20, look=0.02, restart_pauses=(0.01, 0.01)),
            sync_interval_s=0.05,
        )
        service.start()
        lives.append(service)
        return service

    yield start
    for service in lives:
        service.stop()


@pytest.fixture
def service(start: Callable[..., DeploymentService]) -> DeploymentService:
    return start()


@pytest.fixture
def nemo(service: DeploymentService) -> Iterator[str]:
    with serve_app(nemo_app("deployments", router(service))) as address:
        yield address


@pytest.fixture
def proxy(service: DeploymentService) -> Iterator[str]:
    with serve_app(make_app("proxy", "openai", [proxy_router(service)])) as address:
        yield address


@pytest.fixture
def upload(hub: MemoryHub, entity_store: MemoryEntityStore) -> Callable[..., str]:
    """Uploads an adapter and registers it; returns the hash of its weights."""

    def upload(name: str = ADAPTER, status: str = "upload_completed", recorded: str | None = None) -> str:
        namespace, rest = name.split("/")
        repo, revision = name.split("@")
        digest = hashlib.sha256(name.encode()).hexdigest()
        files = {"adapter_model.safetensors": name.encode(), "adapter_config.json": b"{}"}
        hub.repos["model", repo, revision] = files
        entity_store.entities[f"models/{name}"] = {
            "name": rest,
            "namespace": namespace,
            "base_model": "flywheel/student",
            "peft": {"finetuning_type": "lora"},
            "artifact": {"status": status, "files_url": f"hf://{name}"},
            "custom_fields": {"sha256": recorded or digest},
        }
        return digest

    return upload
