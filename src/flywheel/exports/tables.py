"""The columns of what is exported, and documents made into rows of them.

A row is flat: a text, a number, a truth value or nothing in each cell. What is nested by nature (messages,
tool calls) is in columns of the type `json`: values in JSON lines, JSON text in CSV and Parquet. Columns are
always all there and always in this order, whatever a run holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Document = Mapping[str, Any]
Row = dict[str, Any]
Type = Literal["text", "integer", "number", "truth", "json"]

NO_CALL = "no call"


@dataclass(frozen=True, slots=True)
class Column:
    """One column, with what it means for the page of documentation."""

    name: str
    type: Type
    meaning: str


_RUN = (
    Column("run_id", "text", "the run"),
    Column("client_id", "text", "client of the workload"),
    Column("workload_id", "text", "the workload"),
    Column("candidate", "text", "the student; `teacher` where the teacher was asked again"),
    Column("eval_type", "text", "`base-eval`, `icl-eval`, `customized-eval` or `teacher-eval`"),
    Column("model", "text", "the model that was asked: the base model, or the adapter"),
)

SCORES = (
    *_RUN,
    Column("metric", "text", "name of the score"),
    Column("value", "number", "the score, on the metric's own scale"),
    Column("n", "integer", "samples behind it"),
    Column("low", "number", "lower end of its confidence interval"),
    Column("high", "number", "upper end"),
    Column("level", "number", "level of the interval, 0.95"),
    Column("method", "text", "how the interval was made"),
    Column("scorer", "text", "judge or matcher, where the score is no plain comparison"),
    Column("decisive", "truth", "whether the run is decided by this metric"),
    Column("verdict", "text", "what the run says of this evaluation: promote, not yet, no; and why"),
    Column("latency_mean_ms", "number", "mean time to the whole answer"),
    Column("latency_p50_ms", "number", "median of it"),
    Column("latency_p95_ms", "number", "95th percentile of it"),
    Column("prompt_tokens", "integer", "tokens of all prompts of the evaluation"),
    Column("completion_tokens", "integer", "tokens of all answers"),
    Column("cost_per_1000", "number", "price of 1,000 requests, by the price table"),
    Column("dataset", "text", "the data set that was asked"),
    Column("dataset_sha256", "text", "digest of its files"),
    Column("finished_at", "text", "when the evaluation ended, ISO 8601 in UTC"),
)
"""One row for each score of each finished evaluation."""

SAMPLES = (
    *_RUN,
    Column("index", "integer", "place of the record in the data set, from 0"),
    Column(
        "record", "text", "name of the record; joins the samples of several evaluations, and the data set"
    ),
    Column("conversation", "text", "records of one conversation have the same"),
    Column("tool", "text", "the tools that the reference calls, or `no call`"),
    Column("question", "text", "the last message of the user"),
    Column("reference", "json", "the teacher's message"),
    Column("answer", "json", "the message of the model that was asked; null where none came"),
    Column("metric", "text", "the score that the run is decided by"),
    Column("score", "number", "its value for this sample, from 0 to 1"),
    Column("right", "truth", "whether there is no failure"),
    Column("failure", "text", "class of the failure; null where the answer is right"),
    Column("error", "text", "what went wrong, where no answer came"),
    Column("bad_reference", "text", "why the reference cannot be one; such a sample counts for nothing"),
    Column("latency_ms", "number", "time to the whole answer"),
    Column("first_token_ms", "number", "time to its first token, where it was streamed"),
    Column("prompt_tokens", "integer", "tokens of the prompt"),
    Column("completion_tokens", "integer", "tokens of the answer"),
    Column("scores", "json", "every score of the sample, by `metric.score`"),
)
"""One row for each sample of each finished evaluation."""

DATASET = (
    Column("dataset", "text", "the data set"),
    Column("file", "text", "path of the file in it"),
    Column("row", "integer", "line of the file, from 0"),
    Column("record", "text", "name of the record, in evaluation data"),
    Column("conversation", "text", "records of one conversation have the same, in evaluation data"),
    Column("timestamp", "number", "seconds since the epoch, in evaluation data"),
    Column("client_id", "text", "client of the workload, in evaluation data"),
    Column("workload_id", "text", "the workload, in evaluation data"),
    Column("tool", "text", "the tools that the answer calls, or `no call`"),
    Column("question", "text", "the last message of the user"),
    Column("messages", "json", "what was asked: every message before the answer"),
    Column("tools", "json", "the tools that were offered"),
    Column("answer", "json", "the teacher's message"),
    Column("other", "json", "everything else that the line holds, with its keys"),
)
"""One row for each line of a data set's files."""


def score_rows(job: Document) -> Iterator[Row]:
    """Rows of SCORES from a run's document, `GET /api/jobs/{id}`."""
    decision = job.get("decision") or {}
    cost = decision.get("cost") or {}
    datasets = {each.get("kind"): each for each in job.get("datasets") or ()}
    for name, system, evaluation in evaluations(job):
        asked = datasets.get("icl" if evaluation["eval_type"] == "icl-eval" else "eval") or {}
        latency, usage = evaluation.get("latency_ms") or {}, evaluation.get("usage") or {}
        about = {
            **_about(job, name, evaluation),
            "verdict": verdict_of(decision, system),
            "latency_mean_ms": latency.get("mean"),
            "latency_p50_ms": latency.get("p50"),
            "latency_p95_ms": latency.get("p95"),
            "prompt_tokens": _whole(usage.get("prompt_tokens")),
            "completion_tokens": _whole(usage.get("completion_tokens")),
            "cost_per_1000": cost.get("teacher")
            if system == "teacher"
            else (cost.get("systems") or {}).get(system),
            "dataset": asked.get("name"),
            "dataset_sha256": asked.get("sha256"),
            "finished_at": f"{at}Z" if (at := evaluation.get("finished_at")) else None,
        }
        for metric, detail in (evaluation.get("score_details") or {}).items():
            interval = detail.get("confidence_interval") or {}
            yield about | {
                "metric": metric,
                "value": detail["value"],
                "n": detail.get("n"),
                "low": interval.get("low"),
                "high": interval.get("high"),
                "level": interval.get("level"),
                "method": interval.get("method"),
                "scorer": detail.get("scorer"),
                "decisive": metric == decision.get("metric"),
            }


def evaluations(job: Document) -> Iterator[tuple[str, str, Document]]:
    """The finished evaluations: the candidate, the system's name in the decision's table, the evaluation."""
    for nim in job.get("nims") or ():
        for each in nim.get("evaluations") or ():
            if each.get("status") == "completed":
                yield nim["model_name"], f"{nim['model_name']} {each['eval_type']}", each
    teacher = job.get("teacher")
    if teacher and teacher.get("status") == "completed":
        yield "teacher", "teacher", teacher


def verdict_of(decision: Document, system: str) -> str | None:
    """In words; None where the run gives none of this system."""
    given = (each.get("text") for each in decision.get("verdicts") or () if each.get("candidate") == system)
    return next(given, None)


def _about(job: Document, candidate: str, evaluation: Document) -> Row:
    return {
        "run_id": job["id"],
        "client_id": job["client_id"],
        "workload_id": job["workload_id"],
        "candidate": candidate,
        "eval_type": evaluation["eval_type"],
        "model": evaluation.get("model"),
    }


@dataclass(frozen=True, slots=True)
class Deciding:
    """Which score of a sample decides: `score` of `metric`, on `scale`; `name` is what the run calls it."""

    name: str
    metric: str
    score: str
    scale: tuple[float, float]


def sample_rows(
    job: Document, candidate: str, evaluation: Document, samples: Iterable[Document], deciding: Deciding
) -> Iterator[Row]:
    """Rows of SAMPLES from one evaluation's samples, as its `results.json` has them."""
    about = _about(job, candidate, evaluation)
    for place, sample in enumerate(samples):
        item = _mapping(sample.get("item"))
        response = _mapping(_mapping(sample.get("sample")).get("response"))
        scores = {
            f"{metric}.{name}": _mapping(found).get("value")
            for metric, each in _mapping(sample.get("metrics")).items()
            for name, found in _mapping(_mapping(each).get("scores")).items()
        }
        reference, usage = _first_message(item.get("response")), _mapping(response.get("usage"))
        failure, index, record = sample.get("failure"), sample.get("index"), item.get("name")
        yield about | {
            "index": place if index is None else index,
            "record": record,
            "conversation": item.get("conversation"),
            "tool": called(reference),
            "question": question(_mapping(item.get("request")).get("messages")),
            "reference": reference,
            "answer": _first_message(response),
            "metric": deciding.name,
            "score": _scaled(scores.get(f"{deciding.metric}.{deciding.score}"), deciding.scale),
            "right": failure is None and sample.get("bad_reference") is None,
            "failure": failure,
            "error": sample.get("error"),
            "bad_reference": sample.get("bad_reference"),
            "latency_ms": sample.get("latency_ms"),
            "first_token_ms": sample.get("first_token_ms"),
            "prompt_tokens": _whole(usage.get("prompt_tokens")),
            "completion_tokens": _whole(usage.get("completion_tokens")),
            "scores": scores,
        }


def dataset_rows(dataset: str, file: str, lines: Iterable[Document]) -> Iterator[Row]:
    """Rows of DATASET from the lines of one file: evaluation rows, training rows, or any others."""
    for place, line in enumerate(lines):
        request = _mapping(line.get("request"))
        messages = request.get("messages", line.get("messages"))
        answer = _first_message(line.get("response"))
        if answer is None and _is_answered(messages):
            messages, answer = messages[:-1], messages[-1]
        told = {
            "name",
            "conversation",
            "timestamp",
            "client_id",
            "workload_id",
            "request",
            "messages",
            "tools",
        }
        other = {key: value for key, value in line.items() if key not in told}
        if rest := {key: value for key, value in request.items() if key not in ("messages", "tools")}:
            other["request"] = rest
        yield {
            "dataset": dataset,
            "file": file,
            "row": place,
            "record": line.get("name"),
            "conversation": line.get("conversation"),
            "timestamp": line.get("timestamp"),
            "client_id": line.get("client_id"),
            "workload_id": line.get("workload_id"),
            "tool": called(answer) if answer is not None else None,
            "question": question(messages),
            "messages": messages,
            "tools": request.get("tools", line.get("tools")),
            "answer": answer,
            "other": other or None,
        }


def called(message: Document | None) -> str:
    """The tools that a message calls, each once, in the order of the alphabet; `no call` for none."""
    calls = (message or {}).get("tool_calls")
    names = {
        str(name)
        for call in (calls if isinstance(calls, list) else ())
        if (name := _mapping(_mapping(call).get("function")).get("name"))
    }
    return ", ".join(sorted(names)) or NO_CALL


def question(messages: object) -> str | None:
    """The text of the user's last message; None where no user said anything."""
    for message in reversed(messages if isinstance(messages, list) else []):
        if _mapping(message).get("role") == "user":
            content = message.get("content")
            parts: Sequence[Any] = content if isinstance(content, list) else [content]
            texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
            return "\n".join(text for text in texts if isinstance(text, str))
    return None


def _is_answered(messages: object) -> bool:
    return isinstance(messages, list) and bool(messages) and _mapping(messages[-1]).get("role") == "assistant"


def _first_message(response: object) -> Document | None:
    choices = _mapping(response).get("choices")
    message = _mapping(choices[0]).get("message") if isinstance(choices, list) and choices else None
    return message if isinstance(message, Mapping) else None


def _scaled(value: object, scale: tuple[float, float]) -> float | None:
    least, most = scale
    if not isinstance(value, int | float) or not least <= value <= most:
        return None
    return float((value - least) / (most - least))


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
