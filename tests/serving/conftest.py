"""A tiny model, adapters of it, and a server of both."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tiny_model import build_tiny_model
from tiny_server import Server, start_server


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def adapters(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three adapters with random weights, of different ranks and on different layers; PEFT wrote them."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapters")
    kinds: dict[str, dict[str, Any]] = {
        "red": {"r": 4, "target_modules": "all-linear"},
        "blue": {"r": 8, "target_modules": ["q_proj", "v_proj"], "use_rslora": True},
        "green": {"r": 2, "target_modules": ["down_proj"]},
    }
    for seed, (name, kind) in enumerate(kinds.items()):
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = get_peft_model(
                AutoModelForCausalLM.from_pretrained(tiny),
                LoraConfig(task_type="CAUSAL_LM", lora_alpha=64, init_lora_weights=False, **kind),
            )
            model.save_pretrained(str(folder / name))
    return {name: folder / name for name in kinds}


@pytest.fixture(scope="session")
def server(
    tiny: Path, adapters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    spec = {
        "model": str(tiny),
        "name": "test/tiny",
        "adapters": [{"name": "team/red@cust-1", "path": str(adapters["red"])}],
        "max_batch_size": 4,
    }
    process = start_server(spec, tmp_path_factory.mktemp("server"))
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    assert line.startswith("serving test/tiny, team/red@cust-1 on http://127.0.0.1:")
    yield Server(process, line.split(" on ")[1].split(" ")[0])
    process.kill()
    process.communicate()
