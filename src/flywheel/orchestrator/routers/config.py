"""`/api/config`: what a job can be started with, for whoever offers a choice. Nothing here is secret."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from flywheel import __version__
from flywheel.config import Settings
from flywheel.orchestrator.context import Context

_CANDIDATE = {"model_name", "model_type", "engine", "context_length", "gpus", "customization_enabled"}
_SERVER = {"url", "api_key_env"}
"""Of a model that is asked elsewhere: where that is, and where its key is, is nobody's business here."""


def router(context: Context) -> APIRouter:
    """The routes."""
    api = APIRouter(prefix="/api", tags=["config"])
    shown = _shown(context.settings)

    @api.get("/config")
    def config() -> dict[str, Any]:
        """The candidates, the settings that a job may override, the judge's name, the currency of costs."""
        return shown

    return api


def _shown(settings: Settings) -> dict[str, Any]:
    judge, teacher = settings.llm_judge_config, settings.teacher_config
    icl = {"similarity_config": {"embedding_nim_config": _SERVER}}
    return {
        "version": __version__,
        "namespace": settings.nmp_config.nmp_namespace,
        "candidates": [nim.model_dump(mode="json", include=_CANDIDATE) for nim in settings.nims],
        "defaults": {
            "data_split_config": settings.data_split_config.model_dump(mode="json"),
            "training_config": settings.training_config.model_dump(mode="json"),
            "lora_config": settings.lora_config.model_dump(mode="json"),
            "icl_config": settings.icl_config.model_dump(mode="json", exclude=icl),
            "evaluation_config": settings.evaluation_config.model_dump(mode="json"),
        },
        "judge": judge.model_name if judge and judge.url else None,
        "teacher": teacher.model_name if teacher else None,
        "currency": settings.pricing.currency,
    }
