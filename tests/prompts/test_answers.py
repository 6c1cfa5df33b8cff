"""What models write, in each family's way, and what is read from it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from flywheel.prompts import Answer, Call, PromptError, family_of, parse_answer

ARGUMENTS = [
    {},
    {"title": 'She said "no"', "path": "C:\\temp"},
    {"name": "Zoë Müller", "city": "東京", "mood": "🎉"},
    {"where": {"street": "12 Oak Street", "geo": {"lat": 1.5, "lon": -2}}, "tags": ["a", "b"], "n": None},
    {"text": "use </tool_call> and <tool_call> and [TOOL_CALLS] and {braces}"},
    {"text": "two\nlines\tand a tab"},
]
WRITTEN = {
    "hermes": lambda name, arguments: (
        f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"
    ),
    "llama3": lambda name, arguments: json.dumps({"name": name, "parameters": arguments}, ensure_ascii=False),
    "mistral": lambda name, arguments: "[TOOL_CALLS]" + json.dumps([{"name": name, "arguments": arguments}]),
}


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=lambda a: next(iter(a), "none"))
@pytest.mark.parametrize("family", ["hermes", "llama3"])
def test_a_call_is_read_with_whatever_its_arguments_hold(family: str, arguments: dict[str, object]) -> None:
    answer = parse_answer(WRITTEN[family]("book.table_2", arguments), family)

    assert [call.name for call in answer.calls] == ["book.table_2"]
    assert json.loads(answer.calls[0].arguments) == arguments
    assert answer.content is None
    assert answer.malformed == ()


@pytest.mark.parametrize("arguments", ARGUMENTS[:4], ids=lambda a: next(iter(a), "none"))
def test_mistral_calls_in_a_list(arguments: dict[str, object]) -> None:
    answer = parse_answer(WRITTEN["mistral"]("f", arguments), "mistral")

    assert [json.loads(call.arguments) for call in answer.calls] == [arguments]


@pytest.mark.parametrize("family", ["hermes", "llama3", "mistral"])
def test_words_alone_are_content(family: str) -> None:
    assert parse_answer("  It is 5 o'clock.\n", family) == Answer("It is 5 o'clock.", (), ())


@pytest.mark.parametrize("family", ["hermes", "llama3", "mistral"])
def test_nothing_is_no_content_and_no_call(family: str) -> None:
    assert parse_answer("", family) == Answer(None, (), ())


def test_several_calls_with_words_around_them() -> None:
    text = (
        'Let me look.\n<tool_call>\n{"name": "a", "arguments": {"x": 1}}\n</tool_call>\n'
        '<tool_call>{"name": "b", "arguments": {}}</tool_call> Done.'
    )

    answer = parse_answer(text)

    assert answer.calls == (Call("a", '{"x": 1}'), Call("b", "{}"))
    assert answer.content is not None
    assert answer.content.startswith("Let me look.")
    assert answer.content.endswith("Done.")


def test_a_whole_call_without_its_closing_mark_counts() -> None:
    assert parse_answer('<tool_call>{"name": "a", "arguments": {"x": 1}}').calls == (Call("a", '{"x": 1}'),)


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "a", "arguments": {"x": "unfinis',
        "{'name': 'a'}",
        '{"arguments": {"x": 1}}',
        '{"name": 3, "arguments": {}}',
        '{"name": "a", "arguments": [1]}',
        '["a"]',
        "",
    ],
)
def test_a_call_that_cannot_be_read_is_kept_as_malformed(body: str) -> None:
    answer = parse_answer(f"<tool_call>{body}</tool_call>")

    assert answer.calls == ()
    assert answer.malformed == (body,)
    assert answer.content is None


def test_a_broken_call_does_not_hide_the_next_one() -> None:
    answer = parse_answer('<tool_call>{"name": <tool_call>{"name": "b", "arguments": {}}</tool_call>')

    assert answer.calls == (Call("b", "{}"),)
    assert answer.malformed == ('{"name":',)


def test_arguments_given_as_json_text_are_unwrapped() -> None:
    answer = parse_answer('<tool_call>{"name": "a", "arguments": "{\\"x\\": 1}"}</tool_call>')

    assert answer.calls == (Call("a", '{"x": 1}'),)


def test_llama3_bare_json_is_text_where_no_tools_were_offered() -> None:
    text = '{"name": "Anna", "parameters": {}}'

    assert parse_answer(text, "llama3", tools=[]) == Answer(text, (), ())
    assert len(parse_answer(text, "llama3", tools=None).calls) == 1


def test_llama3_json_that_is_no_call_is_text() -> None:
    assert parse_answer('{"answer": 42}', "llama3") == Answer('{"answer": 42}', (), ())


def test_llama3_python_tag_several_calls_and_end_mark() -> None:
    text = '<|python_tag|>{"name": "a", "parameters": {}}; {"name": "b", "parameters": {"x": 1}}<|eom_id|>'

    assert [call.name for call in parse_answer(text, "llama3").calls] == ["a", "b"]


def test_llama3_truncated_call_is_malformed() -> None:
    assert parse_answer('{"name": "a", "parameters": {"x": "y', "llama3").malformed == (
        '{"name": "a", "parameters": {"x": "y',
    )


@pytest.mark.parametrize("text", ['[TOOL_CALLS]get[ARGS]{"x": 1}</s>', '[TOOL_CALLS]get{"x": 1}'])
def test_mistral_newer_forms(text: str) -> None:
    assert parse_answer(text, "mistral").calls == (Call("get", '{"x": 1}'),)


def test_mistral_broken_list_is_malformed() -> None:
    answer = parse_answer('Sure. [TOOL_CALLS][{"name": "a", "arguments": {', "mistral")

    assert answer == Answer("Sure.", (), ('[{"name": "a", "arguments": {',))


def test_an_unknown_family_names_the_known_ones() -> None:
    with pytest.raises(PromptError, match="hermes, llama3, mistral"):
        parse_answer("x", "granite")


@pytest.mark.parametrize(
    ("template", "family"),
    [
        ("… <tool_call>{{ call }}</tool_call> …", "hermes"),
        ("{{ '[TOOL_CALLS] [' }}", "mistral"),
        ("{{ '<|python_tag|>' }}", "llama3"),
        ("{{ messages }}", "hermes"),
        (None, "hermes"),
    ],
)
def test_the_family_is_told_by_the_template(template: str | None, family: str) -> None:
    assert family_of(SimpleNamespace(chat_template=template)) == family
