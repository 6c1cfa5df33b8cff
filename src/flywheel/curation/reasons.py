"""Why a record is in none of the parts of a data set: a closed list, every entry explained."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """`meaning` is the sentence that a report shows."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        reason = str.__new__(cls, value)
        reason._value_ = value
        reason.meaning = meaning
        return reason

    MALFORMED = "malformed", "the bodies do not have the form of a chat completion"
    UNSUPPORTED_CONTENT = "unsupported_content", "a message holds an image, audio or a file"
    NO_CHOICES = "no_choices", "the response has no answer, or is an error"
    TRUNCATED = "truncated", "the answer was cut off by the token limit"
    FILTERED = "filtered", "the answer was withheld by a content filter"
    REFUSED = "refused", "the model refused to answer"
    EMPTY_ANSWER = "empty_answer", "the answer has neither text nor a call"
    BAD_CALL = "bad_call", "a call has no name, or is no function call"
    ARGUMENTS_NOT_JSON = "arguments_not_json", "the arguments of a call are not a JSON object"
    TOOL_NOT_OFFERED = "tool_not_offered", "a call names a tool that the request did not offer"
    SCHEMA_VIOLATION = "schema_violation", "the arguments of a call break the schema of the tool"
    OVER_LIMIT = "over_limit", "older than the newest records that the limit lets through"
    DUPLICATE = "duplicate", "the same request with the same answer is kept already"
    CONFLICTING_ANSWER = "conflicting_answer", "the same request got another answer, which won by the policy"
    ALSO_IN_HOLDOUT = "also_in_holdout", "the same request occurs in a conversation of the holdout"
    NEAR_EVALUATION = "near_evaluation", "says nearly the same as a record of the evaluation"
    HOLDOUT_RESERVE = "holdout_reserve", "in the holdout, but more than eval_size asks for; never trained on"
