"""Workloads, comparisons, models, data sets and schedules in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from browser import needs_chromium
from dashboard.looking import findings, overflow

pytestmark = needs_chromium

WORKLOAD = "/workloads/support-app/tool_router"
PAGES = ("/workloads", WORKLOAD, "/compare", "/models", "/datasets", "/schedules")


@pytest.mark.parametrize("address", PAGES)
def test_it_is_clean_in_both_themes_and_fits(visit, address):
    for width, dark in ((400, True), (1600, False)):
        page = visit(address, width=width, dark=dark)
        assert overflow(page) == 0
        assert findings(page) == []
        assert page.locator(".error, .problem").count() == 0


def test_a_workload_tells_its_traffic_tools_and_best_student(visit, server):
    page = visit("/workloads")
    page.get_by_role("link", name="support-app / tool_router").click()
    page.wait_for_url(f"**{WORKLOAD}")
    expect(page.get_by_role("img", name="Records per day.", exact=False)).to_be_visible()
    expect(page.get_by_role("img", name="search_products", exact=False)).to_be_visible()
    assert "Best student so far" in page.locator("main").inner_text()
    page.get_by_role("region", name="Versions of the tools").get_by_role("button").last.click()
    assert '"type": "function"' in page.get_by_role("dialog").inner_text()


def test_scores_of_several_runs_stand_on_one_plot_and_in_one_table(visit, server):
    page = visit("/compare?client_id=support-app&workload_id=tool_router")
    expect(
        page.get_by_role("img", name="function name and args accuracy over time", exact=False)
    ).to_be_visible()
    page.get_by_label("Evaluation", exact=True).select_option("customized-eval")
    page.wait_for_url("**eval_type=customized-eval")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Score", exact=True).select_option("function_name")
    page.wait_for_url("**metric=function_name")
    assert server.completed[-8:] in page.locator("tbody").inner_text()


def test_an_adapter_leads_to_its_data_set_and_its_records(visit, server):
    page = visit("/models?kind=adapter")
    page.locator("tbody a").first.click()
    page.wait_for_url("**/models/*")
    lineage = page.locator("#lineage")
    expect(lineage.get_by_role("link", name="support-app / tool_router")).to_be_visible()
    lineage.locator("a[href^='/datasets/']").click()
    page.wait_for_url("**/datasets/*")
    expect(page.locator("#files a[download]").first).to_be_visible()


def test_a_schedule_is_made_explained_paused_and_deleted(visit):
    page = visit("/schedules")
    page.get_by_role("button", name="New schedule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Workload").fill("support-app / tool_router")
    dialog.get_by_label("Name").fill("nightly")
    dialog.get_by_label("Cron").fill("99 3 * * *")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("99")
    assert findings(page) == []
    dialog.get_by_label("Cron").fill("0 3 * * *")
    dialog.get_by_label("Time zone").fill("Europe/Berlin")
    dialog.get_by_role("button", name="Save").click()
    page.wait_for_url("**/schedules/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("nightly")
    expect(page.get_by_text("at 0 3 * * * (Europe/Berlin)")).to_be_visible()
    expect(page.locator("#explain .verdict")).to_contain_text("No")
    assert findings(page) == []
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Activate")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/schedules")
    expect(page.get_by_text("No schedules")).to_be_visible()
