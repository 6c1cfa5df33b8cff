"""Server-sent events: one run, and the list, as they change.

FastAPI writes the stream: a comment every 15 seconds while nothing happens, and headers that keep proxies
from buffering.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from flywheel.orchestrator.jobs import Jobs
from flywheel.orchestrator.watching import Watch, list_event, run_event
from flywheel.stores.runs.document import Run

_AGAIN_MS = 2000
"""After so long a browser that has lost the stream asks again."""

LastSeen = Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)]


def router(jobs: Jobs, watch: Watch) -> APIRouter:
    """The routes."""
    api = APIRouter(prefix="/api", tags=["events"])

    def there(job_id: str) -> Run:
        """Errors come before the stream begins."""
        return jobs.load(job_id)

    @api.get("/jobs/{job_id}/events", response_class=EventSourceResponse)
    async def run_events(
        run: Run = Depends(there), last_event_id: LastSeen = None
    ) -> AsyncIterator[ServerSentEvent]:
        """`run` at once and whenever the run has changed, with its revision as id; `end` when it is over.

        Who comes back with `Last-Event-ID` is not told the same revision again.
        """
        yield ServerSentEvent(retry=_AGAIN_MS)
        async with aclosing(watch.run(run.id)) as states:
            async for now in states:
                run = now
                if str(now.revision) != last_event_id:
                    yield ServerSentEvent(event="run", id=str(now.revision), data=run_event(now))
                last_event_id = None
        if run.finished:
            yield ServerSentEvent(event="end", id=str(run.revision), data={"status": run.status})

    @api.get("/events", response_class=EventSourceResponse)
    async def list_events(last_event_id: LastSeen = None) -> AsyncIterator[ServerSentEvent]:
        """`run` with the list's entry of each run that is created or changed, `gone` with the id of one that
        was deleted. Who comes back with `Last-Event-ID` is told what changed meanwhile.
        """
        yield ServerSentEvent(retry=_AGAIN_MS)
        async with aclosing(watch.all(last_event_id)) as batches:
            async for mark, changes in batches:
                for run_id, run in changes:
                    if run is None:
                        yield ServerSentEvent(event="gone", data={"id": run_id})
                    else:
                        yield ServerSentEvent(event="run", data=list_event(run))
                yield ServerSentEvent(comment="up to here", id=mark)

    return api
