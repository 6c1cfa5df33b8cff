"""The list of runs in a browser: what it shows, filters and starts, with mouse and keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from browser import needs_chromium
from dashboard.looking import findings, overflow

pytestmark = needs_chromium


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1600])
def test_it_is_clean_in_both_themes_and_fits(visit, width, dark):
    page = visit("/runs", width=width, dark=dark)
    assert page.locator("tbody tr").count() >= 4
    assert overflow(page) == 0
    assert findings(page) == []


def test_the_start_is_the_list_of_runs(visit):
    page = visit("/")
    assert page.title() == "Runs · Flywheel"


def test_a_filter_is_in_the_address_and_in_the_list(visit, server):
    page = visit("/runs")
    page.get_by_label("Status").select_option("failed")
    page.wait_for_url("**/runs?status=failed")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert server.failed[-8:] in page.locator("tbody").inner_text()
    again = visit("/runs?status=failed")
    assert again.get_by_label("Status").input_value() == "failed"
    assert again.locator("tbody tr").count() == 1


def test_a_workload_is_chosen_by_its_name(visit):
    page = visit("/runs")
    page.get_by_label("Workload").fill("support-app / ticket_triage")
    page.wait_for_url("**client_id=support-app&workload_id=ticket_triage")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert "ticket_triage" in page.locator("tbody").inner_text()


def test_an_unknown_workload_is_said_at_its_field(visit):
    page = visit("/runs")
    field = page.get_by_label("Workload")
    field.fill("nobody / nothing")
    field.press("Tab")
    assert "There are no records of “nobody / nothing”." in page.locator(".field.wrong").inner_text()
    assert field.get_attribute("aria-invalid") == "true"


def test_keys_search_and_tell_what_there_is(visit):
    page = visit("/runs")
    page.keyboard.press("?")
    assert "Search or filter" in page.get_by_role("dialog").inner_text()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.labels[0].textContent") == "Workload"


def test_the_first_tab_skips_the_navigation(visit):
    page = visit("/runs")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the page"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_theme_is_remembered(visit):
    page = visit("/runs", dark=False)
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    button = page.get_by_role("button", name="Theme")
    button.click()
    button.click()
    assert button.inner_text() == "Theme: dark"
    page.reload()
    page.wait_for_selector("main h1")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert page.get_by_role("button", name="Theme").inner_text() == "Theme: dark"


def test_a_mistake_is_shown_at_the_field_that_has_it(visit):
    page = visit("/runs")
    page.get_by_role("button", name="Start a run").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Workload").fill("support-app / tool_router")
    dialog.get_by_label("Epochs").fill("0")
    dialog.get_by_role("button", name="Start", exact=True).click()
    wrong = dialog.locator(".field.wrong")
    wrong.wait_for()
    assert wrong.locator("label").inner_text() == "Epochs"
    assert wrong.locator(".error").inner_text() == "Input should be greater than or equal to 1, not 0"
    assert findings(page) == []
    dialog.get_by_label("Epochs").fill("")
    dialog.get_by_label("Everything else").fill("{")
    assert dialog.get_by_text("This is not JSON").is_visible()
    dialog.get_by_label("Everything else").fill('{"evaluation_config": {"marjin": 1}}')
    dialog.get_by_role("button", name="Start", exact=True).click()
    dialog.get_by_text('did you mean "margin"').wait_for()
