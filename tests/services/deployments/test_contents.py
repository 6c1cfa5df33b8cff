"""The hash of a served model: what changes it, what does not, and who tells it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flywheel.services.deployments import DeploymentService
from flywheel.services.deployments.contents import Contents
from services.customizer.parts import until
from services.deployments.conftest import ADAPTER
from services.deployments.test_deployments import body, names, wait_for


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode": "mean"}')
    return folder


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "1_Pooling/config.json", "new.jinja"])
def test_whatever_an_engine_reads_makes_another_model(model: Path, file: str) -> None:
    contents = Contents()
    before = contents.sha256(model)
    assert before is not None
    assert len(before) == 64
    (model / file).write_bytes(b"other!!")
    assert contents.sha256(model) != before


def test_a_renamed_file_makes_another_model(model: Path) -> None:
    before = Contents().sha256(model)
    (model / "model.safetensors").rename(model / "model-1-of-1.safetensors")
    assert Contents().sha256(model) != before


def test_what_no_engine_reads_makes_none(model: Path, tmp_path: Path) -> None:
    before = Contents().sha256(model)
    (model / "README.md").write_text("about it")
    (model / "checkpoint-5").mkdir()
    (model / "checkpoint-5/model.safetensors").write_bytes(b"older")
    model.rename(tmp_path / "elsewhere")
    assert Contents().sha256(tmp_path / "elsewhere") == before


def test_a_file_is_read_once(model: Path) -> None:
    """Size and time are what tells a change; here neither does."""
    contents, weights = Contents(), model / "model.safetensors"
    before, stat = contents.sha256(model), weights.stat()
    with weights.open("r+b") as file:
        file.write(b"WEIGHTS")
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert contents.sha256(model) == before
    assert Contents().sha256(model) != before


def test_no_files_no_hash_and_none_in_a_hurry(model: Path, tmp_path: Path) -> None:
    assert Contents().sha256(tmp_path / "nothing") is None
    assert Contents().sha256(model, over=lambda: True) is None


def test_the_proxy_tells_what_its_base_models_are_made_of(
    model: Path, service: DeploymentService, upload: Callable[..., str]
) -> None:
    upload()
    service.deploy(body())
    wait_for(service, "ready")
    until(lambda: ADAPTER in names(service))
    told = {entry["id"]: (entry["sha256"], entry["parent"]) for entry in service.models()}
    assert told == {
        "flywheel/student": (Contents().sha256(model), None),
        ADAPTER: (None, "flywheel/student"),
    }
