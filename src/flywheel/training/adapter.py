"""The result of a training as files: a PEFT adapter folder that is either complete or not there.

`flywheel.json` beside the tensors tells what the adapter is and the SHA-256 of `adapter_model.safetensors`,
which is how a server knows that a name still means the same weights.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

CONFIG, TENSORS, CARD = "adapter_config.json", "adapter_model.safetensors", "flywheel.json"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finished(folder: Path) -> dict[str, Any] | None:
    """The card of a complete adapter at `folder`, or None."""
    try:
        card = json.loads((folder / CARD).read_bytes())
        whole = (folder / CONFIG).is_file() and card["sha256"] == sha256_of(folder / TENSORS)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return card if whole else None


def publish(draft: Path, folder: Path, base_model: str, card: dict[str, Any]) -> dict[str, Any]:
    """Turn what PEFT saved in `draft` into the adapter at `folder`, in one rename; returns its card.

    The base is named as the world knows it, not by the folder that it was loaded from.
    """
    card = {"sha256": sha256_of(draft / TENSORS), "base_model": base_model, **card}
    config = json.loads((draft / CONFIG).read_bytes())
    config["base_model_name_or_path"] = base_model
    if isinstance(config.get("target_modules"), list):
        config["target_modules"].sort()  # PEFT keeps a set; the same training should write the same file.
    (draft / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    for path in draft.iterdir():
        if path.name not in (CONFIG, TENSORS):
            path.unlink()  # PEFT adds a model card with nothing filled in.
    (draft / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for path in (*draft.iterdir(), draft):
        _sync(path)
    shutil.rmtree(folder, ignore_errors=True)  # What is there, is incomplete.
    draft.replace(folder)
    return card


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
