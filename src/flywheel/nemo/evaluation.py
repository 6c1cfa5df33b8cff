"""NeMo Evaluator, `/v1/evaluation`: what goes over the wire, and the client.

The orchestrator measures every candidate through this client and nothing else, so it works the same against
our evaluator and against NVIDIA's. What is ours beside theirs (intervals, failure classes, the samples' page)
is optional in every model: a real NeMo evaluator does not send it. Which jobs a run posts is in
`evaluation_jobs`, what it reads out of a result in `evaluation_scores`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from flywheel.nemo.calls import ServiceClient

JobState = Literal[
    "created", "pending", "running", "cancelled", "cancelling", "failed", "completed", "ready", "unknown"
]
FINISHED: Final[frozenset[JobState]] = frozenset({"completed", "failed", "cancelled"})


class _Wire(BaseModel):
    """Whatever else a server sends is kept and ignored."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class StatusDetails(_Wire):
    message: str | None = None
    progress: float | None = None
    """Percent of the samples, 0 to 100."""
    samples_processed: int | None = None
    task_status: dict[str, str] = Field(default_factory=dict)


class EvaluationJob(_Wire):
    id: str
    status: JobState = "unknown"
    status_details: StatusDetails = Field(default_factory=StatusDetails)
    namespace: str | None = None
    result: str | None = None
    custom_fields: dict[str, Any] = Field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.status in FINISHED

    @property
    def progress(self) -> float:
        """Percent, 0 to 100; a completed job is at 100 whatever the server says."""
        return 100.0 if self.status == "completed" else self.status_details.progress or 0.0


class ConfidenceInterval(_Wire):
    """Ours: the interval of a score's mean."""

    level: float
    low: float
    high: float
    method: str
    design_effect: float | None = None
    """Only from a cluster bootstrap: variance over that of independent records."""


class ScoreStats(_Wire):
    count: int | None = None
    sum: float | None = None
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    stddev: float | None = None
    variance: float | None = None
    stderr: float | None = None
    sum_squared: float | None = None
    nan_count: int | None = None
    """Samples that have no value for this score; they are not in `count`."""
    confidence_interval: ConfidenceInterval | None = None


class Score(_Wire):
    value: float
    stats: ScoreStats | None = None


class MetricResult(_Wire):
    scores: dict[str, Score] = Field(default_factory=dict)


class TaskResult(_Wire):
    metrics: dict[str, MetricResult] = Field(default_factory=dict)


class EvaluationResult(_Wire):
    id: str | None = None
    job: str
    tasks: dict[str, TaskResult] = Field(default_factory=dict)
    groups: dict[str, Any] = Field(default_factory=dict)
    custom_fields: dict[str, Any] = Field(default_factory=dict)
    """Ours: `latency_ms {mean, p50, p95, first_token? {mean, p50, p95}}`, `usage {prompt_tokens,
    completion_tokens}`, `failures {class: n}`, `samples {total, infrastructure_failures}`, `scorers {metric:
    {type, version}}`, `judge_agreement {task: {metric.score: {right_from, unscored, with_score?,
    with_people?}}}`."""


class EvaluationClient(ServiceClient):
    """One evaluator. Sync; reads are repeated on passing trouble. Raises ServiceCallFailed."""

    def create_job(self, body: Mapping[str, Any]) -> EvaluationJob:
        return EvaluationJob.model_validate(self._call.json("POST", "/v1/evaluation/jobs", dict(body)))

    def job(self, job_id: str) -> EvaluationJob:
        return EvaluationJob.model_validate(self._call.json("GET", f"/v1/evaluation/jobs/{job_id}"))

    def jobs_with(self, custom_fields: Mapping[str, str]) -> list[EvaluationJob]:
        """The jobs posted with these custom fields, newest first: how a restarted run finds its own."""
        query = {f"filter[custom_fields][{key}]": value for key, value in custom_fields.items()}
        query |= {"page_size": "100", "sort": "-created_at"}
        page = self._call.json("GET", "/v1/evaluation/jobs", query=query)
        jobs = [EvaluationJob.model_validate(document) for document in page.get("data", [])]
        return [job for job in jobs if custom_fields.items() <= job.custom_fields.items()]

    def results(self, job_id: str) -> EvaluationResult:
        found = self._call.json("GET", f"/v1/evaluation/jobs/{job_id}/results")
        return EvaluationResult.model_validate(found)

    def download_results(self, job_id: str) -> bytes:
        """The ZIP with `results.json`, every sample with its scores."""
        return self._call.bytes("GET", f"/v1/evaluation/jobs/{job_id}/download-results")

    def samples(self, job_id: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Ours: a page of the samples scored so far, asked for as any list is."""
        found: dict[str, Any] = self._call.json("GET", f"/v1/evaluation/jobs/{job_id}/samples", query=query)
        return found

    def cancel_job(self, job_id: str) -> None:
        """Cancel; a job that has finished, or is not there, is left as it is."""
        self._call.bytes("POST", f"/v1/evaluation/jobs/{job_id}/cancel", fine=frozenset({404, 409}))

    def delete_job(self, job_id: str) -> None:
        """Delete the job, its samples and its result; absent is fine."""
        self._call.bytes("DELETE", f"/v1/evaluation/jobs/{job_id}", fine=frozenset({404}))
