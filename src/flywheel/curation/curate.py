"""Records of a workload to the parts of a data set, with a report of everything that was left out.

The result depends on the set of records only, not on their order. Who is in the holdout depends on the
conversation alone: more records never move one. Where a request occurs in a conversation of the holdout and
in another one, the holdout has it and the other copies are left out.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from flywheel.config import DataSplitConfig
from flywheel.curation.conflicts import Resolver
from flywheel.curation.drops import Drops
from flywheel.curation.errors import NotEnoughConversations, NotEnoughRecords, NothingButRepeats
from flywheel.curation.intake import HOLDOUT_SHARE, Group, Intake, hash_of, newest
from flywheel.curation.leakage import audit
from flywheel.curation.nearness import near_by_embeddings
from flywheel.curation.reasons import Reason
from flywheel.curation.report import ConflictPolicy, CurationReport, Leakage, PartReport, Tokens
from flywheel.curation.similarity import Embedder
from flywheel.curation.traffic import Traffic, describe, seen_in
from flywheel.models import Record, Workload

POOL_PER_CALLS = 16
"""Records of the in-context pool for each set of functions called."""

_BYTES_PER_TOKEN = 4
_MANY = 0.1  # Share from which something deserves a warning.
_NOT_FAULTS = frozenset(
    {
        Reason.OVER_LIMIT,
        Reason.DUPLICATE,
        Reason.CONFLICTING_ANSWER,
        Reason.ALSO_IN_HOLDOUT,
        Reason.NEAR_EVALUATION,
        Reason.HOLDOUT_RESERVE,
    }
)


@dataclass(frozen=True, slots=True)
class Curation:
    """The parts of a data set. `icl` is a selection of `train`; the others have no request in common."""

    eval: tuple[Record, ...]
    icl: tuple[Record, ...]
    train: tuple[Record, ...]
    val: tuple[Record, ...]
    report: CurationReport
    traffic: Traffic
    """What all usable records are like, repeated and contradicting ones with them."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A record on its way into a part; `key` tells its request apart."""

    key: bytes
    conversation: bytes
    called: tuple[str, ...]
    record: Record


def curate(
    records: Iterable[Record],
    *,
    workload: Workload,
    split: DataSplitConfig,
    conflicts: ConflictPolicy = "majority",
    embedder: Embedder | None = None,
) -> Curation:
    """Curate the `records` of `workload`; with an `embedder` repeats are looked for by embeddings too.

    Raises NotEnoughRecords, naming the numbers, NotEnoughConversations, NothingButRepeats, and what the
    `embedder` raises.
    """
    drops = Drops()
    intake = Intake(workload, drops)
    intake.take(records if split.limit is None else newest(records, split.limit, drops))
    traffic = describe(seen_in(chain(intake.holdout.items(), intake.others.items())))
    found = intake.count + drops.counts[Reason.OVER_LIMIT]
    for key in intake.others.keys() & intake.holdout.keys():
        group = intake.others.pop(key)
        drops.add(Reason.ALSO_IN_HOLDOUT, *group.records(), count=group.count)
    resolver = Resolver(conflicts, drops)
    holdout = sorted(_resolved(intake.holdout.values(), resolver), key=lambda each: each.key)
    others = sorted(_resolved(intake.others.values(), resolver), key=_by_time)
    usable = len(holdout) + len(others)
    if usable < split.min_total_records:
        raise NotEnoughRecords(
            workload, found=found, usable=usable, needed=split.min_total_records, dropped=drops.counts
        )
    conversations = intake.report()
    if not holdout or not others:
        raise NotEnoughConversations(
            workload, conversations=conversations.total, holdout=conversations.holdout
        )
    drops.add(Reason.HOLDOUT_RESERVE, *(each.record for each in holdout[split.eval_size :]))
    validation = _validation(others, split.val_ratio)
    train = [each for each in others if each.conversation not in validation]
    val = [each for each in others if each.conversation in validation]
    parts = {"eval": holdout[: split.eval_size], "icl": _pool(train), "train": train, "val": val}
    leakage, repeating = _audited(parts, split, embedder)
    if split.near_duplicates == "drop" and repeating:
        parts, dropped = _without(parts, repeating, drops)
        if not parts["train"]:
            raise NothingButRepeats(workload, dropped=dropped, threshold=split.near_cosine)
        leakage = leakage.model_copy(update={"dropped": dropped})
    report = CurationReport(
        client_id=workload.client_id,
        workload_id=workload.workload_id,
        records_in=found,
        records_out=sum(len(parts[name]) for name in ("eval", "train", "val")),
        first=intake.first,
        last=intake.last,
        dropped=drops.report(),
        conflicts=resolver.report(),
        conversations=conversations,
        holdout_share=HOLDOUT_SHARE,
        holdout_records=len(holdout),
        parts={name: _part(part) for name, part in parts.items()},
        leakage=leakage,
        notes=dict(intake.notes),
        warnings=(),
    )
    report = report.model_copy(update={"warnings": tuple(_warnings(report, split))})
    return Curation(
        **{name: tuple(each.record for each in part) for name, part in parts.items()},
        report=report,
        traffic=traffic,
    )


def dataset_id(curation: Curation) -> str:
    """A name made of the content: equal for equal parts, whatever the report says."""
    content = hashlib.blake2b(digest_size=16)
    for name in ("eval", "icl", "train", "val"):
        part: tuple[Record, ...] = getattr(curation, name)
        content.update(f"{name} {len(part)}\n".encode())
        for record in part:
            content.update(record.key)
    return content.hexdigest()


def _resolved(groups: Iterable[Group], resolver: Resolver) -> Iterator[_Kept]:
    for group in groups:
        if (seen := resolver.resolve(group)) is not None:
            yield _Kept(group.request.key, seen.conversation, seen.called, seen.record)


def _by_time(each: _Kept) -> tuple[float, bytes]:
    return each.record.timestamp, each.key


def _validation(others: Sequence[_Kept], ratio: float) -> set[bytes]:
    """The conversations of the validation part: by hash, and at least one where there are several."""
    hashes = {key: hash_of("validation", key.hex()) for key in {each.conversation for each in others}}
    chosen = {key for key, value in hashes.items() if value < ratio}
    if ratio and len(hashes) > 1:
        chosen = chosen or {min(hashes, key=lambda key: hashes[key])}
        if len(chosen) == len(hashes):
            chosen.discard(max(chosen, key=lambda key: hashes[key]))
    return chosen if len(hashes) > 1 else set()


def _pool(train: Sequence[_Kept]) -> list[_Kept]:
    """Examples for prompts: for each set of functions called the first few by hash."""
    by_calls: defaultdict[frozenset[str], list[_Kept]] = defaultdict(list)
    for each in train:
        by_calls[frozenset(each.called)].append(each)
    chosen = (
        heapq.nsmallest(POOL_PER_CALLS, group, key=lambda each: each.key) for group in by_calls.values()
    )
    return sorted(chain.from_iterable(chosen), key=lambda each: each.key)


def _audited(
    parts: Mapping[str, Sequence[_Kept]], split: DataSplitConfig, embedder: Embedder | None
) -> tuple[Leakage, frozenset[bytes]]:
    """What nearly repeats the evaluation, and the keys of those records."""
    keyed = {name: [(each.key, each.record) for each in part] for name, part in parts.items()}
    leakage, repeating = audit(keyed)
    leakage = leakage.model_copy(update={"policy": split.near_duplicates})
    if embedder is None:
        return leakage, repeating
    nearness, near = near_by_embeddings(keyed, embedder, split.near_cosine)
    return leakage.model_copy(update={"embeddings": nearness}), repeating | near


def _without(
    parts: Mapping[str, list[_Kept]], repeating: frozenset[bytes], drops: Drops
) -> tuple[dict[str, list[_Kept]], int]:
    """The parts without what nearly repeats the evaluation; the holdout stays as it is."""
    gone = [each for name in ("train", "val") for each in parts[name] if each.key in repeating]
    drops.add(Reason.NEAR_EVALUATION, *(each.record for each in gone))
    train, val = ([each for each in parts[name] if each.key not in repeating] for name in ("train", "val"))
    return {"eval": parts["eval"], "icl": _pool(train), "train": train, "val": val}, len(gone)


def _part(part: Sequence[_Kept]) -> PartReport:
    bodies = (len(each.record.request_json) + len(each.record.response_json) for each in part)
    tokens = sorted(size // _BYTES_PER_TOKEN for size in bodies)
    calls = Counter("+".join(sorted(set(each.called))) for each in part)
    return PartReport(
        records=len(part),
        conversations=len({each.conversation for each in part}),
        tokens=Tokens(
            total=sum(tokens),
            mean=sum(tokens) / len(tokens) if tokens else 0.0,
            p50=_quantile(tokens, 0.5),
            p95=_quantile(tokens, 0.95),
            max=tokens[-1] if tokens else 0,
        ),
        calls=dict(calls.most_common()),
    )


def _quantile(ordered: Sequence[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


def _warnings(report: CurationReport, split: DataSplitConfig) -> Iterator[str]:
    tests = report.parts["eval"].records
    if tests < split.eval_size:
        yield (
            f"the holdout has {tests} records, fewer than the eval_size of {split.eval_size}:"
            " scores will have wider intervals"
        )
    if split.val_ratio and not report.parts["val"].records:
        yield "there is no validation part: all that can be trained on belongs to one conversation"
    if report.conversations.largest_share > HOLDOUT_SHARE:
        yield (
            f"one conversation has {report.conversations.largest_share:.0%} of the usable records;"
            " if it is several, log metadata.conversation_id"
        )
    faults = sum(drop.count for drop in report.dropped if drop.reason not in _NOT_FAULTS)
    if faults > _MANY * report.records_in:
        yield f"{faults} of {report.records_in} records cannot be learned from: see dropped"
    if report.conflicts.records > _MANY * report.records_in:
        yield f"the teacher contradicts itself: {report.conflicts.requests} requests have several answers"
    by_embeddings = report.leakage.embeddings.near_eval if report.leakage.embeddings else 0
    repeated = max(report.leakage.near_eval, by_embeddings)
    if repeated > _MANY * tests and not report.leakage.dropped:
        yield f"{repeated} of {tests} eval records are nearly repeated elsewhere: see leakage"
