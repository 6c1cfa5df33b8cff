"""The page of one run in a browser: what came of it, side by side, while it goes on and afterwards."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from browser import needs_chromium
from dashboard.looking import findings, overflow, settled

pytestmark = needs_chromium

CUSTOMIZED = "flywheel/student customized-eval"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1600])
def test_it_is_clean_in_both_themes_and_fits(visit, server, width, dark):
    page = visit(f"/runs/{server.completed}", width=width, dark=dark)
    for each in page.locator("main details").all():
        each.evaluate("(each) => { each.open = true; }")
    settled(page)
    assert overflow(page) == 0
    assert findings(page) == []


def test_every_number_of_a_plot_is_in_a_table_beside_it(visit, server):
    page = visit(f"/runs/{server.completed}")
    plots = page.locator(".chart svg")
    assert plots.count() == 6
    table = page.get_by_role("region", name="Scores of all systems", exact=True).inner_text()
    told = page.locator("#scores .chart svg").first.get_attribute("aria-label") or ""
    values = re.findall(r"\d+\.\d %(?=,)", told)
    assert len(values) == 6
    assert all(value in table for value in values)


def test_it_says_what_the_decision_says(visit, server):
    run = server.world.run(server.completed)
    page = visit(f"/runs/{server.completed}")
    outcome = page.locator("#outcome").inner_text()
    assert run.decision.verdict.partition(": ")[2] in outcome
    assert run.decision.reason in outcome
    difference = next(
        each
        for each in run.decision.table["differences"]
        if each["system"] == CUSTOMIZED and each["other"].endswith("student base-eval")
    )
    rows = page.get_by_role("region", name="Paired differences", exact=True).locator("tbody tr")
    row = rows.filter(has_text=CUSTOMIZED).filter(has_text="flywheel/student base-eval").inner_text()
    assert f"{difference['value'] * 100:+.1f}" in row
    assert f"{difference['better']} : {difference['worse']}" in row


def test_a_column_is_sorted_by_its_head(visit, server):
    page = visit(f"/runs/{server.completed}")
    table = page.get_by_role("region", name="Scores of all systems", exact=True)
    scores = table.locator("tbody td:nth-child(3)")

    def shown() -> list[float]:
        return [float(text.removesuffix(" %")) for text in scores.all_inner_texts()]

    assert shown() == sorted(shown(), reverse=True)
    head = table.get_by_role("columnheader", name="Score")
    assert head.get_attribute("aria-sort") == "descending"
    table.get_by_role("button", name="System").click()
    expect(table.get_by_role("columnheader", name="System")).to_have_attribute("aria-sort", "ascending")
    names = table.locator("tbody th .named span:last-child").all_inner_texts()
    assert names == sorted(names)


def test_a_count_of_failures_leads_to_those_samples(visit, server):
    page = visit(f"/runs/{server.completed}")
    link = page.locator("#failures tbody a").first
    assert re.match(
        rf"/runs/{server.completed}/samples\?of=[^&]+&failure=\w+$", link.get_attribute("href") or ""
    )


def test_a_run_that_failed_says_why(visit, server):
    page = visit(f"/runs/{server.failed}")
    assert "CUDA out of memory" in page.locator("#outcome").inner_text()
    assert findings(page) == []


def test_a_run_that_is_not_there_is_an_error_in_words(visit):
    page = visit("/runs/0123456789abcdef01234567")
    alert = page.get_by_role("alert")
    assert "(404)" in alert.inner_text()
    assert findings(page) == []


def test_the_parts_of_the_page_have_addresses(visit, server):
    page = visit(f"/runs/{server.completed}")
    page.get_by_role("navigation", name="Parts of this page").get_by_role("link", name="Data").click()
    assert page.url.endswith("#curation")
    expect(page.locator("#curation h2")).to_be_in_viewport()
