"""What was written while a run turned: its own log, and the output of its trainings and of its servers.

The services keep the latter two and give what they can tell; NVIDIA's customizer has the status of a job
instead of its output, and NVIDIA's deployments have none. Secrets are masked, and no answer is long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, Literal

from flywheel.errors import FlywheelError
from flywheel.hidden import scrub
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.errors import NoSuchCandidate
from flywheel.orchestrator.wire import zulu
from flywheel.stores.runs.document import Candidate, Run

Source = Literal["run", "customization", "deployment"]

MOST_LINES: Final = 2_000
_LONGEST = 2_000
"""Characters of a line; a longer one is cut."""
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def logs_of(
    run: Run, context: Context, *, source: Source | None = None, candidate: str | None = None, tail: int = 200
) -> list[dict[str, Any]]:
    """The last `tail` lines of each log, `{source, candidate, lines, problem}`; of all sources and
    candidates, or of the given ones. `problem` says why a service could not give its log.

    Raises NoSuchCandidate.
    """
    if candidate is not None and candidate not in [c.model_name for c in run.candidates]:
        raise NoSuchCandidate(candidate, [c.model_name for c in run.candidates])
    return [
        {"source": kind, "candidate": whose, **_read(lines, tail)}
        for kind, whose, lines in _sources(run, context, tail)
        if source in (None, kind) and candidate in (None, whose)
    ]


def _sources(run: Run, context: Context, tail: int) -> Iterator[tuple[Source, str | None, _Lines]]:
    yield "run", None, partial(_own, run)
    for candidate in run.candidates:
        training = candidate.customization
        if training is not None and (job := training.job_id) is not None:
            yield "customization", candidate.model_name, partial(_of_training, job, context, tail)
        if candidate.deployed_at is not None:
            yield "deployment", candidate.model_name, partial(_of_server, candidate, context, tail)


_Lines = Callable[[], list[str]]


def _read(lines: _Lines, tail: int) -> dict[str, Any]:
    try:
        return {"lines": [_told(line) for line in lines()[-tail:]], "problem": None}
    except FlywheelError as error:
        return {"lines": [], "problem": str(error)}


def _told(line: str) -> str:
    return scrub(_COLOURS.sub("", line))[:_LONGEST]


def _own(run: Run) -> list[str]:
    return [
        f"{zulu(event.at)} {event.level} {f'{event.candidate}: ' if event.candidate else ''}{line}"
        for event in run.events
        for line in event.message.splitlines() or [""]
    ]


def _of_training(job_id: str, context: Context, tail: int) -> list[str]:
    """What the program printed; where nothing is known of that, what the job's status says."""
    customizer = context.services.customizer
    lines = customizer.output(job_id, tail)
    if not lines:
        told = customizer.job_status(job_id).status_logs
        lines = [" ".join(filter(None, (e.updated_at, e.message, e.detail))) for e in told]
    return lines


def _of_server(candidate: Candidate, context: Context, tail: int) -> list[str]:
    deployments = context.services.deployments
    return deployments.output(context.namespace, candidate.deployment_name, tail).splitlines()
