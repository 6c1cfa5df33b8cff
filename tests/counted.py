"""Reads what the program has counted, as Prometheus would."""

from __future__ import annotations

from flywheel.telemetry import metrics


def counted(name: str, **labels: str) -> float:
    """The value that the page of metrics shows now."""
    shown = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    wanted = f"{name}{{{shown}}} " if labels else f"{name} "
    lines = [line for line in metrics.page().decode().splitlines() if line.startswith(wanted)]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0
