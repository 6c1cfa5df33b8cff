"""NeMo Deployment Management, `/v1/deployment`: what goes over the wire, and the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from flywheel.nemo.calls import ServiceClient

DeploymentState = Literal[
    "created", "pending", "running", "cancelled", "failed", "completed", "ready", "unknown"
]
ALREADY_EXISTS: Final = "model deployment already exists"


class Wire(BaseModel):
    """Whatever else the other side sends is kept."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class NimDeployment(Wire):
    """How the model is run. The blueprint sends null for `gpu`, `image_tag` and `pvc_size` at times."""

    image_name: str | None = None
    image_tag: str | None = None
    gpu: int | None = None
    pvc_size: str | None = None
    additional_envs: dict[str, str] | None = None
    disable_lora_support: bool = False


class ExternalEndpoint(Wire):
    host_url: str
    api_key: str | None = None
    enabled_models: list[str] | None = None


class DeploymentConfigBody(Wire):
    """`model` is a model's name, or an inline model with a name."""

    name: str | None = None
    namespace: str = "default"
    model: str | dict[str, Any] | None = None
    nim_deployment: NimDeployment | None = None
    external_endpoint: ExternalEndpoint | None = None
    description: str | None = None
    project: str | None = None
    custom_fields: dict[str, Any] = Field(default_factory=dict)


class ModelDeploymentBody(Wire):
    """`config` is a config's name (`ns/name`) or a config."""

    name: str | None = None
    namespace: str = "default"
    config: str | DeploymentConfigBody
    models: list[str] | None = None
    async_enabled: bool = False
    hf_token: str | None = None
    description: str | None = None
    project: str | None = None
    custom_fields: dict[str, Any] = Field(default_factory=dict)


class DeploymentStatus(Wire):
    status: DeploymentState = "unknown"
    description: str | None = None


class ModelDeployment(Wire):
    name: str
    namespace: str = "default"
    url: str | None = None
    deployed: bool = False
    models: list[str] = Field(default_factory=list)
    status_details: DeploymentStatus = Field(default_factory=DeploymentStatus)
    custom_fields: dict[str, Any] = Field(default_factory=dict)

    @property
    def status(self) -> DeploymentState:
        return self.status_details.status


class DeploymentClient(ServiceClient):
    """One deployment manager. Sync; safe calls are repeated on passing trouble. Raises ServiceCallFailed."""

    def create(self, body: Mapping[str, Any]) -> ModelDeployment:
        """Deploy; where the name exists already, the deployment that has it."""
        found = self._call.json("POST", "/v1/deployment/model-deployments", dict(body), fine=frozenset({409}))
        if found is None:
            found = self._call.json("GET", _path(body.get("namespace", "default"), body["name"]))
        return ModelDeployment.model_validate(found)

    def get(self, namespace: str, name: str) -> ModelDeployment | None:
        """The deployment, or None where there is none."""
        found = self._call.json("GET", _path(namespace, name), fine=frozenset({404}))
        return None if found is None else ModelDeployment.model_validate(found)

    def list(self, namespace: str | None = None) -> list[ModelDeployment]:
        """Up to a thousand deployments, newest first."""
        query = {"page_size": "1000"} | ({"filter[namespace]": namespace} if namespace else {})
        page = self._call.json("GET", "/v1/deployment/model-deployments", query=query)
        return [ModelDeployment.model_validate(document) for document in page.get("data", [])]

    def output(self, namespace: str, name: str, tail: int) -> str:
        """Ours: the last lines that the server of the deployment wrote, also after it was taken down; ""
        where the service does not know them."""
        found = self._call.json(
            "GET", f"{_path(namespace, name)}/logs", query={"tail": str(tail)}, fine=frozenset({404})
        )
        return str((found or {}).get("logs") or "")

    def delete(self, namespace: str, name: str) -> None:
        """Take it down; absent is fine."""
        self._call.json("DELETE", _path(namespace, name), fine=frozenset({404, 204}))


def _path(namespace: str, name: str) -> str:
    return f"/v1/deployment/model-deployments/{quote(namespace, safe='@+')}/{quote(name, safe='@+/')}"
