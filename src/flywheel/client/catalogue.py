"""`client.models` and `client.datasets`: what runs made and were made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from flywheel.client.documents import Model, Moment
from flywheel.client.files import Format, Target, beneath, format_of, saved
from flywheel.client.paging import listed
from flywheel.client.routes import Resource, Route, S, call, stream
from flywheel.client.steps import Every, Steps


class StoredFile(Model):
    """One file of a model or a data set; `rows` where it has any."""

    path: str
    size_bytes: int | None = None
    rows: int | None = None


class WithFiles(Model):
    """What is made of files; lists leave them out."""

    files: list[StoredFile] = []

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(file.path for file in self.files)


class ModelEntry(WithFiles):
    """A base model of the configuration, or an adapter that a run trained."""

    name: str
    kind: str | None = None
    base_model: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    created_at: Moment | None = None
    served: bool | None = None
    deployments: list[dict[str, Any]] = []
    lineage: dict[str, Any] | None = None
    """The run, the data set and the records that it was made from."""


class DatasetEntry(WithFiles):
    """An immutable set of records that a run was trained or measured on."""

    name: str
    namespace: str | None = None
    kind: str | None = None
    num_records: int | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    created_at: Moment | None = None
    client_id: str | None = None
    workload_id: str | None = None
    runs: list[str] = []
    curation: dict[str, Any] | None = None


class Models(Resource[S]):
    """Base models and adapters. Names hold slashes: `dfwbp/customized-student@cust-…`."""

    @call("GET", "/api/models/{name:path}")
    def get(self, to: Route, /, name: str) -> Steps[ModelEntry]:
        """One model with its files, its scores and its lineage. Raises NotFound."""
        return to.at(name=name).ask(ModelEntry.read)

    @call("GET", "/api/model-files")
    def download(
        self, to: Route, /, name: str, folder: str | Path, *, path: str | None = None
    ) -> Steps[tuple[Path, ...]]:
        """Every file of an adapter, or that at `path`, beneath `folder`; where they are. Raises NotFound."""
        made: tuple[Path, ...] = ()
        paths = (path,) if path else (yield from Models.get.steps(self, name)).paths
        for wanted in paths:
            target = beneath(Path(folder), wanted)
            yield from saved(to, target, query={"name": name, "path": wanted})
            made = (*made, target)
        return made

    @stream("GET", "/api/models")
    def list(
        self,
        to: Route,
        /,
        *,
        kind: Literal["base", "adapter"] | None = None,
        search: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Steps[Every[ModelEntry]]:
        """The candidates of the configuration, then the adapters of runs, newest first; without files."""
        query = {"kind": kind, "search": search}
        return listed(to, "models", ModelEntry.read, limit=limit, offset=offset, query=query)


class Datasets(Resource[S]):
    """The data sets of runs."""

    @call("GET", "/api/datasets/{name}")
    def get(self, to: Route, /, name: str) -> Steps[DatasetEntry]:
        """One data set with its files and the report of its curation. Raises NotFound."""
        return to.at(name=name).ask(DatasetEntry.read)

    @call("GET", "/api/datasets/{name}/files/{path:path}")
    def download(
        self, to: Route, /, name: str, folder: str | Path, *, path: str | None = None
    ) -> Steps[tuple[Path, ...]]:
        """Every file of a data set, or that at `path`, beneath `folder`; where they are. Raises NotFound."""
        made: tuple[Path, ...] = ()
        paths = (path,) if path else (yield from Datasets.get.steps(self, name)).paths
        for wanted in paths:
            target = beneath(Path(folder), wanted)
            yield from saved(to.at(name=name, path=wanted), target)
            made = (*made, target)
        return made

    @call("GET", "/api/datasets/{name}/export")
    def export(
        self,
        to: Route,
        /,
        name: str,
        target: Target,
        *,
        file: str | None = None,
        format: Format | None = None,  # noqa: A002 - the API's word
    ) -> Steps[int]:
        """Write the rows of a data set, or of one file of it, as a table; how many bytes it has.

        Without a `format` it is as the path ends: `.csv`, `.parquet`, `.jsonl`.
        """
        return saved(to.at(name=name), target, query={"file": file, "format": format_of(target, format)})

    @stream("GET", "/api/datasets")
    def list(
        self,
        to: Route,
        /,
        *,
        client_id: str | None = None,
        workload_id: str | None = None,
        search: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Steps[Every[DatasetEntry]]:
        """Data sets, newest first; without their files."""
        query = {"client_id": client_id, "workload_id": workload_id, "search": search}
        return listed(to, "datasets", DatasetEntry.read, limit=limit, offset=offset, query=query)
