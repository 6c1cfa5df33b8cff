"""How often the language of a short request is named, how often rightly, and how fast.

    python benchmarks/languages.py [--texts 100000]

The requests are the ones in tests/evaluation/utterances.json, ten of each language, written for this purpose:
"Where is my order?", "thanks". They are told as one data set, and as one that is mostly English.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from flywheel.evaluation.languages import UNKNOWN, languages_of

UTTERANCES = Path(__file__).parents[1] / "tests" / "evaluation" / "utterances.json"


def told(name: str, truth: list[str], texts: list[str]) -> None:
    found = languages_of(texts)
    sure = [(right, label) for right, label in zip(truth, found, strict=True) if label != UNKNOWN]
    right = sum(a == b for a, b in sure)
    print(f"{name}: {len(sure)} of {len(texts)} named, {right} of these rightly")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--texts", type=int, default=100_000)
    count = options.parse_args().texts
    utterances: dict[str, list[str]] = json.loads(UTTERANCES.read_text())
    began = time.process_time()
    languages_of(["hello"])
    print(f"model read in {time.process_time() - began:.1f} s of one core")
    pairs = [(language, text) for language, texts in utterances.items() for text in texts]
    told(f"{len(utterances)} languages, as many texts of each", *map(list, zip(*pairs, strict=True)))
    mostly = [pair for pair in pairs if pair[0] in {"de", "es"}] + 18 * [p for p in pairs if p[0] == "en"]
    told("nine tenths English, the rest German and Spanish", *map(list, zip(*mostly, strict=True)))
    for name, length in (("short", 1), ("of three sentences", 3)):
        texts = [
            " ".join([f"{pairs[(k + j) % len(pairs)][1]} {k}" for j in range(length)]) for k in range(count)
        ]
        began = time.process_time()
        languages_of(texts)
        took = time.process_time() - began
        print(
            f"{count:,} different texts, {name}: {took:.1f} s of one core ({1e6 * took / count:.0f} µs each)"
        )


if __name__ == "__main__":
    main()
