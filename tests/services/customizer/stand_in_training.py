"""Stands in for `python -m flywheel.training SPEC`: four steps, each when a test allows it; resumes."""

import hashlib
import json
import pathlib
import sys
import time


def main() -> None:
    spec, control = json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2])
    output = pathlib.Path(spec["output_dir"])
    output.mkdir(parents=True, exist_ok=True)
    with (control / "starts").open("a") as file:
        file.write("x")
    adapter, checkpoint = output / "adapter", output / "checkpoint"
    if adapter.exists():
        return
    sys.stdout.write("training\n")
    sys.stdout.flush()
    done = int(checkpoint.read_text()) if checkpoint.exists() else 0
    for step in range(done + 1, 5):
        while not (control / f"step-{step}").exists():
            if (control / "fail").exists():
                say(output, event="failed", message=(control / "fail").read_text())
                raise SystemExit(1)
            time.sleep(0.01)
        with (control / "trained").open("a") as file:
            file.write(f"{step}\n")
        loss = 1 / step
        shared = {"step": step, "steps_total": 4, "epoch": step / 2, "steps_per_epoch": 2}
        say(output, event="step", percent=25.0 * step, train_loss=loss, eta_s=4.0 - step, **shared)
        if step % 2 == 0:
            say(output, event="validation", val_loss=loss + 0.1, best_epoch=step // 2, **shared)
        checkpoint.write_text(str(step))
    part = output / "part"
    part.mkdir()
    tensors = b"weights of " + json.dumps(spec["hyperparameters"], sort_keys=True).encode()
    (part / "adapter_config.json").write_text('{"r": 32}')
    spoiled = b" spoiled" if (control / "spoil").exists() else b""
    (part / "adapter_model.safetensors").write_bytes(tensors + spoiled)
    (part / "flywheel.json").write_text(json.dumps({"sha256": hashlib.sha256(tensors).hexdigest()}))
    part.rename(adapter)
    say(output, event="completed", step=4, percent=100.0, train_loss=0.25, val_loss=0.35, best_epoch=2)


def say(output: pathlib.Path, **event: object) -> None:
    with (output / "progress.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")


main()
