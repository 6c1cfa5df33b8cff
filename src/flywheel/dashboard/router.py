"""The dashboard's page at each address that a page has, and the files that it asks for.

Which page is shown, the browser decides from the address; here they are all the same file. What the page may
do is limited by its Content-Security-Policy: scripts, styles and calls of this origin only, no inline script,
and no string that becomes markup (`require-trusted-types-for`). Inline styles are allowed because plots carry
theirs.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response
from starlette.exceptions import HTTPException

from flywheel.dashboard.files import Assets, File, read_assets

PAGES = (
    "/",
    "/workloads",
    "/workloads/{client_id}/{workload_id:path}",
    "/runs",
    "/runs/{run_id}",
    "/runs/{run_id}/samples",
    "/runs/{run_id}/samples/{key:path}",
    "/compare",
    "/models",
    "/models/{name:path}",
    "/datasets",
    "/datasets/{name:path}",
    "/schedules",
    "/schedules/{schedule_id}",
    "/health",
)
"""The addresses of pages; static/lib/routes.js says which page is at which."""

_RULES = (
    "default-src 'self'",
    "script-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
)
_GUARDS = {
    "Content-Security-Policy": "; ".join(_RULES),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_FOR_GOOD = "public, max-age=31536000, immutable"

IfNoneMatch = Annotated[str, Header()]
AcceptEncoding = Annotated[str, Header()]


def router(assets: Assets | None = None) -> APIRouter:
    """The routes, over the package's own files unless others are given."""
    assets = assets or read_assets()
    api = APIRouter(include_in_schema=False)

    def page(if_none_match: IfNoneMatch = "", accept_encoding: AcceptEncoding = "") -> Response:
        """The dashboard."""
        return _sent(assets.page, "no-cache", if_none_match, accept_encoding)

    for path in PAGES:
        api.add_api_route(path, page, methods=["GET", "HEAD"])

    @api.api_route("/assets/{digest}/{name:path}", methods=["GET", "HEAD"])
    def asset(
        digest: str, name: str, if_none_match: IfNoneMatch = "", accept_encoding: AcceptEncoding = ""
    ) -> Response:
        """A file of the version `digest`; another version's are gone, and the page says that it is old."""
        file = assets.files.get(name) if digest == assets.digest else None
        if file is None:
            raise HTTPException(404, f"no file {name} in version {digest} of the dashboard")
        return _sent(file, _FOR_GOOD, if_none_match, accept_encoding)

    @api.api_route("/favicon.ico", methods=["GET", "HEAD"])
    def icon(if_none_match: IfNoneMatch = "", accept_encoding: AcceptEncoding = "") -> Response:
        """Where browsers look for it by themselves."""
        return _sent(assets.files["icon.svg"], "max-age=86400", if_none_match, accept_encoding)

    return api


def _sent(file: File, cache: str, if_none_match: str, accept_encoding: str) -> Response:
    headers = _GUARDS | {"Cache-Control": cache, "ETag": file.etag, "Vary": "Accept-Encoding"}
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    if file.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    if "gzip" in accept_encoding and len(file.packed) < len(file.content):
        return Response(
            file.packed, media_type=file.media_type, headers=headers | {"Content-Encoding": "gzip"}
        )
    return Response(file.content, media_type=file.media_type, headers=headers)
