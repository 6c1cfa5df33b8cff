"""The files of the dashboard on the wire, and what they are made of."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient

from flywheel.dashboard.files import FOLDER, read_assets
from flywheel.dashboard.router import PAGES, router
from flywheel.web import make_app

ASSETS = read_assets()
OWN = sorted(path for path in FOLDER.rglob("*.js") if path.parent.name != "vendor")
CHARTS = "vendor/plot.js"
LIMIT_BYTES = 300_000


@pytest.fixture(scope="module")
def client() -> TestClient:
    api = APIRouter()
    api.add_api_route("/api/jobs", lambda: {"jobs": []})
    api.add_api_route("/health/live", lambda: {"status": "live"})
    return TestClient(make_app("Flywheel", "problem", [router(), api]))


@pytest.mark.parametrize(
    "address",
    ["/", "/runs", "/runs/abc/samples/a%2Fb", "/workloads/app/a%2Fb%20c", "/models/a%2Fb@1", "/health"],
)
def test_every_page_address_is_the_page(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert "require-trusted-types-for 'script'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert f"/assets/{ASSETS.digest}/app.js" in answer.text


def test_other_routes_stay_what_they_are(client: TestClient) -> None:
    assert client.get("/api/jobs").json() == {"jobs": []}
    assert client.get("/health/live").json() == {"status": "live"}
    assert "swagger" in client.get("/docs").text
    assert not [
        path for path in client.get("/openapi.json").json()["paths"] if "assets" in path or path == "/runs"
    ]
    assert client.get("/api/nothing").status_code == 404
    assert client.get("/nothing").status_code == 404


def test_a_file_is_kept_for_good_and_the_page_is_not(client: TestClient) -> None:
    file = client.get(f"/assets/{ASSETS.digest}/app.js")
    assert file.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in file.headers["cache-control"]
    page = client.get("/runs")
    assert page.headers["cache-control"] == "no-cache"
    for path, answer in ((f"/assets/{ASSETS.digest}/app.js", file), ("/runs", page)):
        again = client.get(path, headers={"If-None-Match": f'"other", W/{answer.headers["etag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_file_travels_packed(client: TestClient) -> None:
    path = f"/assets/{ASSETS.digest}/vendor/preact.js"
    packed = client.get(path, headers={"Accept-Encoding": "gzip"})
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])


@pytest.mark.parametrize(
    "name", ["nothing.js", "../router.py", "..%2Frouter.py", "%2e%2e/router.py", "index.html", "/etc/passwd"]
)
def test_only_files_of_the_folder_are_sent(client: TestClient, name: str) -> None:
    assert client.get(f"/assets/{ASSETS.digest}/{name}").status_code == 404


def test_files_of_another_version_are_gone(client: TestClient) -> None:
    assert client.get("/assets/0123456789abcdef/app.js").status_code == 404


def test_a_changed_file_changes_every_address(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<script src='{{assets}}/a.js'></script>")
    (tmp_path / "a.js").write_text("1")
    before = read_assets(tmp_path)
    (tmp_path / "a.js").write_text("2")
    after = read_assets(tmp_path)
    assert before.digest != after.digest
    assert before.page.etag != after.page.etag
    assert after.digest.encode() in after.page.content


def test_what_others_made_is_as_it_was_bundled() -> None:
    listed: dict[str, Any] = json.loads(ASSETS.files["vendor/vendor.json"].content)
    licences = ASSETS.files["vendor/LICENSES.txt"].content.decode()
    there = {path.name for path in (FOLDER / "vendor").glob("*.js")}
    assert there == set(listed["bundles"])
    for name, about in listed["bundles"].items():
        content = (FOLDER / "vendor" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == about["sha256"], f"{name}: say make vendor"
        for package in about["packages"]:
            assert f"{package} {listed['packages'][package]['version']} (" in licences
    wanted = json.loads((FOLDER.parent / "vendor" / "package.json").read_text())["dependencies"]
    assert {name: listed["packages"][name]["version"] for name in wanted} == wanted
    assert {each["license"] for each in listed["packages"].values()} <= {
        "MIT", "ISC", "BSD-3-Clause", "BSD-2-Clause", "Apache-2.0", "Unlicense",
    }  # fmt: skip


def test_everything_before_charts_is_small() -> None:
    sizes = {name: len(file.content) for name, file in ASSETS.files.items()}
    sent = {n: size for n, size in sizes.items() if n.endswith((".js", ".css", ".svg")) and n != CHARTS}
    assert sum(sent.values()) + len(ASSETS.page.content) < LIMIT_BYTES


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_a_module_imports_what_is_there_and_makes_no_markup_of_text(path: Path) -> None:
    text = path.read_text("utf-8")
    for wanted in re.findall(r"""(?:from|import)\s*\(?\s*"(\.[^"]+)\"""", text):
        assert (path.parent / wanted).resolve().is_file(), wanted
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://(?!www\.w3)"
    )
    assert re.findall(forbidden, text) == []


def test_every_page_of_the_browser_is_a_page_of_the_server(client: TestClient) -> None:
    paths = re.findall(r'\{ path: "([^"]+)"', (FOLDER / "lib" / "routes.js").read_text("utf-8"))
    assert paths
    for path in paths:
        assert client.get(re.sub(r":\w+", "x", path)).status_code == 200, path
    assert "/" in PAGES
