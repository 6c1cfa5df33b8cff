"""Which slices a record falls into."""

from __future__ import annotations

from typing import Any

import pytest

from flywheel.evaluation.slices import slices_of

USER, ASSISTANT = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}


@pytest.mark.parametrize(
    ("answers", "label"),
    [(0, "1"), (1, "2"), (2, "3 to 5"), (4, "3 to 5"), (5, "6 or more"), (50, "6 or more")],
)
def test_the_turn_is_counted_by_the_answers_before(answers: int, label: str) -> None:
    found = slices_of({"messages": [USER, *[ASSISTANT, USER] * answers]}, ["search"])
    assert found["turn"] == (label,)


@pytest.mark.parametrize(
    ("tools", "label"),
    [
        (0, "none"),
        (1, "1"),
        (2, "2 to 5"),
        (5, "2 to 5"),
        (6, "6 to 15"),
        (15, "6 to 15"),
        (16, "16 or more"),
    ],
)
def test_tools_are_counted(tools: int, label: str) -> None:
    assert slices_of({"messages": [USER], "tools": [{}] * tools}, [])["tools_offered"] == (label,)


@pytest.mark.parametrize(
    ("characters", "label"),
    [(10, "under 1,000"), (1_000, "1,000 to 3,999"), (9_000, "4,000 to 15,999"), (90_000, "16,000 or more")],
)
def test_length_is_that_of_the_messages(characters: int, label: str) -> None:
    request = {"messages": [{"role": "user", "content": "ü" * characters}], "tools": [{"name": "x" * 20_000}]}
    assert slices_of(request, [])["request_length"] == (label,)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Where is my order?", "Latin"),
        ("Où est ma commande nº 5 ?", "Latin"),
        ("Где мой заказ iPhone?", "Cyrillic"),
        ("帮我查一下 iPhone 15 Pro Max 的价格", "Han"),
        ("注文はどこですか", "Kana"),
        ("ﾁｭｳﾓﾝ", "Kana"),
        ("주문이 어디에 있나요?", "Hangul"),
        ("أين طلبي؟", "Arabic"),
        ("मेरा ऑर्डर कहाँ है", "Devanagari"),
        ("12 + 30 = ? 🙂", "(no letters)"),
        ("\ud800\x00", "(no letters)"),
    ],
)
def test_the_script_is_that_of_most_that_users_write(text: str, script: str) -> None:
    system = {"role": "system", "content": "You answer in English, whatever customers write in."}
    assert slices_of({"messages": [system, {"role": "user", "content": text}]}, [])["script"] == (script,)
    parts = [{"type": "text", "text": text}, {"type": "image_url"}, None]
    assert slices_of({"messages": [{"role": "user", "content": parts}]}, [])["script"] == (script,)


def test_a_record_that_calls_two_tools_is_in_both_slices_and_one_without_has_its_own() -> None:
    assert slices_of({"messages": [USER]}, ["b", "a", "b"])["tool"] == ("a", "b")
    assert slices_of({"messages": [USER]}, [])["tool"] == ("(no call)",)


@pytest.mark.parametrize(
    "request_", [{}, {"messages": None}, {"messages": "text", "tools": {}}, {"messages": [1, None]}]
)
def test_any_request_whatever_has_slices(request_: dict[str, Any]) -> None:
    assert slices_of(request_, [])["turn"] == ("1",)
