"""The account of what was left out: counts by reason, with a few names each."""

from __future__ import annotations

from collections import Counter, defaultdict

from flywheel.curation.reasons import Reason
from flywheel.curation.report import Dropped
from flywheel.models import Record

EXAMPLES = 5
"""Names shown for each reason."""


class Drops:
    def __init__(self) -> None:
        self.counts: Counter[Reason] = Counter()
        self._examples: defaultdict[Reason, list[Record]] = defaultdict(list)

    def add(self, reason: Reason, *examples: Record, count: int | None = None) -> None:
        """Account for `count` records (as many as there are examples, where it is not given)."""
        self.counts[reason] += len(examples) if count is None else count
        kept = self._examples[reason]
        kept.extend(examples[: EXAMPLES - len(kept)])

    def report(self) -> tuple[Dropped, ...]:
        return tuple(
            Dropped(
                reason=reason,
                meaning=reason.meaning,
                count=self.counts[reason],
                examples=tuple(record.name for record in self._examples[reason]),
            )
            for reason in Reason
            if self.counts[reason]
        )
