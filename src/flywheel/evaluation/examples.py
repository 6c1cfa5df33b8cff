"""Rows of a data set become examples: requests rendered, parameters filled in, each with the key that
names it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from flywheel.evaluation.sample import Example
from flywheel.evaluation.templates import BadTemplate, context_of, normalised, render


def make_examples(
    rows: Iterable[Mapping[str, Any]],
    template: Any,
    *,
    model: str | None,
    defaults: Mapping[str, Any],
    scorers: Any,
    plain_completion: bool = False,
    content: str | None = None,
) -> list[Example]:
    """One example per row. `model` None means that nothing is asked, the rows hold the answers.

    `defaults` (temperature, max_tokens, …) fill in what a request does not say itself. `scorers`
    describes the metrics with their versions, `content` is the hash of the model where one is known;
    whatever changes there changes every key.
    """
    seen: Counter[str] = Counter()
    examples = []
    for index, row in enumerate(rows):
        item = normalised(row)
        request, problem = None, None
        if model is not None:
            try:
                body = _request(template, item, plain_completion)
                request = {**defaults, **body, "model": model}
            except BadTemplate as error:
                problem = str(error)
        digest = _digest([row, request, scorers, *([content] if content else ())])
        seen[digest] += 1  # Equal rows are asked once each, so each needs a key of its own.
        examples.append(Example(f"{digest}-{seen[digest]}", index, item, request, problem))
    return examples


def _request(template: Any, item: Mapping[str, Any], plain_completion: bool) -> dict[str, Any]:
    """The rendered body. What is null is left out, and so is a tool choice without tools: servers refuse
    both.
    """
    body = render(template, context_of(item, {}), "params.template")
    if isinstance(body, str):
        body = {"prompt": body} if plain_completion else {"messages": [{"role": "user", "content": body}]}
    if not isinstance(body, dict):
        raise BadTemplate("params.template", f"renders to a {type(body).__name__}, not to a request")
    wanted = "prompt" if plain_completion else "messages"
    if not body.get(wanted):
        raise BadTemplate("params.template", f"renders to a request without {wanted}")
    body = {key: value for key, value in body.items() if value is not None}
    if not body.get("tools"):
        body.pop("tools", None)
        body.pop("tool_choice", None)
    return body


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
