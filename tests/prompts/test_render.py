"""From wire messages to ids and labels, with the student's own tokenizer and template."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from flywheel.prompts import (
    PromptError,
    parse_answer,
    prompt_ids,
    prompt_text,
    template_messages,
    training_example,
)

STUDENT = Path(__file__).parents[2] / "src" / "flywheel" / "student"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "book_table",
            "description": "Book a table",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Where"},
                    "people": {"type": "integer"},
                    "seat": {"type": "string", "enum": ["inside", "outside"]},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "who": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}},
                        "required": ["name"],
                    },
                    "when": {"type": ["string", "null"]},
                },
                "required": ["city", "people"],
            },
        },
    },
    {"type": "function", "function": {"name": "ping"}},
]
USER = {"role": "user", "content": 'A table in "Zürich" for 4, please'}


def call(arguments: str, name: str = "book_table") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": function}],
    }


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(STUDENT)


def test_tools_are_written_as_signatures(tokenizer: PreTrainedTokenizerFast) -> None:
    text = prompt_text(tokenizer, [{"role": "system", "content": "Help."}, USER], TOOLS)

    assert text == (
        "<|system|>Help.<|tools|>book_table(city: string (Where), people: integer, seat?: inside|outside, "
        "tags?: string[], who?: {name: string}, when?: string|null) Book a table\nping()<|end|>"
        '<|user|>A table in "Zürich" for 4, please<|end|><|assistant|>'
    )


@pytest.mark.parametrize("tools", [None, []])
def test_no_tools_and_an_empty_list_are_the_same(tokenizer: PreTrainedTokenizerFast, tools: Any) -> None:
    assert prompt_text(tokenizer, [USER], tools) == f"<|user|>{USER['content']}<|end|><|assistant|>"


def test_what_is_rendered_is_read_back(tokenizer: PreTrainedTokenizerFast) -> None:
    arguments = {
        "people": 4,
        "city": 'Zürich "old" town',
        "who": {"name": "Ana\nB"},
        "tags": ["x_y", "camelCase"],
    }
    messages = [USER, call(json.dumps(arguments))]
    prompt = prompt_ids(tokenizer, messages[:1], TOOLS)
    ids, labels = training_example(tokenizer, messages, TOOLS)

    answer = parse_answer(tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True))

    assert ids[: len(prompt)] == prompt
    assert [json.loads(c.arguments) for c in answer.calls] == [arguments]
    assert list(json.loads(answer.calls[0].arguments)) == ["city", "people", "tags", "who"], "signature order"
    assert labels[: len(prompt)] == [-100] * len(prompt)
    assert labels[len(prompt) :] == ids[len(prompt) :]
    assert ids[-1] == tokenizer.eos_token_id


def test_every_assistant_turn_is_learned_and_nothing_else(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [
        {"role": "system", "content": "Help."},
        USER,
        call('{"city": "Zürich", "people": 4}'),
        {"role": "tool", "tool_call_id": "c", "content": '{"ok": true}'},
        {"role": "assistant", "content": "Done, see you."},
        {"role": "user", "content": "Thanks"},
        {"role": "assistant", "content": "You're welcome!"},
    ]

    ids, labels = training_example(tokenizer, messages, TOOLS)

    learned = tokenizer.decode([label for label in labels if label >= 0])
    assert learned == (
        '<tool_call>{"name": "book_table", "arguments": {"city": "Zürich", "people": 4}}</tool_call><|end|>'
        "Done, see you.<|end|>You're welcome!<|end|>"
    )
    assert len(ids) == len(labels)


def test_a_template_that_rewrites_earlier_turns_teaches_the_last_one_only(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    rewriting = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|end|>")
    rewriting.chat_template = (
        "{% for message in messages %}<|{{ message.role }}|>"
        "{% if message.role == 'assistant' and not loop.last %}…{% else %}{{ message.content }}{% endif %}"
        "<|end|>"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    messages = [
        USER,
        {"role": "assistant", "content": "first"},
        USER,
        {"role": "assistant", "content": "second"},
    ]

    _, labels = training_example(rewriting, messages, None)

    assert tokenizer.decode([label for label in labels if label >= 0]) == "second<|end|>"


def test_a_template_that_is_never_stable_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    moving = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|end|>")
    moving.chat_template = (
        "{{ messages | length }}{% for m in messages %}{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )

    with pytest.raises(PromptError, match="not prefix-stable"):
        training_example(moving, [USER, {"role": "assistant", "content": "x"}], None)


def test_no_template_no_assistant_and_a_template_that_raises(tokenizer: PreTrainedTokenizerFast) -> None:
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(PromptError, match="no chat template"):
        prompt_text(bare, [USER], None)
    with pytest.raises(PromptError, match="no assistant turn"):
        training_example(tokenizer, [USER], None)
    bare.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(PromptError, match="roles must alternate"):
        prompt_text(bare, [USER], None)


def test_wire_messages_become_what_templates_expect() -> None:
    messages = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}],
        },
        {**call('{"x": 1}'), "refusal": None, "audio": None},
        call("{broken"),
        {"role": "tool", "tool_call_id": "c", "content": None, "extra": 1},
    ]

    turns = template_messages(messages)

    assert turns[0] == {"role": "user", "content": "a\nb"}
    assert turns[1]["content"] == ""
    assert turns[1]["tool_calls"][0]["function"]["arguments"] == {"x": 1}
    assert set(turns[1]) == {"role", "content", "tool_calls"}
    assert turns[2]["tool_calls"][0]["function"]["arguments"] == "{broken"
    assert turns[3] == {"role": "tool", "content": "", "tool_call_id": "c"}


@pytest.mark.parametrize(
    "text",
    [
        'snake_case camelCase PascalCase XMLHttp v2.5 "quoted" (x) [y] {z} a-b 10:30',
        "Faerûn größe 日本語 テスト naïve Ünï “quoted” émile 12é ÅB été",
        "  two  blanks\n\n a tab\t and an emoji 🎉party🎉 ",
        "O'Brien don't 'quoted' it's rock'n'roll",
        "",
        " ",
        "x",
    ],
)
def test_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_a_word_is_the_same_tokens_wherever_it_stands(tokenizer: PreTrainedTokenizerFast) -> None:
    word = tokenizer.encode(" Zanzibar", add_special_tokens=False)

    for before in ('to"', "(", "to_", "to", "12", "<|user|>"):
        ids = tokenizer.encode(f"{before}Zanzibar", add_special_tokens=False)
        assert ids[-len(word) :] == word, before


@pytest.mark.parametrize("name", ["snips", "sgd_dialogues", "bfcl", "apibank", "wire_pydantic-ai"])
def test_real_traffic_is_rendered_and_survives(
    tokenizer: PreTrainedTokenizerFast, shared_data: Path, name: str
) -> None:
    with gzip.open(shared_data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for at, line in enumerate(lines) if at % 60 == 0][:12]
    for record in records:
        messages = [*record["request"]["messages"], record["response"]["choices"][0]["message"]]
        tools = record["request"].get("tools")
        text = prompt_text(tokenizer, messages, tools)
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
        ids, labels = training_example(tokenizer, messages, tools)
        assert any(label >= 0 for label in labels), record
        assert len(ids) == len(labels)
