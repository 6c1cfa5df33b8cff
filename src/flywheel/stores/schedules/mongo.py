"""Schedules in MongoDB, beside the runs: a document per schedule, another one per decision.

A change is one update that names the revision in its filter, so of several beats one gets it. Decisions are
in a collection of their own, in the order of `_id`, which is made of the time and a counter.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING
from pymongo.collection import Collection

from flywheel.config import MongoRuns
from flywheel.stores.mongo import connect, escaped, in_our_words, unescaped
from flywheel.stores.schedules.document import Decided, Schedule
from flywheel.stores.schedules.errors import ScheduleNotFound, StaleSchedule
from flywheel.stores.schedules.protocol import HISTORY_KEPT, HistoryPage, SchedulePage, ScheduleQuery

COLLECTION: Final = "schedules"
DECISIONS: Final = "schedule_decisions"
_Documents = Collection[dict[str, Any]]


class MongoScheduleStore:
    """A ScheduleStore in the database that `config` names. Nothing is sent before the first call."""

    def __init__(self, config: MongoRuns, *, environment: Mapping[str, str] = os.environ) -> None:
        self._url = config.url
        self._client = connect(config, environment)
        self._database = self._client[config.database]
        self._indexed = False
        self._indexing = threading.Lock()

    def create(self, schedule: Schedule) -> Schedule:
        with self._documents() as (schedules, _):
            schedules.insert_one({"_id": schedule.id, "made": ObjectId(), **_fields(schedule)})
        return schedule

    def load(self, schedule_id: str) -> Schedule:
        with self._documents() as (schedules, _):
            document = schedules.find_one({"_id": schedule_id})
        if document is None:
            raise ScheduleNotFound(schedule_id)
        return _schedule(document)

    def apply(self, schedule: Schedule, change: Schedule) -> Schedule:
        stored = change.but(revision=schedule.revision + 1)
        unchanged = {"_id": schedule.id, "revision": schedule.revision}
        with self._documents() as (schedules, _):
            if schedules.update_one(unchanged, {"$set": _fields(stored)}).matched_count == 0:
                if schedules.find_one({"_id": schedule.id}, {"_id": 1}) is None:
                    raise ScheduleNotFound(schedule.id)
                raise StaleSchedule(schedule.id, schedule.revision)
        return stored

    def delete(self, schedule_id: str) -> None:
        with self._documents() as (schedules, decisions):
            gone = schedules.delete_one({"_id": schedule_id}).deleted_count
            decisions.delete_many({"schedule_id": schedule_id})
        if not gone:
            raise ScheduleNotFound(schedule_id)

    def list(self, query: ScheduleQuery = ScheduleQuery()) -> SchedulePage:  # noqa: B008 - a frozen value
        wanted = {
            "client_id": query.client_id,
            "workload_id": query.workload_id,
            "enabled": query.enabled,
        }
        matching = {name: value for name, value in wanted.items() if value is not None}
        with self._documents() as (schedules, _):
            total = schedules.count_documents(matching)
            found = schedules.find(
                matching, sort=[("made", ASCENDING)], skip=query.offset, limit=query.limit or 0
            )
            return SchedulePage(schedules=tuple(_schedule(each) for each in found), total=total)

    def note(self, schedule_id: str, decided: Decided) -> None:
        of = {"schedule_id": schedule_id}
        with self._documents() as (schedules, decisions):
            if schedules.find_one({"_id": schedule_id}, {"_id": 1}) is None:
                return  # Deleted meanwhile, and its history with it.
            decisions.insert_one({**of, **decided.model_dump(mode="json")})
            oldest = decisions.find(of, {"_id": 1}, sort=[("_id", DESCENDING)], skip=HISTORY_KEPT, limit=1)
            for each in oldest:
                decisions.delete_many({**of, "_id": {"$lte": each["_id"]}})

    def history(self, schedule_id: str, *, offset: int = 0, limit: int | None = None) -> HistoryPage:
        of = {"schedule_id": schedule_id}
        with self._documents() as (_, decisions):
            total = decisions.count_documents(of)
            found = decisions.find(of, sort=[("_id", DESCENDING)], skip=offset, limit=limit or 0)
            return HistoryPage(decisions=tuple(Decided.model_validate(each) for each in found), total=total)

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _documents(self) -> Iterator[tuple[_Documents, _Documents]]:
        """Schedules and decisions, with their indexes; what goes wrong comes out as one of our errors."""
        schedules, decisions = self._database[COLLECTION], self._database[DECISIONS]
        with in_our_words(self._url):
            if not self._indexed:
                with self._indexing:
                    schedules.create_index([("made", ASCENDING)])
                    decisions.create_index([("schedule_id", ASCENDING), ("_id", ASCENDING)])
                    self._indexed = True
            yield schedules, decisions


def _fields(schedule: Schedule) -> dict[str, Any]:
    fields: dict[str, Any] = escaped(schedule.model_dump(mode="json", exclude={"id"}))
    return fields


def _schedule(document: dict[str, Any]) -> Schedule:
    fields = {name: unescaped(value) for name, value in document.items() if name not in ("_id", "made")}
    return Schedule.model_validate({"id": document["_id"], **fields})
