"""People's labels of answers, from a file, and how the scores agree with them.

A line is `{"id": …, "right": true}`; `id` is that of the reference which the answer belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flywheel.errors import UserError
from flywheel.evaluation.agreement import agreement, label_of
from flywheel.evaluation.offline import NEMO, Report
from flywheel.evaluation.tool_scores import NAMES_AND_ARGS

_ALL_OR_NOTHING = (NAMES_AND_ARGS, NEMO[1])


class BadLabels(UserError):
    """A file of labels that cannot be used."""


def read_labels(lines: Iterable[Mapping[str, Any]]) -> dict[str, bool]:
    """The labels by id. Raises BadLabels, naming the line (counted without blank ones)."""
    labels: dict[str, bool] = {}
    for number, line in enumerate(lines, 1):
        key, right = line.get("id"), label_of(line.get("right"))
        if not isinstance(key, str | int) or isinstance(key, bool):
            raise BadLabels(f'label {number} has no id: write {{"id": "…", "right": true}}')
        if right is None:
            raise BadLabels(
                f"label {number} ({key!r}): right is {line.get('right')!r}, which is neither true nor false"
            )
        if labels.setdefault(str(key), right) != right:
            raise BadLabels(f"there are two different labels for {key!r}")
    return labels


def with_people(report: Report, labels: Mapping[str, bool]) -> dict[str, Any]:
    """`{score: agreement}` of every score that says right or wrong, our own and those that came with the
    answers; `first` is the score, `second` are the people. Raises BadLabels where no label belongs to an
    answer.
    """
    lines = [line for line in report.lines if line.scored is not None and line.answered]
    labelled = [line for line in lines if line.key in labels]
    if not labelled:
        known = lines[0].key if lines else None
        raise BadLabels(f"no label belongs to an answer; the first answer's id is {known!r}")
    names = [*_ALL_OR_NOTHING, *sorted({name for line in labelled for name in line.given})]
    found: dict[str, Any] = {}
    for name in names:
        values = [(line.given.get(name, line.scores.get(name)), labels[line.key]) for line in labelled]
        pairs = [(value == 1.0, right) for value, right in values if value is not None]
        if all(value in (0.0, 1.0, None) for value, _ in values):
            found[name] = agreement(pairs)
    return {"scores": found, "labels": len(labels), "used": len(labelled)}
