"""A run's document with everything in it: a run of the fake world, with the table of 180 invented records."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from flywheel.evaluation.comparison import compare
from flywheel.evaluation.table import Row, System
from flywheel.evaluation.verdicts import verdicts
from flywheel.nemo.fake import URLS
from flywheel.orchestrator.wire import detail
from run_world import make_records, make_world

TOOLS = {
    "order_status": 60,
    "cancel_order": 45,
    "find_product": 38,
    "change_address": 22,
    "(no call)": 12,
    "escalate": 3,
}
CHANCES = {"base-eval": 0.35, "icl-eval": 0.6, "customized-eval": 0.93}
WRONG = (
    "wrong_value",
    "missing_argument",
    "wrong_function",
    "no_call_expected_call",
    "invalid_json",
    "extra_call",
    "call_expected_none",
    "wrong_type",
    "unknown_argument",
    "timeout",
)


def run_document(
    folder: Path, *, table: bool = True, models: tuple[str, ...] = ("test/student",)
) -> dict[str, Any]:
    """What `/api/jobs/{id}` answers of a completed run; `models` appear in the table."""
    world = make_world(folder, make_records(folder))
    try:
        run = world.finish(world.start())
        document = detail(run, URLS, world.clock())
    finally:
        world.close()
    if table:
        document["decision"] |= compared(models)
    return document


def compared(models: tuple[str, ...]) -> dict[str, Any]:
    """Table, verdicts and cost of invented answers, always the same."""
    draw = random.Random(7)
    rows = [
        Row(
            f"record {number}",
            f"conversation {number // 2}",
            {"tool": (tool,), "turn": (str(number % 2 + 1),)},
        )
        for number, tool in enumerate(tool for tool, count in TOOLS.items() for _ in range(count))
    ]
    rows.append(Row("record bad", "conversation bad", {}, "arguments that are no JSON"))
    systems = [_system(draw, rows, "teacher", "ceiling", 0.97)]
    for model in models:
        for kind, chance in CHANCES.items():
            role = "base" if kind == "base-eval" else "candidate"
            systems.append(_system(draw, rows, f"{model} {kind}", role, chance, f"{model} base-eval"))
    table = compare(rows, systems, margin=0.03, seed=1)
    found = verdicts(table)
    chosen = next(each for each in found if each.candidate == f"{models[0]} customized-eval")
    amounts = {system.name: 0.05 + 0.07 * number for number, system in enumerate(table.systems[1:])}
    return {
        "model_name": models[0],
        "reason": f"customized-eval of {models[0]} has the highest function_name_and_args_accuracy",
        "table": table.as_dict(),
        "verdicts": [each.as_dict() for each in found],
        "verdict": str(chosen),
        "cost": {"per_requests": 1000, "teacher": 2.375, "systems": amounts},
    }


def _system(
    draw: random.Random, rows: list[Row], name: str, role: Any, chance: float, base: str = ""
) -> System:
    scores = {row.key: float(draw.random() < chance) for row in rows}
    failures = {key: WRONG[min(int(draw.expovariate(0.5)), 9)] for key, score in scores.items() if not score}
    return System(name, role, scores, failures, base if role == "candidate" else None)
