"""The reference pages say what the code says: every setting and every command is in them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_settings_is_current() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text("utf-8") == generator().configuration(), (
        "run: python docs/generate.py"
    )


def test_the_page_of_commands_is_current() -> None:
    assert (ROOT / "docs" / "commands.md").read_text("utf-8") == generator().commands(), (
        "run: python docs/generate.py"
    )


def test_the_page_of_metrics_is_current() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text("utf-8") == generator().metrics(), (
        "run: python docs/generate.py"
    )


def test_the_page_of_exports_is_current() -> None:
    assert (ROOT / "docs" / "exports.md").read_text("utf-8") == generator().exports(), (
        "run: python docs/generate.py"
    )


def test_the_chart_knows_every_setting() -> None:
    schema = ROOT / "helm" / "flywheel" / "values.schema.json"
    assert schema.read_text("utf-8") == generator().values_schema(), "run: python docs/generate.py"


def test_every_page_that_the_readme_names_is_there() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    named = [part.split(")")[0] for part in text.split("](")[1:]]
    assert named
    assert [name for name in named if not name.startswith("http") and not (ROOT / name).exists()] == []
