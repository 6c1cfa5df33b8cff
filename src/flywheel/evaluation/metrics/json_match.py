"""Ours: answers in JSON, compared as JSON by the request's own schema (`values`), not as text.

Scored are the requests that ask for JSON: `response_format` of type `json_schema` or `json_object`; the
others have no value. An answer that is no JSON is wrong with the class `invalid_json`, a code fence around it
included, since whoever asked for JSON gives it to a parser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flywheel.evaluation.calls import BadReference
from flywheel.evaluation.failures import Failure, unfinished
from flywheel.evaluation.metrics.base import Params, lowest, unscored
from flywheel.evaluation.metrics.rules import read_rules
from flywheel.evaluation.metrics.texts import Texts
from flywheel.evaluation.sample import Sample, Verdict
from flywheel.evaluation.templates import BadTemplate, check, context_of, render
from flywheel.evaluation.values import Schema, gravest, value_differences

_FORMATS = ("json_schema", "json_object")
_ALWAYS = {"type": "json_object"}


class JsonMatch:
    """`response_format` is a template of the request's own; without it every sample is taken for JSON."""

    type = "json-match"
    version = "1"
    score_names = ("json_match", "json_valid")

    def __init__(self, params: Params) -> None:
        self._texts = Texts(params)
        self._format = params.values.get("response_format", _ALWAYS)
        check(self._format, f"{params.where}.params.response_format")
        self._rules = read_rules(params.values.get("rules") or {}, f"{params.where}.params.rules")

    async def score(self, item: Mapping[str, Any], sample: Sample) -> Verdict:
        try:
            wanted = render(self._format, context_of(item, sample.context()), "response_format", lenient=True)
        except BadTemplate as error:
            return unscored(self.score_names, bad_reference=str(error))
        if not isinstance(wanted, Mapping) or wanted.get("type") not in _FORMATS:
            return unscored(self.score_names)
        try:
            references = [_reference(text) for text in self._texts.references(item, sample)]
            answer = self._texts.candidate(item, sample)
        except BadReference as error:
            return unscored(self.score_names, bad_reference=str(error))
        if sample.missing:
            return lowest(self.score_names)
        try:
            value = read_json(answer)
        except ValueError as error:
            cut = unfinished(sample.message, sample.finish_reason)
            scores = dict.fromkeys(self.score_names, 0.0)
            return Verdict(scores, cut or Failure.INVALID_JSON, classified=True, note=f"no JSON: {error}")
        schema = _schema(wanted)
        each = [value_differences(reference, value, schema, self._rules) for reference in references]
        nearest = min(each, key=len)
        return Verdict(
            {"json_match": float(not nearest), "json_valid": 1.0},
            gravest(nearest),
            classified=True,
            note="; ".join(f"{d.path or 'the whole'}: {d.failure}" for d in nearest[:10]) or None,
        )


def read_json(text: str) -> Any:
    """The value, by RFC 8259 (NaN is none). Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nests without end") from error


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _reference(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        raise BadReference("the expected answer is no JSON") from error


def _schema(wanted: Mapping[str, Any]) -> Schema:
    """OpenAI's `json_schema {name, schema}`; some servers take the schema in its place."""
    holder = wanted.get("json_schema")
    schema = holder.get("schema", holder) if isinstance(holder, Mapping) else None
    return schema if isinstance(schema, Mapping) else {}
