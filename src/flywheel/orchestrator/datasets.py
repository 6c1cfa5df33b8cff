"""A run's data sets: curated from its workload's records, uploaded, and registered in the entity store.

Names depend on the run alone, so doing it again replaces the same files. The holdout depends on the workload
alone, so two runs of the same records have the same `eval_data.jsonl`, byte for byte.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import orjson

from flywheel.config import IclConfig, NimConfig
from flywheel.curation import curate, eval_rows, icl_rows, training_rows
from flywheel.models import Record
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.embedding import auditor_of, embedder_of
from flywheel.stores.runs.document import EVAL_FILE, Candidate, Dataset, Run, WorkloadType, slug

TRAIN_FILE, VAL_FILE = "training/train_data.jsonl", "validation/val_data.jsonl"
Kind = Literal["eval", "icl", "train"]


def build(run: Run, context: Context) -> Run:
    """Curate and upload; the run with its data sets, the report of what was left out, and its type.

    Raises NotEnoughRecords or NotEnoughConversations, and what the services and the embedding model raise.
    """
    split = run.config.data_split_config
    records = context.logs.query(run.workload)
    auditor = auditor_of(run.config.icl_config, context)
    curation = curate(
        records, workload=run.workload, split=split, conflicts=split.conflicts, embedder=auditor
    )
    kind = _workload_type(run, (*curation.eval, *curation.train))
    objects, seed = split.parse_function_arguments, split.random_seed
    count = context.counter

    icl_files: dict[str, bytes] = {}
    enough: dict[str, int] = {}
    selection: dict[str, str] = {}
    embedder = embedder_of(run.config.icl_config, context)
    moved: list[Candidate] = []
    for candidate in run.candidates:
        path = _icl_path(candidate, len(run.candidates))
        icl = _icl_for(candidate.nim, run.config.icl_config)
        if icl.max_examples and curation.icl:
            rows = list(
                icl_rows(
                    curation.eval,
                    curation.icl,
                    icl=icl,
                    count_tokens=count(candidate.nim),
                    seed=seed,
                    parse_function_arguments=objects,
                    embedder=embedder,
                )
            )
            icl_files[path] = _jsonl(rows)
            enough[candidate.model_name] = sum(row["icl"]["enough"] for row in rows)
            selection = {"icl_selection": rows[0]["icl"]["selection"]} if rows else {}
            moved.append(candidate.but(icl_file=path))
        else:
            moved.append(candidate.but(icl_file=None))

    context.services.entities.ensure_namespace(context.namespace)
    context.services.datastore.ensure_namespace(context.namespace)
    datasets = [
        _upload(
            run,
            "eval",
            {EVAL_FILE: _jsonl(eval_rows(curation.eval, parse_function_arguments=objects))},
            context,
        )
    ]
    if icl_files:
        datasets.append(_upload(run, "icl", icl_files, context))
    if any(candidate.customization for candidate in run.candidates):
        files = {
            TRAIN_FILE: _jsonl(training_rows(curation.train, parse_function_arguments=objects)),
            VAL_FILE: _jsonl(training_rows(curation.val, parse_function_arguments=objects)),
        }
        files = {path: content for path, content in files.items() if content}
        datasets.append(_upload(run, "train", files, context))
    return run.but(
        workload_type=kind,
        num_records=curation.report.records_out,
        curation=curation.report.model_dump(mode="json")
        | {"icl_rows_with_enough_examples": enough}
        | selection,
        traffic=curation.traffic.model_dump(mode="json"),
        datasets=tuple(datasets),
        candidates=tuple(moved),
    )


def dataset_name(run: Run, kind: Kind) -> str:
    """`flywheel-eval-WORKLOAD-EPOCH`: the run's time in microseconds, as two runs may begin in one second."""
    workload = slug(run.workload_id)
    workload = re.sub(r"(?:--+|\.\.+)", "-", workload)[:48]
    if workload != run.workload_id:  # Two odd names must not become one.
        workload += "-" + hashlib.sha256(run.workload_id.encode()).hexdigest()[:6]
    return f"flywheel-{kind}-{workload}-{int(run.created_at.timestamp() * 1_000_000)}"


def _upload(run: Run, kind: Kind, files: Mapping[str, bytes], context: Context) -> Dataset:
    name, namespace = dataset_name(run, kind), context.namespace
    rows = {path: content.count(b"\n") for path, content in files.items()}
    digest = hashlib.sha256()
    for path, content in sorted(files.items()):
        digest.update(f"{path} {len(content)}\n".encode() + content)
    count = max(rows.values(), default=0) if kind == "icl" else sum(rows.values())
    context.services.hub.upload(
        f"{namespace}/{name}",
        files,
        repo_type="dataset",
        message=f"Run {run.id}: {kind} data of {run.workload}",
    )
    uri = f"hf://datasets/{namespace}/{name}"
    context.services.entities.put_dataset(
        {
            "name": name,
            "namespace": namespace,
            "files_url": uri,
            "project": "flywheel",
            "description": f"{kind} data of {run.workload}, run {run.id}",
            "custom_fields": {
                "flywheel_run": run.id,
                "client_id": run.client_id,
                "workload_id": run.workload_id,
                "kind": kind,
                "num_records": count,
                "sha256": digest.hexdigest(),
                "rows": rows,
            },
        }
    )
    return Dataset(kind=kind, name=name, num_records=count, uri=uri, files=rows, sha256=digest.hexdigest())


def _jsonl(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _icl_path(candidate: Candidate, candidates: int) -> str:
    """One candidate has the file; several have one each, as their prompts differ in length."""
    return "icl_data.jsonl" if candidates == 1 else f"{candidate.deployment_name}/icl_data.jsonl"


def _icl_for(nim: NimConfig, icl: IclConfig) -> IclConfig:
    longest = min(icl.max_context_length, nim.context_length)
    return icl.model_copy(update={"max_context_length": longest})


def _workload_type(run: Run, records: Iterable[Record]) -> WorkloadType:
    """What the configuration says, or whether any record offers tools or calls one."""
    wanted = run.config.evaluation_config.workload_type
    if wanted != "auto":
        return wanted
    return "tool_calling" if any(_has_tools(record) for record in records) else "generic"


def _has_tools(record: Record) -> bool:
    if b'"tools"' not in record.request_json and b'tool_calls"' not in record.response_json:
        return False
    choices = record.response.get("choices") or [{}]
    return bool(record.request.get("tools") or (choices[0].get("message") or {}).get("tool_calls"))
