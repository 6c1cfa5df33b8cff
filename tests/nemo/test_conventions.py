"""Ids, times, names, filters and pages as NeMo writes them."""

import re
from datetime import datetime

import pytest
from starlette.datastructures import QueryParams

from flywheel.nemo.conventions import BadName, BadQuery, Deleted, ListQuery, check_name, new_id, timestamp


def query(text: str) -> ListQuery:
    return ListQuery.from_params(QueryParams(text))


DOCS = [
    {"name": "a", "namespace": "x", "status": "created", "base_model": "meta/llama", "n": 3,
     "created_at": "2025-01-01T00:00:00.000000", "peft": {"finetuning_type": "lora"}},
    {"name": "b", "namespace": "x", "status": "running", "base_model": {"name": "llama", "namespace": "meta"},
     "created_at": "2025-02-01T00:00:00.000000", "peft": None, "tags": ["red", "blue"]},
    {"name": "c", "namespace": "y", "status": "failed", "created_at": "2025-03-01T00:00:00.000000", "n": 10},
]  # fmt: skip


def names(text: str) -> str:
    return "".join(d["name"] for d in query(text).select(DOCS).data)


def test_ids_are_a_prefix_and_a_base58_uuid() -> None:
    assert re.fullmatch(r"cust-[1-9A-HJ-NP-Za-km-z]{16,22}", new_id("cust"))
    assert len({new_id("x") for _ in range(100)}) == 100


def test_timestamps_are_naive_and_have_microseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", timestamp())
    assert datetime.fromisoformat(timestamp()).tzinfo is None


def test_a_delete_names_what_is_gone() -> None:
    deleted = Deleted(id="dataset-1").model_dump()
    assert deleted["message"] == "Resource deleted successfully."
    assert deleted.keys() == {"message", "id", "deleted_at"}


@pytest.mark.parametrize("name", ["a", "llama-3.2-1b-instruct@v1.0.0+dfw", "A_1.b", "9"])
def test_names_that_the_wire_knows_are_names(name: str) -> None:
    assert check_name("name", name) == name


@pytest.mark.parametrize("name", ["", "..", ".a", "a/b", "a\\b", "a b", "a\n", "a\0", "x" * 256, "-a", "é"])
def test_what_could_be_a_path_or_a_flag_is_no_name(name: str) -> None:
    with pytest.raises(BadName):
        check_name("name", name)


def test_slashes_are_allowed_where_asked_and_still_lead_nowhere() -> None:
    assert check_name("model", "meta/llama-3.2", slashes=True)
    for bad in ("meta/../etc", "/etc", "meta//x", "meta/"):
        with pytest.raises(BadName):
            check_name("model", bad, slashes=True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "cba"),
        ("sort=created_at", "abc"),
        ("sort=name", "abc"),
        ("sort=-n", "cab"),
        ("filter[namespace]=x", "ba"),
        ("filter[status]=created,failed", "ca"),
        ("filter[status]=created&filter[status]=failed", "ca"),
        ("filter[namespace]=x&filter[status]=running", "b"),
        ("filter[peft]=true", "a"),
        ("filter[peft]=false", "cb"),
        ("filter[peft][finetuning_type]=lora", "a"),
        ("filter[base_model]=meta/llama", "ba"),
        ("filter[base_model][name]=meta/llama", "a"),
        ("filter[created_at][gte]=2025-02-01T00:00:00", "cb"),
        ("filter[created_at][gte]=2025-02-01T01:00:00%2B01:00&filter[created_at][lte]=2025-02-15", "b"),
        ("filter[created_at][lt]=2025-02-01", "a"),
        ("filter[n]=3", "a"),
        ("filter[n][gt]=3", "c"),
        ("filter[tags]=blue", "b"),
        ("filter[nothing]=x", ""),
        ("search[name]=A,b", "ba"),
        ("search[base_model]=LLA", "ba"),
        ("search[peft][finetuning_type]=lo", "a"),
        ("search[created_at][start]=2025-02-01&search[created_at][end]=2025-02-20", "b"),
        ("job_id=ignored&unknown[x]=1", "cba"),
    ],
)  # fmt: skip
def test_lists_are_filtered_searched_and_sorted(text: str, found: str) -> None:
    assert names(text) == found


def test_a_page_past_the_end_is_empty_and_tells_the_truth() -> None:
    page = query("page=3&page_size=2&filter[namespace]=x").select(DOCS).model_dump()
    assert page == {
        "object": "list",
        "data": [],
        "pagination": {
            "page": 3, "page_size": 2, "current_page_size": 0, "total_pages": 1, "total_results": 2,
        },
        "sort": "-created_at",
        "filter": {"namespace": "x"},
    }  # fmt: skip


@pytest.mark.parametrize("text", ["page=0", "page=-1", "page=x", "page_size=1.5", "page_size=0", "page=²"])
def test_a_senseless_page_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadQuery, match=r"page(_size)?="):
        query(text)


def test_a_filter_is_not_both_a_value_and_a_group() -> None:
    for text in ("filter[a]=1&filter[a][b]=2", "filter[a][b]=2&filter[a]=1"):
        with pytest.raises(BadQuery):
            query(text)
