"""Runs to Weights & Biases in offline mode: the one door to its client. Nothing leaves the machine.

Each candidate becomes an offline run in a folder, a project for each workload, which `wandb sync FOLDER/*`
uploads later, by whom and where to is the user's business. The run's name is made of the candidate's, so a
second export takes the place of the first one, here and, once synced, there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault(
    "WANDB_ERROR_REPORTING", "false"
)  # Read at import: crashes would be told to its makers.

import wandb

from flywheel.errors import UpstreamError
from flywheel.exports.tables import Document
from flywheel.exports.tracked import Losses, Tracked, tracked

_LONGEST_TAG = 64


class WandbFailed(UpstreamError):
    """The client of Weights & Biases could not write a run."""

    code = "wandb"

    def __init__(self, folder: Path, cause: str) -> None:
        self.folder, self.cause = folder, cause
        super().__init__(f"Weights & Biases in {folder}: {cause}")


def written(job: Document, losses: Losses, artefacts: Mapping[str, bytes], folder: Path) -> dict[str, Path]:
    """Write every candidate of a run's document as an offline run under `folder`; the folder of each.

    `artefacts` (name → content) go with each of them. Raises WandbFailed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return {entry.candidate: _run(entry, artefacts, folder) for entry in tracked(job, losses)}
    except (wandb.Error, OSError) as error:
        raise WandbFailed(folder, " ".join(str(error).split())[:500] or type(error).__name__) from error
    finally:
        wandb.teardown()


def _run(entry: Tracked, artefacts: Mapping[str, bytes], folder: Path) -> Path:
    name = f"{entry.run_id}-{hashlib.sha256(entry.candidate.encode()).hexdigest()[:8]}"
    for earlier in (folder / "wandb").glob(f"offline-run-*-{name}"):
        shutil.rmtree(earlier)
    run = wandb.init(
        project=re.sub(r"[/\\#?%:]", "-", entry.group)[:128],
        id=name,
        name=entry.title,
        group=entry.run_id,
        config={**entry.parameters, **entry.tags},
        tags=[each[:_LONGEST_TAG] for each in _marks(entry)],
        settings=_settings(folder),
    )
    failed = True
    try:
        home = Path(run.dir)
        steps: dict[int, dict[str, float]] = {}
        for point in entry.points:
            if point.name.endswith("_loss"):
                steps.setdefault(point.step, {})[point.name] = point.value
            else:
                run.summary[point.name] = point.value
        for step, values in sorted(steps.items()):
            run.log(values, step=step)
        for artefact, content in artefacts.items():
            (home / artefact).write_bytes(content)
            run.save(home / artefact, base_path=home, policy="end")
        failed = entry.failed
    finally:
        run.finish(exit_code=int(failed))
    return home.parent


def _marks(entry: Tracked) -> list[str]:
    chosen = entry.tags.get("flywheel.chosen") == "true"
    verdict = entry.tags.get("flywheel.verdict", "").partition(":")[0]
    return [entry.candidate, *(["chosen"] if chosen else []), *([verdict] if verdict else [])]


def _settings(folder: Path) -> wandb.Settings:
    """Offline, and nothing told about this machine: no host, no packages, no code, no use of it."""
    return wandb.Settings(
        mode="offline",
        root_dir=str(folder),
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        save_code=False,
        disable_job_creation=True,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        host="flywheel",
    )
