"""NeMo's Entity Store: namespaces, projects, data sets and models as descriptions that point at files.

An entity stands for itself: nothing else has to exist for it, and deleting it deletes no files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ValidationError

from flywheel.errors import UserError
from flywheel.nemo.conventions import Deleted, ListQuery, Page, check_name, new_id
from flywheel.nemo.entity_store import Dataset, Described, Model, Named, Namespace, Project
from flywheel.stores.entities import Document, Entities

_OURS = {"id", "created_at", "updated_at", "schema_version"}  # Set by the store, not by callers.


class BadEntity(UserError):
    """A change would leave an entity that is none."""

    def __init__(self, what: str, field: str, value: object, why: str) -> None:
        self.what, self.field, self.value = what, field, value
        super().__init__(f"{what}: {field} = {str(value)[:200]!r}: {why}")


@dataclass(frozen=True, slots=True)
class _Kind:
    """One collection of named entities. `nulls`: whether answers name the fields that hold nothing."""

    collection: str
    prefix: str
    model: type[Named]
    nulls: bool


_PROJECTS = _Kind("projects", "project", Project, nulls=True)
_DATASETS = _Kind("datasets", "dataset", Dataset, nulls=True)
_MODELS = _Kind("models", "model", Model, nulls=False)


def entity_router(entities: Entities) -> APIRouter:
    """The entity store's routes, for the `nemo` address."""
    routes = APIRouter(tags=["entity store"])
    _Namespaces(entities).add_to(routes)
    for kind in (_PROJECTS, _DATASETS, _MODELS):
        _Endpoints(entities, kind).add_to(routes)
    return routes


class _Namespaces:
    """Namespaces are named by their id and live in none themselves."""

    def __init__(self, entities: Entities) -> None:
        self._entities = entities

    def add_to(self, routes: APIRouter) -> None:
        add = routes.add_api_route
        add("/v1/namespaces", self.create, methods=["POST"], response_model=None)
        add("/v1/namespaces", self.list, methods=["GET"], response_model=None)
        add("/v1/namespaces/{id}", self.get, methods=["GET"], response_model=None)
        add("/v1/namespaces/{id}", self.update, methods=["PATCH"], response_model=None)
        add("/v1/namespaces/{id}", self.delete, methods=["DELETE"], response_model=None)

    def create(self, body: NamespaceBody) -> Document:
        name = check_name("id", body.id or body.namespace or body.name or "")
        doc = body.model_dump(exclude={"namespace", "name"})
        return _namespace(
            self._entities.create("namespaces", doc | {"id": name, "namespace": "", "name": name})
        )

    def get(self, id: str) -> Document:  # noqa: A002
        return _namespace(self._entities.get("namespaces", "", id))

    def update(self, id: str, body: NamespaceBody) -> Document:  # noqa: A002
        change = body.model_dump(exclude_unset=True, exclude=_OURS | {"namespace", "name"})
        return _namespace(self._entities.update("namespaces", id, lambda doc: doc | change))

    def delete(self, id: str) -> Deleted:  # noqa: A002
        return Deleted(id=self._entities.delete("namespaces", id)["id"])

    def list(self, request: Request) -> Page[Document]:
        page = self._entities.list("namespaces", ListQuery.from_params(request.query_params))
        return page.model_copy(update={"data": [_namespace(doc) for doc in page.data]})


class NamespaceBody(Described):
    """Some clients call the id `namespace`."""

    id: str | None = None
    namespace: str | None = None
    name: str | None = None


def _namespace(doc: Document) -> Document:
    """The document as the wire has it: a namespace has no name beside its id."""
    return Namespace.model_validate(
        {k: v for k, v in doc.items() if k not in ("name", "namespace")}
    ).model_dump()


class _Endpoints:
    """Create, get, change, delete and list the entities of one kind."""

    def __init__(self, entities: Entities, kind: _Kind) -> None:
        self._entities, self._kind = entities, kind

    def add_to(self, routes: APIRouter) -> None:
        add, path = routes.add_api_route, f"/v1/{self._kind.collection}"
        add(path, self._create(), methods=["POST"], response_model=None)
        add(path, self.list, methods=["GET"], response_model=None)
        add(path + "/{namespace}/{name}", self.get, methods=["GET"], response_model=None)
        add(path + "/{namespace}/{name}", self.update, methods=["PATCH"], response_model=None)
        add(path + "/{namespace}/{name}", self.delete, methods=["DELETE"], response_model=None)

    def _create(self) -> Callable[..., Document]:
        kind = self._kind

        def create(body: Named) -> Document:
            id = new_id(kind.prefix)  # noqa: A001
            doc = body.model_dump(exclude=_OURS, exclude_none=not kind.nulls)
            doc |= {"id": id, "schema_version": body.schema_version}
            doc["namespace"] = check_name("namespace", body.namespace)
            doc["name"] = check_name("name", body.name or id)
            return self._render(self._entities.create(kind.collection, doc))

        create.__annotations__["body"] = kind.model  # FastAPI reads the body's type from here.
        return create

    def get(self, namespace: str, name: str) -> Document:
        return self._render(self._entities.get(self._kind.collection, namespace, name))

    def update(self, namespace: str, name: str, body: dict[str, Any]) -> Document:
        """Change the fields that `body` names; clients send the namespace and the name along."""
        what = f"{self._kind.collection} {namespace}/{name}"
        for field, here in (("namespace", namespace), ("name", name)):
            if body.get(field, here) != here:
                raise BadEntity(what, field, body[field], "an entity keeps its name; create another one")
        change = {k: v for k, v in body.items() if k not in _OURS}

        def changed(doc: Document) -> Document:
            try:
                self._kind.model.model_validate(doc | change)
            except ValidationError as e:
                first = e.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                raise BadEntity(what, where, first["input"], first["msg"]) from e
            return doc | change

        id = self._entities.get(self._kind.collection, namespace, name)["id"]  # noqa: A001
        return self._render(self._entities.update(self._kind.collection, id, changed))

    def delete(self, namespace: str, name: str) -> Deleted:
        id = self._entities.get(self._kind.collection, namespace, name)["id"]  # noqa: A001
        self._entities.delete(self._kind.collection, id)
        return Deleted(id=id)

    def list(self, request: Request) -> Page[Document]:
        query = ListQuery.from_params(request.query_params)
        page = self._entities.list(self._kind.collection, _with_peft_types(query))
        data = [self._render(doc) for doc in page.data]
        return page.model_copy(update={"data": data})

    def _render(self, doc: Document) -> Document:
        entity: BaseModel = self._kind.model.model_validate(doc)
        return entity.model_dump(exclude_none=not self._kind.nulls)


def _with_peft_types(query: ListQuery) -> ListQuery:
    """`filter[peft][lora]=true` asks for a type of fine-tuning, which the document has under another name."""
    peft = query.filter.get("peft")
    if not isinstance(peft, dict):
        return query
    types = [key for key, value in peft.items() if value == ["true"]]
    wanted = {"finetuning_type": types} if types and types == list(peft) else peft
    return replace(query, filter=query.filter | {"peft": wanted})
