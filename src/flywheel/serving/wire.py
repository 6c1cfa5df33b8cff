"""OpenAI's request bodies, as far as this server honours them, and its answers.

What would change the answer and is not done is refused by name; what would not (user, store, metadata) is
let pass.
"""

from __future__ import annotations

import uuid
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from flywheel.prompts import Answer
from flywheel.serving.engine import Generation
from flywheel.serving.errors import BadParameter
from flywheel.serving.spec import AdapterName


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Message(_Body):
    role: str


class StreamOptions(_Body):
    include_usage: bool = False


class Sampling(_Body):
    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    n: int | None = Field(None, ge=1, le=16)
    logprobs: bool | int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_format: dict[str, Any] | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in stop if text)

    def refuse_unsupported(self) -> None:
        for name in ("logprobs", "presence_penalty", "frequency_penalty"):
            if getattr(self, name):
                raise BadParameter(name, getattr(self, name), "not supported here; leave it out")
        kind = (self.response_format or {}).get("type", "text")
        if kind != "text":
            raise BadParameter("response_format.type", kind, 'only "text" is supported here')


class ChatRequest(Sampling):
    messages: list[Message] = Field(min_length=1)
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    max_completion_tokens: int | None = Field(None, ge=1)

    @property
    def offered_tools(self) -> list[dict[str, Any]] | None:
        """What the prompt shows: nothing where no call is wanted, one tool where it is named."""
        if not self.tools or self.tool_choice == "none":
            return None
        if (forced := self.forced_function) is None:
            return self.tools
        named = [tool for tool in self.tools if (tool.get("function") or {}).get("name") == forced]
        if not named:
            raise BadParameter("tool_choice.function.name", forced, "is none of the tools")
        return named

    @property
    def forced_function(self) -> str | None:
        if not isinstance(self.tool_choice, dict):
            return None
        name = (self.tool_choice.get("function") or {}).get("name")
        if not isinstance(name, str) or not name:
            raise BadParameter(
                "tool_choice", self.tool_choice, '{"type": "function", "function": {"name": …}}'
            )
        return name


class CompletionRequest(Sampling):
    prompt: str | list[str]
    max_tokens: int | None = Field(16, ge=1)


class LoadAdapter(_Body):
    lora_name: str = Field(pattern=AdapterName)
    lora_path: str = Field(min_length=1)
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")


class UnloadAdapter(_Body):
    lora_name: str


def usage_of(prompt_tokens: int, generations: list[Generation]) -> dict[str, int]:
    made = sum(len(generation.tokens) for generation in generations)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": made,
        "total_tokens": prompt_tokens + made,
    }


def message_of(answer: Answer, text: str) -> tuple[dict[str, Any], bool]:
    """An assistant message, and whether it calls; a call that could not be read comes back as text.

    Where nothing could be read, the text comes back as the model wrote it, marks and all.
    """
    content = "\n".join(part for part in (answer.content, *answer.malformed) if part) or None
    if answer.malformed and not answer.calls:
        content = text.strip()
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": f"call_{uuid.uuid4().hex[:24]}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in answer.calls
        ]
    return message, bool(answer.calls)
