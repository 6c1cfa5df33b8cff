"""NVIDIA's own SDK drives the deployments over HTTP, refusing any answer that is not what it documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from nemo_microservices import ConflictError, NeMoMicroservices, NotFoundError, UnprocessableEntityError
from nemo_microservices.types.deployment import ModelDeployment

from flywheel.nemo.deployment import DeploymentClient
from flywheel.nemo.inference import InferenceClient
from services.customizer.parts import until

# What NVIDIA's blueprint sends.
BODY: dict[str, Any] = {
    "name": "flywheel-student",
    "namespace": "dfwbp",
    "config": {
        "model": "flywheel/student",
        "nim_deployment": {
            "image_name": "nvcr.io/nim/flywheel/student",
            "image_tag": "1.8.3",
            "pvc_size": "25Gi",
            "gpu": 1,
            "additional_envs": {"NIM_GUIDED_DECODING_BACKEND": "outlines"},
        },
    },
}


@pytest.fixture
def sdk(nemo: str, proxy: str) -> Iterator[NeMoMicroservices]:
    with NeMoMicroservices(base_url=nemo, inference_base_url=proxy, _strict_response_validation=True) as sdk:
        yield sdk


def test_a_model_from_deployment_to_answer_to_deletion(sdk: NeMoMicroservices) -> None:
    deployments = sdk.deployment.model_deployments
    created = deployments.create(**BODY)
    assert created.status_details.status == "created"
    assert created.deployed is False

    def found() -> ModelDeployment:
        return deployments.retrieve("flywheel-student", namespace="dfwbp")

    until(lambda: found().status_details.status == "ready")

    ready = found()
    assert (ready.deployed, ready.models) == (True, ["flywheel/student"])
    assert not isinstance(ready.config, str)
    assert ready.config.nim_deployment is not None
    assert ready.config.nim_deployment.gpu == 1
    assert [model.id for model in sdk.inference.models.list().data] == ["flywheel/student"]
    answer = sdk.chat.completions.create(
        model="flywheel/student", messages=[{"role": "user", "content": "hi"}]
    )
    assert str(answer.choices[0].message.content).startswith("flywheel/student at ")

    deleted = deployments.delete("flywheel-student", namespace="dfwbp")
    assert deleted.message == "Resource deleted successfully."
    with pytest.raises(NotFoundError):
        found()
    assert sdk.inference.models.list().data == []


def test_an_existing_name_is_said_in_the_words_that_clients_look_for(
    sdk: NeMoMicroservices, nemo: str
) -> None:
    sdk.deployment.model_deployments.create(**BODY)

    with pytest.raises(ConflictError):
        sdk.deployment.model_deployments.create(**BODY)
    answer = httpx.post(f"{nemo}/v1/deployment/model-deployments", json=BODY, timeout=10)
    assert answer.json() == {"detail": "model deployment already exists"}
    assert answer.headers["x-should-retry"] == "false"


def test_the_blueprints_nulls_are_accepted(sdk: NeMoMicroservices) -> None:
    nim = {"image_name": None, "image_tag": None, "pvc_size": None, "gpu": None}
    body = {**BODY, "config": {"model": "flywheel/student", "nim_deployment": nim}}

    assert sdk.deployment.model_deployments.create(**body).status_details.status == "created"


def test_deployments_are_listed_and_the_list_ends(sdk: NeMoMicroservices) -> None:
    for number in range(3):
        sdk.deployment.model_deployments.create(**{**BODY, "name": f"student-{number}"})

    listed = sdk.deployment.model_deployments.list(page_size=2)

    assert {deployment.name for deployment in listed} == {"student-0", "student-1", "student-2"}


def test_a_deployment_can_be_described_but_not_turned_into_another(sdk: NeMoMicroservices) -> None:
    sdk.deployment.model_deployments.create(**BODY)

    changed = sdk.deployment.model_deployments.update(
        "flywheel-student", namespace="dfwbp", description="mine"
    )
    assert changed.description == "mine"
    with pytest.raises(UnprocessableEntityError, match="delete the deployment and create it again"):
        sdk.deployment.model_deployments.update("flywheel-student", namespace="dfwbp", config="ns/other")


def test_configs_and_a_deployment_that_names_one(sdk: NeMoMicroservices) -> None:
    configs = sdk.deployment.configs
    configs.create(name="small", namespace="dfwbp", **BODY["config"])
    with pytest.raises(ConflictError):
        configs.create(name="small", namespace="dfwbp", **BODY["config"])
    assert configs.retrieve("small", namespace="dfwbp").model == "flywheel/student"
    assert configs.update("small", namespace="dfwbp", description="mine").description == "mine"
    assert [config.name for config in configs.list()] == ["small"]

    created = sdk.deployment.model_deployments.create(name="one", namespace="dfwbp", config="dfwbp/small")
    assert created.config == "dfwbp/small"
    assert created.models == ["flywheel/student"]

    configs.delete("small", namespace="dfwbp")
    with pytest.raises(NotFoundError, match="dfwbp/small"):
        sdk.deployment.model_deployments.create(name="two", namespace="dfwbp", config="dfwbp/small")


def test_our_own_clients(nemo: str, proxy: str) -> None:
    deployments, inference = DeploymentClient(nemo), InferenceClient(proxy)

    first = deployments.create(BODY)
    assert deployments.create(BODY).name == first.name
    until(lambda: inference.serves("flywheel/student"))
    found = deployments.get("dfwbp", "flywheel-student")
    assert found is not None
    assert found.status == "ready"
    assert [deployment.name for deployment in deployments.list("dfwbp")] == ["flywheel-student"]

    deployments.delete("dfwbp", "flywheel-student")
    deployments.delete("dfwbp", "flywheel-student")
    assert deployments.get("dfwbp", "flywheel-student") is None
    assert inference.models() == []
    deployments.close()
    inference.close()
