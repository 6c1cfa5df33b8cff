"""Helm from tests: the chart of this checkout, rendered or installed."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from servers import tool

HERE = Path(__file__).parent
CHART = HERE.parents[1] / "helm" / "flywheel"
KUBERNETES = "1.35.0"
"""The version that templates are rendered for; helm's own guess depends on how it was built."""


class Complaint(Exception):
    """What a program said when it failed."""


def run(program: str, *arguments: str | Path, given: str | None = None, timeout: float = 120) -> str:
    """What `program` writes to standard output. Raises Complaint."""
    command = [tool(program), *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        raise Complaint(done.stderr + done.stdout)
    return done.stdout


@cache
def template(*arguments: str | Path) -> str:
    """The chart as release `fw` of namespace `flow`, rendered with these arguments of helm."""
    return run(
        "helm", "template", "fw", CHART, "--namespace", "flow", "--kube-version", KUBERNETES, *arguments
    )


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a rendered chart."""
    return [each for each in yaml.safe_load_all(text) if each]


def named(rendered: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The one object of this kind and name."""
    (found,) = [each for each in rendered if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def refusal(*arguments: str | Path) -> str:
    """What helm complains about with these arguments."""
    try:
        text = template(*arguments)
    except Complaint as complaint:
        return str(complaint)
    raise AssertionError(f"the chart takes this: {arguments}: {text[:200]}")
