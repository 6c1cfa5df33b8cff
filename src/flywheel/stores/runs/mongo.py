"""Runs in MongoDB: the store of a team, used by API and workers on several hosts.

One document per run, its fields as they are in `document.Run`, so that an operator can query them; times
are text in ISO 8601, since a BSON date would cut off microseconds. Only what one document's atomicity gives
is relied on, so that a single server, a replica set and a sharded cluster (by `_id`) behave alike:

- a change is one update that names the revision (and the lease's owner) in its filter;
- a lease is one update too. Its times are written and compared by the server, whose clock is the only one
  that counts: hosts may be hours apart;
- the place in the line of runs is `seq`, unique: one more than the last visible one. Who is second to insert
  the same number tries again, so that no run ever appears before one that was there already.

A document must stay below MongoDB's 16 MB; a run that outgrows them fails, and says so.
"""

from __future__ import annotations

import math
import os
import random
import secrets
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import pymongo
from pymongo import ASCENDING, DESCENDING
from pymongo.collection import Collection as Documents
from pymongo.errors import DuplicateKeyError

from flywheel.config import MongoRuns
from flywheel.models import Workload
from flywheel.stores.mongo import connect, escaped, in_our_words, unescaped
from flywheel.stores.runs.brief import VERSION, Brief, EvaluationEntry, brief_of, entries_of
from flywheel.stores.runs.document import Run
from flywheel.stores.runs.errors import IdempotencyKeyReused, RunNotFound, RunStoreAway, StaleRun
from flywheel.stores.runs.protocol import (
    BriefPage,
    Changes,
    EvaluationPage,
    EvaluationQuery,
    RunHead,
    RunPage,
    RunQuery,
)
from flywheel.stores.runs.standing import Decided, Standing, leading, standing
from flywheel.telemetry.health import Finding

COLLECTION: Final = "runs"
"""Not `flywheel_runs`, which in a database of NVIDIA's blueprint holds documents of another shape."""

_INDEXES: Final[tuple[tuple[tuple[str, ...], dict[str, Any]], ...]] = (
    (("seq",), {"unique": True}),
    (("idempotency_key",), {"unique": True, "sparse": True}),
    (("open", "seq"), {}),
    (("workload_id", "client_id", "seq"), {}),
    (("status", "seq"), {}),
    (("workload_id", "client_id", "brief.decision.value", "brief.decision.metric", "seq"), {}),
    (("touched",), {}),
)
_CHECK_S: Final = 2.5
"""A server that is well answers at once."""
_OURS: Final = (
    "_id",
    "seq",
    "open",
    "demand",
    "lease",
    "idempotency_key",
    "fingerprint",
    "touched",
    "brief",
    "evaluations",
    "shown",
)
_AGAIN: Final = timedelta(seconds=5)
"""Changes so old are told once more: members of a cluster have clocks of their own."""
_INSERTS: Final = 200
"""Tries to get a place in the line; each failure means that somebody else got one."""
_ENDS: Final = {"$add": ["$lease.at", "$lease.ms"]}
_LEFT: Final = {"$subtract": [_ENDS, "$$NOW"]}
"""Milliseconds until the lease ends, or somebody comes back; null where nothing is known."""
_LONG_AGO: Final = datetime(1970, 1, 2)  # noqa: DTZ001 - as the driver gives times


class MongoRunStore:
    """A RunStore in the database that `config` names. Nothing is sent before the first call."""

    def __init__(self, config: MongoRuns, *, environment: Mapping[str, str] = os.environ) -> None:
        self._url = config.url
        self._client = connect(config, environment)
        self._database = config.database
        self._collection = self._client[config.database][COLLECTION]
        self._indexed = False
        self._indexing = threading.Lock()

    def create(self, run: Run, *, key: str | None = None, fingerprint: str = "") -> Run:
        document = {
            **_fields(run),
            "lease": {"owner": None},
            **({"idempotency_key": key, "fingerprint": fingerprint} if key is not None else {}),
        }
        with self._runs() as runs:
            for _ in range(_INSERTS):
                last = runs.find_one({}, {"seq": 1}, sort=[("seq", DESCENDING)])
                place = {**document, "seq": last["seq"] + 1 if last else 1}
                # An upsert, since only updates can write the server's time.
                change = {"$setOnInsert": place, "$currentDate": {"touched": True}}
                try:
                    runs.update_one({"_id": run.id}, change, upsert=True)
                except DuplicateKeyError:
                    made = runs.find_one({"_id": run.id} if key is None else {"idempotency_key": key})
                    if made is None:
                        time.sleep(random.uniform(0, 0.01))  # noqa: S311 - so that not all try again at once
                        continue
                    if key is not None and made["fingerprint"] != fingerprint:
                        raise IdempotencyKeyReused(key) from None
                    return _run(made)
                return run
        raise RunStoreAway(self._url, f"{_INSERTS} others were faster to add a run; try again")

    def load(self, run_id: str) -> Run:
        with self._runs() as runs:
            document = runs.find_one({"_id": run_id})
        if document is None:
            raise RunNotFound(run_id)
        return _run(document)

    def apply(self, run: Run, change: Run, *, owner: str | None = None) -> Run:
        stored = change.but(revision=run.revision + 1)
        unchanged: dict[str, Any] = {"_id": run.id, "revision": run.revision}
        if owner is not None:
            unchanged["lease.owner"] = owner
        with self._runs() as runs:
            update = {"$set": _fields(stored), "$currentDate": {"touched": True}}
            if runs.update_one(unchanged, update).matched_count == 0:
                if runs.find_one({"_id": run.id}, {"_id": 1}) is None:
                    raise RunNotFound(run.id)
                raise StaleRun(run.id, run.revision)
        return stored

    def delete(self, run_id: str) -> None:
        with self._runs() as runs:
            runs.delete_one({"_id": run_id})

    def list(self, query: RunQuery = RunQuery()) -> RunPage:  # noqa: B008 - a frozen value
        found, total = self._page(query, None)
        return RunPage(runs=tuple(_run(document) for document in found), total=total)

    def briefs(self, query: RunQuery = RunQuery()) -> BriefPage:  # noqa: B008 - a frozen value
        found, total = self._page(query, {"brief": 1})
        return BriefPage(
            runs=tuple(Brief.model_validate(unescaped(each["brief"])) for each in found), total=total
        )

    def evaluations(self, query: EvaluationQuery = EvaluationQuery()) -> EvaluationPage:  # noqa: B008 - frozen
        of_run = {"workload_id": query.workload_id, "client_id": query.client_id}
        of_each = {"evaluations.model_name": query.model_name, "evaluations.eval_type": query.eval_type}
        each: list[dict[str, Any]] = [
            {"$match": _asked(of_run) | _asked(of_each)},
            {"$project": {"evaluations": 1, "seq": 1}},
            {"$unwind": {"path": "$evaluations", "includeArrayIndex": "place"}},
            {"$match": _asked(of_each)},
        ]
        at = {"$ifNull": ["$evaluations.finished_at", {"$ifNull": ["$evaluations.started_at", ""]}]}
        page: list[dict[str, Any]] = [
            {"$project": {"evaluations": 1, "seq": 1, "place": 1, "at": at}},
            {"$sort": {"at": DESCENDING, "seq": DESCENDING, "place": ASCENDING}},
            {"$skip": query.offset},
            *([{"$limit": query.limit}] if query.limit is not None else []),
        ]
        with self._runs() as runs:
            counted = list(runs.aggregate([*each, {"$group": {"_id": None, "n": {"$sum": 1}}}]))
            found = list(runs.aggregate([*each, *page])) if counted else []
        return EvaluationPage(
            evaluations=tuple(
                EvaluationEntry.model_validate(unescaped(document["evaluations"])) for document in found
            ),
            total=counted[0]["n"] if counted else 0,
        )

    def changed(self, since: str | None) -> Changes:
        shown = {"revision": 1, "touched": 1}
        mark = _moment(since)
        with self._runs() as runs:
            if mark is None:
                known = {"touched": {"$exists": True}}
                last = runs.find_one(known, shown, sort=[("touched", DESCENDING)])
                return Changes(runs=(), mark=_told(last["touched"] if last else _LONG_AGO))
            found = list(runs.find({"touched": {"$gt": mark - _AGAIN}}, shown))
        following = max([mark, *(each["touched"] for each in found)])
        return Changes(runs=tuple((each["_id"], each["revision"]) for each in found), mark=_told(following))

    def standings(self, workloads: Collection[Workload] | None = None) -> Mapping[Workload, Standing]:
        names = [{"workload_id": each.workload_id, "client_id": each.client_id} for each in workloads or ()]
        if workloads is not None and not names:
            return {}
        wanted: dict[str, Any] = {"$or": names} if names else {}
        place = {"_id": 0, "workload_id": 1, "client_id": 1, "seq": 1}
        of = {"client_id": "$client_id", "workload_id": "$workload_id"}
        newest = [{"$match": wanted}, {"$project": place}, {"$group": {"_id": of, "seq": {"$max": "$seq"}}}]
        compared = {"brief.decision.metric": 1, "brief.decision.value": 1}
        valued = {**wanted, "brief.decision.value": {"$type": "number"}}
        with self._runs() as runs:
            last = _briefs(runs, [each["seq"] for each in runs.aggregate(newest)])
            chosen = leading(
                Decided(_workload(run), decision["metric"], decision["value"], run["seq"])
                for run in runs.find(valued, {**place, **compared})
                if (decision := run["brief"]["decision"])
            )
            best = _briefs(runs, list(chosen.values()))
        return {workload: standing(run, best.get(workload)) for workload, run in last.items()}

    def heads(self, workload: Workload, limit: int) -> tuple[RunHead, ...]:
        of = {"workload_id": workload.workload_id, "client_id": workload.client_id}
        shown = {"revision": 1, "status": 1, "step": 1}
        with self._runs() as runs:
            found = list(runs.find(of, shown, sort=[("seq", DESCENDING)], limit=limit))
        return tuple(
            RunHead(
                id=each["_id"],
                revision=each["revision"],
                status=each["status"],
                finished=each["step"] in ("finished", "erase"),
            )
            for each in found
        )

    def unfinished(self, slots: int) -> tuple[str, ...]:
        return tuple(each["_id"] for each in self._unfinished(slots))

    def neglected(self, slots: int, grace: float) -> tuple[str, ...]:
        return tuple(each["_id"] for each in self._unfinished(slots) if _neglected(each, grace))

    def ahead(self, run_id: str) -> int:
        with self._runs() as runs:
            this = runs.find_one({"_id": run_id}, {"seq": 1})
            if this is None:
                return 0
            before = {"$match": {"open": True, "seq": {"$lt": this["seq"]}}}
            summed = list(runs.aggregate([before, {"$group": {"_id": None, "sum": {"$sum": "$demand"}}}]))
        return int(summed[0]["sum"]) if summed else 0

    def lease(self, run_id: str, owner: str, seconds: float) -> float:
        free = [
            {"lease.owner": None},
            {"lease.owner": owner},
            {"$expr": {"$lte": [_ENDS, "$$NOW"]}},
        ]
        with self._runs() as runs:
            while runs.update_one({"_id": run_id, "$or": free}, _leased(owner, seconds)).matched_count == 0:
                left = self._left(run_id)
                if left is None:
                    raise RunNotFound(run_id)
                if left["rest"] is not None and left["rest"] > 0:
                    return float(left["rest"]) / 1000
        return 0.0

    def renew(self, run_id: str, owner: str, seconds: float) -> bool:
        with self._runs() as runs:
            mine = {"_id": run_id, "lease.owner": owner}
            return runs.update_one(mine, _leased(owner, seconds)).matched_count == 1

    def release(self, run_id: str, owner: str, again: float | None = None) -> None:
        with self._runs() as runs:
            mine = {"_id": run_id, "lease.owner": owner}
            back = {"$set": {"lease": {"owner": None}}} if again is None else _leased(None, again)
            runs.update_one(mine, back)

    def rest(self, run_id: str) -> float:
        left = self._left(run_id)
        if left is None or not left["open"]:
            return math.inf
        if left.get("owner") is None and left["status"] == "pending":
            return 0.0
        return 0.0 if left["rest"] is None else max(0.0, left["rest"] / 1000)

    def check(self, *, thorough: bool = False) -> Sequence[Finding]:
        with self._in_our_words(), pymongo.timeout(_CHECK_S):
            hello = self._client.admin.command("isMaster")  # Every server knows it; `hello` is newer.
            findings = [_fitness(self._url, hello, str(self._client.server_info()["version"]))]
            self._collection.find_one({}, {"_id": 1})
            if thorough:
                findings += [self._writable(), self._has_indexes()]
        return findings

    def close(self) -> None:
        self._client.close()

    def _page(self, query: RunQuery, shown: dict[str, Any] | None) -> tuple[Sequence[dict[str, Any]], int]:
        """The documents that match, newest first, with the fields `shown`, and how many match in all."""
        wanted = {"workload_id": query.workload_id, "client_id": query.client_id, "status": query.status}
        with self._runs() as runs:
            total = runs.count_documents(_asked(wanted))
            found = runs.find(
                _asked(wanted), shown, sort=[("seq", DESCENDING)], skip=query.offset, limit=query.limit or 0
            )
            return list(found), total

    def _upgrade(self) -> None:
        """Give documents of an earlier version what lists show."""
        for each in self._collection.find({"shown": {"$ne": VERSION}}, {"_id": 1}):
            document = self._collection.find_one({"_id": each["_id"]})
            if document is not None:
                same = {"_id": document["_id"], "revision": document["revision"]}
                self._collection.update_one(same, {"$set": _shown(_run(document))})

    def _left(self, run_id: str) -> dict[str, Any] | None:
        with self._runs() as runs:
            shown = {"open": 1, "status": 1, "owner": "$lease.owner", "rest": _LEFT}
            return next(iter(runs.aggregate([{"$match": {"_id": run_id}}, {"$project": shown}])), None)

    def _unfinished(self, slots: int) -> Iterator[dict[str, Any]]:
        shown = {"status": 1, "cancel_requested": 1, "demand": 1, "owner": "$lease.owner", "rest": _LEFT}
        with self._runs() as runs:
            found = list(
                runs.aggregate([{"$match": {"open": True}}, {"$sort": {"seq": 1}}, {"$project": shown}])
            )
        wanted = 0
        for each in found:
            if each["status"] != "pending" or each["cancel_requested"] or wanted < slots:
                yield each
            wanted += each["demand"]

    def _writable(self) -> Finding:
        """Writes and removes a document that is no run."""
        probes, probe = self._client[self._database]["doctor"], {"_id": secrets.token_hex(8)}
        probes.insert_one(probe)
        probes.delete_one(probe)
        return Finding("runs writable", True, f"database {self._database!r} takes writes")

    def _has_indexes(self) -> Finding:
        there = self._collection.index_information().values()
        known = {tuple(key for key, _ in index["key"]) for index in there}
        missing = [", ".join(names) for names, _ in _INDEXES if names not in known]
        if len(missing) == len(_INDEXES):
            return Finding("runs indexes", True, "none yet; the first run makes them")
        seen = f"missing: {'; '.join(missing)}" if missing else f"all {len(_INDEXES)} are there"
        mend = "restart flywheel serve, which makes them, with a user who may (role readWrite)"
        return Finding("runs indexes", not missing, seen, mend, blocks=False)

    @contextmanager
    def _runs(self) -> Iterator[Documents[dict[str, Any]]]:
        """The collection, with its indexes; what goes wrong with it comes out as one of our errors."""
        with self._in_our_words():
            self._ensure_indexes()
            yield self._collection

    def _in_our_words(self) -> AbstractContextManager[None]:
        return in_our_words(self._url)

    def _ensure_indexes(self) -> None:
        if self._indexed:
            return
        with self._indexing:
            for names, options in _INDEXES:
                self._collection.create_index([(name, ASCENDING) for name in names], **options)
            self._upgrade()
            self._indexed = True


def _fitness(url: str, hello: Mapping[str, Any], version: str) -> Finding:
    """Whether there is a server that takes writes."""
    primary = bool(hello.get("isWritablePrimary", hello.get("ismaster", False)))
    kind = f"replica set {hello['setName']}" if hello.get("setName") else "one server"
    if hello.get("msg") == "isdbgrid":
        kind = "sharded cluster"
    seen = f"MongoDB {version} at {url}, {kind}{'' if primary else ', without a primary'}"
    return Finding("runs", primary, seen, "see rs.status(): a majority of the members must be up")


def _leased(owner: str | None, seconds: float) -> dict[str, Any]:
    return {
        "$set": {"lease.owner": owner, "lease.ms": round(seconds * 1000)},
        "$currentDate": {"lease.at": True},
    }


def _neglected(run: dict[str, Any], grace: float) -> bool:
    rest = run["rest"]
    if run.get("owner") is not None:
        return bool(rest <= 0)
    return run["status"] == "pending" or rest is None or rest < -grace * 1000


def _fields(run: Run) -> dict[str, Any]:
    fields: dict[str, Any] = escaped(run.model_dump(mode="json", exclude={"id"}))
    return {**fields, "open": run.step != "finished", "demand": run.demand, **_shown(run)}


def _shown(run: Run) -> dict[str, Any]:
    """What lists show of the run."""
    entries = [escaped(entry.model_dump(mode="json")) for entry in entries_of(run)]
    return {
        "brief": escaped(brief_of(run).model_dump(mode="json")),
        "evaluations": entries,
        "shown": VERSION,
    }


def _asked(wanted: Mapping[str, str | None]) -> dict[str, Any]:
    """A filter; what is None is not asked for."""
    return {name: value for name, value in wanted.items() if value is not None}


def _told(touched: datetime) -> str:
    """A mark: the server's time of the last change, naive and in UTC as the driver gives it."""
    return touched.isoformat(timespec="milliseconds")


def _moment(mark: str | None) -> datetime | None:
    try:
        at = datetime.fromisoformat(mark or "")
    except ValueError:
        return None
    return at if at.tzinfo is None else None


def _briefs(runs: Documents[dict[str, Any]], seqs: Sequence[int]) -> dict[Workload, Brief]:
    """The runs at these places, which are of different workloads."""
    found = runs.find({"seq": {"$in": seqs}}, {"brief": 1})
    briefs = [Brief.model_validate(unescaped(each["brief"])) for each in found]
    return {Workload(run.client_id, run.workload_id): run for run in briefs}


def _workload(document: dict[str, Any]) -> Workload:
    return Workload(document["client_id"], document["workload_id"])


def _run(document: dict[str, Any]) -> Run:
    fields = {name: unescaped(value) for name, value in document.items() if name not in _OURS}
    return Run.model_validate({"id": document["_id"], **fields})
