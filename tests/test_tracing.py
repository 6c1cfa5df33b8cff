"""Traces: one run is one tree of spans, from the POST over steps and services; a collector never disturbs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.testclient import TestClient

from collector import Collector, collecting
from flywheel.config import TelemetryConfig
from flywheel.nemo.calls import Caller, ServiceCallFailed, ServiceUrls
from flywheel.nemo.fake import NEMO_URL, PROXY_URL, FakeNemo
from flywheel.orchestrator.routers import routers
from flywheel.orchestrator.services import Services
from flywheel.telemetry import tracing
from flywheel.web import make_app
from run_world import make_records, make_world
from serving_apps import serve_app

SERVER, CLIENT = 2, 3
"""Kinds of spans, in OTLP's numbers."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        tracing.start(TelemetryConfig(otlp_endpoint=made.url, export_interval=0.1), "test")
        yield made
        tracing.stop()


def served(nemo: FakeNemo, base: str) -> FastAPI:
    """The fake services as an application of ours, so that requests really arrive somewhere."""
    app = make_app("fake", "nemo", [])

    @app.api_route("/{path:path}", methods=["GET", "POST", "PATCH", "DELETE"])
    async def pass_on(path: str, request: Request) -> Response:
        asked = httpx.Request(
            request.method, f"{base}/{path}?{request.url.query}", content=await request.body()
        )
        answer = await run_in_threadpool(nemo.handle_request, asked)
        return Response(answer.content, answer.status_code, media_type="application/json")

    return app


def test_one_run_is_one_tree_from_the_post_to_the_services(collector: Collector, tmp_path: Path) -> None:
    nemo = FakeNemo(polls=1)
    world = make_world(tmp_path, make_records(tmp_path), nemo)
    with serve_app(served(nemo, NEMO_URL)) as there, serve_app(served(nemo, PROXY_URL)) as proxy:
        urls = ServiceUrls(there, there, there, there, there, proxy)
        services = Services.at(urls, nemo.hub)
        world.context = replace(world.context, services=services)
        api = TestClient(make_app("api", "problem", routers(world.context, lambda run_id: None)))
        body = {"workload_id": "tool_router", "client_id": "support-app"}
        run_id = api.post("/api/jobs", json=body).json()["id"]
        assert world.finish(run_id).status == "completed"
        services.close()
        world.close()
    tracing.stop()

    spans = {span.id: span for span in collector.spans}
    assert len({span.trace for span in spans.values()}) == 1
    (root,) = [span for span in spans.values() if not span.parent]
    assert (root.name, root.kind) == ("POST /api/jobs", SERVER)
    assert all(span.parent in spans for span in spans.values() if span is not root)
    for step in ("curate", "candidates", "decide", "release"):
        for span in collector.named(f"run {step}"):
            assert span.parent == root.id
            assert span.attributes["flywheel.run_id"] == run_id
            assert span.attributes["flywheel.workload"] == "support-app/tool_router"
    (working, *_) = collector.named("candidate work")
    assert working.attributes["flywheel.candidate"] == "test/student"
    assert spans[working.parent].name == "run candidates"
    asked = [span for span in collector.named("POST /v1/customization") if span.kind == CLIENT]
    arrived = [
        span.attributes["url.path"]
        for span in spans.values()
        if span.kind == SERVER and span.parent in {each.id for each in asked}
    ]
    assert sorted(arrived) == ["/v1/customization/configs", "/v1/customization/jobs"]
    assert "Where is my order" not in str([span.attributes for span in spans.values()])


def test_a_call_that_fails_is_a_failed_span(collector: Collector) -> None:
    there = httpx.MockTransport(lambda request: httpx.Response(404, json={"detail": "not here"}))
    with tracing.span("work"), pytest.raises(ServiceCallFailed):
        Caller("http://nemo.test", there).json("GET", "/v1/things/of-a-name")
    tracing.stop()
    (span,) = collector.named("GET /v1/things")
    assert span.failed
    assert span.attributes["url.full"] == "http://nemo.test/v1/things/of-a-name"
    assert span.attributes["error.type"] == "ServiceCallFailed"


def test_a_call_that_nobody_asked_for_begins_no_trace_here_or_there(collector: Collector) -> None:
    """A service that looks every second whether there is something to do."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={})

    Caller("http://nemo.test", httpx.MockTransport(answer)).json("GET", "/v1/models")
    api = TestClient(make_app("looked at", "problem", []))
    api.get("/v1/models", headers={"traceparent": sent[0].headers["traceparent"]})
    tracing.stop()
    assert collector.spans == []


def test_a_foreign_errors_text_does_not_leave_the_process(collector: Collector) -> None:
    with pytest.raises(ValueError, match="hunter2"), tracing.span("work"):
        raise ValueError("password hunter2 refused")
    tracing.stop()
    assert collector.spans[0].failed
    assert b"hunter2" not in b"".join(collector.raw)


def test_what_began_elsewhere_is_joined_and_its_sampling_is_kept(collector: Collector) -> None:
    api = TestClient(make_app("joined", "problem", []))
    sampled, unsampled = (f"00-{'a' * 31}{n}-{'b' * 16}-0{n}" for n in (1, 0))
    api.get("/a", headers={"traceparent": sampled})
    api.get("/b", headers={"traceparent": unsampled})
    api.get("/c", headers={"traceparent": "nonsense"})
    api.get("/health/live")
    tracing.stop()
    assert [(span.attributes["url.path"], span.parent) for span in collector.spans] == [
        ("/a", "b" * 16),
        ("/c", ""),
    ]
    assert collector.spans[0].trace == "a" * 31 + "1"


@pytest.mark.parametrize("trouble", ["refuses", "away"])
def test_a_collector_that_refuses_or_is_away_disturbs_nothing(trouble: str) -> None:
    with collecting() as collector:
        collector.refuse = True
        url = collector.url if trouble == "refuses" else "http://127.0.0.1:9"
        tracing.start(TelemetryConfig(otlp_endpoint=url, export_interval=0.05), "test")
        began = time.monotonic()
        for _ in range(50):
            with tracing.span("work"):
                pass
        assert time.monotonic() - began < 2
        tracing.stop()
        assert time.monotonic() - began < 6


def test_without_a_collector_nothing_is_recorded_and_nothing_is_sent() -> None:
    tracing.start(TelemetryConfig(), "test")
    with tracing.span("work"):
        assert tracing.traceparent() is None
        assert tracing.headers() == {}
