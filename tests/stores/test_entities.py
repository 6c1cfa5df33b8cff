"""Named documents of the services: unique, found again, changed whole or not at all, by several processes."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import StorageFull
from flywheel.nemo.conventions import ListQuery
from flywheel.stores.entities import Entities, EntityExists, EntityNotFound


@pytest.fixture
def entities(tmp_path: Path) -> Any:
    store = Entities(tmp_path / "deep" / "entities.db")
    yield store
    store.close()


def doc(name: str, namespace: str = "ns", **fields: Any) -> dict[str, Any]:
    return {"id": f"id-{namespace}-{name}", "namespace": namespace, "name": name, **fields}


def test_what_was_created_is_found_by_name_and_by_id(entities: Entities) -> None:
    made = entities.create("models", doc("a@1+x", spec={"n": 1}))
    assert made["created_at"] == made["updated_at"]
    assert entities.get("models", "ns", "a@1+x") == entities.get_by_id("models", "id-ns-a@1+x") == made


def test_names_are_unique_in_a_namespace_of_a_collection(entities: Entities) -> None:
    entities.create("models", doc("a"))
    entities.create("models", doc("a", "other"))
    entities.create("datasets", doc("a"))
    with pytest.raises(EntityExists, match="'ns/a' already exists among the models"):
        entities.create("models", {**doc("a"), "id": "new"})


def test_what_is_absent_is_named(entities: Entities) -> None:
    with pytest.raises(EntityNotFound, match="'ns/a' among the models"):
        entities.get("models", "ns", "a")
    for call in (entities.get_by_id, entities.delete):
        with pytest.raises(EntityNotFound):
            call("models", "x")
    with pytest.raises(EntityNotFound):
        entities.update("models", "x", lambda d: d)


def test_an_update_keeps_the_id_and_moves_updated_at(entities: Entities) -> None:
    made = entities.create("models", doc("a"))
    new = entities.update(
        "models", made["id"], lambda d: {**d, "name": "b", "id": "forged", "created_at": "x"}
    )
    assert (new["id"], new["created_at"], new["name"]) == (made["id"], made["created_at"], "b")
    assert new["updated_at"] > made["updated_at"]
    assert entities.get("models", "ns", "b") == new


def test_a_change_that_fails_changes_nothing(entities: Entities) -> None:
    made = entities.create("models", doc("a"))
    entities.create("models", doc("b"))
    with pytest.raises(EntityExists):
        entities.update("models", made["id"], lambda d: {**d, "name": "b"})
    with pytest.raises(ZeroDivisionError):
        entities.update("models", made["id"], lambda d: {**d, "n": 1 // 0})
    assert entities.all("models")[0] == made


def test_updates_from_many_threads_all_count(entities: Entities) -> None:
    made = entities.create("jobs", doc("a", n=0))

    def count() -> None:
        for _ in range(20):
            entities.update("jobs", made["id"], lambda d: {**d, "n": d["n"] + 1})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert entities.get_by_id("jobs", made["id"])["n"] == 80


def test_lists_come_newest_first_unless_asked_otherwise(entities: Entities) -> None:
    for name in "abc":
        entities.create("models", doc(name))
    assert [d["name"] for d in entities.list("models", ListQuery()).data] == ["c", "b", "a"]
    assert [d["name"] for d in entities.list("models", ListQuery(sort="name", page_size=2)).data] == [
        "a",
        "b",
    ]


def test_deleting_gives_back_what_was_there_and_frees_the_name(entities: Entities) -> None:
    made = entities.create("models", doc("a"))
    assert entities.delete("models", made["id"]) == made
    entities.create("models", doc("a"))


def test_a_process_that_is_killed_has_lost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "entities.db"
    script = (
        "import os, signal, sys; from pathlib import Path; from flywheel.stores.entities import Entities\n"
        "e = Entities(Path(sys.argv[1]))\n"
        "e.create('m', {'id': '1', 'namespace': 'ns', 'name': 'a'})\n"
        "e.update('m', '1', lambda d: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=60).returncode == -9
    entities = Entities(path)
    assert [d["name"] for d in entities.all("m")] == ["a"]
    entities.create("m", doc("b"))
    entities.close()


def test_a_full_disk_is_said_to_be_full_and_nothing_is_half_there(entities: Entities) -> None:
    entities.create("models", doc("a"))
    with entities._database.read() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFull, match="models ns/big"):
        entities.create("models", doc("big", text="x" * 100_000))
    assert [d["name"] for d in entities.all("models")] == ["a"]
