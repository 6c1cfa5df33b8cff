"""How fast the local server is on this machine.

    python benchmarks/serving.py [MODEL_FOLDER [ADAPTER_FOLDER …]]

Without a model, the student that ships with Flywheel. Prompts are tool-calling ones that share their
beginning, as those of a workload do. With adapter folders, one more line asks the base and all adapters at
once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

import flywheel

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from tiny_model import TOOLS, tool_row
from tiny_server import start_server

STUDENT = Path(flywheel.__file__).parent / "student"
REQUESTS, TOKENS = 64, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", default=str(STUDENT), help="folder of a base model")
    parser.add_argument("adapters", nargs="*", help="folders of adapters of it")
    asked = parser.parse_args()
    adapters = [{"name": f"adapter-{n}", "path": folder} for n, folder in enumerate(asked.adapters)]
    names = ["base", *(adapter["name"] for adapter in adapters)]
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        process = start_server({"model": asked.model, "name": "base", "adapters": adapters}, Path(folder))
        assert process.stdout is not None
        line = process.stdout.readline()
        print(f"started in {time.monotonic() - began:.1f} s: {line.strip()}")
        try:
            measure(line.split(" on ")[1].split(" ")[0], names)
        finally:
            process.terminate()
            process.wait()


def measure(url: str, names: list[str]) -> None:
    with httpx.Client(base_url=url, timeout=300) as client:
        print(f"{'at once':>8} {'models':>7} {'requests/s':>11} {'tokens/s':>9} {'median ms':>10}")
        for at_once, models in (
            (1, names[:1]),
            (8, names[:1]),
            (16, names[:1]),
            (16, names[1:2]),
            (16, names),
        ):
            if not models or (len(models) == 1 and models is names):
                continue

            def ask(number: int, models: list[str] = models) -> tuple[float, int]:
                body: dict[str, Any] = {
                    "model": models[number % len(models)],
                    "messages": tool_row(number)["messages"][:2],
                    "tools": TOOLS,
                    "temperature": 0,
                    "max_tokens": TOKENS,
                }
                began = time.monotonic()
                answer = client.post("/v1/chat/completions", json=body).raise_for_status().json()
                return time.monotonic() - began, answer["usage"]["completion_tokens"]

            began = time.monotonic()
            with ThreadPoolExecutor(at_once) as pool:
                answers = list(pool.map(ask, range(REQUESTS)))
            took = time.monotonic() - began
            median = sorted(seconds for seconds, _ in answers)[REQUESTS // 2]
            made = sum(tokens for _, tokens in answers)
            print(
                f"{at_once:>8} {'+'.join(models)[:7]:>7} {REQUESTS / took:>11.1f} {made / took:>9.0f} "
                f"{median * 1000:>10.0f}"
            )


if __name__ == "__main__":
    main()
