"""What can be asked about a run's inside, while it lives and afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from flywheel.client.documents import (
    ComparedRecord,
    ComparedRow,
    Comparison,
    LogLines,
    Losses,
    RunEvent,
    Sample,
    each,
)
from flywheel.client.events import followed
from flywheel.client.files import Format, Target, format_of, saved
from flywheel.client.paging import listed
from flywheel.client.routes import Resource, Route, S, call, stream
from flywheel.client.steps import Every, Give, Steps

_SAMPLES_PAGE: Final = 100
EvalType = Literal["base-eval", "icl-eval", "customized-eval", "teacher-eval"]


class Insights(Resource[S]):
    """Events, losses, logs, samples and comparisons of a run, which is named by its id."""

    @stream("GET", "/api/jobs/{job_id}/events")
    def watch(self, to: Route, /, run_id: str) -> Steps[Every[RunEvent]]:
        """The run's state at once, and whenever it has changed, until it has ended. Raises NotFound."""
        return followed(to.at(job_id=run_id), RunEvent.of)

    @call("GET", "/api/jobs/{job_id}/losses")
    def losses(self, to: Route, /, run_id: str) -> Steps[list[Losses]]:
        """The loss of each training by step, for training and validation rows."""
        return to.at(job_id=run_id).ask(each("losses", Losses))

    @call("GET", "/api/jobs/{job_id}/logs")
    def logs(
        self,
        to: Route,
        /,
        run_id: str,
        source: Literal["run", "customization", "deployment"] = "run",
        *,
        candidate: str | None = None,
        tail: int | None = None,
    ) -> Steps[list[LogLines]]:
        """The last `tail` lines of the run's own log, or of its trainings or deployments."""
        query = {"source": source, "candidate": candidate, "tail": tail}
        return to.at(job_id=run_id).ask(each("logs", LogLines), query=query)

    @stream("GET", "/api/jobs/{job_id}/compared")
    def compared(
        self,
        to: Route,
        /,
        run_id: str,
        *,
        tool: str | None = None,
        failure: str | None = None,
        of: str | None = None,
        right: str | Sequence[str] | None = None,
        wrong: str | Sequence[str] | None = None,
        search: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Steps[Every[ComparedRow]]:
        """The held-out records with every system's score and failure class.

        Systems are named as in `comparison`: `MODEL EVAL_TYPE`. `tool` is the one that is expected (`no call`
        where none is), `failure` a class, of the system `of` or of any; `right` and `wrong` are systems.
        """
        query = _filters(tool, failure, of, right, wrong, search)
        return listed(to.at(job_id=run_id), "rows", ComparedRow.read, limit=limit, offset=offset, query=query)

    @call("GET", "/api/jobs/{job_id}/compared")
    def comparison(self, to: Route, /, run_id: str) -> Steps[Comparison]:
        """What can be compared: the systems, the metric, the tools and failure classes with their counts."""
        return to.at(job_id=run_id).ask(Comparison.read, query={"limit": 1})

    @call("GET", "/api/jobs/{job_id}/compared/{key:path}")
    def compared_record(
        self,
        to: Route,
        /,
        run_id: str,
        key: str,
        *,
        tool: str | None = None,
        failure: str | None = None,
        of: str | None = None,
        right: str | Sequence[str] | None = None,
        wrong: str | Sequence[str] | None = None,
        search: str | None = None,
    ) -> Steps[ComparedRecord]:
        """One record in full: the request, the teacher's answer, each system's, argument by argument.

        `previous` and `next` are its neighbours among those that match the filters. Raises NotFound.
        """
        query = _filters(tool, failure, of, right, wrong, search)
        return to.at(job_id=run_id, key=key).ask(ComparedRecord.read, query=query)

    @call("GET", "/api/jobs/{job_id}/export")
    def export(
        self,
        to: Route,
        /,
        run_id: str,
        target: Target,
        *,
        what: Literal["scores", "samples"] = "scores",
        format: Format | None = None,  # noqa: A002 - the API's word
    ) -> Steps[int]:
        """Write a run's scores or samples as a table to a path or an open file; how many bytes it has.

        Without a `format` it is as the path ends: `.csv`, `.parquet`, `.jsonl`.
        """
        return saved(to.at(job_id=run_id), target, query={"what": what, "format": format_of(target, format)})

    @stream("GET", "/api/jobs/{job_id}/samples")
    def samples(
        self,
        to: Route,
        /,
        run_id: str,
        eval_type: EvalType,
        *,
        candidate: str | None = None,
        failure: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> Steps[Every[Sample]]:
        """The samples of one evaluation, as they were scored: question, answer, scores, failure class.

        `failure` is a class such as `wrong_value`. Raises NotFound.
        """
        number, given = 1, 0
        query = {"eval_type": eval_type, "candidate": candidate, "filter[failure]": failure, "sort": sort}
        while True:
            asked = {**query, "page": number, "page_size": _SAMPLES_PAGE}
            samples, pages = yield from to.at(job_id=run_id).ask(_page, query=asked)
            for sample in samples[: None if limit is None else limit - given]:
                given += 1
                yield Give(sample)
            if given == limit or number >= pages:
                return Every()
            number += 1


def _filters(
    tool: str | None,
    failure: str | None,
    of: str | None,
    right: str | Sequence[str] | None,
    wrong: str | Sequence[str] | None,
    search: str | None,
) -> dict[str, Any]:
    systems = {"right": right, "wrong": wrong}
    several = {name: [v] if isinstance(v, str) else list(v) for name, v in systems.items() if v is not None}
    return {"tool": tool, "failure": failure, "of": of, "search": search, **several}


def _page(answer: Any) -> tuple[list[Sample], int]:
    """The samples of a page as NeMo's lists have it, and how many pages there are."""
    pages = (answer.get("pagination") or {}).get("total_pages", 1)
    return [Sample.read(found) for found in answer["data"]], int(pages)
