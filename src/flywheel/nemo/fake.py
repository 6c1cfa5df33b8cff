"""NeMo services that do nothing, at once: a fake, for tests and for measuring the orchestrator by itself.

`FakeNemo` is an httpx transport that answers the calls of one turn of the wheel from memory: entity store,
customizer, evaluator, deployments and model proxy. Nothing is trained or asked; jobs finish after
`polls` looks at them, with the scores that one names. `FakeNemo.hub` stands in for the hub door. What was
called, and how often, is counted; `interrupt` may raise before or after any call, which is how tests kill a
worker there.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

import httpx

from flywheel.hub import Download, HubFile, HubNotFound
from flywheel.nemo.calls import ServiceUrls
from flywheel.nemo.conventions import ListQuery, new_id, timestamp

Interrupt = Callable[[str, Literal["before", "after"]], None]
"""Called with what is called ("POST /v1/customization/jobs", "upload ns/name") around each call."""

NEMO_URL, PROXY_URL, DATASTORE_URL = "http://nemo.fake", "http://nim.fake", "http://data.fake"
URLS = ServiceUrls(NEMO_URL, DATASTORE_URL, NEMO_URL, NEMO_URL, NEMO_URL, PROXY_URL)
NO_GPU = "Unschedulable: 0/3 nodes have 1 nvidia.com/gpu free"
_SCORE_NAMES = {
    "tool-calling": ("function_name_accuracy", "function_name_and_args_accuracy"),
    "llm-judge": ("rating", "similarity"),
    "text-matcher": ("rating", "similarity"),
    "json-match": (),
    "rouge": ("rouge_L_score",),
    "em": ("em",),
    "f1": ("f1",),
    "embedding-similarity": ("embedding_similarity",),
}
SCORES: Mapping[str, float] = {"base-eval": 0.1, "icl-eval": 0.3, "customized-eval": 0.9}


class FakeNemo(httpx.BaseTransport):
    """All of NeMo, in memory.

    Args:
        polls: looks at a job or a deployment before it is done; 0 is at once.
        scores: value of every score, by the kind of evaluation (read from the job's custom fields).
        broken: models whose deployment, or (as "customize NAME", "evaluate NAME") whose jobs fail; the value
            is the cause.
        interrupt: called around every call; what it raises comes out of the call.
        queue: looks at a training or a deployment for which it is still waiting for a GPU.
    """

    def __init__(
        self,
        *,
        polls: int = 0,
        scores: Mapping[str, float] = SCORES,
        broken: Mapping[str, str] | None = None,
        interrupt: Interrupt | None = None,
        queue: int = 0,
    ) -> None:
        self.queue = queue
        self.polls, self.scores, self.broken = polls, scores, dict(broken or {})
        self.interrupt = interrupt
        self.calls: Counter[str] = Counter()
        self.printed: list[str] = []
        """What every training printed."""
        self.hub = FakeHub(self)
        self.namespaces: set[str] = set()
        self.datasets: dict[str, dict[str, Any]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.customizations: dict[str, dict[str, Any]] = {}
        self.evaluations: dict[str, dict[str, Any]] = {}
        self.deployments: dict[str, dict[str, Any]] = {}
        self._looks: Counter[str] = Counter()
        self._waits: Counter[str] = Counter()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = unquote(request.url.path)
        for method, pattern, handler in _ROUTES:
            match = re.fullmatch(pattern, path)
            host = "proxy" if request.url.host == httpx.URL(PROXY_URL).host else "nemo"
            if method != f"{host} {request.method}" or match is None:
                continue
            name = f"{request.method} {re.sub(r'[(][^)]*[)]', '{}', pattern)}"
            with _Counted(self, name):
                answer = getattr(self, handler)(request, *match.groups())
            status, body = answer if isinstance(answer, tuple) else (200, answer)
            if isinstance(body, bytes):
                return httpx.Response(status, content=body, request=request)
            return httpx.Response(status, json=body, request=request)
        return httpx.Response(404, json={"detail": f"no route {request.method} {path}"}, request=request)

    @property
    def open_jobs(self) -> list[str]:
        """Jobs and deployments that are still there to cost something."""
        jobs = [*self.customizations.values(), *self.evaluations.values()]
        running = [j["id"] for j in jobs if j["status"] in ("created", "pending", "running", "cancelling")]
        return [*running, *self.deployments]

    def _queued(self, key: str) -> bool:
        self._waits[key] += 1
        return self._waits[key] <= self.queue

    def _due(self, key: str) -> bool:
        self._looks[key] += 1
        return self._looks[key] > self.polls

    # Entity store

    def _create_namespace(self, request: httpx.Request) -> Any:
        body = request.content.decode()
        values = json.loads(body) if body.startswith("{") else dict(parse_qsl(body))
        name = values.get("id") or values.get("namespace")
        key = f"{request.url.path} {name}"
        if key in self.namespaces:
            return 409, {"detail": f"namespace {name} exists"}
        self.namespaces.add(key)
        created = {"id": name, "namespace": name, "created_at": timestamp(), "updated_at": timestamp()}
        return (201 if "datastore" in request.url.path else 200), created

    def _create_dataset(self, request: httpx.Request) -> Any:
        body = json.loads(request.content)
        key = f"{body['namespace']}/{body['name']}"
        if key in self.datasets:
            return 409, {"detail": f"dataset {key} exists"}
        self.datasets[key] = {"id": new_id("dataset"), "created_at": timestamp(), **body}
        return self.datasets[key]

    def _list_datasets(self, request: httpx.Request) -> Any:
        return _listed(request, self.datasets)

    def _list_models(self, request: httpx.Request) -> Any:
        return _listed(request, self.models)

    def _get_dataset(self, request: httpx.Request, key: str) -> Any:
        return self.datasets.get(key) or (404, {"detail": f"no dataset {key}"})

    def _patch_dataset(self, request: httpx.Request, key: str) -> Any:
        if key not in self.datasets:
            return 404, {"detail": f"no dataset {key}"}
        self.datasets[key] |= json.loads(request.content)
        return self.datasets[key]

    def _delete_dataset(self, request: httpx.Request, key: str) -> Any:
        return self._deleted(self.datasets, key)

    def _get_model(self, request: httpx.Request, key: str) -> Any:
        return self.models.get(key) or (404, {"detail": f"no model {key}"})

    def _delete_model(self, request: httpx.Request, key: str) -> Any:
        return self._deleted(self.models, key)

    def _deleted(self, things: dict[str, dict[str, Any]], key: str) -> Any:
        if things.pop(key, None) is None:
            return 404, {"detail": f"{key} is not there"}
        return {"message": "Resource deleted successfully.", "id": key, "deleted_at": timestamp()}

    # Customizer

    def _create_config(self, request: httpx.Request) -> Any:
        body = json.loads(request.content)
        key = f"{body['namespace']}/{body['name']}"
        if key in self.configs:
            return 409, {"detail": f"config {key} exists"}
        self.configs[key] = body | {"id": new_id("cust-config"), "created_at": timestamp()}
        return self.configs[key]

    def _get_config(self, request: httpx.Request, key: str) -> Any:
        return self.configs.get(key) or (404, {"detail": f"no config {key}"})

    def _patch_config(self, request: httpx.Request, key: str) -> Any:
        if key not in self.configs:
            return 404, {"detail": f"no config {key}"}
        self.configs[key] |= json.loads(request.content)
        return self.configs[key]

    def _create_customization(self, request: httpx.Request) -> Any:
        body = json.loads(request.content)
        base = self.configs[body["config"]]["target"].split("@")[0]
        job_id = new_id("cust")
        dataset = body["dataset"]
        job = body | {
            "id": job_id,
            "created_at": timestamp(),
            "updated_at": timestamp(),
            "status": "created",
            "dataset": dataset if isinstance(dataset, str) else f"{dataset['namespace']}/{dataset['name']}",
            "output_model": f"{body['output_model']}@{job_id}",
            "base_model": base,
        }
        job["status_details"] = self._customization_status(job)
        self.customizations[job_id] = job
        return job

    def _list_customizations(self, request: httpx.Request) -> Any:
        return _page(request, list(self.customizations.values()))

    def _get_customization(self, request: httpx.Request, job_id: str) -> Any:
        return self.customizations.get(job_id) or (404, {"detail": f"no job {job_id}"})

    def _get_customization_status(self, request: httpx.Request, job_id: str) -> Any:
        job = self.customizations.get(job_id)
        if job is None:
            return 404, {"detail": f"no job {job_id}"}
        if job["status"] in ("created", "pending", "running"):
            job["status"] = "pending" if self._queued(job_id) else "running"
            if job["status"] == "running" and self._due(job_id):
                cause = self.broken.get(f"customize {job['base_model']}")
                job["status"] = "failed" if cause else "completed"
                if not cause:
                    namespace, _, name = job["output_model"].partition("/")
                    self.hub.files[f"models/{job['output_model']}"] = {"adapter_model.safetensors": b""}
                    self.models[job["output_model"]] = {
                        "id": new_id("model"),
                        "name": name,
                        "namespace": namespace,
                        "created_at": timestamp(),
                        "base_model": job["base_model"],
                        "peft": {"finetuning_type": "lora"},
                        "custom_fields": {**job.get("custom_fields", {}), "customization_job": job_id},
                        "artifact": {
                            "status": "upload_completed",
                            "files_url": f"hf://{job['output_model']}",
                        },
                    }
        job["status_details"] = self._customization_status(job)
        return job["status_details"]

    def _customization_status(self, job: dict[str, Any]) -> dict[str, Any]:
        done = 100.0 if job["status"] == "completed" else min(99.0, 10.0 * self._looks[job["id"]])
        cause = self.broken.get(f"customize {job['base_model']}") if job["status"] == "failed" else None
        if job["status"] == "pending":
            cause = NO_GPU
        return {
            "created_at": job["created_at"],
            "updated_at": timestamp(),
            "status": job["status"],
            "steps_completed": int(done),
            "steps_per_epoch": 50,
            "epochs_completed": int(done / 50),
            "percentage_done": done,
            "elapsed_time": 1.0,
            "train_loss": 1.0 - done / 200,
            "val_loss": 1.1 - done / 200,
            "best_epoch": 1,
            "metrics": {
                "keys": ["train_loss", "val_loss"],
                "metrics": {
                    "train_loss": [{"step": s, "value": 1.0 - s / 200} for s in range(1, int(done) + 1, 10)],
                    "val_loss": [{"step": s, "value": 1.1 - s / 200} for s in range(25, int(done) + 1, 25)],
                },
            },
            "status_logs": [{"updated_at": timestamp(), "message": job["status"], "detail": cause}],
        }

    def _customization_logs(self, request: httpx.Request, job_id: str) -> Any:
        if job_id not in self.customizations:
            return 404, {"detail": f"no job {job_id}"}
        printed = "\n".join(self.printed)
        return {"entries": {job_id: {"events": [], "logs": {"training": printed}}}, "error": None}

    def _cancel_customization(self, request: httpx.Request, job_id: str) -> Any:
        return self._cancelled(self.customizations, job_id)

    def _cancelled(self, jobs: dict[str, dict[str, Any]], job_id: str) -> Any:
        job = jobs.get(job_id)
        if job is None:
            return 404, {"detail": f"no job {job_id}"}
        if job["status"] in ("completed", "failed", "cancelled"):
            return 409, {"detail": f"job {job_id} is {job['status']}"}
        job["status"] = "cancelled"
        return job

    # Evaluator

    def _create_evaluation(self, request: httpx.Request) -> Any:
        job_id = new_id("eval")
        self.evaluations[job_id] = json.loads(request.content) | {
            "id": job_id,
            "created_at": timestamp(),
            "updated_at": timestamp(),
            "status": "created",
            "status_details": {"message": None, "task_status": {}, "progress": 0.0},
        }
        return self.evaluations[job_id]

    def _list_evaluations(self, request: httpx.Request) -> Any:
        return _page(request, list(self.evaluations.values()))

    def _get_evaluation(self, request: httpx.Request, job_id: str) -> Any:
        job = self.evaluations.get(job_id)
        if job is None:
            return 404, {"detail": f"no job {job_id}"}
        if job["status"] in ("created", "running"):
            cause = self.broken.get(f"evaluate {job['target']['model']}")
            job["status"] = "running" if not self._due(job_id) else "failed" if cause else "completed"
            done = 100.0 if job["status"] == "completed" else min(99.0, 10.0 * self._looks[job_id])
            job["status_details"] = {
                "message": cause if job["status"] == "failed" else None,
                "task_status": {},
                "progress": done,
            }
        return job

    def _evaluation_results(self, request: httpx.Request, job_id: str) -> Any:
        job = self.evaluations.get(job_id)
        if job is None or job["status"] != "completed":
            return 404, {"detail": f"no results of {job_id}"}
        value = self.scores.get(job.get("custom_fields", {}).get("eval_type", ""), 0.5)
        interval = {"level": 0.95, "low": max(0.0, value - 0.1), "high": min(1.0, value + 0.1)}
        score = {
            "value": value,
            "stats": {
                "count": 100,
                "sum": 100 * value,
                "mean": value,
                "confidence_interval": interval | {"method": "wilson"},
            },
        }
        tasks = {
            task: {
                "metrics": {
                    metric: {"scores": dict.fromkeys(_SCORE_NAMES[spec["type"]], score)}
                    for metric, spec in config["metrics"].items()
                }
            }
            for task, config in job["config"]["tasks"].items()
        }
        return {
            "job": job_id,
            "id": new_id("evaluation_result"),
            "created_at": timestamp(),
            "updated_at": timestamp(),
            "namespace": job.get("namespace"),
            "tasks": tasks,
            "groups": {},
            "custom_fields": {
                "latency_ms": {
                    "mean": 12.0,
                    "p50": 11.0,
                    "p95": 20.0,
                    "first_token": {"mean": 3.0, "p50": 2.5, "p95": 6.0},
                },
                "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
                "failures": {"wrong_value": 3},
                "judge_agreement": {
                    "custom-tool-calling": {
                        "correctness.rating": {"with_score": {"n": 100, "accuracy": 0.95, "kappa": 0.9}}
                    }
                },
            },
        }

    def _evaluation_download(self, request: httpx.Request, job_id: str) -> Any:
        """`results.json` in a ZIP: of the data set's rows the first are right, as many as the score says."""
        job = self.evaluations.get(job_id)
        if job is None or job["status"] != "completed":
            return 404, {"detail": f"no results of {job_id}"}
        value = self.scores.get(job.get("custom_fields", {}).get("eval_type", ""), 0.5)
        tasks = {
            task: [
                {
                    "item": row,
                    "sample": {"output_text": "", "response": _answer(row, right)},
                    "metrics": {
                        metric: {
                            "scores": {key: {"value": float(right)} for key in _SCORE_NAMES[spec["type"]]}
                        }
                        for metric, spec in config["metrics"].items()
                    },
                    "failure": None if right else "wrong_value",
                }
                for row, right in self._scored_rows(config["dataset"]["files_url"], value)
            ]
            for task, config in job["config"]["tasks"].items()
        }
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(f"{job_id}/results.json", json.dumps(tasks))
        return packed.getvalue()

    def _scored_rows(self, files_url: str, value: float) -> list[tuple[Any, bool]]:
        kind, namespace, name, path = files_url.removeprefix("hf://").split("/", 3)
        lines = self.hub.files.get(f"{kind}/{namespace}/{name}", {}).get(path, b"").splitlines()
        return [(json.loads(line), number < value * len(lines)) for number, line in enumerate(lines)]

    def _evaluation_samples(self, request: httpx.Request, job_id: str) -> Any:
        if job_id not in self.evaluations:
            return 404, {"detail": f"no job {job_id}"}
        return _page(request, [{"index": 0, "failure": "wrong_value"}, {"index": 1, "failure": None}])

    def _cancel_evaluation(self, request: httpx.Request, job_id: str) -> Any:
        return self._cancelled(self.evaluations, job_id)

    def _delete_evaluation(self, request: httpx.Request, job_id: str) -> Any:
        return self._deleted(self.evaluations, job_id)

    # Deployments and the model proxy

    def _create_deployment(self, request: httpx.Request) -> Any:
        body = json.loads(request.content)
        key = f"{body['namespace']}/{body['name']}"
        if key in self.deployments:
            return 409, {"detail": "model deployment already exists"}
        self.deployments[key] = body | {
            "created_at": timestamp(),
            "updated_at": timestamp(),
            "deployed": False,
            "models": [],
            "async_enabled": False,
            "url": "",
            "schema_version": "1.0",
            "status_details": {"status": "created", "description": ""},
        }
        return self.deployments[key]

    def _list_deployments(self, request: httpx.Request) -> Any:
        return _listed(request, self.deployments)

    def _get_deployment(self, request: httpx.Request, key: str) -> Any:
        deployment = self.deployments.get(key)
        if deployment is None:
            return 404, {"detail": f"no deployment {key}"}
        model = deployment["config"]["model"]
        if deployment["status_details"]["status"] not in ("ready", "failed"):
            if self._queued(key):
                deployment["status_details"] = {"status": "pending", "description": NO_GPU}
                return deployment
            state = "running" if not self._due(key) else "failed" if model in self.broken else "ready"
            deployment["status_details"] = {"status": state, "description": self.broken.get(model, "")}
            deployment["deployed"] = state == "ready"
        return deployment

    def _delete_deployment(self, request: httpx.Request, key: str) -> Any:
        return self._deleted(self.deployments, key)

    def _list_served(self, request: httpx.Request) -> Any:
        ready = {
            d["config"]["model"]
            for d in list(self.deployments.values())  # Other threads deploy meanwhile.
            if d["status_details"]["status"] == "ready"
        }
        adapters = [
            {"id": name, "parent": model["base_model"], "root": model["artifact"]["files_url"]}
            for name, model in list(self.models.items())
            if model["base_model"] in ready
        ]
        served = [{"id": name, "parent": None, "root": name} for name in sorted(ready)] + adapters
        common = {"object": "model", "created": 0, "owned_by": "system", "permission": []}
        return {"object": "list", "data": [common | model for model in served]}


class FakeHub:
    """The hub door's writing half, in memory: the files of each repository, by revision."""

    def __init__(self, nemo: FakeNemo) -> None:
        self._nemo = nemo
        self.files: dict[str, dict[str, bytes]] = {}

    def upload(
        self,
        repo_id: str,
        files: Mapping[str, Path | bytes],
        *,
        repo_type: Literal["dataset", "model"],
        revision: str = "main",
        message: str,
    ) -> str:
        with _Counted(self._nemo, "upload"):
            content = {
                path: data if isinstance(data, bytes) else data.read_bytes() for path, data in files.items()
            }
            self.files.setdefault(f"{repo_type}s/{repo_id}", {}).update(content)
        return hashlib.sha1(json.dumps(sorted(content)).encode(), usedforsecurity=False).hexdigest()

    def delete(
        self, repo_id: str, *, repo_type: Literal["dataset", "model"], revision: str | None = None
    ) -> None:
        with _Counted(self._nemo, "delete"):
            self.files.pop(f"{repo_type}s/{repo_id}" + (f"@{revision}" if revision else ""), None)

    def listing(
        self, repo_id: str, *, repo_type: Literal["dataset", "model"], revision: str = "main"
    ) -> list[HubFile]:
        with _Counted(self._nemo, "listing"):
            files = self._files(repo_id, repo_type, revision)
        return [
            HubFile(path, len(content), hashlib.sha256(content).hexdigest())
            for path, content in sorted(files.items())
        ]

    def open(
        self,
        repo_id: str,
        path: str,
        *,
        repo_type: Literal["dataset", "model"],
        revision: str = "main",
        byte_range: str | None = None,
    ) -> Download:
        with _Counted(self._nemo, "open"):
            content = self._files(repo_id, repo_type, revision).get(path)
        if content is None:
            raise HubNotFound(f"{path} in {repo_id}", revision, DATASTORE_URL)
        return Download(200, {"content-length": str(len(content))}, iter([content]), lambda: None)

    def _files(self, repo_id: str, repo_type: str, revision: str) -> dict[str, bytes]:
        for key in (f"{repo_type}s/{repo_id}@{revision}", f"{repo_type}s/{repo_id}"):
            if key in self.files:
                return self.files[key]
        raise HubNotFound(repo_id, revision, DATASTORE_URL)


class _Counted:
    """One call of the fake: counted, with the interruption around it."""

    def __init__(self, nemo: FakeNemo, name: str) -> None:
        self._nemo, self._name = nemo, name

    def __enter__(self) -> None:
        if self._nemo.interrupt:
            self._nemo.interrupt(self._name, "before")
        self._nemo.calls[self._name] += 1

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if error is None and self._nemo.interrupt:
            self._nemo.interrupt(self._name, "after")


def _listed(request: httpx.Request, things: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A page of entities, as our own services make them: filtered, searched, sorted."""
    query = ListQuery.from_params(request.url.params)
    return query.select(list(things.values())).model_dump()


def _answer(row: Any, right: bool) -> Any:
    """A response to a data set's row: the reference, or one in which every text is another."""
    response = json.loads(json.dumps(row.get("response") or {}))
    for choice in () if right else response.get("choices", ()):
        message = choice["message"]
        message["content"] = "Something else." if message.get("content") else None
        for call in message.get("tool_calls", ()):
            given = call["function"]["arguments"]
            call["function"]["arguments"] = {
                k: "other" if isinstance(v, str) else v for k, v in given.items()
            }
    return response


def _page(request: httpx.Request, things: list[dict[str, Any]]) -> dict[str, Any]:
    """The things that match every `filter[…]` of the query, as one page."""
    found = things
    for key, value in request.url.params.multi_items():
        parts = re.findall(r"\[([^\]]*)\]", key)
        if key.startswith("filter[") and parts:
            found = [thing for thing in found if _dig(thing, parts) == value]
    page = int(request.url.params.get("page", "1"))
    shown = found[::-1] if page == 1 else []
    pagination = {
        "page": page,
        "page_size": 100,
        "current_page_size": len(shown),
        "total_pages": 1,
        "total_results": len(found),
    }
    return {"object": "list", "data": shown, "pagination": pagination, "sort": "-created_at", "filter": {}}


def _dig(thing: Any, path: list[str]) -> Any:
    for part in path:
        thing = thing.get(part) if isinstance(thing, dict) else None
    return thing


_CUST, _EVAL, _DEPLOY = "/v1/customization", "/v1/evaluation/jobs", "/v1/deployment/model-deployments"
_ROUTES: list[tuple[str, str, str]] = [
    ("nemo POST", "/v1/namespaces", "_create_namespace"),
    ("nemo POST", "/v1/datastore/namespaces", "_create_namespace"),
    ("nemo POST", "/v1/datasets", "_create_dataset"),
    ("nemo GET", "/v1/datasets", "_list_datasets"),
    ("nemo GET", "/v1/models", "_list_models"),
    ("nemo GET", _DEPLOY, "_list_deployments"),
    ("nemo GET", "/v1/datasets/(.+)", "_get_dataset"),
    ("nemo PATCH", "/v1/datasets/(.+)", "_patch_dataset"),
    ("nemo DELETE", "/v1/datasets/(.+)", "_delete_dataset"),
    ("nemo GET", "/v1/models/(.+)", "_get_model"),
    ("nemo DELETE", "/v1/models/(.+)", "_delete_model"),
    ("nemo POST", f"{_CUST}/configs", "_create_config"),
    ("nemo GET", f"{_CUST}/configs/(.+)", "_get_config"),
    ("nemo PATCH", f"{_CUST}/configs/(.+)", "_patch_config"),
    ("nemo POST", f"{_CUST}/jobs", "_create_customization"),
    ("nemo GET", f"{_CUST}/jobs", "_list_customizations"),
    ("nemo GET", f"{_CUST}/jobs/([^/]+)/status", "_get_customization_status"),
    ("nemo GET", f"{_CUST}/jobs/([^/]+)/container-logs", "_customization_logs"),
    ("nemo POST", f"{_CUST}/jobs/([^/]+)/cancel", "_cancel_customization"),
    ("nemo GET", f"{_CUST}/jobs/([^/]+)", "_get_customization"),
    ("nemo POST", _EVAL, "_create_evaluation"),
    ("nemo GET", _EVAL, "_list_evaluations"),
    ("nemo GET", f"{_EVAL}/([^/]+)/results", "_evaluation_results"),
    ("nemo GET", f"{_EVAL}/([^/]+)/samples", "_evaluation_samples"),
    ("nemo GET", f"{_EVAL}/([^/]+)/download-results", "_evaluation_download"),
    ("nemo POST", f"{_EVAL}/([^/]+)/cancel", "_cancel_evaluation"),
    ("nemo GET", f"{_EVAL}/([^/]+)", "_get_evaluation"),
    ("nemo DELETE", f"{_EVAL}/([^/]+)", "_delete_evaluation"),
    ("nemo POST", _DEPLOY, "_create_deployment"),
    ("nemo GET", f"{_DEPLOY}/(.+)", "_get_deployment"),
    ("nemo DELETE", f"{_DEPLOY}/(.+)", "_delete_deployment"),
    ("proxy GET", "/v1/models", "_list_served"),
]
