"""A run's evaluations side by side: every record's score of every system, from the evaluator's results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flywheel.evaluation.comparison import compare
from flywheel.evaluation.pairing import Evaluated, pair
from flywheel.evaluation.table import Role, Table
from flywheel.nemo.evaluation_jobs import JSON_MATCH
from flywheel.nemo.evaluation_scores import decisive_score
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.samples import Entry, NoSamples, downloaded, read_entry
from flywheel.stores.runs.document import Candidate, Evaluation, Run, Score

TEACHER = "teacher"
"""Name of the ceiling: the teacher, asked again."""


def system_name(candidate: Candidate, evaluation: Evaluation) -> str:
    """`meta/llama-3.2-1b customized-eval`: one column of the table."""
    return f"{candidate.model_name} {evaluation.eval_type}"


def decided_by(run: Run) -> str:
    """The score by which a run's evaluations are ranked: whether the calls are right; of answers in words how
    similar they are; whether they are the same JSON where most records ask for JSON."""
    if run.workload_type == "tool_calling":
        return "function_name_and_args_accuracy"
    found = [evaluation.scores for _, _, evaluation, _ in measured(run)]
    in_json = [_count(scores, JSON_MATCH) > 0.5 * _count(scores, "exact_match") for scores in found]
    return JSON_MATCH if in_json and all(in_json) else "similarity"


def _count(scores: Mapping[str, Score], name: str) -> int:
    return (scores[name].n or 0) if name in scores else 0


def compared(run: Run, context: Context) -> Table | None:
    """The table of the run's completed evaluations, None where there is none.

    Raises NoSamples, BadComparison, and what the evaluator's client raises.
    """
    evaluated = [
        Evaluated(name, role, samples_of(evaluation.job_id or "", context), base)
        for name, role, evaluation, base in measured(run)
    ]
    if all(each.role == "ceiling" for each in evaluated):
        return None
    settings = run.config.evaluation_config
    metric, score, scale = decisive_score(
        evaluated[0].entries[0].get("metrics") or {}, settings.scoring, decided_by(run)
    )
    rows, systems = pair(evaluated, metric=metric, score=score, scale=scale)
    return compare(rows, systems, margin=settings.margin, seed=_seed(run))


def measured(run: Run) -> Iterator[tuple[str, Role, Evaluation, str | None]]:
    """Name, role, evaluation and base; base models first: their requests are the records themselves, without
    examples.
    """
    found = [(c, e) for c in run.candidates for e in c.evaluations if e.status == "completed"]
    bases = {c.model_name: system_name(c, e) for c, e in found if e.eval_type == "base-eval"}
    for candidate, evaluation in sorted(found, key=lambda pair: pair[1].eval_type != "base-eval"):
        name, base = system_name(candidate, evaluation), bases.get(candidate.model_name)
        yield (name, "base", evaluation, None) if name == base else (name, "candidate", evaluation, base)
    if run.teacher is not None and run.teacher.status == "completed":
        yield TEACHER, "ceiling", run.teacher, None


def samples_of(job_id: str, context: Context) -> list[Entry]:
    """Every sample of a job, as its results.json has them."""
    try:
        return [read_entry(text) for text in downloaded(job_id, context.services.evaluator)]
    except ValueError as error:
        raise NoSamples(job_id, str(error)) from error


def _seed(run: Run) -> int:
    """Drawn from the data, so that the same records give the same table."""
    dataset = run.dataset("eval")
    return int(dataset.sha256[:8], 16) if dataset and dataset.sha256 else 0
