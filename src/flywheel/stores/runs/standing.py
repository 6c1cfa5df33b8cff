"""What the runs of a workload have come to so far: the last one, and the best student. Pure.

Both stores answer this for a page of workloads without reading whole documents: they look the decided runs up
in an index, leave the choice to `leading`, and read the briefs of the chosen ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pydantic import AwareDatetime

from flywheel.models import Workload
from flywheel.stores.runs.brief import Brief
from flywheel.stores.runs.document import EvalType, RunStatus, Value


class RunMark(Value):
    """A run as a list of workloads names it."""

    id: str
    status: RunStatus
    created_at: AwareDatetime


class Achievement(Value):
    """The best student of a workload so far, as a run has measured it; `low` and `high` are the 95 % interval
    of its `metric`, `n` the records behind it."""

    run_id: str
    model_name: str
    eval_type: EvalType
    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    verdict: str | None = None


class Standing(Value):
    """The last run of a workload, whatever came of it, and the best student; None while none is measured."""

    last: RunMark
    best: Achievement | None = None


class Decided(NamedTuple):
    """A run that has chosen: by which metric, and its value; `seq` is its place in the line of runs."""

    workload: Workload
    metric: str
    value: float
    seq: int


def leading(decided: Iterable[Decided]) -> dict[Workload, int]:
    """The place of the best run of each workload: the highest value, of equals the newest run.

    Values of different metrics cannot be compared, so only runs count that were decided by the metric of the
    newest decision.
    """
    runs: dict[Workload, list[Decided]] = {}
    for each in decided:
        runs.setdefault(each.workload, []).append(each)
    found = {}
    for workload, of in runs.items():
        metric = max(of, key=lambda each: each.seq).metric
        best = max((each for each in of if each.metric == metric), key=lambda each: (each.value, each.seq))
        found[workload] = best.seq
    return found


def standing(last: Brief, best: Brief | None) -> Standing:
    """How a workload stands whose last run and whose best one are these."""
    return Standing(
        last=RunMark(id=last.id, status=last.status, created_at=last.created_at),
        best=_achievement(best) if best else None,
    )


def _achievement(run: Brief) -> Achievement | None:
    """What the run has chosen; None where that is nobody."""
    chosen = run.decision
    if chosen is None or chosen.model_name is None or chosen.eval_type is None or chosen.value is None:
        return None
    return Achievement(
        run_id=run.id,
        model_name=chosen.model_name,
        eval_type=chosen.eval_type,
        metric=chosen.metric,
        value=chosen.value,
        low=chosen.low,
        high=chosen.high,
        n=chosen.n,
        verdict=chosen.verdict,
    )
