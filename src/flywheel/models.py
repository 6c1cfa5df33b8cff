"""The records that flow through the program, as values.

A Record is one logged call of the teacher. It keeps its bodies as the JSON bytes they came in, because most
code that handles a record moves it, hashes it or reads two fields of it; curation streams hundreds of
thousands and would spend its time and memory on dictionaries nobody looks at. What is checked, and how a bad
record is reported, is the business of `flywheel.curation`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

NO_METADATA = b"{}"
LATEST = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
"""No record is of a later time, in seconds since the epoch; so milliseconds are told from seconds."""
_sorted = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class Workload:
    """One task of one application: the pair that tags every record."""

    client_id: str
    workload_id: str

    def __str__(self) -> str:
        return f"{self.client_id}/{self.workload_id}"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One logged call of the teacher; request and response are OpenAI chat-completion bodies, as JSON text.

    `timestamp` is in seconds since the epoch, UTC. The properties without `_json` parse anew on each use.
    """

    timestamp: float
    workload_id: str
    client_id: str
    request_json: bytes
    response_json: bytes
    metadata_json: bytes = NO_METADATA

    @classmethod
    def of(
        cls,
        workload: Workload,
        timestamp: float,
        request: Mapping[str, Any],
        response: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
    ) -> Record:
        """A record from parsed bodies. Raises TypeError where a value has no JSON form."""
        encode = msgspec.json.encode
        return cls(
            timestamp,
            workload.workload_id,
            workload.client_id,
            encode(request),
            encode(response),
            encode(metadata) if metadata else NO_METADATA,
        )

    @property
    def workload(self) -> Workload:
        return Workload(self.client_id, self.workload_id)

    @property
    def request(self) -> dict[str, Any]:
        return cast("dict[str, Any]", msgspec.json.decode(self.request_json))

    @property
    def response(self) -> dict[str, Any]:
        return cast("dict[str, Any]", msgspec.json.decode(self.response_json))

    @property
    def metadata(self) -> dict[str, Any]:
        return cast("dict[str, Any]", msgspec.json.decode(self.metadata_json))

    @property
    def name(self) -> str:
        """What a person finds the record by: the response's id, else the beginning of the key."""
        try:
            found = _names.decode(self.response_json).id
        except msgspec.MsgspecError:
            found = None
        return found if isinstance(found, str) and found else self.key.hex()[:16]

    @property
    def conversation_id(self) -> str | None:
        """`metadata.conversation_id`, a text or a whole number; None where the record has none."""
        if self.metadata_json == NO_METADATA:
            return None
        return conversation_in(self.metadata_json)

    @property
    def key(self) -> bytes:
        """16 bytes that are equal for two copies of the same logged call, and different for two calls.

        A call is told by its workload, its time to the second, its request and its response (with the id that
        the server gave it). The order of JSON keys, white space and fractions of a second do not count:
        exporting a log from one system and importing it from another changes those. So a line that stands
        in a log twice is one call; the same question with the same answer a second later is another.
        Metadata does not count either, because collectors add to it.
        """
        bodies = [msgspec.json.decode(self.request_json), msgspec.json.decode(self.response_json)]
        call = _sorted.encode([self.client_id, self.workload_id, int(self.timestamp), *bodies])
        return hashlib.blake2b(call, digest_size=16).digest()


class _Name(msgspec.Struct):
    id: Any = None


class _Metadata(msgspec.Struct):
    conversation_id: Any = None


_names = msgspec.json.Decoder(_Name)
_metadata = msgspec.json.Decoder(_Metadata)
_UNITS = (1.0, 1e3, 1e6, 1e9)  # Seconds, milli-, micro- and nanoseconds; the first that is plausible.


def conversation_in(metadata_json: bytes) -> str | None:
    """The conversation's id in the metadata of a record."""
    try:
        found = _metadata.decode(metadata_json).conversation_id
    except msgspec.MsgspecError:
        return None
    if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
        return str(found)
    return None


def epoch_seconds(value: Any) -> float:
    """Seconds since the epoch: from a number (s, ms, µs, ns), also as text, or ISO 8601 (UTC without a zone).

    Raises ValueError, in words for people, for anything else and for years outside of 1970 to 2199.
    """
    if isinstance(value, str):
        seconds = _of_text(value)
    else:
        seconds = (
            _plausible(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        )
    text = repr(value)
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    if seconds is None:
        raise ValueError(f"timestamp {shown} is neither a number nor ISO 8601")
    if not 0 <= seconds < LATEST:
        raise ValueError(f"timestamp {shown} lies outside of the years 1970 to 2199")
    return seconds


def _of_text(value: str) -> float | None:
    try:
        return _plausible(float(value))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _plausible(number: float) -> float:
    return next((number / unit for unit in _UNITS if 0 <= number / unit < LATEST), float(number))
