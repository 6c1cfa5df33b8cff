"""Blocks of the models: candidates, judge, teacher, embeddings, and what answers cost."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    SecretStr,
    model_validator,
)

from flywheel.config.block import Address, Block, _address, _without_secret, secret


class CustomizerConfigs(Block):
    """How the customizer trains a candidate (the blueprint's `customizer_configs`)."""

    target: str | None = None
    """Name of the customization target (meta/llama-3.2-1b-instruct@2.0); left out: `model_name`@1.0."""
    gpus: int = Field(1, ge=0)
    """GPUs of one training. On a machine without any it trains on the CPU."""
    num_nodes: int = Field(1, ge=1)
    """Machines of one training."""
    tensor_parallel_size: int = Field(1, ge=1)
    """GPUs that share one copy of the model; for NVIDIA's customizer."""
    data_parallel_size: int = Field(1, ge=1)
    """Copies of the model that train side by side; for NVIDIA's customizer."""
    use_sequence_parallel: bool = False
    """Splits activations over the tensor-parallel GPUs; for NVIDIA's customizer."""
    micro_batch_size: int = Field(1, ge=1)
    """Records of one forward pass on one GPU; for NVIDIA's customizer (ours chooses it)."""
    training_precision: Literal["bf16", "fp16", "fp32", "bf16-mixed", "fp8-mixed", "int8"] = "bf16-mixed"
    """Number format of the training; falls back to fp32 where the hardware has no bf16."""
    max_seq_length: int = Field(4096, ge=16)
    """Tokens of the longest training row; longer ones are left out and counted."""


class NimConfig(Block):
    """One candidate: a student model under test."""

    model_name: str = Field(min_length=1)
    """Name of the model, as clients ask for it: meta/llama-3.2-1b-instruct."""
    model_type: Literal["llm", "embedding"] = "llm"
    """What it does."""
    model_path: str | None = None
    """Where the weights are: a folder, or a repository on the hub. Left out: `model_name`."""
    context_length: int = Field(ge=16)
    """Tokens that fit into one request with its answer."""
    gpus: int | None = Field(None, ge=0)
    """GPUs that serving takes; null where something else serves the model already, or on a CPU."""
    pvc_size: str | None = None
    """Disk for the model's cache on Kubernetes, such as 25Gi."""
    registry_base: str = "nvcr.io/nim"
    """Registry and folder of the image, for the engine `nim`."""
    tag: str | None = None
    """Tag of the image, for the engines `nim` and `vllm`."""
    image: str | None = None
    """Image of the engine on Kubernetes, with its tag, for the engines `local` and `vllm`; null: the
    runtime's `image`, and vllm/vllm-openai."""
    engine: Literal["local", "vllm", "nim"] = "local"
    """What serves it: our own small server, vLLM, or an NVIDIA NIM."""
    customization_enabled: bool = False
    """Whether runs train it; otherwise it is measured as it is."""
    customizer_configs: CustomizerConfigs = CustomizerConfigs()
    """How it is trained."""

    @property
    def engine_image(self) -> str | None:
        """What serves it in a cluster; None where the engine knows."""
        vllm = f"vllm/vllm-openai:{self.tag or 'latest'}" if self.engine == "vllm" else None
        return self.image or vllm

    @property
    def target(self) -> str:
        """Name of the customization target of this model."""
        return self.customizer_configs.target or f"{self.model_name}@1.0"


class LlmJudgeConfig(Block):
    """The model that judges answers. Left out, or `remote` without a `url`: the embedded text-matcher stands
    in."""

    deployment_type: Literal["remote", "local"] = Field(
        "remote", validation_alias=AliasChoices("deployment_type", "type")
    )
    """`remote`: an OpenAI-compatible address. `local` without a `url`: each run deploys the model for itself,
    as it does its candidates, and takes it down at its end."""
    model_name: str | None = Field(None, validation_alias=AliasChoices("model_name", "model_id"))
    """Name of the judge model."""
    url: Annotated[str, AfterValidator(_without_secret)] | None = None
    """Full address of its chat completions: https://…/v1/chat/completions."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key. The key itself is never written anywhere."""
    context_length: int | None = None
    """Tokens of the judge's context, for a local one; null: as many as the model takes."""
    model_path: str | None = None
    """Where the weights of a local one are: a folder, or a repository on the hub. Left out: `model_name`."""
    engine: Literal["local", "vllm", "nim"] = "local"
    """What serves a local one: our own small server, vLLM, or an NVIDIA NIM."""
    gpus: int | None = None
    """GPUs of a local judge."""
    pvc_size: str | None = None
    """Disk of a local judge."""
    registry_base: str = "nvcr.io/nim"
    """Registry of a local judge's image."""
    tag: str | None = None
    """Tag of a local judge's image."""

    @model_validator(mode="after")
    def _deployable(self) -> Self:
        if self.deployment_type == "local" and self.url is None and not self.model_name:
            raise ValueError("a local judge needs a model_name")
        return self

    @property
    def deployed(self) -> bool:
        """Whether runs deploy it for themselves."""
        return self.deployment_type == "local" and self.url is None

    @property
    def asked(self) -> bool:
        """Whether there is a model to ask; otherwise the text-matcher stands in."""
        return self.deployed or self.url is not None

    def api_key(self, environment: Mapping[str, str] = os.environ) -> SecretStr | None:
        """The judge's key, read from the environment when it is needed; None where no key is configured."""
        value = secret(self.api_key_env, where="llm_judge_config.api_key_env", environment=environment)
        return SecretStr(value) if value else None


class TeacherConfig(Block):
    """The teacher, to be asked again on the holdout: how far it agrees with its own log is the ceiling that a
    student can be expected to reach. Left out, the log itself is, which is stricter."""

    model_name: str = Field(min_length=1)
    """Name of the model."""
    url: Address
    """Full address of its chat completions: https://…/v1/chat/completions."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key."""

    def api_key(self, environment: Mapping[str, str] = os.environ) -> SecretStr | None:
        """The key, read when it is needed; None where none is configured."""
        value = secret(self.api_key_env, where="teacher_config.api_key_env", environment=environment)
        return SecretStr(value) if value else None


class EmbeddingConfig(Block):
    """A model that turns texts into vectors, asked at an OpenAI-compatible address."""

    deployment_type: Literal["remote", "local"] = "remote"
    """`remote` needs a `url`. `local` without one: each run that chooses examples by likeness deploys the
    model for itself, as it does its candidates, and takes it down at its end."""
    model_name: str = Field(min_length=1)
    """Name of the model, as its server knows it."""
    url: Annotated[str, AfterValidator(_address("http", "https"))] | None = None
    """Full address of its embeddings: https://…/v1/embeddings."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key. The key itself is never written anywhere."""
    input_type: Literal["query", "passage", "none"] | None = None
    """What NVIDIA's retrieval models want to be told of a text; with it they also cut what is too long. Both
    sides of a comparison are told the same. null: `query` for a model named nvidia/…, nothing for others."""
    batch_size: int = Field(32, ge=1, le=2048)
    """Texts of one request; OpenAI takes 2048, a small NIM 32."""
    request_timeout: float = Field(60.0, gt=0)
    """Seconds that one request may take."""
    model_type: Literal["embedding"] = "embedding"
    """What it does; the blueprint's file may say so."""
    context_length: int | None = None
    """Tokens of the longest text, of a local one; read for the blueprint's sake, the model knows it."""
    model_path: str | None = None
    """Where the weights of a local one are: a folder, or a repository on the hub. Left out: `model_name`."""
    engine: Literal["local", "vllm", "nim"] = "local"
    """What serves a local one: our own small server, vLLM, or an NVIDIA NIM."""
    gpus: int | None = None
    """GPUs of a local one."""
    pvc_size: str | None = None
    """Disk of a local one's cache on Kubernetes."""
    registry_base: str = "nvcr.io/nim"
    """Registry of a local one's image."""
    tag: str | None = None
    """Tag of a local one's image."""

    @model_validator(mode="after")
    def _asked_somewhere(self) -> Self:
        if self.deployment_type == "remote" and self.url is None:
            raise ValueError("a remote one needs a url, such as https://host/v1/embeddings")
        return self

    @property
    def deployed(self) -> bool:
        """Whether runs deploy it for themselves."""
        return self.url is None

    @property
    def told_type(self) -> str | None:
        """The `input_type` to send; None for none."""
        default = "query" if self.model_name.startswith("nvidia/") else "none"
        chosen = self.input_type or default
        return None if chosen == "none" else chosen

    def api_key(self, environment: Mapping[str, str] = os.environ) -> SecretStr | None:
        """The key, read when it is needed; None where none is configured."""
        where = "icl_config.similarity_config.embedding_nim_config.api_key_env"
        value = secret(self.api_key_env, where=where, environment=environment)
        return SecretStr(value) if value else None


class Pricing(Block):
    """What answers cost, in one currency of your choice."""

    teacher_input_per_million: float | None = Field(None, ge=0)
    """Price of a million prompt tokens of the teacher."""
    teacher_output_per_million: float | None = Field(None, ge=0)
    """Price of a million answer tokens of the teacher."""
    gpu_hour: float | None = Field(None, ge=0)
    """Price of an hour of one GPU for students."""
    currency: str | None = Field(None, min_length=1, max_length=8)
    """The currency of these prices, such as EUR, to be shown with amounts; null: amounts are shown bare."""
