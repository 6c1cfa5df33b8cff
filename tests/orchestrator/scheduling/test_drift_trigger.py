"""The drift trigger from records to run: a real shift starts one, none does not, and looks are bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flywheel.curation.reading import read
from flywheel.models import Record, Workload
from flywheel.orchestrator.scheduling.facts import SAMPLE
from flywheel.stores.logs import EmbeddedLogStore
from run_world import make_world
from scheduling_world import Scheduling

INTENTS = Workload("clinc-train", "clinc_banking")
ARGUMENTS = {"type": "drift", "of": "arguments"}
DAY = 86_400


@pytest.fixture(scope="session")
def clinc(shared_data: Path) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    with (shared_data / "clinc150.jsonl.gz").open("rb") as stream:
        for item in read(stream, "clinc150.jsonl.gz"):
            assert isinstance(item, Record)
            found.setdefault(item.workload_id, []).append(item)
    return found


def banking(records: list[Record], later_s: float = 0.0) -> list[Record]:
    """The records as traffic of one workload, so much later."""
    return [
        Record(r.timestamp + later_s, INTENTS.workload_id, INTENTS.client_id, r.request_json, r.response_json)
        for r in records
    ]


class Counting(EmbeddedLogStore):
    """Counts the records that are read, not those that are counted."""

    read = 0

    def query(self, *args, **kwargs) -> Iterator[Record]:
        for record in super().query(*args, **kwargs):
            self.read += 1
            yield record


@pytest.fixture
def here(tmp_path: Path, clinc) -> Iterator[Scheduling]:
    """A workload with a run whose data set is every other record of `clinc_banking`: later in the file
    the teacher calls nothing much more often, which would be a drift of the tool mix."""
    logs = Counting(tmp_path / "records.sqlite")
    logs.add(banking(clinc["clinc_banking"][::2]))
    world = make_world(tmp_path, logs)
    found = Scheduling(world).at("2026-03-02T12:00")
    run = world.finish(world.start(INTENTS))
    assert run.status == "completed", run.error
    found.at("2026-03-02T13:00")
    logs.read = 0
    yield found
    world.close()


def make(here: Scheduling, *triggers) -> str:
    fields = {"client_id": INTENTS.client_id, "workload_id": INTENTS.workload_id}
    return here.make(*triggers, **fields).id


def test_a_real_shift_starts_a_run_which_says_what_moved(here: Scheduling, clinc):
    make(here, ARGUMENTS)
    here.tick()
    assert len(here.runs(INTENTS)) == 1
    here.add(banking(clinc["clinc_travel"][:400], 3 * DAY))
    here.tick("2026-03-02T14:00")
    run, _ = here.runs(INTENTS)
    assert run.trigger.reason.startswith("drift of arguments: route_request.intent is 0.9")
    assert "from the last data set (threshold 0.1, p below 10⁻⁶)" in run.trigger.reason


def test_a_shift_that_comes_with_the_times_of_old_records_is_seen(here: Scheduling, clinc):
    make(here, ARGUMENTS)
    here.add(banking(clinc["clinc_travel"]))  # Imported late: their times lie among those of the data set.
    here.tick()
    assert len(here.runs(INTENTS)) == 2


def test_more_of_the_same_is_quiet(here: Scheduling, clinc):
    schedule_id = make(here, ARGUMENTS, {"type": "drift", "of": "tools"}, {"type": "schemas"})
    rest = clinc["clinc_banking"][1::2]
    for number in range(4):
        here.add(banking(rest[number::4], (3 + number) * DAY))
        here.tick(f"2026-03-02T{14 + number}:00")
    assert len(here.runs(INTENTS)) == 1
    verdict = here.service.explain(schedule_id)
    assert [(each.fires, each.says.partition(":")[0]) for each in verdict.reasons] == [
        (False, "no drift"),
        (False, "no drift"),
        (False, "the tools are those of the last data set"),
    ]


def test_a_teacher_that_calls_less_often_is_a_drift_of_the_tools_alone(here: Scheduling, clinc):
    make(here, {"type": "drift", "of": "tools"}, ARGUMENTS)
    here.add(banking(clinc["clinc_banking"][2000:], 3 * DAY))
    here.tick()
    reason = here.runs(INTENTS)[0].trigger.reason
    assert reason.startswith("drift of tools: tool mix is 0.")
    assert "no call 5% → 2" in reason


def test_changed_schemas_start_a_run(here: Scheduling, clinc):
    make(here, {"type": "schemas"})
    here.add(banking(clinc["clinc_travel"][:100], 3 * DAY))
    here.tick()
    assert here.runs(INTENTS)[0].trigger.reason == "changed tool schemas: route_request is changed"


def test_a_look_reads_the_newest_records_only_and_not_at_every_tick(here: Scheduling, clinc):
    make(here, ARGUMENTS, {"type": "drift", "of": "tools"}, {"type": "schemas"})
    logs = here.here.context.logs
    for number in range(4):
        here.add(banking(clinc["clinc_banking"], 10 * DAY * (number + 1)))
    assert logs.count(INTENTS) > 5 * SAMPLE
    for minute in range(10):
        here.tick(f"2026-03-02T14:0{minute}")
    assert logs.read == SAMPLE, "once for three triggers and ten ticks"
    assert len(here.runs(INTENTS)) == 1


def test_what_is_held_anyway_reads_nothing(here: Scheduling, clinc):
    schedule_id = make(here, ARGUMENTS)
    here.service.change(schedule_id, {"debounce": 10 * DAY})
    here.add(banking(clinc["clinc_travel"], 3 * DAY))
    here.tick()
    assert here.here.context.logs.read == 0
    verdict = here.service.explain(schedule_id)
    assert (verdict.fired is not None, [each.what for each in verdict.holds]) == (True, ["debounce"])


def test_a_run_from_before_runs_kept_their_traffic_is_said(here: Scheduling, clinc):
    runs = here.here.context.runs
    (old,) = here.runs(INTENTS)
    runs.apply(old, old.but(traffic=None))
    schedule_id = make(here, ARGUMENTS)
    here.add(banking(clinc["clinc_travel"][:300], 3 * DAY))
    here.tick()
    (reason,) = here.service.explain(schedule_id).reasons
    assert reason.says == f"run {old.id} did not note what its data set was like; the next one will"
    assert len(here.runs(INTENTS)) == 1
