"""`flywheel evaluations`: what was measured, across runs."""

from __future__ import annotations

from typing import Annotated

import typer

from flywheel.cli.client import HERE, AsJson, DataDir, Url, connect
from flywheel.cli.console import moment, out, percent, print_json, table
from flywheel.client.insights import EvalType

app = typer.Typer(no_args_is_help=True, help="Evaluations of all runs, to compare over time.")


@app.command("list")
def list_evaluations(
    workload_id: Annotated[str | None, typer.Option("--workload", "-w", help="Only this workload's.")] = None,
    client_id: Annotated[str | None, typer.Option("--client", "-c", help="Only this client's.")] = None,
    candidate: Annotated[
        str | None, typer.Option("--candidate", help="Only this candidate's; teacher for the teacher's.")
    ] = None,
    eval_type: Annotated[EvalType | None, typer.Option("--eval-type", "-e", help="Only this kind.")] = None,
    metric: Annotated[str, typer.Option(help="The score to show.")] = "function_name_and_args_accuracy",
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    url: Url = None,
    data: DataDir = HERE,
    as_json: AsJson = False,
) -> None:
    """List evaluations of all runs, newest first, with one of their scores."""
    with connect(url, data) as client:
        found = list(
            client.evaluations.list(
                client_id=client_id,
                workload_id=workload_id,
                model_name=candidate,
                eval_type=eval_type,
                limit=limit,
            )
        )
    if as_json:
        print_json([each.document for each in found])
        return
    rows = []
    for each in found:
        score = each.scores.get(metric)
        span = f"{percent(score.low)} – {percent(score.high)}" if score and score.low is not None else ""
        rows.append(
            (
                each.run_id[-6:],
                f"{each.client_id}/{each.workload_id}",
                each.model_name,
                each.eval_type,
                moment(each.finished_at),
                percent(score.value) if score else "",
                span,
                score.n if score else "",
            )
        )
    columns = ["run", "workload", "candidate", "evaluation", "finished (UTC)", metric, "95 % interval", "n"]
    out.print(table(columns, rows, right=5))
