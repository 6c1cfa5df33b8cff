"""One way to call a NeMo service, shared by the clients: timeouts, safe repeats, errors that name the call.

A read is repeated on passing trouble; anything else only when the request never left this machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from flywheel.errors import UpstreamError
from flywheel.telemetry import tracing

_PASSING: Final = frozenset({429, 502, 503, 504})
_SAFE: Final = frozenset({"GET", "HEAD"})


class ServiceCallFailed(UpstreamError):
    """A service refused, failed or could not be reached; `upstream_status` is None without an answer."""

    code = "service_call_failed"

    def __init__(self, method: str, url: str, upstream_status: int | None, detail: str) -> None:
        self.method, self.url, self.upstream_status, self.detail = method, url, upstream_status, detail
        answer = "no answer" if upstream_status is None else f"status {upstream_status}"
        super().__init__(f"{method} {url}: {answer}: {detail}")


@dataclass(frozen=True, slots=True)
class ServiceUrls:
    """Addresses of the services, without a slash at the end; several may be the same."""

    entities: str
    datastore: str
    customizer: str
    evaluator: str
    deployments: str
    models: str


class Caller:
    """A service's address. `pause_s` is the first pause between repeats; it doubles, up to 5 seconds."""

    def __init__(
        self,
        base_url: str,
        transport: httpx.BaseTransport | None = None,
        timeout: float = 30,
        retries: int = 3,
        pause_s: float = 0.2,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._http = httpx.Client(transport=transport, timeout=timeout)
        self._retries, self._pause_s = retries, pause_s

    def json(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        fine: frozenset[int] = frozenset(),
    ) -> Any:
        """The parsed answer; None where the status is one of `fine`. Raises ServiceCallFailed."""
        response = self._send(method, path, body, query, fine)
        if response.status_code in fine:
            return None
        try:
            return response.json()
        except ValueError as error:
            url = str(response.url)
            raise ServiceCallFailed(method, url, response.status_code, "the answer is not JSON") from error

    def bytes(self, method: str, path: str, fine: frozenset[int] = frozenset()) -> bytes:
        """The answer as it came, of a call without a body. Raises ServiceCallFailed."""
        return self._send(method, path, None, None, fine).content

    def close(self) -> None:
        self._http.close()

    def _send(
        self, method: str, path: str, body: Any, query: Mapping[str, str] | None, fine: frozenset[int]
    ) -> httpx.Response:
        about = {"http.request.method": method, "url.full": self._base_url + path}
        with tracing.span(f"{method} {_family(path)}", about, kind="client") as span:
            response = self._tried(method, path, body, query, fine)
            span.note(http__response__status_code=response.status_code)
            return response

    def _tried(
        self, method: str, path: str, body: Any, query: Mapping[str, str] | None, fine: frozenset[int]
    ) -> httpx.Response:
        url = self._base_url + path
        for tries in range(self._retries + 1):
            last = tries == self._retries
            try:
                response = self._http.request(method, url, json=body, params=query, headers=tracing.headers())
            except httpx.TransportError as error:
                never_left = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if last or not (method in _SAFE or never_left):
                    reason = f"{type(error).__name__}: {error}"
                    raise ServiceCallFailed(method, url, None, reason) from error
            else:
                if response.is_success or response.status_code in fine:
                    return response
                if last or method not in _SAFE or response.status_code not in _PASSING:
                    raise ServiceCallFailed(method, url, response.status_code, _detail(response))
            time.sleep(min(5.0, self._pause_s * 2**tries))
        raise AssertionError("unreachable: the last try returns or raises")


class ServiceClient:
    """What the clients of the services have in common: one service, called through `_call`. Close it after
    use. Safe calls are repeated on passing trouble; raises ServiceCallFailed.
    """

    def __init__(
        self,
        base_url: str,
        transport: httpx.BaseTransport | None = None,
        timeout: float = 30,
        retries: int = 3,
    ) -> None:
        self._call = Caller(base_url, transport, timeout, retries)

    def close(self) -> None:
        self._call.close()


def _family(path: str) -> str:
    """The beginning of the path, without names and ids: /v1/evaluation."""
    return "/".join(path.partition("?")[0].split("/")[:3])


def _detail(response: httpx.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return response.text[:1000]
    detail = body.get("detail", body) if isinstance(body, dict) else body
    return str(detail)[:1000]
