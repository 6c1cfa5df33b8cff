"""Templates render as NeMo's do, in a sandbox, and keep the order of what they print."""

from __future__ import annotations

import pytest

from flywheel.evaluation.templates import BadTemplate, check, context_of, normalised, render

ITEM = {
    "request": {
        "messages": [{"role": "user", "content": 'say "hi" <b>'}],
        "tools": [{"name": "z", "a": 1}],
    },
    "count": 3,
    "nothing": None,
}
CONTEXT = context_of(
    ITEM, {"output_text": "hello", "response": {"choices": [{"message": {"content": None}}]}}
)


def test_tojson_yields_the_value_in_its_own_order() -> None:
    template = {
        "messages": "{{ item.request.messages | tojson }}",
        "tools": "{{ item.request.tools | tojson }}",
    }
    rendered = render(template, CONTEXT, "t")
    assert rendered == ITEM["request"]
    assert list(rendered["messages"][0]) == ["role", "content"]
    assert list(rendered["tools"][0]) == ["name", "a"]


def test_a_lone_expression_keeps_its_type_and_other_text_is_text() -> None:
    assert render("{{ item.count }}", CONTEXT, "t") == 3
    assert render("{{- count -}}", CONTEXT, "t") == 3
    assert render("{{ item.nothing }}", CONTEXT, "t") is None
    assert render("{{ count }} of {{ count }}", CONTEXT, "t") == "3 of 3"
    assert render(["{{ output_text }}", 7, True], CONTEXT, "t") == ["hello", 7, True]


def test_the_sample_wins_over_a_field_of_the_same_name() -> None:
    context = context_of({"output_text": "mine"}, {"output_text": "theirs"})
    assert render("{{ output_text }} {{ item.output_text }}", context, "t") == "theirs mine"


@pytest.mark.parametrize("template", ["{{ missing }}", "{{ item.missing.deeper }}", "x {{ sample.nope }}"])
def test_what_is_not_defined_is_an_error_or_nothing(template: str) -> None:
    with pytest.raises(BadTemplate, match=r"template here: UndefinedError"):
        render(template, CONTEXT, "here")
    assert render(template, CONTEXT, "here", lenient=True) in ("", "x ")


def test_undefined_through_tojson_is_null_where_lenient() -> None:
    assert render("{{ item.a.b[0].c | tojson }}", CONTEXT, "t", lenient=True) is None


def test_a_judge_prompt_prints_calls_that_are_not_there_as_nothing() -> None:
    prompt = "*Prediction*: {{sample.response.choices[0].message.tool_calls}}\n"
    assert render(prompt, CONTEXT, "t", lenient=True).startswith("*Prediction*:")


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ item.__init__.__globals__ }}",
        "{{ item.request.messages.append(1) }}",
        "{{ range(10000000) | list }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}x",
    ],
)
def test_the_sandbox_holds(attack: str) -> None:
    with pytest.raises(BadTemplate):
        render(attack, CONTEXT, "t")


def test_bad_syntax_is_found_before_anything_runs_with_its_place() -> None:
    with pytest.raises(BadTemplate, match=r"params\.template\.messages\[0\]\.content"):
        check({"messages": [{"content": "{{ oops"}]}, "params.template")


def test_keys_are_normalised_as_nemo_does() -> None:
    row = {"My Question": 1, "my-question": 2, "Keep": {"Inner Key": 3}}
    assert normalised(row) == {"my_question": 1, "my_question_1": 2, "keep": {"Inner Key": 3}}
