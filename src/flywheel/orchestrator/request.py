"""The body of `POST /api/jobs`: which workload, and what this job does differently from the configuration."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from flywheel.config import (
    Block,
    IclConfig,
    LlmJudgeConfig,
    NimConfig,
    Settings,
    nearest,
    parse,
)
from flywheel.errors import ConfigError
from flywheel.models import Workload
from flywheel.orchestrator.errors import NoCandidates, UnknownCandidate
from flywheel.stores.runs.document import RunConfig

_WHERE = "the job's body"
B = TypeVar("B", bound=BaseModel)


class NamedCandidate(Block):
    """A candidate of the configuration, by its name."""

    model_name: str
    """As under `nims:`."""


class JobRequest(Block):
    """Fields beyond the first three are ours. Blocks hold only what differs from the configuration."""

    workload_id: str = Field(min_length=1)
    """The workload's name, as logged."""
    client_id: str = Field(min_length=1)
    """The application, as logged."""
    data_split_config: dict[str, Any] | None = None
    """Overrides of data_split_config."""
    nims: tuple[str | NamedCandidate, ...] | None = None
    """Only these candidates of the configuration."""
    candidates: tuple[str | NamedCandidate, ...] | None = None
    """The same as `nims`."""
    training_config: dict[str, Any] | None = None
    """Overrides of training_config."""
    lora_config: dict[str, Any] | None = None
    """Overrides of lora_config."""
    icl_config: dict[str, Any] | None = None
    """Overrides of icl_config."""
    evaluation_config: dict[str, Any] | None = None
    """Overrides of evaluation_config."""
    llm_judge_config: dict[str, Any] | None = None
    """Overrides of llm_judge_config; null: the embedded text-matcher. The key cannot be chosen here."""

    @property
    def workload(self) -> Workload:
        return Workload(self.client_id, self.workload_id)

    @property
    def overrides(self) -> dict[str, Any]:
        """What the body asked to be different, as it was sent."""
        return self.model_dump(mode="json", exclude={"workload_id", "client_id"}, exclude_unset=True)

    @property
    def fingerprint(self) -> str:
        """A digest of what was asked for, to tell a repeated request from another one with the same key."""
        text = json.dumps(self.model_dump(mode="json", exclude_unset=True), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def read_request(body: object) -> JobRequest:
    """Raises ConfigError, which names the field and, for one that does not exist, the nearest that does."""
    return parse(JobRequest, body, where=_WHERE)


def configured(request: JobRequest, settings: Settings) -> RunConfig:
    """The settings of this job.

    Raises:
        ConfigError: an override is not understood.
        UnknownCandidate, NoCandidates: nothing that could be measured was named.
    """

    def block(name: str, now: B) -> B:
        change = getattr(request, name)
        if not change:
            return now
        return parse(type(now), now.model_dump() | change, where=f"{_WHERE}: {name}")

    return RunConfig(
        nims=_chosen(request, settings),
        data_split_config=block("data_split_config", settings.data_split_config),
        icl_config=_icl(request, settings.icl_config),
        training_config=block("training_config", settings.training_config),
        lora_config=block("lora_config", settings.lora_config),
        evaluation_config=block("evaluation_config", settings.evaluation_config),
        llm_judge_config=_judge(request, settings.llm_judge_config),
    )


def _chosen(request: JobRequest, settings: Settings) -> tuple[NimConfig, ...]:
    known = {nim.model_name: nim for nim in settings.nims if nim.model_type == "llm"}
    asked = request.nims if request.nims is not None else request.candidates
    if asked is None:
        chosen = tuple(known.values())
    else:
        names = dict.fromkeys(name if isinstance(name, str) else name.model_name for name in asked)
        for name in names:
            if name not in known:
                raise UnknownCandidate(name, nearest(name, known))
        chosen = tuple(known[name] for name in names)
    if not chosen:
        raise NoCandidates
    return chosen


def _icl(request: JobRequest, now: IclConfig) -> IclConfig:
    """The in-context examples of this job. What it does not say about likeness stays the configuration's; the
    key of its embedding model goes only to the address that the server's file names.
    """
    change = dict(request.icl_config or {})
    where = f"{_WHERE}: icl_config"
    before = now.model_dump()
    likeness = change.get("similarity_config")
    if isinstance(likeness, dict):
        likeness = dict(likeness)
        if "embedding_nim" in likeness:
            likeness.setdefault("embedding_nim_config", likeness.pop("embedding_nim"))
        model = likeness.get("embedding_nim_config")
        if isinstance(model, dict):
            likeness["embedding_nim_config"] = _keyed(
                model, before["similarity_config"]["embedding_nim_config"] or {}, f"{where}.similarity_config"
            )
        change["similarity_config"] = before["similarity_config"] | likeness
    return parse(IclConfig, before | change, where=where)


def _keyed(change: dict[str, Any], before: dict[str, Any], where: str) -> dict[str, Any]:
    if "api_key_env" in change:
        raise ConfigError(
            f"{where}.embedding_nim_config: api_key_env can only be set in the server's configuration;"
            " leave it out"
        )
    if "url" in change and change["url"] != before.get("url"):
        before = {name: value for name, value in before.items() if name != "api_key_env"}
    return before | change


def _judge(request: JobRequest, now: LlmJudgeConfig | None) -> LlmJudgeConfig | None:
    """The judge of this job. The server's key goes only to the address that the server's file names."""
    if "llm_judge_config" not in request.model_fields_set:
        return now
    change = request.llm_judge_config
    if change is None:
        return None
    where = f"{_WHERE}: llm_judge_config"
    if "api_key_env" in change:
        raise ConfigError(f"{where}: api_key_env can only be set in the server's configuration; leave it out")
    before = now.model_dump() if now else {}
    if "url" in change and change["url"] != before.get("url"):
        before.pop("api_key_env", None)
    return parse(LlmJudgeConfig, before | change, where=where)
