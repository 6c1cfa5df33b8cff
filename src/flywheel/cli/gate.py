"""`flywheel gate`: a pipeline's question, whether a student is good enough; the answer is the exit code.

0: every cutoff is met. 1: one is not. 2: the question is wrong (a workload, a candidate, a score or a run
that there is not). 3: there is no answer (the run failed or took too long, the server is away).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from flywheel.cli.client import HERE, AsJson, DataDir, Overrides, Url, connect, find, overrides_of
from flywheel.cli.console import complain, print_json
from flywheel.cli.cutoffs import Cutoff
from flywheel.cli.gating import as_json as json_of
from flywheel.cli.gating import judged, markdown
from flywheel.cli.runs import follow_run
from flywheel.client import Client, Conflict, Invalid, NotFound, Run
from flywheel.client.insights import EvalType
from flywheel.config import nearest
from flywheel.errors import FlywheelError, UserError
from flywheel.errors import NotFound as NotFoundHere
from flywheel.nemo.evaluation_scores import SHOWN

NOT_MET, WRONG_USE, NO_ANSWER = 1, 2, 3
SUMMARY = "GITHUB_STEP_SUMMARY"
"""Names the file in which GitHub's runners, and those that follow them, look for a summary."""
_WRONG = (UserError, NotFoundHere, NotFound, Invalid, Conflict)


def gate(
    workload: Annotated[str, typer.Option("--workload", "-w", help="The workload, as CLIENT/WORKLOAD.")],
    candidate: Annotated[str, typer.Option("--candidate", help="The candidate, by its name.")],
    cutoff: Annotated[
        list[str],
        typer.Option(
            help="NAME=VALUE: what this score must reach; NAME.low=VALUE: the low end of its interval. "
            "Repeatable."
        ),
    ],
    eval_type: Annotated[
        EvalType, typer.Option("--eval-type", "-e", help="The evaluation that counts.")
    ] = "customized-eval",
    run: Annotated[
        str | None,
        typer.Option(help="Read this run, or the latest of the workload: latest.", show_default="start one"),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Idempotency key of the start: the same key reads the run that it has started."),
    ] = None,
    overrides: Overrides = None,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait for the run.", show_default="no end")
    ] = None,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Let a pipeline pass or fail by a student's scores: start a run, or read one; a summary as Markdown.

    Exit code 0: met; 1: not met; 2: wrong use; 3: no answer, because the run failed or took too long. The
    summary goes to the file that GITHUB_STEP_SUMMARY names, too.
    """
    try:
        cutoffs = [Cutoff.read(text) for text in cutoff]
        with connect(url, data) as client:
            if run is None:
                _check(cutoffs)  # A run takes long: what is misspelt is said before it.
            chosen = _run(client, workload, candidate, run, key, overrides)
            ended = follow_run(client, chosen, timeout=timeout)
            found = judged(ended, candidate, eval_type, cutoffs)
            told = markdown(found, client.url)
            print_json(json_of(found, client.url)) if as_json else typer.echo(told, nl=False)
        _keep(told)
    except _WRONG as error:
        complain(str(error))
        raise typer.Exit(WRONG_USE) from error
    except FlywheelError as error:
        complain(str(error))
        raise typer.Exit(NO_ANSWER) from error
    if not found.met:
        raise typer.Exit(NOT_MET)


def _check(cutoffs: Sequence[Cutoff]) -> None:
    for cutoff in cutoffs:
        if cutoff.score not in SHOWN:
            raise UserError(f"--cutoff: no run has a score {cutoff.score!r}{nearest(cutoff.score, SHOWN)}")


def _run(
    client: Client, workload: str, candidate: str, run: str | None, key: str | None, overrides: str | None
) -> str:
    """The id of the run to look at; it is started where none is named."""
    client_id, workload_id = _workload(client, workload)
    if run is None:
        started = client.runs.start(
            workload_id, client_id, idempotency_key=key, **{"nims": [candidate]} | overrides_of(overrides)
        )
        return started.id
    if key is not None or overrides is not None:
        raise UserError("--key and --set are for a run that is started; leave out --run")
    if run == "latest":
        found = next(client.runs.list(workload_id=workload_id, client_id=client_id, limit=1), None)
        if found is None:
            raise UserError(f"--run latest: {workload} has no run yet; leave --run out to start one")
        return found.id
    chosen: Run = client.runs.get(find(client, run))
    if (chosen.client_id, chosen.workload_id) != (client_id, workload_id):
        raise UserError(f"--run {run}: run {chosen.id} is of {chosen.name}, not of {workload}")
    return chosen.id


def _workload(client: Client, text: str) -> tuple[str, str]:
    """Client and workload, whose names may hold slashes themselves: so they are looked up."""
    known = {f"{each.client_id}/{each.workload_id}": each for each in client.workloads.list()}
    if text not in known:
        names = ", ".join(sorted(known)[:10]) or "none: nothing has been recorded"
        raise UserError(f"--workload {text!r}: write CLIENT/WORKLOAD; there are {names}")
    return known[text].client_id, known[text].workload_id


def _keep(told: str) -> None:
    """The summary, behind those of earlier steps."""
    path = os.environ.get(SUMMARY)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(told + "\n")
    except OSError as error:
        raise UserError(f"{SUMMARY}={path}: cannot be written: {error.strerror or error}") from error
