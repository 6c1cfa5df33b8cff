"""`/api/records`: the teacher's records in and out, as JSON lines of any number."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from flywheel.curation.envelope import Tags, log_line
from flywheel.models import Record, epoch_seconds
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.errors import BadMoment, BodyBroken, NoLogType
from flywheel.orchestrator.recording import take
from flywheel.orchestrator.routers.files import SAVED
from flywheel.stores.logs.search import search
from flywheel.web import arriving

LINES = "application/x-ndjson"
TAKEN = (LINES, "application/jsonl", "application/json", "application/gzip", "application/octet-stream")
"""Types of a body with records; never one that a form of another site may send."""
_CHUNK = 256 * 1024


def router(context: Context) -> APIRouter:
    """The routes."""
    api = APIRouter(prefix="/api", tags=["records"])

    @api.post("/records", openapi_extra={"requestBody": {"content": {LINES: {}}}})
    def add(request: Request, workload_id: str | None = None, client_id: str | None = None) -> dict[str, Any]:
        """Keep records that are not there yet: JSON lines, a JSON array, either of them packed with gzip.

        `workload_id` and `client_id` are those of lines that name none. Lines that are no records are told
        with the reason, the first hundred of them, and do not keep the others out.
        """
        sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if sent not in TAKEN:
            raise NoLogType(sent, TAKEN)
        tags = Tags(workload_id=workload_id or None, client_id=client_id or None)
        return take(_body(request), context.logs, tags)

    @api.get("/records")
    def records(
        workload_id: str | None = None,
        client_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
        order: Literal["oldest", "newest"] = "oldest",
        limit: Annotated[int | None, Query(ge=1)] = None,
    ) -> StreamingResponse:
        """Records as JSON lines, in the form that an import takes; `since` is inclusive, `until` is not."""
        found = search(
            context.logs,
            workload_id=workload_id,
            client_id=client_id,
            since=_moment("since", since),
            until=_moment("until", until),
            newest_first=order == "newest",
            limit=limit,
        )
        lines = _lines(found)
        first = next(lines, b"")  # A store that is away is an error, not an answer that breaks off.
        headers = SAVED | {"content-disposition": 'attachment; filename="records.jsonl"'}
        return StreamingResponse(chain((first,), lines), headers=headers, media_type=LINES)

    return api


def _body(request: Request) -> Iterator[bytes]:
    try:
        yield from arriving(request, _CHUNK)
    except ClientDisconnect as error:
        raise BodyBroken from error


def _lines(records: Iterator[Record]) -> Iterator[bytes]:
    """Their lines, many at a time: each piece costs a change of threads."""
    piece = bytearray()
    for record in records:
        piece += log_line(record)
        if len(piece) >= _CHUNK:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _moment(parameter: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return epoch_seconds(text)
    except ValueError as error:
        raise BadMoment(parameter, str(error)) from error
