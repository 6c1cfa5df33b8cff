"""Jobs of the customizer: from the data set to the uploaded adapter, and what may go wrong between."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from counted import counted
from flywheel.errors import UpstreamError
from flywheel.nemo.conventions import ListQuery
from flywheel.nemo.customization import CustomizationJob, CustomizationStatus, JobBody
from flywheel.runtime import LaunchSpec
from flywheel.runtime.fake import FakeRuntime
from flywheel.runtime.process import ProcessRuntime
from flywheel.services.customizer import CustomizerService
from flywheel.services.customizer.catalog import UnknownReference
from flywheel.services.customizer.jobs import JobFinished, NotOffered
from flywheel.services.customizer.service import DatasetNotFound
from flywheel.services.customizer.work import OutputModelTaken
from services.customizer.parts import Control, MemoryEntityStore, MemoryHub, numbers, rows, until

Start = Callable[..., CustomizerService]


def body(**change: Any) -> JobBody:
    fields: dict[str, Any] = {
        "config": "flywheel/student@v1.0.0+local",
        "dataset": {"namespace": "ns", "name": "data"},
        "namespace": "ns",
        "output_model": "ns/customized-flywheel-student",
        "hyperparameters": {"finetuning_type": "lora", "epochs": 2, "log_every_n_steps": 1},
    }
    return JobBody.model_validate(fields | change)


def status(service: CustomizerService, job_id: str) -> CustomizationStatus:
    return CustomizationStatus.model_validate(service.job_status(job_id))


def create(service: CustomizerService, **change: Any) -> CustomizationJob:
    return CustomizationJob.model_validate(service.create_job(body(**change)))


def wait_for(service: CustomizerService, job_id: str, wanted: str) -> CustomizationStatus:
    until(lambda: status(service, job_id).status == wanted or status(service, job_id).finished)
    found = status(service, job_id)
    assert found.status == wanted, found.reason
    return found


def test_a_job_ends_with_its_adapter_in_the_data_store(
    service: CustomizerService, control: Control, hub: MemoryHub, entity_store: MemoryEntityStore
) -> None:
    control.allow()

    job = create(service)
    done = wait_for(service, job.id, "completed")

    model = f"ns/customized-flywheel-student@{job.id}"
    assert job.output_model == model
    assert done.percentage_done == 100.0
    assert (done.steps_completed, done.epochs_completed, done.best_epoch) == (4, 2, 2)
    assert (done.train_loss, done.val_loss) == (0.25, 0.35)
    for revision in (job.id, "main"):
        files = hub.repos["model", "ns/customized-flywheel-student", revision]
        assert set(files) == {"adapter_config.json", "adapter_model.safetensors", "flywheel.json"}
    artifact = entity_store.artifact(model)
    assert artifact["status"] == "upload_completed"
    assert artifact["files_url"] == f"hf://{model}"


def test_the_model_is_registered_before_training_and_not_ready(
    service: CustomizerService, entity_store: MemoryEntityStore
) -> None:
    job = create(service)

    assert job.output_model is not None
    assert entity_store.artifact(job.output_model)["status"] == "created"


def test_training_is_told_what_the_job_says_and_nemos_defaults(
    service: CustomizerService, control: Control, tmp_path: Path
) -> None:
    control.allow()
    job = create(service, hyperparameters={"finetuning_type": "lora", "learning_rate": 0.002})
    wait_for(service, job.id, "completed")

    spec = json.loads((tmp_path / f"customizer/jobs/{job.id}/spec.json").read_text())

    hyperparameters = spec["hyperparameters"]
    assert (hyperparameters["epochs"], hyperparameters["batch_size"]) == (50, 8)
    assert (hyperparameters["learning_rate"], hyperparameters["lora"]["alpha"]) == (0.002, 16)
    assert hyperparameters["min_learning_rate"] == pytest.approx(0.0002)
    assert spec["model_name"] == "flywheel/student"
    assert (spec["max_seq_length"], spec["precision"]) == (512, "auto")
    assert spec["stdin_lifeline"] is True


def test_progress_is_shown_by_steps_with_fractions(service: CustomizerService, control: Control) -> None:
    job = create(service)
    control.allow(1, 2, 3)
    until(lambda: status(service, job.id).steps_completed == 3)

    now = status(service, job.id)

    assert now.status == "running"
    assert (now.percentage_done, now.epoch, now.epochs_completed) == (75.0, 1.5, 1)
    assert (now.steps_total, now.steps_per_epoch, now.eta_s) == (4, 2, 1.0)
    assert now.metrics is not None
    assert [point.step for point in now.metrics.metrics["train_loss"]] == [1, 2, 3]
    assert [point.value for point in now.metrics.metrics["val_loss"]] == [0.6]
    assert now.elapsed_time > 0
    control.allow()
    wait_for(service, job.id, "completed")


def test_the_log_tells_the_stages_in_order(service: CustomizerService, control: Control) -> None:
    control.allow()
    job = create(service)
    done = wait_for(service, job.id, "completed")

    assert [entry.message for entry in done.status_logs] == [
        "created",
        "EntityHandler_0_Running",
        "EntityHandler_0_Completed",
        "TrainingJobCreated",
        "TrainingJobRunning",
        "TrainingJobCompleted",
        "EntityHandler_1_Running",
        "EntityHandler_1_Completed",
        "completed",
    ]


def test_without_validation_files_a_tenth_is_set_aside_and_always_the_same(
    service: CustomizerService, control: Control, hub: MemoryHub, tmp_path: Path
) -> None:
    hub.put("ns/data", {"training/a.jsonl": rows(30), "training/b.jsonl": rows(20)})
    data = []
    for _ in range(2):
        job = create(service)
        folder = tmp_path / f"customizer/jobs/{job.id}/data"
        until(lambda job=job: status(service, job.id).status_logs[-1].message == "TrainingJobRunning")
        data.append((numbers(folder / "train.jsonl"), numbers(folder / "validation.jsonl")))
        service.cancel_job(job.id)
        wait_for(service, job.id, "cancelled")

    train, validation = data[0]
    assert (len(train), len(validation)) == (45, 5)
    assert data[0] == data[1]


def test_a_data_set_may_be_a_folder_of_a_repository(
    service: CustomizerService, control: Control, hub: MemoryHub, entity_store: MemoryEntityStore
) -> None:
    hub.put("ns/big", {"one/training/a.jsonl": rows(10)})
    entity_store.entities["datasets/ns/linked"] = {
        "name": "linked",
        "namespace": "ns",
        "files_url": "hf://datasets/ns/big/one",
    }
    control.allow()

    job = create(service, dataset="ns/linked")

    assert wait_for(service, job.id, "completed")


def test_a_data_set_without_training_rows_fails_and_says_so(
    service: CustomizerService, hub: MemoryHub, entity_store: MemoryEntityStore
) -> None:
    hub.put("ns/empty", {"README.md": "hello", "training/none.jsonl": ""})

    job = create(service, dataset="ns/empty")
    failed = wait_for(service, job.id, "failed")

    assert failed.reason == "dataset 'ns/empty' has no rows in training/*.jsonl"
    assert job.output_model is not None
    until(lambda: entity_store.artifact(str(job.output_model))["status"] == "upload_failed")


def test_a_failed_training_leaves_its_reason(service: CustomizerService, control: Control) -> None:
    control.fail("CUDA out of memory")

    job = create(service)

    assert wait_for(service, job.id, "failed").reason == "training failed: CUDA out of memory"


def test_a_crashed_training_leaves_the_end_of_its_output(
    start: Start, control: Control, tmp_path: Path
) -> None:
    service = start()
    job = create(service)
    until(lambda: "training" in logs(service, job.id))
    for process in launched(tmp_path):
        process.kill()

    failed = wait_for(service, job.id, "failed")

    assert "training failed: " in str(failed.reason)
    assert str(failed.reason).endswith("its last output: training")


def test_one_training_at_a_time_and_the_next_one_waits(service: CustomizerService, control: Control) -> None:
    first, second = create(service), create(service)
    until(lambda: status(service, first.id).status_logs[-1].message == "TrainingJobRunning")

    waiting = status(service, second.id)
    assert waiting.status == "pending"
    assert waiting.reason == "1 job is ahead of this one; 1 may train at a time"

    control.allow()
    wait_for(service, second.id, "completed")
    assert status(service, first.id).status == "completed"


def test_trainings_are_counted_while_they_wait_work_and_end(
    service: CustomizerService, control: Control
) -> None:
    ended = counted("flywheel_trainings_finished_total", status="completed")
    waiting, running = counted("flywheel_trainings_waiting"), counted("flywheel_trainings_running")
    first, second = create(service), create(service, output_model="ns/other")
    until(lambda: counted("flywheel_trainings_running") == running + 1)
    assert counted("flywheel_trainings_waiting") == waiting + 1
    control.allow()
    wait_for(service, first.id, "completed")
    wait_for(service, second.id, "completed")
    until(lambda: counted("flywheel_trainings_finished_total", status="completed") == ended + 2)
    assert counted("flywheel_training_duration_seconds_count", status="completed") >= 2


def test_cancel_while_it_waits_is_at_once(service: CustomizerService, control: Control) -> None:
    first, second = create(service), create(service)

    cancelled = service.cancel_job(second.id)

    assert cancelled["status"] == "cancelled"
    control.allow()
    wait_for(service, first.id, "completed")
    assert status(service, second.id).status == "cancelled"
    assert control.starts == 1


def test_cancel_while_it_trains_ends_the_training(
    service: CustomizerService, control: Control, entity_store: MemoryEntityStore, tmp_path: Path
) -> None:
    job = create(service)
    until(lambda: control.starts == 1)

    assert service.cancel_job(job.id)["status"] == "cancelling"
    wait_for(service, job.id, "cancelled")

    assert not launched(tmp_path)
    until(lambda: entity_store.artifact(str(job.output_model))["status"] == "upload_failed")
    assert service.cancel_job(job.id)["status"] == "cancelled"


def test_a_finished_job_cannot_be_cancelled(service: CustomizerService, control: Control) -> None:
    control.allow()
    job = create(service)
    wait_for(service, job.id, "completed")

    with pytest.raises(JobFinished, match="already completed"):
        service.cancel_job(job.id)


def test_what_a_finished_job_used_is_removed(
    service: CustomizerService, control: Control, tmp_path: Path
) -> None:
    control.allow()
    job = create(service)
    wait_for(service, job.id, "completed")

    folder = tmp_path / f"customizer/jobs/{job.id}"
    until(lambda: not (folder / "output/adapter").exists())
    assert sorted(p.name for p in folder.iterdir()) == ["output", "spec.json"]
    assert "training" in logs(service, job.id)


def test_a_hub_that_stays_away_fails_the_job_with_its_name(
    service: CustomizerService, control: Control, hub: MemoryHub
) -> None:
    control.allow(1, 2, 3)
    job = create(service)
    until(lambda: status(service, job.id).steps_completed == 3)
    hub.broken = "the hub is away"
    control.allow()

    failed = wait_for(service, job.id, "failed")

    assert failed.reason == "the hub is away"
    assert failed.percentage_done == 100.0


# Restarts


def test_a_restart_in_the_middle_of_training_goes_on_from_the_checkpoint(
    start: Start, control: Control, tmp_path: Path, runtime: ProcessRuntime
) -> None:
    first_life = start()
    job = create(first_life)
    control.allow(1, 2)
    until(lambda: status(first_life, job.id).steps_completed == 2)
    first_life.stop()
    runtime.close()

    second = ProcessRuntime(tmp_path / "runtime")
    second.reap()
    second_life = start(second)
    control.allow()
    done = wait_for(second_life, job.id, "completed")

    assert control.trained_steps == [1, 2, 3, 4]
    assert done.metrics is not None
    assert [point.step for point in done.metrics.metrics["train_loss"]] == [1, 2, 3, 4]
    assert "resumed after a restart" in [entry.message for entry in done.status_logs]
    second_life.stop()
    second.close()


def test_a_restart_after_training_does_not_train_again(
    start: Start, control: Control, hub: MemoryHub, tmp_path: Path, runtime: ProcessRuntime
) -> None:
    first_life = start()
    job = create(first_life)
    control.allow(1, 2, 3)
    until(lambda: status(first_life, job.id).steps_completed == 3)
    first_life.stop()  # The customizer is gone; training ends well without it.
    control.allow()
    assert runtime.wait(job.id, 20).state == "succeeded"

    second_life = start()
    wait_for(second_life, job.id, "completed")

    assert control.starts == 1
    assert hub.repos["model", "ns/customized-flywheel-student", job.id]


def test_a_restart_finishes_a_cancellation(
    start: Start, control: Control, tmp_path: Path, runtime: ProcessRuntime
) -> None:
    first_life = start()
    job = create(first_life)
    until(lambda: control.starts == 1)
    first_life.stop()

    second_life = start()
    second_life.cancel_job(job.id)
    wait_for(second_life, job.id, "cancelled")

    assert not launched(tmp_path)


def test_a_restart_keeps_the_order_of_those_that_wait(start: Start, control: Control) -> None:
    first_life = start()
    ids = [create(first_life).id for _ in range(3)]
    first_life.stop()

    second_life = start()
    control.allow()

    wait_for(second_life, ids[2], "completed")
    assert [status(second_life, job_id).status for job_id in ids] == ["completed"] * 3


# Refused at the POST


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"config": "flywheel/nothing@1"}, UnknownReference, "flywheel/student@v1.0.0"),
        ({"dataset": "ns/nothing"}, DatasetNotFound, "'ns/nothing' is neither"),
        ({"hyperparameters": {"finetuning_type": "all_weights"}}, NotOffered, "'all_weights' is not offered"),
        (
            {"hyperparameters": {"finetuning_type": "lora", "training_type": "dpo"}},
            NotOffered,
            "'dpo' is not offered",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    service: CustomizerService, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        create(service, **change)
    assert service.jobs(ListQuery()).data == []


def test_a_model_cannot_be_replaced_by_another_job(service: CustomizerService, control: Control) -> None:
    control.allow()
    job = create(service, output_model="ns/mine@v1")
    assert job.output_model == "ns/mine@v1"

    with pytest.raises(OutputModelTaken, match="ns/mine@v1"):
        create(service, output_model="ns/mine@v1")


def test_an_entity_store_that_is_down_refuses_the_job(
    service: CustomizerService, entity_store: MemoryEntityStore
) -> None:
    entity_store.down = True

    with pytest.raises(UpstreamError, match="the entity store is down"):
        create(service)
    assert service.jobs(ListQuery()).data == []


def test_jobs_are_found_by_what_nemos_filters_name(service: CustomizerService, control: Control) -> None:
    control.allow()
    job = create(service, custom_fields={"run_id": "r1"}, project="p")
    create(service, hyperparameters={"finetuning_type": "lora", "epochs": 7})
    wanted: list[dict[str, Any]] = [
        {"epochs": "2"},
        {"custom_fields": {"run_id": "r1"}},
        {"project": "p"},
        {"base_model": "flywheel/student", "epochs": "2"},
    ]

    for one in wanted:
        assert [found["id"] for found in service.jobs(ListQuery(filter=one)).data] == [job.id]


def logs(service: CustomizerService, job_id: str) -> str:
    text: str = service.container_logs(job_id)["entries"][job_id]["logs"]["training"]
    return text


def launched(tmp_path: Path) -> list[psutil.Process]:
    """The living training programs of this test."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if (
                str(tmp_path) in command
                and "warden.py" not in command
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_training_waits_for_its_gpu_and_says_so(
    start: Start, control: Control, tmp_path: Path, runtime: ProcessRuntime
) -> None:
    gpus = ProcessRuntime(tmp_path / "other", gpus=("0",))
    sleep = (sys.executable, "-c", "import time; time.sleep(60)")
    gpus.launch(LaunchSpec(name="other", kind="job", command=sleep, workdir=tmp_path, gpus=1))
    service = start(gpus)

    job = create(service)
    waiting = wait_for(service, job.id, "pending")
    assert waiting.status_logs[-1].message == "NotEnoughResources"
    assert "needs 1 GPUs, 0 of 1 are free" in str(waiting.reason)

    control.allow()
    gpus.stop("other", grace_s=0)
    wait_for(service, job.id, "completed")
    service.stop()
    gpus.close()


def test_an_adapter_that_is_not_what_training_recorded_is_not_uploaded(
    service: CustomizerService, control: Control, hub: MemoryHub
) -> None:
    control.allow()
    (control.folder / "spoil").touch()

    job = create(service)

    assert "is not what its recorded sha256 says" in str(wait_for(service, job.id, "failed").reason)
    assert hub.uploads == 0


def test_a_training_whose_place_is_taken_is_started_again_and_not_for_ever(start: Start) -> None:
    runtime = FakeRuntime(lambda program: program.exit(137, "Evicted: low on memory", taken=True))
    service = start(runtime)

    job = create(service)

    failed = wait_for(service, job.id, "failed")
    assert "Evicted: low on memory" in str(failed.reason)
    assert len(runtime.launched) == 5
    assert "TrainingJobTaken" in [entry.message for entry in failed.status_logs]


def test_what_an_earlier_life_left_in_a_cluster_and_nobody_wants_is_ended(start: Start) -> None:
    runtime = FakeRuntime(lambda program: None)
    for name, service in (("cust-1", "customizer"), ("other", "deployments")):
        labels = {"service": service}
        runtime.launch(LaunchSpec(name=name, kind="job", command=("x",), workdir=Path(), labels=labels))

    start(runtime)

    assert runtime.names({}) == ["other"]
