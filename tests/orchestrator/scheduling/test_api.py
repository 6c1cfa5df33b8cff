"""`/api/schedules` over HTTP: what it shows, what it refuses, and a run that it starts."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from flywheel.orchestrator.routers import routers
from flywheel.web import make_app
from run_world import tool_record
from scheduling_world import BODY, Scheduling, cron

NIGHTLY = cron("0 3 * * *", "Europe/Berlin")


class Api:
    """The routes over a world."""

    def __init__(self, here: Scheduling) -> None:
        self.here = here
        app = make_app("test", "problem", routers(here.here.context, here.woken.append))
        self.http = TestClient(app, raise_server_exceptions=False)

    def ask(self, method: str, path: str, body=None, expect: int = 200, **params):
        answer = self.http.request(method, f"/api/schedules{path}", json=body, params=params)
        assert answer.status_code == expect, answer.text
        return answer.json() if answer.content else None

    def make(self, *triggers, expect: int = 201, **fields):
        return self.ask("POST", "", {**BODY, "triggers": list(triggers), **fields}, expect)


@pytest.fixture
def api(here: Scheduling) -> Api:
    here.at("2026-03-02T12:00")
    return Api(here)


def test_a_schedule_shows_what_it_was_made_of_and_when_it_is_next(api):
    drift = {"type": "drift", "of": "arguments"}
    made = api.make(NIGHTLY, drift, name="nightly", budget={"runs_per_week": 2})
    assert made == api.ask("GET", f"/{made['id']}")
    assert made["triggers"] == [NIGHTLY, drift | {"threshold": None}]
    assert made["budget"] == {"runs_per_week": 2, "gpu_hours_per_week": None}
    assert (made["enabled"], made["missed"], made["debounce"], made["overrides"]) == (True, "skip", 900, {})
    assert (made["created_at"], made["next_at"]) == ("2026-03-02T12:00:00Z", "2026-03-03T02:00:00Z")
    assert (made["last_run"], made["last_decision"]) == (None, None)


def test_the_list_is_filtered_and_paged(api):
    first, second = api.make(NIGHTLY), api.make(NIGHTLY, enabled=False, workload_id="small_talk")
    found = api.ask("GET", "")
    assert [each["id"] for each in found["schedules"]] == [first["id"], second["id"]]
    assert (found["total"], found["offset"], found["limit"]) == (2, 0, 100)
    assert api.ask("GET", "", workload_id="small_talk")["schedules"] == [second]
    assert api.ask("GET", "", enabled=True)["schedules"] == [first]
    assert api.ask("GET", "", limit=1, offset=1)["schedules"] == [second]
    assert second["next_at"] is None, "it is disabled"


def test_a_change_leaves_the_rest(api):
    made = api.make(NIGHTLY, {"type": "schemas"}, overrides={"training_config": {"epochs": 1}})
    changed = api.ask("PATCH", f"/{made['id']}", {"debounce": 60, "name": "often"})
    assert changed == made | {"debounce": 60, "name": "often", "updated_at": changed["updated_at"]}
    assert api.ask("PATCH", f"/{made['id']}", {"budget": {"gpu_hours_per_week": 2}})["budget"] == {
        "runs_per_week": None,
        "gpu_hours_per_week": 2,
    }


def test_a_deleted_one_is_gone(api):
    made = api.make(NIGHTLY)
    api.ask("DELETE", f"/{made['id']}", expect=204)
    for method, path in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/run"),
        ("GET", "/explain"),
        ("GET", "/history"),
    ]:
        problem = api.ask(method, f"/{made['id']}{path}", expect=404)
        assert problem["detail"] == f"there is no schedule {made['id']}"
    api.ask("PATCH", f"/{made['id']}", {"name": "x"}, expect=404)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"triggers": []}, "triggers: Tuple should have at least 1 item"),
        ({"triggers": [{"type": "moon"}]}, "triggers.0.type: must be one of 'cron', 'records'"),
        ({"triggers": [{"type": "records", "every": 0}]}, "triggers.0.every: Input should be greater"),
        ({"triggers": [{"type": "records"}]}, "triggers.0.every is missing"),
        ({"triggers": [cron("0 3 * *")]}, "triggers.0.cron: '0 3 * *' must have five fields"),
        ({"triggers": [cron("0 3 * * *", "Mars")]}, "triggers.0.timezone: there is no time zone 'Mars'"),
        ({"triggers": [NIGHTLY, {"type": "drift", "threshold": 2}]}, "triggers.1.threshold"),
        ({"triggers": [NIGHTLY], "debounce": -1}, "debounce: Input should be greater than or equal to 0"),
        ({"triggers": [NIGHTLY], "misssed": "skip"}, 'there is no setting misssed (did you mean "missed"?)'),
        ({"triggers": [NIGHTLY], "missed": "twice"}, "missed: Input should be 'skip' or 'once'"),
        ({"triggers": [NIGHTLY], "budget": {"runs_per_week": 0}}, "budget.runs_per_week"),
        ({"triggers": [NIGHTLY], "overrides": {"nims": ["test/nobody"]}}, "no candidate 'test/nobody'"),
        ({"triggers": [NIGHTLY], "overrides": {"training": {}}}, "there is no setting training"),
        ({"triggers": [NIGHTLY], "client_id": ""}, "client_id: String should have at least 1 character"),
    ],
)
def test_what_is_wrong_is_named(api, fields, said):
    problem = api.ask("POST", "", {**BODY, **fields}, expect=422)
    assert said in problem["detail"]
    assert api.ask("GET", "")["total"] == 0


def test_a_schedule_stays_with_its_workload(api):
    made = api.make(NIGHTLY)
    problem = api.ask("PATCH", f"/{made['id']}", {"workload_id": "other"}, expect=422)
    assert "make another one for the other workload" in problem["detail"]
    api.ask("PATCH", f"/{made['id']}", {"triggers": []}, expect=422)
    assert api.ask("GET", f"/{made['id']}") == made


def test_run_now_starts_a_run_that_knows_its_schedule(api):
    made = api.make(NIGHTLY, name="nightly", overrides={"training_config": {"epochs": 1}})
    run_id = api.ask("POST", f"/{made['id']}/run")["id"]
    assert api.here.woken == [run_id]
    job = api.http.get(f"/api/jobs/{run_id}").json()
    (listed,) = api.http.get("/api/jobs").json()["jobs"]
    said = {"schedule_id": made["id"], "schedule": "nightly", "reason": "manual: a person asked for it"}
    assert job["trigger"] == listed["trigger"] == said
    assert job["config"]["training_config"]["epochs"] == 1
    shown = api.ask("GET", f"/{made['id']}")
    assert shown["last_run"] == {"id": run_id, "status": "pending", "created_at": "2026-03-02T12:00:00Z"}
    problem = api.ask("POST", f"/{made['id']}/run", expect=409)
    assert problem["detail"] == f"run {run_id} of the workload is pending; wait for its end, or cancel it"
    (decided,) = api.ask("GET", f"/{made['id']}/history")["decisions"]
    assert (decided["decision"], decided["run_id"], decided["trigger"]) == ("started", run_id, "manual")


def test_explain_says_why_and_why_not(api):
    made = api.make(NIGHTLY, {"type": "records", "every": 100}, {"type": "drift", "of": "tools"})
    found = api.ask("GET", f"/{made['id']}/explain")
    assert (found["would_run"], found["at"]) == (False, "2026-03-02T12:00:00Z")
    assert found["reasons"] == [
        {
            "trigger": "cron 0 3 * * * Europe/Berlin",
            "fires": False,
            "says": "the next time is 2026-03-03 02:00 UTC",
            "next": "2026-03-03T02:00:00Z",
        },
        {"trigger": "every 100 records", "fires": False, "says": "80 new records and no data set yet"},
        {
            "trigger": "drift of tools",
            "fires": False,
            "says": "there is no data set yet to compare with",
        },
    ]
    assert (found["holds"], found["drift"]) == ([], None)

    api.ask("POST", f"/{made['id']}/run")
    api.here.finish()
    api.here.add([tool_record(1000 + n) for n in range(120)])
    api.ask("PATCH", f"/{made['id']}", {"enabled": False})
    found = api.ask("GET", f"/{made['id']}/explain")
    assert [each["fires"] for each in found["reasons"]] == [False, True, False]
    assert [each["what"] for each in found["holds"]] == ["disabled", "debounce"]
    assert found["holds"][1]["until"] == "2026-03-02T12:15:00Z"
    assert not found["would_run"]
    numbers = found["drift"]["tools"]
    assert (numbers["records_before"], numbers["records_now"], numbers["fires"]) == (80, 120, False)
    (mix,) = numbers["shifts"]
    assert (mix["calls_before"], mix["calls_now"], mix["excess"], mix["p_value"]) == (80, 120, 0, 1)
    api.ask("PATCH", f"/{made['id']}", {"enabled": True, "debounce": 0})
    assert api.ask("GET", f"/{made['id']}/explain")["would_run"]
