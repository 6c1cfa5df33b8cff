"""Every file of the shared data, from its bytes to rows: nothing crashes, every record is accounted for."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import islice
from pathlib import Path

import pytest

from flywheel.config import DataSplitConfig, IclConfig
from flywheel.curation import (
    NotEnoughConversations,
    NotEnoughRecords,
    Reason,
    curate,
    eval_rows,
    icl_rows,
    training_rows,
)
from flywheel.curation.reading import Rejected, Unread, read
from flywheel.models import Record, Workload
from traffic import TOOLS

FILES = [
    "apibank",
    "bfcl",
    "clinc150",
    "sgd_dialogues",
    "sgd_first_turn",
    "snips",
    "tau1_airline_gpt-4o",
    "tau2_retail_ft-gpt-4.1",
    "tau2_retail_gpt-4.1",
    "wire_pydantic-ai",
]


def records_of(path: Path) -> dict[Workload, list[Record]]:
    found: defaultdict[Workload, list[Record]] = defaultdict(list)
    with path.open("rb") as stream:
        for item in read(stream, path.name):
            assert isinstance(item, Record), item
            found[item.workload].append(item)
    return found


def few(name: str, shared_data: Path) -> list[tuple[Workload, list[Record]]]:
    """The wire's workloads, which are small and odd; of the others one, to keep the test short."""
    found = records_of(shared_data / f"{name}.jsonl.gz")
    return list(islice(found.items(), None if name == "wire_pydantic-ai" else 1))


@pytest.mark.parametrize("name", FILES)
def test_every_record_is_used_or_accounted_for(name: str, shared_data: Path) -> None:
    split = DataSplitConfig(eval_size=20, limit=None, min_total_records=1)
    icl = IclConfig(max_context_length=4096, reserved_tokens=1024)
    for workload, records in few(name, shared_data):
        try:
            made = curate(records, workload=workload, split=split)
        except (NotEnoughConversations, NotEnoughRecords):
            assert name == "wire_pydantic-ai"  # Its workloads have a handful of records each.
            continue
        report = made.report
        assert report.records_in == len(records)
        assert report.records_in == report.records_out + sum(each.count for each in report.dropped)
        assert not any(report.leakage.exact.values())
        rows = [*training_rows(made.train[:50]), *eval_rows(made.eval)]
        rows += icl_rows(made.eval[:5], made.icl, icl=icl, count_tokens=lambda m, t: len(str([m, t])) // 4)
        assert all(json.dumps(row) for row in rows)


def test_what_is_wrong_with_the_wire_is_named(shared_data: Path) -> None:
    reasons: defaultdict[Reason, int] = defaultdict(int)
    for workload, records in records_of(shared_data / "wire_pydantic-ai.jsonl.gz").items():
        padding = [
            Record.of(
                workload, 1.0, {"messages": [{"role": "user", "content": f"{n}"}], "tools": TOOLS}, GOOD
            )
            for n in range(60)
        ]
        split = DataSplitConfig(limit=None)
        for each in curate([*records, *padding], workload=workload, split=split).report.dropped:
            reasons[each.reason] += each.count
    assert reasons[Reason.ARGUMENTS_NOT_JSON] == 1
    assert reasons[Reason.TRUNCATED] == 6
    assert reasons[Reason.UNSUPPORTED_CONTENT] > 10
    assert not {Reason.MALFORMED, Reason.BAD_CALL} & reasons.keys()


GOOD = {"choices": [{"message": {"role": "assistant", "content": "Fine."}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("name", ["bfcl.cases", "snips.meta"])
def test_a_file_of_something_else_is_rejected_line_by_line(name: str, shared_data: Path) -> None:
    with (shared_data / f"{name}.jsonl.gz").open("rb") as stream:
        items = list(read(stream, name))
    assert {item.reason for item in items if isinstance(item, Rejected)} == {Unread.MISSING_FIELD}
    assert [item.line for item in items if isinstance(item, Rejected)] == list(range(1, len(items) + 1))
