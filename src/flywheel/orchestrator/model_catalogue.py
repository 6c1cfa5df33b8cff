"""The models: the candidates of the configuration, and the adapters that runs have trained of them.

A list takes one call to each service, however many adapters there are; files and lineage in full are told of
one model only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal
from urllib.parse import urlencode

from flywheel.config import NimConfig
from flywheel.hub import Download
from flywheel.nemo.calls import ServiceCallFailed
from flywheel.nemo.conventions import BadName, check_name
from flywheel.nemo.deployment import ModelDeployment
from flywheel.nemo.entity_store import Model
from flywheel.orchestrator.catalogue import (
    RUN_FIELD,
    asking,
    listing,
    opened,
    run_behind,
    size_of,
    text_in,
    when,
)
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.errors import FileNotListed, ModelNotListed
from flywheel.stores.runs import Run

Kind = Literal["base", "adapter"]
Row = dict[str, Any]

_STATES = {"upload_completed": "ready", "created": "training", "upload_failed": "failed"}
_WEIGHTS = "adapter_model.safetensors"


class Models:
    """The catalogue of models. Raises ServiceAway, naming the service that does not answer."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def page(self, *, search: str, kind: Kind | None, offset: int, limit: int) -> tuple[list[Row], int]:
        """A part of the list, and how many models match: base models first, then adapters, newest first.

        `search` is looked for in the name.
        """
        wanted = search.casefold()
        nims = [nim for nim in self._context.settings.nims if wanted in nim.model_name.casefold()]
        nims = nims if kind in (None, "base") else []
        shown = nims[offset : offset + limit]
        adapters: list[Model] = []
        total = 0
        if kind in (None, "adapter"):
            query = {"filter[namespace]": self._context.namespace, "filter[peft]": "true"}
            query |= {"search[name]": search} if search else {}
            with asking("entity store"):
                part = self._context.services.looks.entities.models_between(
                    max(0, offset - len(nims)), limit - len(shown), query
                )
            adapters, total = part.data, part.total
        served = _Served(self._context)
        return [
            *(_base(nim, served) for nim in shown),
            *(_adapter(model, served) for model in adapters),
        ], len(nims) + total

    def one(self, name: str) -> Row:
        """Everything about a model. Raises ModelNotListed."""
        served = _Served(self._context)
        nim = self._nim(name)
        if nim is not None:
            return _base(nim, served) | {"files": []}
        model = self._entity(name)
        files = listing(_files_url(model), "model", self._context)
        run = self._run(model)
        digest = text_in(model.custom_fields, "sha256")
        return _adapter(model, served) | {
            "sha256": digest or next((file.sha256 for file in files if file.path == _WEIGHTS), None),
            "size_bytes": size_of(files),
            "lineage": _lineage(model, run),
            "scores": _scores(name, run),
            "files": [
                {
                    "path": file.path,
                    "size_bytes": file.size,
                    "download": f"/api/model-files?{urlencode({'name': name, 'path': file.path})}",
                }
                for file in files
            ],
        }

    def open(self, name: str, path: str, byte_range: str | None) -> Download:
        """A file of an adapter. Raises ModelNotListed, FileNotListed and BadRange."""
        if self._nim(name) is not None:
            raise FileNotListed(f"the base model {name}, whose files are not kept here,", path)
        return opened(_files_url(self._entity(name)), path, "model", self._context, byte_range)

    def _nim(self, name: str) -> NimConfig | None:
        return next((nim for nim in self._context.settings.nims if nim.model_name == name), None)

    def _entity(self, name: str) -> Model:
        namespace, _, rest = name.partition("/")
        try:
            check_name("namespace", namespace)
            check_name("name", rest)
        except BadName as error:
            raise ModelNotListed(name) from error
        with asking("entity store"):
            found = self._context.services.looks.entities.model(namespace, rest)
        if found is None:
            raise ModelNotListed(name)
        return found

    def _run(self, model: Model) -> Run | None:
        """The run that trained the adapter: named by the entity, or else by the customization job."""
        if RUN_FIELD in model.custom_fields:
            return run_behind(model.custom_fields, self._context)
        job_id = text_in(model.custom_fields, "customization_job") or (model.name or "").partition("@")[2]
        if not job_id:
            return None
        try:
            with asking("customizer"):
                job = self._context.services.looks.customizer.job(job_id)
        except ServiceCallFailed:  # It knows no such job: the adapter came from elsewhere.
            return None
        return run_behind(job.custom_fields, self._context)


class _Served:
    """What answers now, and what is deployed."""

    def __init__(self, context: Context) -> None:
        looks = context.services.looks
        with asking("model proxy"):
            self.names = {model.id for model in looks.proxy.models()}
        with asking("deployment manager"):
            self._deployments = [(each, _deployed(each)) for each in looks.deployments.list()]

    def deployments(self, names: Iterable[str]) -> list[Row]:
        """The deployments of any of these models."""
        wanted = set(names)
        return [
            {"name": each.name, "status": each.status}
            for each, models in self._deployments
            if models & wanted
        ]


def _deployed(deployment: ModelDeployment) -> set[str]:
    config = (deployment.model_extra or {}).get("config")
    model = config.get("model") if isinstance(config, Mapping) else None
    return {*deployment.models, *([model] if isinstance(model, str) else [])}


def _base(nim: NimConfig, served: _Served) -> Row:
    name = nim.model_name
    return {
        "name": name,
        "kind": "base",
        "base_model": None,
        "status": "ready",
        "engine": nim.engine,
        "context_length": nim.context_length,
        "customization_enabled": nim.customization_enabled,
        "sha256": None,
        "size_bytes": None,
        "created_at": None,
        "served": name in served.names,
        "deployments": served.deployments([name]),
        "lineage": None,
    }


def _adapter(model: Model, served: _Served) -> Row:
    """Of an adapter that answers, those deployments are told that serve it: its base model's."""
    name = f"{model.namespace}/{model.name}"
    parent = text_in(model.base_model, "name") if isinstance(model.base_model, dict) else model.base_model
    answers = name in served.names
    status = _STATES.get(model.artifact.status, "unknown") if model.artifact else "unknown"
    return {
        "name": name,
        "kind": "adapter",
        "base_model": parent,
        "status": status,
        "sha256": text_in(model.custom_fields, "sha256"),
        "size_bytes": None,
        "created_at": when(model.created_at),
        "served": answers,
        "deployments": served.deployments([name, *([parent] if parent and answers else [])]),
        "lineage": _traced(model.custom_fields),
    }


def _traced(fields: Mapping[str, Any]) -> Row | None:
    """Run and workload, as the entity remembers them."""
    run_id = text_in(fields, RUN_FIELD)
    if run_id is None:
        return None
    return {
        "run_id": run_id,
        "client_id": text_in(fields, "client_id"),
        "workload_id": text_in(fields, "workload_id"),
    }


def _lineage(model: Model, run: Run | None) -> Row | None:
    """From the adapter to its run, the data set that it was trained on, and the records that made that."""
    if run is None:
        return _traced(model.custom_fields)
    dataset, told = run.dataset("train"), {"name", "sha256", "num_records", "files"}
    curation = run.curation or {}
    return {
        "run_id": run.id,
        "client_id": run.client_id,
        "workload_id": run.workload_id,
        "dataset": dataset.model_dump(include=told) if dataset else None,
        "records": {
            "count": curation.get("records_in"),
            "first": curation.get("first"),
            "last": curation.get("last"),
        },
    }


def _scores(name: str, run: Run | None) -> dict[str, Any]:
    """What the adapter's own run measured, by metric; empty before that."""
    for candidate in run.candidates if run else ():
        training, measured = candidate.customization, candidate.evaluation("customized-eval")
        if training and training.customized_model == name and measured:
            kept = {"value", "n", "low", "high"}
            return {metric: score.model_dump(include=kept) for metric, score in measured.scores.items()}
    return {}


def _files_url(model: Model) -> str:
    return model.artifact.files_url if model.artifact else ""
