"""From the samples of several evaluations to what `comparison` compares: the same records, scored by each.

Evaluations of one run ask the rows of one data set, but each asks its own model, so samples are joined by
the row's own `name`. Samples are those of `results.json` (`results.results_document`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.evaluation.calls import calls_of
from flywheel.evaluation.comparison import BadComparison
from flywheel.evaluation.languages import languages_of
from flywheel.evaluation.slices import LANGUAGE, slices_of, words_of
from flywheel.evaluation.table import SMALL, Role, Row, System

Entry = Mapping[str, Any]

NOT_ASKED = "not asked of every system"
NOT_SCORED = "not scored"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation: whose, and its samples of one task."""

    name: str
    role: Role
    entries: Sequence[Entry]
    base: str | None = None
    """As `System.base`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One `score` of one `metric`, which lies on `scale`, out of a sample."""

    metric: str
    score: str
    scale: tuple[float, float]

    def scores(self, entry: Entry) -> Mapping[str, Any]:
        return _mapping(_mapping(_mapping(entry.get("metrics")).get(self.metric)).get("scores"))

    def of(self, entry: Entry) -> float | None:
        """From 0 to 1; None where there is none on the scale."""
        value = _mapping(self.scores(entry).get(self.score)).get("value")
        least, most = self.scale
        if not isinstance(value, int | float) or not least <= value <= most:
            return None
        return float((value - least) / (most - least))


def pair(
    evaluated: Sequence[Evaluated],
    *,
    metric: str,
    score: str,
    scale: tuple[float, float] = (0.0, 1.0),
) -> tuple[list[Row], list[System]]:
    """Rows and systems by one `score` of one `metric`, which lies on `scale` and is brought to 0 to 1.

    A record counts where its reference can be one and every evaluation asked it; one that was answered but
    has no score, because a judge was silent or left the scale, counts for none. An answer that never came is
    a score that is missing. Raises BadComparison for a score that no sample has.
    """
    reading = Reading(metric, score, scale)
    by_name = {each.name: _by_record(each.entries) for each in evaluated}
    if evaluated and not any(
        score in reading.scores(entry) for entries in by_name.values() for entry in entries.values()
    ):
        raise BadComparison(f"no sample has the score {score!r} of the metric {metric!r}")
    names = list(dict.fromkeys(name for entries in by_name.values() for name in entries))
    asked = [[entries.get(name) for entries in by_name.values()] for name in names]
    languages = languages_of([words_of(_request(entries)) for entries in asked], enough=SMALL)
    rows = [
        _row(name, entries, reading, language)
        for name, entries, language in zip(names, asked, languages, strict=True)
    ]
    systems = [
        System(
            name=each.name,
            role=each.role,
            scores={name: reading.of(entry) for name, entry in by_name[each.name].items()},
            failures={
                name: str(entry["failure"])
                for name, entry in by_name[each.name].items()
                if entry.get("failure")
            },
            base=each.base,
        )
        for each in evaluated
    ]
    return rows, systems


def _row(name: str, entries: Sequence[Entry | None], reading: Reading, language: str) -> Row:
    there = [entry for entry in entries if entry is not None]
    item = _mapping(there[0].get("item"))
    conversation = item.get("conversation")
    return Row(
        key=name,
        conversation=name if conversation is None else str(conversation),
        slices={LANGUAGE: (language,)} | slices_of(_request(entries), expected_tools(item)),
        bad_reference=_unusable(entries, there, reading),
    )


def _request(entries: Sequence[Entry | None]) -> Mapping[str, Any]:
    """The request of a record, which is the same in each evaluation that asked it."""
    first = next(entry for entry in entries if entry is not None)
    return _mapping(_mapping(first.get("item")).get("request"))


def _unusable(entries: Sequence[Entry | None], there: Sequence[Entry], reading: Reading) -> str | None:
    for entry in there:
        if entry.get("bad_reference"):
            return str(entry["bad_reference"])
    if len(there) < len(entries):
        return NOT_ASKED
    unscored = any(reading.of(entry) is None and not entry.get("failure") for entry in there)
    return NOT_SCORED if unscored else None


def expected_tools(item: Mapping[str, Any]) -> Iterable[str]:
    choices = _mapping(item.get("response")).get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return [call.name for call in calls_of(_mapping(_mapping(first).get("message"))) if call.name]


class Keys:
    """Names of the records of one evaluation, which are the same in all: that of the data set's row, else its
    place; one that comes again gets a number."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._place = 0

    def next(self, entry: Entry) -> str:
        """The name of the entry that comes next."""
        name = _mapping(entry.get("item")).get("name")
        key = f"row {self._place}" if name is None else str(name)
        self._place += 1
        self._seen[key] += 1
        return key if self._seen[key] == 1 else f"{key}#{self._seen[key]}"


def _by_record(entries: Iterable[Entry]) -> dict[str, Entry]:
    keys = Keys()
    return {keys.next(entry): entry for entry in entries}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
