"""What the orchestrator gives away: tables of a run and of a data set, and runs to the tracker.

The rows and the trackers are `flywheel.exports`; here is only where their documents come from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from flywheel.errors import FlywheelError, NotFound, UpstreamError
from flywheel.exports.tables import (
    DATASET,
    SAMPLES,
    SCORES,
    Column,
    Deciding,
    Row,
    evaluations,
    sample_rows,
    score_rows,
)
from flywheel.exports.tables import dataset_rows as rows_of_file
from flywheel.hub import Download
from flywheel.log import get_logger
from flywheel.nemo.evaluation_scores import decisive_score
from flywheel.orchestrator.comparing import decided_by, samples_of
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.dataset_catalogue import Datasets
from flywheel.orchestrator.losses import in_full
from flywheel.orchestrator.wire import detail
from flywheel.stores.runs.document import Run

log = get_logger(__name__)

What = Literal["scores", "samples"]


class NoSuchFile(NotFound):
    code = "no_such_file"

    def __init__(self, dataset: str, file: str | None, there: Sequence[str]) -> None:
        self.dataset, self.file = dataset, file
        which = f"file {file!r} of JSON lines" if file else "file of JSON lines"
        super().__init__(f"the data set {dataset!r} has no {which} (it has: {', '.join(there) or 'none'})")


class BadLine(UpstreamError):
    code = "bad_line"

    def __init__(self, dataset: str, file: str, line: int) -> None:
        super().__init__(f"line {line} of {file} in the data set {dataset!r} is no JSON object")


class NoTracker(FlywheelError):
    status = 409
    code = "no_tracker"

    def __init__(self) -> None:
        super().__init__(
            "mlflow_config.enabled is false: set it, and mlflow_config.tracking_uri, on the server"
        )


def table(run: Run, what: What, context: Context) -> tuple[Sequence[Column], Iterator[Row]]:
    """The columns and the rows of a run. The rows raise what the evaluator's client raises."""
    job = detail(run, context.services.urls, context.clock())
    if what == "scores":
        return SCORES, score_rows(job)
    return SAMPLES, _samples(run, job, context)


def _samples(run: Run, job: Mapping[str, Any], context: Context) -> Iterator[Row]:
    """One evaluation after the other, so that only one is in memory."""
    name = decided_by(run)
    for candidate, _, evaluation in evaluations(job):
        found = samples_of(evaluation["job_id"], context)
        scoring = run.config.evaluation_config.scoring
        metric, score, scale = decisive_score(found[0].get("metrics") or {}, scoring, name)
        yield from sample_rows(job, candidate, evaluation, found, Deciding(name, metric, score, scale))


def dataset_table(name: str, file: str | None, context: Context) -> tuple[Sequence[Column], Iterator[Row]]:
    """The columns and the rows of one file of a data set, or of all. The rows raise DatasetNotListed,
    NoSuchFile, BadLine, ServiceAway and HubError."""
    return DATASET, _dataset_rows(name, file, context)


def _dataset_rows(name: str, file: str | None, context: Context) -> Iterator[Row]:
    datasets = Datasets(context)
    there = [each["path"] for each in datasets.one(name)["files"] if each["path"].endswith(".jsonl")]
    wanted = [path for path in sorted(there) if file in (None, path)]
    if not wanted:
        raise NoSuchFile(name, file, there)
    for path in wanted:
        yield from rows_of_file(name, path, _lines(name, path, datasets.open(name, path, None)))


def _lines(dataset: str, path: str, content: Download) -> Iterator[Mapping[str, Any]]:
    """The lines of a file while it arrives."""
    try:
        for number, line in enumerate(_split(content.chunks), 1):
            try:
                value = json.loads(line)
            except ValueError as error:
                raise BadLine(dataset, path, number) from error
            if not isinstance(value, Mapping):
                raise BadLine(dataset, path, number)
            yield value
    finally:
        content.close()


def _split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def tracked(run: Run, context: Context) -> Run:
    """The run with the pages of its candidates at the tracker, where there is one and something was decided.

    A tracker that cannot be reached is noted in the run's log, and nothing else: it never fails a run.
    """
    if context.tracker is None or run.decision is None:
        return run
    try:
        pages = sent(run, context)
    except Exception as error:  # Whatever a foreign client does, it never fails a run.
        log.warning("run was not exported", exc_info=not isinstance(error, FlywheelError))
        return run.noting(context.clock(), f"not exported: {error}", level="warning")
    shown = "; ".join(dict.fromkeys(pages.values()))
    return with_pages(run, pages).noting(context.clock(), f"exported to MLflow: {shown}")


def sent(run: Run, context: Context) -> dict[str, str]:
    """Log the run at the tracker; the page of each candidate. Raises NoTracker and what the tracker
    raises."""
    if context.tracker is None:
        raise NoTracker
    job = detail(run, context.services.urls, context.clock())
    return context.tracker.log(job, in_full(run, context), artefacts(job))


def with_pages(run: Run, pages: Mapping[str, str]) -> Run:
    """The run whose candidates know their pages."""
    return run.but(
        candidates=tuple(c.but(mlflow_uri=pages.get(c.model_name, c.mlflow_uri)) for c in run.candidates)
    )


def artefacts(job: Mapping[str, Any]) -> dict[str, bytes]:
    """Files that go with a run: its page, where plots can be drawn here, its decision, its curation
    report."""
    files = {
        f"{name}.json": json.dumps(job[name], indent=1, default=str).encode()
        for name in ("decision", "curation")
        if job.get(name)
    }
    try:
        from flywheel.reports import run_report  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        return files
    return files | {"report.html": run_report(job).encode("utf-8", errors="backslashreplace")}
