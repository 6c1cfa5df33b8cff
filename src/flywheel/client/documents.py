"""What the server's documents are, as far as this version knows them.

Fields that it does not know are kept and reachable by name, because servers add fields; `document` is what
was sent, untouched. Fields that a server may leave out have a default. Times are aware, in UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_aware)]
"""A time in UTC; a naive one on the wire is in UTC too."""


class Model(BaseModel):
    """A document of the server."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())
    _document: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def read(cls, document: Any) -> Self:
        """The document as this type. Raises pydantic.ValidationError."""
        found = cls.model_validate(document)
        found._document = document  # noqa: SLF001 - its own
        return found

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object as the server sent it."""
        return self._document


M = TypeVar("M", bound=Model)


def each(plural: str, model: type[M]) -> Callable[[Any], list[M]]:
    """Reads the list under `plural` of an answer."""
    return lambda answer: [model.read(found) for found in answer[plural]]


class Message(Model):
    """What the server says to a request that it began to work on."""

    id: str
    message: str = ""


class Interval(Model):
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str | None = None


class Score(Model):
    """A number of an evaluation, with the samples behind it (`n`) and its confidence interval."""

    value: float
    n: int | None = None
    confidence_interval: Interval | None = None
    scorer: str | None = None

    @property
    def low(self) -> float | None:
        return self.confidence_interval.low if self.confidence_interval else None

    @property
    def high(self) -> float | None:
        return self.confidence_interval.high if self.confidence_interval else None


class Evaluation(Model):
    """One measurement of a candidate on the holdout, as a run shows it."""

    eval_type: str
    status: str | None = None
    model: str | None = None
    progress: float | None = None
    scores: dict[str, float] = {}
    score_details: dict[str, Score] = {}
    latency_ms: dict[str, Any] | None = None
    usage: dict[str, float] | None = None
    failures: dict[str, int] | None = None
    error: str | None = None
    started_at: Moment | None = None
    finished_at: Moment | None = None
    runtime_seconds: float | None = None


class Customization(Model):
    """One LoRA training of a candidate; its result is the adapter `customized_model`."""

    status: str | None = None
    customized_model: str | None = None
    progress: float | None = None
    epochs_completed: int | None = None
    steps_completed: int | None = None
    train_loss: float | None = None
    val_loss: float | None = None
    eta_seconds: float | None = None
    error: str | None = None
    started_at: Moment | None = None
    finished_at: Moment | None = None


class Candidate(Model):
    """One student under test in a run."""

    model_name: str
    status: str | None = None
    stage: str | None = None
    deployment_status: str | None = None
    adapter: str | None = None
    evaluations: list[Evaluation] = []
    customizations: list[Customization] = []
    error: str | None = None

    def evaluation(self, eval_type: str) -> Evaluation | None:
        """`base-eval`, `icl-eval` or `customized-eval`; None where there is none."""
        return next((found for found in self.evaluations if found.eval_type == eval_type), None)


class RunDataset(Model):
    """A data set that a run uploaded."""

    name: str
    kind: str | None = None
    num_records: int | None = None
    nmp_uri: str | None = None
    sha256: str | None = None


class Decision(Model):
    """What a run came to; in a list, without the table and the reasons."""

    model_name: str | None = None
    eval_type: str | None = None
    customized_model: str | None = None
    metric: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    reason: str | None = None
    verdict: str | None = None
    verdicts: list[dict[str, Any]] = []


class Loss(Model):
    step: int
    value: float


class Losses(Model):
    """The loss curve of one training."""

    model_name: str
    job_id: str | None = None
    steps_per_epoch: int | None = None
    epochs: float | None = None
    train: list[Loss] = []
    val: list[Loss] = []


class LogLines(Model):
    """The last lines of one log."""

    source: str
    candidate: str | None = None
    lines: list[str] = []


class Sample(Model):
    """One sample of an evaluation, as the evaluator scored it."""

    key: str | None = None
    index: int | None = None
    item: dict[str, Any] | None = None
    """The row of the data set: `request`, and the teacher's `response`."""
    response: dict[str, Any] | None = None
    scores: dict[str, Any] = {}
    failure: str | None = None
    """The class of the failure; None where the answer is right, or was not judged."""
    latency_ms: float | None = None


class System(Model):
    """A model in one of its evaluations; its name is `MODEL EVAL_TYPE`."""

    name: str
    role: str | None = None
    model_name: str | None = None
    eval_type: str | None = None


class Counted(Model):
    """A tool, or a class of failures, and how many records it has."""

    name: str
    n: int


class Comparison(Model):
    """What the records of a run can be compared by."""

    systems: list[System] = []
    metric: str | None = None
    tools: list[Counted] = []
    failures: list[Counted] = []
    total: int = 0


class Outcome(Model):
    """How one system did on one record."""

    score: float | None = None
    right: bool | None = None
    failure: str | None = None


class ComparedRow(Model):
    """One held-out record, and how each system did on it."""

    key: str
    index: int | None = None
    tool: str | None = None
    question: str | None = None
    reference: str | None = None
    results: dict[str, Outcome] = {}


class ComparedRecord(Model):
    """One held-out record in full."""

    index: int | None = None
    position: int | None = None
    total: int | None = None
    previous: str | None = None
    next: str | None = None
    request: dict[str, Any] = {}
    reference: dict[str, Any] | None = None
    """The teacher's message."""
    metadata: dict[str, Any] | None = None
    systems: dict[str, dict[str, Any]] = {}


class Event(Model):
    """What a stream of events said: `event` is its name, `data` its JSON."""

    event: str
    id: str | None = None
    data: Any = None

    def __repr__(self) -> str:
        return f"Event({self.event!r}, id={self.id!r})"


class Workload(Model):
    """What has been recorded of one task of one application."""

    client_id: str
    workload_id: str
    count: int
    first: Moment | None = None
    last: Moment | None = None
    last_run: dict[str, Any] | None = None
    best: dict[str, Any] | None = None
    """The best student so far: run, model, metric, value with interval, verdict."""


class Profile(Model):
    """What a workload's records are made of; the shares are of the `looked_at` newest ones."""

    client_id: str
    workload_id: str
    count: int
    first: Moment | None = None
    last: Moment | None = None
    per_day: list[dict[str, Any]] = []
    looked_at: int | None = None
    tools: list[dict[str, Any]] = []
    no_call: dict[str, Any] | None = None
    teacher: dict[str, Any] | None = None
    health: dict[str, Any] | None = None
    tool_schemas: list[dict[str, Any]] = []


class Part(Model):
    """A part of the server, and whether it answers."""

    name: str
    ok: bool
    address: str | None = None
    detail: str = ""


class Finding(Model):
    """One check of the server: what was seen, and how to mend it."""

    check: str
    ok: bool
    seen: str = ""
    mend: str = ""
    blocks: bool = True

    @property
    def wrong(self) -> bool:
        """Whether work is not possible."""
        return self.blocks and not self.ok


class Health(Model):
    """Every part of the server; `findings` where they were asked for."""

    version: str
    parts: list[Part] = []
    findings: list[Finding] = []


class Readiness(Model):
    status: str
    version: str | None = None
    not_ready: list[Finding] = []
    checks: list[Finding] = []

    @property
    def ready(self) -> bool:
        return self.status == "ready"


class Started(Model):
    """The answer to a run's start."""

    id: str
    status: str = Field(default="queued")


class CandidateProgress(Model):
    """What a candidate does, and how far it is."""

    model_name: str
    stage: str | None = None
    doing: str | None = None
    percent: float = 0.0
    customization: dict[str, Any] | None = None


class RunProgress(Model):
    """Where a run is: its step, the percentage of the whole, and each candidate's."""

    step: str | None = None
    percent: float = 0.0
    candidates: list[CandidateProgress] = []


class RunEvent(Model):
    """What changed of a run: its state now."""

    status: str
    step: str | None = None
    percent: float = 0.0
    progress: RunProgress | None = None
    losses: list[dict[str, Any]] = []
    decision: Decision | None = None
    error: str | None = None

    @classmethod
    def of(cls, event: Event) -> Self | None:
        """The state that an event tells; None for one that tells something else."""
        return cls.read(event.data) if event.event == "run" else None


class Config(Model):
    """What a run works with where it does not say otherwise."""

    version: str
    candidates: list[dict[str, Any]] = []
    defaults: dict[str, dict[str, Any]] = {}
    judge: Any = None
    currency: str | None = None


class Change(Model):
    """A run that was created, changed or deleted; deleted ones have an id only."""

    id: str
    status: str | None = None
    percent: float | None = None
    gone: bool = False

    @classmethod
    def of(cls, event: Event) -> Self | None:
        """The change that an event tells; None for one that tells something else."""
        if event.event not in ("run", "gone"):
            return None
        found = cls.read(event.data)
        found.gone = event.event == "gone"
        return found


class Sent(Model):
    """Where a run was sent: the pages of its candidates there."""

    id: str
    to: str
    pages: dict[str, str] = {}
