"""The command: read the SPEC, train, and say in one sentence what went wrong if something did.

Exit codes: 0 the adapter is complete, 1 failed (event `failed`), 143 stopped by SIGTERM with the checkpoint
kept.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import traceback
from pathlib import Path

from flywheel.errors import FlywheelError, StorageFull
from flywheel.lifeline import exit_at_stdin_eof
from flywheel.training.adapter import finished
from flywheel.training.errors import TrainingError
from flywheel.training.progress import Progress
from flywheel.training.spec import TrainingSpec, read_spec

STOPPED = 143
FULL = (errno.ENOSPC, errno.EDQUOT)
LITTLE_SPACE = 1 << 20


def main() -> int:
    if len(sys.argv) != 2:
        return _say("usage: python -m flywheel.training SPEC.json")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    try:
        spec = read_spec(Path(sys.argv[1]))
    except TrainingError as error:
        return _say(str(error))
    if spec.stdin_lifeline:
        exit_at_stdin_eof(STOPPED)
    try:
        return _run(spec)
    except Exception as error:  # noqa: BLE001 - the last door: whatever it was, the reader of the progress must know
        if not isinstance(error, FlywheelError):
            traceback.print_exc()
        message = _message(error, spec.output_dir)
        try:
            Progress(spec.output_dir / "progress.jsonl").emit("failed", message=message)
        except OSError as second:
            _say(f"{spec.output_dir} cannot be written: {second.strerror}")
        return _say(message)


def _run(spec: TrainingSpec) -> int:
    progress = Progress(spec.output_dir / "progress.jsonl")
    card = finished(spec.output_dir / "adapter")
    if card is not None:
        if progress.last().get("event") != "completed":
            progress.emit(
                "completed", percent=100.0, **{k: card.get(k) for k in ("step", "train_loss", "val_loss")}
            )
        return 0
    # torch takes seconds to load, which the above need not wait for.
    from flywheel.training.train import train  # noqa: PLC0415

    return 0 if train(spec, progress) else STOPPED


def _message(error: Exception, folder: Path) -> str:
    if isinstance(error, FlywheelError):
        return str(error)
    if (isinstance(error, OSError) and error.errno in FULL) or _full(folder):
        return str(StorageFull(f"the training in {folder}"))
    return f"unforeseen {type(error).__name__}: {error}"


def _full(folder: Path) -> bool:
    """Writers in native code hide the errno; a full disk is told by looking."""
    try:
        return shutil.disk_usage(folder).free < LITTLE_SPACE
    except OSError:
        return False


def _say(message: str) -> int:
    sys.stderr.write(message + "\n")
    return 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # torch takes a second to take itself down; nothing is left to be done.
    os._exit(code)
