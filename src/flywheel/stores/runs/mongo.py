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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pymongo
from bson.errors import BSONError
from pymongo import ASCENDING, DESCENDING, MongoClient
from pymongo.collection import Collection
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from flywheel.config import MongoRuns, secret
from flywheel.errors import ConfigError, StorageFull
from flywheel.stores.runs.document import Run
from flywheel.stores.runs.errors import (
    IdempotencyKeyReused,
    RunNotFound,
    RunNotStorable,
    RunStoreAway,
    RunStoreFailed,
    StaleRun,
)
from flywheel.stores.runs.protocol import RunPage, RunQuery
from flywheel.telemetry.health import Finding

COLLECTION: Final = "runs"
"""Not `flywheel_runs`, which in a database of NVIDIA's blueprint holds documents of another shape."""

_INDEXES: Final[tuple[tuple[tuple[str, ...], dict[str, Any]], ...]] = (
    (("seq",), {"unique": True}),
    (("idempotency_key",), {"unique": True, "sparse": True}),
    (("open", "seq"), {}),
    (("workload_id", "client_id", "seq"), {}),
    (("status", "seq"), {}),
)
_CHECK_S: Final = 2.5
"""A server that is well answers at once."""
_OURS: Final = ("_id", "seq", "open", "demand", "lease", "idempotency_key", "fingerprint")
_INSERTS: Final = 200
"""Tries to get a place in the line; each failure means that somebody else got one."""
_ENDS: Final = {"$add": ["$lease.at", "$lease.ms"]}
_LEFT: Final = {"$subtract": [_ENDS, "$$NOW"]}
"""Milliseconds until the lease ends, or somebody comes back; null where nothing is known."""
_DISK_FULL: Final = frozenset({14031, 12501, 14037})
_NO_ENTRY: Final = frozenset({13, 18, 33, 8000})
_LATER: Final = frozenset({6, 7, 50, 64, 89, 91, 112, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""Codes of servers that stop, start, elect or are too slow."""


class MongoRunStore:
    """A RunStore in the database that `config` names. Nothing is sent before the first call."""

    def __init__(self, config: MongoRuns, *, environment: Mapping[str, str] = os.environ) -> None:
        options: dict[str, Any] = {"tlsCAFile": str(config.ca_file)} if config.ca_file else {}
        if config.username:
            options["username"] = config.username
            options["password"] = secret(
                config.password_env, where="runs.password_env", environment=environment
            )
        self._url = config.url
        try:
            self._client: MongoClient[dict[str, Any]] = MongoClient(
                config.url,
                appname="flywheel",
                timeoutMS=round(config.request_timeout * 1000),
                connectTimeoutMS=round(min(config.request_timeout, 5.0) * 1000),
                w="majority",
                readConcernLevel="majority",
                readPreference="primary",
                retryWrites=True,
                connect=False,
                **options,
            )
        except (ConfigurationError, ValueError, OSError) as error:
            raise ConfigError(f"runs: {config.url} cannot be used: {error}") from error
        self._database = config.database
        self._collection = self._client[config.database][COLLECTION]
        self._indexed = False
        self._indexing = threading.Lock()

    def create(self, run: Run, *, key: str | None = None, fingerprint: str = "") -> Run:
        document = {
            "_id": run.id,
            **_fields(run),
            "lease": {"owner": None},
            **({"idempotency_key": key, "fingerprint": fingerprint} if key is not None else {}),
        }
        with self._runs() as runs:
            for _ in range(_INSERTS):
                last = runs.find_one({}, {"seq": 1}, sort=[("seq", DESCENDING)])
                try:
                    runs.insert_one({**document, "seq": last["seq"] + 1 if last else 1})
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
            if runs.update_one(unchanged, {"$set": _fields(stored)}).matched_count == 0:
                if runs.find_one({"_id": run.id}, {"_id": 1}) is None:
                    raise RunNotFound(run.id)
                raise StaleRun(run.id, run.revision)
        return stored

    def delete(self, run_id: str) -> None:
        with self._runs() as runs:
            runs.delete_one({"_id": run_id})

    def list(self, query: RunQuery = RunQuery()) -> RunPage:  # noqa: B008 - a frozen value
        wanted = {
            "workload_id": query.workload_id,
            "client_id": query.client_id,
            "status": query.status,
        }
        matching = {name: value for name, value in wanted.items() if value is not None}
        with self._runs() as runs:
            total = runs.count_documents(matching)
            found = runs.find(matching, sort=[("seq", DESCENDING)], skip=query.offset, limit=query.limit or 0)
            return RunPage(runs=tuple(_run(document) for document in found), total=total)

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
    def _runs(self) -> Iterator[Collection[dict[str, Any]]]:
        """The collection, with its indexes; what goes wrong with it comes out as one of our errors."""
        with self._in_our_words():
            self._ensure_indexes()
            yield self._collection

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except DocumentTooLarge as error:
            raise RunNotStorable("it is larger than the 16 MB that MongoDB takes") from error
        except (BSONError, OverflowError, UnicodeEncodeError) as error:
            raise RunNotStorable(str(error)) from error
        except (ConnectionFailure, ExecutionTimeout, WTimeoutError) as error:
            raise RunStoreAway(self._url, _brief(error)) from error
        except PyMongoError as error:
            raise self._translated(error) from error

    def _translated(self, error: PyMongoError) -> Exception:
        code = error.code if isinstance(error, OperationFailure) else None
        if code in _DISK_FULL:
            return StorageFull("the state of a run (in MongoDB)")
        if code in _LATER or error.timeout:
            return RunStoreAway(self._url, _brief(error))
        if code in _NO_ENTRY:
            hint = "; check runs.username, runs.password_env and the user's roles"
            return RunStoreFailed(self._url, _brief(error) + hint, 401)
        return RunStoreFailed(self._url, _brief(error))

    def _ensure_indexes(self) -> None:
        if self._indexed:
            return
        with self._indexing:
            for names, options in _INDEXES:
                self._collection.create_index([(name, ASCENDING) for name in names], **options)
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
    fields: dict[str, Any] = _escaped(run.model_dump(mode="json", exclude={"id"}))
    return {**fields, "open": run.step != "finished", "demand": run.demand}


def _run(document: dict[str, Any]) -> Run:
    fields = {name: _unescaped(value) for name, value in document.items() if name not in _OURS}
    return Run.model_validate({"id": document["_id"], **fields})


_ESCAPES: Final = {"%": "%25", ".": "%2E", "$": "%24", "\0": "%00"}
"""What MongoDB does not take, or misreads, in the name of a field, such as that of a file."""


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {"".join(_ESCAPES.get(c, c) for c in key): _escaped(each) for key, each in value.items()}
    return [_escaped(each) for each in value] if isinstance(value, list) else value


def _unescaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain(key): _unescaped(each) for key, each in value.items()}
    return [_unescaped(each) for each in value] if isinstance(value, list) else value


def _plain(key: str) -> str:
    for plain, escaped in reversed(_ESCAPES.items()):
        key = key.replace(escaped, plain)
    return key


def _brief(error: PyMongoError) -> str:
    """The first sentence; what follows is the driver's view of the topology, or the server's whole answer."""
    return str(error).split(", Timeout: ")[0].split(", full error: ")[0]
