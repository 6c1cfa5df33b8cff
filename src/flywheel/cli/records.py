"""`flywheel records`: import, list, count, check, export, delete and prune the teacher's records.

These commands open the store that the configuration names: the file in --data, or Elasticsearch. A server may
work on the same store meanwhile; with --url, import and export ask a server instead. Exit code of an import:
0 when anything could be used, even if some lines could not; 1 when nothing could, or when a source could not
be read.
"""

from __future__ import annotations

import gzip
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, cast

import msgspec
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from flywheel.cli.client import AsJson, DataDir, connect
from flywheel.cli.console import err, out, print_json, short, table
from flywheel.cli.importing import EXAMPLES, Imported, Takes, import_files, total_bytes
from flywheel.cli.sending import RemoteStore, fetched
from flywheel.cli.serve import ConfigFile, settings_at
from flywheel.config import DataSplitConfig, EmbeddedRecords, Settings
from flywheel.curation import CurationReport, curate
from flywheel.curation.canonical import last_words
from flywheel.curation.envelope import NotARecord, Tags, log_line, timestamp
from flywheel.errors import UserError
from flywheel.models import Record, Workload
from flywheel.opening import open_records
from flywheel.orchestrator.embedding import embedder_at
from flywheel.stores.logs import DAY, LogStore
from flywheel.stores.logs.embedded import FILE_NAME
from flywheel.stores.logs.search import filters_of, search

app = typer.Typer(
    no_args_is_help=True, help="The teacher's records: import, list, stats, check, export, delete, prune."
)

HERE = Path(".flywheel")


def _moment(text: str) -> float:
    try:
        return timestamp(text)
    except NotARecord as error:
        raise typer.BadParameter(f"{error.detail}; write 2026-01-31, 2026-01-31T12:00 or seconds") from error


WorkloadId = Annotated[str | None, typer.Option("--workload", "-w", help="Only this workload.")]
ClientId = Annotated[str | None, typer.Option("--client", "-c", help="Only this client.")]
Since = Annotated[
    float | None, typer.Option(parser=_moment, metavar="TIME", help="Only from this time on (ISO 8601, UTC).")
]
Until = Annotated[
    float | None, typer.Option(parser=_moment, metavar="TIME", help="Only before this time (ISO 8601, UTC).")
]

ServerUrl = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Address of a server: its records, over its API.",
        show_default="the store of the configuration",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("import")
def import_records(
    sources: Annotated[list[Path], typer.Argument(help="Files, folders, or - for standard input.")],
    data: DataDir = HERE,
    config: ConfigFile = None,
    workload_id: Annotated[
        str | None, typer.Option("--workload", "-w", help="Workload of the records that do not name theirs.")
    ] = None,
    client_id: Annotated[
        str | None, typer.Option("--client", "-c", help="Client of the records that do not name theirs.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Write the lines that are no records to this file, to be mended.")
    ] = None,
    url: ServerUrl = None,
    as_json: AsJson = False,
) -> None:
    """Import log files: .jsonl, .json, packed with gzip or not. What is there already is not added again."""
    tags = Tags(workload_id=workload_id, client_id=client_id)
    bar = Progress(
        TextColumn("importing"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    with ExitStack() as stack:
        store: Takes = (
            RemoteStore(stack.enter_context(connect(url, data)))
            if url
            else open_records(settings_at(config), data)
        )
        stack.enter_context(bar)
        task = bar.add_task("importing", total=total_bytes(sources))
        imported = import_files(
            sources, store, tags=tags, rejects=rejects, progress=lambda size: bar.advance(task, size)
        )
    if as_json:
        print_json(_as_json(imported))
    else:
        _show(imported, rejects)
    if imported.failed:
        raise typer.Exit(1)


@app.command("list")
def list_records(
    workload_id: WorkloadId = None,
    client_id: ClientId = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    data: DataDir = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List records, newest first."""
    found = list(
        search(
            _store(data, config),
            workload_id=workload_id,
            client_id=client_id,
            since=since,
            until=until,
            newest_first=True,
            limit=limit,
        )
    )
    if as_json:
        print_json([msgspec.json.decode(log_line(record)) for record in found])
        return
    rows = [
        (_time(r.timestamp), r.client_id, r.workload_id, r.name, *(short(text) for text in last_words(r)))
        for r in found
    ]
    out.print(table(["time (UTC)", "client", "workload", "name", "asked", "answered"], rows, right=9))


@app.command()
def stats(
    by_day: Annotated[
        bool, typer.Option("--by-day", help="Count the records of each day (UTC) instead.")
    ] = False,
    data: DataDir = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Count the records of each workload, or of each day."""
    store = _store(data, config)
    if by_day:
        days = [(_time(each.start)[:10], each.count) for each in store.histogram()]
        if as_json:
            print_json([{"day": day, "records": count} for day, count in days])
        else:
            out.print(table(["day (UTC)", "records"], days, right=1))
        return
    found = store.workloads()
    if as_json:
        print_json(
            [
                {
                    "client_id": each.workload.client_id,
                    "workload_id": each.workload.workload_id,
                    "records": each.count,
                    "first": _iso(each.first),
                    "last": _iso(each.last),
                }
                for each in found
            ]
        )
        return
    rows = [
        (each.workload.client_id, each.workload.workload_id, each.count, _time(each.first), _time(each.last))
        for each in found
    ]
    out.print(table(["client", "workload", "records", "first (UTC)", "last (UTC)"], rows, right=2))


@app.command()
def check(
    workload_id: Annotated[str, typer.Option("--workload", "-w", help="The workload.")],
    client_id: Annotated[str, typer.Option("--client", "-c", help="Whose workload it is.")],
    eval_size: Annotated[int, typer.Option(min=1, help="Records of the evaluation.")] = 100,
    data: DataDir = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Curate a workload without a run: what would be learned, what would be left out, and why."""
    workload = Workload(client_id, workload_id)
    settings = settings_at(config)
    changes = {"eval_size": eval_size, "limit": None}
    split = DataSplitConfig.model_validate(settings.data_split_config.model_dump() | changes)
    records = _opened(settings, data).query(workload)
    model = settings.icl_config.embedding
    embedder = embedder_at(model, model.url, os.environ, remember=False) if model and model.url else None
    report = curate(
        records, workload=workload, split=split, conflicts=split.conflicts, embedder=embedder
    ).report
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        _show_report(report)


@app.command()
def export(
    workload_id: WorkloadId = None,
    client_id: ClientId = None,
    since: Since = None,
    until: Until = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; packed if it ends in .gz. Left out: stdout.")
    ] = None,
    data: DataDir = HERE,
    config: ConfigFile = None,
    url: ServerUrl = None,
) -> None:
    """Write records as JSON lines, oldest first, in the form that import reads."""
    filters: dict[str, Any] = {
        "workload_id": workload_id,
        "client_id": client_id,
        "since": since,
        "until": until,
    }

    def fill(sink: BinaryIO) -> int:
        if url:
            with connect(url, data) as client:
                return fetched(client, sink, **filters)
        return _write(search(_store(data, config), newest_first=False, **filters), sink)

    if output is None:
        count = fill(sys.stdout.buffer)
    else:
        draft = output.with_name(f"{output.name}.part")  # A broken export never looks like a whole one.
        try:
            with ExitStack() as stack:
                raw = stack.enter_context(draft.open("wb"))
                packed = output.suffix == ".gz"
                sink = stack.enter_context(gzip.open(raw, "wb")) if packed else raw
                count = fill(cast("BinaryIO", sink))
            draft.replace(output)
        except OSError as error:
            raise UserError(f"--output {output}: cannot be written: {error.strerror or error}") from error
        finally:
            draft.unlink(missing_ok=True)
    err.print(f"{count:,} records written", markup=False)


@app.command()
def delete(
    workload_id: WorkloadId = None,
    client_id: ClientId = None,
    since: Since = None,
    until: Until = None,
    conversation_id: Annotated[
        str | None, typer.Option("--conversation", help="Only this metadata.conversation_id.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Delete without any filter.")] = False,
    yes: Yes = False,
    data: DataDir = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Delete records for good."""
    filters = (workload_id, client_id, since, until, conversation_id)
    if not everything and not any(each is not None for each in filters):
        raise UserError(
            "say which records with --workload, --client, --conversation, --since or --until; or say --all"
        )
    store = _store(data, config)
    rest = {"since": since, "until": until, "conversation_id": conversation_id}
    _delete(store, [each | rest for each in filters_of(store, workload_id, client_id)], yes, as_json)


@app.command()
def prune(
    older_than: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="DAYS",
            help="Delete records older than this many days.",
            show_default="records.retention_days of the configuration",
        ),
    ] = None,
    yes: Yes = False,
    data: DataDir = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Delete old records for good: those past the retention of the configuration."""
    settings = settings_at(config)
    days = settings.records.retention_days if older_than is None else older_than
    if days is None:
        raise UserError("say how old with --older-than DAYS, or set records.retention_days")
    until = time.time() - days * DAY
    _delete(_opened(settings, data), [{"until": until}], yes, as_json)


def _delete(store: LogStore, chosen: list[dict[str, Any]], yes: bool, as_json: bool) -> None:
    count = sum(store.count(**each) for each in chosen)
    if count and not yes:
        typer.confirm(f"Delete {count:,} records for good?", abort=True, err=True)
    deleted = sum(store.delete(**each) for each in chosen)
    print_json({"deleted": deleted}) if as_json else out.print(f"{deleted:,} records deleted", markup=False)


def _store(data: Path, config: Path | None) -> LogStore:
    return _opened(settings_at(config), data)


def _opened(settings: Settings, data: Path) -> LogStore:
    """The store, if there is one to look at: a file is not made by looking for records in it."""
    if isinstance(settings.records, EmbeddedRecords) and not (data / FILE_NAME).is_file():
        raise UserError(
            f"--data {data}: there are no records here; flywheel records import FILE brings some in"
        )
    return open_records(settings, data)


def _write(records: Iterator[Record], sink: BinaryIO) -> int:
    count = 0
    for record in records:
        sink.write(log_line(record))
        count += 1
    sink.flush()
    return count


def _as_json(imported: Imported) -> dict[str, Any]:
    return {
        "new": imported.new,
        "duplicates": imported.duplicates,
        "rejected": {str(reason): count for reason, count in imported.rejected.items()},
        "examples": [
            {"source": each.source, "line": each.line, "reason": str(each.reason), "detail": each.detail}
            for each in imported.examples
        ],
        "workloads": [
            {"client_id": each.client_id, "workload_id": each.workload_id, "records": count}
            for each, count in sorted(imported.workloads.items(), key=lambda item: str(item[0]))
        ],
    }


def _show(imported: Imported, rejects: Path | None) -> None:
    for each in imported.examples:
        err.print(str(each), style="yellow", markup=False, soft_wrap=True)
    for reason, count in imported.rejected.items():
        shown = sum(each.reason is reason for each in imported.examples)
        if count > shown:
            err.print(f"… and {count - shown:,} more: {reason}", style="yellow", markup=False)
    if imported.rejected and rejects and rejects.exists():
        err.print(f"What was not taken is in {rejects}", markup=False, soft_wrap=True)
    elif imported.rejected.total() > EXAMPLES:
        err.print("Run it again with --rejects FILE to get all that was not taken", markup=False)
    if imported.workloads:
        rows = [
            (each.client_id, each.workload_id, count)
            for each, count in sorted(imported.workloads.items(), key=lambda item: str(item[0]))
        ]
        out.print(table(["client", "workload", "records read"], rows, right=2))
    out.print(
        f"{imported.new:,} new records, {imported.duplicates:,} were there already,"
        f" {imported.rejected.total():,} rejected",
        markup=False,
    )


def _show_report(report: CurationReport) -> None:
    parts = [
        (name, part.records, part.conversations, f"{part.tokens.mean:.0f}", part.tokens.p95)
        for name, part in report.parts.items()
    ]
    out.print(table(["part", "records", "conversations", "tokens mean", "p95"], parts))
    if report.dropped:
        dropped = [
            (each.reason.value, f"{each.count:,}", each.meaning, ", ".join(each.examples[:2]))
            for each in report.dropped
        ]
        out.print(table(["left out because", "records", "meaning", "for example"], dropped, right=9))
    leaks = ", ".join(f"{name} {count}" for name, count in report.leakage.near.items())
    out.print(
        f"nearly repeated from eval: {leaks}; exactly: {sum(report.leakage.exact.values())}", markup=False
    )
    if (nearness := report.leakage.embeddings) is not None:
        leaks = ", ".join(f"{name} {count}" for name, count in nearness.near.items())
        out.print(f"the same by embeddings of {nearness.model}: {leaks}", markup=False)
    for warning in report.warnings:
        out.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
