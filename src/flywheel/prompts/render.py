"""OpenAI wire messages to prompt text, token ids and training labels, for any chat template.

Labels come from rendering prefixes: the text of a conversation up to an assistant turn (with the generation
prompt) must be the beginning of the text up to and including that turn. What follows the common beginning is
what the model has to learn to say. This asks nothing of the template but stability, so it works for families
that know no `{% generation %}` marks. Some templates are not stable: once an answer follows, Hermes 3 ends a
tool's result in another way, and Mistral Nemo leaves the system message out. Then the prompt as it will be
served is what counts.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from flywheel.prompts.answers import family_of
from flywheel.prompts.errors import PromptError
from flywheel.prompts.mistral import short_ids

IGNORED = -100  # The label that the cross entropy of torch leaves out.
_LEAST_END = 5  # Characters of a prompt's end that tell where an answer begins: "[/INST]" has seven.

Message = Mapping[str, Any]
Tool = Mapping[str, Any]


class ChatTokenizer(Protocol):
    """The part of `transformers.PreTrainedTokenizerFast` that is used here."""

    chat_template: Any
    eos_token: Any

    def apply_chat_template(self, conversation: Any, *args: Any, **kwargs: Any) -> Any: ...

    def encode(self, text: Any, *args: Any, **kwargs: Any) -> Any: ...


def template_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Wire messages in the form that chat templates are written for.

    Arguments become objects (text that is not JSON stays as it is), missing content becomes "", content parts
    become text, and keys that no template knows are left out.
    """
    return [_template_message(message) for message in messages]


def prompt_text(tokenizer: ChatTokenizer, messages: Sequence[Message], tools: Sequence[Tool] | None) -> str:
    """What the model reads before it answers; no tools and an empty list of tools are the same."""
    return _render(tokenizer, template_messages(messages), tools, generation_prompt=True)


def prompt_ids(
    tokenizer: ChatTokenizer, messages: Sequence[Message], tools: Sequence[Tool] | None
) -> list[int]:
    """The token ids of `prompt_text`; the template writes the special tokens, none are added."""
    return _encode(tokenizer, prompt_text(tokenizer, messages, tools))


def training_example(
    tokenizer: ChatTokenizer, messages: Sequence[Message], tools: Sequence[Tool] | None
) -> tuple[list[int], list[int]]:
    """Input ids and labels: every assistant turn is learned with its end token, nothing else.

    Some templates rewrite earlier turns (they cut the thinking of all but the last one, for example). Such
    turns cannot be learned from this rendering and stay unlabelled. The last one follows the prompt that a
    server would write; where it cannot be told from that prompt, there is a PromptError.
    """
    turns = template_messages(messages)
    assistant = [i for i, turn in enumerate(turns) if turn["role"] == "assistant"]
    if not assistant:
        raise PromptError("there is no assistant turn to learn in this conversation")
    last = assistant[-1]
    prompt = _render(tokenizer, turns[:last], tools, generation_prompt=True)
    whole = _cut_after_end(_render(tokenizer, turns[: last + 1], tools), tokenizer.eos_token)
    if not whole.startswith(prompt):
        whole = prompt + _said_after(prompt, whole)
    ids = _encode(tokenizer, whole)
    labels = [IGNORED] * len(ids)
    for i in assistant[:-1]:
        prefix = _render(tokenizer, turns[:i], tools, generation_prompt=True)
        turn = _cut_after_end(_render(tokenizer, turns[: i + 1], tools), tokenizer.eos_token)
        if turn.startswith(prefix) and whole.startswith(turn):
            start, stop = _common(ids, _encode(tokenizer, prefix)), _common(ids, _encode(tokenizer, turn))
            labels[start:stop] = ids[start:stop]
    start = _common(ids, _encode(tokenizer, prompt))
    labels[start:] = ids[start:]
    return ids, labels


def _said_after(prompt: str, whole: str) -> str:
    """The answer in a rendering whose beginning is not quite `prompt`: what follows the prompt's own end."""
    parted = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(whole))
    for start in range(parted, len(prompt) - _LEAST_END + 1):
        at = whole.find(prompt[start:], parted)
        if at >= 0:
            return whole[at + len(prompt) - start :]
    raise PromptError(
        f"the chat template is not prefix-stable: its generation prompt ends with {prompt[-60:]!r}, "
        "which is not how it begins the answer itself"
    )


def _template_message(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.get("role", ""), "content": _text(message.get("content"))}
    for key in ("name", "tool_call_id"):
        if isinstance(message.get(key), str):
            turn[key] = message[key]
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        turn["tool_calls"] = [_template_call(call) for call in calls if isinstance(call, Mapping)]
    return turn


def _template_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    function = function if isinstance(function, Mapping) else {}
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(ValueError):  # A teacher's broken JSON is shown as it was written.
            arguments = json.loads(arguments or "{}")
    return {
        "id": call.get("id") or "",
        "type": "function",
        "function": {"name": function.get("name") or "", "arguments": {} if arguments is None else arguments},
    }


def _text(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [
            part if isinstance(part, str) else part.get("text")
            for part in content
            if isinstance(part, str | dict)
        ]
        return "\n".join(text for text in texts if isinstance(text, str))
    return json.dumps(content, ensure_ascii=False)


def _template_tools(tools: Sequence[Tool] | None) -> list[dict[str, Any]] | None:
    functions = [tool["function"] for tool in tools or () if isinstance(tool.get("function"), Mapping)]
    return [{"type": "function", "function": dict(function)} for function in functions] or None


def _render(
    tokenizer: ChatTokenizer,
    turns: list[dict[str, Any]],
    tools: Sequence[Tool] | None,
    *,
    generation_prompt: bool = False,
) -> str:
    if not tokenizer.chat_template:
        raise PromptError(
            "the tokenizer has no chat template: choose an instruction-tuned model, or add a template"
        )
    if family_of(tokenizer) == "mistral":
        turns = short_ids(turns)
    try:
        text = tokenizer.apply_chat_template(
            turns, tools=_template_tools(tools), tokenize=False, add_generation_prompt=generation_prompt
        )
    except Exception as error:  # Templates are programs; they raise what they like.
        raise PromptError(f"the chat template does not render this conversation: {error}") from error
    return str(text)


def _encode(tokenizer: ChatTokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False))


def _cut_after_end(text: str, end: object) -> str:
    """Leave out what a template writes after the end token (a newline, mostly): nobody samples it."""
    if isinstance(end, str) and end and (at := text.rfind(end)) >= 0 and not text[at + len(end) :].strip():
        return text[: at + len(end)]
    return text


def _common(ids: list[int], beginning: list[int]) -> int:
    """How many leading tokens of `ids` are those of `beginning` (a token may straddle its end)."""
    for i, (a, b) in enumerate(zip(ids, beginning, strict=False)):
        if a != b:
            return i
    return min(len(ids), len(beginning))
