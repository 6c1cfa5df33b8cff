"""Many schedulers at once, in threads and in processes, on both stores: each workload gets one run.

    python test_many.py FOLDER MONGO_URL DATABASE

is one of the processes; it looks once, when it is told to, and says which runs it woke. `-` is no MongoDB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

sys.path.insert(0, str(Path(__file__).parents[2]))  # As a child it is no part of a package.

from flywheel.config import MongoRuns
from flywheel.models import Record, Workload
from flywheel.orchestrator.scheduling.tick import Scheduler
from flywheel.stores.logs import EmbeddedLogStore
from flywheel.stores.logs.embedded import FILE_NAME
from flywheel.stores.runs.mongo import MongoRunStore
from flywheel.stores.schedules.mongo import MongoScheduleStore
from run_world import World, make_world, tool_record
from scheduling_world import Scheduling, cron, moment

CLIENT = "support-app"
OTHER = {"training_config": {"epochs": 1}}
NAMES = [f"task-{number}" for number in range(6)]
MADE, DUE = "2026-03-02T12:00", "2026-03-03T03:00:01"


def world_of(folder: Path, mongo: str, database: str) -> World:
    """The same stores for everybody who asks."""
    world = make_world(folder, EmbeddedLogStore(folder / FILE_NAME))
    if mongo == "-":
        return world
    world.close()
    config = MongoRuns(type="mongo", url=mongo, database=database)
    stores = {"runs": MongoRunStore(config), "schedules": MongoScheduleStore(config)}
    return replace(world, context=replace(world.context, **stores))


@pytest.fixture(params=["embedded", "mongo"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, str, str]]:
    """Where it all is: six workloads with records, and for each two schedules that are due."""
    database = f"test-{uuid4().hex[:12]}"
    mongo = "-" if request.param == "embedded" else request.getfixturevalue("mongo_url")
    records = EmbeddedLogStore(tmp_path / FILE_NAME)
    for name in NAMES:
        records.add(
            Record(r.timestamp, name, CLIENT, r.request_json, r.response_json)
            for r in map(tool_record, range(30))
        )
    world = world_of(tmp_path, mongo, database)
    here = Scheduling(world).at(MADE)
    for name in NAMES:
        here.make(cron("0 3 * * *"), client_id=CLIENT, workload_id=name)
        here.make(cron("0 3 * * *"), client_id=CLIENT, workload_id=name, overrides=OTHER)
    yield tmp_path, mongo, database
    world.close()
    if mongo != "-":
        with MongoClient[dict[str, Any]](mongo) as client:
            client.drop_database(database)


def check(place: tuple[Path, str, str], woken: list[str]) -> None:
    """Each workload has one run, which one of its schedules has started, and the other waits for it."""
    world = world_of(*place)
    runs = [run for name in NAMES for run in Scheduling(world).runs(Workload(CLIENT, name))]
    assert len({run.workload_id for run in runs}) == len(runs) == len(NAMES)
    assert {*woken} == {run.id for run in runs}
    started = {run.trigger.schedule_id: run.id for run in runs}
    for schedule in world.context.schedules.list().schedules:
        assert (schedule.claim, schedule.last_run) == (None, started.get(schedule.id))
        history = world.context.schedules.history(schedule.id).decisions
        assert [each.decision for each in history] == ["started" if schedule.id in started else "held"]
    world.close()


def test_many_threads(place):
    woken: list[str] = []
    gate = threading.Barrier(6)
    with ExitStack() as stack:
        worlds = [world_of(*place) for _ in range(6)]
        for world in worlds:
            stack.callback(world.close)
            world.clock.now = moment(DUE).timestamp()

        def look(world: World) -> None:
            scheduler = Scheduler(world.context, woken.append)
            gate.wait()
            for _ in range(3):
                scheduler.tick()

        threads = [threading.Thread(target=look, args=(world,)) for world in worlds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    check(place, woken)


def test_three_processes(place):
    folder, mongo, database = place
    command = [sys.executable, __file__, str(folder), mongo, database]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    woken = [run for child in children for run in json.loads(child.communicate(timeout=120)[0])]
    assert [child.returncode for child in children] == [0, 0, 0]
    check(place, woken)


def main() -> None:
    world = world_of(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
    world.clock.now = moment(DUE).timestamp()
    woken: list[str] = []
    scheduler = Scheduler(world.context, woken.append)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for _ in range(3):
        scheduler.tick()
    sys.stdout.write(json.dumps(woken))
    world.close()


if __name__ == "__main__":
    main()
