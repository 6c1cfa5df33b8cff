"""What is asked of the deployment manager for a model that a run wants served, and how far it is.

Candidates, a judge and an embedding model are deployed alike: under a name that holds the run's, so that a
pass which was cut off can be made again.
"""

from __future__ import annotations

from typing import Protocol

from flywheel.nemo.deployment import ModelDeployment
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.errors import DeploymentFailed
from flywheel.stores.runs.document import Run

_READY, _GONE = "ready", frozenset({"failed", "cancelled"})


class Deployable(Protocol):
    """What the configuration says of a model to be served, whatever block it stands in."""

    @property
    def registry_base(self) -> str: ...
    @property
    def tag(self) -> str | None: ...
    @property
    def pvc_size(self) -> str | None: ...
    @property
    def gpus(self) -> int | None: ...


def deployed(
    name: str, model: str, how: Deployable, run: Run, context: Context
) -> tuple[ModelDeployment, bool]:
    """The deployment `name`, asked for where there is none, and whether its model answers by now.

    Raises DeploymentFailed with its cause, and what the deployment manager's client raises.
    """
    services = context.services
    found = services.deployments.get(context.namespace, name)
    if found is None:
        found = services.deployments.create(
            {
                "name": name,
                "namespace": context.namespace,
                "custom_fields": {"flywheel_run": run.id},
                "config": {
                    "model": model,
                    "nim_deployment": {
                        "image_name": f"{how.registry_base}/{model}",
                        "image_tag": how.tag,
                        "pvc_size": how.pvc_size,
                        "gpu": how.gpus,
                        "additional_envs": {"NIM_GUIDED_DECODING_BACKEND": "outlines"},
                    },
                },
            }
        )
    if found.status in _GONE:
        raise DeploymentFailed(model, found.status, found.status_details.description)
    return found, found.status == _READY and services.proxy.serves(model)


def taken_down(name: str, context: Context) -> bool:
    """Whether the deployment is gone; it is asked to go where it is not."""
    deployments, namespace = context.services.deployments, context.namespace
    if deployments.get(namespace, name) is None:
        return True
    deployments.delete(namespace, name)
    return False
