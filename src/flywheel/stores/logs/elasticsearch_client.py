"""The door to Elasticsearch: one client, its credentials, its patience, and its errors in our words.

The client speaks as version 8 whatever version it is, because servers 8 and 9 both understand that, and a
client 9 by itself is refused by a server 8. It never repeats a call by itself: `call` does, with pauses that
grow, for what a pause can mend. Every call here may be repeated: creating a document that is there is a
conflict, deleting one that is gone deletes nothing.
"""

from __future__ import annotations

import base64
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
from elastic_transport import HttpHeaders, JsonSerializer, Transport, TransportApiResponse
from elasticsearch import (
    ApiError,
    ConnectionTimeout,
    Elasticsearch,
    SerializationError,
    SSLError,
    TransportError,
    UnsupportedProductError,
)

from flywheel.config import ElasticsearchRecords, secret
from flywheel.errors import ConfigError, FlywheelError, StorageFull
from flywheel.log import get_logger
from flywheel.stores.logs.documents import Hit
from flywheel.stores.logs.errors import (
    LogStoreDenied,
    LogStoreOverloaded,
    LogStoreRefused,
    LogStoreUnreachable,
)

PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0, 15.0)
"""Seconds between the tries of a call in the middle of something: a restart of the server takes less."""

_BUSY = frozenset({429, 502, 503, 504})
_SHOWN = 400  # Characters of what a server says.

log = get_logger(__name__)
logging.getLogger("elastic_transport").addHandler(logging.NullHandler())  # What it would say, `call` says.


class IndexMissing(LogStoreRefused):
    """There is no such index."""


class IndexExists(LogStoreRefused):
    """Somebody else has just made the index."""


class PointInTimeGone(LogStoreRefused):
    """The server has forgotten what a search was looking at: too long ago, or it was restarted."""


class TooLarge(LogStoreRefused):
    """The request was larger than the server, or a proxy before it, takes."""


class ElasticsearchClient:
    """Calls to the cluster of `config`; secrets come from `environment`, `pause` waits between tries.

    Raises ConfigError for credentials or a CA file that cannot be used. Safe to use from any thread.
    """

    def __init__(
        self,
        config: ElasticsearchRecords,
        environment: Mapping[str, str],
        *,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self.address = config.url
        self.pause = pause
        self._timeout = config.request_timeout
        self._who = (
            f"the API key in {config.api_key_env}"
            if config.api_key_env
            else (f"user {config.username!r}" if config.username else "no credentials")
        )
        serializer = _Serializer()
        options: dict[str, Any] = {}
        if config.url.startswith("https://"):
            options["ssl_context"] = _trust(config)
        self._es = Elasticsearch(
            config.url,
            **options,
            **_credentials(config, environment),
            transport_class=_Transport,
            serializers={
                "application/json": serializer,
                "application/vnd.elasticsearch+json": serializer,
            },
            request_timeout=config.request_timeout,
            max_retries=0,
        )

    def call(self, work: Callable[[Elasticsearch], Any], *, patient: bool = False) -> dict[str, Any]:
        """What the server answers to `work`; a `patient` call is made again for about 90 seconds.

        Raises LogStoreUnreachable, LogStoreOverloaded, LogStoreDenied, LogStoreRefused, StorageFull.
        """
        for wait in (*(PAUSES if patient else ()), None):
            try:
                return dict(work(self._es).body)
            except (ApiError, TransportError) as error:
                ours = self._translated(error)
                if wait is None or not isinstance(ours, LogStoreUnreachable | LogStoreOverloaded):
                    raise ours from error
            log.warning(
                "Elasticsearch does not take it; trying again", extra={"reason": str(ours), "wait_s": wait}
            )
            self.pause(wait)
        raise AssertionError  # The last wait is None.

    def close(self) -> None:
        self._es.close()

    def blocked(self, reason: str) -> FlywheelError:
        """The error of a block on the index: a disk that is nearly full, or somebody's decision."""
        if "disk usage exceeded flood-stage" in reason or "read-only / allow delete" in reason:
            return StorageFull(f"what was sent to Elasticsearch at {self.address}")
        return LogStoreDenied(self.address, reason)

    def _translated(self, error: ApiError | TransportError) -> FlywheelError:
        match error:
            case ApiError():
                return self._answered(error)
            case SSLError():
                return LogStoreRefused(
                    self.address, f"TLS failed ({_cause(error)}); records.ca_file names whom to trust"
                )
            case ConnectionTimeout():
                return LogStoreUnreachable(self.address, f"no answer within {self._timeout:g} seconds")
            case SerializationError():
                return LogStoreRefused(self.address, "answered something that is not JSON")
            case _:
                return LogStoreUnreachable(self.address, _cause(error))

    def _answered(self, error: ApiError) -> FlywheelError:
        status = error.meta.status
        kind, reason = said(error.body)
        match kind:
            case "index_not_found_exception":
                return IndexMissing(self.address, reason)
            case "resource_already_exists_exception":
                return IndexExists(self.address, reason)
            case "search_context_missing_exception":
                return PointInTimeGone(self.address, reason)
            case "cluster_block_exception":
                return self.blocked(reason)
        if isinstance(error, UnsupportedProductError):
            return LogStoreRefused(self.address, "what answers there is not Elasticsearch")
        if status == 401:
            return LogStoreDenied(
                self.address,
                f"{self._who} was refused; see records.api_key_env, or records.username and password_env",
            )
        if status == 403:
            return LogStoreDenied(
                self.address, f"{self._who} lacks a right: {reason or 'it does not say which'}"
            )
        if status == 413:
            return TooLarge(self.address, "the request is too large for it")
        detail = ": ".join(part for part in (f"answered {status}", kind, reason) if part)
        if status in _BUSY:
            return LogStoreOverloaded(self.address, detail)
        return LogStoreRefused(self.address, detail, status)


def said(body: Any) -> tuple[str, str]:
    """Type and reason of an error, as Elasticsearch tells them; empty where it does not."""
    error = body.get("error") if isinstance(body, dict) else None
    if error is None and isinstance(body, dict) and isinstance(failures := body.get("failures"), list):
        error = failures[0].get("cause") if failures and isinstance(failures[0], dict) else None
    if not isinstance(error, dict):
        return "", ""
    roots = error.get("root_cause")
    told = roots[0] if isinstance(roots, list) and roots and isinstance(roots[0], dict) else error
    cause = error.get("caused_by")
    reasons = [told.get("reason"), cause.get("reason") if isinstance(cause, dict) else None]
    words = ": ".join(dict.fromkeys(str(each) for each in reasons if each))
    return str(told.get("type") or ""), words if len(words) <= _SHOWN else f"{words[:_SHOWN]}…"


class _Transport(Transport):
    """Speaks as version 8, keeps a secret that a server repeats to itself, and logs a warning once."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._warned: set[str] = set()

    def perform_request(  # type: ignore[override]
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, **rest: Any
    ) -> TransportApiResponse:
        sent = HttpHeaders(headers or {})
        for name in ("accept", "content-type"):
            if name in sent:
                sent[name] = sent[name].replace("compatible-with=9", "compatible-with=8")
        meta, body = super().perform_request(method, target, headers=sent, **rest)
        secret_sent = (sent.get("authorization") or "").partition(" ")[2]
        if meta.status >= 400 and secret_sent and secret_sent in str(body):
            body = {}  # It would stand in the text of an error.
        if warning := meta.headers.get("warning"):
            if warning not in self._warned and not (secret_sent and secret_sent in warning):
                log.warning("Elasticsearch warns", extra={"warning": warning[:_SHOWN]})
            self._warned.add(warning)
            kept = {name: value for name, value in meta.headers.items() if name.lower() != "warning"}
            meta = replace(meta, headers=HttpHeaders(kept))
        return TransportApiResponse(meta, body)


class _Hits(msgspec.Struct):
    hits: list[Hit] = []
    total: Any = None


class _Serializer(JsonSerializer):
    """JSON, but the documents of a search stay the bytes that the index keeps; see `Hit`."""

    def json_loads(self, data: bytes) -> Any:
        fields = _fields.decode(data)
        return {
            name: _hits.decode(raw) if name == "hits" else _any.decode(raw) for name, raw in fields.items()
        }


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_hits = msgspec.json.Decoder(_Hits)
_any = msgspec.json.Decoder()


def _credentials(config: ElasticsearchRecords, environment: Mapping[str, str]) -> dict[str, Any]:
    if config.api_key_env:
        key = secret(config.api_key_env, where="records.api_key_env", environment=environment) or ""
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ConfigError(
                f"records.api_key_env: what {config.api_key_env} holds is no API key: it must be one word of"
                " printable ASCII, the encoded form that Elasticsearch shows when it makes a key"
            )
        return {"api_key": key}
    if config.username:
        password = secret(config.password_env, where="records.password_env", environment=environment)
        return {"basic_auth": base64.b64encode(f"{config.username}:{password}".encode()).decode()}
    return {}


def _trust(config: ElasticsearchRecords) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=config.ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = "is no PEM file of certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"records.ca_file: {config.ca_file}: {reason}") from error


def _cause(error: BaseException) -> str:
    """What the system said, from below the layers of the client."""
    found = "no connection"
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return seen.verify_message
        if isinstance(seen, OSError) and seen.strerror:
            found = seen.strerror
        nested = getattr(seen, "errors", ())
        seen = nested[0] if nested else (seen.__cause__ or seen.__context__)
    return found
