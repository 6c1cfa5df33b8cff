"""What a run compares texts with: the configured embedding model, or nothing, and then n-grams stand in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx

from flywheel.chat import ChatClient
from flywheel.config import IclConfig
from flywheel.curation import Embedder
from flywheel.embeddings import EmbeddingClient


def embedder_of(
    icl: IclConfig, environment: Mapping[str, str], transport: httpx.AsyncBaseTransport | None = None
) -> Embedder | None:
    """The embedder that chooses examples; None where likeness does not, or no address is configured.

    It asks for every text once and raises what `EmbeddingClient.vectors` raises, so that a model that is away
    is passing trouble. Raises ConfigError when its key is not in the environment.
    """
    config = icl.similarity_config.embedding_nim_config
    if icl.example_selection != "semantic_similarity" or config is None or config.url is None:
        return None
    key = config.api_key(environment)
    secret = key.get_secret_value() if key else None
    client = EmbeddingClient(
        partial(ChatClient, config.url, secret, transport, config.request_timeout),
        config.model_name,
        input_type=config.told_type,
        batch_size=config.batch_size,
    )
    return Embedder(config.model_name, lambda texts: asyncio.run(client.vectors(texts)))


def embedding_model(icl: IclConfig, environment: Mapping[str, str]) -> dict[str, Any] | None:
    """The embedding model as an evaluation job's metric names it; None where no address is configured.

    Raises ConfigError when its key is not in the environment.
    """
    config = icl.similarity_config.embedding_nim_config
    if config is None or config.url is None:
        return None
    key = config.api_key(environment)
    endpoint = {"url": config.url, "model_id": config.model_name}
    model = {"api_endpoint": endpoint | ({"api_key": key.get_secret_value()} if key else {})}
    return {"model": model, "input_type": config.told_type or "none"}
