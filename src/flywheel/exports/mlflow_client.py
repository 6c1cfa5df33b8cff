"""The one door to MLflow's client, which is told its address by each call and keeps no global state.

A candidate's run is found again by its tags, and metrics carry the times of the run's document, so a second
export brings the first one up to date and doubles nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from requests import RequestException

from flywheel.errors import UpstreamError
from flywheel.exports.tracked import Tracked

T = TypeVar("T")

_METRICS, _PAIRS = 500, 100
"""What one call may carry; MLflow's own limits are 1,000 and 100."""
_LONGEST_PARAMETER, _LONGEST_TAG = 6000, 5000


class MlflowFailed(UpstreamError):
    """The MLflow server at `url` could not be reached, or refused."""

    code = "mlflow"

    def __init__(self, url: str, cause: str) -> None:
        self.url, self.cause = url, cause
        super().__init__(f"MLflow at {url}: {cause}")


def log(
    url: str, experiment: str, place: str | None, entries: Sequence[Tracked], artefacts: Mapping[str, bytes]
) -> dict[str, str]:
    """Log the candidates of one run; the page of each one's MLflow run. `place` is where a new experiment's
    artefacts go, None where the server knows best. Raises MlflowFailed.
    """
    if not entries:
        return {}
    try:
        client = MlflowClient(tracking_uri=url)
        home = _experiment(client, experiment, place)
        known = _known(client, home, entries[0].run_id)
        return {
            entry.candidate: f"{url}/#/experiments/{home}/runs/"
            + _logged(client, home, entry, known.get(entry.candidate), artefacts)
            for entry in entries
        }
    except (MlflowException, RequestException) as error:
        raise MlflowFailed(url, " ".join(str(error).split())[:500] or type(error).__name__) from error


def _experiment(client: MlflowClient, name: str, place: str | None) -> str:
    """Its id; made where it is not there, brought back where somebody deleted it."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, place))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # Another worker may have been faster.
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _known(client: MlflowClient, experiment: str, run_id: str) -> dict[str, Run]:
    """What an earlier export logged of this run, by candidate."""
    found = client.search_runs([experiment], f"tags.`flywheel.run_id` = '{run_id}'", max_results=1000)
    return {run.data.tags.get("flywheel.candidate", ""): run for run in found}


def _logged(
    client: MlflowClient, experiment: str, entry: Tracked, known: Run | None, artefacts: Mapping[str, bytes]
) -> str:
    tags = {name: value[:_LONGEST_TAG] for name, value in entry.tags.items()}
    if known is None:
        # With its tags from the start: an export that is cut off here is found by the next one.
        known = client.create_run(experiment, entry.began_ms, tags, entry.title)
    run_id, given = str(known.info.run_id), known.data.params
    parameters = [
        Param(name, value[:_LONGEST_PARAMETER])
        for name, value in entry.parameters.items()
        if name not in given  # A parameter can be said only once.
    ]
    metrics = [Metric(point.name, point.value, point.at_ms, point.step) for point in entry.points]
    for tags_part in _parts([RunTag(name, value) for name, value in tags.items()], _PAIRS):
        client.log_batch(run_id, tags=tags_part)
    for parameters_part in _parts(parameters, _PAIRS):
        client.log_batch(run_id, params=parameters_part)
    for metrics_part in _parts(metrics, _METRICS):
        client.log_batch(run_id, metrics=metrics_part)
    with tempfile.TemporaryDirectory(prefix="flywheel-mlflow-") as folder:
        for name, content in artefacts.items():
            Path(folder, name).write_bytes(content)
        client.log_artifacts(run_id, folder)
    client.set_terminated(run_id, "FAILED" if entry.failed else "FINISHED", entry.ended_ms)
    return run_id


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[at : at + size] for at in range(0, len(items), size))
