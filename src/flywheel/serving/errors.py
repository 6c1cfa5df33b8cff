"""What a request to the local server, or its start, can be refused for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flywheel.errors import Conflict, NotFound, Unavailable, UserError


class BadServingSpec(UserError):
    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} is not a serving SPEC: {problem}")


class ModelUnservable(UserError):
    def __init__(self, model: str, problem: str) -> None:
        super().__init__(f"the model {model!r} cannot be served: {problem}")


class PortTaken(Unavailable):
    def __init__(self, host: str, port: int, problem: str) -> None:
        super().__init__(f"cannot listen on {host}:{port}: {problem}; name another port, or 0 for a free one")


class ModelNotServed(NotFound):
    """`model` is neither the base nor a loaded adapter; `served` are."""

    code = "model_not_found"

    def __init__(self, model: str, served: Sequence[str]) -> None:
        self.model, self.served = model, tuple(served)
        super().__init__(f"the model {model!r} is not served here; there are: {', '.join(served)}")


class BadParameter(UserError):
    """A parameter of a request that this server cannot honour."""

    status = 400
    code = "invalid_request"

    def __init__(self, name: str, value: object, right: str) -> None:
        super().__init__(f"{name} = {value!r}: {right}")


class ContextTooLong(UserError):
    status = 400
    code = "context_length_exceeded"

    def __init__(self, prompt_tokens: int, max_model_len: int) -> None:
        self.prompt_tokens, self.max_model_len = prompt_tokens, max_model_len
        super().__init__(
            f"the prompt has {prompt_tokens} tokens; this model takes at most {max_model_len}, "
            "with at least one of them for the answer"
        )


class TextTooLong(UserError):
    status = 400
    code = "context_length_exceeded"

    def __init__(self, tokens: int, max_model_len: int) -> None:
        self.tokens, self.max_model_len = tokens, max_model_len
        super().__init__(f"a text has {tokens} tokens; this model takes at most {max_model_len}")


class AdapterInvalid(UserError):
    status = 400
    code = "adapter_invalid"

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"the adapter {name!r} cannot be loaded: {problem}")


class AdapterConflict(Conflict):
    """A name means the same weights for ever."""

    code = "adapter_conflict"

    def __init__(self, name: str, known: str, offered: str) -> None:
        super().__init__(
            f"the adapter {name!r} is known with content sha256:{known[:12]}… and is not replaced by "
            f"sha256:{offered[:12]}…; load other content under another name"
        )


class EngineStopped(Unavailable):
    code = "engine_stopped"

    def __init__(self) -> None:
        super().__init__("the server is shutting down")


class GenerationFailed(Unavailable):
    """The engine could not finish a request, and goes on with others."""

    status = 500
    code = "generation_failed"

    def __init__(self, problem: str) -> None:
        super().__init__(f"generation failed: {problem}")
