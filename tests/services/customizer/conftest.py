"""A customizer on a stand-in training program, a hub and an entity store in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flywheel.nemo.entity_store import EntityStoreClient
from flywheel.runtime.process import ProcessRuntime
from flywheel.services.customizer import CustomizerService, Target
from services.customizer.parts import Control, MemoryEntityStore, MemoryHub, rows

TARGET = Target(
    name="flywheel/student@1.0", base_model="flywheel/student", model_path="/models/s", max_seq_length=512
)


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path / "control")


@pytest.fixture
def hub() -> MemoryHub:
    hub = MemoryHub()
    hub.put("ns/data", {"training/train_data.jsonl": rows(20), "validation/val_data.jsonl": rows(4)})
    return hub


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
) -> Iterator[Callable[[], CustomizerService]]:
    """Starts a customizer on this test's folder; call it again after `stop` for the next life."""
    lives: list[CustomizerService] = []

    def start(runtime: ProcessRuntime = runtime) -> CustomizerService:
        service = CustomizerService(
            tmp_path / "customizer",
            runtime=runtime,
            store=EntityStoreClient("http://entities.test", transport=entity_store.transport),
            hub=hub,  # type: ignore[arg-type]
            targets=[TARGET],
            resolve=lambda name: tmp_path / "model",
            train_command=control.command,
            retry_pauses_s=(0, 0),
        )
        service.start()
        lives.append(service)
        return service

    yield start
    for service in lives:
        service.stop()


@pytest.fixture
def service(start: Callable[[], CustomizerService]) -> CustomizerService:
    return start()
