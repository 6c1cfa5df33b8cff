"""What a thousand requests cost, by the price table and by what the evaluations measured.

The teacher by its tokens; a student by the time that its server worked, at the price of its GPUs (of one,
where it has none: a CPU server costs something too). Only what has a price is told.
"""

from __future__ import annotations

from typing import Any

from flywheel.config import Pricing
from flywheel.stores.runs.document import Candidate, Evaluation, Run

_REQUESTS = 1000


def cost(run: Run, pricing: Pricing) -> dict[str, Any] | None:
    """`{teacher, systems: {name: amount}}` in the price table's currency; None where nothing has a price."""
    done = [(c, e) for c in run.candidates for e in c.evaluations if e.status == "completed"]
    teacher = _teacher(run, done, pricing)
    systems = {
        f"{candidate.model_name} {evaluation.eval_type}": amount
        for candidate, evaluation in done
        if (amount := _student(candidate, evaluation, pricing)) is not None
    }
    if teacher is None and not systems:
        return None
    return {"per_requests": _REQUESTS, "teacher": teacher, "systems": systems}


def _teacher(run: Run, done: list[tuple[Candidate, Evaluation]], pricing: Pricing) -> float | None:
    """By its own tokens where it was asked again, else by those of a base model on the same requests."""
    measured = [run.teacher] if run.teacher else []
    measured += [evaluation for _, evaluation in done if evaluation.eval_type == "base-eval"]
    found = next((e for e in measured if e.status == "completed" and e.usage and _count(e)), None)
    if found is None:
        return None
    tokens = found.usage.get("prompt_tokens", 0), found.usage.get("completion_tokens", 0)
    total = teacher_cost(*tokens, pricing)
    return None if total is None else total / _count(found) * _REQUESTS


def teacher_cost(prompt_tokens: float, completion_tokens: float, pricing: Pricing) -> float | None:
    """What the teacher takes for so many tokens; None where the price table does not say."""
    price_in, price_out = pricing.teacher_input_per_million, pricing.teacher_output_per_million
    if price_in is None or price_out is None:
        return None
    return (prompt_tokens * price_in + completion_tokens * price_out) / 1e6


def _student(candidate: Candidate, evaluation: Evaluation, pricing: Pricing) -> float | None:
    if pricing.gpu_hour is None or not evaluation.started_at or not evaluation.finished_at:
        return None
    seconds = (evaluation.finished_at - evaluation.started_at).total_seconds()
    count = _count(evaluation)
    if not count or seconds <= 0:
        return None
    return seconds / count * (candidate.nim.gpus or 1) * pricing.gpu_hour / 3600 * _REQUESTS


def _count(evaluation: Evaluation) -> int:
    """Samples that were asked."""
    return max((score.n or 0 for score in evaluation.scores.values()), default=0)
