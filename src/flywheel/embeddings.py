"""Texts to vectors, by the embedding model behind an OpenAI-compatible `/v1/embeddings`.

It sends what is needed and no more: every text once, in batches, nothing for a blank one, which servers
refuse. What two vectors say about two texts is its callers' business.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeGuard

from flywheel.chat import ChatClient
from flywheel.errors import ChatUnreadable
from flywheel.patience import Sleep, ask

Vector = list[float]


class EmbeddingClient:
    """One embedding model; it remembers what it was told for as long as it lives, where it is to `remember`.

    `connect` gives the connection of one call of `vectors`, for its event loop. `input_type` is NVIDIA's
    extra field ("query" or "passage"); with it goes `truncate: END`, without which their servers refuse a
    long text.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[ChatClient]],
        model: str,
        *,
        input_type: str | None = None,
        batch_size: int = 32,
        remember: bool = True,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.model = model
        self._connect = connect
        self._extra = {"input_type": input_type, "truncate": "END"} if input_type else {}
        self._batch_size = batch_size
        self._remember = remember
        self._sleep = sleep
        self._known: dict[str, Vector] = {}
        self._length = 0

    async def vectors(self, texts: Sequence[str]) -> list[Vector]:
        """A vector of each text, in their order and all of one length; zeros for a blank one.

        Raises a ChatError's subclass; ChatUnreadable for an answer that does not hold a vector for each.
        """
        known = self._known if self._remember else {}
        new = [text for text in dict.fromkeys(texts) if text.strip() and text not in known]
        async with self._connect() as chat:
            for start in range(0, len(new), self._batch_size):
                batch = new[start : start + self._batch_size]
                known.update(zip(batch, await self._asked(chat, batch), strict=True))
        return [known.get(text) or [0.0] * self._length for text in texts]

    async def _asked(self, chat: ChatClient, batch: list[str]) -> list[Vector]:
        body = {"model": self.model, "input": batch, "encoding_format": "float", **self._extra}
        answer = await ask(chat.embeddings, body, sleep=self._sleep)

        def unreadable(detail: str) -> ChatUnreadable:
            return ChatUnreadable(f"{chat.base_url}/embeddings", self.model, detail)

        data = answer.get("data")
        entries = [e for e in data if isinstance(e, dict)] if isinstance(data, list) else []
        found = {number: e.get("embedding") for e in entries if isinstance(number := e.get("index"), int)}
        if len(entries) != len(batch) or found.keys() != set(range(len(batch))):
            raise unreadable(f"not one embedding for each of {len(batch)} texts, by index")
        made: list[Vector] = []
        for number in range(len(batch)):
            vector = found[number]
            if not _is_vector(vector):
                raise unreadable("an embedding that is not a list of finite numbers")
            self._length = self._length or len(vector)
            if len(vector) != self._length:
                raise unreadable(f"embeddings of {self._length} and of {len(vector)} numbers")
            made.append(vector)
        return made


def _is_vector(value: Any) -> TypeGuard[Vector]:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in value)
    )
