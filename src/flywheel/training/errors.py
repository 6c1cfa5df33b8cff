"""What stops a training, each with one clear sentence; drawn in `flywheel.errors` as `TrainingError`."""

from __future__ import annotations

from pathlib import Path

from flywheel.errors import UserError


class TrainingError(UserError):
    """The training cannot start or go on, and the same SPEC will not do better."""

    code = "training"


class BadSpec(TrainingError):
    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} is not a training SPEC: {problem}")


class Unsupported(TrainingError):
    """`field` asks for something that this engine does not do."""

    def __init__(self, field: str, value: object, supported: str) -> None:
        super().__init__(f"{field} = {value!r} is not supported here; supported: {supported}")


class ModelUnusable(TrainingError):
    def __init__(self, model: str, problem: str) -> None:
        super().__init__(f"the model {model!r} cannot be trained: {problem}")


class BadRow(TrainingError):
    """`line` (from 1) of `path` is not a training row."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        super().__init__(f"{path}:{line}: {problem}")


class NothingToTrain(TrainingError):
    def __init__(self, paths: list[Path], why: str) -> None:
        names = ", ".join(str(path) for path in paths) or "no file was named"
        super().__init__(f"there is nothing to train on ({names}): {why}")


class OutputTaken(TrainingError):
    """The output folder holds the work of another SPEC."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} holds a training with other data or settings; name an empty output_dir")
