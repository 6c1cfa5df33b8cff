"""A run from the page: started there, watched to its end without loading anything by hand, or cancelled."""

from __future__ import annotations

from playwright.sync_api import expect

from browser import needs_chromium
from dashboard.looking import findings
from dashboard.seeded import ROUTER

pytestmark = needs_chromium

LONG_MS = 60_000


def started(visit, **changes: str):
    """The page of a run that was started by the dialog, with what is written into fields by their labels."""
    page = visit("/runs")
    page.get_by_role("button", name="Start a run").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Workload").fill(f"{ROUTER.client_id} / {ROUTER.workload_id}")
    for label, text in changes.items():
        dialog.get_by_label(label.replace("_", " ")).fill(text)
    dialog.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/runs/*")
    return page


def test_a_run_is_started_and_watched_to_its_end(visit, server):
    server.world.nemo.polls = 15
    page = started(visit, Epochs="2")
    progress = page.locator("#progress")
    progress.wait_for()
    expect(page.locator(".about .chip").nth(1)).to_have_text("live")
    expect(progress.get_by_role("region", name="Progress of each candidate")).to_contain_text(
        "customize", timeout=LONG_MS
    )
    expect(progress.locator(".chart svg")).to_be_visible(timeout=LONG_MS)
    assert findings(page) == []
    expect(page.locator(".about .chip").first).to_have_text("completed", timeout=LONG_MS)
    expect(page.locator("#scores .chart svg").first).to_be_visible(timeout=LONG_MS)
    expect(progress).to_have_count(0)
    run = server.world.run(page.url.rpartition("/")[2])
    assert run.overrides == {"training_config": {"epochs": 2}}
    server.world.nemo.polls = 3


def test_the_list_tells_of_a_run_that_somebody_else_starts(visit, server):
    page = visit("/runs")
    expect(page.locator(".about .chip")).to_have_text("live")
    run_id = server.start()
    row = page.locator("tbody tr").filter(has_text=run_id[-8:])
    expect(row).to_be_visible(timeout=LONG_MS)
    expect(row).to_contain_text("completed", timeout=LONG_MS)


def test_a_run_is_cancelled_after_a_question(visit, server):
    server.world.nemo.polls = 10**6
    page = started(visit)
    page.get_by_role("button", name="Cancel the run").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("What was measured until now is kept.")
    assert findings(page) == []
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Cancel the run").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    expect(page.locator(".about .chip").first).to_have_text("cancelled", timeout=LONG_MS)
    server.world.nemo.polls = 3
