"""NVIDIA's own SDK drives the customizer over HTTP, refusing any answer that is not what it documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from nemo_microservices import (
    ConflictError,
    NeMoMicroservices,
    NotFoundError,
    UnprocessableEntityError,
)

from flywheel.nemo.customization import CustomizationClient
from flywheel.services.customizer import CustomizerService, router
from services.customizer.parts import Control, until
from serving_apps import nemo_app, serve_app

OPTION = {"training_type": "sft", "finetuning_type": "lora", "num_gpus": 1, "micro_batch_size": 1}
CONFIG: dict[str, Any] = {
    "name": "student@v1.0.0+dfw",
    "namespace": "ns",
    "target": "flywheel/student@1.0",
    "training_options": [OPTION],
    "training_precision": "bf16-mixed",
    "max_seq_length": 512,
}
JOB: dict[str, Any] = {
    "config": "ns/student@v1.0.0+dfw",
    "dataset": {"name": "data", "namespace": "ns"},
    "hyperparameters": {
        "finetuning_type": "lora",
        "training_type": "sft",
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 0.0001,
        "lora": {"adapter_dim": 32, "adapter_dropout": 0.1},
    },
    "output_model": "ns/customized-flywheel-student",
    "namespace": "ns",
}


@pytest.fixture
def address(service: CustomizerService) -> Iterator[str]:
    with serve_app(nemo_app("customizer", router(service))) as address:
        yield address


@pytest.fixture
def sdk(address: str) -> Iterator[NeMoMicroservices]:
    with NeMoMicroservices(base_url=address, _strict_response_validation=True) as sdk:
        yield sdk


def test_a_job_from_creation_to_completion(sdk: NeMoMicroservices, control: Control) -> None:
    sdk.customization.configs.create(**CONFIG)
    job = sdk.customization.jobs.create(**JOB, wandb_api_key="nothing")
    assert job.id is not None
    assert job.id.startswith("cust-")
    assert job.status == "created"
    assert job.output_model == f"ns/customized-flywheel-student@{job.id}"
    assert job.dataset == "ns/data"
    assert job.hyperparameters.lora is not None
    assert job.hyperparameters.lora.alpha == 16
    assert job.hyperparameters.sequence_packing_enabled is False

    control.allow()
    until(lambda: sdk.customization.jobs.status(job.id or "").status == "completed")

    done = sdk.customization.jobs.status(job.id)
    assert done.percentage_done == 100.0
    assert done.metrics is not None
    assert done.metrics.keys == ["train_loss", "val_loss"]
    assert done.status_logs is not None
    assert done.status_logs[0].message == "created"
    found = sdk.customization.jobs.retrieve(job.id)
    assert found.config_snapshot is not None
    assert found.config_snapshot.base_model == "flywheel/student"
    logs = sdk.customization.jobs.container_logs(job.id)
    assert logs.entries is not None
    assert "training" in str(logs.entries[job.id].logs)


def test_cancel(sdk: NeMoMicroservices, control: Control) -> None:
    sdk.customization.configs.create(**CONFIG)
    job = sdk.customization.jobs.create(**JOB)
    until(lambda: control.starts)

    assert sdk.customization.jobs.cancel(job.id or "").status == "cancelling"
    until(lambda: sdk.customization.jobs.status(job.id or "").status == "cancelled")


def test_cancel_by_the_address_that_the_blueprint_calls(
    sdk: NeMoMicroservices, address: str, control: Control
) -> None:
    sdk.customization.configs.create(**CONFIG)
    job = sdk.customization.jobs.create(**JOB)

    assert httpx.post(f"{address}/v1/customizations/{job.id}/cancel", timeout=10).status_code == 200
    until(lambda: sdk.customization.jobs.status(job.id or "").status == "cancelled")


def test_jobs_are_listed_and_the_list_ends(sdk: NeMoMicroservices, control: Control) -> None:
    control.allow()
    sdk.customization.configs.create(**CONFIG)
    ids = {sdk.customization.jobs.create(**JOB).id for _ in range(3)}

    assert {job.id for job in sdk.customization.jobs.list(page_size=2)} == ids
    assert list(sdk.customization.jobs.list(filter={"status": "failed"})) == []
    assert len(list(sdk.customization.jobs.list(filter={"epochs": 2, "namespace": "ns"}))) == 3


def test_configs(sdk: NeMoMicroservices) -> None:
    config = sdk.customization.configs.create(**CONFIG)
    assert config.name == "student@v1.0.0+dfw"
    with pytest.raises(ConflictError, match="409"):
        sdk.customization.configs.create(**CONFIG)

    changed = sdk.customization.configs.update(
        config_name="student@v1.0.0+dfw",
        namespace="ns",
        max_seq_length=1024,
        add_training_options=[{**OPTION, "finetuning_type": "all_weights"}],  # type: ignore[typeddict-item]
        remove_training_options=[{"training_type": "sft", "finetuning_type": "lora"}],
    )
    assert changed.max_seq_length == 1024
    assert [option.finetuning_type for option in changed.training_options] == ["all_weights"]

    found = sdk.customization.configs.retrieve("student@v1.0.0+dfw", namespace="ns")
    assert not isinstance(found.target, str)
    assert found.target is not None
    assert found.target.base_model == "flywheel/student"
    by_target = sdk.customization.configs.list(
        filter={"target_base_model": "flywheel/student", "target_enabled": True}, sort="name"
    )
    assert "student@v1.0.0+dfw" in [config.name for config in by_target]

    sdk.customization.configs.delete("student@v1.0.0+dfw", namespace="ns")
    with pytest.raises(NotFoundError):
        sdk.customization.configs.retrieve("student@v1.0.0+dfw", namespace="ns")


def test_targets(sdk: NeMoMicroservices) -> None:
    seeded = sdk.customization.targets.retrieve("student@1.0", namespace="flywheel")
    assert (seeded.base_model, seeded.status, seeded.enabled) == ("flywheel/student", "ready", True)

    target = sdk.customization.targets.create(
        name="llama@2.0",
        namespace="meta",
        num_parameters=1_000_000_000,
        precision="bf16",
        base_model="meta/llama",
        model_uri="hf://meta-llama/llama",
    )
    assert target.model_path == "meta/llama"
    changed = sdk.customization.targets.update("llama@2.0", namespace="meta", model_path="other/llama")
    assert changed.model_path == "other/llama"
    names = [found.name for found in sdk.customization.targets.list(filter={"base_model": "meta/llama"})]
    assert names == ["llama@2.0"]

    deleted = sdk.customization.targets.delete("llama@2.0", namespace="meta")
    assert deleted is not None
    with pytest.raises(NotFoundError):
        sdk.customization.targets.retrieve("llama@2.0", namespace="meta")


def test_mistakes_are_named(sdk: NeMoMicroservices) -> None:
    with pytest.raises(NotFoundError, match="target 'no/such@1' does not exist; there are: flywheel/student"):
        sdk.customization.configs.create(**{**CONFIG, "target": "no/such@1"})
    with pytest.raises(NotFoundError, match=r"config 'ns/student@v1.0.0\+dfw' does not exist"):
        sdk.customization.jobs.create(**JOB)
    sdk.customization.configs.create(**CONFIG)
    with pytest.raises(NotFoundError, match="dataset 'ns/other'"):
        sdk.customization.jobs.create(**{**JOB, "dataset": "ns/other"})
    with pytest.raises(UnprocessableEntityError, match="finetuning_type: 'all_weights' is not offered"):
        sdk.customization.jobs.create(**{**JOB, "hyperparameters": {"finetuning_type": "all_weights"}})
    bad = {"finetuning_type": "lora", "epochs": 0}
    with pytest.raises(UnprocessableEntityError, match="greater than or equal to 1"):
        sdk.customization.jobs.create(**{**JOB, "hyperparameters": bad})
    with pytest.raises(NotFoundError, match="no customization job 'cust-x'"):
        sdk.customization.jobs.status("cust-x")


def test_our_own_client_makes_the_config_what_it_wants(address: str, control: Control) -> None:
    client = CustomizationClient(address)
    client.ensure_config(CONFIG)

    assert client.ensure_config({**CONFIG, "max_seq_length": 256}).max_seq_length == 256

    job = client.create_job({**JOB, "custom_fields": {"run_id": "r1"}})
    assert [found.id for found in client.jobs_with({"run_id": "r1"})] == [job.id]
    assert client.jobs_with({"run_id": "r2"}) == []
    client.cancel_job(job.id)
    until(lambda: client.job_status(job.id).finished)
    client.cancel_job("cust-nothing")
    client.close()
