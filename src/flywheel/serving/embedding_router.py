"""The routes of a served embedding model: OpenAI's, with NVIDIA's `input_type` and `truncate`."""

from __future__ import annotations

import base64
import time
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from flywheel.serving.embedding import EmbeddingModel
from flywheel.serving.errors import BadParameter, ModelNotServed

MOST_TEXTS = 2048
"""Of one request; OpenAI's limit."""


class EmbeddingRequest(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)
    input_type: Literal["query", "passage"] | None = None
    truncate: Literal["NONE", "END"] = "END"

    @property
    def texts(self) -> list[str]:
        """Raises BadParameter for tokens, for nothing, and for too much."""
        texts = [self.input] if isinstance(self.input, str) else self.input
        if not 1 <= len(texts) <= MOST_TEXTS:
            raise BadParameter("input", f"{len(texts)} texts", f"must be 1 to {MOST_TEXTS}")
        for number, text in enumerate(texts):
            if not isinstance(text, str) or not text:
                raise BadParameter(f"input.{number}", text, "must be a text with at least one character")
        return [text for text in texts if isinstance(text, str)]


def embedding_router(name: str, model: EmbeddingModel) -> APIRouter:
    routes = APIRouter()
    created = int(time.time())

    @routes.post("/v1/embeddings")
    async def embeddings(body: EmbeddingRequest) -> dict[str, Any]:
        _check(body.model)
        texts = body.texts
        size = int(model.model.config.hidden_size)
        if body.dimensions not in (None, size):
            raise BadParameter("dimensions", body.dimensions, f"this model has {size}; leave it out")
        rows, tokens = await run_in_threadpool(
            model.embed, texts, body.input_type, cut=body.truncate == "END"
        )
        if body.encoding_format == "base64":
            vectors = [base64.b64encode(row.numpy().astype("<f4").tobytes()).decode() for row in rows]
        else:
            vectors = rows.tolist()
        data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "model": name, "data": data, "usage": usage}

    @routes.post("/v1/chat/completions")
    @routes.post("/v1/completions")
    async def no_chat() -> None:
        raise BadParameter("model", name, "is an embedding model and does not talk; ask /v1/embeddings")

    @routes.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_card()]}

    @routes.get("/v1/models/{asked:path}")
    async def one_model(asked: str) -> dict[str, Any]:
        _check(asked)
        return _card()

    @routes.get("/health")
    @routes.get("/v1/health/live")
    @routes.get("/v1/health/ready")
    async def health() -> dict[str, Any]:
        """There is no address before the model is loaded, so to answer is to be ready."""
        return {"object": "health", "message": "ready", "status": "ready"}

    def _check(asked: str) -> None:
        if asked != name:
            raise ModelNotServed(asked, [name])

    def _card() -> dict[str, Any]:
        card = {"id": name, "object": "model", "created": created, "owned_by": "flywheel"}
        return card | {"root": name, "max_model_len": model.max_model_len}

    return routes
