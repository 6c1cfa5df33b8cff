"""What curation did, in full: part of the data set, shown with the run, stored as JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from flywheel.curation.reasons import Reason

NearPolicy = Literal["report", "drop"]
ConflictPolicy = Literal["majority", "latest", "drop"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Dropped(_Part):
    """Records that are in no part, for one reason."""

    reason: Reason
    meaning: str
    count: int
    examples: tuple[str, ...]
    """Names of a few of them (`Record.name`)."""


class Conflicts(_Part):
    """Requests that got different answers."""

    policy: ConflictPolicy
    requests: int
    records: int
    """Records of these requests, the winners with them."""
    examples: tuple[tuple[str, ...], ...]
    """Names of records that contradict each other, one of each answer."""


class Conversations(_Part):
    """The conversations of the workload's usable records."""

    total: int
    with_id: int
    """Those told by `metadata.conversation_id`; the others by their shared opening."""
    holdout: int
    largest_share: float
    """Share of the usable records that the largest one has."""


class Tokens(_Part):
    """Estimated tokens of request and answer together, at 4 bytes a token."""

    total: int
    mean: float
    p50: int
    p95: int
    max: int


class PartReport(_Part):
    """One part of the data set."""

    records: int
    conversations: int
    tokens: Tokens
    calls: dict[str, int]
    """Records by the set of functions that the answer calls ("a+b"); "" is no call."""


class NearDuplicate(_Part):
    """A record that learns and one that tests, which say nearly the same."""

    part: str
    name: str
    eval_name: str
    similarity: float


class Nearness(_Part):
    """What nearly repeats the evaluation in other words, by the cosine of embeddings."""

    model: str
    """Name of the embedding model."""
    threshold: float
    """Cosine from which two records are nearly the same."""
    near: dict[str, int]
    """Records of the part that are near to one of eval."""
    near_eval: int
    """Records of eval that something is near to."""
    examples: tuple[NearDuplicate, ...]


class Leakage(_Part):
    """What the evaluation shares with what is learned or shown. `exact` is 0 by construction, and counted.

    It is what was found; where the policy is to drop, `dropped` tells how much of it was left out.
    """

    exact: dict[str, int]
    """Requests of eval that are also in the part."""
    near: dict[str, int]
    """Records of the part that nearly repeat one of eval."""
    near_eval: int
    """Records of eval that something nearly repeats."""
    threshold: float
    """Likeness (Jaccard index of words and pairs of words) from which two records are nearly the same."""
    examples: tuple[NearDuplicate, ...]
    embeddings: Nearness | None = None
    """The same by embeddings; None where no embedding model is configured, or it could not be asked."""
    policy: NearPolicy = "report"
    dropped: int = 0
    """Records of train and val that were left out because they nearly repeat one of eval, either way."""


class CurationReport(_Part):
    """Every record that came in is in `dropped` or in one of eval, train and val; icl is of train."""

    client_id: str
    workload_id: str
    records_in: int
    records_out: int
    """Records of eval, train and val together."""
    first: float | None = None
    last: float | None = None
    """Times of the oldest and the newest record that was looked at, in seconds since the epoch."""
    dropped: tuple[Dropped, ...]
    conflicts: Conflicts
    conversations: Conversations
    holdout_share: float
    holdout_records: int
    """Different requests of the holdout, of which eval takes the first `eval_size`."""
    parts: dict[str, PartReport]
    leakage: Leakage
    notes: dict[str, int]
    """Oddities that cost no record: `tools_of_other_types`, `tools_without_usable_schema`, records each."""
    warnings: tuple[str, ...]
