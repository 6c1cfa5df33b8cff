"""Trainings in this process: what they leave behind and what they refuse.

The third parties' warnings are theirs: they are not errors here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flywheel.training.adapter import finished, sha256_of
from flywheel.training.errors import ModelUnusable, NothingToTrain, OutputTaken, Unsupported
from flywheel.training.progress import Progress
from flywheel.training.spec import TrainingSpec
from tiny_model import build_tiny_model, write_rows

pytestmark = pytest.mark.filterwarnings("default")


def run(spec: dict[str, Any]) -> list[dict[str, Any]]:
    from flywheel.training.train import train

    progress = Progress(Path(spec["output_dir"]) / "progress.jsonl")
    assert train(TrainingSpec.model_validate(spec), progress)
    return [json.loads(line) for line in progress.path.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def done(
    tiny: Path, rows: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Any]]:
    folder = tmp_path_factory.mktemp("done")
    told = run(
        {
            "model": str(tiny),
            "model_name": "test/tiny",
            "train": [str(rows[0])],
            "validation": [str(rows[1])],
            "output_dir": str(folder),
            "max_seq_length": 400,
            "hyperparameters": {
                "epochs": 3,
                "batch_size": 4,
                "learning_rate": 2e-2,
                "val_check_interval": 0.5,
                "lora": {"adapter_dim": 4},
            },
        }
    )
    return folder, told


def test_progress_is_told_from_start_to_end(done: tuple[Path, list[Any]]) -> None:
    told = done[1]
    assert [line["event"] for line in told][:1] == ["started"]
    assert told[-1]["event"] == "completed"
    steps = [line for line in told if line["event"] == "step"]
    assert [line["step"] for line in steps] == list(range(1, 13))
    assert [line["percent"] for line in steps] == sorted(line["percent"] for line in steps)
    assert steps[-1]["percent"] == 100.0
    assert steps[-1]["epoch"] == 3.0
    assert steps[0]["train_loss"] > steps[-1]["train_loss"]
    assert all(line["tokens_per_second"] > 0 and line["eta_s"] >= 0 for line in steps)


def test_it_is_checked_twice_an_epoch_and_the_best_is_kept(done: tuple[Path, list[Any]]) -> None:
    folder, told = done
    checks = {line["step"]: line["val_loss"] for line in told if line["event"] == "validation"}
    assert sorted(checks) == [2, 4, 6, 8, 10, 12]
    best = min(checks, key=lambda step: checks[step])
    card = finished(folder / "adapter")
    assert card is not None
    assert card["best_step"] == best
    assert card["val_loss"] == pytest.approx(checks[best], abs=1e-5)
    assert told[-1]["best_epoch"] == -(-best // 4)


def test_the_adapter_is_pefts_and_its_hash_is_told(done: tuple[Path, list[Any]], tiny: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = done[0] / "adapter"
    assert sorted(path.name for path in adapter.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "flywheel.json",
    ]
    config = json.loads((adapter / "adapter_config.json").read_bytes())
    assert config["base_model_name_or_path"] == "test/tiny"
    card = json.loads((adapter / "flywheel.json").read_bytes())
    assert card["sha256"] == sha256_of(adapter / "adapter_model.safetensors")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), adapter)
    assert any(bool(p.abs().sum() > 0) for name, p in model.named_parameters() if "lora_B" in name)


def test_the_same_training_writes_the_same_adapter(spec_of: Any, tmp_path: Path) -> None:
    hashes = set()
    for name in ("one", "two"):
        run(spec_of(output_dir=str(tmp_path / name)))
        hashes |= {sha256_of(tmp_path / name / "adapter" / file) for file in ("adapter_model.safetensors",)}
    assert len(hashes) == 1


def test_packed_rows_train_as_well(spec_of: Any) -> None:
    told = run(spec_of(hyperparameters={"sequence_packing_enabled": True, "batch_size": 2, "max_steps": 3}))
    assert told[-1]["event"] == "completed"
    assert told[-1]["step"] == 3
    assert told[0]["rows"] == 16


def test_packed_and_single_rows_have_the_same_loss(tiny: Path, rows: tuple[Path, Path]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from flywheel.training.rows import pack, read_examples
    from flywheel.training.train import Collator, answer_loss

    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny), AutoTokenizer.from_pretrained(tiny)
    model.config.use_cache = False  # As in a training: packs are only told apart where nothing is cached.
    examples = read_examples([rows[0]], tokenizer, 400).kept
    losses = []
    for batch in (examples, pack(examples, 400)):
        for tail_only in (True, False):
            inputs = Collator(0, tail_only=tail_only)(batch)
            labels = inputs.pop("labels")
            with torch.no_grad():
                losses.append(float(answer_loss(model(**inputs), labels)))
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-4)


def test_a_shared_beginning_is_read_once_and_learned_from_as_if_it_were_not(
    tiny: Path, rows: tuple[Path, Path], tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainingArguments

    from flywheel.training.rows import read_examples
    from flywheel.training.train import Collator, OrderedTrainer, answer_loss

    examples = read_examples([rows[0]], AutoTokenizer.from_pretrained(tiny), 400).kept
    found = []
    for share in (False, True):
        model = AutoModelForCausalLM.from_pretrained(tiny)
        model.config.use_cache = False
        batch = Collator(0, tail_only=True, share=share)(examples)
        assert ("shared_ids" in batch) == share
        settings = TrainingArguments(output_dir=str(tmp_path), report_to=[], use_cpu=True)
        trainer = OrderedTrainer(model=model, args=settings, compute_loss_func=answer_loss)
        loss = trainer.compute_loss(model, batch)
        loss.backward()
        found.append((loss.item(), [p.grad for p in model.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert all(
        torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(found[0][1], found[1][1], strict=True)
    )


def test_without_rows_to_check_the_last_weights_are_kept(spec_of: Any) -> None:
    told = run(spec_of(validation=[], hyperparameters={"max_steps": 5, "optimizer": "adamw_with_flat_lr"}))
    assert {line["event"] for line in told} == {"started", "step", "saved", "completed"}
    assert told[-1]["best_step"] == 5
    assert told[-1]["val_loss"] is None


def test_an_output_folder_of_another_training_is_refused(spec_of: Any, tmp_path: Path) -> None:
    checkpoints = tmp_path / "out" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "spec.sha256").write_text("of another", "utf-8")
    with pytest.raises(OutputTaken, match="name an empty output_dir"):
        run(spec_of())


def test_a_model_that_is_not_there(spec_of: Any) -> None:
    with pytest.raises(ModelUnusable, match=r"/nowhere.*no such folder"):
        run(spec_of(model="/nowhere"))


def test_a_folder_without_a_model(spec_of: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="cannot be trained"):
        run(spec_of(model=str(tmp_path)))


def test_a_model_that_is_no_language_model(spec_of: Any, tmp_path: Path) -> None:
    from transformers import ViTConfig

    ViTConfig().save_pretrained(tmp_path / "vit")
    with pytest.raises(ModelUnusable, match="ViTConfig is not a causal language model's"):
        run(spec_of(model=str(tmp_path / "vit")))


def test_a_tokenizer_without_a_chat_template(spec_of: Any, tmp_path: Path) -> None:
    from flywheel.prompts import PromptError

    bare = build_tiny_model(tmp_path / "bare", chat_template=False)
    with pytest.raises(PromptError, match="no chat template"):
        run(spec_of(model=str(bare)))


def test_layers_that_are_not_there(spec_of: Any) -> None:
    with pytest.raises(Unsupported, match=r"target_modules.*supported: .*q_proj"):
        run(spec_of(hyperparameters={"lora": {"target_modules": ["nonsense"]}}))


@pytest.mark.parametrize(
    ("lines", "told"),
    [([], "no row"), ([{"messages": [{"role": "user", "content": "x"}]}], "1 rows: no assistant")],
)
def test_files_with_nothing_to_learn(spec_of: Any, tmp_path: Path, lines: list[Any], told: str) -> None:
    path = write_rows(tmp_path / "none.jsonl", lines)
    with pytest.raises(NothingToTrain, match=told):
        run(spec_of(train=[str(path)]))
