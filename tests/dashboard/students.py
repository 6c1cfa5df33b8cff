"""NeMo with students that really answer: `flywheel.nemo.fake`, with words and calls in its samples.

How often a student is right depends on its model and on how it is asked; which records it gets wrong, and in
which way, is drawn from their names, so it is always the same. Scores, intervals and failure classes are
counted from the samples, so that everything that is shown of a run fits together.
"""

from __future__ import annotations

import copy
import io
import json
import math
import zipfile
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

import httpx
import numpy as np

from flywheel.evaluation.statistics.intervals import wilson
from flywheel.nemo.fake import _SCORE_NAMES, FakeNemo

CHANCES = {"base-eval": 0.32, "icl-eval": 0.58, "customized-eval": 0.9}
SLOWER = {"base-eval": 1.0, "icl-eval": 1.6, "customized-eval": 1.1}
"""How long an answer takes against that of the base model; examples make a longer prompt."""


class Students(FakeNemo):
    """`strength` moves the chance of a right answer, by model."""

    def __init__(self, *, strength: Mapping[str, float] | None = None, polls: int = 0) -> None:
        super().__init__(polls=polls)
        self._strength = dict(strength or {})
        self._answered: dict[str, list[dict[str, Any]]] = {}

    def _entries(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        if job["id"] not in self._answered:
            self._answered[job["id"]] = [self._entry(job, row) for row in self._rows(job)]
        return self._answered[job["id"]]

    def _rows(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        (task,) = job["config"]["tasks"].values()
        *place, path = task["dataset"]["files_url"].removeprefix("hf://").split("/", 3)
        return [json.loads(line) for line in self.hub.files["/".join(place)][path].splitlines()]

    def _entry(self, job: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        kind = job["custom_fields"]["eval_type"]
        model = job["custom_fields"]["candidate"]
        chance = min(0.99, CHANCES[kind] + self._strength.get(model, 0.0))
        draw = Random(f"{row['name']} {model} {kind}")
        hard = Random(row["name"]).random()  # Some records are hard for everybody.
        answer, failure = _answer(draw, row, right=0.6 * hard + 0.4 * draw.random() < chance)
        (task,) = job["config"]["tasks"].values()
        named = failure not in ("wrong_function", "no_call_expected_call", "call_expected_none")
        return {
            "item": row,
            "sample": {
                "output_text": answer["choices"][0]["message"]["content"] or "",
                "response": answer | {"usage": {"prompt_tokens": 310, "completion_tokens": 24}},
            },
            "metrics": {
                metric: {
                    "scores": {
                        name: {"value": float(named if name == "function_name_accuracy" else failure is None)}
                        for name in _SCORE_NAMES[spec["type"]]
                    }
                }
                for metric, spec in task["metrics"].items()
            },
            "failure": failure,
            "latency_ms": round(draw.lognormvariate(4.2 + 40 * len(model) / 1000, 0.25) * SLOWER[kind], 1),
        }

    def _customization_status(self, job: dict[str, Any]) -> dict[str, Any]:
        """Losses that fall ever slower, and less for a weaker model."""
        status = super()._customization_status(job)
        weak = 1.0 - 4 * self._strength.get(job["base_model"], 0.0)
        curves = status["metrics"]["metrics"]
        for name, worse in (("train_loss", 1.0), ("val_loss", 1.12)):
            for point in curves[name]:
                jolt = Random(f"{name} {point['step']}").uniform(0.94, 1.06)
                point["value"] = round(worse * jolt * (0.25 * weak + 2.2 * math.exp(-point["step"] / 22)), 4)
            status[name] = curves[name][-1]["value"] if curves[name] else None
        return status

    def _evaluation_download(self, request: httpx.Request, job_id: str) -> Any:
        job = self.evaluations[job_id]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            tasks = dict.fromkeys(job["config"]["tasks"], self._entries(job))
            archive.writestr(f"{job_id}/results.json", json.dumps(tasks))
        return packed.getvalue()

    def _evaluation_results(self, request: httpx.Request, job_id: str) -> Any:
        answer = super()._evaluation_results(request, job_id)
        if isinstance(answer, tuple):
            return answer
        entries = self._entries(self.evaluations[job_id])
        for task in answer["tasks"].values():
            for metric, told in task["metrics"].items():
                values = {
                    name: [e["metrics"][metric]["scores"][name]["value"] for e in entries]
                    for name in told["scores"]
                }
                told["scores"] = {name: _score(found) for name, found in values.items()}
        times = [entry["latency_ms"] for entry in entries]
        answer["custom_fields"] |= {
            "latency_ms": {
                "mean": float(np.mean(times)),
                "p50": float(np.median(times)),
                "p95": float(np.quantile(times, 0.95)),
                "first_token": {"mean": 21.0, "p50": 19.5, "p95": 36.0},
            },
            "usage": {"prompt_tokens": 310 * len(entries), "completion_tokens": 24 * len(entries)},
            "failures": dict(Counter(entry["failure"] for entry in entries if entry["failure"])),
        }
        return answer


def _score(values: list[float]) -> dict[str, Any]:
    found = wilson(sum(values), len(values))
    interval = {"level": found.level, "low": found.low, "high": found.high, "method": found.method}
    mean = float(np.mean(values))
    stats = {"count": len(values), "sum": sum(values), "mean": mean, "confidence_interval": interval}
    return {"value": mean, "stats": stats}


def _answer(draw: Random, row: dict[str, Any], *, right: bool) -> tuple[dict[str, Any], str | None]:
    """The teacher's answer again, or one that is wrong in one way, with the class of that failure."""
    answer = {"choices": copy.deepcopy(row["response"]["choices"])}
    message = answer["choices"][0]["message"]
    calls = message.get("tool_calls") or []
    for call in calls:
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    if right:
        return answer, None
    if not calls:
        tools = row["request"].get("tools") or []
        if not tools:
            message["content"] = "I am not sure."
            return answer, "wrong_text"
        function = {"name": tools[0]["function"]["name"], "arguments": "{}"}
        message |= {
            "content": None,
            "tool_calls": [{"id": "call_0", "type": "function", "function": function}],
        }
        return answer, "call_expected_none"
    function = calls[0]["function"]
    arguments = json.loads(function["arguments"])
    names = sorted(arguments)
    kind = draw.choices(
        ["wrong_value", "missing_argument", "wrong_function", "no_call_expected_call", "invalid_json"],
        [9, 4, 3, 2, 1],
    )[0]
    if kind in ("wrong_value", "missing_argument") and names:
        name = draw.choice(names)
        if kind == "wrong_value":
            arguments[name] = _other(draw, arguments[name])
        else:
            del arguments[name]
        function["arguments"] = json.dumps(arguments)
    elif kind == "no_call_expected_call":
        message |= {"content": "Let me look into that for you.", "tool_calls": None}
    elif kind == "invalid_json":
        function["arguments"] = function["arguments"][:-1]
    else:
        others = [
            t["function"]["name"]
            for t in row["request"]["tools"]
            if t["function"]["name"] != function["name"]
        ]
        function["name"], kind = draw.choice(others or ["unknown_tool"]), "wrong_function"
    return answer, kind


def _other(draw: Random, value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + draw.choice([1, 2, -1])
    return f"{value}".upper() if f"{value}" != f"{value}".upper() else f"{value} please"
