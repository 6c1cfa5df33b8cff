"""The NeMo services that a run works with: the clients, side by side, and the door for data sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import httpx

from flywheel.nemo.calls import ServiceUrls
from flywheel.nemo.customization import CustomizationClient
from flywheel.nemo.datastore import DatastoreClient
from flywheel.nemo.deployment import DeploymentClient
from flywheel.nemo.entity_store import EntityStoreClient
from flywheel.nemo.evaluation import EvaluationClient
from flywheel.nemo.inference import InferenceClient


class DatasetHub(Protocol):
    """What a run needs of `flywheel.hub.Hub`."""

    def upload(
        self,
        repo_id: str,
        files: Mapping[str, Path | bytes],
        *,
        repo_type: Literal["dataset", "model"],
        revision: str = "main",
        message: str,
    ) -> str: ...

    def delete(
        self, repo_id: str, *, repo_type: Literal["dataset", "model"], revision: str | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Services:
    """Every client is sync and may be used from several threads."""

    entities: EntityStoreClient
    datastore: DatastoreClient
    customizer: CustomizationClient
    evaluator: EvaluationClient
    deployments: DeploymentClient
    proxy: InferenceClient
    hub: DatasetHub
    urls: ServiceUrls

    @classmethod
    def at(cls, urls: ServiceUrls, hub: DatasetHub, transport: httpx.BaseTransport | None = None) -> Services:
        """Clients for `urls`; `transport` stands in for the network."""
        return cls(
            entities=EntityStoreClient(urls.entities, transport),
            datastore=DatastoreClient(urls.datastore, transport),
            customizer=CustomizationClient(urls.customizer, transport),
            evaluator=EvaluationClient(urls.evaluator, transport),
            deployments=DeploymentClient(urls.deployments, transport),
            proxy=InferenceClient(urls.models, transport),
            hub=hub,
            urls=urls,
        )

    def close(self) -> None:
        for client in (
            self.entities,
            self.datastore,
            self.customizer,
            self.evaluator,
            self.deployments,
            self.proxy,
        ):
            client.close()
