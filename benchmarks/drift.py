"""How often is a drift called where there is none, and how often found where there is one?

    python benchmarks/drift.py [--pairs 1000] [--seed 1] [--json FILE]

Pairs of samples, a data set's and the new records', are drawn from the same traffic, and then from traffic
that shifted by a known size; `measure` and `judge` of flywheel.curation.drift say whether the trigger would
fire at its default threshold. What is printed stands in docs/schedules.md: how many pairs are a drift, with
Wilson's interval of 95 %. Seeds are fixed.

Records that stand alone add one to a count each, so their counts are drawn at once (`Alone`); a test holds
them to what `describe` counts. What stands for free text and for numbers is read off 20,000 values that
`describe` was given. Records of conversations are drawn one by one (`Together`), and described. At last real
traffic, where ../shared/data lies beside the checkout.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from flywheel.curation.drift import FEWEST, LEVEL, Drift, Of, judge, measure
from flywheel.curation.reading import read
from flywheel.curation.traffic import EACH, NO_CALL, Seen, Shares, Traffic, describe, seen_of
from flywheel.evaluation.statistics import wilson
from flywheel.models import Record
from flywheel.orchestrator.scheduling.facts import SAMPLE

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "clinc150.jsonl.gz"
SIZES = ((100, 100), (1000, 30), (1000, 200), (5000, 1000))
"""Records of the data set, and new ones; 30 are the fewest that are compared."""
SHORT = SIZES[:3]
GROWTH = 1.2
"""The trigger looks again when the new records have grown by a fifth."""
TALK = 6.0
"""Records of a conversation, on average."""
ALIKE = 0.3
"""Correlation of the tools that two records of one conversation call."""


def named(sizes: tuple[int, int]) -> str:
    return f"{sizes[0]:,}, {sizes[1]:,} new"


HEADS = tuple(named(sizes) for sizes in SIZES)


class Source(Protocol):
    """Where samples come from."""

    @property
    def name(self) -> str: ...

    @property
    def of(self) -> Of: ...

    def draw(self, count: int, rng: np.random.Generator) -> Traffic: ...


@dataclass(frozen=True)
class Mix:
    """Categories with their shares; shares that do not add up to one are made to."""

    shares: Mapping[str, float]
    form: Literal["values", "shapes"] = "values"

    def counts(self, count: int, rng: np.random.Generator) -> np.ndarray:
        return rng.multinomial(count, self.probabilities)

    @property
    def probabilities(self) -> np.ndarray:
        found = np.array(list(self.shares.values()), dtype=float)
        return found / found.sum()

    def of_counts(self, counts: np.ndarray) -> Shares:
        """As `describe` counts so many calls that stand alone."""
        kept = {name: int(each) for name, each in zip(self.shares, counts, strict=True) if each}
        total = sum(kept.values())
        effect = round(total / (total - 1), 4) if len(kept) > 1 else 1.0
        return Shares(counts=kept, form=self.form, design_effect=effect)

    def shifted(self, name: str, by: float) -> Mix:
        """The same with `by` more of one category, new or not; the others give way in proportion."""
        shares = dict(zip(self.shares, self.probabilities.tolist(), strict=True))
        was = shares.pop(name, 0.0)
        rest = (1 - was - by) / (1 - was)
        return Mix({each: share * rest for each, share in shares.items()} | {name: was + by}, self.form)


@dataclass(frozen=True)
class Alone:
    """Records that stand alone, with a call each: the mix of the tools, or values of one tool's arguments."""

    name: str
    tools: Mix = Mix({"tool": 1.0})
    arguments: Mapping[str, Mix] = field(default_factory=dict)

    @property
    def of(self) -> Of:
        return "arguments" if self.arguments else "tools"

    @property
    def fewest(self) -> int:
        """Records of a data set from which on `describe` tells every argument by its values."""
        return max(
            (EACH * len(mix.shares) for mix in self.arguments.values() if mix.form == "values"), default=0
        )

    def draw(self, count: int, rng: np.random.Generator) -> Traffic:
        tools = self.tools.counts(count, rng)
        return self.counted(tools, {name: mix.counts(count, rng) for name, mix in self.arguments.items()})

    def counted(self, tools: np.ndarray, arguments: Mapping[str, np.ndarray]) -> Traffic:
        described = {name: self.arguments[name].of_counts(counts) for name, counts in arguments.items()}
        return Traffic(
            records=int(tools.sum()),
            conversations=int(tools.sum()),
            first=None,
            last=None,
            tools=self.tools.of_counts(tools),
            arguments={"tool": described} if described else {},
            versions={},
        )

    def exactly(self) -> Traffic:
        """So many records that there is no noise: what a shift really is."""
        many = 10_000_000
        arguments = {name: np.rint(many * mix.probabilities) for name, mix in self.arguments.items()}
        return self.counted(np.rint(many * self.tools.probabilities), arguments)


@dataclass(frozen=True)
class Together:
    """Records in conversations, each of which has a mix of tools of its own around the whole mix."""

    name: str
    tools: Mix
    known: bool = True
    """Otherwise the log does not say which records belong together."""
    uneven: bool = False
    """Lengths of conversations are lognormal (sigma 1) instead of 1 + a Poisson number."""
    of: Of = "tools"

    def draw(self, count: int, rng: np.random.Generator) -> Traffic:
        return describe(self.seen(count, rng))

    def seen(self, count: int, rng: np.random.Generator) -> list[Seen]:
        if self.uneven:
            sizes = np.ceil(rng.lognormal(np.log(TALK) - 0.5, 1.0, count)).astype(int)
        else:
            sizes = 1 + rng.poisson(TALK - 1, count)
        conversations = np.repeat(np.arange(count), sizes)[:count]
        own = rng.dirichlet(self.tools.probabilities * (1 / ALIKE - 1), conversations[-1] + 1)
        limits = own.cumsum(axis=1)[conversations]
        picked = (rng.random((count, 1)) > limits[:, :-1]).sum(axis=1).tolist()
        calls = [[] if name == NO_CALL else [(name, dict[str, Any]())] for name in self.tools.shares]
        keys = conversations.tolist() if self.known else range(count)
        return [Seen(b"%d" % key, calls[at], {}, 0.0, 0.0) for key, at in zip(keys, picked, strict=True)]


@dataclass(frozen=True)
class Found:
    """What became of the pairs."""

    pairs: int
    drifts: int
    below_5: int
    """Pairs of which the smallest p value, corrected, is below 5 %, however small the distance."""
    below_level: int
    """… is below LEVEL."""

    def __str__(self) -> str:
        return f"{self.drifts} ({limits(self.drifts, self.pairs)})"

    def percent(self) -> str:
        return f"{100 * self.drifts / self.pairs:.0f} ({limits(self.drifts, self.pairs, digits=0)})"

    def p_values(self) -> str:
        return f"{100 * self.below_5 / self.pairs:.1f}, {100 * self.below_level / self.pairs:.2f}"


def limits(drifts: int, pairs: int, digits: int = 2) -> str:
    """Wilson's interval of 95 %, in percent."""
    found = wilson(drifts, pairs)
    return f"{100 * found.low:.{digits}f}–{100 * found.high:.{digits}f}"


def compared(before: Traffic, now: Traffic, of: Of) -> Drift:
    """What the trigger says at its default threshold."""
    return judge(measure(before, now, of), before, now, of)


def pairs_of(
    before: Source, now: Source, sizes: tuple[int, int], pairs: int, seed: int, progress: Progress
) -> Found:
    """Draws so many pairs, and counts the drifts."""
    rng = seeded(seed, before.name, now.name, *sizes)
    drifts = below_5 = below_level = 0
    for number in range(pairs):
        found = compared(before.draw(sizes[0], rng), now.draw(sizes[1], rng), before.of)
        smallest = min(each.p_value for each in found.shifts) * len(found.shifts)
        drifts += bool(found.fired)
        below_5 += smallest < 0.05
        below_level += smallest < LEVEL
        progress(f"{now.name}, {named(sizes)}: {number + 1} of {pairs} pairs")
    return Found(pairs, drifts, below_5, below_level)


def looks_of(source: Alone, before: int, times: int, seed: int, progress: Progress) -> int:
    """Of so many data sets, those after which some look at the new records, more and more, fires."""
    rng = seeded(seed, "looks", source.name, before)
    fired = 0
    for number in range(times):
        reference = source.draw(before, rng)
        tools = np.zeros(len(source.tools.shares), dtype=np.int64)
        arguments = {
            name: np.zeros(len(mix.shares), dtype=np.int64) for name, mix in source.arguments.items()
        }
        for size in looks():
            more = size - int(tools.sum())
            tools += source.tools.counts(more, rng)
            for name, mix in source.arguments.items():
                arguments[name] += mix.counts(more, rng)
            if compared(reference, source.counted(tools, arguments), source.of).fired:
                fired += 1
                break
        progress(f"{source.name}, look by look: {number + 1} of {times}")
    return fired


def looks() -> list[int]:
    """New records at each look, from the fewest that are compared to the most that are read."""
    steps = range(200)
    return [size for step in steps if FEWEST <= (size := ceil(GROWTH**step)) < SAMPLE] + [SAMPLE]


def halves(records: Sequence[Seen], times: int, seed: int, progress: Progress) -> dict[Of, int]:
    """How often two halves of the same records, shuffled, are a drift."""
    rng = seeded(seed, "halves")
    fired: dict[Of, int] = {"tools": 0, "arguments": 0}
    for number in range(times):
        order = rng.permutation(len(records)).tolist()
        half = len(records) // 2
        before = describe(records[each] for each in order[:half])
        now = describe((records[each] for each in order[half:]), like=before)
        for of in fired:
            fired[of] += bool(compared(before, now, of).fired)
        progress(f"shuffled halves: {number + 1} of {times}")
    return fired


def seeded(seed: int, *what: str | int) -> np.random.Generator:
    """Of its own for each cell, so that none depends on the others."""
    return np.random.default_rng([seed, zlib.crc32(repr(what).encode())])


class Progress:
    """Says on stderr what is going on, every two seconds."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, what: str) -> None:
        now = time.monotonic()
        if now - self._said > 2:
            self._said = now
            print(what, file=sys.stderr, flush=True)


def zipf(count: int, name: str) -> dict[str, float]:
    return {f"{name} {number}": 1 / number for number in range(1, count + 1)}


def told(values: Sequence[Any]) -> Mix:
    """The categories by which `describe` tells these values of an argument."""
    seen = (Seen(b"%d" % number, [("t", {"a": value})], {}, 0.0, 0.0) for number, value in enumerate(values))
    shares = describe(seen).arguments["t"]["a"]
    return Mix({name: float(count) for name, count in shares.counts.items()}, shares.form)


def texts(median: int) -> Mix:
    """Free text, by its length."""
    rng = np.random.default_rng(median)
    return told(
        [f"{n:x<{length}}" for n, length in enumerate(rng.lognormal(np.log(median), 0.6, 20_000).astype(int))]
    )


def numbers(median: int) -> Mix:
    """Amounts, by their size."""
    return told(np.random.default_rng(median).lognormal(np.log(median), 1.5, 20_000).round(2).tolist())


AGENT = Mix({"a": 0.48, "b": 0.20, "c": 0.08, "d": 0.04, NO_CALL: 0.20})
TENTH = Mix({"a": 0.40, "b": 0.20, "c": 0.10, "d": 0.10, NO_CALL: 0.20})
FIFTEEN = Mix(zipf(15, "value"))
RARE = Mix({"usual": 0.97} | {f"rare {number}": 0.006 for number in range(5)})
TEXTS, LONGER = texts(40), texts(60)
NUMBERS, LARGER = numbers(50), numbers(150)

SAME = (
    Alone("4 tools, evenly", Mix(dict.fromkeys("abcd", 0.25))),
    Alone("4 tools of 48 to 4 %, 20 % without a call", AGENT),
    Alone("60 tools by Zipf, 10 % without a call", Mix(zipf(60, "tool")).shifted(NO_CALL, 0.1)),
    Alone("one tool, 1 % without a call", Mix({"tool": 0.99, NO_CALL: 0.01})),
    Alone("an argument of 15 values by Zipf", arguments={"a": FIFTEEN}),
    Alone("an argument of 80 values by Zipf", arguments={"a": Mix(zipf(80, "value"))}),
    Alone("an argument of one value, and five in 0.6 % each", arguments={"a": RARE}),
    Alone("free text", arguments={"a": TEXTS}),
    Alone("numbers", arguments={"a": NUMBERS}),
    Alone(
        "twelve arguments, three of each kind",
        arguments={
            f"{kind} {number}": mix
            for kind, mix in enumerate((FIFTEEN, RARE, TEXTS, NUMBERS))
            for number in range(3)
        },
    ),
)
LOOKED_AT = (SAME[1], SAME[4], SAME[6])
TALKS = (
    Together("conversations of six", AGENT),
    Together("… of very different lengths", AGENT, uneven=True),
    Together("… of six, which the log does not tell", AGENT, known=False),
)
BEFORE = Alone("tools", TENTH)
VALUES, WORDS, AMOUNTS = (Alone("before", arguments={"a": mix}) for mix in (FIFTEEN, TEXTS, NUMBERS))
SHIFTS: tuple[tuple[Source, Source], ...] = (
    *(
        (BEFORE, Alone(f"a tool from 10 to {10 + by} % of the calls", TENTH.shifted("c", by / 100)))
        for by in (2, 5, 10, 20)
    ),
    (
        Together("tools", TENTH),
        Together("… to 30 %, in conversations of six", TENTH.shifted("c", 0.2)),
    ),
    *(
        (
            VALUES,
            Alone(f"a new value in {by} % of the calls", arguments={"a": FIFTEEN.shifted("new", by / 100)}),
        )
        for by in (2, 5, 10, 20)
    ),
    (WORDS, Alone("free text half as long again", arguments={"a": LONGER})),
    (AMOUNTS, Alone("numbers three times as large", arguments={"a": LARGER})),
)


def false_alarms(pairs: int, seed: int, progress: Progress) -> dict[str, dict[str, Found]]:
    """By traffic and sizes."""
    return {
        source.name: cells(source, source, pairs, pairs // 4, seed, progress) for source in (*SAME, *TALKS)
    }


def power(pairs: int, seed: int, progress: Progress) -> dict[str, dict[str, Found]]:
    """By shift and sizes."""
    return {now.name: cells(before, now, pairs // 2, pairs // 4, seed, progress) for before, now in SHIFTS}


def cells(
    before: Source, now: Source, pairs: int, talks: int, seed: int, progress: Progress
) -> dict[str, Found]:
    """By sizes; `talks`: pairs where conversations are drawn, which takes longer."""
    if isinstance(before, Alone):
        sizes, count = tuple(each for each in SIZES if each[0] >= before.fewest), pairs
    else:
        sizes, count = SHORT, talks
    return {named(each): pairs_of(before, now, each, count, seed, progress) for each in sizes}


def true_distance(before: Source, now: Source) -> str:
    """How far the shift really is, where no conversation hides it."""
    if not (isinstance(before, Alone) and isinstance(now, Alone)):
        return "the same"
    return f"{compared(before.exactly(), now.exactly(), now.of).shifts[0].distance:.2f}"


def all_alone(found: Mapping[str, Mapping[str, Found]]) -> str:
    """The false alarms of all pairs of records that stand alone."""
    alone = [cell for source in SAME for cell in found[source.name].values()]
    drifts, pairs = sum(cell.drifts for cell in alone), sum(cell.pairs for cell in alone)
    return f"{drifts} of {pairs:,}, {limits(drifts, pairs)}"


def real(times: int, seed: int, progress: Progress) -> dict[str, Any]:
    """Banking and travel requests of CLINC150, with their times."""
    workloads: dict[str, list[Record]] = {}
    with DATA.open("rb") as stream:
        for item in read(stream, DATA.name):
            if isinstance(item, Record):
                workloads.setdefault(item.workload_id, []).append(item)
    banking, travel = (list(seen_of(workloads[each])) for each in ("clinc_banking", "clinc_travel"))
    found: dict[str, Any] = {"shuffles": times, "halves": halves(banking, times, seed, progress)}
    middle = len(banking) // 2
    for name, before, now in (
        ("clinc_banking, then clinc_travel", banking, travel),
        ("clinc_banking, its first half, then its second by time", banking[:middle], banking[middle:]),
    ):
        reference = describe(before)
        later = describe(now, like=reference)
        for of in ("tools", "arguments"):
            found[f"{name}, {of}"] = compared(reference, later, of)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1000, help="pairs for each number, at least 10")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every count to this file too")
    given = parser.parse_args()
    pairs, seed, progress = max(given.pairs, 10), given.seed, Progress()
    began = time.process_time()
    same = false_alarms(pairs, seed, progress)
    print(f"{pairs:,} pairs for each number; of conversations {pairs // 4:,}, of shifts {pairs // 2:,}.")
    _table(
        "False alarms: pairs of the same traffic that are a drift, and 95 % limits in %",
        ("traffic", *HEADS),
        ((name, *_row(found, str)) for name, found in same.items()),
    )
    print(f"\nAll pairs of records that stand alone: {all_alone(same)} %")
    _table(
        "The same pairs: % with a p value below 5 %, and below 0.1 %, however small the distance",
        ("traffic", *HEADS),
        ((name, *_row(found, Found.p_values)) for name, found in same.items()),
    )
    sets = pairs // 4
    fired = {each.name: looks_of(each, 1000, sets, seed, progress) for each in LOOKED_AT}
    _table(
        f"Look by look: of {sets:,} data sets of 1,000 records those with a false alarm in any of the"
        f" {len(looks())} looks at {looks()[0]} to {looks()[-1]:,} new ones",
        ("traffic", "false alarms"),
        ((name, f"{each} ({limits(each, sets)})") for name, each in fired.items()),
    )
    shifts = power(pairs, seed, progress)
    far = {now.name: true_distance(before, now) for before, now in SHIFTS}
    _table(
        "Power: % of the pairs that are a drift, and 95 % limits",
        ("shift", "distance", *HEADS),
        ((name, far[name], *_row(found, Found.percent)) for name, found in shifts.items()),
    )
    traffic = _real(pairs // 10, seed, progress)
    took = time.process_time() - began
    print(f"\nSimulated in {took:.0f} s of CPU.")
    if given.json:
        found = {
            "pairs": pairs,
            "seed": seed,
            "false_alarms": _numbers(same),
            "looks": {"data_sets": sets, "sizes": looks(), "false_alarms": fired},
            "power": _numbers(shifts),
            "distances": far,
            "real": traffic,
            "cpu_s": took,
        }
        given.json.write_text(json.dumps(found, indent=2))
    return 0


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"\n{title}\n")
    for row in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(row) + " |", flush=True)


def _row(found: Mapping[str, Found], shown: Callable[[Found], str]) -> Iterator[str]:
    return (shown(found[head]) if head in found else "–" for head in HEADS)


def _real(times: int, seed: int, progress: Progress) -> dict[str, Any] | None:
    """Prints what real traffic comes to, or why it is left out; the same for programs."""
    print("\nReal traffic\n")
    if not DATA.is_file():
        print(f"left out: there is no ../shared/data/{DATA.name} beside the checkout")
        return None
    found = real(times, seed, progress)
    counts = ", ".join(f"{of} {n} ({limits(n, times)} %)" for of, n in found["halves"].items())
    print(f"- clinc_banking, {times} shuffled halves, of which a drift: {counts}")
    for name, drift in found.items():
        if isinstance(drift, Drift):
            print(f"- {name}: {drift.says}")
    return {name: each.numbers() if isinstance(each, Drift) else each for name, each in found.items()}


def _numbers(found: Mapping[str, Mapping[str, Found]]) -> dict[str, dict[str, dict[str, int]]]:
    return {name: {head: asdict(each) for head, each in cells.items()} for name, cells in found.items()}


if __name__ == "__main__":
    sys.exit(main())
