"""One request, different answers: which one is learned, by a named policy, and how often that happened."""

from __future__ import annotations

from flywheel.curation.drops import EXAMPLES, Drops
from flywheel.curation.intake import Group, Seen
from flywheel.curation.reasons import Reason
from flywheel.curation.report import ConflictPolicy, Conflicts
from flywheel.models import Record


class Resolver:
    """Decides between the answers of a request.

    `majority`: the answer given most often, the most recent one where votes are equal. `latest`: the most
    recent one. `drop`: none of them.
    """

    def __init__(self, policy: ConflictPolicy, drops: Drops) -> None:
        self._policy = policy
        self._drops = drops
        self._requests = 0
        self._records = 0
        self._examples: list[tuple[Record, ...]] = []

    def resolve(self, group: Group) -> Seen | None:
        """The answer that is kept, if any; everything else of the group is accounted for."""
        if len(group.answers) == 1:
            (winner,) = group.answers.values()
        else:
            self._requests += 1
            self._records += group.count
            if len(self._examples) < EXAMPLES:
                self._examples.append(tuple(group.records()))
            if self._policy == "drop":
                self._drops.add(Reason.CONFLICTING_ANSWER, *group.records(), count=group.count)
                return None
            key, winner = max(group.answers.items(), key=lambda item: (*self._rank(item[1]), item[0]))
            losers = [seen for other, seen in group.answers.items() if other != key]
            self._drops.add(
                Reason.CONFLICTING_ANSWER,
                *(seen.record for seen in losers),
                count=sum(seen.count for seen in losers),
            )
        if winner.count > 1:
            self._drops.add(Reason.DUPLICATE, winner.record, count=winner.count - 1)
        return winner

    def _rank(self, seen: Seen) -> tuple[float, float]:
        return (seen.count, seen.last) if self._policy == "majority" else (seen.last, seen.count)

    def report(self) -> Conflicts:
        return Conflicts(
            policy=self._policy,
            requests=self._requests,
            records=self._records,
            examples=tuple(tuple(each.name for each in example) for example in self._examples),
        )
