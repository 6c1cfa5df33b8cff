"""The page of a run, and of scored answers: everything in it, nothing obeyed, nothing fetched."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from evaluation.answers import call, row
from flywheel.config import TeacherConfig
from flywheel.evaluation.comparison import compare
from flywheel.evaluation.offline import evaluate, reference_of
from flywheel.evaluation.table import Row, System
from flywheel.evaluation.values import Rules
from flywheel.nemo.fake import URLS
from flywheel.orchestrator.wire import detail
from flywheel.reports import evaluation_report, run_report
from reports.documents import run_document
from run_world import CHAT, make_records, make_world, settings

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> {{ 7 * 7 }} {% raw %}"
    " $\\frac{ ]]> --> \x00\ud800"
)
AGREEMENT = {"n": 31, "accuracy": 0.875, "kappa": 0.625, "low": 0.4375, "high": 0.8125, "level": 0.95}
CELLS = {"both": 19, "only_first": 23, "only_second": 29, "neither": 37}
VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})


class Page(HTMLParser):
    """What a browser would see: the elements, the numbers, the text, the plots."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.numbers: list[float] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == [], "every element is closed"
        self.plots = [ElementTree.fromstring(found) for found in _svgs(html)]  # noqa: S314 - our own

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "data":
            self.numbers.append(float(dict(attrs)["value"] or ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _svgs(html: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", html, re.DOTALL)


def numbers(thing: Any) -> Iterator[float]:
    if isinstance(thing, dict):
        for each in thing.values():
            yield from numbers(each)
    elif isinstance(thing, list | tuple):
        for each in thing:
            yield from numbers(each)
    elif isinstance(thing, int | float) and not isinstance(thing, bool) and math.isfinite(thing):
        yield float(thing)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = run_document(tmp_path_factory.mktemp("run"), models=("test/student", "acme/small"))
    for number, each in enumerate(made["nims"][0]["evaluations"]):
        each["latency_ms"] = {"mean": 101.5 + number, "p50": 90.25 + number, "p95": 303.75 + number}
        each["latency_ms"]["first_token"] = {
            "mean": 21.5 + number,
            "p50": 20.25 + number,
            "p95": 33.75 + number,
        }
        each["judge_agreement"] = AGREEMENT
        each["score_details"]["function_name"]["confidence_interval"]["design_effect"] = 2.125 + number
    return made


@pytest.fixture(scope="module")
def page(document: dict[str, Any]) -> Page:
    return Page(run_report(document))


def everywhere(thing: Any, text: str) -> Any:
    """The document with `text` in every string and every key that a stranger chooses."""
    if isinstance(thing, dict):
        return {key: everywhere(each, text) for key, each in thing.items()}
    if isinstance(thing, list | tuple):
        return [everywhere(each, text) for each in thing]
    roles = ("base", "candidate", "ceiling", "tool")
    return thing + text if isinstance(thing, str) and thing not in roles else thing


def scored() -> dict[str, Any]:
    right, wrong = call("book", {"city": "Paris"}), call("book", {"city": "Rome"})
    references = [reference_of({**row(right), "id": f"r{n}"}, n) for n in range(4)]
    answers = [{"id": f"r{n}", "message": {"tool_calls": [right if n else wrong]}} for n in range(3)]
    return evaluate(references, answers, Rules()).as_dict()


@pytest.mark.parametrize("part", ["decision", "curation", "config", "overrides", "nims", "num_records"])
def test_every_number_of_a_run_is_on_its_page(part: str, document: dict[str, Any], page: Page) -> None:
    shown = copy.deepcopy(document[part])
    if part == "nims":
        # What only moves while a run lives; a completed one shows its results.
        for nim in shown:
            nim.pop("runtime_seconds")
            for each in [*nim["evaluations"], *nim["customizations"]]:
                for passing in (
                    "progress",
                    "steps_per_epoch",
                    *(["runtime_seconds"] if "scores" in each else []),
                ):
                    each.pop(passing, None)
    if part == "decision":
        for found in _intervals(shown):
            for setting in ("design_effect", "clusters", "seed", "resamples"):
                found.pop(setting, None)
    missing = set(numbers(shown)) - set(page.numbers)
    assert missing == set()


def _intervals(thing: Any) -> Iterator[dict[str, Any]]:
    if isinstance(thing, dict):
        if "low" in thing and "high" in thing:
            yield thing
        for each in thing.values():
            yield from _intervals(each)
    elif isinstance(thing, list | tuple):
        for each in thing:
            yield from _intervals(each)


def test_the_page_says_in_words_what_the_run_came_to(document: dict[str, Any], page: Page) -> None:
    decision = document["decision"]
    assert page.text.index(decision["verdict"]) < page.text.index("Systems on the same records")
    assert decision["reason"] in page.text
    for system in decision["table"]["systems"]:
        assert system["name"] in page.text
    for verdict in decision["verdicts"]:
        assert verdict["text"] in page.text
    for failure in decision["table"]["systems"][1]["failures"]:
        assert failure in page.text
    assert document["nims"][0]["adapter"] in page.text
    assert "The ceiling was measured" in page.text


def test_small_slices_are_marked_and_stand_last(page: Page) -> None:
    assert "escalate (few)" in page.text
    assert page.text.index("change_address") < page.text.index("(no call) (few)")
    assert ("tr", "class", "small") in page.attributes


def test_plots_are_xml_with_a_title_a_description_and_text(page: Page) -> None:
    titles = [plot.findtext("title") for plot in page.plots]
    assert titles == [
        "Scores with their intervals",
        "Difference to the teacher, asked again, and the margin",
        "Wrong answers by failure class",
        "Scores by tool",
        "Latency against cost",
    ]
    for plot in page.plots:
        assert plot.get("role") == "img"
        assert plot.findtext("desc")
        assert any(text.text for text in plot.iter("text"))
        assert not re.search("#[0-9a-f]{6}", ElementTree.tostring(plot, encoding="unicode")), (
            "colours are the page's"
        )
    ids = [element.get("id") for plot in page.plots for element in plot.iter() if element.get("id")]
    assert len(ids) == len(set(ids))


def test_nothing_leaves_the_file(page: Page) -> None:
    policy = [value for tag, name, value in page.attributes if (tag, name) == ("meta", "content")]
    assert any(
        value and value.startswith("default-src 'none'; style-src 'unsafe-inline'") for value in policy
    )
    _fetches_nothing(page)


def _fetches_nothing(page: Page) -> None:
    assert page.tags.isdisjoint(
        {"script", "img", "iframe", "object", "embed", "form", "a", "audio", "video", "base"}
    )
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "srcset", "action", "formaction", "background", "poster")
        if name in ("href", "xlink:href"):
            assert value is not None
            assert value.startswith("#") or value == "data:,"
        assert "url(http" not in (value or "")


def test_the_same_document_gives_the_same_page(document: dict[str, Any]) -> None:
    first = run_report(document)
    assert run_report(copy.deepcopy(document)) == first


def test_hostile_text_is_text(document: dict[str, Any]) -> None:
    page = Page(run_report(everywhere(document, HOSTILE)))
    _fetches_nothing(page)
    assert "{{ 7 * 7 }} {% raw %}" in page.text
    assert "49 {%" not in page.text
    assert "<script>alert(1)</script>" in page.text
    assert "\x00" not in page.text
    assert len(page.plots) == 5


def test_hostile_names_of_tools_and_failures_are_text(document: dict[str, Any]) -> None:
    made = copy.deepcopy(document)
    for entry in made["decision"]["table"]["slices"]:
        entry["label"] = HOSTILE + entry["label"]
    for system in made["decision"]["table"]["systems"]:
        system["failures"] = {HOSTILE + name: count for name, count in system["failures"].items()}
    made["curation"]["parts"]["eval"]["calls"] = {HOSTILE: 3}
    made["config"][HOSTILE] = {HOSTILE: HOSTILE}
    page = Page(run_report(made))
    _fetches_nothing(page)
    assert "<script>alert(1)</script>" in page.text


def test_a_run_without_a_table_shows_what_the_evaluator_gave(tmp_path: Path) -> None:
    made = run_document(tmp_path, table=False)
    made["decision"] |= {"table": None, "verdict": None, "verdicts": [], "cost": None}
    page = Page(run_report(made))
    assert "No verdict" in page.text
    assert "Scores as the evaluator gave them" in page.text
    assert "Systems on the same records" not in page.text
    assert "No prices are configured" in page.text
    assert [plot.findtext("title") for plot in page.plots] == [
        "Wrong answers by failure class",
        "Latency",
        "Scores with their intervals",
    ]


def test_a_run_of_words_has_its_page(tmp_path: Path) -> None:
    world = make_world(tmp_path, make_records(tmp_path))
    document = detail(world.finish(world.start(CHAT)), URLS, world.clock())
    world.close()
    page = Page(run_report(document))
    assert document["decision"]["verdict"] in page.text
    details = document["nims"][0]["evaluations"][0]["score_details"]["similarity"]
    assert details["value"] in page.numbers, "on its own scale"


def test_no_secret_is_on_the_page(tmp_path: Path) -> None:
    teacher = TeacherConfig(model_name="big", url="https://teacher.test/v1", api_key_env="TEACHER_KEY")
    using = settings().model_copy(update={"teacher_config": teacher})
    world = make_world(tmp_path, make_records(tmp_path), using=using)
    world.context.environment["TEACHER_KEY"] = "hunter2"
    html = run_report(detail(world.finish(world.start()), URLS, world.clock()))
    world.close()
    assert "The ceiling was measured" in html
    assert "hunter2" not in html


@pytest.mark.parametrize(("records", "systems", "tools"), [(0, 2, 1), (1, 1, 1), (3, 2, 1), (300, 10, 40)])
def test_tables_of_any_size_have_a_page(
    document: dict[str, Any], records: int, systems: int, tools: int
) -> None:
    rows = [
        Row(f"r{n}", f"c{n}", {"tool": (f"\u5de5\u5177 \U0001f642 {n % tools}",)}) for n in range(records)
    ]
    scores = {row.key: float(number % 3 > 0) for number, row in enumerate(rows)}
    made = copy.deepcopy(document)
    asked = [System(f"{'very/long-' * 30}{n}", "candidate" if n else "base", scores) for n in range(systems)]
    table = compare(rows, asked).as_dict()
    made["decision"] |= {"table": table, "verdicts": [], "verdict": None, "cost": None}
    page = Page(run_report(made))
    assert f"{'very/long-' * 30}{systems - 1}" in page.text
    assert "Scores with their intervals" in [plot.findtext("title") for plot in page.plots]
    assert set(numbers(table["slices"])) <= {*page.numbers, table["level"]}


def test_a_failed_run_says_why(document: dict[str, Any]) -> None:
    made = copy.deepcopy(document) | {
        "status": "failed",
        "error": "only 3 records, 20 are needed",
        "decision": None,
        "curation": None,
        "datasets": [],
        "nims": [],
    }
    page = Page(run_report(made))
    assert "The run failed" in page.text
    assert "only 3 records, 20 are needed" in page.text
    assert page.plots == []


def test_a_candidate_that_failed_and_a_run_that_lives_are_shown(document: dict[str, Any]) -> None:
    made = copy.deepcopy(document) | {
        "status": "running",
        "step": "candidates",
        "finished_at": None,
        "decision": None,
    }
    (nim,) = made["nims"]
    nim["error"] = "no GPU has 80 GiB"
    nim["evaluations"] = [
        nim["evaluations"][0]
        | {"scores": {}, "score_details": {}, "latency_ms": None, "error": "out of memory"}
    ]
    nim["customizations"] = []
    page = Page(run_report(made))
    assert "No decision: the run is running, at the step candidates" in page.text
    assert "no GPU has 80 GiB" in page.text
    assert "out of memory" in page.text


def test_a_ceiling_that_was_not_measured_is_said_to_be_none(document: dict[str, Any]) -> None:
    made = copy.deepcopy(document)
    table = made["decision"]["table"]
    table["ceiling_measured"] = False
    table["systems"] = [system for system in table["systems"] if system["role"] != "ceiling"]
    page = Page(run_report(made))
    assert "The ceiling was not measured" in page.text
    assert "Difference to the teacher's log, and the margin" in [
        plot.findtext("title") for plot in page.plots
    ]


def test_scored_answers_have_a_page_with_every_number() -> None:
    document = scored()
    document["people"] = {"labels": 7, "used": 5, "scores": {"function_name": AGREEMENT | CELLS}}
    html = evaluation_report(document, "answers.jsonl", "references.jsonl")
    page = Page(html)
    assert set(numbers(document)) - set(page.numbers) == set()
    assert "answers.jsonl" in page.text
    assert len(page.plots) == 2
    _fetches_nothing(page)


def test_hostile_answers_are_text() -> None:
    document = scored()
    document["tools"] = {HOSTILE: {HOSTILE: 1}}
    document["arguments"] = {HOSTILE: {HOSTILE: 1}}
    document["bad_references"] = {HOSTILE: 1}
    page = Page(evaluation_report(document, HOSTILE, HOSTILE))
    _fetches_nothing(page)
    assert "<script>alert(1)</script>" in page.text


def test_no_answer_at_all_has_a_page() -> None:
    document = evaluate([], [], Rules()).as_dict()
    page = Page(evaluation_report(document, "a", "b"))
    assert "No answer could be scored" in page.text
