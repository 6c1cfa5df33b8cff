"""A model as judge: asked once for each question, the answer kept, and left alone when it answers nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from flywheel.chat import ChatResult
from flywheel.errors import ChatError, ChatRejected
from flywheel.evaluation.asking import Send
from flywheel.patience import Sleep, ask

GIVE_UP_AFTER = 5
"""Failures in a row, with no answer ever, after which a judge is not asked again in this evaluation."""

_REFUSES_A_FIELD = frozenset({400, 404, 415, 422, 501})


class JudgeCache(Protocol):
    """Answers of judges by the hash of the question; survives the evaluation."""

    def get(self, key: str) -> str | None: ...
    def put(self, key: str, answer: str) -> None: ...


class JudgeSilent(Exception):
    """The judge gave no answer; the sample stays unscored."""


class Judge:
    """One judging model behind `send`, which a client's `chat` or `complete` is.

    `content` tells the hash of the model where it is known, so that another one under its name is asked anew.
    """

    def __init__(
        self,
        model: str,
        send: Send,
        cache: JudgeCache,
        *,
        content: Callable[[], str | None] = lambda: None,
        parallelism: int = 8,
        retries: int = 3,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.model = model
        self._send = send
        self._cache = cache
        self._content = content
        self._retries = retries
        self._sleep = sleep
        self._slots = asyncio.Semaphore(parallelism)
        self._answered = 0
        self._failed = 0
        self._first_error = ""
        self._knows_formats = True

    def cached(self, question: Mapping[str, Any]) -> str | None:
        return self._cache.get(self._key(question))

    def keep(self, question: Mapping[str, Any], answer: str) -> None:
        """Remember an answer that could be read; nonsense is asked anew the next time."""
        self._cache.put(self._key(question), answer)

    async def ask(self, question: Mapping[str, Any], response_format: Mapping[str, Any] | None = None) -> str:
        """The judge's words to `question`, a request body without the model. Raises JudgeSilent.

        `response_format` is asked for until the judge's server refuses it once.
        """
        async with self._slots:
            if not self._answered and self._failed >= GIVE_UP_AFTER:
                raise JudgeSilent(f"not asked, since the judge answers nothing: {self._first_error}")
            try:
                result = await self._asked({**question, "model": self.model}, response_format)
            except ChatError as error:
                self._failed += 1
                self._first_error = self._first_error or str(error)
                raise JudgeSilent(str(error)) from error
            self._answered += 1
            refusal = result.message.get("refusal")
            if refusal:
                raise JudgeSilent(f"the judge refuses: {refusal}")
            return result.text

    async def _asked(self, body: dict[str, Any], response_format: Mapping[str, Any] | None) -> ChatResult:
        """The answer, without a response format where the server does not know it."""
        if response_format is not None and self._knows_formats:
            try:
                return await self._sent({**body, "response_format": response_format})
            except ChatRejected as error:
                if error.http_status not in _REFUSES_A_FIELD:
                    raise
            result = await self._sent(body)
            self._knows_formats = False  # Only now is it known that the format was what it refused.
            return result
        return await self._sent(body)

    async def _sent(self, body: Mapping[str, Any]) -> ChatResult:
        return await ask(self._send, body, retries=self._retries, sleep=self._sleep)

    def _key(self, question: Mapping[str, Any]) -> str:
        """The question holds the prompt, the reference and the answer, so this is all that the reply
        depends on.
        """
        content = self._content()
        judge = [self.model, content] if content else self.model
        text = json.dumps([judge, question], sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(text.encode()).hexdigest()
