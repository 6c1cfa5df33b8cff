"""Everything that Flywheel itself raises, in one tree.

An error holds data and builds its own message, which names what is wrong, the value that was met and what
would be right. Foreign errors become one of these once, at the door of the foreign system, `from e`; they
are rendered once, per HTTP dialect, in `flywheel.web`, or by the command line.

    FlywheelError                    500  something of ours went wrong
    ├── UserError                    422  the caller's input is at fault
    │   ├── ConfigError              422  config.yaml, an environment variable or a job's override
    │   ├── BadName, BadQuery        422  a name, or a list query, of the NeMo services
    │   ├── BadEntity                422  a change that would leave no entity
    │   ├── BadHubUrl                422  no hf:// URL
    │   ├── RunNotStorable           422  a run that its store does not take
    │   ├── RecordRefused            422  a record that its store does not take
    │   ├── BadRange                 416  bytes that a file does not have
    │   ├── UnknownSystem            422  a system that a run does not compare
    │   └── BadPath, BadUpload       400  the datastore's hub: a path, a commit or a large file
    ├── NotFound                     404  there is no such thing
    │   ├── EntityNotFound                an entity of the NeMo services
    │   ├── HubNotFound, ModelNotFound    what a hub does not have
    │   ├── ModelNotHere                  what may not be fetched
    │   ├── NoSuchFile                    a data set has no such file
    │   ├── UnknownSample                 a record that a run does not compare
    │   └── RepoNotFound, RevisionNotFound, EntryNotFound, NamespaceNotFound   in the datastore
    ├── Conflict                     409  it exists already, or is in a state that forbids this
    │   ├── EntityExists, RepoExists, NameTaken
    │   ├── NamespaceInUse, ProtectedBranch
    │   └── StaleParent              412  somebody else committed first
    ├── Unavailable                  503  not now: starting, full, busy
    │   ├── LogStoreUnreachable, LogStoreOverloaded, LogStoreBusy   the records', the same, or too much to do
    │   ├── ServiceAway                   one of the NeMo services, named
    │   ├── RunStoreAway, BrokerAway      the server of the runs, or of wake-ups, cannot be reached
    │   └── StorageFull              507  the disk took no more; nothing was half-written
    └── UpstreamError                502  a server that we called failed or answered nonsense
        ├── RunStoreFailed           502  the server of the runs refused
        ├── LogStoreDenied, LogStoreRefused   the server of the records refused
        ├── HubError                 502  a hub failed or could not be reached
        ├── MlflowFailed             502  a tracker failed or could not be reached
        └── ChatError                502  a model behind the OpenAI protocol gave no answer
            ├── ChatUnreachable           no connection
            ├── ChatTimeout               no answer in time
            ├── ChatBusy                  429 or 5xx: worth another try, maybe after `retry_after` seconds
            ├── ChatRejected              another 4xx: the same request will fail again
            └── ChatUnreadable            an answer that is no chat completion
"""

from __future__ import annotations

from typing import ClassVar

from flywheel.hidden import scrub


class FlywheelError(Exception):
    """The root. `status` is the HTTP status, `code` a stable word for programs."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __str__(self) -> str:
        """Without any secret: a message may hold the words of a server, and those what it was sent."""
        return scrub(super().__str__())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class UserError(FlywheelError):
    status = 422
    code = "invalid"


class ConfigError(UserError):
    code = "config"


class NotFound(FlywheelError):
    status = 404
    code = "not_found"


class Conflict(FlywheelError):
    status = 409
    code = "conflict"


class Unavailable(FlywheelError):
    status = 503
    code = "unavailable"


class StorageFull(Unavailable):
    """`what` could not be written because the file system is full."""

    status = 507
    code = "storage_full"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"no space left on the disk: {what} was not stored; free some space and try again")


class UpstreamError(FlywheelError):
    status = 502
    code = "upstream"


class ChatError(UpstreamError):
    """`model` at `url` gave no answer."""

    code = "chat_failed"

    def __init__(self, url: str, model: str, detail: str) -> None:
        self.url, self.model, self.detail = url, model, detail
        super().__init__(f"model {model!r} at {url}: {detail}")


class ChatUnreachable(ChatError):
    code = "chat_unreachable"


class ChatTimeout(ChatError):
    code = "chat_timeout"


class ChatBusy(ChatError):
    """`retry_after` is in seconds, None where the server did not say."""

    code = "chat_busy"

    def __init__(
        self, url: str, model: str, detail: str, http_status: int, retry_after: float | None
    ) -> None:
        self.http_status, self.retry_after = http_status, retry_after
        super().__init__(url, model, f"answered {http_status}: {detail}")


class ChatRejected(ChatError):
    """401, 403 and 404 are the machinery's fault (key, name); 400, 413 and 422 are this request's."""

    code = "chat_rejected"

    def __init__(self, url: str, model: str, detail: str, http_status: int) -> None:
        self.http_status = http_status
        super().__init__(url, model, f"answered {http_status}: {detail}")


class ChatUnreadable(ChatError):
    code = "chat_unreadable"
