"""What the deployment routes do: documents that say what is wanted, and a keeper for each.

A deployment is written down before it is started and struck out before it is taken down, so that after a kill
the next `start` brings up exactly what is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flywheel.errors import Conflict, NotFound, Unavailable, UserError
from flywheel.hidden import hide
from flywheel.hub import Hub, resolve_model
from flywheel.log import get_logger
from flywheel.nemo.conventions import Deleted, ListQuery, Page, check_name, new_id
from flywheel.nemo.deployment import ALREADY_EXISTS, DeploymentConfigBody, ModelDeploymentBody
from flywheel.nemo.entity_store import EntityStoreClient
from flywheel.runtime import Runtime
from flywheel.services.deployments.adapters import AdapterSync
from flywheel.services.deployments.backends import Backend, Backends
from flywheel.services.deployments.engines import ENGINES, LABELS, Engine, ServedModel
from flywheel.services.deployments.keeper import DEPLOYMENTS, Keeper, Patience, Tools
from flywheel.stores.entities import Document, Entities, EntityExists, EntityNotFound
from flywheel.telemetry import metrics, tracing

log = get_logger(__name__)

CONFIGS = "deployment configs"
FORMER = "former deployments"
FORMER_KEPT = 1_000
"""Deployments that were deleted and whose output can still be asked for by name."""
_FIXED = frozenset(
    {"id", "name", "namespace", "created_at", "updated_at", "status_details", "url", "deployed", "adapters"}
)
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")


class DeploymentExists(Conflict):
    """Clients look for exactly this text."""

    def __init__(self) -> None:
        super().__init__(ALREADY_EXISTS)


class DeploymentNotFound(NotFound):
    def __init__(self, namespace: str, name: str) -> None:
        self.namespace, self.name = namespace, name
        super().__init__(f"there is no model deployment {namespace}/{name}")


class NotDeployable(UserError):
    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        super().__init__(f"{field}: {problem}")


class ModelNotServed(NotFound):
    """Nobody here answers for `model`."""

    code = "model_not_found"

    def __init__(self, model: str, served: Sequence[str]) -> None:
        self.model, self.served = model, served
        there = ", ".join(served) or "none yet"
        super().__init__(f"The model {model!r} does not exist; models that answer now: {there}")


class ModelNotReady(Unavailable):
    """`model` will answer soon, or its trouble is known: `why`."""

    code = "model_not_ready"

    def __init__(self, model: str, why: str) -> None:
        self.model, self.why = model, why
        self.headers = {"Retry-After": "2"}
        super().__init__(f"The model {model!r} does not answer yet: {why}")


class DeploymentService:
    """Deployments kept in `data_dir`.

    `store` and `hub` are where adapters come from, `models` how the settings want theirs served; a model that
    is not among them is looked up by name and served by the engine `local`.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        runtime: Runtime,
        store: EntityStoreClient,
        hub: Hub,
        models: Sequence[ServedModel] = (),
        entity_store_url: str | None = None,
        model_cache: Path | None = None,
        resolve: Callable[[str], Path] | None = None,
        engines: Mapping[str, Engine] = ENGINES,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        sync_interval_s: float = 1.0,
    ) -> None:
        cache = model_cache or data_dir / "models"
        data_dir.mkdir(parents=True, exist_ok=True)
        self._entities = Entities(data_dir / "deployments.sqlite")
        self._runtime = runtime
        self._backends = Backends()
        self._adapters = AdapterSync(
            data_dir / "adapters", self._backends, store, hub, interval_s=sync_interval_s
        )
        self._tools = Tools(
            folder=data_dir / "engines",
            entities=self._entities,
            runtime=runtime,
            backends=self._backends,
            engines=engines,
            models={model.name: model for model in models},
            resolve=resolve or (lambda name: resolve_model(name, cache_dir=cache)),
            entity_store_url=entity_store_url,
            patience=patience,
            ready=self._adapters.wake,
        )
        self._keepers: dict[str, Keeper] = {}
        self._released: list[Keeper] = []

    @property
    def backends(self) -> Backends:
        """What can be asked now."""
        return self._backends

    def start(self) -> None:
        """Bring up every deployment that is wanted, end those that are not, begin to look for adapters."""
        wanted = [doc for doc in self._entities.all(DEPLOYMENTS) if _state(doc) != "failed"]
        for name in set(self._runtime.names(LABELS)) - {doc["id"] for doc in wanted}:
            self._runtime.stop(name)
        for doc in wanted:
            self._entities.update(DEPLOYMENTS, doc["id"], _again)
            self._keepers[doc["id"]] = Keeper(self._tools, doc["id"])
        metrics.DEPLOYMENTS.set(len(self._keepers))
        self._adapters.start()

    def stop(self) -> None:
        """Stop keeping. What runs is the runtime's to end, what is wanted comes up at the next start."""
        self._adapters.stop()
        for keeper in self._keepers.values():
            keeper.abandon()
        for keeper in (*self._keepers.values(), *self._released):
            keeper.join(5)
        self._tools.http.close()
        self._entities.close()

    # Deployments

    def deploy(self, body: ModelDeploymentBody) -> Document:
        """Accept a deployment; it is `created`, and comes up by itself. Raises DeploymentExists."""
        config = self._config_of(body.config)
        if config.get("external_endpoint"):
            raise NotDeployable("config.external_endpoint", "is not offered here; call that address yourself")
        if not config.get("model"):
            raise NotDeployable("config.model", "give the model's name, such as flywheel/student")
        check_name("config.model", config["model"], slashes=True)
        for field in ("image_name", "image_tag"):
            value = (config["nim_deployment"] or {}).get(field)
            if value and not _IMAGE.fullmatch(value):
                raise NotDeployable(f"config.nim_deployment.{field}", f"{value!r} is no name of an image")
        deployment_id = new_id("deployment")
        hide(body.hf_token)
        document = _common(body, deployment_id) | {
            "config": body.config if isinstance(body.config, str) else config,
            "models": [config["model"]],
            "async_enabled": body.async_enabled,
            "url": "",
            "deployed": False,
            "status_details": {"status": "created", "description": "waiting to be started"},
            "_config": config,
            "_hf_token": body.hf_token,
            "_trace": tracing.traceparent(),
        }
        try:
            document = self._entities.create(DEPLOYMENTS, document)
        except EntityExists as error:
            raise DeploymentExists from error
        log.info("deployment created", extra={"deployment": deployment_id, "model": config["model"]})
        self._keepers[deployment_id] = Keeper(self._tools, deployment_id)
        metrics.DEPLOYMENTS.set(len(self._keepers))
        return self._public(document)

    def deployment(self, namespace: str, name: str) -> Document:
        return self._public(self._found(namespace, name))

    def deployments(self, query: ListQuery) -> Page[Document]:
        page = self._entities.list(DEPLOYMENTS, query)
        return page.model_copy(update={"data": [self._public(doc) for doc in page.data]})

    def logs(self, namespace: str, name: str, tail: int) -> Document:
        """The last `tail` lines that the engine wrote; of one that was deleted too, while it is among the
        last thousand. Raises DeploymentNotFound."""
        try:
            found = self._entities.get(DEPLOYMENTS, namespace, name)["id"]
        except EntityNotFound as error:
            try:
                found = self._entities.get(FORMER, namespace, name)["id"]
            except EntityNotFound:
                raise DeploymentNotFound(namespace, name) from error
        return {"id": found, "logs": self._runtime.logs(found, tail)}

    def change(self, namespace: str, name: str, change: Mapping[str, Any]) -> Document:
        """Change what describes the deployment. Another model or engine needs another deployment."""
        if "config" in change:
            raise NotDeployable("config", "cannot be changed; delete the deployment and create it again")
        kept = {k: v for k, v in change.items() if k not in _FIXED and not k.startswith("_")}
        kept.pop("hf_token", None)
        document = self._found(namespace, name)
        return self._public(self._entities.update(DEPLOYMENTS, document["id"], lambda old: {**old, **kept}))

    def delete(self, namespace: str, name: str) -> Deleted:
        """Strike it out; its engine ends soon after."""
        deployment_id = self._found(namespace, name)["id"]
        self._entities.delete(DEPLOYMENTS, deployment_id)
        self._remember(deployment_id, namespace, name)
        keeper = self._keepers.pop(deployment_id, None)
        metrics.DEPLOYMENTS.set(len(self._keepers))
        if keeper is not None:
            keeper.release()
            self._released = [k for k in self._released if k.busy] + [keeper]
        self._adapters.forget(deployment_id)
        log.info("deployment deleted", extra={"deployment": deployment_id})
        return Deleted(id=deployment_id)

    def _remember(self, deployment_id: str, namespace: str, name: str) -> None:
        """Whose output the runtime keeps under this id, for those who ask later."""
        former = self._entities.all(FORMER)
        for place, old in enumerate(former):
            if (old["namespace"], old["name"]) == (namespace, name) or place <= len(former) - FORMER_KEPT:
                self._entities.delete(FORMER, old["id"])
        self._entities.create(FORMER, {"id": deployment_id, "namespace": namespace, "name": name})

    # Deployment configs

    def create_config(self, body: DeploymentConfigBody) -> Document:
        return self._entities.create(CONFIGS, _config(body, new_id("deployment-config")))

    def config(self, namespace: str, name: str) -> Document:
        return self._entities.get(CONFIGS, namespace, name)

    def configs(self, query: ListQuery) -> Page[Document]:
        return self._entities.list(CONFIGS, query)

    def change_config(self, namespace: str, name: str, change: Mapping[str, Any]) -> Document:
        """Merge `change`. Deployments that were made from the config stay as they are."""
        found = self.config(namespace, name)
        kept = {k: v for k, v in change.items() if k not in _FIXED}
        return self._entities.update(CONFIGS, found["id"], lambda old: {**old, **kept})

    def delete_config(self, namespace: str, name: str) -> Deleted:
        return Deleted(id=self._entities.delete(CONFIGS, self.config(namespace, name)["id"])["id"])

    # Models

    def models(self) -> list[Document]:
        """The models that answer now, as OpenAI lists them."""
        return self._backends.listing()

    def model(self, name: str) -> Document:
        """Raises ModelNotServed."""
        for entry in self.models():
            if entry["id"] == name:
                return entry
        raise ModelNotServed(name, [entry["id"] for entry in self.models()])

    def acquire(self, model: str, besides: frozenset[str] = frozenset()) -> Backend:
        """The engine to ask for `model`, to be released in `backends` when it has answered.

        An adapter that is not there yet is looked for first.

        Raises ModelNotReady where it is deployed or known but does not answer, else ModelNotServed.
        """
        found = self._backends.acquire(model, besides)
        if found is None and "@" in model and not besides:
            self._adapters.look(patience_s=30)
            found = self._backends.acquire(model)
        if found is not None:
            return found
        if (trouble := self._adapters.failure(model)) is not None:
            raise ModelNotReady(model, trouble)
        for document in self._entities.all(DEPLOYMENTS):
            if document["_config"]["model"] == model:
                raise ModelNotReady(model, document["status_details"]["description"])
        raise ModelNotServed(model, [entry["id"] for entry in self.models()])

    def _found(self, namespace: str, name: str) -> Document:
        try:
            return self._entities.get(DEPLOYMENTS, namespace, name)
        except EntityNotFound as error:
            raise DeploymentNotFound(namespace, name) from error

    def _config_of(self, reference: str | DeploymentConfigBody) -> Document:
        if isinstance(reference, DeploymentConfigBody):
            return _config(reference, new_id("deployment-config"))
        namespace, slash, name = reference.partition("/")
        return self.config(namespace, name) if slash else self.config("default", reference)

    def _public(self, document: Document) -> Document:
        """The deployment as it is on the wire, with its adapters (ours)."""
        shown = {key: value for key, value in document.items() if not key.startswith("_")}
        backend = self._backends.get(document["id"])
        if backend is not None:
            shown["models"] = backend.names
        shown["adapters"] = [{"name": n, "status": "loaded"} for n in (backend.adapters if backend else ())]
        shown["adapters"] += [
            {"name": name, "status": "failed", "detail": reason}
            for name, reason in self._adapters.failures(document["id"]).items()
        ]
        return shown


def _common(body: ModelDeploymentBody | DeploymentConfigBody, entity_id: str) -> Document:
    check_name("namespace", body.namespace)
    return {
        "id": entity_id,
        "name": check_name("name", body.name or entity_id),
        "namespace": body.namespace,
        "description": body.description,
        "project": body.project,
        "custom_fields": body.custom_fields,
        "ownership": None,
        "schema_version": "1.0",
    }


def _config(body: DeploymentConfigBody, entity_id: str) -> Document:
    """The config's document. A model given as an object becomes its name; missing numbers become zero."""
    model, nim, external = body.model, body.nim_deployment, body.external_endpoint
    if isinstance(model, dict):
        namespace, name = model.get("namespace"), model.get("name")
        model = f"{namespace}/{name}" if namespace and name else name
    shown = nim.model_dump(mode="json") if nim else None
    if shown is not None:
        shown |= {key: shown[key] or "" for key in ("image_name", "image_tag")} | {"gpu": shown["gpu"] or 0}
    endpoint = external.model_dump(mode="json") if external else None
    if endpoint and endpoint["api_key"]:
        endpoint["api_key"] = "******"
    return _common(body, entity_id) | {
        "model": model,
        "nim_deployment": shown,
        "external_endpoint": endpoint,
    }


def _again(document: Document) -> Document:
    details = {"status": "pending", "description": "starting again after a restart"}
    return {**document, "status_details": details, "deployed": False}


def _state(document: Document) -> str:
    return str(document["status_details"]["status"])
