"""Answers side by side: what is listed, filtered and stepped through, and one record in full."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from fastapi.testclient import TestClient

from flywheel.nemo.fake import FakeNemo
from flywheel.orchestrator.routers import routers
from flywheel.web import make_app
from run_world import CHAT, TOOL, World

BASE, ICL, TUNED = (f"test/student {kind}" for kind in ("base-eval", "icl-eval", "customized-eval"))
HALF = "\ud83d <script>alert(1)</script>"


def called(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for n, (name, arguments) in enumerate(calls)
        ],
    }
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 3}}


def said(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}


def entry(
    name: str, reference: Any, answer: Any, right: float | None, failure: str | None, **more: Any
) -> Any:
    item = {
        "name": name,
        "conversation": "c1",
        "request": {"messages": [{"role": "user", "content": f"about {name}"}], "tools": [TOOL]},
        "response": reference,
    }
    scores = {"function_name_accuracy": right, "function_name_and_args_accuracy": right}
    return {
        "item": item,
        "sample": {"output_text": "", "response": answer},
        "metrics": {"tool-calling-accuracy": {"scores": {k: {"value": v} for k, v in scores.items()}}},
        "failure": failure,
        "latency_ms": 12.5,
        **more,
    }


ORDER = called(("order_status", {"order": "A1", "day": 2}))
ENTRIES = {
    "base-eval": [
        entry("first", ORDER, said("no idea"), 0.0, "no_call_expected_call"),
        entry("second", ORDER, called(("order_status", {"order": "B9", "day": 2})), 0.0, "wrong_value"),
        entry("a/b #4", said("Hello"), said("Hello"), 1.0, None),
        entry("fourth", said("Bye"), {}, None, "timeout", error=f"timed out {HALF}"),
        entry("fifth", ORDER, said("x"), None, None, bad_reference="it is no call"),
    ],
    "icl-eval": [
        entry("second", ORDER, ORDER, 1.0, None),
        entry("first", ORDER, ORDER, 1.0, None),
        entry("a/b #4", said("Hello"), said(f"Hello {HALF}"), 1.0, None),
        entry("fourth", said("Bye"), said("Bye"), float("nan"), None),
    ],
    "customized-eval": [entry("first", ORDER, called(("refund", {"order": "A1"})), 0.0, "wrong_function")],
}


class Told(FakeNemo):
    """An evaluator whose samples a test chooses, by the kind of evaluation; it counts the downloads."""

    def __init__(self, entries: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.entries: dict[str, Any] = ENTRIES if entries is None else entries

    def _evaluation_download(self, request: Any, job_id: str) -> Any:
        kind = self.evaluations[job_id]["custom_fields"]["eval_type"]
        told = self.entries.get(kind)
        if told is None:
            return 404, {"detail": "it is gone"}
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("results.json", json.dumps({"custom-tool-calling": told}))
        return packed.getvalue()

    @property
    def downloads(self) -> int:
        return sum(count for name, count in self.calls.items() if "download-results" in name)


class Browser:
    """The routes of one finished run."""

    def __init__(self, here: World, **start: Any) -> None:
        self.here, self.run_id = here, here.start(**start)
        here.finish(self.run_id)
        app = make_app("test", "problem", routers(here.context, lambda _: None))
        self.http = TestClient(app, raise_server_exceptions=False)

    def get(self, path: str = "", expect: int = 200, **query: Any) -> Any:
        url = f"/api/jobs/{self.run_id}/compared{path}?{urlencode(query, doseq=True)}"
        answer = self.http.get(url)
        assert answer.status_code == expect, answer.text
        assert answer.content.isascii()
        return json.loads(answer.content, parse_constant=pytest.fail)

    def keys(self, **query: Any) -> list[str]:
        return [row["key"] for row in self.get(**query)["rows"]]

    def sample(self, key: str, **query: Any) -> Any:
        return self.get(f"/{quote(key, safe='')}", **query)


@pytest.fixture
def browser(world) -> Browser:
    return Browser(world(Told()))


def test_rows_hold_every_system_by_the_names_of_the_decision(browser):
    page = browser.get()
    assert [(s["name"], s["role"], s["model_name"], s["eval_type"]) for s in page["systems"]] == [
        (BASE, "base", "test/student", "base-eval"),
        (ICL, "candidate", "test/student", "icl-eval"),
        (TUNED, "candidate", "test/student", "customized-eval"),
    ]
    assert (page["metric"], page["right_from"], page["total"]) == ("function_name_and_args_accuracy", 1.0, 5)
    table = browser.here.run(browser.run_id).decision.table
    assert {s["name"] for s in table["systems"]} == {s["name"] for s in page["systems"]}
    first = page["rows"][0]
    assert (first["index"], first["key"], first["tool"]) == (0, "first", "order_status")
    assert (first["question"], first["reference"]) == ("about first", 'order_status(order="A1", day=2)')
    assert first["results"] == {
        BASE: {"score": 0.0, "right": False, "failure": "no_call_expected_call"},
        ICL: {"score": 1.0, "right": True, "failure": None},
        TUNED: {"score": 0.0, "right": False, "failure": "wrong_function"},
    }
    assert (page["rows"][2]["tool"], page["rows"][2]["reference"]) == ("no call", "Hello")


def test_an_answer_that_never_came_is_wrong_and_one_without_a_score_is_neither(browser):
    rows = {row["key"]: row for row in browser.get()["rows"]}
    assert rows["fourth"]["results"][BASE] == {"score": None, "right": False, "failure": "timeout"}
    assert rows["fourth"]["results"][ICL] == {"score": None, "right": None, "failure": None}
    assert rows["fifth"]["results"] == {BASE: {"score": None, "right": None, "failure": None}}
    assert rows["fifth"]["bad_reference"] == "it is no call"


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({"tool": "order_status"}, ["first", "second", "fifth"]),
        ({"tool": "no call"}, ["a/b #4", "fourth"]),
        ({"tool": "nobody"}, []),
        ({"failure": "wrong_value"}, ["second"]),
        ({"failure": "wrong_function", "of": TUNED}, ["first"]),
        ({"failure": "wrong_function", "of": BASE}, []),
        ({"failure": "never_heard"}, []),
        ({"right": ICL, "wrong": BASE}, ["first", "second"]),
        ({"right": ICL, "wrong": [BASE, TUNED]}, ["first"]),
        ({"right": [BASE, ICL]}, ["a/b #4"]),
        ({"search": "ABOUT SEC"}, ["second"]),
        ({"search": "a1", "tool": "order_status", "wrong": TUNED}, ["first"]),
        ({"limit": 2}, ["first", "second"]),
        ({"limit": 2, "offset": 3}, ["fourth", "fifth"]),
        ({"offset": 99}, []),
    ],
)
def test_rows_are_filtered_and_paged(browser, query, keys):
    assert browser.keys(**query) == keys


def test_counts_are_of_what_the_other_conditions_leave(browser):
    page = browser.get(tool="order_status", wrong=BASE)
    assert page["tools"] == [{"name": "order_status", "n": 2}, {"name": "no call", "n": 1}]
    assert page["failures"] == [
        {"name": "no_call_expected_call", "n": 1},
        {"name": "wrong_function", "n": 1},
        {"name": "wrong_value", "n": 1},
    ]
    assert browser.get(of=TUNED)["failures"] == [{"name": "wrong_function", "n": 1}]


def test_one_record_in_full_shows_what_differs(browser):
    second = browser.sample("second")
    assert (second["index"], second["position"], second["total"]) == (1, 1, 5)
    assert (second["previous"], second["next"]) == ("first", "a/b #4")
    assert second["request"]["messages"][0]["content"] == "about second"
    assert second["reference"]["tool_calls"][0]["function"]["name"] == "order_status"
    assert second["metadata"]["conversation"] == "c1"
    base = second["systems"][BASE]
    assert base["differences"] == [
        {
            "tool": "order_status",
            "argument": "order",
            "expected": "A1",
            "got": "B9",
            "verdict": "wrong_value",
        },
        {"tool": "order_status", "argument": "day", "expected": 2, "got": 2, "verdict": "same"},
    ]
    assert (base["score"], base["right"], base["failure"]) == (0.0, False, "wrong_value")
    assert (base["latency_ms"], base["usage"]["completion_tokens"]) == (12.5, 3)
    assert base["scores"]["function_name_accuracy"] == 0.0
    assert base["finish_reason"] == "tool_calls"
    assert {d["verdict"] for d in second["systems"][ICL]["differences"]} == {"same"}
    assert TUNED not in second["systems"]


def test_stepping_stays_within_the_filter(browser):
    first = browser.sample("first", right=ICL, wrong=BASE)
    assert (first["position"], first["total"], first["previous"], first["next"]) == (0, 2, None, "second")
    outside = browser.sample("a/b #4", tool="order_status")
    assert (outside["position"], outside["previous"], outside["next"]) == (None, "second", "fifth")


def test_hostile_text_and_missing_answers_are_told_as_they_are(browser):
    fourth = browser.sample("fourth")
    base = fourth["systems"][BASE]
    assert (base["response"], base["differences"]) == (None, [])
    assert base["detail"] == f"timed out {HALF}"
    assert fourth["systems"][ICL]["scores"]["function_name_accuracy"] is None
    assert browser.sample("a/b #4")["systems"][ICL]["response"]["content"] == f"Hello {HALF}"


def test_what_is_not_there_is_named(browser):
    assert "no record 'nobody'" in browser.sample("nobody", expect=404)["detail"]
    for parameter in ("of", "right", "wrong"):
        error = browser.get(expect=422, **{parameter: "test/studnet base-eval"})["detail"]
        assert f"query parameter {parameter}='test/studnet base-eval'" in error
        assert repr(BASE) in error
    assert browser.http.get(f"/api/jobs/{'f' * 24}/compared").status_code == 404
    assert browser.http.get("/api/jobs/nonsense/compared/x").status_code == 400
    browser.get(expect=422, limit=0)


def test_what_was_read_is_not_read_again(browser):
    after_the_decision = browser.here.nemo.downloads
    for _ in range(3):
        browser.get()
        browser.sample("first")
    assert browser.here.nemo.downloads == after_the_decision + 3


def test_a_run_without_a_completed_evaluation_has_no_rows(world):
    here = world(Told())
    run_id = here.start()
    app = make_app("test", "problem", routers(here.context, lambda _: None))
    page = TestClient(app).get(f"/api/jobs/{run_id}/compared").json()
    assert (page["systems"], page["rows"], page["total"], page["metric"]) == ([], [], 0, None)


def test_a_system_whose_samples_are_gone_says_so_and_hides_no_other(world):
    browser = Browser(world(Told({**ENTRIES, "icl-eval": None, "customized-eval": []})))
    page = browser.get()
    problems = {system["name"]: system["problem"] for system in page["systems"]}
    assert problems[BASE] is None
    assert "it is gone" in problems[ICL]
    assert "there are none" in problems[TUNED]
    assert set(page["rows"][0]["results"]) == {BASE}


def test_answers_in_words_are_right_from_the_judges_threshold_on(world):
    browser = Browser(world(FakeNemo()), workload=CHAT)
    page = browser.get()
    assert page["metric"] == "similarity"
    assert page["right_from"] == pytest.approx(7 / 9)
    assert page["tools"][0]["name"] == "no call"
