"""NVIDIA's own client, strict about what it reads, against the entity store."""

import uuid
from datetime import datetime

import httpx
import pytest
from nemo_microservices import ConflictError, NeMoMicroservices, NotFoundError, UnprocessableEntityError


@pytest.fixture
def sdk(url: str) -> NeMoMicroservices:
    return NeMoMicroservices(base_url=url, inference_base_url=url, _strict_response_validation=True)


@pytest.fixture
def namespace() -> str:
    return f"ns-{uuid.uuid4().hex[:8]}"


def test_a_namespace_lives(sdk: NeMoMicroservices, namespace: str) -> None:
    made = sdk.namespaces.create(id=namespace, description="d", custom_fields={"a": 1}, project="p")
    assert (made.id, made.description, made.custom_fields, made.project) == (namespace, "d", {"a": 1}, "p")
    assert made.created_at is not None
    with pytest.raises(ConflictError, match="409"):
        sdk.namespaces.create(id=namespace)
    assert sdk.namespaces.update(namespace, description="e").description == "e"
    assert sdk.namespaces.retrieve(namespace).description == "e"
    assert namespace in {n.id for n in sdk.namespaces.list()}
    assert [n.id for n in sdk.namespaces.list(search={"id": namespace})] == [namespace]
    assert sdk.namespaces.delete(namespace).id == namespace
    with pytest.raises(NotFoundError):
        sdk.namespaces.retrieve(namespace)


def test_a_project_lives(sdk: NeMoMicroservices, namespace: str) -> None:
    made = sdk.projects.create(name="p", namespace=namespace, ownership={"created_by": "me"})
    assert (made.name, made.namespace) == ("p", namespace)
    assert made.ownership is not None
    assert made.ownership.created_by == "me"
    sdk.projects.update("p", namespace=namespace, description="new")
    assert sdk.projects.retrieve("p", namespace=namespace).description == "new"
    assert [p.name for p in sdk.projects.list(filter={"namespace": namespace})] == ["p"]
    sdk.projects.delete("p", namespace=namespace)
    with pytest.raises(NotFoundError):
        sdk.projects.delete("p", namespace=namespace)


def test_a_dataset_lives_and_its_url_comes_back_as_it_went(sdk: NeMoMicroservices, namespace: str) -> None:
    url = f"hf://datasets/{namespace}/flywheel-eval-x-123"
    made = sdk.datasets.create(
        name="flywheel-eval-x-123",
        namespace=namespace,
        files_url=url,
        project="none",
        custom_fields={"k": "v"},
    )
    assert made.files_url == url
    assert made.id is not None
    assert made.id.startswith("dataset-")
    with pytest.raises(ConflictError):
        sdk.datasets.create(name="flywheel-eval-x-123", namespace=namespace, files_url=url)
    changed = sdk.datasets.update("flywheel-eval-x-123", namespace=namespace, files_url=url, limit=5)
    assert (changed.limit, changed.custom_fields, changed.id) == (5, {"k": "v"}, made.id)
    assert made.updated_at is not None
    assert changed.updated_at is not None
    assert changed.updated_at > made.updated_at
    deleted = sdk.datasets.delete("flywheel-eval-x-123", namespace=namespace)
    assert deleted.message == "Resource deleted successfully."
    with pytest.raises(NotFoundError):
        sdk.datasets.retrieve("flywheel-eval-x-123", namespace=namespace)


def test_a_name_left_out_is_the_id(sdk: NeMoMicroservices, namespace: str) -> None:
    made = sdk.datasets.create(namespace=namespace, files_url="hf://datasets/a/b")
    assert made.name == made.id


def test_lists_are_paged_to_their_end_in_every_order(sdk: NeMoMicroservices, namespace: str) -> None:
    names = [f"d{number:02}" for number in range(7)]
    for name in names:
        sdk.datasets.create(name=name, namespace=namespace, files_url="hf://datasets/a/b", split=name[-1])
    mine = {"namespace": namespace}
    assert [d.name for d in sdk.datasets.list(filter=mine, page_size=3)] == names[::-1]
    assert [d.name for d in sdk.datasets.list(filter=mine, page_size=7, sort="name")] == names
    found = sdk.datasets.list(filter=mine, search={"name": ["d01", "D02"]}, sort="created_at")
    assert [d.name for d in found] == names[1:3]
    page = sdk.datasets.list(filter=mine, page=2, page_size=5)
    assert page.pagination is not None
    assert page.pagination.total_results == 7
    assert page.pagination.total_pages == 2
    assert len(page.data) == 2
    assert sdk.datasets.list(filter=mine, search={"created_at": {"start": datetime(2999, 1, 1)}}).data == []  # noqa: DTZ001 - the wire's times have no zone


ADAPTER = {
    "base_model": "meta/llama-3.2-1b-instruct",
    "spec": {"num_parameters": 10, "context_size": 4096, "num_virtual_tokens": 0, "is_chat": True},
    "peft": {"finetuning_type": "lora"},
}


def artifact(status: str, namespace: str) -> dict[str, object]:
    url = f"hf://{namespace}/customized@cust-1"
    return {"files_url": url, "status": status, "backend_engine": "hugging_face", "precision": "bf16-mixed"}


def test_an_adapter_is_known_before_it_is_uploaded(sdk: NeMoMicroservices, namespace: str) -> None:
    name = "customized-meta-llama-3.2-1b+x@cust-1AbC"
    sdk.models.create(name=name, namespace=namespace, artifact=artifact("created", namespace), **ADAPTER)
    sdk.models.update(name, namespace=namespace, artifact=artifact("upload_completed", namespace))
    model = sdk.models.retrieve(name, namespace=namespace)
    assert model.artifact is not None
    assert (model.artifact.status, model.base_model) == ("upload_completed", "meta/llama-3.2-1b-instruct")
    assert model.artifact.files_url == f"hf://{namespace}/customized@cust-1"
    assert model.schema_version == "1.0"
    sdk.models.delete(name, namespace=namespace)
    with pytest.raises(NotFoundError):
        sdk.models.retrieve(name, namespace=namespace)


def test_models_are_filtered_as_the_sdk_can(sdk: NeMoMicroservices, namespace: str) -> None:
    sdk.models.create(name="base", namespace=namespace, base_model={"name": "other", "namespace": "meta"})
    sdk.models.create(name="lora", namespace=namespace, **ADAPTER)
    sdk.models.create(name="asked", namespace=namespace, prompt={"system_prompt": "You are"})

    def found(**wanted: object) -> list[str | None]:
        return sorted(m.name or "" for m in sdk.models.list(filter={"namespace": namespace, **wanted}))

    assert found() == ["asked", "base", "lora"]
    assert found(peft=True) == ["lora"]
    assert found(peft={"lora": True}) == ["lora"]
    assert found(peft=False) == ["asked", "base"]
    assert found(prompt=True) == ["asked"]
    assert found(base_model="meta/llama-3.2-1b-instruct") == ["lora"]
    assert found(base_model={"name": "other"}) == ["base"]
    assert found(created_at={"gte": "2999-01-01T00:00:00"}) == []
    assert found(created_at={"gte": "2020-01-01T00:00:00", "lte": "2999-01-01T00:00:00"}) == found()
    assert [m.name for m in sdk.models.list(search={"peft": {"finetuning_type": "lora"}, "name": "LOR"})]


def test_a_conflict_is_not_repeated(url: str, namespace: str) -> None:
    """NVIDIA's client repeats a 409 twice, with pauses, unless it is told not to."""
    sent = []
    client = httpx.Client(event_hooks={"request": [sent.append]})
    sdk = NeMoMicroservices(base_url=url, inference_base_url=url, http_client=client)
    sdk.namespaces.create(id=namespace)
    with pytest.raises(ConflictError):
        sdk.namespaces.create(id=namespace)
    assert len(sent) == 2
    client.close()


def test_mistakes_name_the_field(sdk: NeMoMicroservices, namespace: str) -> None:
    with pytest.raises(UnprocessableEntityError, match="files_url"):
        sdk.datasets.create(name="x", namespace=namespace, files_url=None)  # type: ignore[arg-type]
    with pytest.raises(UnprocessableEntityError, match=r"name '\.\./x'"):
        sdk.datasets.create(name="../x", namespace=namespace, files_url="hf://datasets/a/b")
    sdk.datasets.create(name="x", namespace=namespace, files_url="hf://datasets/a/b")
    with pytest.raises(UnprocessableEntityError, match="limit"):
        sdk.datasets.update("x", namespace=namespace, limit="many")  # type: ignore[arg-type]
    with pytest.raises(UnprocessableEntityError, match="page_size"):
        sdk.datasets.list(page_size=0)
