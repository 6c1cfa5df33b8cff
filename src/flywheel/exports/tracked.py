"""What a tracker (MLflow, Weights & Biases) is told of a run: the same words for each of them, one entry a
candidate.

Metrics are named `EVAL-TYPE/SCORE` with `.low`, `.high` and `.n` beside them, so that a tracker shows the
interval where it shows the value. Every time comes from the run's document, never from a clock: telling the
same run again says the same, and a tracker that knows it keeps one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flywheel.exports.tables import Document, verdict_of

Losses = Sequence[Document]
"""`[{model_name, train: [{step, value}], val: [{step, value}]}]`, as `GET /api/jobs/{id}/losses` gives
them."""

_PARAMETERS = {
    "training_config": "training",
    "lora_config": "lora",
    "data_split_config": "split",
    "icl_config": "icl",
    "evaluation_config": "evaluation",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric. `at_ms` is milliseconds since the epoch."""

    name: str
    value: float
    step: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Tracked:
    """One candidate of a run."""

    run_id: str
    candidate: str
    title: str
    group: str
    """The workload: one experiment, one project."""
    failed: bool
    began_ms: int
    ended_ms: int
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    points: Sequence[Point]


def tracked(job: Document, losses: Losses) -> list[Tracked]:
    """From a run's document, `GET /api/jobs/{id}`, and its losses."""
    return [_candidate(job, nim, losses) for nim in job["nims"]]


def _candidate(job: Document, nim: Document, losses: Losses) -> Tracked:
    name, began = nim["model_name"], _ms(nim.get("started_at") or job["started_at"])
    ended = _ms(nim.get("finished_at") or job.get("finished_at")) or began
    return Tracked(
        run_id=job["id"],
        candidate=name,
        title=f"{name} {job['id'][-8:]}",
        group=f"{job['client_id']}/{job['workload_id']}",
        failed=nim["status"] != "completed",
        began_ms=began,
        ended_ms=ended,
        parameters=dict(_parameters(job, nim)),
        tags=dict(_tags(job, nim)),
        points=[*_scores(nim, ended), *_losses(name, nim, losses, ended)],
    )


def _parameters(job: Document, nim: Document) -> Iterator[tuple[str, str]]:
    yield "base_model", nim["model_name"]
    if nim.get("adapter"):
        yield "adapter", nim["adapter"]
    for dataset in job.get("datasets") or ():
        yield f"dataset.{dataset['kind']}.name", dataset["name"]
        yield f"dataset.{dataset['kind']}.records", str(dataset["num_records"])
        yield f"dataset.{dataset['kind']}.sha256", dataset["sha256"]
    for block, prefix in _PARAMETERS.items():
        yield from _flat(prefix, (job.get("config") or {}).get(block) or {})
    if judge := job.get("llm_judge"):
        yield "judge", judge["model_name"]


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}", inner)
    elif value is not None:
        yield prefix, str(value)


def _tags(job: Document, nim: Document) -> Iterator[tuple[str, str]]:
    decision, name = job.get("decision") or {}, nim["model_name"]
    yield "flywheel.run_id", job["id"]
    yield "flywheel.candidate", name
    yield "flywheel.client_id", job["client_id"]
    yield "flywheel.workload_id", job["workload_id"]
    yield "flywheel.status", nim["status"]
    chosen = decision.get("model_name") == name
    yield "flywheel.chosen", str(chosen).lower()
    found = {
        each["eval_type"]: text
        for each in nim.get("evaluations") or ()
        if (text := verdict_of(decision, f"{name} {each['eval_type']}"))
    }
    for eval_type, text in found.items():
        yield f"flywheel.verdict.{eval_type}", text
    verdict = decision.get("verdict") if chosen else next(reversed(found.values()), None)
    if verdict:
        yield "flywheel.verdict", verdict
    if nim.get("error"):
        yield "flywheel.error", nim["error"]


def _scores(nim: Document, ended: int) -> Iterator[Point]:
    for each in nim.get("evaluations") or ():
        at, kind = _ms(each.get("finished_at")) or ended, each["eval_type"]
        for metric, detail in (each.get("score_details") or {}).items():
            interval = detail.get("confidence_interval") or {}
            found = {
                "": detail["value"],
                ".low": interval.get("low"),
                ".high": interval.get("high"),
                ".n": detail.get("n"),
            }
            for ending, value in found.items():
                if value is not None:
                    yield Point(f"{kind}/{metric}{ending}", float(value), 0, at)
        for name, value in (each.get("latency_ms") or {}).items():
            if isinstance(value, int | float):
                yield Point(f"{kind}/latency_ms.{name}", float(value), 0, at)
        for name, count in (each.get("failures") or {}).items():
            yield Point(f"{kind}/failures.{name}", float(count), 0, at)


def _losses(name: str, nim: Document, losses: Losses, ended: int) -> Iterator[Point]:
    work: Document = next(iter(nim.get("customizations") or ()), {})
    at = _ms(work.get("started_at")) or ended
    for each in losses:
        if each.get("model_name") == name:
            for key in ("train", "val"):
                for point in each.get(key) or ():
                    yield Point(f"{key}_loss", float(point["value"]), int(point["step"]), at)


def _ms(moment: str | None) -> int:
    """Of a naive moment in UTC, as the run's document has it; 0 for none."""
    return round(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() * 1000) if moment else 0
