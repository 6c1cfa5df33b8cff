"""One record of the holdout in full: the request, the teacher's answer, and each system's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flywheel.evaluation.diffing import differences_of
from flywheel.evaluation.metrics.rules import read_rules
from flywheel.evaluation.values import Rules
from flywheel.orchestrator.samples import Entry, choice_of, mapping, message_of
from flywheel.orchestrator.sidebyside import Filter, Result, SideBySide
from flywheel.stores.runs.document import Run

_RULES = "evaluation_config.call_rules"


def sample(table: SideBySide, key: str, wanted: Filter, run: Run) -> dict[str, Any]:
    """One record in full: the request, the teacher's answer, every system's answer and how it differs.

    Raises UnknownSample and UnknownSystem.
    """
    found = table.around(key, wanted)
    item: Mapping[str, Any] = {}
    systems: dict[str, Any] = {}
    rules = read_rules(run.config.evaluation_config.call_rules.model_dump(mode="json"), _RULES)
    for column in table.columns:
        entry = column.entry(key)
        if entry is None:
            continue
        item = item or mapping(entry.get("item"))  # The first one's: a base model's has no examples.
        systems[column.name] = _answered(entry, item, column.results[key], rules)
    about = {name: item.get(name) for name in ("conversation", "timestamp") if item.get(name) is not None}
    return {
        **found,
        "request": item.get("request"),
        "reference": message_of(mapping(item.get("response"))),
        "bad_reference": table.items[found["index"]].bad_reference,
        "metadata": {**about, **mapping(item.get("metadata"))},
        "systems": systems,
    }


def _answered(entry: Entry, item: Mapping[str, Any], result: Result, rules: Rules) -> dict[str, Any]:
    """What one system said, and how that differs from the reference."""
    response = mapping(mapping(entry.get("sample")).get("response"))
    answer = message_of(response)
    reference, acceptable = message_of(mapping(item.get("response"))), mapping(item.get("metadata"))
    found = (
        differences_of(mapping(item.get("request")), reference, answer, rules, acceptable.get("acceptable"))
        if answer
        else []
    )
    return {
        "response": answer or None,
        "finish_reason": choice_of(response).get("finish_reason"),
        "scores": _scores(entry),
        "score": result.score,
        "right": result.right,
        "failure": result.failure,
        "detail": entry.get("error") or "; ".join(map(str, mapping(entry.get("notes")).values())) or None,
        "latency_ms": entry.get("latency_ms"),
        "usage": response.get("usage"),
        "differences": found,
    }


def _scores(entry: Entry) -> dict[str, Any]:
    """Every score by its name; by metric and name where two metrics have one of a name."""
    found: dict[str, Any] = {}
    for metric, told in mapping(entry.get("metrics")).items():
        for name, score in mapping(mapping(told).get("scores")).items():
            value = score.get("value") if isinstance(score, Mapping) else score
            found[f"{metric}.{name}" if name in found else name] = value
    return found
