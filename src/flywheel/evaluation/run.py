"""Examples in, scored samples out: many at once, each handed over as soon as it is known.

It keeps no state: what is already known is left out by the caller, who also stores what comes. A sample
that fails is a sample; the run ends early only when the model has answered nothing at all, with the first
error in full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flywheel.errors import ChatError, FlywheelError
from flywheel.evaluation.asking import Send, failed_sample
from flywheel.evaluation.metrics import Metric
from flywheel.evaluation.sample import Example, Sample, Scored, Verdict
from flywheel.evaluation.throttle import Throttle
from flywheel.patience import Sleep, ask

DEAD_AFTER = 5
"""Failures with no answer before, after which a model counts as dead."""

Clock = Callable[[], float]


class ModelSilent(FlywheelError):
    """The model answered none of the first `asked` requests."""

    code = "model_silent"

    def __init__(self, asked: int, first_error: str) -> None:
        self.asked, self.first_error = asked, first_error
        super().__init__(f"none of {asked} requests was answered; the first error: {first_error}")


async def evaluate(
    examples: Sequence[Example],
    metrics: Mapping[str, Metric],
    on_scored: Callable[[Scored], None],
    send: Send | None,
    *,
    throttle: Throttle,
    retries: int = 3,
    sleep: Sleep = asyncio.sleep,
    alive: bool = False,
) -> None:
    """Ask and score every example; `on_scored` is called once for each, in the order in which they are done.

    `alive` says that the model has answered before, so failures now are not taken for a dead model. Raises
    ModelSilent.
    """
    todo = iter(examples)
    watch = _Watch(min(DEAD_AFTER, len(examples)), alive)
    workers = [
        _worker(todo, metrics, on_scored, watch, lambda e: _answer(e, send, throttle, retries, sleep))
        for _ in range(min(2 * throttle.cap, len(examples)))  # Twice, since scoring waits for judges.
    ]
    try:
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker)
    except (
        BaseExceptionGroup
    ) as failures:  # A task group wraps whatever ended it; callers expect the thing itself.
        raise _first(failures) from None


async def _worker(
    todo: Iterator[Example],
    metrics: Mapping[str, Metric],
    on_scored: Callable[[Scored], None],
    watch: _Watch,
    answer: Callable[[Example], Awaitable[Sample]],
) -> None:
    for example in todo:
        sample = Sample() if example.bad_reference is not None else await answer(example)
        on_scored(await score(example, sample, metrics))
        if example.bad_reference is None:
            watch.see(sample)


async def score(example: Example, sample: Sample, metrics: Mapping[str, Metric]) -> Scored:
    """What every metric says of the sample. A bad reference takes the values of all of them away."""
    if example.bad_reference is not None:
        return Scored(example, sample)
    verdicts = {name: await metric.score(example.item, sample) for name, metric in metrics.items()}
    if any(verdict.bad_reference is not None for verdict in verdicts.values()):
        verdicts = {name: _emptied(verdict) for name, verdict in verdicts.items()}
    return Scored(example, sample, verdicts)


def _emptied(verdict: Verdict) -> Verdict:
    return replace(
        verdict, scores=dict.fromkeys(verdict.scores), failure=None, classified=False, details=None
    )


async def _answer(
    example: Example, send: Send | None, throttle: Throttle, retries: int, sleep: Sleep
) -> Sample:
    if send is None or example.request is None:
        return Sample(response=_recorded(example.item))
    async with throttle.slot():
        try:
            result = await ask(
                send, example.request, retries=retries, sleep=sleep, pushed_back=throttle.pushed_back
            )
        except ChatError as error:
            return failed_sample(error)
    return Sample(response=result.response, latency_s=result.latency_s, first_token_s=result.first_token_s)


def _recorded(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    response = item.get("response")
    return response if isinstance(response, dict) else None


class _Watch:
    """Sees whether the model answers at all."""

    def __init__(self, limit: int, alive: bool) -> None:
        self._limit, self._alive = limit, alive
        self._failed = 0
        self._first_error = ""

    def see(self, sample: Sample) -> None:
        if not sample.missing:
            self._alive = True
        elif not self._alive:
            self._failed += 1
            self._first_error = self._first_error or sample.error or "unknown"
            if self._failed >= self._limit:
                raise ModelSilent(self._failed, self._first_error)


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
