"""Rows as NVIDIA's customizer and evaluator read them."""

from __future__ import annotations

from flywheel.curation import eval_rows, training_rows
from traffic import TOOLS, answer, call, record, request, user

TALK = record(
    request(
        {"role": "system", "content": "Help."},
        user("where is 7"),
        {"role": "assistant", "content": None, "tool_calls": [call("track_order", '{"order": "7"}', "a")]},
        {"role": "tool", "tool_call_id": "a", "content": "lost"},
        tool_choice="auto",
        temperature=0,
        stream=True,
    ),
    answer(None, call("find_product", '{"query": "x"}', "b"), refusal=None, annotations=[]),
    id_="chat-1",
)


class TestTraining:
    def test_a_conversation_with_its_answer(self) -> None:
        (row,) = training_rows([TALK])
        assert row.keys() == {"messages", "tools"}
        assert row["tools"] == TOOLS
        assert [m["role"] for m in row["messages"]] == ["system", "user", "assistant", "tool", "assistant"]
        assert row["messages"][-1] == {
            "role": "assistant",
            "content": "",
            "tool_calls": [call("find_product", {"query": "x"}, "b")],
        }
        assert row["messages"][2]["tool_calls"][0]["function"]["arguments"] == {"order": "7"}
        assert row["messages"][3] == {"role": "tool", "content": "lost", "tool_call_id": "a"}

    def test_arguments_as_text(self) -> None:
        (row,) = training_rows([TALK], parse_function_arguments=False)
        assert row["messages"][-1]["tool_calls"][0]["function"]["arguments"] == '{"query": "x"}'
        odd = record(answered=answer(None, call("find_product", {"query": "x"})))
        (row,) = training_rows([odd], parse_function_arguments=False)
        assert row["messages"][-1]["tool_calls"][0]["function"]["arguments"] == '{"query":"x"}'

    def test_an_answer_in_words_stays_one(self) -> None:
        (row,) = training_rows([record("hi", answer("Hello!"))])
        assert row["messages"][-1] == {"role": "assistant", "content": "Hello!"}

    def test_no_tools_no_key(self) -> None:
        assert [row.keys() for row in training_rows([record(request(user("hi"), tools=[]))])] == [
            {"messages"}
        ]

    def test_odd_tools_and_calls_become_openais(self) -> None:
        odd = record(
            request(
                user("hi"), tools=[{"function": {"name": "bare"}}, {"name": "flat"}, {"type": "web_search"}]
            ),
            answer(None, {"function": {"name": "bare", "arguments": ""}}),
        )
        (row,) = training_rows([odd])
        empty = {"type": "object", "properties": {}}
        assert row["tools"] == [
            {"type": "function", "function": {"name": name, "description": "", "parameters": empty}}
            for name in ("bare", "flat")
        ]
        assert row["messages"][-1]["tool_calls"] == [call("bare", {}, "call_0001")]

    def test_the_old_function_call_becomes_a_tool_call(self) -> None:
        old = record(
            request(user("hi"), tools=[], functions=[{"name": "old"}]),
            answer(None, function_call={"name": "old", "arguments": '{"a": 1}'}),
        )
        (row,) = training_rows([old])
        assert row["tools"][0]["function"]["name"] == "old"
        assert row["messages"][-1]["tool_calls"][0]["function"] == {"name": "old", "arguments": {"a": 1}}

    def test_content_in_parts_becomes_text(self) -> None:
        parts = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
        (row,) = training_rows([record(request(parts))])
        assert row["messages"][0]["content"] == "a\nb"

    def test_arguments_of_an_earlier_turn_that_are_no_json_stay(self) -> None:
        asked = request(user("?"), {"role": "assistant", "tool_calls": [call("track_order", "{oops")]})
        (row,) = training_rows([record(asked)])
        assert row["messages"][1]["tool_calls"][0]["function"]["arguments"] == "{oops"


class TestEvaluation:
    def test_a_request_to_send_and_an_answer_to_compare_with(self) -> None:
        (row,) = eval_rows([TALK])
        assert (row["name"], row["workload_id"], row["client_id"]) == ("chat-1", "support", "shop")
        asked = row["request"]
        assert asked["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"order": "7"}'
        assert (asked["tools"], asked["tool_choice"], asked["temperature"]) == (TOOLS, "auto", 0)
        assert "stream" not in asked
        message = row["response"]["choices"][0]["message"]
        assert message["tool_calls"] == [call("find_product", {"query": "x"}, "b")]
        assert row["response"]["id"] == "chat-1"

    def test_an_answer_in_words_has_an_empty_list_of_calls(self) -> None:
        (row,) = eval_rows([record()])
        assert row["response"]["choices"][0]["message"] == {
            "role": "assistant",
            "content": "Hello!",
            "tool_calls": [],
        }

    def test_no_tool_choice_is_forced_or_invented(self) -> None:
        (row,) = eval_rows([record()])
        assert "tool_choice" not in row["request"]

    def test_without_tools_nothing_about_tools_is_sent(self) -> None:
        (row,) = eval_rows([record(request(user("hi"), tools=[], tool_choice="none"))])
        assert "tools" not in row["request"]
        assert "tool_choice" not in row["request"]
