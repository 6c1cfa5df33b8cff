"""What can be trained, and how: the customizer's targets and configs.

A target is a base model; a config allows ways of training one. Those of the settings are written at every
start, so that a changed setting is not shadowed by an old entry. Training itself is elsewhere.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from flywheel.errors import NotFound, UserError
from flywheel.hub import DEMO_STUDENT, ModelNotFound, resolve_model
from flywheel.nemo.conventions import Deleted, ListQuery, Page, check_name, new_id
from flywheel.nemo.customization import ConfigBody, Precision, TargetBody, TrainingOption
from flywheel.stores.entities import Document, Entities, EntityExists, EntityNotFound

TARGETS, CONFIGS = "customization targets", "customization configs"
_TEMPLATE_SUFFIXES = ("local", "A100", "L40", "80GB")
_FIXED = frozenset({"id", "name", "namespace", "created_at", "updated_at"})
Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True)
class Target:
    """A base model of the settings: `name` is `ns/name@version`, `model_path` a folder or a hub's name."""

    name: str
    base_model: str
    model_path: str
    max_seq_length: int
    gpus: int = 1
    precision: Precision = "bf16-mixed"


class UnknownReference(NotFound):
    """A request refers to a config or target that is not there; the message names those that are."""

    def __init__(self, what: str, reference: str, known: Sequence[str]) -> None:
        self.what, self.reference, self.known = what, reference, known
        there = ", ".join(sorted(known)[:10]) or "none yet"
        super().__init__(f"{what} {reference!r} does not exist; there are: {there}")


class BadField(UserError):
    """A change would make an entity invalid."""

    def __init__(self, error: ValidationError) -> None:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        super().__init__(f"{where}: {first['msg']}, not {first['input']!r}")


class Catalog:
    """Targets and configs in `entities`. Documents go out as they are on the wire."""

    def __init__(self, entities: Entities) -> None:
        self._entities = entities

    def seed(self, targets: Iterable[Target]) -> None:
        """Write the targets of the settings, each with template configs, over what an earlier start wrote."""
        for target in targets:
            namespace, _, name = target.name.rpartition("/")
            namespace = namespace.split("/")[0] or "default"
            body = TargetBody(
                name=name,
                namespace=namespace,
                base_model=target.base_model,
                model_path=target.model_path,
                num_parameters=count_parameters(_local_folder(target.model_path)),
                precision=target.precision,
            )
            self._put(TARGETS, _target_document(body))
            option = TrainingOption(training_type="sft", finetuning_type="lora", num_gpus=target.gpus)
            for suffix in _TEMPLATE_SUFFIXES:
                config = ConfigBody(
                    name=f"{name.partition('@')[0]}@v1.0.0+{suffix}",
                    namespace=namespace,
                    target=f"{namespace}/{name}",
                    training_options=[option],
                    training_precision=target.precision,
                    max_seq_length=target.max_seq_length,
                )
                self._put(CONFIGS, _config_document(config))

    def create_target(self, body: TargetBody) -> Document:
        return self._entities.create(TARGETS, _target_document(body))

    def target(self, namespace: str, name: str) -> Document:
        return self._entities.get(TARGETS, namespace, name)

    def targets(self, query: ListQuery) -> Page[Document]:
        return self._entities.list(TARGETS, query)

    def change_target(self, namespace: str, name: str, change: Mapping[str, Any]) -> Document:
        found = self.target(namespace, name)
        return self._entities.update(
            TARGETS, found["id"], lambda old: _checked(TargetBody, _merged(old, change))
        )

    def delete_target(self, namespace: str, name: str) -> Deleted:
        return Deleted(id=self._entities.delete(TARGETS, self.target(namespace, name)["id"])["id"])

    def create_config(self, body: ConfigBody) -> Document:
        """Raises UnknownReference for a target that is not there."""
        if isinstance(body.target, str):
            self.find_target(body.target)
        return self._expanded(self._entities.create(CONFIGS, _config_document(body)))

    def config(self, namespace: str, name: str) -> Document:
        return self._expanded(self._entities.get(CONFIGS, namespace, name))

    def configs(self, query: ListQuery) -> Page[Document]:
        """Filters as NeMo's: beside a config's own fields, its target's and its training options'."""
        documents = {doc["id"]: self._expanded(doc) for doc in self._entities.all(CONFIGS)}
        page = query.select(_searchable(doc) for doc in documents.values())
        return page.model_copy(update={"data": [documents[found["id"]] for found in page.data]})

    def change_config(self, namespace: str, name: str, change: Mapping[str, Any]) -> Document:
        """Merge `change`; `add_training_options` and `remove_training_options` edit the list of options."""
        found = self._entities.get(CONFIGS, namespace, name)

        def apply(old: Document) -> Document:
            changes = dict(change)
            added, removed = (
                changes.pop("add_training_options", []),
                changes.pop("remove_training_options", []),
            )
            new = _merged(old, changes)
            gone = {_option_key(option) for option in [*removed, *added]}
            new["training_options"] = [
                *(option for option in new["training_options"] if _option_key(option) not in gone),
                *added,
            ]
            return _checked(ConfigBody, new)

        return self._expanded(self._entities.update(CONFIGS, found["id"], apply))

    def delete_config(self, namespace: str, name: str) -> Deleted:
        found = self._entities.get(CONFIGS, namespace, name)
        return Deleted(id=self._entities.delete(CONFIGS, found["id"])["id"])

    def find_config(self, reference: str | ConfigBody) -> Document:
        """The config that a job means, with its target; inline ones are taken as given."""
        if isinstance(reference, ConfigBody):
            return self._expanded(_config_document(reference))
        return self._expanded(self._find(CONFIGS, "config", reference))

    def find_target(self, reference: str) -> Document:
        return self._find(TARGETS, "target", reference)

    def _find(self, collection: str, what: str, reference: str) -> Document:
        """By `ns/name`; else by the whole text as a name, for `meta/llama@1.0` kept in one namespace."""
        namespace, _, name = reference.partition("/")
        for place in ((namespace, name), ("default", reference)):
            try:
                return self._entities.get(collection, *place)
            except EntityNotFound:
                continue
        documents = self._entities.all(collection)
        for document in documents:
            if document["name"] == reference:
                return document
        raise UnknownReference(what, reference, [f"{d['namespace']}/{d['name']}" for d in documents])

    def _expanded(self, config: Document) -> Document:
        target = config["target"]
        if not isinstance(target, str):
            return config
        try:
            return {**config, "target": self.find_target(target)}
        except UnknownReference:
            return config  # Its target was deleted; a job on it is refused, showing it is not.

    def _put(self, collection: str, document: Document) -> None:
        try:
            self._entities.create(collection, document)
        except EntityExists:
            old = self._entities.get(collection, document["namespace"], document["name"])
            self._entities.update(collection, old["id"], lambda was: {**was, **document, "id": was["id"]})


def _local_folder(model_path: str) -> Path:
    """Where the model lies already; what a hub has is not fetched before it is needed."""
    if model_path != DEMO_STUDENT:
        return Path(model_path)
    try:
        return resolve_model(model_path, cache_dir=Path())
    except ModelNotFound:
        return Path(model_path)


def count_parameters(model: Path) -> int:
    """Parameters of a model folder, from the headers of its safetensors files; 0 where there are none."""
    total = 0
    for file in model.glob("*.safetensors") if model.is_dir() else ():
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
        total += sum(prod(tensor["shape"]) for key, tensor in header.items() if key != "__metadata__")
    return total


def _target_document(body: TargetBody) -> Document:
    doc = _entity("customization_target", body)
    path = doc["model_path"] or doc["base_model"] or (doc["model_uri"] or "").removeprefix("hf://")
    return {
        **doc,
        "base_model": doc["base_model"] or doc["name"].partition("@")[0],
        "model_path": path or doc["name"].partition("@")[0],
        "model_type": "hf",
        "status": "ready",
    }


def _config_document(body: ConfigBody) -> Document:
    doc = _entity("customization_config", body)
    if isinstance(body.target, TargetBody):
        doc["target"] = _target_document(body.target)
    return doc


def _entity(prefix: str, body: TargetBody | ConfigBody) -> Document:
    entity_id = new_id(prefix)
    doc: Document = {
        "description": None,
        "project": None,
        "custom_fields": {},
        "ownership": None,
        **body.model_dump(mode="json"),
        "id": entity_id,
        "schema_version": "1.0",
    }
    doc["name"] = check_name("name", doc["name"] or entity_id, slashes=True)
    check_name("namespace", doc["namespace"])
    return doc


def _searchable(config: Document) -> Document:
    options, target = config["training_options"], config["target"]
    target = target if isinstance(target, dict) else {"name": target}
    return {
        **config,
        "training_type": [option["training_type"] for option in options],
        "finetuning_type": [option["finetuning_type"] for option in options],
        "target_base_model": target.get("base_model"),
        "target_name": target["name"],
        "target_enabled": target.get("enabled", False),
        "num_parameters": target.get("num_parameters", 0),
    }


def _merged(old: Document, change: Mapping[str, Any]) -> Document:
    return {**old, **{key: value for key, value in change.items() if key not in _FIXED}}


def _checked(body: type[Body], document: Document) -> Document:
    try:
        return {**document, **body.model_validate(document).model_dump(mode="json")}
    except ValidationError as error:
        raise BadField(error) from error


def _option_key(option: Mapping[str, Any]) -> tuple[Any, Any]:
    return option.get("training_type"), option.get("finetuning_type")
