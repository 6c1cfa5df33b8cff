"""Entities as they go over the wire: request bodies, generated fields, and keys that nobody gets to see
again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flywheel.nemo.conventions import check_name, new_id, timestamp

Document = dict[str, Any]

MASK = "******"
_SECRET = frozenset({"api_key", "hf_token"})


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())

    name: str | None = None
    namespace: str = "default"
    description: str | None = None
    project: str | None = None
    custom_fields: dict[str, Any] = Field(default_factory=dict)
    ownership: dict[str, Any] | None = None

    def entity(self, prefix: str) -> Document:
        """A document with the fields that the server gives. Raises BadName."""
        given = self.model_dump(exclude_none=True)
        identity = new_id(prefix)
        name = check_name("name", self.name or identity)
        namespace = check_name("namespace", self.namespace)
        now = timestamp()
        own = {"id": identity, "name": name, "namespace": namespace, "created_at": now, "updated_at": now}
        return {**given, **own}


class ConfigBody(_Body):
    type: str
    params: dict[str, Any] | None = None
    tasks: dict[str, dict[str, Any]] | None = None
    groups: dict[str, Any] | None = None

    def entity(self, prefix: str = "eval-config") -> Document:
        """Also the data sets inside get what NeMo gives them."""
        entity = {"schema_version": "1.0", **super().entity(prefix)}
        if self.tasks is not None:
            entity["tasks"] = {name: _with_dataset(task) for name, task in self.tasks.items()}
        return entity


class TargetBody(_Body):
    type: Literal["model", "cached_outputs", "retriever", "rag", "rows", "dataset"]
    model: str | dict[str, Any] | None = None
    dataset: str | dict[str, Any] | None = None
    cached_outputs: dict[str, Any] | None = None
    rows: list[dict[str, Any]] | None = None

    def entity(self, prefix: str = "eval-target") -> Document:
        return {"schema_version": "1.0", **super().entity(prefix)}


class JobBody(_Body):
    config: str | ConfigBody
    target: str | TargetBody
    output_files_url: str | None = None


class ResultBody(_Body):
    job: str
    files_url: str | None = None
    tasks: dict[str, Any] = Field(default_factory=dict)
    groups: dict[str, Any] = Field(default_factory=dict)

    def entity(self, prefix: str = "evaluation_result") -> Document:
        empty = {"description": None, "files_url": None, "ownership": None, "project": None}
        return {**empty, **super().entity(prefix)}


def _with_dataset(task: Document) -> Document:
    dataset = task.get("dataset")
    if not isinstance(dataset, dict):
        return task
    identity, now = new_id("dataset"), timestamp()
    made = {
        "schema_version": "1.0",
        "id": identity,
        "name": identity,
        "namespace": "default",
        "version_id": "main",
        "version_tags": [],
        "created_at": now,
        "updated_at": now,
        "custom_fields": {},
    }
    return {**task, "dataset": {**made, **dataset}}


def masked(value: Any) -> Any:
    """`value` with every key and token in it hidden."""
    if isinstance(value, Mapping):
        return {
            key: MASK if key in _SECRET and isinstance(item, str) and item else masked(item)
            for key, item in value.items()
        }
    return [masked(item) for item in value] if isinstance(value, list) else value


def unmasked(new: Any, old: Any) -> Any:
    """`new` with hidden keys that came back from a client taken from `old`."""
    if isinstance(new, Mapping):
        before = old if isinstance(old, Mapping) else {}
        return {
            key: before.get(key, item) if key in _SECRET and item == MASK else unmasked(item, before.get(key))
            for key, item in new.items()
        }
    if isinstance(new, list):
        earlier = old if isinstance(old, list) else []
        return [unmasked(v, earlier[i] if i < len(earlier) else None) for i, v in enumerate(new)]
    return new
