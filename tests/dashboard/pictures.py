"""The pictures of the documentation, taken of the seeded server: `make pictures`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import httpx
from PIL import Image

from browser import Proxy
from dashboard.looking import Opened, Opener, chromium, settled
from dashboard.seeded import ROUTER, Served, served

LOST = "right=flywheel/student+customized-eval&wrong=flywheel/student+base-eval"
SIZE = {"width": 1440, "height": 900}
WORKLOAD = {"client_id": ROUTER.client_id, "workload_id": ROUTER.workload_id}
NIGHTLY = {
    "name": "nightly",
    "triggers": [
        {"type": "cron", "cron": "0 3 * * *", "timezone": "Europe/Berlin"},
        {"type": "records", "every": 5000},
        {"type": "drift", "of": "arguments"},
    ],
    "budget": {"runs_per_week": 5},
}


def addresses(server: Served, api: httpx.Client) -> dict[str, str]:
    """Which page is in which picture."""
    samples = f"/runs/{server.completed}/samples"
    listed = api.get(f"/api/jobs/{server.completed}/compared", params={"limit": 1}).json()
    adapter = api.get("/api/models", params={"kind": "adapter"}).json()["models"][0]["name"]
    schedule = api.post("/api/schedules", json=NIGHTLY | WORKLOAD).json()["id"]
    return {
        "workloads": "/workloads",
        "workload": f"/workloads/{ROUTER.client_id}/{ROUTER.workload_id}",
        "runs": "/runs",
        "run": f"/runs/{server.completed}",
        "samples": f"{samples}?{LOST}",
        "sample": f"{samples}/{quote(listed['rows'][0]['key'], safe='')}",
        "compare": f"/compare?client_id={ROUTER.client_id}&workload_id={ROUTER.workload_id}",
        "models": "/models",
        "model": f"/models/{quote(adapter, safe='')}",
        "datasets": "/datasets",
        "schedule": f"/schedules/{schedule}",
    }


def main(folder: Path) -> None:
    """Every picture, and one of a run while it goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    proxy = Proxy()
    try:
        with (
            served(Path(tempfile.mkdtemp())) as server,
            chromium(proxy) as browser,
            httpx.Client(base_url=server.url, timeout=60) as api,
        ):
            visit = Opener(browser, server.url)
            going_on(visit, server).screenshot(path=folder / "live.png")
            for name, address in addresses(server, api).items():
                page = visit(address, **SIZE)
                settled(page)
                page.screenshot(path=folder / f"{name}.png")
            visit(f"/runs/{server.completed}", **SIZE, dark=True).screenshot(path=folder / "run-dark.png")
            visit.close()
    finally:
        proxy.close()
    for picture in folder.glob("*.png"):
        with Image.open(picture) as image:
            image.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(picture, optimize=True)


def going_on(visit: Opener, server: Served) -> Opened:
    """A run in the middle of its training: from now on, looks at its jobs change nothing."""
    server.world.nemo.polls = 30
    page = visit(f"/runs/{server.start()}", **SIZE)
    page.locator("#progress .chart svg").wait_for()
    page.get_by_text("customize + ").first.wait_for()
    server.world.nemo.polls = 10**6
    page.wait_for_timeout(1_500)
    return page


if __name__ == "__main__":
    main(Path(sys.argv[1]))
