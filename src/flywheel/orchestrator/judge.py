"""Who judges a run's answers: a configured endpoint, or the embedded text-matcher, under that name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from flywheel.chat import ChatClient
from flywheel.config import LlmJudgeConfig
from flywheel.errors import ChatBusy, ChatError, ChatTimeout, ChatUnreachable
from flywheel.orchestrator.errors import JudgeUnusable
from flywheel.stores.runs.document import Judge, Run

TEXT_MATCHER = "text-matcher"
_PROBES = 3
_PROBE_TIMEOUT_S = 30.0


def judge_of(run: Run) -> LlmJudgeConfig | None:
    """The judge that this run asks; None for the text-matcher.

    `tool_eval_type: tool-calling-metric` keeps a judge away from tool calls.
    """
    config, evaluation = run.config.llm_judge_config, run.config.evaluation_config
    only_metric = run.workload_type == "tool_calling" and evaluation.tool_eval_type == "tool-calling-metric"
    return None if config is None or config.url is None or only_metric else config


def judge_model(config: LlmJudgeConfig | None, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """The judge as an evaluation job names it; None for the text-matcher."""
    if config is None or config.url is None:
        return None
    key = config.api_key(environment)
    endpoint = {"url": config.url, "model_id": config.model_name}
    return {"api_endpoint": endpoint | ({"api_key": key.get_secret_value()} if key else {})}


def probed(
    config: LlmJudgeConfig | None,
    environment: Mapping[str, str],
    transport: httpx.AsyncBaseTransport | None = None,
) -> Judge:
    """The judge of a run, after it has answered one short question.

    Raises:
        JudgeUnusable: it did not.
        ConfigError: its key is not in the environment.
    """
    if config is None or config.url is None:
        return Judge(model_name=TEXT_MATCHER, type="local")
    key = config.api_key(environment)
    name = config.model_name or ""
    secret = key.get_secret_value() if key else None
    try:
        asyncio.run(_ask(config.url, name, secret, transport))
    except ChatError as error:
        raise JudgeUnusable(name, config.url, error.detail) from error
    return Judge(model_name=name, type="remote")


async def _ask(url: str, model: str, key: str | None, transport: httpx.AsyncBaseTransport | None) -> None:
    async with ChatClient(url, key, transport, _PROBE_TIMEOUT_S) as client:
        for tries in range(_PROBES):
            try:
                await client.chat({"model": model, "messages": [{"role": "user", "content": "hi"}]})
            except (ChatUnreachable, ChatBusy, ChatTimeout):
                if tries == _PROBES - 1:
                    raise
            else:
                return
