"""What can go wrong with a run."""

from __future__ import annotations

from collections.abc import Sequence

from flywheel.errors import Conflict, FlywheelError, NotFound, Unavailable, UserError


class MalformedRunId(UserError):
    status = 400
    code = "malformed_id"

    def __init__(self) -> None:
        super().__init__("Invalid job_id format")


class JobNotFound(NotFound):
    code = "job_not_found"

    def __init__(self, text: str = "Job not found") -> None:
        super().__init__(text)


class NoSuchEvaluation(NotFound):
    code = "no_such_evaluation"

    def __init__(self, eval_type: str, candidate: str | None, candidates: str) -> None:
        whose = f" of candidate {candidate!r}" if candidate else ""
        super().__init__(f"the job has no {eval_type}{whose} that has begun (its candidates: {candidates})")


class NoSuchCandidate(NotFound):
    code = "no_such_candidate"

    def __init__(self, name: str, candidates: Sequence[str]) -> None:
        there = ", ".join(map(repr, candidates))
        super().__init__(f"the job has no candidate {name!r}; its candidates are {there}")


class JobStateForbids(Conflict):
    """The job is in a state in which this cannot be done; NVIDIA's API answers 400."""

    status = 400
    code = "job_state"


class UnknownWorkload(UserError):
    code = "unknown_workload"

    def __init__(self, client_id: str, workload_id: str, hint: str) -> None:
        super().__init__(
            f"there are no records of workload_id {workload_id!r} with client_id {client_id!r}{hint}"
        )


class WorkloadNotFound(NotFound):
    code = "workload_not_found"

    def __init__(self, client_id: str, workload_id: str, hint: str) -> None:
        super().__init__(
            f"there are no records of workload_id {workload_id!r} with client_id {client_id!r}{hint}"
        )


class TooFewRecords(UserError):
    code = "too_few_records"

    def __init__(self, workload: str, found: int, wanted: int) -> None:
        super().__init__(
            f"workload {workload} has {found} records, and data_split_config.min_total_records asks for"
            f" {wanted}: log more of them, or lower it"
        )


class UnknownCandidate(UserError):
    code = "unknown_candidate"

    def __init__(self, name: str, hint: str) -> None:
        super().__init__(f"there is no candidate {name!r} in the configuration{hint}")


class NoCandidates(UserError):
    code = "no_candidates"

    def __init__(self) -> None:
        super().__init__("there is no candidate to measure: name one under nims: in the configuration")


class JudgeUnusable(UserError):
    code = "judge_unusable"

    def __init__(self, model: str, url: str, reason: str) -> None:
        super().__init__(
            f"llm_judge_config: the judge {model} at {url} does not answer: {reason}; mend it, or leave "
            "llm_judge_config out to score with the embedded text-matcher"
        )


class ModelNotListed(NotFound):
    code = "model_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no model {name!r}: it is no candidate of the configuration, and the entity store does"
            " not know it; GET /api/models lists them"
        )


class DatasetNotListed(NotFound):
    code = "dataset_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no data set {name!r} in the entity store; GET /api/datasets lists them")


class FileNotListed(NotFound):
    code = "file_not_found"

    def __init__(self, owner: str, path: str) -> None:
        super().__init__(f"{owner} has no file {path!r}")


class ServiceAway(Unavailable):
    """A service that an answer needs does not answer, or is broken; the same call may do later."""

    code = "service_away"

    def __init__(self, service: str, reason: str) -> None:
        self.service = service
        super().__init__(f"the {service} is away: {reason}")


class NoRecords(UserError):
    """Nothing in the body of an import could be read."""

    code = "no_records"

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"the body {problem}; send JSON lines, one"
            ' {"timestamp", "workload_id", "client_id", "request", "response"} each'
        )


class NoLogType(UserError):
    """A page of another site may send these without being asked about it by the browser."""

    status = 415
    code = "unsupported_media_type"

    def __init__(self, sent: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"Content-Type is {sent or 'not set'}: send records as {known[0]} (or {', '.join(known[1:])})"
        )


class BodyBroken(UserError):
    status = 400
    code = "body_broken"

    def __init__(self) -> None:
        super().__init__(
            "the client went away within its records; some of those before that are kept: send all again"
        )


class BadMoment(UserError):
    code = "bad_moment"

    def __init__(self, parameter: str, problem: str) -> None:
        super().__init__(f"{parameter}: {problem}; write 2026-01-31, 2026-01-31T12:00 or seconds")


class DeploymentFailed(FlywheelError):
    code = "deployment_failed"

    def __init__(self, model: str, status: str, cause: str | None) -> None:
        super().__init__(f"deployment of {model} {status}: {cause or 'no cause was given'}")


class RemoteJobFailed(FlywheelError):
    code = "remote_job_failed"

    def __init__(self, kind: str, job_id: str, status: str, cause: str | None) -> None:
        self.cancelled = status in ("cancelled", "cancelling")
        super().__init__(f"{kind} job {job_id} {status}: {cause or 'no cause was given'}")


class RemoteJobStalled(FlywheelError):
    code = "remote_job_stalled"

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} made no progress for {seconds:g} seconds")


class NothingUseful(FlywheelError):
    """No candidate came to the evaluation that was wanted of it."""

    code = "nothing_useful"

    def __init__(self, causes: list[str]) -> None:
        super().__init__("no candidate could be measured: " + "; ".join(causes))
