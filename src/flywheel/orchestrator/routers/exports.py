"""What runs and data sets give away as files, and runs to the tracker again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Body, Query
from fastapi.responses import StreamingResponse

from flywheel.exports.files import MEDIA_TYPES, Format, written
from flywheel.exports.tables import Column, Row
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.exporting import What, dataset_table, table
from flywheel.orchestrator.jobs import Jobs


def router(context: Context, wake: Callable[[str], object]) -> APIRouter:
    """The routes; `wake` is called with the id of a run that was changed."""
    api = APIRouter(prefix="/api", tags=["exports"])
    jobs = Jobs(context, wake)

    @api.get("/jobs/{job_id}/export")
    def export_run(
        job_id: str, what: What = "scores", form: Annotated[Format, Query(alias="format")] = "csv"
    ) -> StreamingResponse:
        """A run's scores, or its samples, as a table. The columns are in docs/exports.md."""
        columns, rows = table(jobs.load(job_id), what, context)
        return _file(columns, rows, form, f"{job_id}-{what}")

    @api.post("/jobs/{job_id}/export")
    def send_run(job_id: str, to: Annotated[Literal["mlflow"], Body(embed=True)]) -> dict[str, object]:
        """Log a finished run at the tracker, or bring up to date what was logged before."""
        return {"id": job_id, "to": to, "pages": jobs.send(job_id)}

    @api.get("/datasets/{name}/export")
    def export_dataset(
        name: str, file: str | None = None, form: Annotated[Format, Query(alias="format")] = "csv"
    ) -> StreamingResponse:
        """The rows of a data set, or of one file of it, as a table."""
        columns, rows = dataset_table(name, file, context)
        return _file(columns, rows, form, name)

    return api


def _file(columns: Sequence[Column], rows: Iterator[Row], form: Format, name: str) -> StreamingResponse:
    """The table as it is made; what can fail fails at its first row, while there is still a status to
    give."""
    pieces = written(columns, chain(list(islice(rows, 1)), rows), form)
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}.{form}"
    return StreamingResponse(
        pieces, media_type=MEDIA_TYPES[form], headers={"Content-Disposition": disposition}
    )
