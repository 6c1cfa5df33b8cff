"""NeMo Entity Store, `/v1/{namespaces,projects,datasets,models}`: what goes over the wire, and the client.

It holds descriptions, never files: a data set's or a model's `files_url` says where those are. Mind that the
model proxy has another `GET /v1/models`, with another answer, at another address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from flywheel.nemo.calls import ServiceClient

T = TypeVar("T", bound=BaseModel)

ArtifactStatus = Literal["created", "upload_completed", "upload_failed"]


class Wire(BaseModel):
    """Whatever else the other side sends is kept."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Ownership(Wire):
    created_by: str | None = None
    updated_by: str | None = None
    access_policies: dict[str, str] | None = None


class Described(Wire):
    """What every entity may say about itself. `project` is free text: there need be no such project."""

    description: str | None = None
    project: str | None = None
    custom_fields: dict[str, Any] = Field(default_factory=dict)
    ownership: Ownership | None = None


class Namespace(Described):
    id: str
    created_at: str | None = None
    updated_at: str | None = None


class Named(Described):
    """`name` is unique in its namespace; left out at creation, it is the id."""

    id: str | None = None
    name: str | None = None
    namespace: str = "default"
    created_at: str | None = None
    updated_at: str | None = None
    schema_version: str = "1.0"


class Project(Named):
    pass


class Dataset(Named):
    """`files_url` is `hf://datasets/NAMESPACE/NAME` or another URL, given back exactly as it came."""

    files_url: str
    format: str | None = None
    split: str | None = None
    limit: int | None = None
    hf_endpoint: str | None = None


class Spec(Wire):
    num_parameters: int = 0
    context_size: int = 0
    num_virtual_tokens: int = 0
    is_chat: bool = True


class Artifact(Wire):
    """A model's files. They are all there when `status` is `upload_completed`, not before."""

    files_url: str
    status: ArtifactStatus = "created"
    backend_engine: str | None = None
    precision: str | None = None
    gpu_arch: str | None = None
    tensor_parallelism: int | None = None


class Peft(Wire):
    finetuning_type: str


class Model(Named):
    """A model; with `base_model` and `peft`, an adapter of another one."""

    base_model: str | dict[str, Any] | None = None
    spec: Spec | None = None
    artifact: Artifact | None = None
    peft: Peft | None = None
    prompt: dict[str, Any] | None = None
    api_endpoint: dict[str, Any] | None = None
    guardrails: dict[str, Any] | None = None
    model_providers: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """A part of a list, and how many entities match in all."""

    data: list[T]
    total: int


class EntityStoreClient(ServiceClient):
    """One entity store. Sync; reads are repeated on passing trouble. Raises ServiceCallFailed.

    Getting what is absent gives None, and deleting it is fine.
    """

    def ensure_namespace(self, namespace: str) -> None:
        """Create the namespace unless it is there."""
        self._call.json("POST", "/v1/namespaces", {"id": namespace}, fine=frozenset({409, 422}))

    def create_dataset(self, body: Mapping[str, Any]) -> Dataset:
        return Dataset.model_validate(self._call.json("POST", "/v1/datasets", dict(body)))

    def dataset(self, namespace: str, name: str) -> Dataset | None:
        return _maybe(Dataset, self._get("datasets", namespace, name))

    def update_dataset(self, namespace: str, name: str, change: Mapping[str, Any]) -> Dataset:
        return Dataset.model_validate(
            self._call.json("PATCH", _path("datasets", namespace, name), dict(change))
        )

    def put_dataset(self, body: Mapping[str, Any]) -> Dataset:
        """Create the data set, or bring the one of that name up to date."""
        namespace, name = body["namespace"], body["name"]
        if self.dataset(namespace, name) is None:
            return self.create_dataset(body)
        return self.update_dataset(namespace, name, body)

    def delete_dataset(self, namespace: str, name: str) -> None:
        self._delete("datasets", namespace, name)

    def create_model(self, body: Mapping[str, Any]) -> Model:
        return Model.model_validate(self._call.json("POST", "/v1/models", dict(body)))

    def model(self, namespace: str, name: str) -> Model | None:
        return _maybe(Model, self._get("models", namespace, name))

    def update_model(self, namespace: str, name: str, change: Mapping[str, Any]) -> Model:
        path = _path("models", namespace, name)
        return Model.model_validate(self._call.json("PATCH", path, dict(change)))

    def delete_model(self, namespace: str, name: str) -> None:
        self._delete("models", namespace, name)

    def models(self, query: Mapping[str, str] | None = None) -> Iterator[Model]:
        """All models that match, such as `{"filter[base_model]": "meta/llama-3.2-1b"}`; oldest first.

        In this order a model that is added meanwhile shifts nothing that was already seen.
        """
        page = 1
        while True:
            asked = {"sort": "created_at", "page_size": "100", **(query or {}), "page": str(page)}
            data = self._call.json("GET", "/v1/models", query=asked)["data"]
            yield from (Model.model_validate(document) for document in data)
            if not data:
                return
            page += 1

    def models_between(self, start: int, count: int, query: Mapping[str, str]) -> Part[Model]:
        """The models from number `start` on, at most `count`, of those that match; newest first."""
        return self._between("models", Model, start, count, query)

    def datasets_between(self, start: int, count: int, query: Mapping[str, str]) -> Part[Dataset]:
        """As `models_between`."""
        return self._between("datasets", Dataset, start, count, query)

    def _between(
        self, collection: str, model: type[T], start: int, count: int, query: Mapping[str, str]
    ) -> Part[T]:
        """The store knows pages only: those two of this size that what is wanted may lie across."""
        size = max(count, 1)
        first, into = divmod(start, size)
        found: list[Any] = []
        total = 0
        for page in (first + 1, first + 2) if into and count else (first + 1,):
            asked = {"sort": "-created_at", **query, "page_size": str(size), "page": str(page)}
            answer = self._call.json("GET", f"/v1/{collection}", query=asked)
            total = answer["pagination"]["total_results"]
            found += answer["data"]
            if page * size >= total:
                break
        return Part([model.model_validate(each) for each in found[into : into + count]], total)

    def _get(self, collection: str, namespace: str, name: str) -> Any:
        return self._call.json("GET", _path(collection, namespace, name), fine=frozenset({404}))

    def _delete(self, collection: str, namespace: str, name: str) -> None:
        self._call.json("DELETE", _path(collection, namespace, name), fine=frozenset({204, 404}))


def _path(collection: str, namespace: str, name: str) -> str:
    return f"/v1/{collection}/{quote(namespace, safe='')}/{quote(name, safe='@+')}"


def _maybe(model: type[T], document: Any) -> T | None:
    return None if document is None else model.model_validate(document)
