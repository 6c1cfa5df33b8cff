"""Which of a run's evaluations is the best, and why: a pure function of the scores."""

from __future__ import annotations

from flywheel.stores.runs.document import Candidate, Decision, Evaluation, Run, Score

_METRICS = {"tool_calling": "function_name_and_args_accuracy", "generic": "similarity"}
_CHEAPEST_FIRST = {"base-eval": 0, "icl-eval": 1, "customized-eval": 2}


def decide(run: Run) -> Decision:
    """The highest score of the workload's metric; of equals, the one that costs less to run."""
    metric = _METRICS[run.workload_type or "generic"]
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


def _reason(candidate: Candidate, best: Evaluation, score: Score, metric: str) -> str:
    text = f"{best.eval_type} of {candidate.model_name} has the highest {metric}: {_number(score)}"
    base = candidate.evaluation("base-eval")
    before = base.scores.get(metric) if base and best.eval_type != "base-eval" else None
    return f"{text}; its base-eval has {_number(before)}" if before else text


def _number(score: Score) -> str:
    text = f"{score.value:.3f}"
    if score.low is not None and score.high is not None:
        text += f" [{score.low:.3f}, {score.high:.3f}]"
    return f"{text} on {score.n} records" if score.n is not None else text
