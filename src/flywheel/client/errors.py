"""What a call of the client can end in; all of it under `flywheel.errors.FlywheelError`.

ClientError               every error of the client
├── ServerAway            nothing answers at the address, or not in time; `method`, `path`, `reason`
├── Unreadable            something answers, but not as Flywheel does
├── NotSent               what was to be sent cannot be read, or what came not be written, here
├── Refused               the server said no: `status`, `code`, and its own words in `detail`
│   ├── Unauthorised      401, 403
│   ├── NotFound          404
│   ├── Conflict          409, 412, and a run whose state forbids what was asked
│   ├── Invalid           any other 4xx; `problems` by field where the server names them
│   └── ServerFailed      429 and 5xx, after the repeats that were safe
├── RunFailed             the run that was waited for ended without success; `run`
└── StillRunning          it did not end in the time given; `run`, as it was last seen
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import httpx

from flywheel.errors import FlywheelError

_DETAIL_LIMIT = 2000
_STATE_CODES = frozenset({"job_state", "conflict"})


class ClientError(FlywheelError):
    code: ClassVar[str] = "client"


class ServerAway(ClientError):
    """`method` `path` got no answer from the server at `url`."""

    code = "server_away"

    def __init__(self, url: str, method: str, path: str, reason: str) -> None:
        self.url, self.method, self.path, self.reason = url, method, path, reason
        super().__init__(
            f"no Flywheel server answers at {url} ({method} {path}: {reason}); start one with: flywheel serve"
        )


class Unreadable(ClientError):
    """The answer to `method` `path` is none of Flywheel's."""

    code = "unreadable"

    def __init__(self, url: str, method: str, path: str, problem: str) -> None:
        self.url, self.method, self.path, self.problem = url, method, path, problem
        super().__init__(
            f"{method} {path}: what answers at {url} is no Flywheel server of this version: {problem}"
        )


class NotSent(ClientError):
    """`what` cannot be read or written on this machine."""

    code = "not_sent"

    def __init__(self, what: str, problem: str) -> None:
        self.what, self.problem = what, problem
        super().__init__(f"{what}: {problem}")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field of a request; `field` is a path such as `triggers.0.cron`."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class Refused(ClientError):
    """The server answered `method` `path` with an error."""

    code = "refused"

    def __init__(self, call: httpx.Request, answer: httpx.Response) -> None:
        self.method, self.path, self.answered = call.method, call.url.path, answer.status_code
        document = _document(answer)
        self.word = str(document.get("code") or "http")
        """The server's stable word for it, such as `too_few_records`."""
        self.problems = _problems(document.get("detail"))
        self.detail = _words(document, self.problems, answer)
        super().__init__(self.detail)


class Unauthorised(Refused):
    code = "unauthorised"


class NotFound(Refused):
    code = "not_found"


class Conflict(Refused):
    code = "conflict"


class Invalid(Refused):
    code = "invalid"


class ServerFailed(Refused):
    code = "server_failed"


class RunFailed(ClientError):
    """`run` is the run's document as it ended: `run.status` is `failed` or `cancelled`."""

    code = "run_failed"

    def __init__(self, run: Any) -> None:
        self.run = run
        super().__init__(f"run {run.id} {run.status}: {run.error or 'no cause was given'}")


class StillRunning(ClientError):
    """`run` has not ended within `seconds`; it goes on."""

    code = "still_running"

    def __init__(self, run: Any, seconds: float) -> None:
        self.run, self.seconds = run, seconds
        super().__init__(f"run {run.id} has not ended in {seconds:g} s (it is {run.status}); it goes on")


def refusal(call: httpx.Request, answer: httpx.Response) -> Refused:
    """The error that an answer of 400 or more stands for; its body has been read."""
    status = answer.status_code
    if status in (401, 403):
        return Unauthorised(call, answer)
    if status == 404:
        return NotFound(call, answer)
    if status in (409, 412) or (status == 400 and _document(answer).get("code") in _STATE_CODES):
        return Conflict(call, answer)
    if status == 429 or status >= 500:
        return ServerFailed(call, answer)
    return Invalid(call, answer)


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _problems(detail: Any) -> tuple[Problem, ...]:
    if not isinstance(detail, list):
        return ()
    return tuple(
        Problem(
            ".".join(str(part) for part in each.get("loc", ()) if part not in ("body", "query", "path")),
            str(each.get("msg", each)),
        )
        for each in detail
        if isinstance(each, dict)
    )


def _words(document: dict[str, Any], problems: tuple[Problem, ...], answer: httpx.Response) -> str:
    if problems:
        return "\n".join(map(str, problems))
    if document.get("detail"):
        return str(document["detail"])
    text = answer.text[:_DETAIL_LIMIT]
    return f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}: {text}"
