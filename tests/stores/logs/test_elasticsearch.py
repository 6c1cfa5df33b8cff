"""What is special about records in Elasticsearch: index, rejections, restarts, credentials."""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import socket
import ssl
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

import servers
from elasticsearch_front import Answer, Front, PassOn, Request, error, front_of, make_certificates, says
from flywheel.config import DataSplitConfig, ElasticsearchRecords, parse
from flywheel.curation import curate
from flywheel.curation.curate import dataset_id
from flywheel.errors import ConfigError, FlywheelError, StorageFull
from flywheel.models import Record, Workload
from flywheel.orchestrator.trouble import passing
from flywheel.stores.logs import (
    Added,
    EmbeddedLogStore,
    LogStoreDenied,
    LogStoreOverloaded,
    LogStoreRefused,
    LogStoreUnreachable,
    RecordRefused,
)
from flywheel.stores.logs.elasticsearch import ElasticsearchLogStore
from traffic import SHOP, answer, record, tracking

Make = Callable[..., ElasticsearchLogStore]
SECRET = "c2VjcmV0LWlkOnNlY3JldC1rZXk="
REJECTED = {
    "type": "es_rejected_execution_exception",
    "reason": "rejected execution of coordinating operation",
}


@pytest.fixture
def front(elasticsearch_url: str) -> Iterator[Front]:
    with front_of(elasticsearch_url) as found:
        yield found


class TestTheIndex:
    def test_it_is_made_from_the_template_with_the_first_record(self, make_store: Make, front: Front) -> None:
        store = make_store(url=front.url, shards=2, replicas=1)
        assert store.count() == 0
        assert not front.sent("PUT", store._index)
        store.add([tracking(1)])
        settings = httpx.get(f"{front.url}/{store._index}/_settings", timeout=20).json()
        index = settings[store._index]["settings"]["index"]
        assert (index["number_of_shards"], index["number_of_replicas"]) == ("2", "1")
        (made,) = front.sent("PUT", f"_index_template/flywheel-{store._index}")
        assert json.loads(made.body)["template"]["mappings"]["dynamic"] is False

    def test_bodies_are_stored_and_not_exploded_into_fields(
        self, make_store: Make, elasticsearch_url: str
    ) -> None:
        store = make_store()
        wide = {"messages": [], **{f"field-{number}": number for number in range(2_000)}}
        store.add([record(wide, conversation="c")])
        mapping = httpx.get(f"{elasticsearch_url}/{store._index}/_mapping", timeout=20).json()
        fields = mapping[store._index]["mappings"]["properties"]
        assert "properties" not in fields["request"]
        assert len(fields) == 7

    def test_a_stranger_s_fields_are_kept_and_its_nonsense_left_out(
        self, make_store: Make, elasticsearch_url: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = make_store()
        store.add([tracking(1)])
        url = f"{elasticsearch_url}/{store._index}/_doc"
        wire = {"timestamp": "2024-01-01T00:00:00Z", "workload_id": "w", "client_id": "c", "team": {"a": 1}}
        httpx.post(url, json=wire | {"request": {}, "response": {}}, timeout=20).raise_for_status()
        httpx.post(url, json=wire, timeout=20).raise_for_status()
        with caplog.at_level(logging.WARNING):
            (found,) = store.query(Workload("c", "w"))
        assert found.timestamp == 1_704_067_200
        assert "left out documents that are no records" in caplog.text

    def test_an_index_of_something_else_is_left_alone(self, make_store: Make, elasticsearch_url: str) -> None:
        store = make_store()
        url = f"{elasticsearch_url}/{store._index}"
        httpx.post(f"{url}/_doc", json={"client_id": "x"}, timeout=20).raise_for_status()
        for work in (store.count, lambda: store.add([tracking(1)])):
            with pytest.raises(LogStoreRefused, match=r"holds something else than records.*records.index"):
                work()

    def test_what_was_added_by_one_store_is_seen_by_another_at_once(self, make_store: Make) -> None:
        make_store().add([tracking(1)])
        assert make_store().count() == 1

    @pytest.mark.parametrize("limit", [None, 150])
    def test_the_same_data_set_comes_out_as_of_the_embedded_store(
        self, make_store: Make, tmp_path: Path, limit: int | None
    ) -> None:
        log = [
            tracking(number, at=1e9 + number // 100, conversation=f"c{number % 90}") for number in range(300)
        ]
        log += [
            record("again", answer(f"{number % 3}"), at=1e9 + 1.0, id_=f"a{number}") for number in range(9)
        ]
        split = DataSplitConfig(eval_size=20, limit=limit)
        made = []
        for store in (make_store(shards=3), EmbeddedLogStore(tmp_path / "r")):
            store.add(log)
            made.append(dataset_id(curate(store.query(SHOP), workload=SHOP, split=split)))
        assert made[0] == made[1]

    def test_many_make_it_at_once(self, make_store: Make) -> None:
        stores = [make_store() for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda store: store.add(tracking(number) for number in range(20)), stores))
        assert sum(each.new for each in told) == 20
        assert {store.count() for store in stores} == {20}

    def test_an_index_that_somebody_removed_is_empty_and_made_again(
        self, make_store: Make, elasticsearch_url: str
    ) -> None:
        store = make_store()
        store.add([tracking(1)])
        httpx.delete(f"{elasticsearch_url}/{store._index}", timeout=20).raise_for_status()
        assert (store.count(), list(store.query()), store.delete()) == (0, [], 0)
        assert store.add([tracking(1, conversation="c")]).new == 1
        assert store.count(conversation_id="c") == 1

    def test_an_alias_of_several_indices_is_read_as_one(
        self, make_store: Make, elasticsearch_url: str
    ) -> None:
        alias = f"{make_store()._index}-all"
        old, new = make_store(index=f"{alias}-old"), make_store(index=f"{alias}-new")
        old.add([tracking(1, conversation="c"), tracking(2)])
        new.add([tracking(3)])
        with httpx.Client(base_url=elasticsearch_url, timeout=20) as client:
            try:
                add = [
                    {"add": {"index": f"{alias}-{name}", "alias": alias, "is_write_index": name == "new"}}
                    for name in ("old", "new")
                ]
                client.post("/_aliases", json={"actions": add}).raise_for_status()
                both = make_store(index=alias)
                assert both.add([tracking(4)]).new == 1
                assert [r.name for r in both.query()] == ["chat-4", "chat-3", "chat-2", "chat-1"]
                assert (both.delete(conversation_id="c"), old.count(), new.count()) == (1, 1, 2)
            finally:
                for name in ("old", "new"):
                    client.delete(f"/{alias}-{name}")
                    client.delete(f"/_index_template/flywheel-{alias}-{name}")

    def test_without_the_right_to_refresh_reads_still_work(self, make_store: Make, front: Front) -> None:
        denied = error(403, "security_exception", "action [indices:admin/refresh] is unauthorized")
        front.rule = lambda request, pass_on: denied if request.is_("POST", "_refresh") else pass_on(request)
        make_store().add([tracking(1)])
        make_store().count()
        assert make_store(url=front.url).count() == 1

    def test_more_workloads_than_a_page_of_them(self, make_store: Make) -> None:
        store = make_store()
        store.add(record(workload=Workload("c", f"w{number:04}")) for number in range(1_001))
        assert [each.workload.workload_id for each in store.workloads()] == [f"w{n:04}" for n in range(1_001)]

    def test_more_deletions_than_fit_in_one_call(self, make_store: Make, front: Front) -> None:
        store = make_store(url=front.url)
        store.add(Record(float(number), "w", "c", b"{}", b"{}") for number in range(10_005))
        assert store.delete(since=1.0) == 10_004
        assert len(front.sent("POST", "_delete_by_query")) == 2
        assert [r.timestamp for r in store.query()] == [0.0]

    def test_pages_grow_and_shrink_with_the_records(self, make_store: Make, front: Front) -> None:
        store = make_store(url=front.url)
        store.add(tracking(number, at=5e8 + number) for number in range(3_000))
        long = "x" * 1_000_000
        store.add(record(f"{number} {long}", at=4e8 + number) for number in range(12))
        assert sum(1 for _ in store.query()) == 3_012
        sizes = [json.loads(request.body)["size"] for request in front.sent("POST", "_search")]
        assert sizes[:2] == [100, 2_000]
        assert next(store.query(limit=1)).timestamp == 5e8 + 2_999

    def test_what_the_server_warns_of_is_logged_once(
        self, make_store: Make, front: Front, caplog: pytest.LogCaptureFixture
    ) -> None:
        def rule(request: Request, pass_on: PassOn) -> Answer:
            answer = pass_on(request)
            warning = '299 Elasticsearch-8.19.4 "security features are not enabled"'
            return Answer(answer.status, answer.body, answer.headers | {"warning": warning})

        front.rule = rule
        with caplog.at_level(logging.WARNING):
            make_store(url=front.url).add([tracking(1)])
        told = [each for each in caplog.records if each.getMessage() == "Elasticsearch warns"]
        assert ["not enabled" in str(vars(each)) for each in told] == [True]

    def test_it_speaks_a_version_that_servers_8_and_9_understand(
        self, make_store: Make, front: Front
    ) -> None:
        make_store(url=front.url).add([tracking(1)])
        for request in front.requests:
            told = [request.headers[name] for name in ("accept", "content-type") if name in request.headers]
            assert told
            assert all("compatible-with=8" in each for each in told)


class TestRejections:
    def test_a_rejected_bulk_is_sent_again_after_growing_pauses(self, make_store: Make, front: Front) -> None:
        left, pauses = [4], []

        def rule(request: Request, pass_on: PassOn) -> Answer:
            if request.is_("PUT", "_bulk") and left[0]:
                left[0] -= 1
                return error(429, REJECTED["type"], REJECTED["reason"])
            return pass_on(request)

        front.rule = rule
        store = make_store(url=front.url, pause=pauses.append)
        assert store.add(tracking(number) for number in range(1_500)) == Added(new=1_500, duplicates=0)
        assert pauses == sorted(pauses)
        assert len(pauses) == 4
        assert store.count() == 1_500

    def test_only_the_rejected_records_are_sent_again(self, make_store: Make, front: Front) -> None:
        sent: list[int] = []

        def rule(request: Request, pass_on: PassOn) -> Answer:
            if not request.is_("PUT", "_bulk"):
                return pass_on(request)
            lines = request.body.splitlines(keepends=True)
            sent.append(len(lines) // 2)
            kept = len(lines) // 4 * 2 or len(lines)
            answer = pass_on(Request(request.method, request.path, request.headers, b"".join(lines[:kept])))
            items = answer.json.get("items") or [{"create": {"status": 201}}] * (kept // 2)
            rejected = [{"create": {"status": 429, "error": REJECTED}}] * ((len(lines) - kept) // 2)
            return says(200, {"errors": bool(rejected), "items": items + rejected})

        front.rule = rule
        store = make_store(url=front.url)
        assert store.add(tracking(number) for number in range(8)) == Added(new=8, duplicates=0)
        assert sent == [8, 4, 2, 1]
        assert store.count() == 8

    def test_patience_ends_and_importing_again_completes_it(self, make_store: Make, front: Front) -> None:
        bulks: list[Request] = []

        def rule(request: Request, pass_on: PassOn) -> Answer:
            if request.is_("PUT", "_bulk"):
                bulks.append(request)
                if len(bulks) > 1:
                    return says(
                        503, {"error": {"type": "unavailable_shards_exception", "reason": "no shard"}}
                    )
            return pass_on(request)

        front.rule = rule
        store = make_store(url=front.url)
        with pytest.raises(LogStoreOverloaded, match=r"is overloaded: answered 503: .*no shard; try again"):
            store.add(tracking(number) for number in range(1_200))
        front.rule = lambda request, pass_on: pass_on(request)
        assert store.add(tracking(number) for number in range(1_200)) == Added(new=200, duplicates=1_000)

    def test_a_record_that_the_index_refuses_is_named_and_the_others_are_kept(self, make_store: Make) -> None:
        store = make_store()
        bad = record(workload=Workload("c", "w" * 40_000), id_="chat-bad")
        with pytest.raises(RecordRefused, match=r"the record chat-bad was not stored: .*workload_id"):
            store.add([tracking(1), bad, tracking(2)])
        assert store.count() == 2

    def test_a_request_that_is_too_large_is_sent_in_parts(self, make_store: Make, front: Front) -> None:
        def rule(request: Request, pass_on: PassOn) -> Answer:
            return (
                Answer(413, b"<html>", {"content-type": "text/html"})
                if len(request.body) > 3_000
                else (pass_on(request))
            )

        front.rule = rule
        store = make_store(url=front.url)
        assert store.add(tracking(number) for number in range(20)).new == 20
        with pytest.raises(RecordRefused, match="chat-big was not stored: it is too large"):
            store.add([tracking(30), record("x" * 4_000, id_="chat-big")])
        assert store.count() == 21

    @pytest.mark.parametrize("work", ["add", "delete"])
    def test_a_disk_that_is_nearly_full(self, make_store: Make, elasticsearch_url: str, work: str) -> None:
        store = make_store()
        store.add([tracking(1)])
        block = {"index.blocks.read_only_allow_delete": True}
        url = f"{elasticsearch_url}/{store._index}/_settings"
        httpx.put(url, json=block, timeout=20).raise_for_status()
        with pytest.raises(StorageFull, match="no space left on the disk"):
            store.add(tracking(number) for number in range(3)) if work == "add" else store.delete()
        assert store.count() == 1
        httpx.put(url, json=dict.fromkeys(block), timeout=20).raise_for_status()
        assert store.add(tracking(number) for number in range(3)).new == 2

    def test_an_index_that_somebody_closed_for_writing(
        self, make_store: Make, elasticsearch_url: str
    ) -> None:
        store = make_store()
        store.add([tracking(1)])
        url = f"{elasticsearch_url}/{store._index}/_settings"
        httpx.put(url, json={"index.blocks.write": True}, timeout=20).raise_for_status()
        with pytest.raises(LogStoreDenied, match=r"does not allow this: .*index write"):
            store.add([tracking(2)])


class TestPointsInTime:
    def test_one_that_expired_is_replaced_and_no_record_comes_twice(
        self, make_store: Make, front: Front
    ) -> None:
        store = make_store(url=front.url)
        store.add(tracking(number, at=float(number // 30)) for number in range(500))
        found = store.query()
        names = [next(found).name for _ in range(100)]  # Page one ends in the middle of a second.
        pit = {"id": _pits(front)[-1]}
        httpx.request("DELETE", f"{front.url}/_pit", json=pit, timeout=20).raise_for_status()
        names += [r.name for r in found]
        assert len(front.sent("POST", "_pit")) == 2
        assert sorted(names) == sorted(f"chat-{number}" for number in range(500))

    @pytest.mark.parametrize("taken", [1, 150, 500])
    def test_it_is_closed_when_the_query_is_done_or_dropped(
        self, make_store: Make, front: Front, taken: int
    ) -> None:
        store = make_store(url=front.url)
        store.add(tracking(number) for number in range(500))
        found = store.query()
        for _ in range(taken):
            next(found)
        del found
        (closed,) = front.sent("DELETE", "_pit")
        assert json.loads(closed.body)["id"] == _pits(front)[-1]

    def test_a_search_without_all_its_shards_is_no_answer(self, make_store: Make, front: Front) -> None:
        store = make_store(url=front.url)
        store.add([tracking(1)])
        list(store.query())
        (search,) = front.sent("POST", "_search")
        assert "allow_partial_search_results=false" in search.path


def _pits(front: Front) -> list[str]:
    return [
        json.loads(each.body)["pit"]["id"] for each in front.sent("POST", "_search") if b'"pit"' in each.body
    ]


class TestGoneAndBack:
    def test_a_server_that_is_killed_and_comes_back_loses_nothing(self, tmp_path: Path) -> None:
        with ExitStack() as stack:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = str(free.getsockname()[1])

            def start() -> dict[str, Any]:
                return stack.enter_context(servers.testbed("search", "--dir", str(tmp_path), "--port", port))

            server = start()

            def pause(_: float) -> None:  # What waiting is for.
                nonlocal server
                server = start()

            settings = {"type": "elasticsearch", "url": server["url"]}
            store = ElasticsearchLogStore(
                parse(ElasticsearchRecords, settings, where="test"), environment={}, pause=pause
            )

            def log() -> Iterator[Record]:
                for number in range(2_500):
                    if number == 1_700:
                        os.kill(server["pid"], signal.SIGKILL)
                    yield tracking(number)

            assert store.add(log()) == Added(new=2_500, duplicates=0)
            found = store.query(newest_first=False)
            names = [next(found).name for _ in range(100)]
            os.kill(server["pid"], signal.SIGKILL)
            names += [r.name for r in found]
            assert names == [f"chat-{number}" for number in range(2_500)]
            store.close()

    def test_a_connection_that_breaks_in_a_bulk(self, make_store: Make, front: Front) -> None:
        broken: list[Request] = []

        def rule(request: Request, pass_on: PassOn) -> Answer:
            answer = pass_on(request)
            if request.is_("PUT", "_bulk") and not broken:
                broken.append(request)
                raise ConnectionResetError
            return answer

        front.rule = rule
        store = make_store(url=front.url)
        told = store.add(tracking(number) for number in range(10))
        assert (told.new + told.duplicates, store.count()) == (10, 10)

    def test_a_store_can_be_made_before_its_server_and_says_where_it_looked(self, make_store: Make) -> None:
        store = make_store(url="http://127.0.0.1:9")
        with pytest.raises(
            LogStoreUnreachable,
            match=r"Elasticsearch at http://127\.0\.0\.1:9 cannot be reached: Connection refused",
        ):
            store.count()

    def test_a_server_that_does_not_answer_in_time(self, make_store: Make) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            store = make_store(url=f"http://127.0.0.1:{silent.getsockname()[1]}", request_timeout=0.1)
            with pytest.raises(LogStoreUnreachable, match=r"no answer within 0\.1 seconds"):
                store.count()

    @pytest.mark.parametrize(
        ("status", "passes"),
        [(400, False), (401, False), (403, False), (429, True), (500, True), (503, True)],
    )
    def test_a_run_waits_for_what_passes_by_itself_only(
        self, make_store: Make, front: Front, status: int, passes: bool
    ) -> None:
        front.rule = lambda request, pass_on: error(status, "odd_exception", "odd")
        with pytest.raises(FlywheelError) as raised:
            make_store(url=front.url).count()
        assert passing(raised.value) is passes

    @pytest.mark.parametrize(
        ("body", "kind", "told"),
        [
            (b"{}", "application/json", "is not Elasticsearch"),
            (b"<html>", "application/json", "not JSON"),
            (b"[]", "application/json", "not JSON"),
            (b"<html>", "text/html", "is not Elasticsearch"),
        ],
    )
    def test_another_program_at_the_address(
        self, make_store: Make, front: Front, body: bytes, kind: str, told: str
    ) -> None:
        front.rule = lambda request, pass_on: Answer(200, body, {"content-type": kind})
        with pytest.raises(LogStoreRefused, match=told):
            make_store(url=front.url).count()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    return make_certificates(tmp_path_factory.mktemp("tls"))


class TestCredentials:
    @pytest.fixture
    def tls(
        self, elasticsearch_url: str, certificates: tuple[Path, ssl.SSLContext]
    ) -> Iterator[tuple[Front, Path]]:
        with front_of(elasticsearch_url, certificates[1]) as front:
            yield front, certificates[0]

    def test_an_api_key_arrives_over_tls(self, make_store: Make, tls: tuple[Front, Path]) -> None:
        front, ca = tls
        store = make_store({"KEY": SECRET}, url=front.url, ca_file=str(ca), api_key_env="KEY")
        assert store.add([tracking(1)]).new == 1
        assert [r.name for r in store.query(SHOP)] == ["chat-1"]
        assert {request.headers["authorization"] for request in front.requests} == {f"ApiKey {SECRET}"}

    def test_a_user_and_a_password_arrive(self, make_store: Make, front: Front) -> None:
        store = make_store({"PASS": "pä:ss"}, url=front.url, username="ada", password_env="PASS")
        assert store.count() == 0
        sent = {request.headers["authorization"] for request in front.requests}
        assert sent == {"Basic " + base64.b64encode("ada:pä:ss".encode()).decode()}

    def test_an_authority_that_is_not_known(self, make_store: Make, tls: tuple[Front, Path]) -> None:
        store = make_store({"KEY": SECRET}, url=tls[0].url, api_key_env="KEY")
        with pytest.raises(LogStoreRefused, match=r"TLS failed \(.*certificate.*\); records.ca_file names"):
            store.count()
        assert not tls[0].requests

    def test_a_certificate_of_another_host(self, make_store: Make, tls: tuple[Front, Path]) -> None:
        url = tls[0].url.replace("127.0.0.1", "localhost")
        store = make_store(url=url, ca_file=str(tls[1]))
        with pytest.raises(LogStoreRefused, match=r"TLS failed \(.*localhost"):
            store.count()

    @pytest.mark.parametrize(("content", "told"), [(None, "No such file"), ("no PEM", "is no PEM file")])
    def test_a_ca_file_that_is_none(
        self, make_store: Make, tmp_path: Path, content: str | None, told: str
    ) -> None:
        ca = tmp_path / "ca.pem"
        if content:
            ca.write_text(content, "utf-8")
        with pytest.raises(ConfigError, match=f"records.ca_file: .*ca.pem: {told}"):
            make_store(url="https://127.0.0.1:9", ca_file=str(ca))

    def test_refused_credentials_name_the_setting(self, make_store: Make, front: Front) -> None:
        front.rule = lambda request, pass_on: error(401, "security_exception", "unable to authenticate")
        store = make_store({"KEY": SECRET}, url=front.url, api_key_env="KEY")
        with pytest.raises(LogStoreDenied, match=r"the API key in KEY was refused; see records.api_key_env"):
            store.add([tracking(1)])

    def test_a_missing_right_is_told_in_the_server_s_words(self, make_store: Make, front: Front) -> None:
        words = "action [indices:admin/create] is unauthorized for user [ada]"
        front.rule = lambda request, pass_on: (
            error(403, "security_exception", words) if request.method == "PUT" else pass_on(request)
        )
        store = make_store({"PASS": "x"}, url=front.url, username="ada", password_env="PASS")
        with pytest.raises(
            LogStoreDenied, match=r"user 'ada' lacks a right: action \[indices:admin/create\]"
        ):
            store.add([tracking(1)])

    @pytest.mark.parametrize(
        ("settings", "told"),
        [
            ({"api_key_env": "KEY"}, "records.api_key_env: the environment variable KEY is not set"),
            ({"username": "ada", "password_env": "NO"}, "records.password_env: the environment variable NO"),
            ({"api_key_env": "BAD"}, "records.api_key_env: what BAD holds is no API key"),
        ],
    )
    def test_credentials_that_cannot_be_used(
        self, make_store: Make, settings: dict[str, Any], told: str
    ) -> None:
        with pytest.raises(ConfigError, match=told) as raised:
            make_store({"BAD": f"{SECRET}\n"}, **settings)
        assert SECRET not in _all_of(raised.value)

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
    @pytest.mark.parametrize("html", [True, False], ids=["html", "json"])
    def test_no_secret_in_an_error_or_a_log_even_where_the_server_repeats_it(
        self, make_store: Make, front: Front, caplog: pytest.LogCaptureFixture, status: int, html: bool
    ) -> None:
        def rule(request: Request, pass_on: PassOn) -> Answer:
            said = f"who are you, {request.headers['authorization']}?"
            if html:
                return Answer(status, f"<p>{said}".encode(), {"content-type": "text/html"})
            return error(status, "odd_exception", said)

        front.rule = rule
        store = make_store({"KEY": SECRET}, url=front.url, api_key_env="KEY")
        with caplog.at_level(logging.INFO), pytest.raises(FlywheelError) as raised:
            store.add([tracking(1)])
        assert SECRET not in _all_of(raised.value)
        assert SECRET not in caplog.text
        assert SECRET not in f"{store!r} {store._client!r} {store._client._es!r}"


def _all_of(problem: BaseException) -> str:
    return "".join(traceback.format_exception(problem)) + repr(problem)
