"""The NeMo services that a run works with: the clients, side by side, and the door for data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import httpx

from flywheel.hub import Download, HubFile
from flywheel.nemo.calls import ServiceUrls
from flywheel.nemo.customization import CustomizationClient
from flywheel.nemo.datastore import DatastoreClient
from flywheel.nemo.deployment import DeploymentClient
from flywheel.nemo.entity_store import EntityStoreClient
from flywheel.nemo.evaluation import EvaluationClient
from flywheel.nemo.inference import InferenceClient

LOOK_S = 5.0
"""Seconds that a service has for an answer that a person waits for; one that is away is asked twice."""


class DatasetHub(Protocol):
    """What runs and catalogues need of `flywheel.hub.Hub`."""

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

    def listing(
        self, repo_id: str, *, repo_type: Literal["dataset", "model"], revision: str = "main"
    ) -> list[HubFile]: ...

    def open(
        self,
        repo_id: str,
        path: str,
        *,
        repo_type: Literal["dataset", "model"],
        revision: str = "main",
        byte_range: str | None = None,
    ) -> Download: ...


@dataclass(frozen=True, slots=True)
class Looks:
    """Clients that do not wait long, for what a person waits for; the runs' own have more patience."""

    entities: EntityStoreClient
    customizer: CustomizationClient
    deployments: DeploymentClient
    proxy: InferenceClient

    @classmethod
    def at(cls, urls: ServiceUrls, transport: httpx.BaseTransport | None) -> Looks:
        return cls(
            entities=EntityStoreClient(urls.entities, transport, LOOK_S, 1),
            customizer=CustomizationClient(urls.customizer, transport, LOOK_S, 1),
            deployments=DeploymentClient(urls.deployments, transport, LOOK_S, 1),
            proxy=InferenceClient(urls.models, transport, LOOK_S, 1),
        )

    def close(self) -> None:
        for client in (self.entities, self.customizer, self.deployments, self.proxy):
            client.close()


class Tracker(Protocol):
    """What a run needs of `flywheel.exports.mlflow.Mlflow`."""

    def log(
        self, job: Mapping[str, Any], losses: Sequence[Mapping[str, Any]], artefacts: Mapping[str, bytes]
    ) -> dict[str, str]: ...


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
    looks: Looks
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
            looks=Looks.at(urls, transport),
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
            self.looks,
        ):
            client.close()
