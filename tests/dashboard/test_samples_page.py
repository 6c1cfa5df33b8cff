"""Samples in a browser: the list with its filters, and one record with every answer beside the teacher's."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from browser import needs_chromium
from dashboard.looking import findings, overflow

pytestmark = needs_chromium

BASE, CUSTOMIZED = "flywheel/student base-eval", "flywheel/student customized-eval"
LOST = "right=flywheel/student+customized-eval&wrong=meta/llama-3.2-1b-instruct+customized-eval"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1600])
def test_both_pages_are_clean_in_both_themes_and_fit(visit, server, width, dark):
    page = visit(f"/runs/{server.completed}/samples", width=width, dark=dark)
    assert overflow(page) == 0
    assert findings(page) == []
    one = visit(
        page.locator("tbody a").first.get_attribute("href"), width=width, dark=dark, ready=".card.reference"
    )
    for each in one.locator("main details").all():
        each.evaluate("(each) => { each.open = true; }")
    assert overflow(one) == 0
    assert findings(one) == []


def test_a_right_and_b_wrong_leaves_those_samples(visit, server):
    page = visit(f"/runs/{server.completed}/samples")
    page.get_by_label("Right").select_option(CUSTOMIZED)
    page.get_by_label("Wrong").select_option(BASE)
    page.wait_for_url("**right=flywheel%2Fstudent+customized-eval&wrong=flywheel%2Fstudent+base-eval")
    page.wait_for_selector("[aria-busy=false] tbody tr")
    names = page.locator("thead .system").evaluate_all("(all) => all.map((each) => each.title)")
    right, wrong = names.index(CUSTOMIZED), names.index(BASE)
    for row in page.locator("tbody tr").all():
        cells = row.locator("td.system").all_inner_texts()
        assert cells[right] == "right"
        assert cells[wrong] != "right"


def test_a_text_is_looked_for_as_it_is_typed(visit, server):
    page = visit(f"/runs/{server.completed}/samples")
    page.keyboard.press("/")
    page.keyboard.type("curtain")
    page.wait_for_url("**search=curtain")
    page.wait_for_selector("[aria-busy=false] tbody tr")
    rows = page.locator("tbody tr").all_inner_texts()
    assert rows
    assert all("curtain" in row for row in rows)
    page.get_by_role("button", name="Show all").click()
    page.wait_for_url(f"**/runs/{server.completed}/samples")


def test_keys_step_through_the_list_and_the_samples(visit, server):
    page = visit(f"/runs/{server.completed}/samples?{LOST}")
    keys = page.locator("tbody a").evaluate_all(
        "(all) => all.map((each) => decodeURIComponent(each.pathname.split('/').at(-1)))"
    )
    assert len(keys) > 2
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    place = page.locator("h1")
    expect(place).to_have_text(f"Sample 2 of {len(keys)}")
    assert f"/samples/{keys[1]}?" in page.url
    page.keyboard.press("j")
    expect(place).to_have_text(f"Sample 3 of {len(keys)}")
    page.keyboard.press("k")
    expect(place).to_have_text(f"Sample 2 of {len(keys)}")
    page.keyboard.press("ArrowLeft")
    expect(place).to_have_text(f"Sample 1 of {len(keys)}")
    expect(page.get_by_role("button", name="Previous")).to_be_disabled()
    page.keyboard.press("k")
    expect(place).to_have_text(f"Sample 1 of {len(keys)}")
    page.keyboard.press("u")
    page.wait_for_url("**/samples?right=**")


def test_a_link_to_one_sample_is_that_sample_with_its_filters(visit, server):
    page = visit(f"/runs/{server.completed}/samples?failure=wrong_value&of={BASE.replace(' ', '+')}")
    address = page.locator("tbody a").nth(1).get_attribute("href")
    one = visit(address, ready=".card.reference")
    assert one.locator("h1").inner_text().startswith("Sample 2 of ")
    card = one.get_by_role("region", name=f"Answer of {BASE}")
    assert "wrong value" in card.locator("header").inner_text()
    wrong = card.locator("tr.differs")
    assert wrong.count() == 1
    expected, got = wrong.locator("td").all_inner_texts()[:2]
    assert expected != got
    assert wrong.locator("mark").inner_text() == got


def test_a_missing_call_is_shown_as_one(visit, server):
    page = visit(
        f"/runs/{server.completed}/samples?failure=no_call_expected_call&of={BASE.replace(' ', '+')}"
    )
    page.locator("tbody a").first.click()
    card = page.get_by_role("region", name=f"Answer of {BASE}")
    assert "missing call" in card.inner_text()
    assert "Let me look into that for you." in card.inner_text()


def test_a_run_without_samples_says_so(visit, server):
    page = visit(f"/runs/{server.failed}/samples")
    assert "Nothing was measured yet" in page.locator("main").inner_text()
