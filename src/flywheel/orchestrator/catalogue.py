"""What the catalogues of models and data sets have in common: services that may be away, files, lineage.

Everything is asked of the services over HTTP, by clients that do not wait long, since they may be anywhere.
The run's document is asked for what the services cannot know; where it was deleted the rest is still told.
Others may write into an entity store too, and write anything: what is of an unexpected kind is not told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from flywheel.errors import FlywheelError, NotFound
from flywheel.hub import BadHubUrl, Download, HubFile, HubNotFound, parse_hf_url
from flywheel.orchestrator.context import Context
from flywheel.orchestrator.errors import FileNotListed, ServiceAway
from flywheel.orchestrator.trouble import passing
from flywheel.orchestrator.wire import moment
from flywheel.stores.runs import Run, RunNotFound
from flywheel.stores.runs.document import is_run_id

RUN_FIELD = "flywheel_run"
"""The custom field of an entity that holds the id of the run that made it."""


@contextmanager
def asking(service: str) -> Iterator[None]:
    """Raises ServiceAway, naming the service, where it does not answer."""
    try:
        yield
    except FlywheelError as error:
        if passing(error):
            raise ServiceAway(service, str(error)) from error
        raise


def run_behind(custom_fields: Mapping[str, Any], context: Context) -> Run | None:
    """The run that made an entity with these custom fields; None where it is not known, or was deleted."""
    run_id = text_in(custom_fields, RUN_FIELD)
    if run_id is None or not is_run_id(run_id):
        return None
    try:
        return context.runs.load(run_id)
    except RunNotFound:
        return None


def text_in(custom_fields: Mapping[str, Any], name: str) -> str | None:
    """The field's text; None where it has none."""
    found = custom_fields.get(name)
    return found if isinstance(found, str) else None


def count_in(custom_fields: Mapping[str, Any], name: str) -> int | None:
    """The field's whole number; None where it has none."""
    found = custom_fields.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def listing(files_url: str, kind: Literal["dataset", "model"], context: Context) -> list[HubFile]:
    """The files of an entity; none where there is no repository, or where it is on no hub."""
    try:
        place = parse_hf_url(files_url)
        with asking("data store"):
            return context.services.hub.listing(
                place.repo_id, repo_type=kind, revision=place.revision or "main"
            )
    except (NotFound, BadHubUrl):
        return []


def opened(
    files_url: str,
    path: str,
    kind: Literal["dataset", "model"],
    context: Context,
    byte_range: str | None,
) -> Download:
    """A file of an entity, to be passed on. Raises FileNotListed, BadRange and ServiceAway."""
    try:
        place = parse_hf_url(files_url)
        with asking("data store"):
            return context.services.hub.open(
                place.repo_id,
                path,
                repo_type=kind,
                revision=place.revision or "main",
                byte_range=byte_range,
            )
    except (HubNotFound, BadHubUrl) as error:
        raise FileNotListed(files_url, path) from error


def size_of(files: list[HubFile]) -> int | None:
    """Bytes of all files together; None where that is not known."""
    sizes = [file.size for file in files]
    return None if not sizes or None in sizes else sum(size or 0 for size in sizes)


def when(created_at: str | None) -> str | None:
    """NeMo's naive UTC time, as our API tells times; None for what is no time."""
    if created_at is None:
        return None
    try:
        at = datetime.fromisoformat(created_at)
    except ValueError:
        return None
    return moment(at if at.tzinfo else at.replace(tzinfo=UTC))
