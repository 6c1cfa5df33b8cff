"""A model as judge: asked once for each question, the answer kept, and left alone when it answers nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol

from flywheel.errors import ChatError
from flywheel.evaluation.asking import Send, Sleep, ask

GIVE_UP_AFTER = 5
"""Failures in a row, with no answer ever, after which a judge is not asked again in this evaluation."""


class JudgeCache(Protocol):
    """Answers of judges by the hash of the question; survives the evaluation."""

    def get(self, key: str) -> str | None: ...
    def put(self, key: str, answer: str) -> None: ...


class JudgeSilent(Exception):
    """The judge gave no answer; the sample stays unscored."""


class Judge:
    """One judging model behind `send`, which a client's `chat` or `complete` is."""

    def __init__(
        self,
        model: str,
        send: Send,
        cache: JudgeCache,
        *,
        parallelism: int = 8,
        retries: int = 3,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.model = model
        self._send = send
        self._cache = cache
        self._retries = retries
        self._sleep = sleep
        self._slots = asyncio.Semaphore(parallelism)
        self._answered = 0
        self._failed = 0
        self._first_error = ""

    def cached(self, question: Mapping[str, Any]) -> str | None:
        return self._cache.get(self._key(question))

    def keep(self, question: Mapping[str, Any], answer: str) -> None:
        """Remember an answer that could be read; nonsense is asked anew the next time."""
        self._cache.put(self._key(question), answer)

    async def ask(self, question: Mapping[str, Any]) -> str:
        """The judge's words to `question`, a request body without the model. Raises JudgeSilent."""
        async with self._slots:
            if not self._answered and self._failed >= GIVE_UP_AFTER:
                raise JudgeSilent(f"not asked, since the judge answers nothing: {self._first_error}")
            body = {**question, "model": self.model}
            try:
                result = await ask(self._send, body, retries=self._retries, sleep=self._sleep)
            except ChatError as error:
                self._failed += 1
                self._first_error = self._first_error or str(error)
                raise JudgeSilent(str(error)) from error
            self._answered += 1
            return result.text

    def _key(self, question: Mapping[str, Any]) -> str:
        """The question holds the prompt, the reference and the answer, so this is all that the reply
        depends on.
        """
        text = json.dumps([self.model, question], sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(text.encode()).hexdigest()
