"""What serves a model: our own small server, vLLM, or an NVIDIA NIM, each as a program to launch.

An engine is a function from what is wanted to a LaunchSpec, and the address where it says that it is ready.
All speak OpenAI's protocol; `local` and `vllm` load adapters by vLLM's `load_lora_adapter`, a NIM by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Literal

from flywheel.prompts import family_of
from flywheel.runtime import Cache, LaunchSpec, Site

EngineName = Literal["local", "vllm", "nim"]
LABELS: Final = {"service": "deployments"}
_NIM_PORT: Final = 8000
_NIM_CACHE: Final = "/opt/nim/.cache"
_VLLM_IMAGE: Final = "vllm/vllm-openai:latest"
_VLLM_PARSERS: Final = {"hermes": "hermes", "llama3": "llama3_json", "mistral": "mistral"}


@dataclass(frozen=True)
class ServedModel:
    """A model of the settings and how to serve it. `path` is a folder or a hub's name; None: `name`. `image`
    is the engine's in a cluster; None: the engine's usual one. One that `embeds` makes vectors and does not
    chat."""

    name: str
    path: str | None = None
    engine: EngineName = "local"
    gpus: int = 0
    context_length: int | None = None
    image: str | None = None
    embeds: bool = False


@dataclass(frozen=True)
class Wanted:
    """One server to be: `model` answers on `port` at `site`, from `folder`; `workdir` is its own.

    `image` and `disk`, the space for its cache, are of use in a container only; `run` is the run that wants
    it, where known."""

    launch_name: str
    model: str
    folder: Path
    port: int
    workdir: Path
    site: Site
    gpus: int = 0
    context_length: int | None = None
    image: str | None = None
    disk: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    lora: bool = True
    entity_store_url: str | None = None
    run: str | None = None
    embeds: bool = False


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
        "host": wanted.site.host,
        "port": wanted.port,
        "adapters": [],
        "max_batch_size": 16,
        "max_model_len": wanted.context_length,
        "stdin_lifeline": wanted.site.holds_stdin,
    }
    path.write_text(json.dumps(spec, indent=1))
    command = (wanted.site.python, "-m", "flywheel.serving", str(path))
    return _spec(wanted, command, {}, health="/v1/health/ready", alive="/v1/health/live")


def vllm(wanted: Wanted) -> LaunchSpec:
    """`vllm serve`, with tool calls in the model's own syntax and adapters that load while it runs."""
    command = ["vllm", "serve", str(wanted.folder), "--served-model-name", wanted.model]
    command += ["--host", wanted.site.host, "--port", str(wanted.port)]
    command += ["--tensor-parallel-size", str(max(1, wanted.gpus))]
    if not wanted.embeds:  # vLLM sees by itself what a model is for; what is said of calls would be refused.
        parser = _VLLM_PARSERS[_call_syntax(wanted.folder)]
        command += ["--enable-auto-tool-choice", "--tool-call-parser", parser]
    if wanted.context_length:
        command += ["--max-model-len", str(wanted.context_length)]
    if wanted.lora:
        command += ["--enable-lora", "--max-loras", "8", "--max-cpu-loras", "16", "--max-lora-rank", "64"]
    environment = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
    image = wanted.image or _VLLM_IMAGE
    return _spec(wanted, tuple(command), environment, health="/health", alive="/health", image=image)


def nim(wanted: Wanted) -> LaunchSpec:
    """A NIM: by its image in a cluster, where NGC_API_KEY comes from one of the runtime's `env_secrets`; by
    `docker run` on this machine, where keys go by name from this process's environment."""
    settings = dict(wanted.env)
    if wanted.lora and wanted.entity_store_url:
        settings = {
            "NIM_PEFT_SOURCE": wanted.entity_store_url,
            "NIM_PEFT_REFRESH_INTERVAL": "10",
            "NIM_MAX_CPU_LORAS": "16",
            "NIM_MAX_GPU_LORAS": "8",
            **settings,
        }
    image = wanted.image or f"nvcr.io/nim/{wanted.model}"
    if wanted.site.containers:
        return _nim_pod(wanted, image, settings)
    command = ["docker", "run", "--rm", "--init", "--name", wanted.launch_name]
    command += ["--publish", f"127.0.0.1:{wanted.port}:{_NIM_PORT}"]
    if wanted.gpus:
        command += ["--gpus", "all", "--env", "CUDA_VISIBLE_DEVICES"]
    for name in ("NGC_API_KEY", *settings):
        command += ["--env", name]
    return _spec(wanted, (*command, image), settings)


ENGINES: Final[Mapping[str, Engine]] = {
    "local": Engine(local, "/v1/health/ready"),
    "vllm": Engine(vllm, "/health"),
    "nim": Engine(nim, "/v1/health/ready", loads_adapters=False, needs_files=False, contained=True),
}


def _nim_pod(wanted: Wanted, image: str, settings: Mapping[str, str]) -> LaunchSpec:
    """The image starts by itself; the model's files stay in a volume over redeployments, where `disk` is
    given."""
    port = str(wanted.port)
    places = {"NIM_SERVER_PORT": port, "NIM_HTTP_API_PORT": port, "NIM_JSONL_LOGGING": "1"}
    cache = Cache(name=wanted.model, path=_NIM_CACHE, size=wanted.disk) if wanted.disk else None
    places["NIM_CACHE_PATH"] = _NIM_CACHE if cache else "/tmp/nim"  # noqa: S108 - the pod's own
    return _spec(
        wanted,
        (),
        {**places, **settings},
        health="/v1/health/ready",
        alive="/v1/health/live",
        image=image,
        files=False,
        cache=cache,
    )


def _spec(wanted: Wanted, command: tuple[str, ...], env: Mapping[str, str], **contained: Any) -> LaunchSpec:
    return LaunchSpec(
        name=wanted.launch_name,
        kind="server",
        command=command,
        env={**wanted.env, **env},
        workdir=wanted.workdir,
        gpus=wanted.gpus,
        port=wanted.port,
        labels={**LABELS, "model": wanted.model, **({"run": wanted.run} if wanted.run else {})},
        **contained,
    )


def _call_syntax(model: Path) -> str:
    """How the model's chat template writes tool calls."""
    template = model / "chat_template.jinja"
    if template.is_file():
        return family_of(SimpleNamespace(chat_template=template.read_text("utf-8")))
    config = model / "tokenizer_config.json"
    found = json.loads(config.read_text("utf-8")).get("chat_template") if config.is_file() else None
    return family_of(SimpleNamespace(chat_template=found))
