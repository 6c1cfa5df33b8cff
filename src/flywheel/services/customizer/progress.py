"""Reads the training program's `progress.jsonl` while it grows, and turns it into NeMo's status fields."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from flywheel.nemo.conventions import timestamp


class Progress:
    """What `path` has said so far. Losses are kept every `log_every` steps; a repeated step replaces itself.

    A resumed training appends to the same file and may repeat steps since its last checkpoint.
    """

    def __init__(self, path: Path, log_every: int) -> None:
        self._path, self._log_every = path, log_every
        self._offset = 0
        self._series: dict[str, dict[int, dict[str, Any]]] = {"train_loss": {}, "val_loss": {}}
        self._latest: dict[str, Any] = {}
        self.failure: str | None = None

    def read(self) -> bool:
        """Take in what was written since the last call; whether there was anything."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return False
        complete = text[: text.rfind(b"\n") + 1]  # The last line may be half written.
        self._offset += len(complete)
        for line in complete.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue  # A line that a crash cut short.
            if isinstance(event, dict):
                self._take(event)
        return bool(complete)

    def details(self) -> dict[str, Any]:
        """The fields of `status_details` that training knows about."""
        latest = self._latest
        keys = [key for key, points in self._series.items() if points]
        epoch = latest.get("epoch")
        fields = {
            "steps_completed": latest.get("step"),
            "steps_total": latest.get("steps_total"),
            "steps_per_epoch": latest.get("steps_per_epoch"),
            "epoch": epoch,
            "epochs_completed": None if epoch is None else math.floor(epoch + 1e-6),
            "percentage_done": _percent(latest),
            "best_epoch": latest.get("best_epoch"),
            "train_loss": latest.get("train_loss"),
            "val_loss": latest.get("val_loss"),
            "tokens_per_second": latest.get("tokens_per_second"),
            "eta_s": latest.get("eta_s"),
            "metrics": {
                "keys": keys,
                "metrics": {key: [p for _, p in sorted(self._series[key].items())] for key in keys},
            },
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        self._latest |= {key: value for key, value in event.items() if value is not None}
        self.failure = str(event.get("message") or "no reason given") if kind == "failed" else None
        step = event.get("step")
        if not isinstance(step, int):
            return
        if kind == "step" and (step == 1 or step % self._log_every == 0 or step == event.get("steps_total")):
            self._point("train_loss", step, event)
        elif kind == "validation":
            self._point("val_loss", step, event)

    def _point(self, key: str, step: int, event: dict[str, Any]) -> None:
        value = event.get(key)
        if isinstance(value, int | float) and math.isfinite(value):
            when = str(event.get("timestamp") or timestamp())
            self._series[key][step] = {"step": step, "value": float(value), "timestamp": when}


def _percent(latest: dict[str, Any]) -> float | None:
    if (percent := latest.get("percent")) is not None:
        return min(100.0, max(0.0, float(percent)))
    step, total = latest.get("step"), latest.get("steps_total")
    return 100.0 * step / total if step is not None and total else None
