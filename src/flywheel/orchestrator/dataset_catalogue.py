"""The data sets that runs have made, as the entity store lists them, with their files on the hub."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from flywheel.hub import Download
from flywheel.nemo import entity_store
from flywheel.nemo.conventions import BadName, check_name
from flywheel.orchestrator.catalogue import (
    RUN_FIELD,
    asking,
    count_in,
    listing,
    opened,
    run_behind,
    size_of,
    text_in,
    when,
)
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.errors import DatasetNotListed
from flywheel.stores.runs.document import Dataset, Run

Row = dict[str, Any]


class Datasets:
    """The catalogue of data sets. Raises ServiceAway, naming the service that does not answer."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def page(
        self, *, client_id: str | None, workload_id: str | None, search: str, offset: int, limit: int
    ) -> tuple[list[Row], int]:
        """A part of the list, newest first, and how many match; `search` is looked for in the name."""
        query = {"filter[namespace]": self._context.namespace}
        for field, value in (("client_id", client_id), ("workload_id", workload_id)):
            if value is not None:
                query[f"filter[custom_fields][{field}]"] = value
        query |= {"search[name]": search} if search else {}
        with asking("entity store"):
            part = self._context.services.looks.entities.datasets_between(offset, limit, query)
        return [_entry(each) for each in part.data], part.total

    def one(self, name: str) -> Row:
        """Everything about a data set. Raises DatasetNotListed."""
        entity = self._entity(name)
        files = listing(entity.files_url, "dataset", self._context)
        run = run_behind(entity.custom_fields, self._context)
        known = _of_run(name, run)
        rows = known.files if known else _rows(entity)
        told = {"kind": known.kind, "num_records": known.num_records, "sha256": known.sha256} if known else {}
        whose = {"client_id": run.client_id, "workload_id": run.workload_id} if run else {}
        return (
            _entry(entity)
            | told
            | whose
            | {
                "size_bytes": size_of(files),
                "files": [
                    {
                        "path": file.path,
                        "rows": rows.get(file.path),
                        "size_bytes": file.size,
                        "download": f"/api/datasets/{quote(name)}/files/{quote(file.path)}",
                    }
                    for file in files
                ],
                "curation": run.curation if run else None,
            }
        )

    def open(self, name: str, path: str, byte_range: str | None) -> Download:
        """A file of a data set. Raises DatasetNotListed, FileNotListed and BadRange."""
        return opened(self._entity(name).files_url, path, "dataset", self._context, byte_range)

    def _entity(self, name: str) -> entity_store.Dataset:
        try:
            check_name("name", name)
        except BadName as error:
            raise DatasetNotListed(name) from error
        with asking("entity store"):
            found = self._context.services.looks.entities.dataset(self._context.namespace, name)
        if found is None:
            raise DatasetNotListed(name)
        return found


def _of_run(name: str, run: Run | None) -> Dataset | None:
    return next((each for each in run.datasets if each.name == name), None) if run else None


def _rows(entity: entity_store.Dataset) -> dict[str, int | None]:
    """Rows of each file, as the entity remembers them."""
    rows = entity.custom_fields.get("rows")
    return {path: count_in(rows, path) for path in rows} if isinstance(rows, dict) else {}


def _entry(entity: entity_store.Dataset) -> Row:
    fields = entity.custom_fields
    run_id = text_in(fields, RUN_FIELD)
    return {
        "namespace": entity.namespace,
        "name": entity.name,
        "kind": text_in(fields, "kind"),
        "num_records": count_in(fields, "num_records"),
        "sha256": text_in(fields, "sha256"),
        "size_bytes": None,
        "created_at": when(entity.created_at),
        "client_id": text_in(fields, "client_id"),
        "workload_id": text_in(fields, "workload_id"),
        "runs": [run_id] if run_id else [],
    }
