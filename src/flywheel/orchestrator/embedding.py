"""What a run compares texts with: the configured embedding model, or nothing, and then n-grams stand in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx

from flywheel.chat import ChatClient
from flywheel.config import EmbeddingConfig, IclConfig
from flywheel.curation import Embedder
from flywheel.embeddings import EmbeddingClient
from flywheel.orchestrator.context import Context
from flywheel.patience import Sleep


def embedder_of(icl: IclConfig, context: Context) -> Embedder | None:
    """The embedder that chooses examples; None where likeness does not, or no model is configured.

    It asks for every text once and raises what `EmbeddingClient.vectors` raises, so that a model that is away
    is passing trouble. Raises ConfigError when its key is not in the environment.
    """
    chooses = icl.example_selection == "semantic_similarity"
    return _embedder(icl, context, remember=True) if chooses else None


def auditor_of(icl: IclConfig, context: Context) -> Embedder | None:
    """The embedder that looks for repeats of the evaluation; None where no model is configured.

    As `embedder_of`, but it keeps nothing: it is asked about every record of a workload once.
    """
    return _embedder(icl, context, remember=False)


def _embedder(icl: IclConfig, context: Context, *, remember: bool) -> Embedder | None:
    config = icl.embedding
    if config is None:
        return None
    url = config.url or f"{context.services.urls.models}/v1/embeddings"
    transport = context.embedding_transport
    return embedder_at(config, url, context.environment, transport, remember=remember)


def embedder_at(
    config: EmbeddingConfig,
    url: str,
    environment: Mapping[str, str],
    transport: httpx.AsyncBaseTransport | None = None,
    *,
    remember: bool,
    sleep: Sleep = asyncio.sleep,
) -> Embedder:
    """The model of `config` at `url`. Raises ConfigError when its key is not in the environment."""
    key = config.api_key(environment) if config.url else None
    secret = key.get_secret_value() if key else None
    client = EmbeddingClient(
        partial(ChatClient, url, secret, transport, config.request_timeout),
        config.model_name,
        input_type=config.told_type,
        batch_size=config.batch_size,
        remember=remember,
        sleep=sleep,
    )
    return Embedder(config.model_name, lambda texts: asyncio.run(client.vectors(texts)))


def embedding_model(icl: IclConfig, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """The embedding model as an evaluation job's metric names it, one that the run deploys by its name at the
    model proxy; None where none is configured.

    Raises ConfigError when its key is not in the environment.
    """
    config = icl.embedding
    if config is None:
        return None
    told = {"input_type": config.told_type or "none"}
    if config.url is None:
        return {"model": config.model_name, **told}
    key = config.api_key(environment)
    endpoint = {"url": config.url, "model_id": config.model_name}
    model = {"api_endpoint": endpoint | ({"api_key": key.get_secret_value()} if key else {})}
    return {"model": model, **told}
