"""Does the evaluation test what was learned? Exact and near repetitions between the parts, counted.

Near means: what users and tools said (the system's words are the same everywhere) has a high Jaccard
index over its words and pairs of neighbouring words. The evaluation is small, so all pairs are looked at
exactly, not by sketches: two sets with an index of at least t share one of the rarest |a| - ⌈t·|a|⌉ + 1
elements of a (prefix filtering; Bayardo et al. 2007, "Scaling up all pairs similarity search"), and only
pairs that do are compared.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

from flywheel.curation.canonical import spoken
from flywheel.curation.report import Leakage, NearDuplicate
from flywheel.models import Record

THRESHOLD = 0.8
"""Jaccard index from which two texts are nearly the same."""
_LONGEST = 4_000  # Characters that are compared, from the end: what is asked now stands there.
_EXAMPLES = 10
_WORD = re.compile(r"\w+")

Keyed = tuple[bytes, Record]


def audit(parts: Mapping[str, Sequence[Keyed]]) -> tuple[Leakage, frozenset[bytes]]:
    """Compare the part `eval` with every other one; the bytes tell requests apart.

    What was found, and the keys of the records that nearly repeat one of eval.
    """
    tests = parts["eval"]
    keys = {key for key, _ in tests}
    index = _Index([shingles(record) for _, record in tests])
    exact: dict[str, int] = {}
    near: dict[str, int] = {}
    touched: set[int] = set()
    repeating: set[bytes] = set()
    examples: list[NearDuplicate] = []
    for name, part in parts.items():
        if name == "eval":
            continue
        exact[name] = sum(key in keys for key, _ in part)
        near[name] = 0
        for key, record in part:
            elements = shingles(record)
            found = False
            for number in index.candidates(elements):
                if found and number in touched:
                    continue  # Nothing new to learn; in a log of templates this saves nearly all comparisons.
                similarity = index.similarity(number, elements)
                if similarity < THRESHOLD:
                    continue
                touched.add(number)
                if not found and len(examples) < _EXAMPLES:
                    examples.append(
                        NearDuplicate(
                            part=name,
                            name=record.name,
                            eval_name=tests[number][1].name,
                            similarity=round(similarity, 3),
                        )
                    )
                found = True
            near[name] += found
            if found:
                repeating.add(key)
    report = Leakage(
        exact=exact,
        near=near,
        near_eval=len(touched),
        threshold=THRESHOLD,
        examples=tuple(examples),
    )
    return report, frozenset(repeating)


def shingles(record: Record) -> frozenset[str]:
    """The words and pairs of neighbouring words of what users and tools said."""
    words = _WORD.findall(spoken(record.request_json)[-_LONGEST:].casefold())
    return frozenset(words).union(map(" ".join, pairwise(words)))


class _Index:
    """Sets to compare with, by their rarest elements."""

    def __init__(self, sets: Sequence[frozenset[str]]) -> None:
        self._sets = sets
        common = Counter(element for each in sets for element in each)
        self._where: defaultdict[str, list[int]] = defaultdict(list)
        for number, each in enumerate(sets):
            needed = len(each) - math.ceil(THRESHOLD * len(each)) + 1
            for element in sorted(each, key=lambda element: (common[element], element))[:needed]:
                self._where[element].append(number)
        self._elements = frozenset(self._where)

    def candidates(self, elements: frozenset[str]) -> set[int]:
        """The numbers of the sets that may reach the threshold; no others do."""
        return {number for element in elements & self._elements for number in self._where[element]}

    def similarity(self, number: int, elements: frozenset[str]) -> float:
        """The Jaccard index of `elements` and the set with this number."""
        other = self._sets[number]
        shared = len(elements & other)
        return shared / (len(elements) + len(other) - shared)
