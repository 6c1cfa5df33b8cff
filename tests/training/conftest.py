"""A tiny model, rows to train on, and specifications of trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiny_model import build_tiny_model, tool_row, write_rows


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """16 rows to train on and 4 to check."""
    folder = tmp_path_factory.mktemp("rows")
    training = write_rows(folder / "train.jsonl", [tool_row(number) for number in range(16)])
    return training, write_rows(folder / "val.jsonl", [tool_row(number) for number in range(100, 104)])


@pytest.fixture
def spec_of(tiny: Path, rows: tuple[Path, Path], tmp_path: Path) -> Any:
    """The SPEC of a training of 12 steps; keyword arguments replace its parts."""

    def build(**changes: Any) -> dict[str, Any]:
        hyperparameters = {
            "epochs": 3,
            "batch_size": 4,
            "learning_rate": 5e-3,
            "lora": {"adapter_dim": 4, "adapter_dropout": 0.1},
            **changes.pop("hyperparameters", {}),
        }
        return {
            "model": str(tiny),
            "model_name": "test/tiny",
            "train": [str(rows[0])],
            "validation": [str(rows[1])],
            "output_dir": str(tmp_path / "out"),
            "max_seq_length": 400,
            "hyperparameters": hyperparameters,
            **changes,
        }

    return build
