"""One line of a log to records: what `{timestamp, workload_id, client_id, request, response}` may be.

Lenient in form, strict in substance: times in any usual notation, Elasticsearch hits and whole answers,
bodies that were logged as text. The bodies are kept with all their keys, whatever tools and messages hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from flywheel.models import NO_METADATA, Record, epoch_seconds


class NotARecord(Exception):  # It becomes a Rejected, never reaches a user as an error.
    """A line that is no record; `reason` is a value of `reading.Unread`."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Tags:
    """The workload and client of lines that do not name theirs."""

    workload_id: str | None = None
    client_id: str | None = None


class _Envelope(msgspec.Struct):
    timestamp: Any = None
    at_timestamp: Any = msgspec.field(default=None, name="@timestamp")
    workload_id: Any = None
    client_id: Any = None
    request: Any = None
    response: Any = None
    metadata: Any = None
    source: Any = msgspec.field(default=None, name="_source")
    hits: Any = None


_decoder = msgspec.json.Decoder(_Envelope)
_encode = msgspec.json.encode


def records_in(text: bytes, tags: Tags) -> Iterator[Record]:
    """The record of a line, or the records of an Elasticsearch answer. Raises NotARecord."""
    try:
        envelope = _decoder.decode(text)
    except msgspec.ValidationError as error:
        raise NotARecord("not_an_object", "is not a JSON object") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotARecord("not_json", f"is not JSON: {error}") from error
    except RecursionError as error:
        raise NotARecord("not_json", "is nested too deeply") from error
    if envelope.request is None and isinstance(envelope.hits, dict):
        hits = envelope.hits.get("hits")
        for hit in hits if isinstance(hits, list) else ():
            yield _record(_inner(hit.get("_source") if isinstance(hit, dict) else None), tags)
    elif envelope.request is None and envelope.source is not None:
        yield _record(_inner(envelope.source), tags)
    else:
        yield _record(envelope, tags)


def log_line(record: Record) -> bytes:
    """The record as one line of a log, its end included: what `records_in` reads."""
    seconds = record.timestamp
    fields = [
        b'{"timestamp":' + (b"%d" % seconds if seconds.is_integer() else _encode(seconds)),
        b'"workload_id":' + _encode(record.workload_id),
        b'"client_id":' + _encode(record.client_id),
        b'"request":' + record.request_json,
        b'"response":' + record.response_json,
    ]
    if record.metadata_json != NO_METADATA:
        fields.append(b'"metadata":' + record.metadata_json)
    # Between the words of JSON a line's end is a blank like any other.
    return b",".join(fields).replace(b"\n", b" ") + b"}\n"


def _inner(source: Any) -> _Envelope:
    try:
        return msgspec.convert(source, _Envelope)
    except msgspec.ValidationError as error:
        raise NotARecord("wrong_type", "_source is not an object") from error


def _record(envelope: _Envelope, tags: Tags) -> Record:
    request = _body(envelope.request, "request")
    response = _body(envelope.response, "response")
    messages = request.get("messages")
    if messages is None:
        raise NotARecord("missing_field", "request.messages is missing: only chat completions can be used")
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise NotARecord("wrong_type", f"request.messages is {_kind(messages)}, not an array of objects")
    metadata = envelope.metadata
    if metadata is not None and not isinstance(metadata, dict):
        raise NotARecord("wrong_type", f"metadata is {_kind(metadata)}, not an object")
    return Record(
        _seconds(envelope, response),
        _tag(envelope.workload_id, tags.workload_id, "workload_id"),
        _tag(envelope.client_id, tags.client_id, "client_id"),
        _encode(request),
        _encode(response),
        _encode(metadata or {}),
    )


def _body(value: Any, field: str) -> dict[str, Any]:
    if value is None:
        raise NotARecord("missing_field", f"{field} is missing")
    if isinstance(value, str):  # Some loggers write the body as text.
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError) as error:
            raise NotARecord("wrong_type", f"{field} is text that is not JSON") from error
    if not isinstance(value, dict):
        raise NotARecord("wrong_type", f"{field} is {_kind(value)}, not an object")
    return cast("dict[str, Any]", value)


def _tag(value: Any, default: str | None, field: str) -> str:
    if value is None or value == "":
        if default is None:
            raise NotARecord("missing_field", f"{field} is missing")
        return default
    if not isinstance(value, str):
        raise NotARecord("wrong_type", f"{field} is {_kind(value)}, not a string")
    return value


def _seconds(envelope: _Envelope, response: dict[str, Any]) -> float:
    """The record's time; where it has none, the time at which the server says it made the response."""
    for value in (envelope.timestamp, envelope.at_timestamp, response.get("created")):
        if value is not None:
            return timestamp(value)
    raise NotARecord("missing_field", "timestamp is missing")


def timestamp(value: Any) -> float:
    """Seconds since the epoch: from a number (s, ms, µs, ns), also as text, or ISO 8601 (UTC without a zone).

    Raises NotARecord for anything else, and for years outside of 1970 to 2199.
    """
    try:
        return epoch_seconds(value)
    except ValueError as error:
        raise NotARecord("bad_timestamp", str(error)) from error


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
