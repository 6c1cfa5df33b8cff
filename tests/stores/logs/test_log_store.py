"""What every store of records does, whatever it is built on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flywheel.models import Record, Workload
from flywheel.stores.logs import DAY, Added, LogStore, TimeBucket
from traffic import SHOP, answer, record, tracking

OTHER = Workload("shop", "returns")


def test_an_empty_store_says_so(store: LogStore) -> None:
    assert (list(store.query()), store.count(), store.delete()) == ([], 0, 0)
    assert (store.workloads(), store.histogram()) == ([], [])
    assert store.add([]) == Added(new=0, duplicates=0)


def test_what_goes_in_comes_out(store: LogStore) -> None:
    put = record("hällo", answer("Hi"), at=1_700_000_000.25, conversation="c1")
    store.add([put])
    (got,) = store.query()
    assert got == put
    assert got.request["messages"][0]["content"] == "hällo"
    assert got.metadata == {"conversation_id": "c1"}


def test_adding_twice_adds_nothing(store: LogStore) -> None:
    log = [tracking(number) for number in range(5)]
    assert store.add(log) == Added(new=5, duplicates=0)
    assert store.add([*log, tracking(9)]) == Added(new=1, duplicates=5)
    assert store.count() == 6


def test_the_same_call_in_another_notation_is_the_same_call(store: LogStore) -> None:
    one = record(answered={"id": "x", "choices": []}, at=1_700_000_000)
    reordered = Record(
        1_700_000_000.4,
        "support",
        "shop",
        b'{ "tools": %s, "messages": [{"content": "hello", "role": "user"}], "model": "teacher" }'
        % one.request_json.split(b'"tools":')[1][:-1],
        b'{"choices": [], "id": "x"}',
        b'{"note": "from the other system"}',
    )
    assert store.add([one, reordered]) == Added(new=1, duplicates=1)


def test_the_same_words_at_another_time_are_another_call(store: LogStore) -> None:
    assert store.add([record(at=1_700_000_000), record(at=1_700_000_001)]).new == 2


def test_newest_first_and_the_other_way(store: LogStore) -> None:
    store.add(tracking(number) for number in (3, 1, 2))
    assert [r.name for r in store.query()] == ["chat-3", "chat-2", "chat-1"]
    assert [r.name for r in store.query(newest_first=False)] == ["chat-1", "chat-2", "chat-3"]
    assert [r.name for r in store.query(limit=1)] == ["chat-3"]


def test_filters(store: LogStore) -> None:
    store.add([tracking(1, at=100.0), tracking(2, at=200.0), record(at=300.0, workload=OTHER)])
    store.add([record(at=300.0, workload=Workload("elsewhere", "support"))])
    assert store.count(SHOP) == 2
    assert store.count(client_id="shop") == 3
    assert [r.name for r in store.query(SHOP, since=100.0, until=200.0)] == ["chat-1"]
    assert [(str(s.workload), s.count, s.first, s.last) for s in store.workloads()] == [
        ("elsewhere/support", 1, 300.0, 300.0),
        ("shop/returns", 1, 300.0, 300.0),
        ("shop/support", 2, 100.0, 200.0),
    ]


def test_times_are_exact_to_the_fraction(store: LogStore) -> None:
    times = [1_700_000_000.0, 1_700_000_000.000001, 1_700_000_000.25, 1_700_000_000.7504]
    store.add(tracking(number, at=at + 2 * number) for number, at in enumerate(times))
    exact = [at + 2 * number for number, at in enumerate(times)]
    assert [r.timestamp for r in store.query(newest_first=False)] == exact
    for number, at in enumerate(exact):
        assert (store.count(since=at), store.count(until=at)) == (4 - number, number)


def test_bodies_are_kept_as_they_came(store: LogStore) -> None:
    odd = (
        rb'{"messages":[],"n":12345678901234567890123,"x":1.0,"y":1e5,"a.b":{"":null},"d":"\u00e9 \/",'
        rb'"nested":' + b'{"a":' * 60 + b"[1,[2]]" + b"}" * 60 + b"}"
    )
    put = Record(1.5, "w/☃", "c'", odd, b'{"choices":[{"index":"text"}]}', b'{"tags":["x",1]}')
    clash = Record(2.5, "w/☃", "c'", b'{"n":{"object":true}}', b'{"choices":"text"}')
    assert store.add([put, clash]).new == 2
    assert list(store.query(put.workload, newest_first=False)) == [put, clash]


def test_a_conversation_can_be_found_counted_and_erased(store: LogStore) -> None:
    store.add(tracking(number, conversation="c1" if number % 2 else "c2") for number in range(6))
    store.add([tracking(7), record("hi", at=9.0, conversation="c1", workload=OTHER)])
    asked = tracking(8)
    store.add([Record(8.0, "w", "c", asked.request_json, asked.response_json, b'{"conversation_id": 17}')])
    assert store.count(conversation_id="c1") == 4
    assert [r.name for r in store.query(SHOP, conversation_id="c1")] == ["chat-5", "chat-3", "chat-1"]
    assert store.delete(SHOP, conversation_id="c1") == 3
    assert store.delete(conversation_id="17") == 1
    assert store.delete(conversation_id="c") == 0
    assert store.count() == 5


def test_a_histogram_counts_by_interval(store: LogStore) -> None:
    store.add(tracking(number, at=at) for number, at in enumerate([0.5, DAY - 0.5, DAY, 3 * DAY + 1.0]))
    store.add([record(at=DAY + 5.0, workload=OTHER)])
    days = [TimeBucket(0.0, 2), TimeBucket(float(DAY), 2), TimeBucket(3.0 * DAY, 1)]
    assert store.histogram() == days
    assert store.histogram(SHOP, since=1.0) == [
        TimeBucket(0.0, 1),
        TimeBucket(float(DAY), 1),
        TimeBucket(3.0 * DAY, 1),
    ]
    assert store.histogram(OTHER, interval_s=3_600) == [TimeBucket(float(DAY), 1)]


def test_delete_is_for_good_and_only_what_was_said(store: LogStore) -> None:
    store.add([tracking(1, at=100.0), tracking(2, at=200.0), record(workload=OTHER)])
    assert store.delete(SHOP, until=200.0) == 1
    assert [r.name for r in store.query(SHOP)] == ["chat-2"]
    assert store.delete() == 2
    assert store.workloads() == []


def test_a_query_sees_the_moment_it_began(store: LogStore) -> None:
    store.add(tracking(number) for number in range(3))
    found = store.query(newest_first=False)
    first = next(found)
    store.add([tracking(9)])
    assert [first.name, *(r.name for r in found)] == ["chat-0", "chat-1", "chat-2"]


def test_an_abandoned_query_holds_nothing(store: LogStore) -> None:
    store.add(tracking(number) for number in range(3))
    found = store.query()
    next(found)
    del found
    assert store.delete() == 3


def test_records_are_taken_as_a_stream(store: LogStore) -> None:
    taken = 0

    def endless() -> Iterator[Record]:
        nonlocal taken
        for number in range(2_500):
            taken += 1
            yield tracking(number)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        store.add(endless())
    assert store.count() == 2_000  # Two whole batches; the open one is undone.
    assert store.add(tracking(number) for number in range(2_500)) == Added(new=500, duplicates=2_000)
