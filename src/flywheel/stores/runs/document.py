"""The Run document: everything that is known about one turn of the wheel.

All state of the workflow lives in this value; a broker or a loop only says when to look at it again. It is
frozen: a step takes a Run and returns another one, and the store accepts it only if nobody was faster
(`revision`). What users see on the wire is built from it in `orchestrator.wire`, not here.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from flywheel.config import (
    DataSplitConfig,
    EvaluationConfig,
    IclConfig,
    LlmJudgeConfig,
    LoraConfig,
    NimConfig,
    TrainingConfig,
)
from flywheel.models import Workload

RunStatus = Literal["pending", "running", "completed", "failed", "cancelled"]
Step = Literal["curate", "candidates", "decide", "release", "finished", "erase"]
WorkStatus = Literal["waiting", "running", "completed", "failed", "cancelled", "skipped"]
Stage = Literal["waiting", "deploy", "work", "release", "done"]
EvalType = Literal["base-eval", "icl-eval", "customized-eval", "teacher-eval"]
Role = Literal["judge", "embedding"]
WorkloadType = Literal["tool_calling", "generic"]

Level = Literal["info", "warning", "error"]

OPEN: frozenset[WorkStatus] = frozenset({"waiting", "running"})
EVAL_FILE = "eval_data.jsonl"
EVENTS_KEPT = 300
"""Events of a run that are kept; a healthy run has about thirty."""


class Value(BaseModel):
    """A frozen value; `but(…)` is the same one with some fields changed.

    Fields that are not known are ignored: a document that a later version wrote can still be shown.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    def but(self, **changes: Any) -> Self:
        if not changes.keys() <= type(self).model_fields.keys():
            raise TypeError(f"{type(self).__name__} has no field {changes.keys() - type(self).model_fields}")
        return self.model_copy(update=changes)


class RunConfig(Value):
    """The settings that this run works with: those of the program, with the job's overrides put in."""

    nims: tuple[NimConfig, ...]
    data_split_config: DataSplitConfig
    icl_config: IclConfig
    training_config: TrainingConfig
    lora_config: LoraConfig
    evaluation_config: EvaluationConfig
    llm_judge_config: LlmJudgeConfig | None = None


class Dataset(Value):
    """A data set that the run uploaded; `uri` is its hf:// address, `sha256` the digest of its files."""

    kind: Literal["eval", "icl", "train"]
    name: str
    num_records: int
    uri: str
    files: dict[str, int] = {}
    """Rows of each file, by its path in the repository."""
    sha256: str = ""


class Judge(Value):
    """Who scores `tool_calling_correctness` or `similarity`."""

    model_name: str
    type: Literal["remote", "local"]
    deployment_status: str = "ready"
    error: str | None = None


class Score(Value):
    """A number of an evaluation, with the samples behind it (`n`) and its confidence interval."""

    value: float
    n: int | None = None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str | None = None
    design_effect: float | None = None
    """Variance by the cluster bootstrap over that of independent records; None where each stands alone."""
    scorer: str | None = None
    """Name of the judge or matcher, where the score is not a plain comparison."""


class Work(Value):
    """One job at a remote service. `job_id` is None until it is known to be started."""

    status: WorkStatus = "waiting"
    job_id: str | None = None
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    progress: float = 0.0
    """Percent, 0 to 100, never going down."""
    progressed_at: AwareDatetime | None = None
    """When `progress` last grew; a job that stands still for too long is given up."""
    error: str | None = None

    @property
    def open(self) -> bool:
        return self.status in OPEN


class Evaluation(Work):
    """One measurement of a candidate on the holdout."""

    eval_type: EvalType
    model: str | None = None
    """The model that was asked: the base model, or the adapter."""
    scores: dict[str, Score] = {}
    latency_ms: dict[str, float] = {}
    first_token_ms: dict[str, float] = {}
    """As `latency_ms`, of answers that were streamed."""
    usage: dict[str, float] = {}
    failures: dict[str, int] = {}
    judge_agreement: dict[str, float] = {}
    """How far the judge agrees with the programmatic score: `n`, `accuracy`, `kappa`, `low`, `high`."""

    @property
    def kind(self) -> str:
        return self.eval_type


class Losses(Value):
    """The loss of a training by step, thinned; both ends are there."""

    train: tuple[tuple[int, float], ...] = ()
    val: tuple[tuple[int, float], ...] = ()


class Customization(Work):
    """One LoRA training of a candidate; its result is the adapter `customized_model`."""

    customized_model: str | None = None
    trained: bool = False
    """The training is over; what is left is that the model proxy lists the adapter."""
    epochs_completed: int = 0
    steps_completed: int = 0
    steps_per_epoch: int | None = None
    train_loss: float | None = None
    val_loss: float | None = None
    eta_seconds: float | None = None
    losses: Losses | None = None
    """Kept here, so that they outlive the customizer's job; None until it tells some."""
    waits_for: str | None = None
    """Why the training does not go on: no free GPU, say."""

    @property
    def kind(self) -> str:
        return "customization"


AnyWork = Evaluation | Customization


class Trouble(Value):
    """A passing failure that is being tried again: since when, how often, and what it says."""

    since: AwareDatetime
    count: int
    message: str

    def age(self, at: datetime) -> float:
        """Seconds since it began."""
        return (at - self.since).total_seconds()


class Candidate(Value):
    """One student under test, with a small state machine of its own.

    waiting → deploy → work (evaluations and customization side by side) → release → done
    """

    nim: NimConfig
    stage: Stage = "waiting"
    deployment_name: str
    deployment_status: str | None = None
    deployed_at: AwareDatetime | None = None
    """When the deployment was asked for."""
    waits_for: str | None = None
    """Why the deployment has not begun yet: no free GPU, say."""
    deployment_ready: bool = False
    released: bool = False
    evaluations: tuple[Evaluation, ...] = ()
    customization: Customization | None = None
    icl_file: str | None = None
    """Path, in the icl data set, of the holdout with in-context examples for this candidate."""
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    mlflow_uri: str | None = None
    """Its page at MLflow, where the run was logged there."""
    trouble: Trouble | None = None
    error: str | None = None
    failed: bool = False
    cancelled: bool = False

    @property
    def model_name(self) -> str:
        return self.nim.model_name

    def evaluation(self, eval_type: EvalType) -> Evaluation | None:
        return next((e for e in self.evaluations if e.eval_type == eval_type), None)

    @property
    def works(self) -> tuple[AnyWork, ...]:
        """Customization first: it takes longest."""
        return (*([self.customization] if self.customization else []), *self.evaluations)

    def with_work(self, work: AnyWork) -> Candidate:
        """The candidate with this evaluation or customization in the place of the one of its kind."""
        if isinstance(work, Evaluation):
            others = self.evaluations
            return self.but(evaluations=tuple(work if e.kind == work.kind else e for e in others))
        return self.but(customization=work)


class Auxiliary(Value):
    """A model that the run has deployed for itself beside its candidates."""

    role: Role
    model_name: str
    deployment_name: str
    deployed_at: AwareDatetime | None = None
    """When it was asked for, or its wait for a place ended."""
    status: str | None = None
    """Of its deployment."""
    waits_for: str | None = None
    """Why it has not begun yet: no free GPU, say."""
    ready: bool = False
    released: bool = False


class Decision(Value):
    """What the run comes to: the best of its evaluations, and whether it may take the teacher's place."""

    model_name: str | None
    eval_type: EvalType | None = None
    customized_model: str | None = None
    metric: str
    value: float | None = None
    reason: str
    verdict: str | None = None
    """Of the best one, in words: `promote: …`, `not yet: …`, `no: …`."""
    verdicts: tuple[dict[str, Any], ...] = ()
    """Of every candidate (`flywheel.evaluation.verdicts`)."""
    table: dict[str, Any] | None = None
    """Everything that was compared (`flywheel.evaluation.table`); None where samples could not be had."""
    cost: dict[str, Any] | None = None
    """Money per 1,000 requests, of the teacher and of each system, by the price table."""


class RunTrigger(Value):
    """What started a run that no person asked for."""

    schedule_id: str
    schedule: str
    """The schedule's name at that time."""
    reason: str
    """In words, as the schedule's history has it."""


class Event(Value):
    """One line of the run's own log."""

    at: AwareDatetime
    message: str
    level: Level = "info"
    candidate: str | None = None


class Run(Value):
    """One turn of the wheel."""

    id: str
    revision: int = 0
    workload_id: str
    client_id: str
    config: RunConfig
    overrides: dict[str, Any] = {}
    status: RunStatus = "pending"
    step: Step = "curate"
    outcome: Literal["completed", "failed", "cancelled"] | None = None
    """How it ends, known from the moment that its last step, `release`, begins."""
    cancel_requested: bool = False
    created_at: AwareDatetime
    updated_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    workload_type: WorkloadType | None = None
    num_records: int | None = None
    datasets: tuple[Dataset, ...] = ()
    curation: dict[str, Any] | None = None
    judge: Judge | None = None
    candidates: tuple[Candidate, ...] = ()
    auxiliaries: tuple[Auxiliary, ...] = ()
    """Judge and embedding model, where the run deploys them."""
    teacher: Evaluation | None = None
    """The teacher, asked again on the holdout; None where none is configured."""
    decision: Decision | None = None
    trouble: Trouble | None = None
    error: str | None = None
    events: tuple[Event, ...] = ()
    trace: str | None = None
    """The traceparent of the request that started it: whoever advances the run joins that trace."""
    trigger: RunTrigger | None = None
    """The schedule that started it; None where a person or a program asked for it."""
    traffic: dict[str, Any] | None = None
    """What the records of its data sets are like (`flywheel.curation.traffic`), to tell drift by."""

    @property
    def workload(self) -> Workload:
        return Workload(self.client_id, self.workload_id)

    @property
    def finished(self) -> bool:
        return self.step in ("finished", "erase")

    @property
    def demand(self) -> int:
        """How many of the slots for deployed candidates this run still wants."""
        if self.step in ("finished", "erase"):
            return 0
        return sum(c.stage != "done" for c in self.candidates)

    def dataset(self, kind: Literal["eval", "icl", "train"]) -> Dataset | None:
        return next((d for d in self.datasets if d.kind == kind), None)

    def auxiliary(self, role: Role) -> Auxiliary | None:
        return next((each for each in self.auxiliaries if each.role == role), None)

    def with_auxiliary(self, auxiliary: Auxiliary) -> Run:
        """The run with this one in the place of the one of its role."""
        others = self.auxiliaries
        return self.but(
            auxiliaries=tuple(auxiliary if each.role == auxiliary.role else each for each in others)
        )

    def eval_url(self, candidate: Candidate, eval_type: EvalType) -> str | None:
        """The file that an evaluation asks; None where there is none, and so nothing to evaluate."""
        dataset = self.dataset("icl" if eval_type == "icl-eval" else "eval")
        path = candidate.icl_file if eval_type == "icl-eval" else EVAL_FILE
        return f"{dataset.uri}/{path}" if dataset and path else None

    def noting(
        self,
        at: datetime,
        message: str,
        *,
        level: Level = "info",
        candidate: str | None = None,
    ) -> Run:
        event = Event(at=at, message=message, level=level, candidate=candidate)
        return self.but(events=(*self.events, event)[-EVENTS_KEPT:])


def new_run_id(at: datetime) -> str:
    """24 hex digits, like MongoDB's ObjectId, which clients of NVIDIA's API expect: seconds, then chance."""
    return f"{int(at.timestamp()):08x}{secrets.token_hex(8)}"


def created_of(run_id: str) -> datetime:
    """When a run with this id was made, to the second."""
    return datetime.fromtimestamp(int(run_id[:8], 16), UTC)


def is_run_id(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{24}", text) is not None


def slug(model_name: str) -> str:
    """`model_name` as a part of a NeMo entity's name: meta/llama-3.2 → meta-llama-3.2."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", model_name).strip("-.") or "model"


def new_run(workload: Workload, config: RunConfig, at: datetime, overrides: dict[str, Any]) -> Run:
    """A run that has not begun; its candidates are those of `config.nims`."""
    run_id = new_run_id(at)
    names = [slug(nim.model_name) for nim in config.nims]
    names = [name if name not in names[:n] else f"{name}-{n}" for n, name in enumerate(names)]

    def candidate(nim: NimConfig, number: int) -> Candidate:
        kinds: list[EvalType] = ["base-eval", "icl-eval"]
        if nim.customization_enabled:
            kinds.append("customized-eval")
        return Candidate(
            nim=nim,
            deployment_name=f"{names[number]}-{run_id[-8:]}",
            evaluations=tuple(Evaluation(eval_type=kind) for kind in kinds),
            customization=Customization() if nim.customization_enabled else None,
        )

    return Run(
        id=run_id,
        workload_id=workload.workload_id,
        client_id=workload.client_id,
        config=config,
        overrides=overrides,
        created_at=at,
        updated_at=at,
        candidates=tuple(candidate(nim, number) for number, nim in enumerate(config.nims)),
    )
