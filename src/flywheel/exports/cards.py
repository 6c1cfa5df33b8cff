"""The card of a pushed data set or adapter: what it is, what it was made from, how it was measured.

A card is Markdown with a head of YAML, as Hugging-Face-compatible hubs read it. Names in it come from
clients and models, so they are written as text: nothing in them becomes a link, a cell or a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from flywheel.exports.tables import Document

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&:@-])")
_WHAT = {
    "eval": "Held-out records with the teacher's answers, on which students are measured. Never train on it.",
    "icl": "Held-out records with in-context examples in front, on which students are measured.",
    "train": "Conversations that end in the teacher's answer, to train students on; a part validates.",
}


def dataset_card(dataset: Document, repo: str) -> str:
    """From a data set's document, `GET /api/datasets/{name}`; `repo` is where it will be."""
    kind = dataset.get("kind")
    files = [each["path"] for each in dataset.get("files") or ()]
    head: dict[str, Any] = {"pretty_name": repo, "tags": ["flywheel", *([str(kind)] if kind else [])]}
    if configs := _configs(files):
        head["configs"] = configs
    made = [
        ("workload", _workload(dataset)),
        ("run", ", ".join(dataset.get("runs") or ())),
        ("records", dataset.get("num_records")),
        ("sha256 of the files", dataset.get("sha256")),
        ("made at", dataset.get("created_at")),
    ]
    return _card(
        head,
        repo,
        [_WHAT.get(str(kind), "A data set of records."), *_table(("", ""), made), *_curated(dataset)],
    )


def model_card(model: Document, repo: str) -> str:
    """From an adapter's document, `GET /api/models/{name}`; `repo` is where it will be."""
    lineage = model.get("lineage") or {}
    dataset, records = lineage.get("dataset") or {}, lineage.get("records") or {}
    scores: Mapping[str, Any] = model.get("scores") or {}
    head: dict[str, Any] = {
        "base_model": model.get("base_model"),
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["flywheel", "lora"],
    }
    if scores:
        head["model-index"] = [{"name": repo, "results": [_result(lineage, scores)]}]
    made = [
        ("adapter", model.get("name")),
        ("base model", model.get("base_model")),
        ("sha256 of the weights", model.get("sha256")),
        ("workload", _workload(lineage)),
        ("run", lineage.get("run_id")),
        ("data set", dataset.get("name")),
        ("sha256 of the data set", dataset.get("sha256")),
        ("rows trained on", _rows(dataset, "training/")),
        ("rows validated on", _rows(dataset, "validation/")),
        ("records that they were chosen from", records.get("count")),
        ("first of them", _moment(records.get("first"))),
        ("last of them", _moment(records.get("last"))),
    ]
    measured = [
        (name, _number(score.get("value")), _interval(score), score.get("n"))
        for name, score in scores.items()
    ]
    body = [
        "A LoRA adapter, trained on a teacher model's logged answers and measured against held-out ones.",
        "## Lineage",
        *_table(("", ""), made),
    ]
    if measured:
        body += [
            "## Scores",
            "Agreement with the teacher on records that were never trained on, with 95 % intervals.",
            *_table(("score", "value", "interval", "samples"), measured),
        ]
    return _card(head, repo, body)


def _card(head: Mapping[str, Any], title: str, body: Sequence[str]) -> str:
    yaml_head = yaml.safe_dump(dict(head), sort_keys=False, allow_unicode=True)
    return f"---\n{yaml_head}---\n\n# {_text(title)}\n\n" + "\n\n".join(body) + "\n"


def _configs(files: Sequence[str]) -> list[dict[str, Any]]:
    """Which file is which part, so that loaders of data sets find them."""
    parts = {"train": "training/", "validation": "validation/", "test": "eval_data.jsonl"}
    found = [
        {"split": split, "path": path}
        for split, begin in parts.items()
        for path in files
        if path.startswith(begin) and path.endswith(".jsonl")
    ]
    return [{"config_name": "default", "data_files": found}] if found else []


def _result(lineage: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Any]:
    workload = _workload(lineage) or "held-out records"
    return {
        "task": {"type": "text-generation"},
        "dataset": {"name": workload, "type": "teacher-log"},
        "metrics": [{"type": name, "name": name, "value": score["value"]} for name, score in scores.items()],
    }


def _curated(dataset: Mapping[str, Any]) -> Iterator[str]:
    report = dataset.get("curation") or {}
    if not report:
        return
    yield "## Curation"
    yield f"{report['records_out']} of {report['records_in']} records were used."
    dropped = [(each["meaning"], each["count"]) for each in report.get("dropped") or ()]
    if dropped:
        yield from _table(("left out because", "records"), dropped)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """One block of Markdown; rows whose second cell is not known are left out."""
    shown = [row for row in rows if row[1] not in (None, "")]
    lines = [columns, ["---"] * len(columns), *([_text(cell) for cell in row] for row in shown)]
    return ["\n".join("| " + " | ".join(line) + " |" for line in lines)]


def _workload(found: Mapping[str, Any]) -> str | None:
    return f"{found['client_id']}/{found['workload_id']}" if found.get("workload_id") else None


def _rows(dataset: Mapping[str, Any], begin: str) -> int | None:
    """How many rows the files below a folder of the data set have; None where nothing is known of them."""
    found = [count for path, count in (dataset.get("files") or {}).items() if path.startswith(begin)]
    return sum(found) if found else None


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _interval(score: Mapping[str, Any]) -> str:
    low, high = score.get("low"), score.get("high")
    return "" if low is None or high is None else f"{_number(low)} to {_number(high)}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _text(value: object) -> str:
    """As Markdown that shows the value, whatever is in it."""
    return _MARKDOWN.sub(r"\\\1", " ".join(str("" if value is None else value).split()))
