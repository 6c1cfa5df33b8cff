"""Text of strangers on every page: whatever a name, message, error or answer holds is shown as what it is.

The server answers as ever. On its way to the page HOSTILE gets into every text that somebody else may have
written: models and workloads are called so everywhere, in addresses too, and all other texts end with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import httpx
import pytest
from playwright.sync_api import Error, Locator, expect

from browser import needs_chromium
from dashboard.looking import Opened, overflow, settled
from dashboard.seeded import OTHER, ROUTER, STUDENT, Served
from flywheel.curation.drift import Drift, Shift
from flywheel.dashboard.router import PAGES
from flywheel.stores.schedules.document import (
    CronTrigger,
    Decided,
    DriftTrigger,
    Schedule,
    new_schedule_id,
)
from flywheel.telemetry.health import Finding

pytestmark = needs_chromium

TAG = "<script>window.ran=1</script>"
TURN = "\u202e"
"""All that follows is written from right to left, until the paragraph or what isolates it ends."""
HOSTILE = (
    f"{TAG}\"'><img src=x onerror='window.ran=2'><svg onload='window.ran=3'>"
    f"<a href='javascript:window.ran=4'>x</a> \ud800 \u2069{TURN}turned {'W' * 160}"
)
ADDRESSED = HOSTILE.replace("\ud800", "\ufffd")
"""As an address has it, where half a surrogate pair cannot be."""
CALLED = (STUDENT, OTHER, ROUTER.client_id, ROUTER.workload_id)
"""Names of strangers, wherever they occur: in the names of systems and data sets, in sentences, as keys."""
OURS = {
    *("id", "run_id", "key", "next", "previous", "role", "status", "step", "stage", "kind", "type", "axis"),
    *("decision", "eval_type", "level", "download"),
    *("at", "created_at", "started_at", "finished_at", "next_at", "until"),
}
"""Words and times that the API chooses itself; a page decides by them what it shows."""
NAMES = {
    *("calls", "exact", "failures", "files", "icl_rows_with_enough_examples", "left_out", "metadata"),
    *("models", "near", "notes", "score_details", "scores"),
}
"""Objects whose keys are names that strangers choose."""
NOW = datetime(2026, 10, 3, tzinfo=UTC)
SHIFT = Shift("hold_item", "item", 900, 80, 0.4, 0.1, 0.35, 1e-9, (("lamp", 0.6, 0.1), ("chair", 0.1, 0.7)))
WRITTEN: dict[str, dict[str, Any]] = {
    "/api/health": {
        "version": "1.0",
        "parts": [{"name": "judge", "address": "http://127.0.0.1:1", "detail": "refused", "ok": False}],
        "findings": [asdict(Finding(f"candidate {STUDENT}", False, "no GPU", "free one"))],
    },
    "/api/schedules/[^/]+/explain": {
        "drift": {"arguments": Drift("arguments", 0.1, 900, 80, (SHIFT,), (SHIFT,)).numbers()},
        "holds": [{"what": "failing", "says": "the last try failed", "until": None}],
    },
    "/api/models/.+": {"deployments": [{"name": "student", "status": "pulling the image"}]},
}
"""What answers hold beside what is seeded, by their path; of health nobody else tells anything here."""
OPEN = {"/api/jobs/[^/]+": {"status": "running", "trouble": "the evaluator does not answer"}}


def hostile(thing: Any, name: str = "", of: str = "") -> Any:
    """The answer with HOSTILE in every text and every key that somebody else chose.

    `name` is the key of `thing`, `of` that of the list which it is in.
    """
    if isinstance(thing, dict):
        return {
            hostile(key) if name in NAMES and key not in OURS else called(key): hostile(each, key, of)
            for key, each in thing.items()
        }
    if isinstance(thing, list):
        return [hostile(each, "" if isinstance(each, dict) else name, of=name) for each in thing]
    ours = (name in OURS and of != "deployments") or (of, name) == ("differences", "verdict")
    if ours or not isinstance(thing, str):
        return thing
    if name == "arguments" and thing.startswith("{"):
        return json.dumps({hostile(key): hostile(each) for key, each in json.loads(thing).items()})
    return called(thing) if called(thing) != thing else thing + HOSTILE


def called(text: str) -> str:
    """The text with every name of CALLED as a stranger would have chosen it."""
    for name in CALLED:
        text = text.replace(name, name + HOSTILE)
    return text


def plainly(url: str) -> str:
    """The address that the server knows: that of the page, without what is hostile in it."""
    parts = urlsplit(url)
    segments = [quote(unquote(each).replace(ADDRESSED, ""), safe="") for each in parts.path.split("/")]
    asked = [(name, value.replace(ADDRESSED, "")) for name, value in parse_qsl(parts.query)]
    return parts._replace(path="/".join(segments), query=urlencode(asked)).geturl()


def poisoned(extra: Mapping[str, dict[str, Any]] | None = None) -> Callable[[Any], None]:
    """Lets the server answer, and makes its answer hostile; streams of events are refused."""
    written = {**WRITTEN, **(extra or {})}

    def answered(route: Any) -> None:
        url = plainly(route.request.url)
        path = urlsplit(url).path
        also = next((given for at, given in written.items() if re.fullmatch(at, path)), {})
        if path.endswith("/events"):
            route.abort()
        elif path == "/api/health":
            route.fulfill(body=json.dumps(hostile(also)), content_type="application/json")
        else:
            answer = route.fetch(url=url)
            route.fulfill(response=answer, body=json.dumps(hostile(answer.json() | also)))

    return answered


@pytest.fixture(scope="module")
def places(server: Served) -> Iterator[dict[str, str]]:
    """What addresses of pages are made of; there is also a schedule, for as long as this file is tested."""

    def first(path: str, plural: str, **query: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{server.url}/api/{path}", params=query).json()[plural][0]
        return found

    schedules = server.world.context.schedules
    decided = Decided(at=NOW, decision="failed", says="no records", trigger="cron 0 3 * * * UTC")
    made = schedules.create(
        Schedule(
            id=new_schedule_id(),
            client_id=ROUTER.client_id,
            workload_id=ROUTER.workload_id,
            name="nightly",
            enabled=False,
            triggers=(CronTrigger(type="cron", cron="0 3 * * *"), DriftTrigger(type="drift", of="arguments")),
            overrides={"training_config": {"epochs": 2}},
            created_at=NOW,
            updated_at=NOW,
            since=NOW,
            last_run=server.completed,
            last_decision=decided,
        )
    )
    schedules.note(made.id, decided)
    names = {
        "client": ROUTER.client_id,
        "workload": ROUTER.workload_id,
        "base": STUDENT,
        "adapter": first("models", "models", kind="adapter")["name"],
        "dataset": first("datasets", "datasets")["name"],
    }
    yield {
        **{name: quote(called(each).replace(HOSTILE, ADDRESSED), safe="") for name, each in names.items()},
        "schedule": made.id,
        "completed": server.completed,
        "cancelled": server.cancelled,
        "failed": server.failed,
        "sample": first(f"jobs/{server.completed}/compared", "rows", limit="1")["key"],
    }
    schedules.delete(made.id)


EVERYWHERE: dict[str, tuple[str, ...]] = {
    "/": ("/",),
    "/workloads": ("/workloads",),
    "/workloads/{client_id}/{workload_id:path}": ("/workloads/{client}/{workload}",),
    "/runs": ("/runs",),
    "/runs/{run_id}": ("/runs/{completed}", "/runs/{failed}", "/runs/{cancelled}"),
    "/runs/{run_id}/samples": ("/runs/{completed}/samples",),
    "/runs/{run_id}/samples/{key:path}": ("/runs/{completed}/samples/{sample}",),
    "/compare": ("/compare", "/compare?client_id={client}&workload_id={workload}"),
    "/models": ("/models",),
    "/models/{name:path}": ("/models/{adapter}", "/models/{base}"),
    "/datasets": ("/datasets",),
    "/datasets/{name:path}": ("/datasets/{dataset}",),
    "/schedules": ("/schedules",),
    "/schedules/{schedule_id}": ("/schedules/{schedule}",),
    "/health": ("/health",),
}
"""Where each page of the server is looked at."""


def test_every_page_is_looked_at():
    assert set(EVERYWHERE) == set(PAGES)


@pytest.mark.parametrize("address", [each for addresses in EVERYWHERE.values() for each in addresses])
def test_what_strangers_wrote_is_shown_as_it_is(visit, server, places, address):
    page = visit("/health/live", ready="body")
    # What was cancelled is shown as going on: the part that tells how far it is, and what is tried again.
    page.route("**/api/**", poisoned(OPEN if "cancelled" in address else None))
    page.goto(server.url + address.format(**places))
    page.wait_for_selector("main h1")
    settled(page)
    page.get_by_text(TAG).filter(visible=True).first.wait_for()
    for each in page.locator("main details").all():
        each.evaluate("(each) => { each.open = true; }")
    page.wait_for_timeout(300)
    settled(page)
    assert page.locator(".problem, .chart .error").all_inner_texts() == []
    nothing_of_it_works(page)
    for width in (1600, 400):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(100)
        settled(page)
        nothing_of_it_spreads(page)


def nothing_of_it_works(page: Opened) -> None:
    """No script ran, and nothing that strangers wrote became a part of the page or a way out of it."""
    assert page.evaluate("window.ran") is None
    assert page.locator("main script, main img, main a[href^='javascript:']").count() == 0
    assert page.locator("[onerror], [onload]").count() == 0
    others = page.locator("main a[href]").evaluate_all(
        "(all) => all.map((each) => each.href).filter((each) => URL.parse(each)?.origin !== location.origin)"
    )
    assert others == []


def nothing_of_it_spreads(page: Opened) -> None:
    """Long words make neither the page nor a column too wide, and what stands beside text keeps its order."""
    assert overflow(page) == 0
    assert page.locator("main table.data").evaluate_all(WIDE) == []
    assert page.locator(".chart svg").evaluate_all(BEYOND) == []
    assert page.evaluate(TURNED, TURN) == []


WIDE = """(tables) => tables.flatMap((table) => [...table.querySelectorAll("th, td")].filter((each) =>
  each.offsetWidth > table.parentElement.clientWidth || each.scrollWidth > each.clientWidth + 1
  )).map((each) => each.outerHTML.slice(0, 300))"""
"""Cells that are wider than what is seen of their table at once, or that do not hold what is in them."""
BEYOND = """(plots) => plots.flatMap((plot) => [...plot.querySelectorAll("text")].filter((each) => {
    const [text, whole] = [each.getBoundingClientRect(), plot.getBoundingClientRect()];
    return text.width && (text.left < whole.left - 8 || text.right > whole.right + 8);
  })).map((each) => each.textContent.slice(0, 200))"""
"""Words of plots that go over their edges."""
TURNED = """(turn) => {
  const found = [];
  const all = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (all.nextNode()) {
    const node = all.currentNode;
    const at = node.data.split(turn)[0].search(/[!-~]{2}/);
    const beside = [...node.parentElement.childNodes];
    const before = beside.slice(0, beside.indexOf(node)).filter((each) => each.nodeType === Node.TEXT_NODE);
    if (at < 0 || before.some((each) => each.data.includes(turn))) continue;
    const [one, two] = [at, at + 1].map((start) => {
      const range = document.createRange();
      range.setStart(node, start);
      range.setEnd(node, start + 1);
      return range.getBoundingClientRect();
    });
    if (one.top === two.top && two.left < one.left) found.push(node.parentElement.outerHTML.slice(0, 200));
  }
  return found;
}"""
"""Text whose second letter stands left of its first, though nothing in its own element turns it."""


MADE_UP = quote(ADDRESSED, safe="")
LOST = (
    f"/models/{MADE_UP}",
    f"/models/no/{MADE_UP}",
    f"/datasets/{MADE_UP}",
    f"/workloads/a/{MADE_UP}",
    f"/runs/{MADE_UP.replace('%2F', '')}",
    f"/runs/{{completed}}/samples/{MADE_UP}",
    f"/runs/{{completed}}/samples?tool={MADE_UP}&right={MADE_UP}&search={MADE_UP}",
    f"/runs?status={MADE_UP}&client_id={MADE_UP}&offset={MADE_UP}",
    f"/compare?model_name={MADE_UP}&eval_type={MADE_UP}&metric={MADE_UP}",
    f"/schedules/{MADE_UP.replace('%2F', '')}",
    f"/schedules?client_id={MADE_UP}&workload_id={MADE_UP}",
)


@pytest.mark.parametrize("address", LOST)
def test_an_address_that_a_stranger_made_up_is_only_text(visit, server, address):
    page = visit(address.format(completed=server.completed), width=400)
    nothing_of_it_works(page)
    nothing_of_it_spreads(page)


def test_what_a_dialog_asks_about_is_only_text(visit, server, places):
    page = visit("/health/live", ready="body", width=400)
    page.route("**/api/**", poisoned())
    dialog = page.get_by_role("dialog")
    page.goto(f"{server.url}/workloads/{places['client']}/{places['workload']}")
    page.get_by_role("button", name="Start a run").click()
    dialog.get_by_text(f"{STUDENT}{TAG}").wait_for()
    nothing_of_it_leaves(dialog)
    dialog.get_by_role("button", name="Close").first.click()
    page.get_by_role("region", name="Versions of the tools").get_by_role("button").last.click()
    dialog.get_by_role("heading", name=TAG).wait_for()
    nothing_of_it_leaves(dialog)
    page.goto(f"{server.url}/schedules/{places['schedule']}")
    page.get_by_role("button", name="Change").click()
    expect(dialog.get_by_label("Name")).to_have_value(re.compile(re.escape(f"nightly{TAG}")))
    nothing_of_it_leaves(dialog)


def test_what_was_typed_comes_back_as_text_where_it_is_refused(visit):
    page = visit("/schedules", width=400)
    page.get_by_role("button", name="New schedule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Workload").fill("support-app / tool_router")
    for field, typed in (("Time zone", HOSTILE), ("Name", HOSTILE)):
        dialog.get_by_label(field).fill(typed)
    for field in ("name", "timezone"):
        dialog.get_by_role("button", name="Save").click()
        expect(dialog.get_by_role("alert")).to_contain_text(f"{field}:")
        expect(dialog.get_by_role("alert")).to_contain_text(TAG)
        nothing_of_it_leaves(dialog)
        dialog.get_by_label("Name").fill(TAG)


def nothing_of_it_leaves(dialog: Locator) -> None:
    """As on pages, in a dialog."""
    nothing_of_it_works(dialog.page)
    nothing_of_it_spreads(dialog.page)
    assert dialog.evaluate("(each) => each.scrollWidth - each.clientWidth") == 0


def test_a_schedule_without_a_visible_name_can_be_opened(visit, server):
    body = {"client_id": ROUTER.client_id, "workload_id": ROUTER.workload_id, "name": " \u200b\n"}
    triggers = [{"type": "schemas"}]
    made = httpx.post(f"{server.url}/api/schedules", json=body | {"triggers": triggers}).json()
    try:
        page = visit("/schedules")
        page.get_by_role("link", name="(no name)").click()
        page.wait_for_url(f"**/schedules/{made['id']}")
        expect(page.get_by_role("heading", level=1)).to_have_text("(no name)")
    finally:
        server.world.context.schedules.delete(made["id"])


FIELDS = ("flywheel_run", "client_id", "workload_id", "kind", "num_records", "sha256", "rows")
"""What runs write beside a data set or an adapter, in an entity store where others may write as well."""


@pytest.fixture(params=[HOSTILE.replace("\ud800", ""), 42, {"a": [TAG]}, [TAG], None], ids=type)
def foreign(request, server):
    """A data set, an adapter and a deployment that somebody else made, with odd fields and file names."""
    nemo = server.world.nemo
    space = server.world.context.namespace
    place = f"{space}/foreign"
    fields = dict.fromkeys(FIELDS, request.param) | {"customization_job": request.param}
    entity = {"id": "x", "namespace": space, "name": "foreign", "custom_fields": fields, "created_at": TAG}
    nemo.datasets[place] = entity | {"files_url": f"hf://datasets/{place}", "description": HOSTILE[:40]}
    nemo.models[place] = entity | {
        "base_model": HOSTILE.replace("\ud800", ""),
        "peft": {"finetuning_type": "lora"},
        "artifact": {"status": "upload_completed", "files_url": f"hf://{place}"},
    }
    for kind in ("datasets", "models"):
        nemo.hub.files[f"{kind}/{place}"] = {f"{TAG}/../a {TURN}b {'W' * 160}.jsonl": b"{}"}
    yield {"dataset": "/datasets/foreign", "model": f"/models/{quote(place, safe='')}"}
    del nemo.datasets[place], nemo.models[place]
    for kind in ("datasets", "models"):
        del nemo.hub.files[f"{kind}/{place}"]


def test_what_others_wrote_into_the_entity_store_is_only_text(visit, server, foreign):
    page = visit("/datasets", width=400)
    nothing_of_it_works(page)
    nothing_of_it_spreads(page)
    page.get_by_role("link", name="foreign").click()
    page.wait_for_url(f"**{foreign['dataset']}")
    page.locator("#files").get_by_text(TAG).wait_for()
    nothing_of_it_works(page)
    nothing_of_it_spreads(page)
    page = visit("/models", width=400)
    nothing_of_it_works(page)
    nothing_of_it_spreads(page)
    page.get_by_role("link", name="foreign").click()
    page.wait_for_url(f"**{foreign['model']}")
    with page.expect_download() as saved:
        page.locator("#files").get_by_text(TAG).click()
    assert saved.value.suggested_filename.endswith(".jsonl")
    nothing_of_it_works(page)
    nothing_of_it_spreads(page)


def test_a_text_that_is_cut_ends_with_a_whole_letter(visit):
    page = visit("/runs")
    cut = page.evaluate(
        """async () => {
          const at = document.querySelector("script[type=module]").src;
          const { brief, short } = await import(new URL("lib/words.js", at));
          return [brief("aa\U0001f600\U0001f600", 4), short("aa\U0001f600", 3)];
        }"""
    )
    assert cut == ["aa…", "aa"]


MISTAKES = (
    "() => { document.body.innerHTML = '<b>x</b>'; }",
    "() => { document.body.setAttribute('onclick', 'window.ran = 1'); }",
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_browser_would_refuse_it(visit, mistake):
    page = visit("/runs")
    with pytest.raises(Error, match="requires 'Trusted"):
        page.evaluate(mistake)
    assert len(visit.complaints) == 1  # The browser's own line about it.
    visit.complaints.clear()
