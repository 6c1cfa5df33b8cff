"""The command lines of the engines; only the local one runs on every machine."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flywheel.runtime import Cache, Site
from flywheel.services.deployments.engines import Wanted, local, nim, vllm

MACHINE = Site(python=sys.executable, host="127.0.0.1", holds_stdin=True, containers=False, gpus=2)
CLUSTER = Site(python="python", host="0.0.0.0", port=8000, holds_stdin=False, containers=True, gpus=None)  # noqa: S104


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
        site=MACHINE,
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


def test_vllm_with_a_model_that_embeds_is_told_nothing_of_calls_and_adapters(wanted: Wanted) -> None:
    spec = vllm(replace(wanted, embeds=True, lora=False, context_length=None))

    assert " ".join(spec.command) == (
        f"vllm serve {wanted.folder} --served-model-name meta/llama --host 127.0.0.1 --port 4321 "
        "--tensor-parallel-size 2"
    )


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


def test_local_in_a_cluster(wanted: Wanted) -> None:
    spec = local(replace(wanted, site=CLUSTER, port=8000))

    assert spec.command[0] == "python"
    written = json.loads(Path(spec.command[3]).read_text())
    assert (written["host"], written["port"], written["stdin_lifeline"]) == ("0.0.0.0", 8000, False)  # noqa: S104
    assert (spec.health, spec.alive) == ("/v1/health/ready", "/v1/health/live")
    assert (spec.image, spec.files) == (None, True)


def test_vllm_in_a_cluster_has_its_own_image(wanted: Wanted) -> None:
    spec = vllm(replace(wanted, site=CLUSTER, port=8000))

    assert spec.image == "vllm/vllm-openai:latest"
    assert spec.command[:2] == ("vllm", "serve")
    assert spec.command[spec.command.index("--host") + 1] == "0.0.0.0"  # noqa: S104


def test_a_nim_in_a_cluster_starts_by_its_image_and_keeps_its_files(wanted: Wanted) -> None:
    spec = nim(
        replace(
            wanted,
            site=CLUSTER,
            port=8000,
            image="nvcr.io/nim/meta/llama:1.8.3",
            disk="25Gi",
            env={"NIM_GUIDED_DECODING_BACKEND": "outlines"},
            entity_store_url="http://entities:8000",
        )
    )

    assert (spec.command, spec.image, spec.files) == ((), "nvcr.io/nim/meta/llama:1.8.3", False)
    assert spec.cache == Cache(name="meta/llama", path="/opt/nim/.cache", size="25Gi")
    assert spec.env == {
        "NIM_SERVER_PORT": "8000",
        "NIM_HTTP_API_PORT": "8000",
        "NIM_JSONL_LOGGING": "1",
        "NIM_CACHE_PATH": "/opt/nim/.cache",
        "NIM_PEFT_SOURCE": "http://entities:8000",
        "NIM_PEFT_REFRESH_INTERVAL": "10",
        "NIM_MAX_CPU_LORAS": "16",
        "NIM_MAX_GPU_LORAS": "8",
        "NIM_GUIDED_DECODING_BACKEND": "outlines",
    }
