"""The teacher asked again, for real: its log comes from a served model, which the evaluator asks anew."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from flywheel.config import DataSplitConfig, EvaluationConfig, TeacherConfig
from flywheel.hub import resolve_model
from flywheel.models import Record
from flywheel.nemo.evaluation import EvaluationClient
from flywheel.nemo.fake import FakeHub, FakeNemo
from flywheel.orchestrator.wire import detail
from flywheel.orchestrator.workflow import advance
from flywheel.services.evaluator.router import router
from flywheel.services.evaluator.service import EvaluatorService
from flywheel.stores.logs import EmbeddedLogStore
from run_world import CHAT, make_world, nim, settings
from services.customizer.parts import until
from serving_apps import nemo_app, serve_app
from tiny_server import start_server

TEACHER, STUDENT, KEY = "big/teacher", "test/student@cust-1", "sk-teacher-0123456789"
RECORDS, LONGEST = 60, 48


class Uploaded:
    """The reading half of the fake hub: what a run has uploaded, for the evaluator."""

    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub

    def download(
        self,
        repo_id: str,
        into: Path,
        *,
        repo_type: str,
        revision: str = "main",
        patterns: Sequence[str] | None = None,
    ) -> Path:
        for path, content in self._hub.files[f"{repo_type}s/{repo_id}"].items():
            (into / path).parent.mkdir(parents=True, exist_ok=True)
            (into / path).write_bytes(content)
        return into


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`python -m flywheel.serving` with the shipped model as the teacher, and a random adapter of it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("models")
    base = resolve_model("flywheel/student", cache_dir=folder)
    torch.manual_seed(1)
    shape = LoraConfig(
        task_type="CAUSAL_LM", r=8, lora_alpha=64, target_modules="all-linear", init_lora_weights=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), shape)
        model.save_pretrained(str(folder / "adapter"))
    spec = {
        "model": str(base),
        "name": TEACHER,
        "adapters": [{"name": STUDENT, "path": str(folder / "adapter")}],
    }
    process = start_server(spec, folder)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert " on http://127.0.0.1:" in line, process.communicate()[1]
    yield line.split(" on ")[1].split(" ")[0]
    process.kill()
    process.communicate()


@pytest.fixture
def log(models: str, tmp_path: Path) -> EmbeddedLogStore:
    """What the teacher once answered, as an application would have recorded it."""

    def asked(number: int) -> Record:
        messages = [{"role": "user", "content": f"Tell me a joke about the number {number}"}]
        body = {"model": TEACHER, "messages": messages, "temperature": 0, "max_tokens": LONGEST}
        answer = httpx.post(f"{models}/v1/chat/completions", json=body, timeout=60).json()
        return Record.of(CHAT, 1_700_000_000.0 + number, body, answer)

    logs = EmbeddedLogStore(tmp_path / "records.sqlite")
    logs.add([asked(number) for number in range(RECORDS)])
    return logs


def test_a_served_teacher_agrees_with_its_own_log_and_its_first_token_is_timed(
    models: str, log: EmbeddedLogStore, tmp_path: Path
) -> None:
    nemo = FakeNemo()
    evaluator = EvaluatorService(
        tmp_path / "evaluator",
        "http://data.fake",
        models,
        hub_at=lambda endpoint: Uploaded(nemo.hub),  # type: ignore[return-value,arg-type]
    )
    using = settings(nim(STUDENT).model_copy(update={"customization_enabled": False})).model_copy(
        update={
            "data_split_config": DataSplitConfig(eval_size=8, min_total_records=20),
            "evaluation_config": EvaluationConfig(max_tokens=LONGEST),
            "teacher_config": TeacherConfig(
                model_name=TEACHER, url=f"{models}/v1/chat/completions", api_key_env="TEACHER_KEY"
            ),
        }
    )
    here = make_world(tmp_path, log, nemo, using)
    with serve_app(nemo_app("evaluator", router(evaluator))) as url:
        evaluator.start()
        services = replace(here.context.services, evaluator=EvaluationClient(url))
        here = here.reborn(services=services, environment={"TEACHER_KEY": KEY})
        run_id = here.start(CHAT)
        until(lambda: advance(run_id, here.context).seconds is None, 120)
        evaluator.stop()
        services.evaluator.close()
    run = here.run(run_id)
    here.close()
    assert (run.status, run.error) == ("completed", None)
    teacher = run.teacher
    assert teacher is not None
    assert (teacher.status, teacher.model) == ("completed", TEACHER)
    assert (teacher.scores["exact_match"].value, teacher.scores["exact_match"].n) == (1.0, 8)
    assert teacher.scores["similarity"].value == 10.0
    assert 0 < teacher.first_token_ms["p50"] < teacher.latency_ms["p50"]
    assert teacher.usage["completion_tokens"] > 0
    table = run.decision and run.decision.table
    assert table is not None
    assert table["ceiling_measured"]
    values = {system["role"]: system["value"] for system in table["systems"]}
    assert values["ceiling"] == 1.0
    assert values["base"] < 0.9, "the student is another model, and is told from its teacher"
    shown = detail(run, here.context.services.urls, here.clock())
    assert shown["teacher"]["latency_ms"]["first_token"]["p50"] == teacher.first_token_ms["p50"]
    assert KEY not in run.model_dump_json() + str(shown)
