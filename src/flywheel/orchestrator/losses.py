"""Loss curves of a run's trainings: told by the customizer while it trains, thinned, kept with the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from flywheel.errors import FlywheelError
from flywheel.log import get_logger
from flywheel.nemo.customization import CustomizationStatus, MetricPoint
from flywheel.orchestrator.context import Context
from flywheel.stores.runs.document import Customization, Losses, Run

Curve = Sequence[tuple[int, float]]

MOST = 500
"""Points of one curve: more than a screen shows."""

log = get_logger(__name__)


def losses_of(status: CustomizationStatus) -> Losses | None:
    """The curves that a customizer tells of a job; None where it tells none. Pure."""
    told = status.metrics.metrics if status.metrics else {}
    train, val = _curve(told.get("train_loss", ())), _curve(told.get("val_loss", ()))
    return Losses(train=thinned(train), val=thinned(val)) if train or val else None


def thinned(curve: Curve, most: int = MOST) -> tuple[tuple[int, float], ...]:
    """At most `most` points (4 or more) of a curve with rising steps: its ends, and of each stretch between
    them the lowest and the highest, so that no spike is lost. Pure.
    """
    if len(curve) <= most:
        return tuple(curve)
    inner = range(1, len(curve) - 1)
    stretches = (most - 2) // 2
    kept = {0, len(curve) - 1}
    for number in range(stretches):
        begin, end = (1 + len(inner) * n // stretches for n in (number, number + 1))
        kept.add(min(range(begin, end), key=lambda at: curve[at][1]))
        kept.add(max(range(begin, end), key=lambda at: curve[at][1]))
    return tuple(curve[at] for at in sorted(kept))


def shown(run: Run) -> list[dict[str, Any]]:
    """The curves of every candidate that is trained, as `[step, loss]`. Pure."""
    return [
        {"model_name": candidate.model_name, "train": list(found.train), "val": list(found.val)}
        for candidate in run.candidates
        if candidate.customization and (found := candidate.customization.losses)
    ]


def in_full(run: Run, context: Context) -> list[dict[str, Any]]:
    """The curves of every training that has begun, with what they are of.

    A run from before losses were kept asks the customizer, which may have forgotten them.
    """
    epochs = run.config.training_config.epochs
    return [
        _of(candidate.model_name, training, epochs, training.losses or _asked(training.job_id, context))
        for candidate in run.candidates
        if (training := candidate.customization) and training.job_id
    ]


def _of(model_name: str, training: Customization, epochs: int, found: Losses) -> dict[str, Any]:
    return {
        "model_name": model_name,
        "job_id": training.job_id,
        "steps_per_epoch": training.steps_per_epoch,
        "epochs": epochs,
        "train": [{"step": step, "value": value} for step, value in found.train],
        "val": [{"step": step, "value": value} for step, value in found.val],
    }


def _asked(job_id: str, context: Context) -> Losses:
    try:
        return losses_of(context.services.customizer.job_status(job_id)) or Losses()
    except FlywheelError as error:
        log.warning("the losses of a job are not known", extra={"job": job_id, "error": str(error)})
        return Losses()


def _curve(points: Sequence[MetricPoint]) -> list[tuple[int, float]]:
    """By step; a step that is told again counts as it was told last."""
    known = {p.step: p.value for p in points if p.step is not None and p.value is not None}
    return [(step, value) for step, value in sorted(known.items()) if math.isfinite(value)]
