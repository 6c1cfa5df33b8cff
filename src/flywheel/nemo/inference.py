"""The model proxy's list of models: who can be asked right now. Asking itself is `flywheel.chat`'s."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from flywheel.nemo.calls import ServiceClient


class ServedModel(BaseModel):
    """A model that answers. `parent` is the base model of an adapter."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "system"
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None
    sha256: str | None = None
    """Ours: of a base model's files."""


class ServedModels(BaseModel):
    object: str = "list"
    data: list[ServedModel] = Field(default_factory=list)


class InferenceClient(ServiceClient):
    """One model proxy. Sync; repeated on passing trouble. Raises ServiceCallFailed."""

    def models(self) -> list[ServedModel]:
        return ServedModels.model_validate(self._call.json("GET", "/v1/models")).data

    def serves(self, model: str) -> bool:
        """Whether `model` answers under exactly this name."""
        return any(served.id == model for served in self.models())
