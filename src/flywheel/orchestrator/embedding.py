"""What a run compares texts with: the configured embedding model, or nothing, and then n-grams stand in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx

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
    client = EmbeddingClient(
        config.url,
        config.model_name,
        key.get_secret_value() if key else None,
        transport,
        input_type=config.told_type,
        batch_size=config.batch_size,
        timeout=config.request_timeout,
    )
    return Embedder(config.model_name, lambda texts: asyncio.run(client.vectors(texts)))
