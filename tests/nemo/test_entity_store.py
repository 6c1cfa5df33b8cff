"""The clients of entity store and data store, against our services."""

from collections.abc import Iterator

import pytest

from flywheel.nemo.calls import ServiceCallFailed
from flywheel.nemo.datastore import DatastoreClient, hub_endpoint
from flywheel.nemo.entity_store import EntityStoreClient
from flywheel.services.datastore.router import router
from flywheel.services.datastore.service import DatastoreService
from serving_apps import nemo_app, serve_app


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    service = DatastoreService(tmp_path_factory.mktemp("datastore"))
    with serve_app(nemo_app("datastore", router(service))) as address:
        yield address
    service.stop()


@pytest.fixture
def entities(url: str) -> Iterator[EntityStoreClient]:
    client = EntityStoreClient(url)
    yield client
    client.close()


def test_a_namespace_may_be_ensured_again_and_again(entities: EntityStoreClient) -> None:
    entities.ensure_namespace("dfwbp")
    entities.ensure_namespace("dfwbp")


def test_a_dataset_is_put_whether_it_is_there_or_not(entities: EntityStoreClient) -> None:
    body = {"namespace": "ns", "name": "flywheel-train-x", "files_url": "hf://datasets/ns/flywheel-train-x"}
    assert entities.dataset("ns", "flywheel-train-x") is None
    first = entities.put_dataset(body)
    second = entities.put_dataset(body | {"description": "again"})
    assert (second.id, second.description) == (first.id, "again")
    assert entities.dataset("ns", "flywheel-train-x") == second
    entities.delete_dataset("ns", "flywheel-train-x")
    entities.delete_dataset("ns", "flywheel-train-x")
    assert entities.dataset("ns", "flywheel-train-x") is None


def test_a_model_with_an_odd_name_is_found(entities: EntityStoreClient) -> None:
    name = "llama-3.2-1b-instruct@v1.0.0+dfw"
    artifact = {"files_url": "hf://ns/x@cust-1", "status": "created"}
    entities.create_model({"namespace": "ns", "name": name, "artifact": artifact})
    entities.update_model("ns", name, {"artifact": artifact | {"status": "upload_completed"}})
    model = entities.model("ns", name)
    assert model is not None
    assert model.artifact is not None
    assert model.artifact.status == "upload_completed"
    entities.delete_model("ns", name)
    assert entities.model("ns", name) is None


def test_all_models_come_page_by_page(entities: EntityStoreClient) -> None:
    for number in range(5):
        entities.create_model({"namespace": "many", "name": f"m{number}", "base_model": "meta/llama"})
    query = {"filter[namespace]": "many", "filter[base_model]": "meta/llama", "page_size": "2"}
    assert [m.name for m in entities.models(query)] == ["m0", "m1", "m2", "m3", "m4"]
    assert list(entities.models({"filter[namespace]": "none"})) == []


def test_a_refusal_names_the_call_and_the_reason(entities: EntityStoreClient) -> None:
    with pytest.raises(ServiceCallFailed, match=r"POST http.*/v1/datasets: status 422: .*files_url"):
        entities.create_dataset({"namespace": "ns", "name": "x"})


def test_the_data_store_has_namespaces_of_its_own(url: str) -> None:
    client = DatastoreClient(url)
    assert not client.namespace_exists("store")
    client.ensure_namespace("store")
    client.ensure_namespace("store")
    assert client.namespace_exists("store")
    client.delete_namespace("store")
    client.delete_namespace("store")
    assert not client.namespace_exists("store")
    client.close()
    assert hub_endpoint("http://h:1/") == "http://h:1/v1/hf"


def test_a_window_of_a_list_is_where_no_page_of_it_begins(entities: EntityStoreClient) -> None:
    for number in range(7):
        entities.create_model(
            {"namespace": "window", "name": f"m-{number}", "peft": {"finetuning_type": "lora"}}
        )
    query = {"filter[namespace]": "window"}
    newest = [f"m-{number}" for number in reversed(range(7))]
    for start in range(9):
        for count in range(9):
            part = entities.models_between(start, count, query)
            assert ([model.name for model in part.data], part.total) == (newest[start : start + count], 7)
    assert entities.datasets_between(0, 5, query).total == 0
