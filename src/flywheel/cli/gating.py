"""Whether a candidate of a run reaches its cutoffs, and how that is told in Markdown. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.cli.cutoffs import Cutoff, Measured
from flywheel.client import Run
from flywheel.errors import FlywheelError, UserError


class NotMeasured(FlywheelError):
    """The evaluation that the gate looks at did not come to its end."""


@dataclass(frozen=True, slots=True)
class Line:
    """One cutoff, and what became of it."""

    cutoff: Cutoff
    measured: Measured
    seen: float | None
    met: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """A candidate in one of its evaluations, against every cutoff."""

    run: Run
    candidate: str
    eval_type: str
    lines: tuple[Line, ...]
    verdict: str | None

    @property
    def met(self) -> bool:
        return all(line.met for line in self.lines)


def judged(run: Run, candidate: str, eval_type: str, cutoffs: Sequence[Cutoff]) -> Judgement:
    """The cutoffs against an ended run.

    Raises UserError for a candidate or a score that the run does not have, NotMeasured where it failed.
    """
    found = run.candidate(candidate)
    if found is None:
        names = ", ".join(each.model_name for each in run.candidates) or "none"
        raise UserError(f"--candidate: run {run.id} has no candidate {candidate!r}; it has {names}")
    evaluation = found.evaluation(eval_type)
    if evaluation is None or evaluation.status != "completed":
        cause = (evaluation.error if evaluation else None) or found.error or run.error or "it was not run"
        raise NotMeasured(f"{eval_type} of {candidate} in run {run.id} did not complete: {cause}")
    scores = {
        name: Measured(score.value, score.low, score.high, score.n)
        for name, score in evaluation.score_details.items()
    }
    lines = []
    for cutoff in cutoffs:
        seen = cutoff.seen(scores)
        lines.append(Line(cutoff, scores[cutoff.score], seen, cutoff.met(seen)))
    return Judgement(run, candidate, eval_type, tuple(lines), _verdict(run, f"{candidate} {eval_type}"))


def markdown(judgement: Judgement, url: str) -> str:
    """A short summary for people, as pipelines show it; `url` is the server's."""
    run, met = judgement.run, sum(line.met for line in judgement.lines)
    word = "met" if judgement.met else "not met"
    rows = [
        "| cutoff | seen | score | 95 % interval | n | |",
        "|---|---|---|---|---|---|",
        *(_row(line) for line in judgement.lines),
    ]
    counted = f"{met} of {len(judgement.lines)} cutoffs met by its {judgement.eval_type}"
    told = [
        f"### Gate {word}: {_text(run.name)}, {_text(judgement.candidate)}",
        "",
        f"{counted} in [run {run.id}]({url}/runs/{run.id}).",
        "",
        *rows,
    ]
    if judgement.verdict:
        told += ["", f"Verdict: {_text(judgement.verdict)}"]
    return "\n".join(told) + "\n"


def as_json(judgement: Judgement, url: str) -> dict[str, Any]:
    """The same for programs."""
    return {
        "met": judgement.met,
        "run_id": judgement.run.id,
        "report": f"{url}/runs/{judgement.run.id}",
        "candidate": judgement.candidate,
        "eval_type": judgement.eval_type,
        "verdict": judgement.verdict,
        "cutoffs": [
            {
                "name": line.cutoff.name,
                "least": line.cutoff.least,
                "seen": line.seen,
                "met": line.met,
                "value": line.measured.value,
                "low": line.measured.low,
                "high": line.measured.high,
                "n": line.measured.n,
            }
            for line in judgement.lines
        ],
    }


def _verdict(run: Run, system: str) -> str | None:
    if run.decision is None:
        return None
    found = [each["text"] for each in run.decision.verdicts if each.get("candidate") == system]
    return str(found[0]) if found else run.decision.reason


def _row(line: Line) -> str:
    measured = line.measured
    interval = (
        "–" if measured.low is None or measured.high is None else f"{measured.low:.3f} – {measured.high:.3f}"
    )
    cells = (
        f"{_text(line.cutoff.name)} ≥ {line.cutoff.least:g}",
        _number(line.seen),
        _number(measured.value),
        interval,
        "–" if measured.n is None else str(measured.n),
        "met" if line.met else "**not met**",
    )
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _text(text: str) -> str:
    """Text as text: nothing in it is markup, and it stays in its line."""
    return re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", " ".join(text.split()))
