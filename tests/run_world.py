"""A world for runs: records of one workload, instant fake services, a store of runs in a temporary file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flywheel.config import DataSplitConfig, IclConfig, NimConfig, NmpConfig, Settings
from flywheel.models import Record, Workload
from flywheel.nemo.fake import URLS, FakeNemo
from flywheel.orchestrator.context import Context, Limits
from flywheel.orchestrator.request import configured, read_request
from flywheel.orchestrator.services import Services
from flywheel.orchestrator.workflow import advance
from flywheel.stores.logs import EmbeddedLogStore
from flywheel.stores.runs import EmbeddedRunStore, Run
from flywheel.stores.runs.document import new_run
from flywheel.stores.schedules import EmbeddedScheduleStore

WORKLOAD = Workload("support-app", "tool_router")
CHAT = Workload("support-app", "small_talk")

TOOL = {
    "type": "function",
    "function": {
        "name": "order_status",
        "description": "Where an order is",
        "parameters": {
            "type": "object",
            "properties": {"order": {"type": "string"}},
            "required": ["order"],
        },
    },
}


def tool_record(number: int) -> Record:
    call = {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": "order_status", "arguments": f'{{"order": "A{number}"}}'},
    }
    return Record.of(
        WORKLOAD,
        1_700_000_000.0 + number,
        {
            "model": "teacher",
            "messages": [{"role": "user", "content": f"Where is my order A{number}?"}],
            "tools": [TOOL],
        },
        {
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "tool_calls",
                    "message": {"role": "assistant", "content": None, "tool_calls": [call]},
                }
            ]
        },
    )


def chat_record(number: int) -> Record:
    return Record.of(
        CHAT,
        1_700_000_000.0 + number,
        {"model": "teacher", "messages": [{"role": "user", "content": f"Say {number} in words"}]},
        {
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": f"The number {number}."},
                }
            ]
        },
    )


def nim(name: str = "test/student", **changes: Any) -> NimConfig:
    return NimConfig(model_name=name, context_length=4096, customization_enabled=True, **changes)


def settings(*nims: NimConfig, parallelism: int = 1) -> Settings:
    return Settings(
        nmp_config=NmpConfig(nim_parallelism=parallelism),
        nims=nims or (nim(),),
        data_split_config=DataSplitConfig(eval_size=10, min_total_records=20),
        icl_config=IclConfig(max_context_length=2048, reserved_tokens=256, max_examples=2),
    )


class Clock:
    """A clock that the test moves; it also ticks a little, so that no two moments are the same."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()

    def __call__(self) -> datetime:
        self.now += 0.001
        return datetime.fromtimestamp(self.now, UTC)


@dataclass
class World:
    """Everything that one test works with."""

    context: Context
    nemo: FakeNemo
    clock: Clock

    def start(self, workload: Workload = WORKLOAD, **overrides: Any) -> str:
        body = {"workload_id": workload.workload_id, "client_id": workload.client_id, **overrides}
        request = read_request(body)
        config = configured(request, self.context.settings)
        run = new_run(request.workload, config, self.clock(), request.overrides)
        return self.context.runs.create(run).id

    def run(self, run_id: str) -> Run:
        return self.context.runs.load(run_id)

    def finish(self, run_id: str, *, steps: int = 200) -> Run:
        """Advance the run to its end, moving the clock instead of waiting."""
        for _ in range(steps):
            following = advance(run_id, self.context)
            if following.seconds is None:
                return self.run(run_id)
            self.clock.now += following.seconds
        raise AssertionError(f"run {run_id} did not end in {steps} steps: {self.run(run_id)}")

    def finish_deletion(self, run_id: str) -> None:
        assert advance(run_id, self.context).seconds is None

    def close(self) -> None:
        self.context.runs.close()
        self.context.schedules.close()
        self.context.services.close()

    def reborn(self, **changes: Any) -> World:
        """The same stores and services, met by a new process."""
        return World(replace(self.context, **changes), self.nemo, self.clock)


def make_records(folder: Path) -> EmbeddedLogStore:
    """80 records that call a tool and 60 that talk."""
    logs = EmbeddedLogStore(folder / "records.sqlite")
    logs.add([*map(tool_record, range(80)), *map(chat_record, range(60))])
    return logs


def make_world(
    folder: Path,
    logs: EmbeddedLogStore,
    nemo: FakeNemo | None = None,
    using: Settings | None = None,
    **limits: float,
) -> World:
    """A world in `folder`; a second one there is the same place after a restart."""
    nemo = nemo or FakeNemo()
    clock = Clock()
    context = Context(
        settings=using or settings(),
        runs=EmbeddedRunStore(folder / "runs.sqlite", clock=clock),
        logs=logs,
        services=Services.at(URLS, nemo.hub, nemo),
        schedules=EmbeddedScheduleStore(folder / "schedules.sqlite"),
        limits=Limits(**limits),
        clock=clock,
        environment={},
    )
    return World(context, nemo, clock)
