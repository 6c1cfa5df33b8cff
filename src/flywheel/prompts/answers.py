"""The words of a model, read as an answer: text, calls, and calls that could not be read.

Families differ in how they write a call; which one a model speaks is told by its chat template, since that
is the text it was trained on. One small file per family does the reading.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.prompts import hermes, llama3, mistral
from flywheel.prompts.calls import Answer, Call
from flywheel.prompts.errors import PromptError

__all__ = ["Answer", "Call", "family_of", "parse_answer"]

READERS = {"hermes": hermes.read, "llama3": llama3.read, "mistral": mistral.read}


def family_of(tokenizer: Any) -> str:
    """Which call syntax the tokenizer's chat template teaches: "hermes", "llama3" or "mistral"."""
    template = getattr(tokenizer, "chat_template", None)
    text = template if isinstance(template, str) else str(template or "")
    if "<tool_call>" in text:
        return "hermes"
    if "[TOOL_CALLS]" in text:
        return "mistral"
    if "<|python_tag|>" in text or '"parameters": ' in text:
        return "llama3"
    return "hermes"


def parse_answer(
    text: str, family: str = "hermes", tools: Sequence[Mapping[str, Any]] | None = None
) -> Answer:
    """Read a model's text; `tools` tells syntaxes without marks (bare JSON) which names are calls."""
    if family not in READERS:
        raise PromptError(f"unknown family of call syntax {family!r}: known are {', '.join(sorted(READERS))}")
    names = None if tools is None else frozenset(_name(tool) for tool in tools)
    return READERS[family](text, names)


def _name(tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    return str(function.get("name", "")) if isinstance(function, Mapping) else ""
