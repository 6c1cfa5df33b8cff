"""The samples of a finished evaluation, as its evaluator lets one download them: read once, then kept in a
file without a name, from which one is read at a time. 10,000 of them are some 50 MB, too much to hold.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import weakref
import zipfile
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flywheel.errors import FlywheelError
from flywheel.nemo.evaluation import EvaluationClient

Entry = dict[str, Any]
"""One sample of `results.json`."""

_READ_TASKS = msgspec.json.Decoder(dict[str, list[msgspec.Raw]])


class NoSamples(FlywheelError):
    """The evaluator's results hold no samples that can be compared."""

    status = 502
    code = "no_samples"

    def __init__(self, job_id: str, problem: str) -> None:
        self.job_id, self.problem = job_id, problem
        super().__init__(f"the samples of evaluation job {job_id} cannot be compared: {problem}")


def downloaded(job_id: str, evaluator: EvaluationClient) -> list[bytes]:
    """Every sample of a job as JSON, one at least. Raises NoSamples, and what the evaluator's client does."""
    try:
        with zipfile.ZipFile(io.BytesIO(evaluator.download_results(job_id))) as archive:
            name = next(n for n in archive.namelist() if n.endswith("results.json"))
            text = archive.read(name)
        found = _split(text)
    except (zipfile.BadZipFile, StopIteration, ValueError, RecursionError) as error:
        raise NoSamples(job_id, f"no results.json in what it gave ({error or 'missing'})") from error
    if not found:
        raise NoSamples(job_id, "there are none")
    return found


class _Named(msgspec.Struct):
    name: Any = None


class _Brief(msgspec.Struct):
    """What is told of a sample beside its record: little of it, and quickly read."""

    item: _Named = msgspec.field(default_factory=_Named)
    metrics: dict[str, Any] = {}
    failure: Any = None
    bad_reference: Any = None


_READ_BRIEF = msgspec.json.Decoder(_Brief)


def brief_entry(text: bytes) -> Entry:
    """Of one sample the name of its record, its scores and its failure. Raises ValueError."""
    try:
        found = _READ_BRIEF.decode(text)
    except ValueError:  # As below; or it is odd.
        return read_entry(text)
    return {
        "item": {"name": found.item.name},
        "metrics": found.metrics,
        "failure": found.failure,
        "bad_reference": found.bad_reference,
    }


def read_entry(text: bytes) -> Entry:
    """One sample. Raises ValueError where it is no JSON object."""
    try:
        entry = msgspec.json.decode(text)
    except ValueError:  # Half a surrogate pair or a NaN, which others may send.
        entry = json.loads(text)
    if not isinstance(entry, dict):
        raise ValueError(f"a sample is a {type(entry).__name__}, not an object")  # noqa: TRY004 - as other bad JSON
    return entry


def message_of(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """The assistant's message of a completion; {} where there is none."""
    choice = choice_of(response)
    text = choice.get("text")
    return mapping(choice.get("message")) or ({} if text is None else {"role": "assistant", "content": text})


def choice_of(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice of a completion; {} where there is none."""
    choices = response.get("choices")
    return mapping(choices[0]) if isinstance(choices, list) and choices else {}


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is an object, else {}: results of others hold what they like."""
    return value if isinstance(value, Mapping) else {}


def _split(text: bytes) -> list[bytes]:
    """The samples of all tasks, each as it stands there; nothing is built of them yet."""
    try:
        tasks = _READ_TASKS.decode(text)
    except ValueError:
        return [json.dumps(sample).encode() for samples in json.loads(text).values() for sample in samples]
    return [bytes(sample) for samples in tasks.values() for sample in samples]


class Spool:
    """Texts in a temporary file that nobody else sees and that is gone when this object is; safe to read from
    any thread once it is written."""

    def __init__(self, folder: Path | None) -> None:
        self._file, path = tempfile.mkstemp(prefix="samples-", dir=folder)
        Path(path).unlink()
        weakref.finalize(self, os.close, self._file)
        self._ends = array("Q", [0])

    @property
    def size(self) -> int:
        """Bytes."""
        return self._ends[-1]

    def extend(self, texts: Sequence[bytes]) -> None:
        """Write texts, which are numbered from 0 on. Raises OSError where there is no space."""
        view = memoryview(b"".join(texts))
        while view:
            view = view[os.write(self._file, view) :]
        for text in texts:
            self._ends.append(self._ends[-1] + len(text))

    def read(self, number: int) -> bytes:
        begin, end = self._ends[number], self._ends[number + 1]
        return os.pread(self._file, end - begin, begin)
