"""What a model learns to say is read back as the call that it was, in every family's own way.

Messages with tools → the family's chat template → the text of the answer → the parser → the same calls. The
templates in `templates/` write what the families' official ones write; each names its source.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from flywheel.prompts import (
    Answer,
    PromptError,
    family_of,
    parse_answer,
    prompt_ids,
    prompt_text,
    training_example,
)

STUDENT = Path(__file__).parents[2] / "src" / "flywheel" / "student"
TEMPLATES = Path(__file__).parent / "templates"
FAMILIES = {
    "student": ("hermes", "<|end|>"),
    "hermes3": ("hermes", "<|im_end|>"),
    "qwen2_5": ("hermes", "<|im_end|>"),
    "qwen3": ("hermes", "<|im_end|>"),
    "llama3": ("llama3", "<|eot_id|>"),
    "mistral_nemo": ("mistral", "</s>"),
    "mistral_small": ("mistral", "</s>"),
}
WORDS_BESIDE_CALLS = ("student", "qwen2_5", "qwen3")
"""The other families' templates drop the words of an answer that calls."""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Books",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "Where"}},
            },
        },
    }
    for name in ("book_table", "ns.ping-2")
]
SYSTEM = {"role": "system", "content": "Help."}
USER = {"role": "user", "content": "A table, please"}
MARKS = (
    "<tool_call></tool_call> [TOOL_CALLS] [CALL_ID] [ARGS] <|python_tag|> <think> </think> "
    '{"name": "ns.ping-2", "parameters": {}}; [{"name": "ns.ping-2", "arguments": {}}]'
)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "none": {},
    "quotes": {"title": 'She said "no"', "path": "C:\\temp\\", "it's": "'"},
    "unicode": {"name": "Zoë Müller", "city": "東京", "mood": "🎉", "line": "\u2028"},
    "nested": {"where": {"street": "12 Oak", "geo": {"lat": 1.5, "lon": -2}}, "tags": ["a", {}], "n": None},
    "marks": {"text": MARKS, "city": "</tool_call>"},
    "lines": {"text": "two\nlines\tand a tab", "empty": ""},
}

Calls = list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, PreTrainedTokenizerFast]:
    return {family: _tokenizer(family) for family in FAMILIES}


def _tokenizer(family: str) -> PreTrainedTokenizerFast:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(STUDENT)
    if family != "student":
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer.backend_tokenizer, bos_token="<s>", eos_token=FAMILIES[family][1]
        )
        tokenizer.chat_template = (TEMPLATES / f"{family}.jinja").read_text("utf-8")
    return tokenizer


def assistant(*calls: tuple[str, Any], text: str | None = None) -> dict[str, Any]:
    """A teacher's message, with ids as OpenAI's."""
    made = [
        {
            "id": f"call_Ab{number}xYz0123456789",
            "type": "function",
            "function": {
                "name": name,
                "arguments": arguments
                if isinstance(arguments, str)
                else json.dumps(arguments, ensure_ascii=number % 2 == 0),
            },
        }
        for number, (name, arguments) in enumerate(calls)
    ]
    return {"role": "assistant", "content": text} | ({"tool_calls": made} if made else {})


def said(tokenizer: PreTrainedTokenizerFast, message: dict[str, Any], before: list[Any] | None = None) -> str:
    """The text that a model is taught to say for `message`, without the token that ends it."""
    messages = [*(before or [USER]), message]
    prompt = prompt_text(tokenizer, messages[:-1], TOOLS)
    ids, labels = training_example(tokenizer, messages, TOOLS)
    begin = len(prompt_ids(tokenizer, messages[:-1], TOOLS))
    assert tokenizer.decode(ids[:begin]) == prompt, "training and serving read the same prompt"
    assert labels[begin:] == ids[begin:]
    text = tokenizer.decode(ids[begin:])
    assert isinstance(text, str)
    assert text.endswith(str(tokenizer.eos_token))
    return text.removesuffix(str(tokenizer.eos_token))


def read(family: str, text: str) -> tuple[Calls, Answer]:
    answer = parse_answer(text, FAMILIES[family][0], TOOLS)
    return [(call.name, json.loads(call.arguments)) for call in answer.calls], answer


@pytest.mark.parametrize("family", FAMILIES)
def test_the_template_tells_the_family(tokenizers: dict[str, Any], family: str) -> None:
    assert family_of(tokenizers[family]) == FAMILIES[family][0]


@pytest.mark.parametrize("case", ARGUMENTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_call_comes_back_as_it_was(tokenizers: dict[str, Any], family: str, case: str) -> None:
    text = said(tokenizers[family], assistant(("book_table", ARGUMENTS[case])))

    calls, answer = read(family, text)

    assert calls == [("book_table", ARGUMENTS[case])]
    assert (answer.content, answer.malformed) == (None, ())


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "llama3"])
def test_several_calls_come_back_in_their_order(tokenizers: dict[str, Any], family: str) -> None:
    wanted = [("book_table", ARGUMENTS[case]) for case in ARGUMENTS]
    wanted = [*wanted, ("ns.ping-2", {}), wanted[0]]

    calls, answer = read(family, said(tokenizers[family], assistant(*wanted)))

    assert calls == wanted
    assert (answer.content, answer.malformed) == (None, ())


def test_llama_is_taught_one_call_a_turn_but_several_are_read(tokenizers: dict[str, Any]) -> None:
    one, other = ("book_table", ARGUMENTS["marks"]), ("ns.ping-2", {})
    with pytest.raises(PromptError, match="single tool-calls"):
        said(tokenizers["llama3"], assistant(one, other))
    texts = [said(tokenizers["llama3"], assistant(call)) for call in (one, other)]

    assert read("llama3", "; ".join(texts))[0] == [one, other]
    assert read("llama3", "<|python_tag|>" + "; ".join(texts) + "<|eom_id|>")[0] == [one, other]


@pytest.mark.parametrize("family", FAMILIES)
def test_words_before_a_call_are_words(tokenizers: dict[str, Any], family: str) -> None:
    call = ("book_table", ARGUMENTS["nested"])
    text = said(tokenizers[family], assistant(call, text="I will {look}: now."))
    if family not in WORDS_BESIDE_CALLS:
        text = f"I will {{look}}: now.\n{text}"

    calls, answer = read(family, text)

    assert calls == [call]
    assert (answer.content, answer.malformed) == ("I will {look}: now.", ())


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_in_words_is_no_call(tokenizers: dict[str, Any], family: str) -> None:
    words = 'The name is "Oak"; {"name": "Anna"} is what it says in [1].'

    calls, answer = read(family, said(tokenizers[family], assistant(text=words)))

    assert calls == []
    assert (answer.content, answer.malformed) == (words, ())


@pytest.mark.parametrize("family", FAMILIES)
def test_arguments_that_are_no_json_are_a_malformed_call(tokenizers: dict[str, Any], family: str) -> None:
    calls, answer = read(family, said(tokenizers[family], assistant(("book_table", '{"city": "Par'))))

    assert calls == []
    assert len(answer.malformed) == 1
    assert '"Par' in answer.malformed[0] or '\\"Par' in answer.malformed[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_conversation_with_results_is_read_in_serving_as_in_training(
    tokenizers: dict[str, Any], family: str
) -> None:
    """Ids of calls and of their results are those of the teacher, which some templates refuse."""
    first = assistant(("book_table", {"city": "Rome"}))
    result = {"role": "tool", "tool_call_id": first["tool_calls"][0]["id"], "content": '{"ok": true}'}
    before = [SYSTEM, USER, first, result]

    calls, answer = read(family, said(tokenizers[family], assistant(text="Done."), before))

    assert (calls, answer.content) == ([], "Done.")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(MARKS.split()),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc{}\"' [<]é", max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
MADE = st.dictionaries(st.text("abc_é", min_size=1, max_size=6), JSON, max_size=4)
WRITTEN = {
    "hermes": lambda calls: "\n".join(
        f"<tool_call>\n{json.dumps({'name': n, 'arguments': a}, ensure_ascii=False)}\n</tool_call>"
        for n, a in calls
    ),
    "llama3": lambda calls: "; ".join(
        json.dumps({"name": n, "parameters": a}, ensure_ascii=False) for n, a in calls
    ),
    "mistral": lambda calls: (
        "[TOOL_CALLS]" + json.dumps([{"name": n, "arguments": a, "id": "abcdefghi"} for n, a in calls])
    ),
    "mistral apart": lambda calls: "".join(
        f"[TOOL_CALLS]{n}[CALL_ID]abcdefghi[ARGS]{json.dumps(a, ensure_ascii=False)}" for n, a in calls
    ),
    "mistral bare": lambda calls: "".join(f"[TOOL_CALLS]{n}{json.dumps(a)}" for n, a in calls),
}
CALLS = st.lists(st.tuples(st.sampled_from(["book_table", "ns.ping-2"]), MADE), min_size=1, max_size=3)


@given(family=st.sampled_from(sorted(set(FAMILIES) - {"llama3"})), calls=CALLS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_arguments_hold_the_template_and_the_parser_agree(
    tokenizers: dict[str, Any], family: str, calls: Calls
) -> None:
    tokenizer = tokenizers[family]
    messages = [USER, assistant(*calls)]
    prompt = prompt_text(tokenizer, messages[:1], TOOLS)
    whole = tokenizer.decode(training_example(tokenizer, messages, TOOLS)[0])

    assert read(family, whole.removeprefix(prompt).removesuffix(str(tokenizer.eos_token)))[0] == calls


@given(way=st.sampled_from(sorted(WRITTEN)), calls=CALLS, data=st.data())
@settings(deadline=None)
def test_an_answer_that_is_cut_anywhere_has_only_calls_that_were_there(
    way: str, calls: Calls, data: st.DataObject
) -> None:
    text = WRITTEN[way](calls)
    family = way.partition(" ")[0]
    cut = data.draw(st.integers(0, len(text)))

    found = [(c.name, json.loads(c.arguments)) for c in parse_answer(text[:cut], family, TOOLS).calls]

    assert found == calls[: len(found)]
    assert [(c.name, json.loads(c.arguments)) for c in parse_answer(text, family, TOOLS).calls] == calls


@given(text=st.text() | st.lists(st.sampled_from([*MARKS.split(), "{", "}", '"name":'])).map(" ".join))
@pytest.mark.parametrize("family", ["hermes", "llama3", "mistral"])
def test_nothing_that_a_model_says_breaks_the_parser(family: str, text: str) -> None:
    answer = parse_answer(text, family, TOOLS)

    assert all(isinstance(json.loads(call.arguments), dict) for call in answer.calls)
