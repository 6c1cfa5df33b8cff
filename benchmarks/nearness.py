"""How long, and in how much memory, 100,000 records are compared with an evaluation by their embeddings.

    python benchmarks/nearness.py [--records 100000] [--tests 1000] [--numbers 384]

The vectors are drawn, so that what is measured is the comparison and not a model: exact cosines of all pairs,
in blocks. Peak memory is told beside that of the records themselves.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Sequence

import numpy as np

from flywheel.curation.nearness import near_by_embeddings
from flywheel.curation.similarity import Embedder
from flywheel.models import Record, Workload


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--records", type=int, default=100_000)
    options.add_argument("--tests", type=int, default=1_000)
    options.add_argument("--numbers", type=int, default=384)
    given = options.parse_args()
    generator = np.random.default_rng(1)
    drawing = 0.0

    def vectors(texts: Sequence[str]) -> list[list[float]]:
        nonlocal drawing
        began = time.perf_counter()
        found: list[list[float]] = generator.standard_normal((len(texts), given.numbers)).tolist()
        drawing += time.perf_counter() - began
        return found

    def part(name: str, count: int) -> list[tuple[bytes, Record]]:
        workload = Workload("bench", name)
        response = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Oh."}}]}
        texts = (f"{name}: where is my order {number}?" for number in range(count))
        return [
            (f"{name}{n}".encode(), Record.of(workload, float(n), {"messages": [_user(text)]}, response))
            for n, text in enumerate(texts)
        ]

    parts = {"eval": part("eval", given.tests), "train": part("train", given.records)}
    before = _peak()
    began = time.perf_counter()
    near_by_embeddings(parts, Embedder("drawn", vectors), 0.95)
    seconds = time.perf_counter() - began
    sizes = f"{given.records:,} records x {given.tests:,} tests, {given.numbers} numbers"
    took = f"{seconds - drawing:.1f} s, and {drawing:.1f} s to draw the vectors"
    print(f"{sizes}: {took}; {_peak() - before:.0f} MB beside the records")


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
