"""Do the statistics keep their promises? `python benchmarks/coverage.py` simulates, and prints what is in
docs/statistics.md: coverage of each interval, type-I error of each test, power beside the planned one, speed.

Traffic is made of a latent normal per answer, cut at the system's true score: a part that is shared by the
systems (hard records), a part that is shared by a conversation, a part of a system within a conversation. So
the true scores are exact, and records, conversations and systems are correlated as in reality.

Counts are whole, so the coverage of any interval jumps up and down as the true score moves by a hair: of 50
records at 98 % no interval at all covers with 95 %, the nearest are 92.2 and 98.2. What is meant by "95 %" is
the mean around a score, so each repetition draws its true score near the cell's: by 2 points up or down, but
not more than half the way to 100 %. exact_coverage.py counts the same without simulating, for records that
stand alone, and counts what no interval could do better.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

import exact_coverage as exact
from flywheel.evaluation.comparison import compare
from flywheel.evaluation.statistics import ClusterBootstrap, holm, power, sign_flips
from flywheel.evaluation.statistics.intervals import tango_limits, z_of
from flywheel.evaluation.statistics.means import mean_limits
from flywheel.evaluation.statistics.paired import difference_limits
from flywheel.evaluation.table import Row, System
from flywheel.evaluation.verdicts import verdicts

SCORES = (0.5, 0.8, 0.9, 0.95, 0.98)
SIZES = (50, 100, 200, 500, 1000)
PAIRS = ((0.5, 0.5), (0.8, 0.77), (0.9, 0.87), (0.95, 0.93), (0.98, 0.95), (0.98, 0.98))
BAND = (93.5, 96.5)
RESAMPLES = 1000

HARD = 0.4
"""Share of the latent variance that the systems have in common on a record."""


@dataclass(frozen=True)
class Traffic:
    """`n` records, alone or in conversations of three on average (1 + a Poisson number)."""

    n: int
    clustered: bool
    others: float = 2.0
    """The mean of that Poisson number."""
    together: float = 0.2
    """Share of the latent variance that the records of a conversation have in common for all systems."""
    own: float = 0.1
    """… that the records of a conversation have in common for one system."""

    def conversations(self) -> np.ndarray:
        if not self.clustered:
            return np.arange(self.n)
        sizes = 1 + np.random.default_rng(self.n).poisson(self.others, self.n)
        return np.repeat(np.arange(self.n), sizes)[: self.n]

    def answers(self, rng: np.random.Generator, scores: Sequence[np.ndarray]) -> list[np.ndarray]:
        """For each system, right or wrong: records × repetitions. `scores` are the true ones."""
        names = self.conversations()
        shape, clusters = (self.n, len(scores[0])), names[-1] + 1

        def normal(rows: int) -> np.ndarray:
            return rng.standard_normal((rows, shape[1]), dtype=np.float32)

        common = np.sqrt(HARD) * normal(self.n)
        if self.clustered:
            common += np.sqrt(self.together) * normal(clusters)[names]
        found = []
        for score in scores:
            latent = common.copy()
            rest = 1 - HARD
            if self.clustered:
                latent += np.sqrt(self.own) * normal(clusters)[names]
                rest -= self.together + self.own
            latent += np.sqrt(rest) * normal(self.n)
            found.append((latent < ndtri(score).astype(np.float32)).astype(np.float64))
        return found

    def bootstrap(self, seed: int = 0) -> ClusterBootstrap:
        return ClusterBootstrap(self.conversations().tolist(), seed=seed, resamples=RESAMPLES)


def near(rng: np.random.Generator, score: float, repeats: int) -> np.ndarray:
    reach = exact.reach(score)
    return score + rng.uniform(-reach, reach, repeats)


def covered(low: np.ndarray, high: np.ndarray, truth: np.ndarray) -> float:
    return 100 * float(((low <= truth + 1e-12) & (truth <= high + 1e-12)).mean())


def score_coverage(traffic: Traffic, score: float, repeats: int) -> float:
    rng = np.random.default_rng([traffic.n, round(1000 * score)])
    truth = near(rng, score, repeats)
    (answers,) = traffic.answers(rng, [truth])
    low, high, _, _ = mean_limits(answers, traffic.bootstrap())
    return covered(low, high, truth)


def graded_coverage(traffic: Traffic, score: float, repeats: int) -> float:
    """Of a judge's grades in tenths from 0 to 1, around `score`."""
    rng = np.random.default_rng([traffic.n, round(1000 * score), 1])
    names = traffic.conversations()
    part = traffic.together + traffic.own if traffic.clustered else 0.0
    latent = np.sqrt(part) * rng.standard_normal((names[-1] + 1, repeats))[names]
    latent += np.sqrt(1 - part) * rng.standard_normal((traffic.n, repeats))
    at = ndtri(score) * np.sqrt(2)
    values = np.round(ndtr(latent + at), 1)
    many = np.random.default_rng(0).standard_normal(2_000_000)
    truth = float(np.round(ndtr(many + at), 1).mean())
    low, high, _, _ = mean_limits(values, traffic.bootstrap())
    return covered(low, high, np.full(repeats, truth))


def difference_coverage(traffic: Traffic, pair: tuple[float, float], repeats: int) -> float:
    rng = np.random.default_rng([traffic.n, *(round(1000 * score) for score in pair)])
    truths = [near(rng, pair[0], repeats), near(rng, pair[1], repeats)]
    first, second = traffic.answers(rng, truths)
    low, high, _, _ = difference_limits(first, second, traffic.bootstrap())
    return covered(low, high, truths[0] - truths[1])


def true_effect(traffic: Traffic, pair: tuple[float, float], repeats: int) -> float:
    """The design effect that a paired difference really has, from many repetitions."""
    rng = np.random.default_rng([traffic.n, 6])
    first, second = traffic.answers(rng, [np.full(repeats, score) for score in pair])
    gaps = first - second
    return float(gaps.mean(axis=0).var() * traffic.n / gaps.var())


def known_effect_coverage(traffic: Traffic, pair: tuple[float, float], repeats: int) -> float:
    """As `difference_coverage`, the same answers, but the design effect is told instead of estimated."""
    effect = true_effect(traffic, pair, repeats)
    rng = np.random.default_rng([traffic.n, *(round(1000 * score) for score in pair)])
    truths = [near(rng, pair[0], repeats), near(rng, pair[1], repeats)]
    first, second = traffic.answers(rng, truths)
    counts = [(first > second).sum(axis=0), (first < second).sum(axis=0), np.full(repeats, traffic.n)]
    low, high = tango_limits(*(each / effect for each in counts), np.full(repeats, z_of(0.95)))
    return covered(low, high, truths[0] - truths[1])


def least_coverage(traffic: Traffic, pair: tuple[float, float], repeats: int) -> float:
    """What any interval must cover, of as many independent records as these are worth."""
    effect = true_effect(traffic, pair, repeats) if traffic.clustered else 1.0
    return exact.least(round(traffic.n / effect), pair, HARD)


def rejected_coverage(traffic: Traffic, score: float, repeats: int) -> tuple[float, float]:
    """Of the bootstrap's own intervals, percentile and BCa."""
    rng = np.random.default_rng([traffic.n, round(1000 * score)])
    truth = near(rng, score, repeats)
    (answers,) = traffic.answers(rng, [truth])
    sums = traffic.bootstrap().sums(answers)
    sizes = np.bincount(traffic.conversations()).astype(float)
    clusters, mean = len(sizes), answers.mean(axis=0)
    weights = rng.multinomial(clusters, np.full(clusters, 1 / clusters), RESAMPLES).astype(float)
    means = np.sort((weights @ sums) / (weights @ sizes)[:, None], axis=0)
    low, high = (means[round(share * (RESAMPLES - 1))] for share in (0.025, 0.975))
    left_out = (sums.sum(axis=0) - sums) / (sizes.sum() - sizes)[:, None]
    off = left_out.mean(axis=0) - left_out
    bend = (off**3).sum(axis=0) / (6 * np.maximum((off**2).sum(axis=0), 1e-30) ** 1.5)
    below = ((means < mean).mean(axis=0) + (means == mean).mean(axis=0) / 2).clip(1e-4, 1 - 1e-4)
    shift = ndtri(below)
    limits = []
    for z in (ndtri(0.025), ndtri(0.975)):
        share = ndtr(shift + (shift + z) / (1 - bend * (shift + z)))
        rank = (share * (RESAMPLES - 1)).round().astype(int)
        limits.append(means[rank, np.arange(repeats)])
    return covered(low, high, truth), covered(limits[0], limits[1], truth)


def equality_error(traffic: Traffic, score: float, repeats: int) -> float:
    """How often two equally good systems are called different at 5 %, by the exact test."""
    rng = np.random.default_rng([traffic.n, round(1000 * score), 2])
    truth = near(rng, score, repeats)
    first, second = traffic.answers(rng, [truth, truth])
    p_values = np.array(sign_flips(traffic.bootstrap().sums(first - second)))
    return 100 * float((p_values <= 0.05).mean())


def family_error(traffic: Traffic, score: float, repeats: int, systems: int = 5) -> float:
    """How often any of ten comparisons of five equally good systems is called different at 5 % by Holm."""
    rng = np.random.default_rng([traffic.n, round(1000 * score), 3])
    answers = traffic.answers(rng, [near(rng, score, repeats)] * systems)
    bootstrap = traffic.bootstrap()
    pairs = [(a, b) for a in range(systems) for b in range(a)]
    p_values = np.array([sign_flips(bootstrap.sums(answers[a] - answers[b])) for a, b in pairs])
    return 100 * float(np.mean([min(holm(column)) <= 0.05 for column in p_values.T.tolist()]))


def margin_error(traffic: Traffic, ceiling: float, margin: float, repeats: int) -> float:
    """How often a student exactly `margin` below the ceiling passes; 2.5 % is promised."""
    rng = np.random.default_rng([traffic.n, round(1000 * ceiling), 4])
    truth = near(rng, ceiling, repeats)
    teacher, student = traffic.answers(rng, [truth, truth - margin])
    low, _, _, _ = difference_limits(student, teacher, traffic.bootstrap())
    return 100 * float((low > -margin).mean())


def powers(
    traffic: Traffic, ceiling: float, difference: float, margin: float, repeats: int
) -> tuple[float, float]:
    """Planned and simulated chance of a student `difference` from the ceiling to pass, in percent.

    Planned from the discordance and the design effect of this traffic, measured on a large sample of it.
    """
    rng = np.random.default_rng([traffic.n, round(1000 * ceiling), 5])
    truths = [np.full(repeats, ceiling), np.full(repeats, ceiling + difference)]
    teacher, student = traffic.answers(rng, truths)
    low, _, _, _ = difference_limits(student, teacher, traffic.bootstrap())
    gaps = student - teacher
    discordance = float((gaps**2).mean())
    independent = (discordance - float(gaps.mean()) ** 2) / traffic.n
    effect = max(1.0, float(gaps.mean(axis=0).var()) / independent) if traffic.clustered else 1.0
    planned = power(
        traffic.n,
        margin=margin,
        discordance=discordance,
        difference=difference,
        design_effect=effect,
        per_conversation=len(gaps) / len(set(traffic.conversations().tolist())),
    )
    return 100 * planned, 100 * float((low > -margin).mean())


def speed(*, clustered: bool) -> float:
    """Seconds of CPU for table and verdicts of 10 candidates × 1,000 records, base, ceiling and 30 slices."""
    traffic, rng = Traffic(1000, clustered), np.random.default_rng(0)
    answers = traffic.answers(rng, [np.array([score]) for score in np.linspace(0.7, 0.97, 12)])
    rows = [
        Row(
            f"r{i}",
            f"c{conversation}",
            {
                "tool": (f"tool {i % 15}",),
                "turn": (f"{i % 4}",),
                "length": (f"{i % 5}",),
                "tools": (f"{i % 6}",),
            },
        )
        for i, conversation in enumerate(traffic.conversations())
    ]
    systems = [
        System(
            f"s{k}",
            "base" if k == 0 else "ceiling" if k == 11 else "candidate",
            {row.key: float(right) for row, right in zip(rows, each[:, 0], strict=True)},
        )
        for k, each in enumerate(answers)
    ]
    began = time.process_time()
    assert len(verdicts(compare(rows, systems))) == 10
    return time.process_time() - began


def table(
    title: str,
    columns: Sequence[Any],
    measure: Callable[[Traffic, Any], float],
    name: Callable[[Any], str],
    rows: Sequence[Traffic] = (),
) -> list[float]:
    """Print one table, n down, `columns` across; return its numbers."""
    print(f"\n{title}\n")
    print("| records | " + " | ".join(map(name, columns)) + " |")
    print("|---" * (len(columns) + 1) + "|")
    found = []
    for traffic in rows or tuple(kinds()):
        numbers = [measure(traffic, column) for column in columns]
        found += numbers
        print(f"| {label(traffic)} | " + " | ".join(f"{x:.1f}" for x in numbers) + " |", flush=True)
    return found


def kinds() -> Iterator[Traffic]:
    for clustered in (False, True):
        for n in SIZES:
            yield Traffic(n, clustered)


def harder() -> tuple[Traffic, ...]:
    """Conversations of six records on average that are much alike: fewer and stronger ties than `kinds`."""
    return tuple(Traffic(n, clustered=True, others=5, together=0.3, own=0.2) for n in SIZES)


def exact_tables(repeats: int) -> None:
    print("\nCounted: coverage at the very score, and the mean around it, records alone, %\n")
    print("| records | " + " | ".join(map(percent, SCORES)) + " |\n" + "|---" * (len(SCORES) + 1) + "|")
    for n in SIZES:
        cells = (exact.score_coverage(n, score) for score in SCORES)
        print(f"| {n} | " + " | ".join(f"{at:.1f}, {mean:.1f}" for at, mean in cells) + " |")
    print("\nCounted: the same of a paired difference\n")
    print("| records | " + " | ".join(map(pair_name, PAIRS)) + " |\n" + "|---" * (len(PAIRS) + 1) + "|")
    for n in SIZES[:3]:
        cells = (exact.difference_coverage(n, pair, HARD) for pair in PAIRS)
        print(f"| {n} | " + " | ".join(f"{at:.1f}, {mean:.1f}" for at, mean in cells) + " |", flush=True)
    print("\nDifferences that are covered too often: why, %\n")
    print("| records | scores | covered | design effect known | any interval at least |")
    print("|---|---|---|---|---|")
    for traffic in kinds():
        for pair in PAIRS:
            found = difference_coverage(traffic, pair, repeats)
            if found > BAND[1]:
                if traffic.clustered:
                    known = known_effect_coverage(traffic, pair, repeats)
                else:
                    known = found = exact.difference_coverage(traffic.n, pair, HARD)[1]
                bound = least_coverage(traffic, pair, repeats)
                numbers = f"{found:.1f} | {known:.1f} | {bound:.1f}"
                print(f"| {label(traffic)} | {pair_name(pair)} | {numbers} |", flush=True)


def label(traffic: Traffic) -> str:
    conversations = len(set(traffic.conversations().tolist()))
    return f"{traffic.n}, {conversations} conversations" if traffic.clustered else f"{traffic.n}"


def summary(numbers: Sequence[float]) -> str:
    inside = sum(BAND[0] <= x <= BAND[1] for x in numbers)
    ends = f"lowest {min(numbers):.1f}, highest {max(numbers):.1f}"
    return f"\n{inside} of {len(numbers)} from {BAND[0]} to {BAND[1]}; {ends}."


def percent(score: float) -> str:
    return f"{100 * score:g} %"


def pair_name(pair: tuple[float, float]) -> str:
    return f"{100 * pair[0]:g} − {100 * pair[1]:g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=6000, help="simulations for each number")
    repeats = parser.parse_args().repeats
    began = time.process_time()
    print(f"{repeats:,} simulations for each number; {RESAMPLES:,} resamples for each cluster bootstrap.")
    print(
        summary(
            table(
                "Coverage of a score's interval, %",
                SCORES,
                lambda t, p: score_coverage(t, p, repeats),
                percent,
            )
        )
    )
    print(
        summary(
            table(
                "Coverage of a graded score's interval, %",
                (0.5, 0.8, 0.9),
                lambda t, p: graded_coverage(t, p, repeats),
                percent,
            )
        )
    )
    print(
        summary(
            table(
                "Coverage of a paired difference's interval, %",
                PAIRS,
                lambda t, p: difference_coverage(t, p, repeats),
                pair_name,
            )
        )
    )
    exact_tables(repeats)
    table(
        "Harder traffic: coverage of a score's interval, %",
        SCORES,
        lambda t, p: score_coverage(t, p, repeats),
        percent,
        harder(),
    )
    table(
        "Harder traffic: coverage of a paired difference's interval, %",
        PAIRS,
        lambda t, p: difference_coverage(t, p, repeats),
        pair_name,
        harder(),
    )
    few = max(200, repeats // 4)
    for at, name in enumerate(("percentile", "BCa")):
        numbers = table(
            f"Turned down: coverage of the bootstrap's {name} interval, %",
            SCORES,
            lambda t, p, at=at: rejected_coverage(t, p, few)[at],
            percent,
        )
        print(summary(numbers))
    table(
        "Type-I error of the exact (clustered) McNemar test at 5 %, %",
        SCORES,
        lambda t, p: equality_error(t, p, repeats),
        percent,
    )
    table(
        "Family-wise error of Holm over ten comparisons at 5 %, %",
        (0.8, 0.95),
        lambda t, p: family_error(t, p, few),
        percent,
    )
    table(
        "Students exactly 3 points below the ceiling that pass (2.5 % promised), %",
        SCORES,
        lambda t, p: margin_error(t, p, 0.03, repeats),
        percent,
    )
    table(
        "Harder traffic: students exactly 3 points below the ceiling that pass (2.5 % promised), %",
        SCORES,
        lambda t, p: margin_error(t, p, 0.03, repeats),
        percent,
        harder(),
    )
    print("\nPower: planned and simulated, %\n")
    print("| records | ceiling | student | margin | planned | simulated |\n|---|---|---|---|---|---|")
    for traffic in kinds():
        for ceiling, difference, margin in (
            (0.9, 0.0, 0.03),
            (0.9, 0.0, 0.05),
            (0.95, -0.01, 0.05),
            (0.8, 0.02, 0.05),
        ):
            planned, simulated = powers(traffic, ceiling, difference, margin, repeats)
            row = f"{traffic.n} clustered" if traffic.clustered else f"{traffic.n}"
            numbers = f"{100 * difference:+g} | {100 * margin:g} | {planned:.1f} | {simulated:.1f}"
            print(f"| {row} | {percent(ceiling)} | {numbers} |", flush=True)
    took = f"{speed(clustered=False):.2f} s alone, {speed(clustered=True):.2f} s in conversations"
    print(f"\nSpeed: 10 candidates × 1,000 records, 30 slices: {took} (CPU).")
    print(f"Simulated in {time.process_time() - began:.0f} s of CPU.")


if __name__ == "__main__":
    sys.exit(main())
