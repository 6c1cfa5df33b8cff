"""Is the judge to be believed? How often it agrees with the programmatic score, and with people.

Only answers that came are looked at, since nobody judges the others. People's labels are read from
`metadata.label` of rows whose own answer is judged (`data` tasks): true or false, 1 or 0, right or wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from flywheel.evaluation.metrics import Judging, Metric
from flywheel.evaluation.statistics import cohen_kappa

Record = Mapping[str, Any]
Verdicts = Sequence[tuple[bool, bool]]

_ALL_OR_NOTHING: Final = (
    "schema_function_name_and_args_accuracy",
    "function_name_and_args_accuracy",
    "json_match",
)
"""Programmatic scores that say right or wrong, in the order of preference."""
_LABELS: Final = {"right": True, "true": True, "1": True, "wrong": False, "false": False, "0": False}


def label_of(value: Any) -> bool | None:
    """A person's label, if it is one."""
    return _LABELS.get(str(value).strip().lower()) if isinstance(value, bool | int | str) else None


def agreement(verdicts: Verdicts) -> dict[str, Any]:
    """`{n, accuracy, kappa, low, high, level, both, only_first, only_second, neither}` of two raters."""
    first, second = [a for a, _ in verdicts], [b for _, b in verdicts]
    pairs = list(verdicts)
    return {
        **cohen_kappa(first, second).as_dict(),
        "both": pairs.count((True, True)),
        "only_first": pairs.count((True, False)),
        "only_second": pairs.count((False, True)),
        "neither": pairs.count((False, False)),
    }


def judge_agreement(records: Sequence[Record], metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """For every `metric.score` of a judge: how it agrees `with_score` and `with_people`, as far as there are.

    `first` is the judge. `unscored` answers are those that it gave no readable verdict on.
    """
    answered = [
        record for record in records if record["response"] is not None and not record["bad_reference"]
    ]
    programmatic = _programmatic(metrics)
    found: dict[str, Any] = {}
    for name, metric in metrics.items():
        if not isinstance(metric, Judging):
            continue
        for score in metric.score_names:
            values = [_value(record, name, score) for record in answered]
            threshold = metric.right_from(score, [value for value in values if value is not None])
            if threshold is None:
                continue
            judged = [
                (record, value >= threshold)
                for record, value in zip(answered, values, strict=True)
                if value is not None
            ]
            about: dict[str, Any] = {"right_from": threshold, "unscored": len(answered) - len(judged)}
            if programmatic is not None:
                pairs = _beside(judged, {id(r): _right(_value(r, *programmatic)) for r in answered})
                about["with_score"] = {"score": ".".join(programmatic), **agreement(pairs)}
            if any(_label(record) is not None for record in answered):
                about["with_people"] = agreement(_beside(judged, {id(r): _label(r) for r in answered}))
            if len(about) > 2:
                found[f"{name}.{score}"] = about
    return found


def _beside(judged: Sequence[tuple[Record, bool]], others: Mapping[int, bool | None]) -> Verdicts:
    beside = [(verdict, others[id(record)]) for record, verdict in judged]
    return [(verdict, other) for verdict, other in beside if other is not None]


def _programmatic(metrics: Mapping[str, Metric]) -> tuple[str, str] | None:
    for score in _ALL_OR_NOTHING:
        for name, metric in metrics.items():
            if score in metric.score_names:
                return name, score
    return None


def _value(record: Record, metric: str, score: str) -> float | None:
    value = record["scores"].get(metric, {}).get(score)
    return None if value is None else float(value)


def _right(value: float | None) -> bool | None:
    return None if value is None else value == 1.0


def _label(record: Record) -> bool | None:
    if record["request"] is not None:  # Then the answer is a model's, and nobody has labelled it.
        return None
    metadata = record["item"].get("metadata")
    return label_of(metadata.get("label")) if isinstance(metadata, Mapping) else None
