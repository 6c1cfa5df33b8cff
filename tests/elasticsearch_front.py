"""A front before an Elasticsearch: passes requests on, remembers them, and answers some of them itself.

A test puts a rule in: `front.rule = lambda request, pass_on: …`. It gets the request and what passes one on,
and returns the answer: rejections, delays of the world, proxies in a bad mood. With a certificate it is the
TLS end that a company's server has.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def is_(self, method: str, end: str) -> bool:
        return self.method == method and self.path.partition("?")[0].endswith(end)


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


PassOn = Callable[[Request], Answer]
Rule = Callable[[Request, PassOn], Answer]


def says(status: int, body: Any) -> Answer:
    """An answer as Elasticsearch gives them."""
    headers = {"content-type": "application/json", "x-elastic-product": "Elasticsearch"}
    return Answer(status, json.dumps(body).encode(), headers)


def error(status: int, kind: str, reason: str) -> Answer:
    cause = {"type": kind, "reason": reason}
    return says(status, {"error": {"root_cause": [cause], **cause}, "status": status})


class Front:
    """At `url`; `requests` is everything that came, in order."""

    def __init__(self, upstream: str) -> None:
        self.requests: list[Request] = []
        self.rule: Rule = lambda request, pass_on: pass_on(request)
        self.url = ""
        self._upstream = urlsplit(upstream)

    def pass_on(self, request: Request) -> Answer:
        assert self._upstream.hostname
        connection = http.client.HTTPConnection(self._upstream.hostname, self._upstream.port, timeout=30)
        try:
            left_out = {"host", "content-length", "connection", "accept-encoding"}
            headers = {name: value for name, value in request.headers.items() if name not in left_out}
            connection.request(request.method, request.path, request.body or None, headers)
            answer = connection.getresponse()
            kept = {"content-type", "x-elastic-product"}
            told = {name.lower(): value for name, value in answer.getheaders() if name.lower() in kept}
            return Answer(answer.status, answer.read(), told)
        finally:
            connection.close()

    def sent(self, method: str, end: str) -> list[Request]:
        return [request for request in self.requests if request.is_(method, end)]


@contextmanager
def front_of(upstream: str, tls: ssl.SSLContext | None = None) -> Iterator[Front]:
    front = Front(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            front.requests.append(request)
            try:
                answer = front.rule(request, front.pass_on)
            except ConnectionError:  # The rule says so, or the server behind is gone.
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            if request.method != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: Any) -> None:
            """Clients that hang up are part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    front.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def make_certificates(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A new authority's certificate, and the context of a server on 127.0.0.1 that it vouches for."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    usage = ["-addext", "keyUsage=critical,keyCertSign"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test", *usage)
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=records")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n", "utf-8")
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
    openssl("x509", "-req", "-in", "server.csr", "-out", "server.pem", "-days", "2", *signed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return folder / "ca.pem", context
