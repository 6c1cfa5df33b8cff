"""Writes docs/configuration.md, docs/commands.md and docs/metrics.md from the code: `python docs/generate.py`.

The text under a field of `flywheel.config`, the help of a command and the meaning of a metric are the only
sources; a test compares these pages with what this script would write, so they cannot fall behind.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, get_args

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from flywheel.config import Settings, blocks_in
from flywheel.telemetry.metrics import DESCRIBED

HERE = Path(__file__).parent


def configuration() -> str:
    """The reference of `config.yaml`, block by block."""
    lines = [
        "# Configuration",
        "",
        "`flywheel serve --config FILE` reads one YAML file; without it, `config/config.yaml` of the working folder,",
        "else the configuration that ships with the package. The blocks are those of NVIDIA's Data Flywheel Blueprint,",
        "whose files work here; ours stand beside them. A key that does not exist is refused with the nearest one that",
        "does. Environment variables override the file: `FLYWHEEL_TRAINING_CONFIG__EPOCHS=3`, or, for an item of a",
        "list, `FLYWHEEL_NIMS__0__TAG='\"1.8\"'`; values are read as YAML. A job may override `data_split_config`,",
        "`training_config`, `lora_config`, `icl_config`, `llm_judge_config` and `nims`.",
        "",
        "This page is written by `docs/generate.py`.",
    ]
    for name, field in Settings.model_fields.items():
        blocks = blocks_in(field.annotation)
        plural = " (a list)" if name == "nims" else ""
        lines += ["", f"## `{name}`{plural}", "", field.description or ""]
        for block in blocks:
            if len(blocks) > 1:
                (kind,) = get_args(block.model_fields["type"].annotation)
                lines += ["", f"### `type: {kind}`", "", inspect.cleandoc(block.__doc__ or "")]
            lines += _rows(block, "")
    return "\n".join(lines) + "\n"


def _rows(block: type[BaseModel], prefix: str) -> list[str]:
    rows: list[str] = []
    if not prefix:
        rows += ["", "| key | default | meaning |", "|---|---|---|"]
    for name, field in block.model_fields.items():
        inner = next(iter(blocks_in(field.annotation)), None)
        text = (field.description or "").replace("\n", " ").replace("|", "\\|")
        if inner and inner is not block and f"{name}." not in prefix:
            rows.append(f"| `{prefix}{name}` | | {text} |")
            if not prefix:
                rows += _rows(inner, f"{prefix}{name}.")
        else:
            rows.append(f"| `{prefix}{name}` | {_default(field)} | {text} |")
    return rows


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "*(required)*"
    return "`null`" if field.default is None else f"`{field.default}`"


def commands() -> str:
    """The reference of the command line."""
    from flywheel.cli import app

    lines = ["# Commands", "", "What `flywheel --help` says, on one page, written by `docs/generate.py`."]
    root = typer.main.get_command(app)
    lines += _command(root, "flywheel")
    return "\n".join(lines) + "\n"


def _command(command: Any, path: str) -> list[str]:
    lines = ["", f"## `{path}`", "", inspect.cleandoc(command.help or "").split("\f")[0]]
    parameters = [p for p in command.params if p.name != "help"]
    if parameters:
        lines += ["", "| parameter | default | meaning |", "|---|---|---|"]
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            names = (parameter.metavar or parameter.name).upper()
        else:
            names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        shown = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
        default = "" if shown in (None, False, ()) or parameter.required or callable(shown) else f"`{shown}`"
        text = (getattr(parameter, "help", "") or "").replace("\n", " ").replace("|", "\\|")
        lines.append(f"| `{names}` | {default} | {text} |")
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        lines += _command(inner, f"{path} {name}")
    return lines


def metrics() -> str:
    """The reference of what Prometheus finds under /metrics."""
    lines = [
        "# Metrics",
        "",
        "Every address of `flywheel serve` has `/metrics` for Prometheus: what this process counted since it began, the",
        "same page on each of its three addresses (scrape one of them). No setting turns it on. `_total` is a counter,",
        "`_seconds` a histogram with `_bucket`, `_sum` and `_count`, the others are gauges. No label holds the id of a run",
        "or a job, or the name of a client. Beside these stand the process' own: `process_resident_memory_bytes`,",
        "`process_cpu_seconds_total`, `process_open_fds`, `process_start_time_seconds`.",
        "",
        "This page is written by `docs/generate.py`.",
        "",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    for metric in DESCRIBED:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |")
    return "\n".join(lines) + "\n"


VALUES_SCHEMA = HERE.parent / "helm" / "flywheel" / "values.schema.json"
_PREFIX = "config."


def values_schema() -> str:
    """The schema of the chart's values, whose part about `config` is the code's: helm refuses what Flywheel would."""
    schema = json.loads(VALUES_SCHEMA.read_text("utf-8"))
    made = Settings.model_json_schema(ref_template=f"#/definitions/{_PREFIX}{{model}}")
    blocks = {f"{_PREFIX}{name}": block for name, block in made.pop("$defs").items()}
    aliases = blocks[f"{_PREFIX}LlmJudgeConfig"]["properties"]
    aliases |= {"type": aliases["deployment_type"], "model_id": aliases["model_name"]}
    kept = {name: each for name, each in schema["definitions"].items() if not name.startswith(_PREFIX)}
    schema["definitions"] = kept | {name: _shape(block) for name, block in sorted(blocks.items())}
    schema["properties"]["config"] = _shape(made)
    return json.dumps(schema, indent=2) + "\n"


def _shape(node: Any) -> Any:
    """A schema without words and without what must be there: the chart adds what is left out."""
    if isinstance(node, list):
        return [_shape(each) for each in node]
    if not isinstance(node, dict):
        return node
    unused = {"title", "description", "default", "required", "discriminator"}
    shape = {key: _shape(value) for key, value in node.items() if key not in unused and key != "properties"}
    if "properties" in node:
        shape["properties"] = {name: _shape(value) for name, value in node["properties"].items()}
    if "oneOf" in shape:  # Without its `type`, a block may be of either kind.
        shape["anyOf"] = shape.pop("oneOf")
    return shape


def main() -> None:
    """Write the pages."""
    VALUES_SCHEMA.write_text(values_schema(), "utf-8")
    (HERE / "metrics.md").write_text(metrics(), "utf-8")
    (HERE / "configuration.md").write_text(configuration(), "utf-8")
    (HERE / "commands.md").write_text(commands(), "utf-8")


if __name__ == "__main__":
    main()
