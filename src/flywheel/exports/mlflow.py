"""Runs to MLflow: an experiment for each workload, a run for each candidate.

The client is a large library, so it is imported (`mlflow_client`, the one door to it) when the first run is
logged. Who may log is said in MLflow's own environment variables: MLFLOW_TRACKING_USERNAME and
MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec

from flywheel.config import MlflowConfig
from flywheel.errors import ConfigError
from flywheel.exports.tables import Document
from flywheel.exports.tracked import Losses, tracked
from flywheel.hidden import hide

_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "60",
}
"""Seconds and tries of one call; the library's own would take ten minutes. What the user has set comes
first."""
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true"}
"""The library would tell its makers how it is used."""
_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


class Mlflow:
    """One MLflow server; safe to use from any thread. Raises ConfigError where the client is not
    installed."""

    def __init__(self, config: MlflowConfig) -> None:
        if find_spec("mlflow") is None:
            raise ConfigError(
                "mlflow_config.enabled: MLflow's client is missing: pip install 'flywheel[mlflow]'"
            )
        self._config = config
        for name in _SECRETS:
            hide(os.environ.get(name))

    def log(self, job: Document, losses: Losses, artefacts: Mapping[str, bytes]) -> dict[str, str]:
        """Log every candidate of a run's document, or bring up to date what an earlier call has logged.

        `artefacts` (name → content) go with each candidate. Returns the page of each candidate's MLflow run.
        Raises MlflowFailed.
        """
        for name, value in (_PATIENCE | _QUIET).items():
            os.environ.setdefault(name, value)
        from flywheel.exports import mlflow_client  # noqa: PLC0415 - optional, and slow to import

        config = self._config
        name = f"{config.experiment_name_prefix}-{job['client_id']}/{job['workload_id']}"
        place = config.artifact_location if "://" in config.artifact_location else None
        return mlflow_client.log(config.tracking_uri, name, place, tracked(job, losses), artefacts)
