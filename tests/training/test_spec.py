"""What a SPEC may say; what it says wrong is told with the field and what would be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flywheel.training.errors import TrainingError
from flywheel.training.spec import read_spec


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"hyperparameters": {"finetuning_type": "all_weights"}},
            "finetuning_type = 'all_weights'.*supported: lora",
        ),
        ({"hyperparameters": {"training_type": "dpo"}}, "training_type = 'dpo'.*supported: sft"),
        ({"hyperparameters": {"optimizer": "sgd"}}, "optimizer = 'sgd'"),
        ({"hyperparameters": {"epochs": 0}}, "hyperparameters.epochs: .*greater than or equal to 1"),
        ({"precision": "int8"}, "precision = 'int8'.*supported: auto, bf16"),
        ({"train": "a.jsonl"}, "train: .*list"),
    ],
)
def test_what_is_not_done_is_refused_by_name(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"model": "m", "train": ["t.jsonl"], "output_dir": "out", **change}), "utf-8")
    with pytest.raises(TrainingError, match=told):
        read_spec(path)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_file_that_is_no_spec(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "spec.json"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(TrainingError, match="is not a training SPEC"):
        read_spec(path)


def test_nemos_words_are_understood_and_unknown_ones_let_pass(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    hyperparameters = {
        "training_type": "sft",
        "finetuning_type": "lora",
        "dpo": {},
        "lora": {"alpha": 16, "x": 1},
    }
    told = {"model": "m", "train": [], "output_dir": "out", "hyperparameters": hyperparameters, "other": 1}
    path.write_text(json.dumps(told), "utf-8")
    spec = read_spec(path)
    assert spec.hyperparameters.lora is not None
    assert spec.hyperparameters.lora.alpha == 16
