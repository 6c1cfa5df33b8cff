"""NeMo's `llm-judge` metric: a model reads reference and candidate and gives numbers, found by a pattern.

A reply in which no number is found, a refusal or silence is *unscored*: counted, never 0 and never 1. The
pattern is searched anywhere in the reply and its first group read as a number, as it stands: `(\\d)`
reads 10 as 1, as NVIDIA's does, and `(\\d+)` reads it as ten.

Ours beside NVIDIA's: `response_format`, asked for where the judge's server knows it; `order_seed`, which
draws for each row whether its template sees `candidate_first`, so that no side is favoured by its place;
`right_from`, the score from which on the judge calls an answer right, by which it is measured itself; and
`lowest`, the score of an answer that never came (0 unless given).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flywheel.evaluation.judge import Judge, JudgeSilent
from flywheel.evaluation.metrics.base import BadMetric, Params, lowest, unscored
from flywheel.evaluation.sample import Sample, Verdict
from flywheel.evaluation.templates import BadTemplate, check, context_of, render

MAX_TOKENS = 1024
"""NVIDIA's default for the judge's reply."""
_NOTE_LIMIT = 2000

Parser = Callable[[str], float | None]


class LlmJudge:
    type = "llm-judge"
    version = "1"

    def __init__(self, params: Params, judge: Judge) -> None:
        self._judge = judge
        template = params.required("template")
        if isinstance(template, str):
            template = {"messages": [{"role": "user", "content": template}]}
        if not isinstance(template, Mapping) or not ({"messages", "prompt"} & template.keys()):
            raise BadMetric(f"{params.where}.params.template", "has neither messages nor a prompt")
        check(template, f"{params.where}.params.template")
        self._template = {"max_tokens": MAX_TOKENS, **template}
        scores = params.required("scores")
        if not isinstance(scores, Mapping) or not scores:
            raise BadMetric(f"{params.where}.params.scores", "names no score")
        self._parsers = {
            str(name): _parser(score, f"{params.where}.params.scores.{name}")
            for name, score in scores.items()
        }
        self.score_names = tuple(self._parsers)
        self._format = _object(params, "response_format")
        self._seed = _number_of(params, "order_seed")
        self._right_from = _number_of(params, "right_from")
        self._lowest = _number_of(params, "lowest") or 0.0

    async def score(self, item: Mapping[str, Any], sample: Sample) -> Verdict:
        if sample.missing:  # Nothing is the worst answer, and asking a judge about it would cost money.
            return lowest(self.score_names, self._lowest)
        context, details = _context(item, sample), None
        if self._seed is not None:
            details = {"candidate_first": _drawn(self._seed, item)}
            context |= details
        try:
            question = render(self._template, context, "judge", lenient=True)
        except BadTemplate as error:
            return unscored(self.score_names, bad_reference=str(error))
        kept = self._judge.cached(question)
        try:
            answer = kept if kept is not None else await self._judge.ask(question, self._format)
        except JudgeSilent as silence:
            return unscored(self.score_names, note=f"unscored: {silence}")
        scores = {name: parse(answer) for name, parse in self._parsers.items()}
        if any(value is None for value in scores.values()):
            return Verdict(scores, note=f"unreadable: {answer[:_NOTE_LIMIT]}", details=details)
        if kept is None:
            self._judge.keep(question, answer)
        return Verdict(scores, note=answer[:_NOTE_LIMIT], details=details)

    def right_from(self, score: str, values: Sequence[float]) -> float | None:
        """As configured; else 1 of scores that are 0 or 1."""
        binary = bool(values) and set(values) <= {0.0, 1.0}
        return self._right_from if self._right_from is not None else 1.0 if binary else None


def _drawn(seed: float, item: Mapping[str, Any]) -> bool:
    """The same for a row whenever it is judged, whoever answered it."""
    text = json.dumps([seed, item], sort_keys=True, default=str)
    return bool(hashlib.sha256(text.encode()).digest()[0] & 1)


def _object(params: Params, name: str) -> Mapping[str, Any] | None:
    value = params.values.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise BadMetric(f"{params.where}.params.{name}", f"{value!r} is not an object")
    return value


def _number_of(params: Params, name: str) -> float | None:
    value = params.values.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BadMetric(f"{params.where}.params.{name}", f"{value!r} is not a number")
    return value


def _context(item: Mapping[str, Any], sample: Sample) -> dict[str, Any]:
    """Without the ids of calls, which differ each time and would make every question a new one."""
    return context_of(_without_ids(item), _without_ids(sample.context()))


def _without_ids(holder: Mapping[str, Any]) -> dict[str, Any]:
    """`holder` with the calls in its `response` stripped of their ids."""
    response = holder.get("response")
    choices = response.get("choices") if isinstance(response, dict) else None
    if not isinstance(response, dict) or not isinstance(choices, list):
        return dict(holder)
    return {**holder, "response": {**response, "choices": [_choice_without_ids(c) for c in choices]}}


def _choice_without_ids(choice: Any) -> Any:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict) or not isinstance(message.get("tool_calls"), list):
        return choice
    bare = [
        {key: value for key, value in call.items() if key != "id"} if isinstance(call, dict) else call
        for call in message["tool_calls"]
    ]
    return {**choice, "message": {**message, "tool_calls": bare}}


def _parser(score: Any, where: str) -> Parser:
    parser = score.get("parser") if isinstance(score, Mapping) else None
    kind = parser.get("type", "regex") if isinstance(parser, Mapping) else None
    if isinstance(parser, Mapping) and kind == "regex":
        return _by_pattern(parser.get("pattern"), f"{where}.parser.pattern")
    if isinstance(parser, Mapping) and kind == "json":
        return _by_path(parser.get("json_path"), f"{where}.parser.json_path")
    raise BadMetric(f"{where}.parser", 'needs {"type": "regex", "pattern"} or {"type": "json", "json_path"}')


def _by_pattern(pattern: Any, where: str) -> Parser:
    try:
        compiled = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise BadMetric(where, f"{pattern!r} is no regular expression: {error}") from error

    def parse(answer: str) -> float | None:
        found = compiled.search(answer)
        return _number(found.group(1 if compiled.groups else 0)) if found else None

    return parse


def _by_path(path: Any, where: str) -> Parser:
    """`a.b`: the member b of the member a of the object in the reply, with or without a code fence around
    it.
    """
    if not isinstance(path, str) or not path:
        raise BadMetric(where, "is required")
    keys = path.removeprefix("$.").split(".")

    def parse(answer: str) -> float | None:
        begin, end = answer.find("{"), answer.rfind("}")
        try:
            value = json.loads(answer[begin : end + 1])
        except (ValueError, RecursionError):
            return None
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return _number(value)

    return parse


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
