"""One job from its plan to its result: fetch the rows, ask what is missing, add up.

What survives a crash is in the job's folder: the rows as they were downloaded and the samples scored so
far. A job that is run again reads both and asks only for the rest, plus what failed because the machinery
did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from flywheel.chat import ChatClient
from flywheel.embeddings import EmbeddingClient
from flywheel.errors import FlywheelError
from flywheel.evaluation.agreement import judge_agreement
from flywheel.evaluation.asking import Send
from flywheel.evaluation.examples import make_examples
from flywheel.evaluation.judge import Judge, JudgeCache
from flywheel.evaluation.metrics import Embed
from flywheel.evaluation.results import facts, record_of, task_result
from flywheel.evaluation.run import evaluate
from flywheel.evaluation.sample import Example, Scored
from flywheel.evaluation.throttle import Throttle
from flywheel.hub import Hub, HubError
from flywheel.log import get_logger
from flywheel.nemo.datastore import hub_endpoint
from flywheel.patience import Sleep
from flywheel.services.evaluator.datasets import BadDataset, HubAt, Row, fetch_rows
from flywheel.services.evaluator.plan import Endpoint, Plan, Source, TaskPlan, make_plan, proxy_url
from flywheel.services.evaluator.proxied import Proxied
from flywheel.services.evaluator.samples import Record, Samples
from flywheel.telemetry import metrics

_HUB_TRIES: Final = 60
"""How often, once a second, a datastore that does not answer is asked for the rows."""

log = get_logger(__name__)


class TooManyFailures(FlywheelError):
    """More of the samples failed because the machinery did than a score can bear."""

    code = "too_many_failures"

    def __init__(self, failed: int, total: int, limit: float, first_error: str) -> None:
        self.failed, self.total, self.limit, self.first_error = failed, total, limit, first_error
        super().__init__(
            f"{failed} of {total} samples failed for reasons of infrastructure, more than {limit:.0%}, so "
            f"there is no score; the first error: {first_error}"
        )


@dataclass(slots=True)
class Progress:
    """How far a job is; grows only."""

    total: int = 0
    done: int = 0
    tasks: dict[str, str] = field(default_factory=dict)

    @property
    def percent(self) -> float:
        return 100.0 * self.done / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What jobs need from outside, handed in once."""

    datastore_url: str
    nim_url: str
    hub_at: HubAt
    judge_cache: JudgeCache
    max_infrastructure_failures: float
    """Share of the samples."""
    transport: httpx.AsyncBaseTransport | None = None
    sleep: Sleep = asyncio.sleep


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a result says: its tasks, and what was measured over all of them."""

    tasks: dict[str, Any]
    custom_fields: dict[str, Any]


class JobRun:
    """One attempt at one job.

    `planned` hears when it is known how many samples there are; an attempt after a crash gets that number as
    `earlier`, which also tells it that it is one.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        target: Mapping[str, Any],
        folder: Path,
        around: Surroundings,
        planned: Callable[[Progress], None] = lambda progress: None,
        earlier: int | None = None,
    ) -> None:
        self.samples = Samples(folder / "samples.jsonl")
        self._config, self._target, self._folder = config, target, folder
        self._around = around
        self._planned = planned
        self._resumed = earlier is not None
        self.progress = Progress(total=earlier or 0, done=len(self.samples.records()) if earlier else 0)
        self._failed: dict[tuple[str, str], str] = {}
        self._proxied = Proxied()

    async def run(self) -> Outcome:
        """Everything; raises a FlywheelError that says why there is no result."""
        async with AsyncExitStack() as stack:
            clients: list[ChatClient] = []
            stack.push_async_callback(_close, clients)
            nim_url = self._around.nim_url
            judges, embedders = self._judges(clients), self._embedders(clients)
            plan = make_plan(self._config, self._target, nim_url, judges, embedders)
            client = self._client(plan, clients)
            await self._look_at_proxy(clients)
            examples = {task.name: await self._examples(task, plan) for task in plan.tasks}
            known = self._known(examples)
            self.progress.tasks = {task.name: "pending" for task in plan.tasks}
            self.progress.done = len(known)
            self.progress.total = sum(map(len, examples.values()))
            self._planned(self.progress)
            for task in plan.tasks:
                self.progress.tasks[task.name] = "running"
                await self._task(task, plan, client, examples[task.name], known)
                self.progress.tasks[task.name] = "completed"
        self.samples.sync()
        return self._outcome(plan)

    def _known(self, examples: Mapping[str, list[Example]]) -> dict[tuple[str, str], Record]:
        """What is scored already, of the model and by the scorers that there are now."""
        wanted = {(task, example.key) for task, found in examples.items() for example in found}
        if gone := self.samples.retain(wanted):
            log.warning("samples of another model or scorer were left out", extra={"samples": gone})
        return {(record["task"], record["key"]): record for record in self.samples.records()}

    async def _task(
        self,
        task: TaskPlan,
        plan: Plan,
        client: ChatClient | None,
        examples: list[Example],
        known: dict[tuple[str, str], Record],
    ) -> None:
        missing = [e for e in examples if _unknown(known.get((task.name, e.key)))]
        answered = any(record["response"] is not None for record in known.values())

        def keep(scored: Scored) -> None:
            key = (task.name, scored.example.key)
            self.samples.append(record_of(task.name, scored))
            metrics.SAMPLES.labels(scored.failure or "none").inc()
            self.progress.done += key not in known
            if scored.sample.infrastructure:
                self._failed[key] = scored.sample.error or "unknown"
                self._check_failures()

        await evaluate(
            missing,
            task.metrics,
            keep,
            _send(task, client, plan.params.stream),
            throttle=Throttle(plan.params.parallelism),
            retries=plan.params.max_retries,
            sleep=self._around.sleep,
            alive=answered,
        )

    def _check_failures(self) -> None:
        failed, total = len(self._failed), self.progress.total
        if failed > self._around.max_infrastructure_failures * total:
            first = next(iter(self._failed.values()))
            raise TooManyFailures(failed, total, self._around.max_infrastructure_failures, first)

    def _outcome(self, plan: Plan) -> Outcome:
        records = self.samples.records()
        mine = {task.name: [r for r in records if r["task"] == task.name] for task in plan.tasks}
        tasks = {task.name: task_result(mine[task.name], task.metrics) for task in plan.tasks}
        agreements = {task.name: judge_agreement(mine[task.name], task.metrics) for task in plan.tasks}
        judged = {name: found for name, found in agreements.items() if found}
        scorers = {
            f"{task.name}.{name}": {"type": metric.type, "version": metric.version}
            for task in plan.tasks
            for name, metric in task.metrics.items()
        }
        fields = {**facts(records), "judge_agreement": judged, "scorers": scorers}
        if plan.target is not None:
            fields["model"] = {"name": plan.target.model, "sha256": self._proxied.content_of(plan.target)}
        return Outcome(tasks, fields)

    async def _examples(self, task: TaskPlan, plan: Plan) -> list[Example]:
        rows = await self._rows(task.source, task.name)
        limits = [limit for limit in (task.source.limit, plan.params.limit_samples) if limit is not None]
        if limits:
            rows = rows[: min(limits)]
        asks = plan.target is not None and task.type != "data"
        examples = make_examples(
            rows,
            task.template,
            model=plan.target.model if plan.target and asks else None,
            defaults=plan.params.request_fields(),
            scorers=task.scorers,
            plain_completion=task.type == "completion",
            content=self._proxied.content_of(plan.target) if plan.target and asks else None,
        )
        if all(example.bad_reference is not None for example in examples):
            reason = examples[0].bad_reference if examples else "it has no rows"
            raise BadDataset(task.source.files_url or "rows", f"none of its rows can be asked: {reason}")
        return examples

    async def _rows(self, source: Source, task: str) -> list[Row]:
        if source.rows is not None or source.files_url is None:
            return [dict(row) for row in source.rows or ()]
        hub = self._around.hub_at(source.hf_endpoint or hub_endpoint(self._around.datastore_url))
        into = self._folder / "data" / str(list(self._config["tasks"]).index(task))
        return await self._fetch(source.files_url, hub, into)

    async def _fetch(self, files_url: str, hub: Hub, into: Path) -> list[Row]:
        """The rows, from a datastore that may be starting just now, as we may be."""
        for tries_left in reversed(range(_HUB_TRIES)):
            try:
                return await asyncio.to_thread(fetch_rows, files_url, hub, into)
            except HubError as error:
                passing = error.upstream_status is None or error.upstream_status >= 500
                if not passing or not tries_left:
                    raise
            await self._around.sleep(1.0)
        raise AssertionError("unreachable: the last try returns or raises")

    async def _look_at_proxy(self, clients: list[ChatClient]) -> None:
        if self._proxied.asked:
            client = self._connect(Endpoint(proxy_url(self._around.nim_url), ""), 30.0, clients)
            await self._proxied.look(client, self._around.sleep, again=self._resumed)

    def _client(self, plan: Plan, clients: list[ChatClient]) -> ChatClient | None:
        if plan.target is None:
            return None
        return self._connect(plan.target, plan.params.request_timeout, clients)

    def _judges(self, clients: list[ChatClient]) -> Callable[[Endpoint], Judge]:
        def judge_at(endpoint: Endpoint) -> Judge:
            client = self._connect(endpoint, 120.0, clients)
            plain = (
                endpoint.base_url.rstrip("/").endswith("/completions") and "/chat/" not in endpoint.base_url
            )
            send = client.complete if plain else client.chat
            content = partial(self._proxied.content_of, endpoint)
            return Judge(
                endpoint.model, send, self._around.judge_cache, content=content, sleep=self._around.sleep
            )

        return judge_at

    def _embedders(self, clients: list[ChatClient]) -> Callable[[Endpoint], Embed]:
        def embed_at(endpoint: Endpoint) -> Embed:
            chat = self._connect(endpoint, 120.0, clients)

            async def embed(texts: Sequence[str], input_type: str | None) -> list[list[float]]:
                client = EmbeddingClient(
                    lambda: nullcontext(chat), endpoint.model, input_type=input_type, sleep=self._around.sleep
                )
                return await client.vectors(texts)

            return embed

        return embed_at

    def _connect(self, endpoint: Endpoint, timeout: float, clients: list[ChatClient]) -> ChatClient:
        client = ChatClient(endpoint.base_url, endpoint.api_key, self._around.transport, timeout)
        clients.append(client)
        if endpoint.proxied:
            self._proxied.asked.add(endpoint.model)
        return client


def _send(task: TaskPlan, client: ChatClient | None, streamed: bool) -> Send | None:
    if client is None or task.type == "data":
        return None
    if task.type == "completion":
        return client.complete
    return client.stream if streamed else client.chat


def _unknown(record: Record | None) -> bool:
    """Whether to ask (again): a failure of the machinery says nothing about the model."""
    return record is None or bool(record["infrastructure"])


async def _close(clients: list[ChatClient]) -> None:
    for client in clients:
        await client.aclose()
