"""The one client of the OpenAI protocol: teacher, judges, students and embedding models are asked through it.

It sends one request and tells exactly what became of it. Whether to try again, how many to send at once
and what an answer is worth is its callers' business, because an evaluation, a gateway and a probe decide
that differently.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Self

import httpx

from flywheel.errors import ChatBusy, ChatError, ChatRejected, ChatTimeout, ChatUnreachable, ChatUnreadable
from flywheel.hidden import hide, scrub
from flywheel.streams import Assembly, BrokenStream, CutShort, StreamFailed, objects
from flywheel.telemetry import tracing

_DETAIL_LIMIT: Final = 2000
_ROUTES: Final = ("/chat/completions", "/completions", "/embeddings")


@dataclass(frozen=True, slots=True)
class ChatResult:
    """`response` is the body as the server sent it, with at least one choice."""

    response: dict[str, Any]
    latency_s: float
    first_token_s: float | None = None
    """Until the first words, or the first piece of a call, of an answer that was streamed."""

    @property
    def message(self) -> dict[str, Any]:
        """The first choice's message; of a plain completion, its text as one."""
        choice = self.response["choices"][0]
        message = choice.get("message")
        return message if isinstance(message, dict) else {"role": "assistant", "content": choice.get("text")}

    @property
    def text(self) -> str:
        content = self.message.get("content")
        return content if isinstance(content, str) else ""

    @property
    def usage(self) -> dict[str, int]:
        """`prompt_tokens` and `completion_tokens`, where the server counts them."""
        usage = self.response.get("usage")
        found = usage if isinstance(usage, dict) else {}
        names = ("prompt_tokens", "completion_tokens")
        return {name: found[name] for name in names if isinstance(found.get(name), int)}


class ChatClient:
    """One OpenAI-compatible server; use it from one event loop, close it there.

    `base_url` ends before `/chat/completions` (as in `http://host:8002/v1`); a whole endpoint is taken too.
    `timeout` is in seconds and covers one request from connecting to the last byte.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: float = 120.0,
    ) -> None:
        self.base_url = endpoint_root(base_url)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._timeout = timeout
        self._streams = True
        hide(api_key)
        self._http = httpx.AsyncClient(transport=transport, timeout=timeout, headers=headers, limits=limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def chat(self, body: Mapping[str, Any]) -> ChatResult:
        """Ask for a chat completion (not streamed). Raises a ChatError's subclass."""
        return await self._post("/chat/completions", body)

    async def stream(self, body: Mapping[str, Any]) -> ChatResult:
        """As `chat`, but streamed, so that the first token is timed. A stream that breaks off is an error.

        A server that refuses to stream is asked without from then on.
        """
        if not self._streams:
            return await self.chat(body)
        try:
            return await self._streamed(body)
        except ChatRejected as error:
            if error.http_status not in (400, 422) or "stream" not in error.detail.lower():
                raise
        result = await self.chat(body)
        self._streams = False
        return result

    async def complete(self, body: Mapping[str, Any]) -> ChatResult:
        """Ask for a plain completion of `body["prompt"]`. Raises a ChatError's subclass."""
        return await self._post("/completions", body)

    async def embeddings(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for the vectors of `body["input"]`; the answer as it came. Raises a ChatError's subclass."""
        url, model = f"{self.base_url}/embeddings", str(body.get("model", ""))
        return _json(await self._send("POST", url, model, body), url, model)

    async def models(self) -> list[str]:
        """The names that the server offers. Raises a ChatError's subclass."""
        return [str(entry["id"]) for entry in await self.listing()]

    async def listing(self) -> list[dict[str, Any]]:
        """What the server offers: the `id` of each, and what else it says. Raises a ChatError's subclass."""
        url = f"{self.base_url}/models"
        response = await self._send("GET", url, "", None)
        data = _json(response, url, "").get("data")
        entries = data if isinstance(data, list) else []
        return [entry for entry in entries if isinstance(entry, dict) and "id" in entry]

    async def _post(self, route: str, body: Mapping[str, Any]) -> ChatResult:
        url, model = self.base_url + route, str(body.get("model", ""))
        began = time.perf_counter()
        response = await self._send("POST", url, model, body)
        latency = time.perf_counter() - began
        return ChatResult(response=_completion(response, url, model), latency_s=latency)

    async def _streamed(self, body: Mapping[str, Any]) -> ChatResult:
        route = "/chat/completions"
        url, model = self.base_url + route, str(body.get("model", ""))
        wanted = {**body, "stream": True, "stream_options": {"include_usage": True}}
        about = {"http.request.method": "POST", "url.full": url, "gen_ai.request.model": model}
        began = time.perf_counter()
        with tracing.span(f"POST {route}", about, kind="client") as span:
            async with self._translated(url, model):
                call = self._http.stream("POST", url, json=wanted, headers=tracing.headers())
                async with call as response:
                    span.note(http__response__status_code=response.status_code)
                    if not _is_stream(response):
                        await response.aread()  # A refusal, or a server that does not stream.
                    else:
                        return await _assembled(response, began)
            if not response.is_success:
                raise self._refusal(url, model, response)
            latency = time.perf_counter() - began
            return ChatResult(response=_completion(response, url, model), latency_s=latency)

    async def _send(
        self, method: str, url: str, model: str, body: Mapping[str, Any] | None
    ) -> httpx.Response:
        about = {"http.request.method": method, "url.full": url, "gen_ai.request.model": model}
        with tracing.span(f"{method} {url.removeprefix(self.base_url)}", about, kind="client") as span:
            response = await self._asked(method, url, model, body)
            span.note(http__response__status_code=response.status_code)
            return response

    async def _asked(
        self, method: str, url: str, model: str, body: Mapping[str, Any] | None
    ) -> httpx.Response:
        async with self._translated(url, model):
            response = await self._http.request(method, url, json=body, headers=tracing.headers())
        if response.is_success:
            return response
        raise self._refusal(url, model, response)

    @asynccontextmanager
    async def _translated(self, url: str, model: str) -> AsyncIterator[None]:
        """What goes wrong on the way, as a ChatError; all of it within the time limit."""
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ChatUnreachable(url, model, f"no connection ({_words(error)})") from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise ChatTimeout(url, model, f"no answer in time ({_words(error)})") from error
        except httpx.TransportError as error:
            raise ChatUnreachable(url, model, f"the connection broke ({_words(error)})") from error
        except httpx.InvalidURL as error:
            raise ChatRejected(url, model, f"not a URL: {error}", 400) from error
        except CutShort as error:
            raise ChatUnreachable(url, model, f"the stream broke off: {error}") from error
        except BrokenStream as error:
            detail = f"a stream that cannot be read: {scrub(str(error))[:_DETAIL_LIMIT]}"
            raise ChatUnreadable(url, model, detail) from error
        except StreamFailed as error:
            detail = f"in the middle of its answer: {scrub(str(error))[:_DETAIL_LIMIT]}"
            if error.status == 429 or error.status >= 500:
                raise ChatBusy(url, model, detail, error.status, None) from error
            raise ChatRejected(url, model, detail, error.status) from error

    def _refusal(self, url: str, model: str, response: httpx.Response) -> ChatError:
        """The error that a status means. Some servers repeat the key in it; it goes no further."""
        detail, status = scrub(response.text)[:_DETAIL_LIMIT], response.status_code
        if status == 429 or status >= 500:
            return ChatBusy(url, model, detail, status, _retry_after(response.headers.get("retry-after")))
        return ChatRejected(url, model, detail, status)


def _is_stream(response: httpx.Response) -> bool:
    kind = response.headers.get("content-type", "")
    return response.is_success and kind.partition(";")[0].strip().lower() == "text/event-stream"


async def _assembled(response: httpx.Response, began: float) -> ChatResult:
    assembly, first_token = Assembly(), None
    async for piece in objects(response.aiter_bytes()):
        if assembly.add(piece) and first_token is None:
            first_token = time.perf_counter() - began
    return ChatResult(assembly.response(), time.perf_counter() - began, first_token)


def endpoint_root(url: str) -> str:
    """`url` without a trailing `/chat/completions`, `/completions`, `/embeddings` or slash."""
    root = url.rstrip("/")
    for route in _ROUTES:
        if root.endswith(route):
            return root.removesuffix(route)
    return root


def _retry_after(value: str | None) -> float | None:
    """Seconds, from a number of seconds or an HTTP date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def _completion(response: httpx.Response, url: str, model: str) -> dict[str, Any]:
    answer = _json(response, url, model)
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ChatUnreadable(url, model, f"an answer without choices: {response.text[:_DETAIL_LIMIT]}")
    return answer


def _json(response: httpx.Response, url: str, model: str) -> dict[str, Any]:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError) as error:
        raise ChatUnreadable(url, model, f"not JSON: {response.text[:_DETAIL_LIMIT]}") from error
    if not isinstance(body, dict):
        raise ChatUnreadable(url, model, f"not an object: {response.text[:_DETAIL_LIMIT]}")
    return body


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
