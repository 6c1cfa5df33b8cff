"""What a run comes to: the best of its evaluations, and whether it may take the teacher's place; and,
before it begins, what it can come to.
"""

from __future__ import annotations

from flywheel.errors import FlywheelError
from flywheel.evaluation.comparison import BadComparison
from flywheel.evaluation.statistics import power, records_needed
from flywheel.evaluation.table import Table
from flywheel.evaluation.verdicts import Verdict, verdicts
from flywheel.log import get_logger
from flywheel.nemo.calls import ServiceCallFailed
from flywheel.orchestrator.comparing import compared, decided_by
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.cost import cost
from flywheel.orchestrator.samples import NoSamples
from flywheel.orchestrator.trouble import passing
from flywheel.stores.runs.document import Candidate, Decision, Evaluation, Run, Score

log = get_logger(__name__)

ASSUMED_DISCORDANCE = 0.1
"""Share of the records on which a good student and the teacher differ, before anybody has measured it."""

_CHEAPEST_FIRST = {"base-eval": 0, "icl-eval": 1, "customized-eval": 2, "teacher-eval": 3}


def foreseen(run: Run) -> str | None:
    """What the evaluation set can show about a student that equals its teacher; None without a set. Pure."""
    dataset = run.dataset("eval")
    if dataset is None or not dataset.num_records:
        return None
    margin = run.config.evaluation_config.margin
    chance = power(dataset.num_records, margin=margin, discordance=ASSUMED_DISCORDANCE)
    needed = records_needed(margin=margin, discordance=ASSUMED_DISCORDANCE)
    return (
        f"with {dataset.num_records:,} records a student as good as its teacher has a chance of {chance:.0%}"
        f" to be shown within {100 * margin:g} points of it; a chance of 80% takes {needed:,}"
        f" (supposing that the two differ on {ASSUMED_DISCORDANCE:.0%} of the records)"
    )


def decide(run: Run, context: Context) -> Decision:
    """Compare every evaluation on the same records, and choose.

    Where an evaluator gives no samples the best score decides and no verdict is given. Raises what the
    evaluator's client raises for passing trouble.
    """
    decision = best(run)
    try:
        table = compared(run, context)
    except (NoSamples, BadComparison, ServiceCallFailed) as error:
        if isinstance(error, FlywheelError) and passing(error):
            raise
        log.warning("evaluations could not be compared", extra={"error": str(error)})
        return decision.but(reason=f"{decision.reason}; no verdict: {error}")
    if table is None or decision.model_name is None:
        return decision
    return judged(decision, table, verdicts(table)).but(cost=cost(run, context.settings.pricing))


def judged(decision: Decision, table: Table, found: tuple[Verdict, ...]) -> Decision:
    """The decision with the table and the verdicts. Pure."""
    chosen = f"{decision.model_name} {decision.eval_type}"
    verdict = next((str(each) for each in found if each.candidate == chosen), None)
    if decision.eval_type == "base-eval":
        verdict = "no: nothing that was tried is better than the base model as it is"
    return decision.but(
        verdict=verdict, verdicts=tuple(each.as_dict() for each in found), table=table.as_dict()
    )


def best(run: Run) -> Decision:
    """The highest score of the workload's metric; of equals, the one that costs less to run. Pure."""
    metric = decided_by(run)
    measured = [
        (candidate, evaluation, evaluation.scores[metric])
        for candidate in run.candidates
        for evaluation in candidate.evaluations
        if evaluation.status == "completed" and metric in evaluation.scores
    ]
    if not measured:
        reason = f"no evaluation has a {metric}"
        return Decision(model_name=None, metric=metric, reason=reason)
    candidate, evaluation, score = max(
        measured, key=lambda found: (found[2].value, -_CHEAPEST_FIRST[found[1].eval_type])
    )
    customized = evaluation.eval_type == "customized-eval" and candidate.customization
    return Decision(
        model_name=candidate.model_name,
        eval_type=evaluation.eval_type,
        customized_model=customized.customized_model if customized else None,
        metric=metric,
        value=score.value,
        reason=_reason(candidate, evaluation, score, metric),
    )


def _reason(candidate: Candidate, chosen: Evaluation, score: Score, metric: str) -> str:
    text = f"{chosen.eval_type} of {candidate.model_name} has the highest {metric}: {_number(score)}"
    base = candidate.evaluation("base-eval")
    before = base.scores.get(metric) if base and chosen.eval_type != "base-eval" else None
    return f"{text}; its base-eval has {_number(before)}" if before else text


def _number(score: Score) -> str:
    text = f"{score.value:.3f}"
    if score.low is not None and score.high is not None:
        text += f" [{score.low:.3f}, {score.high:.3f}]"
    return f"{text} on {score.n} records" if score.n is not None else text
