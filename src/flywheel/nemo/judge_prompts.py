"""What a run's judges are asked, and how their scores are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SIMILARITY_SCALE: Final = (1, 10)
SIMILAR_FROM: Final = 8
"""The similarity from which on the judge calls an answer right, by its own instructions."""
ORDER_SEED: Final = 42
"""Draws for each record whether a judge sees the reference or the candidate first."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a judge is asked, and how its score is read."""

    system: str
    user: str
    pattern: str
    lowest: float
    """The score of an answer that never came."""
    right_from: float
    """The score from which on the judge calls an answer right, by its own instructions."""


# Judge prompts print values without a JSON filter: NeMo parses every template string that uses one.
_TOOL_SYSTEM = """\
You compare the tool calls that an assistant made with the tool calls that were expected of it.

Rate 1 only if all of this holds, else 0:
- the same functions are called, each as often as expected, in any order; no call where none is expected;
- every expected argument is there: identifiers, numbers, dates, codes and options equal in value, free text \
(a query, a message, a reason) equal in meaning, however it is worded;
- there is no argument that changes what the call does.
A missing, empty or unreadable candidate is 0. Judge nothing else: not style, not politeness, not order.

Answer with one JSON object and nothing else: {"reasoning": "<one sentence>", "score": <0 or 1>}"""

_TOOL_USER = """\
CONVERSATION
{{ item.request.messages }}

TOOLS
{{ item.request.tools | default('none') }}

{% set expected %}EXPECTED CALLS
{{ item.response.choices[0].message.tool_calls | default('none', true) }}{% endset %}\
{% set candidate %}CANDIDATE CALLS
{{ sample.response.choices[0].message.tool_calls | default('none', true) }}{% endset %}\
{{ candidate if candidate_first | default(false) else expected }}

{{ expected if candidate_first | default(false) else candidate }}"""

_TEXT_SYSTEM = """\
You compare an assistant's answer with a reference answer to the same conversation.

Score how far the candidate says the same as the reference, from 1 to 10:
10: the same in meaning, at most worded differently
8-9: the same key facts, one minor detail off
6-7: overlaps, but several points are missing or altered
4-5: related, but wrong on most of what matters
2-3: hardly related or plainly wrong
1: unrelated or empty

Answer with one JSON object and nothing else: {"reasoning": "<one sentence>", "score": <1 to 10>}"""

_TEXT_USER = """\
CONVERSATION
{{ item.request.messages }}

{% set reference %}REFERENCE ANSWER
{{ item.response.choices[0].message.content | default('', true) }}{% endset %}\
{% set candidate %}CANDIDATE ANSWER
{{ sample.output_text | default('', true) }}{% endset %}\
{{ candidate if candidate_first | default(false) else reference }}

{{ reference if candidate_first | default(false) else candidate }}"""

# A number that is not on the scale is not found, and leaves the answer unscored.
_RATING_PATTERN = r'"score"\s*:\s*"?([01])(?:\.0+)?"?\s*[,}]'
_SIMILARITY_PATTERN = r'"score"\s*:\s*"?(10(?:\.0+)?|[1-9](?:\.\d+)?)"?\s*[,}]'
TOOL_JUDGE: Final = Prompt(_TOOL_SYSTEM, _TOOL_USER, _RATING_PATTERN, 0, 1)
TEXT_JUDGE: Final = Prompt(_TEXT_SYSTEM, _TEXT_USER, _SIMILARITY_PATTERN, SIMILARITY_SCALE[0], SIMILAR_FROM)
_VERDICT_SCHEMA: Final = {
    "type": "object",
    "properties": {"reasoning": {"type": "string"}, "score": {"type": "number"}},
    "required": ["reasoning", "score"],
    "additionalProperties": False,
}
VERDICT_FORMAT: Final = {
    "type": "json_schema",
    "json_schema": {"name": "verdict", "strict": True, "schema": _VERDICT_SCHEMA},
}
