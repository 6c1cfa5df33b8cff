"""Languages are named where that is sure, and nowhere else."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from flywheel.evaluation.languages import UNKNOWN, languages_of

UTTERANCES: dict[str, list[str]] = json.loads((Path(__file__).parent / "utterances.json").read_text())
PAIRS = [(language, text) for language, texts in UTTERANCES.items() for text in texts]


def named(pairs: list[tuple[str, str]]) -> tuple[int, list[tuple[str, str, str]]]:
    """How many texts have a name, and those whose name is wrong."""
    found = languages_of([text for _, text in pairs])
    wrong = [
        (truth, label, text)
        for (truth, text), label in zip(pairs, found, strict=True)
        if label not in {truth, UNKNOWN}
    ]
    return sum(label != UNKNOWN for label in found), wrong


def test_short_requests_in_twenty_languages_are_named_rightly_or_not_at_all() -> None:
    count, wrong = named(PAIRS)
    assert wrong == []
    assert count >= 0.7 * len(PAIRS)


def test_a_rare_language_is_found_among_much_english() -> None:
    pairs = [pair for pair in PAIRS if pair[0] in {"de", "es"}] + 18 * [p for p in PAIRS if p[0] == "en"]
    count, wrong = named(pairs)
    assert wrong == []
    assert count >= 0.8 * len(pairs)
    assert len({"de", "es"} & set(languages_of([text for _, text in pairs]))) == 2


@pytest.mark.parametrize(("one", "other"), [("ru", "uk"), ("es", "pt"), ("ar", "fa"), ("sv", "nl")])
def test_kindred_languages_do_not_swallow_each_other(one: str, other: str) -> None:
    _, wrong = named([(language, text) for language, text in PAIRS if language in {one, other}] * 3)
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    ["", "ok", "12 + 30 = ?", "ORD-12345", "🙂🙂", "\ud800\x00", "SELECT * FROM users WHERE id = 5",
     '{"a": 1, "city": "Paris"}', "def f(x): return x + 1", "iPhone 15 Pro Max 256GB"],
)  # fmt: skip
def test_what_is_no_language_is_unknown_even_where_all_others_are_english(text: str) -> None:
    english = UTTERANCES["en"] * 20
    assert languages_of([*english, text])[-1] == UNKNOWN
    assert languages_of([text]) == [UNKNOWN]


def test_a_language_of_too_few_records_is_unknown() -> None:
    german, french = UTTERANCES["de"] * 2, ["Où est ma commande, et quand sera-t-elle livrée ?"] * 3
    assert languages_of(german + french)[-3:] == ["fr"] * 3
    assert languages_of(german + french, enough=4)[-3:] == [UNKNOWN] * 3
    assert "de" in languages_of(german + french, enough=4)


def test_names_depend_neither_on_the_order_nor_on_the_time_asked() -> None:
    texts = [text for _, text in PAIRS]
    shuffled = random.Random(5).sample(texts, len(texts))
    found = dict(zip(texts, languages_of(texts), strict=True))
    assert dict(zip(shuffled, languages_of(shuffled), strict=True)) == found


def test_of_long_texts_the_beginning_is_heard() -> None:
    text = "Please tell me where my order is and when it will be delivered. " * 2_000
    assert languages_of([text]) == ["en"]


def test_of_no_text_there_is_no_language() -> None:
    assert languages_of([]) == []
