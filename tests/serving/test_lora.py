"""Adapter folders that are not what they should be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flywheel.serving.errors import AdapterInvalid

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def copied(adapters: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(adapters["blue"], tmp_path / "copy"))


def change(folder: Path, **fields: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | fields), "utf-8")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"peft_type": "IA3"}, "does not describe a LORA"),
        ({"use_dora": True}, "use_dora = True is not supported"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias = 'all'"),
    ],
)
def test_kinds_that_are_not_supported(copied: Path, fields: dict[str, Any], told: str) -> None:
    from flywheel.serving.lora import read_adapter

    change(copied, **fields)
    with pytest.raises(AdapterInvalid, match=told):
        read_adapter("blue", copied)


def test_a_folder_without_tensors(copied: Path) -> None:
    from flywheel.serving.lora import read_adapter

    (copied / "adapter_model.safetensors").unlink()
    with pytest.raises(AdapterInvalid, match="No such file"):
        read_adapter("blue", copied)


def test_tensors_cut_short(copied: Path) -> None:
    from flywheel.serving.lora import read_adapter

    path = copied / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AdapterInvalid, match="damaged"):
        read_adapter("blue", copied)


def test_an_adapter_of_another_base(copied: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from flywheel.serving.lora import Adapters, Weights, read_adapter

    config = LlamaConfig(
        vocab_size=8, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    adapters = Adapters(LlamaForCausalLM(config))
    with pytest.raises(AdapterInvalid, match="other dimensions"):
        adapters.check("blue", read_adapter("blue", copied))
    with pytest.raises(AdapterInvalid, match=r"has no module model\.nothing"):
        adapters.check("x", Weights("0", {"model.nothing": (torch.ones(1, 1), torch.ones(1, 1))}))
    with pytest.raises(AdapterInvalid, match="LlamaRMSNorm, not a linear layer"):
        adapters.check("x", Weights("0", {"model.norm": (torch.ones(1, 1), torch.ones(1, 1))}))
