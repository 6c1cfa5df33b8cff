"""From scored samples to numbers: the record that is kept of each sample, and what a task's records add
up to.

Records are plain JSON, because they are stored, resumed from and downloaded; numbers are computed from
records only, so a resumed evaluation and an undisturbed one cannot differ.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from flywheel.evaluation.calls import calls_of
from flywheel.evaluation.metrics import Metric, Overall
from flywheel.evaluation.sample import Scored
from flywheel.evaluation.statistics import percentile, summary
from flywheel.evaluation.tool_scores import breakdown

Record = dict[str, Any]

_NULL = Raw(b"null")
_OURS = (
    "request",
    "calls",
    "failure",
    "error",
    "bad_reference",
    "details",
    "notes",
    "latency_ms",
    "first_token_ms",
)


def record_of(task: str, scored: Scored) -> Record:
    """Everything about one sample, as JSON."""
    example, sample = scored.example, scored.sample
    return {
        "task": task,
        "key": example.key,
        "index": example.index,
        "item": example.item,
        "request": example.request,
        "response": sample.response,
        "output_text": sample.text if sample.response is not None else None,
        "calls": [call.as_dict() for call in calls_of(sample.message)],
        "scores": {name: dict(verdict.scores) for name, verdict in scored.verdicts.items()},
        "details": {name: v.details for name, v in scored.verdicts.items() if v.details is not None},
        "notes": {name: v.note for name, v in scored.verdicts.items() if v.note is not None},
        "failure": scored.failure,
        "error": sample.error,
        "infrastructure": sample.infrastructure,
        "bad_reference": scored.bad_reference,
        "finish_reason": sample.finish_reason,
        "latency_ms": _milliseconds(sample.latency_s),
        "first_token_ms": _milliseconds(sample.first_token_s),
        "usage": sample.usage,
    }


def task_result(records: Sequence[Record], metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """A task as NeMo's result has it: every metric with every score, also those that no sample has.

    Where several rows say that they are of one `conversation`, intervals are wider for it.
    """
    conversations = [str(record["item"].get("conversation") or record["key"]) for record in records]
    return {
        "metrics": {
            name: {
                "scores": {
                    score: summary(
                        [record["scores"].get(name, {}).get(score) for record in records],
                        conversations=conversations,
                    )
                    for score in metric.score_names
                }
                | _overall(records, name, metric)
            }
            for name, metric in metrics.items()
        },
        "data": facts(records),
    }


def _overall(records: Sequence[Record], name: str, metric: Metric) -> dict[str, Any]:
    """The scores that are no mean of the samples'."""
    if not isinstance(metric, Overall):
        return {}
    details = [record["details"][name] for record in records if name in record["details"]]
    stats = {"count": len(details), "nan_count": len(records) - len(details)}
    return {score: {"value": value, "stats": stats} for score, value in metric.overall(details).items()}


def facts(records: Sequence[Record]) -> dict[str, Any]:
    """What was measured beside the scores: latency of answers, tokens, failures by class, by tool and by
    argument, references left out.
    """
    latencies = [r["latency_ms"] for r in records if r["latency_ms"] is not None]
    firsts = [r["first_token_ms"] for r in records if r.get("first_token_ms") is not None]
    return {
        "latency_ms": _latency(latencies) | ({"first_token": _latency(firsts)} if firsts else {}),
        "usage": {
            name: sum(record["usage"].get(name, 0) for record in records)
            for name in ("prompt_tokens", "completion_tokens")
        },
        "failures": _counts(record["failure"] for record in records),
        "bad_references": _counts(record["bad_reference"] for record in records),
        "breakdown": breakdown(
            details
            for record in records
            for details in record.get("details", {}).values()
            if "decision" in details
        ),
        "samples": {
            "total": len(records),
            "answered": sum(record["response"] is not None for record in records),
            "infrastructure_failures": sum(record["infrastructure"] for record in records),
        },
    }


class _Kept(msgspec.Struct):
    """A record as it is kept, of which only the task and the scores are read."""

    task: str
    item: Raw
    response: Raw
    output_text: Raw
    scores: dict[str, dict[str, Raw]]
    request: Raw = _NULL
    calls: Raw = _NULL
    failure: Raw = _NULL
    error: Raw = _NULL
    bad_reference: Raw = _NULL
    details: Raw = _NULL
    notes: Raw = _NULL
    latency_ms: Raw = _NULL
    first_token_ms: Raw = _NULL


_READ = msgspec.json.Decoder(_Kept)


def results_text(records: Iterable[bytes]) -> Iterator[bytes]:
    """`results.json` as NVIDIA's evaluator lets one download it, ours added: JSON in UTF-8, a sample a line,
    in pieces, so that nothing that large is held at once. The records come as JSON, by task, in the data's
    order; most of each is passed on as it stands.
    """
    task = None
    for record in records:
        kept = _kept(record)
        if kept.task == task:
            yield b",\n"
        else:
            yield (b"{" if task is None else b"\n],\n") + json.dumps(kept.task).encode() + b": [\n"
            task = kept.task
        yield msgspec.json.encode(_entry(kept))
    yield b"{}" if task is None else b"\n]}"


def _kept(record: bytes) -> _Kept:
    try:
        return _READ.decode(record)
    except ValueError:  # Half a surrogate pair, which is read less quickly.
        found: dict[str, Any] = json.loads(record)
        scores = {m: {name: _raw(v) for name, v in told.items()} for m, told in found["scores"].items()}
        names = set(_Kept.__struct_fields__) - {"task", "scores"}
        rest = {name: _raw(found[name]) for name in names if name in found}
        return _Kept(task=found["task"], scores=scores, **rest)


def _raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def _entry(kept: _Kept) -> dict[str, Any]:
    return {
        "item": kept.item,
        "sample": {
            "output_text": "" if kept.output_text == _NULL else kept.output_text,
            "response": {} if kept.response == _NULL else kept.response,
        },
        "metrics": {
            metric: {"scores": {score: {"value": value} for score, value in scores.items()}}
            for metric, scores in kept.scores.items()
        },
        **{name: getattr(kept, name) for name in _OURS},
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _latency(values: Sequence[float]) -> dict[str, Any]:
    if not values:
        return {"mean": None, "p50": None, "p95": None}
    mean = math.fsum(values) / len(values)
    return {"mean": mean, "p50": percentile(values, 0.5), "p95": percentile(values, 0.95)}


def _counts(words: Iterable[str | None]) -> dict[str, int]:
    counted = Counter(str(word) for word in words if word is not None)
    return dict(counted.most_common())
