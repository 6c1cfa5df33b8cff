"""A run's evaluations side by side: every record's score of every system, from the evaluator's results."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from flywheel.errors import FlywheelError
from flywheel.evaluation.calls import calls_of
from flywheel.evaluation.comparison import compare
from flywheel.evaluation.slices import slices_of
from flywheel.evaluation.table import Role, Row, System, Table
from flywheel.nemo.evaluation import SIMILARITY_SCALE, sample_score
from flywheel.orchestrator.context import Context
from flywheel.stores.runs.document import Candidate, Evaluation, Run

TEACHER = "teacher"
"""Name of the ceiling: the teacher, asked again."""

Sample = Mapping[str, Any]


class NoSamples(FlywheelError):
    """The evaluator's results hold no samples that can be compared."""

    code = "no_samples"

    def __init__(self, job_id: str, problem: str) -> None:
        self.job_id, self.problem = job_id, problem
        super().__init__(f"the samples of evaluation job {job_id} cannot be compared: {problem}")


def system_name(candidate: Candidate, evaluation: Evaluation) -> str:
    """`meta/llama-3.2-1b customized-eval`: one column of the table."""
    return f"{candidate.model_name} {evaluation.eval_type}"


def compared(run: Run, context: Context) -> Table | None:
    """The table of the run's completed evaluations, None where there is none.

    Raises NoSamples, and what the evaluator's client raises.
    """
    measured = list(_measured(run))
    if not any(role != "ceiling" for _, role, _ in measured):
        return None
    rows: dict[str, Row] = {}
    systems = []
    for name, role, evaluation in measured:
        samples = _samples(evaluation.job_id or "", context)
        for key, sample in samples.items():
            rows.setdefault(key, _row(key, sample))
        systems.append(_system(name, role, samples, run))
    evaluation_config = run.config.evaluation_config
    return compare(list(rows.values()), systems, margin=evaluation_config.margin, seed=_seed(run))


def _measured(run: Run) -> Iterator[tuple[str, Role, Evaluation]]:
    """Base models first: their requests are the records themselves, without examples."""
    found = [(c, e) for c in run.candidates for e in c.evaluations if e.status == "completed"]
    for candidate, evaluation in sorted(found, key=lambda pair: pair[1].eval_type != "base-eval"):
        role: Role = "base" if evaluation.eval_type == "base-eval" else "candidate"
        yield system_name(candidate, evaluation), role, evaluation
    if run.teacher is not None and run.teacher.status == "completed":
        yield TEACHER, "ceiling", run.teacher


def _samples(job_id: str, context: Context) -> dict[str, Sample]:
    """Every sample of a job by its record's name; a name that occurs twice gets a number."""
    try:
        with zipfile.ZipFile(io.BytesIO(context.services.evaluator.download_results(job_id))) as archive:
            name = next(n for n in archive.namelist() if n.endswith("results.json"))
            tasks = json.loads(archive.read(name))
    except (zipfile.BadZipFile, StopIteration, ValueError) as error:
        raise NoSamples(job_id, f"no results.json in what it gave ({error or 'missing'})") from error
    found: dict[str, Sample] = {}
    for sample in (sample for samples in tasks.values() for sample in samples):
        key = str(sample.get("item", {}).get("name") or len(found))
        found[key if key not in found else f"{key}#{len(found)}"] = sample
    if not found:
        raise NoSamples(job_id, "there are none")
    return found


def _row(key: str, sample: Sample) -> Row:
    item = sample.get("item", {})
    message = ((item.get("response") or {}).get("choices") or [{}])[0].get("message") or {}
    return Row(
        key=key,
        conversation=str(item.get("conversation") or key),
        slices=slices_of(item.get("request") or {}, [call.name for call in calls_of(message)]),
        bad_reference=sample.get("bad_reference"),
    )


def _system(name: str, role: Role, samples: Mapping[str, Sample], run: Run) -> System:
    scores = {key: _score(sample, run) for key, sample in samples.items()}
    failures = {key: str(sample["failure"]) for key, sample in samples.items() if sample.get("failure")}
    return System(name=name, role=role, scores=scores, failures=failures)


def _score(sample: Sample, run: Run) -> float | None:
    """The sample's score of the workload's metric, from 0 to 1; None without one."""
    metrics = sample.get("metrics") or {}
    if run.workload_type == "tool_calling":
        return sample_score(metrics, run.config.evaluation_config.scoring)
    lowest, highest = SIMILARITY_SCALE
    for metric in ("llm-judge", "text-matcher"):
        value = ((metrics.get(metric) or {}).get("scores") or {}).get("similarity", {}).get("value")
        if isinstance(value, int | float):
            return min(1.0, max(0.0, (value - lowest) / (highest - lowest)))
    return None


def _seed(run: Run) -> int:
    """Drawn from the data, so that the same records give the same table."""
    dataset = run.dataset("eval")
    return int(dataset.sha256[:8], 16) if dataset and dataset.sha256 else 0
