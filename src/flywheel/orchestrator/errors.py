"""What can go wrong with a run."""

from __future__ import annotations

from flywheel.errors import Conflict, FlywheelError, NotFound, UserError


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
