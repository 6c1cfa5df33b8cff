"""`/api/workloads`, `/api/models` and `/api/datasets`: what there is, where it comes from, who serves it."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.testclient import TestClient

from flywheel.client import DatasetEntry, ModelEntry
from flywheel.config import Pricing
from flywheel.hub import Hub
from flywheel.models import Record, Workload
from flywheel.nemo.customization import CustomizationClient
from flywheel.nemo.deployment import DeploymentClient
from flywheel.nemo.entity_store import EntityStoreClient
from flywheel.nemo.fake import URLS, FakeNemo
from flywheel.nemo.inference import InferenceClient
from flywheel.orchestrator.routers import routers
from flywheel.orchestrator.services import LOOK_S, Services
from flywheel.services.datastore.router import router as datastore_router
from flywheel.services.datastore.service import DatastoreService
from flywheel.stores.logs import EmbeddedLogStore
from flywheel.web import make_app
from run_world import CHAT, WORKLOAD, World, nim, settings, tool_record
from serving_apps import nemo_app, serve_app

NAMES = {"client_id": WORKLOAD.client_id, "workload_id": WORKLOAD.workload_id}


class Api:
    """The routes over a world."""

    def __init__(self, here: World) -> None:
        self.here = here
        app = make_app("test", "problem", routers(here.context, lambda run_id: None))
        self.http = TestClient(app, raise_server_exceptions=False)

    def get(self, where: str, expect: int = 200, **params: Any) -> Any:
        answer = self.http.get(where, params=params)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def refused(self, where: str, expect: int, **params: Any) -> str:
        answer = self.http.get(where, params=params)
        assert answer.status_code == expect, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        detail = answer.json()["detail"]
        return detail if isinstance(detail, str) else json.dumps(detail)

    def finished(self, workload: Workload = WORKLOAD, **overrides: Any) -> str:
        run_id = self.here.start(workload, **overrides)
        assert self.here.finish(run_id).status == "completed"
        return run_id


@pytest.fixture
def api(world) -> Api:
    return Api(world(FakeNemo()))


# Workloads


def test_a_workload_shows_its_last_run_and_its_best_student(api):
    first = api.finished()
    api.here.nemo.scores = {"customized-eval": 0.4}
    second = api.finished()
    talk, tools = api.get("/api/workloads")["workloads"]
    assert (talk["workload_id"], talk["last_run"], talk["best"]) == ("small_talk", None, None)
    assert tools["last_run"] == {"id": second, "status": "completed", "created_at": "2026-01-02T03:04:07Z"}
    assert tools["best"].pop("verdict").startswith("not yet: 10 points below")
    assert tools["best"] == {
        "run_id": first,
        "model_name": "test/student",
        "eval_type": "customized-eval",
        "metric": "function_name_and_args_accuracy",
        "value": 0.9,
        "low": 0.8,
        "high": 1.0,
        "n": 100,
    }


def test_workloads_are_searched_sorted_and_paged(tmp_path, world):
    logs = EmbeddedLogStore(tmp_path / "many.sqlite")
    for client in ("shop", "bank"):
        for number in range(1, 6):
            workload = Workload(client, f"team/task-{number}")
            logs.add(
                Record.of(workload, 1e9 + 100 * number + n, {"messages": []}, {"id": str(n)})
                for n in range(10 - number)
            )
    api = Api(world().reborn(logs=logs))

    def names(**query: Any) -> list[str]:
        return [
            f"{w['client_id']} {w['workload_id']}" for w in api.get("/api/workloads", **query)["workloads"]
        ]

    assert names()[:2] == ["bank team/task-1", "bank team/task-2"]
    assert names(client_id="shop", sort="count", limit=2) == ["shop team/task-1", "shop team/task-2"]
    assert names(client_id="shop", sort="last", limit=1) == ["shop team/task-5"]
    assert names(search="K-3") == ["bank team/task-3", "shop team/task-3"]
    assert names(search="bank/team", offset=4) == ["bank team/task-5"]
    page = api.get("/api/workloads", limit=3, offset=9)
    assert (len(page["workloads"]), page["total"], page["offset"], page["limit"]) == (1, 10, 9, 3)
    assert api.get("/api/workloads", limit=1, search="nobody") == {
        "workloads": [],
        "total": 0,
        "offset": 0,
        "limit": 1,
    }
    api.refused("/api/workloads", 422, sort="odd")
    api.refused("/api/workloads", 422, limit=1001)


def test_a_profile_tells_days_tools_tokens_and_schemas(tmp_path, world):
    logs = EmbeddedLogStore(tmp_path / "some.sqlite")
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}

    def called(number: int) -> Record:
        found = tool_record(number)
        return Record.of(
            WORKLOAD,
            found.timestamp + 86_400 * (number % 2),
            found.request,
            found.response | {"usage": usage},
        )

    logs.add(map(called, range(40)))
    price = Pricing(teacher_input_per_million=2.0, teacher_output_per_million=10.0, currency="EUR")
    using = settings().model_copy(update={"pricing": price})
    api = Api(world(using=using).reborn(logs=logs))
    found = api.get("/api/workloads/profile", **NAMES)
    assert (found["count"], found["looked_at"]) == (40, 40)
    assert [day["count"] for day in found["per_day"]] == [20, 20]
    assert found["per_day"][1]["start"] - found["per_day"][0]["start"] == 86_400
    assert found["tools"] == [{"name": "order_status", "count": 40, "share": 1.0}]
    assert found["no_call"] == {"count": 0, "share": 0.0}
    assert found["teacher"] == {
        "models": {"teacher": 40},
        "prompt_tokens": 40_000,
        "completion_tokens": 4_000,
        "with_usage": 40,
        "cost": {"currency": "EUR", "total": pytest.approx(0.12), "per_1000": pytest.approx(3.0)},
    }
    assert found["health"] == {
        "valid": 40,
        "invalid": {},
        "duplicates": 0,
        "conflicts": 0,
        "conflicting": 0,
        "conversations": 40,
    }
    (schemas,) = found["tool_schemas"]
    assert (schemas["tool"], schemas["versions"][0]["count"]) == ("order_status", 40)
    newest = api.get("/api/workloads/profile", **NAMES, limit=10)
    assert (newest["count"], newest["looked_at"], newest["teacher"]["with_usage"]) == (40, 10, 10)


class Counting(EmbeddedLogStore):
    """A store that counts how often its records are read."""

    reads = 0

    def query(self, *args: Any, **kwargs: Any) -> Any:
        self.reads += 1
        return super().query(*args, **kwargs)


def test_a_profile_is_made_anew_only_when_there_are_other_records(tmp_path, world):
    logs = Counting(tmp_path / "some.sqlite")
    logs.add(map(tool_record, range(30)))
    api = Api(world().reborn(logs=logs))
    first = api.get("/api/workloads/profile", **NAMES)
    assert api.get("/api/workloads/profile", **NAMES) == first
    assert logs.reads == 1
    logs.add([tool_record(99)])
    assert api.get("/api/workloads/profile", **NAMES)["looked_at"] == 31
    assert logs.reads == 2


def test_a_profile_without_prices_or_records_says_so(api):
    assert api.get("/api/workloads/profile", **NAMES)["teacher"]["cost"] is None
    detail = api.refused("/api/workloads/profile", 404, client_id="support-app", workload_id="tool_ruter")
    assert 'did you mean "support-app/tool_router"?' in detail
    assert "client_id" in api.refused("/api/workloads/profile", 422, workload_id="tool_router")
    api.refused("/api/workloads/profile", 422, **NAMES, limit=50_001)


# Models


def test_base_models_come_first_and_adapters_after_them_newest_first(world):
    api = Api(world(using=settings(nim("test/one"), nim("test/two"))))
    runs = [api.finished() for _ in range(2)]
    page = api.get("/api/models")
    assert page["total"] == 6
    assert [m["name"] for m in page["models"][:2]] == ["test/one", "test/two"]
    assert [m["kind"] for m in page["models"]] == ["base"] * 2 + ["adapter"] * 4
    assert [m["lineage"]["run_id"] for m in page["models"][2:]] == [runs[1]] * 2 + [runs[0]] * 2
    adapter = page["models"][2]
    assert adapter["base_model"] in ("test/one", "test/two")
    assert (adapter["status"], adapter["served"], adapter["deployments"]) == ("ready", False, [])
    assert adapter["lineage"] == {"run_id": runs[1], **NAMES}

    every = [m["name"] for m in page["models"]]
    for limit in (1, 2, 3, 5):
        parts = [api.get("/api/models", limit=limit, offset=o)["models"] for o in range(0, 6, limit)]
        assert [m["name"] for part in parts for m in part] == every
    assert [m["name"] for m in api.get("/api/models", limit=3, offset=1)["models"]] == every[1:4]
    assert api.get("/api/models", offset=6)["models"] == []
    assert api.get("/api/models", kind="base")["total"] == 2
    assert api.get("/api/models", kind="adapter", limit=2)["models"] == page["models"][2:4]
    found = api.get("/api/models", search="TEST-TWO")
    assert (found["total"], {m["base_model"] for m in found["models"]}) == (2, {"test/two"})
    api.refused("/api/models", 422, kind="odd")


def test_a_list_of_models_takes_one_call_to_each_service_and_no_listing_of_files(world):
    here = world(FakeNemo())
    api = Api(here)
    for _ in range(3):
        api.finished()
    here.nemo.calls.clear()
    api.get("/api/models", limit=2)
    assert dict(here.nemo.calls) == {
        "GET /v1/models": 2,  # The entity store's, and the model proxy's.
        "GET /v1/deployment/model-deployments": 1,
    }


def test_an_adapter_leads_to_its_run_its_data_set_and_its_records(api):
    run = api.here.run(api.finished())
    name = run.candidates[0].customization.customized_model
    found = api.get(f"/api/models/{name}")
    train = run.dataset("train")
    assert found["lineage"] == {
        "run_id": run.id,
        **NAMES,
        "dataset": {
            "name": train.name,
            "sha256": train.sha256,
            "num_records": train.num_records,
            "files": train.files,
        },
        "records": {"count": 80, "first": 1_700_000_000.0, "last": 1_700_000_079.0},
    }
    assert found["scores"]["function_name_and_args_accuracy"] == {
        "value": 0.9,
        "n": 100,
        "low": 0.8,
        "high": 1.0,
    }
    (file,) = found["files"]
    assert (file["path"], found["size_bytes"]) == ("adapter_model.safetensors", 0)
    assert found["created_at"].endswith("Z")
    assert found["sha256"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert api.http.get(file["download"]).content == b""


def test_an_adapter_without_memories_is_traced_by_its_customization_job(api):
    run = api.here.run(api.finished())
    name = run.candidates[0].customization.customized_model
    api.here.nemo.models[name].pop("custom_fields")  # As NVIDIA's customizer makes them.
    assert api.get(f"/api/models/{name}")["lineage"]["run_id"] == run.id
    api.here.nemo.customizations.clear()
    assert api.get(f"/api/models/{name}")["lineage"] is None
    (adapter,) = api.get("/api/models", kind="adapter")["models"]
    assert adapter["lineage"] is None


def test_a_model_outlives_its_run(api):
    run = api.here.run(api.finished())
    name = run.candidates[0].customization.customized_model
    api.here.context.runs.delete(run.id)
    found = api.get(f"/api/models/{name}")
    assert (found["lineage"], found["scores"]) == ({"run_id": run.id, **NAMES}, {})


def test_models_show_where_they_answer(api):
    nemo = api.here.nemo
    run = api.here.run(api.finished())
    name = run.candidates[0].customization.customized_model
    nemo.deployments["dfwbp/here"] = {
        "name": "here",
        "namespace": "dfwbp",
        "config": {"model": "test/student"},
        "models": [],
        "deployed": True,
        "status_details": {"status": "ready", "description": ""},
    }
    base, adapter = api.get("/api/models")["models"]
    here = [{"name": "here", "status": "ready"}]
    assert (base["served"], base["deployments"]) == (True, here)
    assert (adapter["name"], adapter["served"], adapter["deployments"]) == (name, True, here)
    assert api.get("/api/models/test/student")["deployments"] == here


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing", "../../etc", "a/b/c", "ns/na%20me"])
def test_a_model_that_is_not_there_says_so(api, name):
    answer = api.http.get(f"/api/models/{name.replace('..', '%2E%2E')}")
    assert answer.status_code == 404
    assert "GET /api/models lists them" in answer.json()["detail"]


def test_files_of_models_that_are_not_there_say_so(api):
    run = api.here.run(api.finished())
    name = run.candidates[0].customization.customized_model
    assert "no file 'x'" in api.refused("/api/model-files", 404, name=name, path="x")
    assert "not kept here" in api.refused("/api/model-files", 404, name="test/student", path="x")
    assert "there is no model 'ns/x'" in api.refused("/api/model-files", 404, name="ns/x", path="x")
    api.refused("/api/model-files", 422, name=name)


# Data sets


def test_data_sets_are_listed_by_workload_newest_first(api):
    runs = [api.finished(), api.finished(CHAT), api.finished()]
    page = api.get("/api/datasets")
    assert page["total"] == 9
    assert [d["runs"] for d in page["datasets"]] == [[run] for run in reversed(runs) for _ in range(3)]
    assert {d["kind"] for d in page["datasets"][:3]} == {"eval", "icl", "train"}
    of = api.get("/api/datasets", workload_id="small_talk")
    assert (of["total"], {d["workload_id"] for d in of["datasets"]}) == (3, {"small_talk"})
    assert api.get("/api/datasets", client_id="nobody")["total"] == 0
    assert api.get("/api/datasets", search="-TRAIN-")["total"] == 3
    parts = [api.get("/api/datasets", limit=2, offset=o)["datasets"] for o in (1, 3, 5, 7)]
    assert [d["name"] for part in parts for d in part] == [d["name"] for d in page["datasets"]][1:]


def test_a_data_set_shows_its_files_its_hash_and_how_it_was_curated(api):
    run = api.here.run(api.finished())
    train = run.dataset("train")
    found = api.get(f"/api/datasets/{train.name}")
    assert (found["namespace"], found["kind"], found["sha256"]) == ("dfwbp", "train", train.sha256)
    assert (found["num_records"], found["runs"]) == (train.num_records, [run.id])
    assert {f["path"]: f["rows"] for f in found["files"]} == train.files
    assert found["size_bytes"] == sum(f["size_bytes"] for f in found["files"])
    assert found["curation"]["records_in"] == 80
    for file in found["files"]:
        answer = api.http.get(file["download"])
        assert answer.content.count(b"\n") == file["rows"]
        assert len(answer.content) == file["size_bytes"]
        assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"] == "application/octet-stream"
    (entry,) = api.get("/api/datasets", search=train.name)["datasets"]
    assert {k: v for k, v in entry.items() if k != "size_bytes"} == {
        k: v for k, v in found.items() if k not in ("files", "curation", "size_bytes")
    }


def test_a_data_set_whose_run_or_files_are_gone_is_still_told(api):
    run = api.here.run(api.finished())
    train = run.dataset("train")
    api.here.context.runs.delete(run.id)
    api.here.nemo.hub.files.clear()
    found = api.get(f"/api/datasets/{train.name}")
    assert (found["sha256"], found["files"], found["curation"]) == (train.sha256, [], None)
    detail = api.refused(f"/api/datasets/{train.name}/files/training/train_data.jsonl", 404)
    assert "has no file 'training/train_data.jsonl'" in detail


@pytest.mark.parametrize("name", ["nothing", "%2E%2E", "a b"])
def test_a_data_set_that_is_not_there_says_so(api, name):
    answer = api.http.get(f"/api/datasets/{name}")
    assert answer.status_code == 404
    assert "GET /api/datasets lists them" in answer.json()["detail"]
    assert api.http.get(f"/api/datasets/{name}/files/x").status_code == 404


# What others wrote


@pytest.mark.parametrize("odd", [42, True, "words", ["a"], {"a": 1}], ids=str)
def test_a_field_of_an_unexpected_kind_is_not_told(api, odd):
    """Programs rely on the kinds of fields, and no list is lost by one entry of somebody else's."""
    place = f"{api.here.context.namespace}/foreign"
    names = ("flywheel_run", "client_id", "workload_id", "kind", "num_records", "sha256", "rows")
    entity = {
        "namespace": api.here.context.namespace,
        "name": "foreign",
        "created_at": "yesterday",
        "custom_fields": dict.fromkeys((*names, "customization_job"), odd),
        "files_url": f"hf://datasets/{place}",
    }
    api.here.nemo.datasets[place] = entity
    api.here.nemo.hub.files[f"datasets/{place}"] = {"a.jsonl": b"{}"}
    api.here.nemo.models[place] = entity | {"base_model": "test/student", "peft": {"finetuning_type": "lora"}}
    for found in (*api.get("/api/datasets")["datasets"], api.get("/api/datasets/foreign")):
        read = DatasetEntry.read(found)
        assert (read.name, read.created_at) == ("foreign", None)
        assert read.num_records == (odd if odd == 42 else None)
        assert read.kind == (odd if odd == "words" else None)
    for found in (api.get("/api/models")["models"][-1], api.get(f"/api/models/{quote(place, safe='')}")):
        read = ModelEntry.read(found)
        assert (read.name, read.created_at) == (place, None)
        assert bool(read.lineage) == (odd == "words")


# Services that are away


class Away(FakeNemo):
    """Nobody answers at these addresses."""

    gone: tuple[str, ...] = ()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if any(part in str(request.url) for part in self.gone):
            raise httpx.ConnectError("connection refused")
        return super().handle_request(request)


@pytest.mark.parametrize(
    ("gone", "path", "named"),
    [
        ("nemo.fake/v1/models", "/api/models", "entity store"),
        ("nim.fake/v1/models", "/api/models", "model proxy"),
        ("nemo.fake/v1/deployment", "/api/models", "deployment manager"),
        ("nemo.fake/v1/models/", "/api/models/a/b@c", "entity store"),
        ("nemo.fake/v1/datasets", "/api/datasets", "entity store"),
        ("nemo.fake/v1/datasets", "/api/datasets/x", "entity store"),
    ],
)
def test_a_service_that_is_away_is_named_soon(world, gone, path, named):
    api = Api(world(Away()))
    api.here.nemo.gone = (gone,)
    began = time.monotonic()
    detail = api.refused(path, 503)
    assert f"the {named} is away" in detail
    assert "connection refused" in detail
    assert time.monotonic() - began < LOOK_S


def test_a_service_that_refuses_is_no_service_that_is_away(world):
    class Refusing(FakeNemo):
        def _list_datasets(self, request: httpx.Request) -> Any:
            return 403, {"detail": "not for you"}

    assert "not for you" in Api(world(Refusing())).refused("/api/datasets", 502)


# Real services


def test_files_of_a_real_data_store_pass_through_whole_or_in_part(tmp_path, world):
    service = DatastoreService(tmp_path / "datastore")
    with serve_app(nemo_app("datastore", datastore_router(service))) as url:
        nemo = FakeNemo()
        urls = replace(URLS, entities=url, datastore=url)
        hub = Hub(f"{url}/v1/hf")
        entities = EntityStoreClient(url)
        weights = bytes(range(256)) * 4096
        files = {"adapter_model.safetensors": weights}
        hub.upload("dfwbp/a", files, repo_type="model", revision="j", message="m")
        artifact = {"files_url": "hf://dfwbp/a@j", "status": "upload_completed"}
        peft = {"finetuning_type": "lora"}
        entities.create_model({"namespace": "dfwbp", "name": "a@j", "artifact": artifact, "peft": peft})
        hub.upload("dfwbp/d", {"training/ü 1.jsonl": b"{}\n{}\n"}, repo_type="dataset", message="d")
        entities.create_dataset({"namespace": "dfwbp", "name": "d", "files_url": "hf://datasets/dfwbp/d"})
        services = Services.at(urls, hub)
        looks = replace(
            services.looks,
            proxy=InferenceClient(URLS.models, nemo),
            customizer=CustomizationClient(URLS.customizer, nemo),
            deployments=DeploymentClient(URLS.deployments, nemo),
        )
        api = Api(world(nemo).reborn(services=replace(services, looks=looks)))

        (model,) = api.get("/api/models", kind="adapter")["models"]
        found = api.get(f"/api/models/{model['name']}")
        assert (found["size_bytes"], found["sha256"]) == (len(weights), hashlib.sha256(weights).hexdigest())
        (file,) = found["files"]
        assert api.http.get(file["download"]).content == weights
        part = api.http.get(file["download"], headers={"range": "bytes=256-511"})
        assert (part.status_code, part.content) == (206, bytes(range(256)))
        assert part.headers["content-range"] == f"bytes 256-511/{len(weights)}"
        wrong = api.http.get(file["download"], headers={"range": f"bytes={len(weights)}-"})
        assert (wrong.status_code, wrong.json()["code"]) == (416, "bad_range")
        (file,) = api.get("/api/datasets/d")["files"]
        assert api.http.get(file["download"]).content == b"{}\n{}\n"
        for path in ("../../../a/resolve/main/x", "training", "training/"):
            assert api.http.get(f"/api/datasets/d/files/{quote(path, safe='')}").status_code == 404
        service.stop()
    assert "the entity store is away" in api.refused("/api/datasets", 503)
    services.close()
    entities.close()
