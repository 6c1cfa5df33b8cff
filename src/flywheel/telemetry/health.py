"""Whether what a process needs answers: findings, which `flywheel doctor` shows and `/health/ready` sums up.

Each backend looks at itself (`check`); here is only how findings look, and how often and how long one looks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from flywheel.errors import FlywheelError
from flywheel.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, whether it is well, what was seen, and how to mend it if not.

    What `blocks` makes a process unfit for work; what does not is advice.
    """

    check: str
    ok: bool
    seen: str
    mend: str = ""
    blocks: bool = True

    @property
    def wrong(self) -> bool:
        """Whether work is not possible."""
        return self.blocks and not self.ok


Check = Callable[[], Sequence[Finding]]
"""Looks at one thing. May raise a FlywheelError, which is as good as a finding."""


class Readiness:
    """What `checks` find, looked at again after `keep_s` seconds at the earliest.

    They run side by side. One that takes longer than `timeout_s` seconds has failed for now; it is not begun
    again before it has ended. What changes is logged, unless `tell` is off.
    """

    def __init__(
        self, checks: Mapping[str, Check], *, timeout_s: float = 3.0, keep_s: float = 5.0, tell: bool = True
    ) -> None:
        self._checks = dict(checks)
        self._timeout_s, self._keep_s, self._tells = timeout_s, keep_s, tell
        self._pool = ThreadPoolExecutor(max(1, len(checks)), thread_name_prefix="check")
        self._running: dict[str, Future[Sequence[Finding]]] = {}
        self._found: list[Finding] = []
        self._until = 0.0
        self._was: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def findings(self) -> list[Finding]:
        """Every finding, in the order of the checks."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._found = self._look()
                self._until = time.monotonic() + self._keep_s
                if self._tells:
                    self._tell()
            return list(self._found)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> list[Finding]:
        for name, check in self._checks.items():
            if name not in self._running:
                self._running[name] = self._pool.submit(check)
        end = time.monotonic() + self._timeout_s
        found: list[Finding] = []
        for name in self._checks:
            found += self._result(name, max(0.0, end - time.monotonic()))
        return found

    def _result(self, name: str, wait_s: float) -> Sequence[Finding]:
        if wait([self._running[name]], wait_s).not_done:
            return [
                Finding(name, False, f"no answer in {self._timeout_s:g} s", "see whether it is overloaded")
            ]
        try:
            found = self._running.pop(name).result()
        except FlywheelError as error:
            found = [Finding(name, False, str(error))]
        except Exception as error:  # A check that breaks must not hide what the others found.
            log.exception("a check broke", extra={"check": name})
            found = [
                Finding(name, False, f"unforeseen {type(error).__name__}; the server's log has the details")
            ]
        return found

    def _tell(self) -> None:
        """Log what changed."""
        wrong = {finding.check: finding for finding in self._found if finding.wrong}
        for name in wrong.keys() - self._was:
            log.warning("not ready", extra={"check": name, "error": wrong[name].seen})
        for name in self._was - wrong.keys():
            log.info("ready again", extra={"check": name})
        self._was = frozenset(wrong)
