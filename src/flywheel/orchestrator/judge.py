"""Who judges a run's answers: a configured endpoint, or the embedded text-matcher, under that name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from flywheel.chat import ChatClient
from flywheel.config import LlmJudgeConfig
from flywheel.errors import ChatBusy, ChatError, ChatTimeout, ChatUnreachable
from flywheel.nemo.evaluation_jobs import ModelRef
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.errors import JudgeUnusable
from flywheel.stores.runs.document import Judge, Run

TEXT_MATCHER = "text-matcher"
_PROBES = 3
_PROBE_TIMEOUT_S = 30.0
_PROBE_TOKENS = 8


def judge_of(run: Run) -> LlmJudgeConfig | None:
    """The judge that this run asks; None for the text-matcher.

    `tool_eval_type: tool-calling-metric` keeps a judge away from tool calls.
    """
    config, evaluation = run.config.llm_judge_config, run.config.evaluation_config
    only_metric = run.workload_type == "tool_calling" and evaluation.tool_eval_type == "tool-calling-metric"
    return None if config is None or not config.asked or only_metric else config


def judge_model(config: LlmJudgeConfig | None, environment: Mapping[str, str]) -> ModelRef | None:
    """The judge as an evaluation job names it, one that the run deploys by its name at the model proxy; None
    for the text-matcher."""
    if config is None or not config.asked:
        return None
    if config.url is None:
        return config.model_name
    key = config.api_key(environment)
    endpoint = {"url": config.url, "model_id": config.model_name}
    return {"api_endpoint": endpoint | ({"api_key": key.get_secret_value()} if key else {})}


def probed(config: LlmJudgeConfig | None, context: Context) -> Judge:
    """The judge of a run, after it has answered one short question.

    Raises:
        JudgeUnusable: it did not.
        ConfigError: its key is not in the environment.
    """
    if config is None or not config.asked:
        return Judge(model_name=TEXT_MATCHER, type="local")
    url = config.url or f"{context.services.urls.models}/v1/chat/completions"
    return answering(config, url, context.environment, context.judge_transport)


def answering(
    config: LlmJudgeConfig,
    url: str,
    environment: Mapping[str, str],
    transport: httpx.AsyncBaseTransport | None = None,
) -> Judge:
    """The judge at `url`, after one short question. Raises as `probed` does."""
    key = config.api_key(environment) if config.url else None
    name = config.model_name or ""
    secret = key.get_secret_value() if key else None
    try:
        asyncio.run(_ask(url, _question(config), secret, transport))
    except ChatError as error:
        raise JudgeUnusable(name, url, error.detail) from error
    return Judge(model_name=name, type="local" if config.deployed else "remote")


def _question(config: LlmJudgeConfig) -> dict[str, Any]:
    """A short one. A server of our own is asked for a short answer too; others may refuse `max_tokens`."""
    question = {"model": config.model_name, "messages": [{"role": "user", "content": "hi"}]}
    return question | ({"max_tokens": _PROBE_TOKENS} if config.deployed else {})


async def _ask(
    url: str, question: Mapping[str, Any], key: str | None, transport: httpx.AsyncBaseTransport | None
) -> None:
    async with ChatClient(url, key, transport, _PROBE_TIMEOUT_S) as client:
        for tries in range(_PROBES):
            try:
                await client.chat(question)
            except (ChatUnreachable, ChatBusy, ChatTimeout):
                if tries == _PROBES - 1:
                    raise
            else:
                return
