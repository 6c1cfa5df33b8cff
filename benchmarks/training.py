"""How fast a training is on this machine.

    python benchmarks/training.py [MODEL_FOLDER [rows.jsonl]]

Without a model, the student that ships with Flywheel; without rows, generated ones. Prints tokens per second
without start-up, and the seconds that start-up takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import flywheel

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from tiny_model import tool_row, write_rows

STUDENT = Path(flywheel.__file__).parent / "student"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", default=str(STUDENT), help="folder of a base model")
    parser.add_argument("rows", nargs="?", type=Path, help="rows to train on, as JSON lines")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = asked.rows or write_rows(Path(folder) / "t.jsonl", [tool_row(n) for n in range(400)])
        print(f"{'batch':>6} {'rank':>5} {'tokens/s':>9} {'steps':>6} {'seconds':>8} {'start-up s':>11}")
        for batch, rank in ((8, 16), (16, 16), (32, 16), (16, 32)):
            out = Path(folder) / f"{batch}-{rank}"
            hyperparameters = {"epochs": 1, "batch_size": batch, "lora": {"adapter_dim": rank}}
            spec = {
                "model": asked.model,
                "train": [str(path)],
                "output_dir": str(out),
                "hyperparameters": hyperparameters,
            }
            (Path(folder) / "spec.json").write_text(json.dumps(spec))
            began = time.monotonic()
            command = [sys.executable, "-m", "flywheel.training", f"{folder}/spec.json"]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            took = time.monotonic() - began
            last = json.loads((out / "progress.jsonl").read_text().splitlines()[-1])
            tokens = json.loads((out / "adapter" / "flywheel.json").read_text())["tokens"]
            speed = last["tokens_per_second"]
            rest = took - tokens / speed
            steps = last["step"]
            print(f"{batch:>6} {rank:>5} {speed:>9.0f} {steps:>6} {took:>8.1f} {rest:>11.1f}")


if __name__ == "__main__":
    main()
