"""What a process counts and measures, for Prometheus: every metric of the program, by name, in one place.

The one door to the library. A metric is counted where the thing happens; only `flywheel_runs` and
`flywheel_records` are read from the stores, when somebody asks for the page. Labels have few values:
templates of routes, words of closed lists, names of models that the configuration or a deployment gave;
never the id of a run or of a job, and no name of a customer. `docs/metrics.md` is written from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import NamedTuple

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from flywheel.errors import FlywheelError
from flywheel.log import get_logger

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

log = get_logger(__name__)


class Described(NamedTuple):
    """A metric as its page names it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


Reading = tuple[Described, tuple[str, ...], float]
"""A state as it is now: what it is, the values of its labels, the number."""

DESCRIBED: list[Described] = []
_registry = CollectorRegistry()
# Else each counter has a second series beside it, which nobody asked for.
disable_created_metrics()  # type: ignore[no-untyped-call]
_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_LONG_SECONDS = (1.0, 10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 24 * 3600.0)


def _described(name: str, kind: str, labels: tuple[str, ...], meaning: str) -> Described:
    DESCRIBED.append(Described(name, kind, labels, meaning))
    return DESCRIBED[-1]


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    _described(name, "counter", labels, meaning)
    return Counter(name, meaning, labels, registry=_registry)


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    _described(name, "gauge", labels, meaning)
    return Gauge(name, meaning, labels, registry=_registry)


def _histogram(name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
    _described(name, "histogram", labels, meaning)
    return Histogram(name, meaning, labels, registry=_registry, buckets=buckets)


HTTP_REQUESTS = _counter(
    "flywheel_http_requests_total",
    "Requests that were answered. `route` is the template, `unmatched` where there is none.",
    *("app", "method", "route", "status"),
)
HTTP_SECONDS = _histogram(
    "flywheel_http_request_duration_seconds",
    "From a request's head to the last byte of its answer.",
    *("app", "method", "route"),
)

RUNS = _described(
    "flywheel_runs",
    "gauge",
    ("status",),
    "Runs that are pending or running, in the whole store; every process with the API tells the same.",
)
RUNS_FINISHED = _counter(
    "flywheel_runs_finished_total", "Runs that this process brought to an end.", "status"
)
RUN_SECONDS = _histogram(
    "flywheel_run_duration_seconds",
    "From the start of a run to its end.",
    "status",
    buckets=_LONG_SECONDS,
)
STEP_SECONDS = _histogram(
    "flywheel_run_step_duration_seconds",
    "One pass of a step; `candidates` makes many of them while jobs run elsewhere.",
    "step",
)
STEP_FAILURES = _counter(
    "flywheel_run_step_failures_total",
    "Passes of a step, or of one candidate in it, that failed; `cause` is the error's code. Passing "
    "trouble is tried again and counts each time.",
    *("step", "cause"),
)
WAKEUP_SECONDS = _histogram(
    "flywheel_run_wakeup_delay_seconds",
    "From the moment that a run was due to the moment that a worker took it.",
)

TRAININGS_WAITING = _gauge("flywheel_trainings_waiting", "Customization jobs that wait for their turn.")
TRAININGS_RUNNING = _gauge("flywheel_trainings_running", "Customization jobs that are being worked on.")
TRAININGS = _counter("flywheel_trainings_finished_total", "Customization jobs that ended.", "status")
TRAINING_SECONDS = _histogram(
    "flywheel_training_duration_seconds",
    "A customization job from the moment it was taken up to its end, downloads and upload included.",
    "status",
    buckets=_LONG_SECONDS,
)

EVALUATIONS_RUNNING = _gauge("flywheel_evaluations_running", "Evaluation jobs that ask or score.")
EVALUATIONS = _counter("flywheel_evaluations_finished_total", "Evaluation jobs that ended.", "status")
EVALUATION_SECONDS = _histogram(
    "flywheel_evaluation_duration_seconds",
    "An evaluation job from the moment it began to work to its end.",
    "status",
    buckets=_LONG_SECONDS,
)
SAMPLES = _counter(
    "flywheel_evaluation_samples_total",
    "Samples that were scored; `failure` is the class of what is wrong with the answer, or `none`.",
    "failure",
)

DEPLOYMENTS = _gauge("flywheel_deployments", "Deployments that are wanted.")
DEPLOYMENTS_READY = _gauge("flywheel_deployments_ready", "Deployments whose engine answers.")

MODEL_REQUESTS = _counter(
    "flywheel_model_requests_total",
    "Requests that the model proxy handed to an engine; `model` is the base model, `adapter` (yes, no) says "
    "whether one of its adapters was asked, `status` is 0 where the engine gave no answer.",
    *("model", "adapter", "status"),
)
MODEL_SECONDS = _histogram(
    "flywheel_model_request_duration_seconds",
    "From a request's arrival at the model proxy to the last byte of the engine's answer.",
    *("model", "adapter"),
)
MODEL_TOKENS = _counter(
    "flywheel_model_tokens_total",
    "Tokens as the engines count them, `kind` prompt or completion. A stream counts where it ends with them.",
    *("model", "adapter", "kind"),
)

RECORDS = _described(
    "flywheel_records",
    "gauge",
    (),
    "Records that are kept, in the whole store; counted at most once a minute.",
)

ProcessCollector(registry=_registry)


@contextmanager
def measured(histogram: Histogram) -> Iterator[None]:
    """Observe the seconds that the body takes, however it ends."""
    began = perf_counter()
    try:
        yield
    finally:
        histogram.observe(perf_counter() - began)


def page(states: Iterable[Callable[[], Iterable[Reading]]] = ()) -> bytes:
    """All metrics of this process as Prometheus reads them, with the `states` as they are now."""
    now = CollectorRegistry()
    now.register(_States(states))
    return generate_latest(_registry) + generate_latest(now)


class _States(Collector):
    """Numbers that are looked up when they are asked for; what cannot be looked up is left out."""

    def __init__(self, states: Iterable[Callable[[], Iterable[Reading]]]) -> None:
        self._states = tuple(states)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}
        for state in self._states:
            try:
                readings = list(state())
            except FlywheelError as error:
                log.debug("a state could not be read for the metrics", extra={"error": str(error)})
                continue
            for what, labels, value in readings:
                family = families.setdefault(
                    what.name, GaugeMetricFamily(what.name, what.meaning, labels=what.labels)
                )
                family.add_metric(labels, value)
        yield from families.values()
