"""Which records say nearly the same as one of the evaluation, in other words: by the cosine of embeddings.

All pairs are looked at, exactly. The evaluation's vectors are held, four bytes a number; the other parts go
by in blocks and are forgotten, so that 100,000 records need no more room than 1,000.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from flywheel.curation.canonical import spoken
from flywheel.curation.report import NearDuplicate, Nearness
from flywheel.curation.similarity import Embedder
from flywheel.models import Record

LONGEST = 1_000
"""Characters of a record that are embedded, from the end: small models read 256 tokens, and what is asked now
stands there."""
BLOCK = 1_024
"""Records that are embedded and compared at once."""
_EXAMPLES = 10
_ROUNDING = 1e-6  # The same text twice may have a cosine of 0.9999999.

Vectors = NDArray[np.float32]
Keyed = tuple[bytes, Record]


@dataclass(frozen=True, slots=True)
class _Said:
    key: bytes
    name: str
    text: str


def near_by_embeddings(
    parts: Mapping[str, Sequence[Keyed]], embedder: Embedder, threshold: float
) -> tuple[Nearness, frozenset[bytes]]:
    """Compare the part `eval` with every other one; what was found, and the keys of the records that repeat.

    Near is a cosine of `threshold` or more between what users and tools said; a record in which nobody said
    anything is near to nothing. Raises what `embedder` raises.
    """
    least = threshold - _ROUNDING
    tests = [each for block in _blocks(parts["eval"]) for each in block]
    others = {name: part for name, part in parts.items() if name != "eval"}
    matrix = [_vectors(block, embedder) for block in _blocks(parts["eval"])]
    touched = np.zeros(len(tests), dtype=bool)
    keys: set[bytes] = set()
    seen: set[bytes] = set()
    examples: list[NearDuplicate] = []
    for name, part in others.items() if tests else ():
        fresh = [each for each in part if each[0] not in seen]  # The pool of examples is a part of train.
        seen.update(key for key, _ in fresh)
        for block in _blocks(fresh):
            cosines, which = _nearest(_vectors(block, embedder), matrix, least, touched)
            for number in np.flatnonzero(cosines >= least):
                found = block[number]
                if len(examples) < _EXAMPLES:
                    examples.append(
                        NearDuplicate(
                            part=name,
                            name=found.name,
                            eval_name=tests[which[number]].name,
                            similarity=round(float(cosines[number]), 3),
                        )
                    )
                keys.add(found.key)
    report = Nearness(
        model=embedder.model,
        threshold=threshold,
        near={name: sum(key in keys for key, _ in part) for name, part in others.items()},
        near_eval=int(touched.sum()),
        examples=tuple(examples),
    )
    return report, frozenset(keys)


def _nearest(
    own: Vectors, tests: Sequence[Vectors], least: float, touched: NDArray[np.bool_]
) -> tuple[Vectors, NDArray[np.intp]]:
    """For each row of `own` the highest cosine to any test, and that test's number. Tests that any row is
    near to are marked in `touched`."""
    best = np.full(len(own), -1.0, dtype=np.float32)
    which = np.zeros(len(own), dtype=np.intp)
    start = 0
    for block in tests:
        cosines = own @ block.T
        touched[start : start + len(block)] |= (cosines >= least).any(axis=0)
        highest = cosines.argmax(axis=1)
        value = cosines[np.arange(len(own)), highest]
        better = value > best
        best[better], which[better] = value[better], highest[better] + start
        start += len(block)
    return best, which


def _vectors(block: Sequence[_Said], embedder: Embedder) -> Vectors:
    """Rows of length one."""
    rows = np.array(embedder.vectors([each.text for each in block]), dtype=np.float32)
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    units: Vectors = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return units


def _blocks(part: Sequence[Keyed]) -> Iterator[list[_Said]]:
    """The records of the part in which anybody said anything, a few at a time."""
    texts = (_Said(key, record.name, spoken(record.request_json)[-LONGEST:]) for key, record in part)
    left = (each for each in texts if each.text.strip())
    while block := list(islice(left, BLOCK)):
        yield block
