"""What serves a model: our own small server, vLLM, or an NVIDIA NIM, each as a program to launch.

An engine is a function from what is wanted to a LaunchSpec, and the address where it says that it is ready.
All speak OpenAI's protocol; `local` and `vllm` load adapters by vLLM's `load_lora_adapter`, a NIM by itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Final, Literal

from flywheel.prompts import family_of
from flywheel.runtime import LaunchSpec

EngineName = Literal["local", "vllm", "nim"]
LABELS: Final = {"service": "deployments"}
_VLLM_PARSERS: Final = {"hermes": "hermes", "llama3": "llama3_json", "mistral": "mistral"}


@dataclass(frozen=True)
class ServedModel:
    """A model of the settings and how to serve it. `path` is a folder or a hub's name; None: `name`."""

    name: str
    path: str | None = None
    engine: EngineName = "local"
    gpus: int = 0
    context_length: int | None = None


@dataclass(frozen=True)
class Wanted:
    """One server to be: `model` answers on 127.0.0.1:`port`, from `folder`; `workdir` is its own."""

    launch_name: str
    model: str
    folder: Path
    port: int
    workdir: Path
    gpus: int = 0
    context_length: int | None = None
    image: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    lora: bool = True
    entity_store_url: str | None = None


@dataclass(frozen=True)
class Engine:
    """`build` makes the LaunchSpec; `health` answers 200 when requests may come."""

    build: Callable[[Wanted], LaunchSpec]
    health: str
    loads_adapters: bool = True
    needs_files: bool = True
    contained: bool = False


def local(wanted: Wanted) -> LaunchSpec:
    """`python -m flywheel.serving SPEC`."""
    wanted.workdir.mkdir(parents=True, exist_ok=True)
    path = wanted.workdir / "serving.json"
    spec = {
        "model": str(wanted.folder),
        "name": wanted.model,
        "host": "127.0.0.1",
        "port": wanted.port,
        "adapters": [],
        "max_batch_size": 16,
        "max_model_len": wanted.context_length,
        "stdin_lifeline": True,
    }
    path.write_text(json.dumps(spec, indent=1))
    return _spec(wanted, (sys.executable, "-m", "flywheel.serving", str(path)), {})


def vllm(wanted: Wanted) -> LaunchSpec:
    """`vllm serve`, with tool calls in the model's own syntax and adapters that load while it runs."""
    command = ["vllm", "serve", str(wanted.folder), "--served-model-name", wanted.model]
    command += ["--host", "127.0.0.1", "--port", str(wanted.port)]
    command += ["--tensor-parallel-size", str(max(1, wanted.gpus))]
    command += ["--enable-auto-tool-choice", "--tool-call-parser", _VLLM_PARSERS[_call_syntax(wanted.folder)]]
    if wanted.context_length:
        command += ["--max-model-len", str(wanted.context_length)]
    if wanted.lora:
        command += ["--enable-lora", "--max-loras", "8", "--max-cpu-loras", "16", "--max-lora-rank", "64"]
    return _spec(wanted, tuple(command), {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"})


def nim(wanted: Wanted) -> LaunchSpec:
    """`docker run` of a NIM. Keys go by name from this process's environment, never on the command line."""
    command = ["docker", "run", "--rm", "--init", "--name", wanted.launch_name]
    command += ["--publish", f"127.0.0.1:{wanted.port}:8000"]
    if wanted.gpus:
        command += ["--gpus", "all", "--env", "CUDA_VISIBLE_DEVICES"]
    settings = dict(wanted.env)
    if wanted.lora and wanted.entity_store_url:
        settings = {
            "NIM_PEFT_SOURCE": wanted.entity_store_url,
            "NIM_PEFT_REFRESH_INTERVAL": "10",
            "NIM_MAX_CPU_LORAS": "16",
            "NIM_MAX_GPU_LORAS": "8",
            **settings,
        }
    for name in ("NGC_API_KEY", *settings):
        command += ["--env", name]
    return _spec(wanted, (*command, wanted.image or f"nvcr.io/nim/{wanted.model}"), settings)


ENGINES: Final[Mapping[str, Engine]] = {
    "local": Engine(local, "/v1/health/ready"),
    "vllm": Engine(vllm, "/health"),
    "nim": Engine(nim, "/v1/health/ready", loads_adapters=False, needs_files=False, contained=True),
}


def _spec(wanted: Wanted, command: tuple[str, ...], env: Mapping[str, str]) -> LaunchSpec:
    return LaunchSpec(
        name=wanted.launch_name,
        kind="server",
        command=command,
        env={**wanted.env, **env},
        workdir=wanted.workdir,
        gpus=wanted.gpus,
        port=wanted.port,
        labels=LABELS,
    )


def _call_syntax(model: Path) -> str:
    """How the model's chat template writes tool calls."""
    template = model / "chat_template.jinja"
    if template.is_file():
        return family_of(SimpleNamespace(chat_template=template.read_text("utf-8")))
    config = model / "tokenizer_config.json"
    found = json.loads(config.read_text("utf-8")).get("chat_template") if config.is_file() else None
    return family_of(SimpleNamespace(chat_template=found))
