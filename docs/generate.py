"""Writes docs/{configuration,commands,metrics,exports}.md from the code: `python docs/generate.py`.

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
from flywheel.exports.tables import DATASET, SAMPLES, SCORES
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


EXPORTS = """# Exports

## Tables

```
flywheel runs export RUN --what scores --out scores.csv           # or .parquet, .jsonl; --format says it, too
flywheel runs export RUN --what samples --out samples.parquet
flywheel datasets export NAME --file training/train_data.jsonl --out train.jsonl
curl "localhost:8000/api/jobs/RUN/export?what=samples&format=csv"
curl "localhost:8000/api/datasets/NAME/export?format=jsonl"
```

Files are made row by row while they are sent, so their size does not matter. The columns of a table are always all there
and always in the order below. A column of the type `json` holds nested values: as they are in JSON lines, as JSON text in
CSV and Parquet. What is not known is an empty cell in CSV, null elsewhere. Truth values are `true` and `false` in CSV. Parquet
needs pyarrow where the server runs: `pip install 'flywheel[export]'`.

Records and answers hold whatever strangers and models wrote. In CSV a text that a spreadsheet would take for a formula (it
begins with `=`, `+`, `-` or `@`, with blanks before it or not, in ASCII or in Unicode's other forms of these signs) has an
apostrophe in front; a program that reads CSV takes it off, or reads Parquet or JSON lines, which have none. Half a surrogate
pair, which models can emit and UTF-8 does not have, is written as `\\ud800` in CSV and Parquet.

A table that breaks off in the middle (the evaluator went away) ends without the end of the HTTP answer, which every client
reports as an error; `flywheel … --out` then leaves no file.

## MLflow

```yaml
mlflow_config:
  enabled: true
  tracking_uri: "http://mlflow.test:5000"
```

Every run that comes to a decision is logged when it ends: an experiment for each workload, `data-flywheel-CLIENT/WORKLOAD`, in it
a run for each candidate. Parameters are the base model, the adapter, training, LoRA, split, in-context examples, evaluation and
the digests of the data sets. Metrics are `customized-eval/function_name` with `.low`, `.high` and `.n` beside it, latency, failures by
class, and the losses by step. Tags are `flywheel.run_id`, `flywheel.candidate`, `flywheel.workload_id`, `flywheel.client_id`,
`flywheel.chosen`, `flywheel.verdict` and the verdict of each evaluation. Artefacts are the run's page as `report.html`, `decision.json` and
`curation.json`. The page of a candidate is `mlflow_uri` in each of its evaluations in `GET /api/jobs/{id}`.

A server that cannot be reached never fails a run: the run's log says so, and `flywheel runs send RUN` (`POST /api/jobs/{id}/export`
with `{"to": "mlflow"}`) logs it later. Sending a run again brings the first export up to date and doubles nothing. Deleting a run
leaves what MLflow has. It needs `pip install 'flywheel[mlflow]'`, which is MLflow's client alone; its own telemetry is turned off.

## Weights & Biases

```
pip install 'flywheel[wandb]'
flywheel runs send RUN --to wandb --out runs-for-wandb
wandb sync runs-for-wandb/wandb/offline-run-*        # when, by whom and where to is yours to say
```

The same parameters, metrics, losses, tags and artefacts, as offline runs in a folder: a project for each workload, a group for each
run. Nothing leaves the machine, and nothing is told about the machine. Written again, a run takes the place of the one before.

## Hubs

```
flywheel push model dfwbp/customized-flywheel-student@cust-… --to https://huggingface.co --repo team/router --token-env HF_TOKEN
flywheel push dataset NAME --to http://other-host:8001/v1/hf --repo team/router-data
```

Any hub that speaks Hugging Face's protocol: huggingface.co, a mirror of your own, another Flywheel's data store. The files go with a
card in one commit: for an adapter its base model, run, data set, records, hashes and scores with intervals, in the form that hubs
read (`model-index`); for a data set its run, hash, curation, and which file is which split. A repository that is made is private unless
`--public` says otherwise. The token is the one that `--token-env` names; without it none is sent, whoever is logged in.

## Notebooks

[notebooks/](../notebooks) has four, which the tests execute: a first turn, your own logs, candidates compared, the curation report. They
start a server of their own, or use the one at `FLYWHEEL_URL`. `make notebooks` runs their tests.

## Columns

This part is written by `docs/generate.py`.
"""


def exports() -> str:
    """The page of what can be taken out, with the reference of the tables' columns."""
    lines = [EXPORTS.rstrip("\n")]
    tables = {"Scores": SCORES, "Samples": SAMPLES, "Data sets": DATASET}
    for title, columns in tables.items():
        lines += ["", f"### {title}", "", "| column | type | meaning |", "|---|---|---|"]
        lines += [f"| `{column.name}` | {column.type} | {column.meaning} |" for column in columns]
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
    (HERE / "exports.md").write_text(exports(), "utf-8")


if __name__ == "__main__":
    main()
