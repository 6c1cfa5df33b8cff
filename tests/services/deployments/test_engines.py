"""The command lines of the engines; only the local one runs on every machine."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flywheel.services.deployments.engines import Wanted, local, nim, vllm


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    folder = tmp_path / "model"
    folder.mkdir()
    return Wanted(
        launch_name="deployment-1",
        model="meta/llama",
        folder=folder,
        port=4321,
        workdir=tmp_path / "work",
        gpus=2,
        context_length=4096,
    )


def test_local(wanted: Wanted) -> None:
    spec = local(wanted)

    assert spec.command[:3] == (sys.executable, "-m", "flywheel.serving")
    assert (spec.name, spec.kind, spec.port, spec.gpus) == ("deployment-1", "server", 4321, 2)
    assert json.loads(Path(spec.command[3]).read_text()) == {
        "model": str(wanted.folder),
        "name": "meta/llama",
        "host": "127.0.0.1",
        "port": 4321,
        "adapters": [],
        "max_batch_size": 16,
        "max_model_len": 4096,
        "stdin_lifeline": True,
    }


def test_vllm(wanted: Wanted) -> None:
    (wanted.folder / "chat_template.jinja").write_text("{% if tools %}[TOOL_CALLS]{% endif %}")

    spec = vllm(replace(wanted, env={"HF_TOKEN": "secret"}))

    assert " ".join(spec.command) == (
        f"vllm serve {wanted.folder} --served-model-name meta/llama --host 127.0.0.1 --port 4321 "
        "--tensor-parallel-size 2 --enable-auto-tool-choice --tool-call-parser mistral --max-model-len 4096 "
        "--enable-lora --max-loras 8 --max-cpu-loras 16 --max-lora-rank 64"
    )
    assert spec.env == {"HF_TOKEN": "secret", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}


@pytest.mark.parametrize(
    ("template", "parser"),
    [
        ("<tool_call>", "hermes"),
        ("[TOOL_CALLS]", "mistral"),
        ("<|python_tag|>", "llama3_json"),
        (None, "hermes"),
    ],
)
def test_vllm_reads_tool_calls_in_the_models_own_syntax(
    wanted: Wanted, template: str | None, parser: str
) -> None:
    if template:
        (wanted.folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))

    command = vllm(replace(wanted, lora=False, context_length=None)).command

    assert command[-2:] == ("--tool-call-parser", parser)


def test_nim(wanted: Wanted) -> None:
    spec = nim(
        replace(
            wanted,
            image="nvcr.io/nim/meta/llama:1.8.3",
            env={"NIM_GUIDED_DECODING_BACKEND": "outlines"},
            entity_store_url="http://entities:8000",
        )
    )

    assert spec.command == (
        *("docker", "run", "--rm", "--init", "--name", "deployment-1"),
        *("--publish", "127.0.0.1:4321:8000", "--gpus", "all", "--env", "CUDA_VISIBLE_DEVICES"),
        *("--env", "NGC_API_KEY", "--env", "NIM_PEFT_SOURCE", "--env", "NIM_PEFT_REFRESH_INTERVAL"),
        *("--env", "NIM_MAX_CPU_LORAS", "--env", "NIM_MAX_GPU_LORAS", "--env", "NIM_GUIDED_DECODING_BACKEND"),
        "nvcr.io/nim/meta/llama:1.8.3",
    )
    assert spec.env["NIM_PEFT_SOURCE"] == "http://entities:8000"
    assert spec.env["NIM_GUIDED_DECODING_BACKEND"] == "outlines"


def test_a_nim_without_adapters_or_gpus(wanted: Wanted) -> None:
    command = nim(replace(wanted, gpus=0, lora=False)).command

    assert command[-3:] == ("--env", "NGC_API_KEY", "nvcr.io/nim/meta/llama")
    assert "--gpus" not in command
