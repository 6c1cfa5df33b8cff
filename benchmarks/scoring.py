"""How fast tool calls are scored: 100,000 answers against their references, on one core.

    python benchmarks/scoring.py [--pairs 100000] [--cases FILE]

The pairs are those of the scoring cases (`../shared/data/bfcl.cases.jsonl.gz`, 14,715 answers to requests
with nested arguments and several calls), repeated; without that file they are made up. Required: 100,000 in
under 10 seconds of one core, reading and rendering not counted.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from flywheel.evaluation.calls import ToolCall, reference_calls
from flywheel.evaluation.matching import ExpectedCall, match, parameters_of
from flywheel.evaluation.metrics.tool_calling import nemo_scores
from flywheel.evaluation.references import acceptable_answers
from flywheel.evaluation.tool_scores import score_answer
from flywheel.evaluation.values import Rules

CASES = Path(__file__).parents[2] / "shared" / "data" / "bfcl.cases.jsonl.gz"
Pair = tuple[tuple[ExpectedCall, ...], tuple[ToolCall, ...], dict[str, Any], dict[str, Any]]


def from_cases(path: Path) -> Iterator[Pair]:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            case = json.loads(line)
            parameters = parameters_of(case["request"]["tools"])
            expected = acceptable_answers(case["acceptable"])[0]
            for candidate in case["candidates"]:
                yield _pair(expected, candidate["tool_calls"], dict(parameters))


def made_up() -> Iterator[Pair]:
    schema = {"properties": {"city": {"type": "string"}, "nights": {"type": "integer", "default": 1}}}
    for nights in range(50):
        expected = (ExpectedCall.of(ToolCall("book", {"city": "Paris", "nights": 3}, True, None)),)
        calls = [{"name": "book", "arguments": {"city": "Paris", "nights": nights}}] * (1 + nights % 3)
        yield _pair(expected, calls, {"book": schema})


def _pair(expected: tuple[ExpectedCall, ...], calls: list[Any], parameters: dict[str, Any]) -> Pair:
    wire = [
        {"type": "function", "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])}}
        for c in calls
    ]
    return expected, reference_calls(calls), parameters, {"role": "assistant", "tool_calls": wire}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=100_000)
    options.add_argument("--cases", type=Path, default=CASES)
    asked = options.parse_args()
    known = list(from_cases(asked.cases) if asked.cases.exists() else made_up())
    pairs = list(islice(cycle(known), asked.pairs))
    rules = Rules()

    def matched() -> None:
        for expected, predicted, parameters, _ in pairs:
            match(expected, predicted, parameters, rules)

    def scored() -> None:
        for expected, _, parameters, message in pairs:
            score_answer((expected,), message, "stop", parameters, rules)

    def nemo() -> None:
        for _, predicted, _, _ in pairs:
            nemo_scores(predicted, predicted)

    calls = sum(max(len(expected), len(predicted)) for expected, predicted, _, _ in pairs)
    print(f"{len(pairs):,} answers ({calls:,} pairs of calls), {len(known):,} different")
    print(f"{'':42}{'CPU s':>8}{'per s':>12}")
    for name, run in (
        ("calls matched under the schema", matched),
        ("answers scored: parsed, matched, classified", scored),
        ("NVIDIA's rule alone", nemo),
    ):
        before = time.process_time()
        run()
        seconds = time.process_time() - before
        print(f"{name:42}{seconds:8.2f}{len(pairs) / seconds:12,.0f}")


if __name__ == "__main__":
    main()
