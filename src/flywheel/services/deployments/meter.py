"""What one request through the model proxy adds to the metrics, read off the answer while it passes."""

from __future__ import annotations

import re
from time import perf_counter
from typing import Final

from flywheel.services.deployments.backends import Backend
from flywheel.telemetry import metrics

_TAIL: Final = 4096
"""Bytes of an answer's end that are looked at: the usage is the last or last but few things in it."""
_USAGE: Final = {
    "prompt": re.compile(rb'"prompt_tokens"\s*:\s*(\d{1,9})'),
    "completion": re.compile(rb'"completion_tokens"\s*:\s*(\d{1,9})'),
}
# In the text of an answer these words would have backslashes before their quotation marks.


class Meter:
    """One request, from its arrival until `over`; `asked` is the name that it asked for."""

    def __init__(self, asked: str) -> None:
        self._asked = asked
        self._began = perf_counter()
        self._labels: tuple[str, str] | None = None
        self._status = 0
        self._tail = b""

    def sent(self, backend: Backend) -> None:
        """It goes to this engine."""
        self._labels = (backend.model, "no" if self._asked == backend.model else "yes")

    def answered(self, status: int) -> None:
        self._status = status

    def saw(self, chunk: bytes) -> None:
        self._tail = (self._tail + chunk)[-_TAIL:] if len(chunk) < _TAIL else chunk[-_TAIL:]

    def over(self) -> None:
        """The last byte has gone, or there will be none. What never went to an engine does not count here."""
        if self._labels is None:
            return
        metrics.MODEL_REQUESTS.labels(*self._labels, self._status).inc()
        metrics.MODEL_SECONDS.labels(*self._labels).observe(perf_counter() - self._began)
        for kind, pattern in _USAGE.items():
            if found := pattern.findall(self._tail):
                metrics.MODEL_TOKENS.labels(*self._labels, kind).inc(int(found[-1]))
