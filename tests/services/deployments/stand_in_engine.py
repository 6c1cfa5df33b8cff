"""Stands in for an engine: the routes that the deployments use, steered and watched by files in a folder.

`hold` makes it load for ever, `die` ends it at start, `refuse` makes it refuse adapters, `slow` makes it wait
before it answers, `embeds` makes it refuse to chat, `cold` to embed. What it does goes to `starts`, `loaded`
and `events`.
"""

import json
import pathlib
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SPEC = json.loads(pathlib.Path(sys.argv[1]).read_text())
CONTROL = pathlib.Path(sys.argv[2])
ADAPTERS: dict[str, str] = {}


def note(file: str, text: str) -> None:
    with (CONTROL / file).open("a") as stream:
        stream.write(text + "\n")


class Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/v1/health/ready":
            self.answer(503 if (CONTROL / "hold").exists() else 200, {})
        else:
            names = [SPEC["name"], *ADAPTERS]
            self.answer(200, {"object": "list", "data": [{"id": name} for name in names]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/v1/load_lora_adapter":
            if (CONTROL / "refuse").exists():
                self.answer(500, {"error": {"message": "rank 4096 is too large"}})
                return
            ADAPTERS[body["lora_name"]] = body["lora_path"]
            note("loaded", body["lora_name"] + " " + body["sha256"])
            self.answer(200, {})
        elif self.path == "/v1/unload_lora_adapter":
            ADAPTERS.pop(body["lora_name"], None)
            note("loaded", "-" + body["lora_name"])
            self.answer(200, {})
        elif body["model"] not in (SPEC["name"], *ADAPTERS):
            self.answer(404, {"error": {"message": "no such model", "type": "x", "code": "x"}})
        elif body.get("max_tokens", 0) > 1000:
            error = {"message": "the prompt is too long", "code": "context_length_exceeded", "type": "x"}
            self.answer(400, {"error": error})
        elif (CONTROL / "embeds").exists() and self.path != "/v1/embeddings":
            self.answer(404, {"error": {"message": "no such route", "type": "x", "code": "x"}})
        elif (CONTROL / "cold").exists() and self.path == "/v1/embeddings":
            note("events", "asked for a vector")
            self.answer(503, {"error": {"message": "warming up", "type": "x", "code": "x"}})
        elif body.get("stream"):
            self.stream(body)
        else:
            self.chat(body)

    def chat(self, body: dict) -> None:
        while (CONTROL / "slow").exists():
            time.sleep(0.01)
        if self.path == "/v1/embeddings":
            data = [
                {"object": "embedding", "index": i, "embedding": [0.5]} for i in range(len(body["input"]))
            ]
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            self.answer(200, {"object": "list", "data": data, "model": body["model"], "usage": usage})
            return
        message = {"role": "assistant", "content": f"{body['model']} at {SPEC['port']}"}
        choice = {"index": 0, "finish_reason": "stop", "message": message, "text": "text"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        shared = {"id": "1", "created": 1, "model": body["model"], "object": "chat.completion"}
        self.answer(200, {**shared, "choices": [choice], "usage": usage})

    def stream(self, body: dict) -> None:
        """Three words, each when the test puts a file `word-N` down; notes when the caller goes away."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for number in (1, 2, 3):
                while not (CONTROL / f"word-{number}").exists():
                    self.send(b": waiting\n\n")
                    time.sleep(0.02)
                delta = {"content": f"word-{number} "}
                chunk = {"id": "1", "created": 1, "model": body["model"], "object": "chat.completion.chunk"}
                chunk["choices"] = [{"index": 0, "delta": delta, "finish_reason": None}]
                self.send(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            self.send(b"data: [DONE]\n\n")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            note("events", "the caller went away")
            self.close_connection = True

    def send(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def answer(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


note("starts", str(SPEC["port"]))
if (CONTROL / "die").exists():
    sys.exit("no memory left for the weights")
ThreadingHTTPServer(("127.0.0.1", SPEC["port"]), Engine).serve_forever()
