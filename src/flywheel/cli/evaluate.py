"""`flywheel evaluate`: score answers without any server, for a look and for a pipeline.

Two uses: a file of answers against a file of references, with `--cutoff` as a gate; and `--cases`, which
measures our scoring itself against somebody's verdicts. Exit code 1 where a cutoff is missed.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from flywheel.cli.console import Html, beside, load_reports, percent, table, write_json, write_text
from flywheel.cli.cutoffs import Cutoff, Measured
from flywheel.errors import UserError
from flywheel.evaluation.calls import BadReference
from flywheel.evaluation.cases import Agreement, judge
from flywheel.evaluation.labels import read_labels, with_people
from flywheel.evaluation.offline import Report, reference_of
from flywheel.evaluation.offline import evaluate as evaluate_answers
from flywheel.evaluation.values import Rules

_GZIP = b"\x1f\x8b"


def evaluate(
    answers: Annotated[
        Path | None,
        typer.Argument(
            help="Answers, JSON lines: OpenAI responses or messages, each with the id of its reference."
        ),
    ] = None,
    references: Annotated[
        Path | None, typer.Argument(help="References, JSON lines: logged records with the right answers.")
    ] = None,
    cases: Annotated[
        Path | None, typer.Option(help="Scoring cases with verdicts; says how often ours agree with them.")
    ] = None,
    strings: Annotated[
        Literal["exact", "normalized"],
        typer.Option(help="Whether case, blanks and punctuation of texts count (exact) or not (normalized)."),
    ] = "exact",
    numbers: Annotated[
        Literal["schema", "strict", "lenient"],
        typer.Option(help='schema: 5.0 is 5; strict: not where an integer is due; lenient: "5" is 5 too.'),
    ] = "schema",
    cutoff: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE: exit code 1 where that score is lower; NAME.low=VALUE: or the low end of its "
            "interval. Repeatable."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help='People\'s labels of the answers, JSON lines {"id", "right"}: says who agrees.'),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the result to this file as JSON.")
    ] = None,
    html: Html = None,
) -> None:
    """Score a file of answers against a file of references, or our scoring against scoring cases."""
    rules = Rules(strings=strings, numbers=numbers)
    if cases is not None:
        if answers is not None or labels is not None:
            raise UserError("give either --cases or ANSWERS and REFERENCES, not both")
        if html is not None:
            raise UserError("--html shows answers and references; --cases has --json")
        _cases(cases, rules, json_file)
        return
    if answers is None or references is None:
        raise UserError("give ANSWERS and REFERENCES, or --cases FILE")
    wanted = [Cutoff.read(text) for text in cutoff or ()]
    reports = load_reports() if html else None
    rows = [reference_of(record, number) for number, record in enumerate(read_lines(references), 1)]
    report = evaluate_answers(rows, list(read_lines(answers)), rules)
    document = report.as_dict()
    if labels is not None:
        document["people"] = with_people(report, read_labels(read_lines(labels)))
    write_json("--json", json_file, document)
    if reports and html:
        write_text("--html", html, reports.evaluation_report(document, answers.name, references.name))
    _show(report, document, beside(json_file))
    scores = {name: _measured(score) for name, score in document["scores"].items()}
    missed = [
        f"{each.name} is {_number(each.seen(scores))}, below {each.least:g}"
        for each in wanted
        if not each.met(each.seen(scores))
    ]
    if missed:
        raise UserError("cutoff missed: " + "; ".join(missed))


def read_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """The objects of a file of JSON lines, packed with gzip or not. Raises UserError, naming the line."""
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == _GZIP
        with gzip.open(path) if packed else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _object(path, number, line)
    except (OSError, EOFError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _object(path: Path, number: int, line: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}, line {number}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}, line {number}: a {type(value).__name__} where an object belongs")
    return value


def _cases(path: Path, rules: Rules, json_file: Path | None) -> None:
    agreement = Agreement()
    try:
        for verdict in judge(read_lines(path), rules):
            agreement.add(verdict)
    except BadReference as error:
        raise UserError(f"{path}: {error}") from error
    document = agreement.as_dict()
    write_json("--json", json_file, document)
    rows = [
        (kind, counts["judged"], counts["agree"], percent(counts["agree"] / counts["judged"]))
        for kind, counts in document["by_kind"].items()
    ]
    total = document["judged"]
    share = percent(document["agree"] / total) if total else "–"
    last = ("all", total, document["agree"], share)
    beside(json_file).print(table(["kind", "judged", "agree", "share"], [*rows, last]))


def _measured(score: Mapping[str, Any]) -> Measured:
    interval = score["stats"].get("confidence_interval") or {}
    return Measured(score["value"], interval.get("low"), interval.get("high"), score["stats"]["count"])


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4f}"


def _show(report: Report, document: Mapping[str, Any], to: Console) -> None:
    rows = []
    for name, score in document["scores"].items():
        stats = score["stats"]
        interval = stats.get("confidence_interval")
        span = f"{interval['low'] * 100:.1f} – {interval['high'] * 100:.1f} %" if interval else "–"
        rows.append((name, percent(score["value"] if stats["count"] else None), span, stats["count"]))
    to.print(table(["score", "value", "95 % interval", "n"], rows))
    if document["failures"]:
        to.print(table(["wrong because", "answers"], document["failures"].items()))
    if people := document.get("people"):
        rows = [
            (name, percent(found["accuracy"]), _kappa(found), found["n"])
            for name, found in people["scores"].items()
        ]
        to.print(table(["agreement with people", "same", "kappa", "n"], rows))
    if report.bad_references:
        to.print(table(["reference left out because", "records"], report.bad_references.items()))
    if report.unused_answers:
        to.print(f"{report.unused_answers} answers belong to no reference")


def _kappa(found: Mapping[str, Any]) -> str:
    if found["kappa"] is None:
        return "–"
    return f"{found['kappa']:.2f} ({found['low']:.2f} – {found['high']:.2f})"
