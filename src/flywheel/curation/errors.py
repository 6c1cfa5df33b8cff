"""Why there is no data set."""

from __future__ import annotations

from collections.abc import Mapping

from flywheel.curation.reasons import Reason
from flywheel.errors import UserError
from flywheel.models import Workload


class NotEnoughRecords(UserError):
    """Fewer records than `min_total_records` can be used."""

    code = "not_enough_records"

    def __init__(
        self, workload: Workload, *, found: int, usable: int, needed: int, dropped: Mapping[Reason, int]
    ) -> None:
        self.workload = workload
        self.found = found
        self.usable = usable
        self.needed = needed
        self.dropped = {str(reason): count for reason, count in dropped.items()}
        why = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        super().__init__(
            f"workload {workload} has {usable} usable records of {found}"
            f"{f' ({why} left out)' if why else ''}, and data_split_config.min_total_records"
            f" asks for {needed}: log more traffic, or lower it"
        )


class NothingButRepeats(UserError):
    """Every record that could be learned from nearly repeats one of the evaluation, and such are dropped."""

    code = "nothing_but_repeats"

    def __init__(self, workload: Workload, *, dropped: int, threshold: float) -> None:
        self.workload, self.dropped, self.threshold = workload, dropped, threshold
        super().__init__(
            f"workload {workload}: all {dropped} records outside the holdout nearly repeat one of the"
            " evaluation, and data_split_config.near_duplicates is drop: use report, or raise"
            f" data_split_config.near_cosine (now {threshold:g}) where an embedding model finds them"
        )


class NotEnoughConversations(UserError):
    """No conversation fell into the holdout, or all did: nothing to test with, or to learn from."""

    code = "not_enough_conversations"

    def __init__(self, workload: Workload, *, conversations: int, holdout: int) -> None:
        self.workload = workload
        self.conversations = conversations
        self.holdout = holdout
        super().__init__(
            f"workload {workload} has {conversations} different conversations, of which {holdout} fall into"
            " the holdout: both sides need some, so log more conversations, or tell them apart by"
            " metadata.conversation_id"
        )
