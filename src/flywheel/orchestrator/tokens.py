"""How long a prompt is for a candidate: by its own tokenizer where that is at hand, else by a rule of thumb.

The tokenizer is at hand for the shipped student and for a model in a folder; weights of gigabytes are not
fetched to count words. What is counted is the JSON of messages and tools with a few tokens for each message's
frame: templates spell it differently, and mostly shorter. The rule of thumb is a token for three bytes, which
is more than English or JSON need, so that prompts stay within their limit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from tokenizers import Tokenizer

from flywheel.config import NimConfig
from flywheel.hub import DEMO_STUDENT, ModelNotFound, resolve_model

CountTokens = Callable[[list[dict[str, Any]], list[dict[str, Any]] | None], int]

_FRAME = 6
_BYTES_PER_TOKEN = 3


def token_counter(nim: NimConfig) -> CountTokens:
    """Counts the tokens of messages and tools for this candidate."""
    tokenizer = _tokenizer(nim.model_path or nim.model_name)

    @lru_cache(maxsize=4096)  # The same tools and examples come with every request.
    def of(text: bytes) -> int:
        if tokenizer is None:
            return -(-len(text) // _BYTES_PER_TOKEN)
        return len(tokenizer.encode(text.decode(), add_special_tokens=False).ids)

    def count(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> int:
        spoken = sum(_FRAME + of(orjson.dumps(message)) for message in messages)
        return spoken + (of(orjson.dumps(tools)) if tools else 0)

    return count


def _tokenizer(model: str) -> Tokenizer | None:
    if model != DEMO_STUDENT and not Path(model).is_absolute():
        return None
    try:
        folder = resolve_model(model, cache_dir=Path())
    except ModelNotFound:
        return None
    file = folder / "tokenizer.json"
    return Tokenizer.from_file(str(file)) if file.is_file() else None
