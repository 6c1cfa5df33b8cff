"""What deploy/Dockerfile needs, as far as one can see without an engine: paths, requirements, wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "deploy" / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
COPIES = [
    path for line in LINES if line.startswith("COPY ") and "--from" not in line for path in line.split()[1:-1]
]


def kept_out(path: str) -> bool:
    """Whether .dockerignore keeps this path out of the build; the last pattern that fits decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines():
        pattern = line.removeprefix("!").rstrip("/")
        if line and not line.startswith("#") and (fnmatch(path, pattern) or path.startswith(f"{pattern}/")):
            out = not line.startswith("!")
    return out


@pytest.mark.parametrize("path", COPIES)
def test_every_path_that_is_copied_exists_and_reaches_the_build(path: str) -> None:
    assert (ROOT / path).exists()
    assert not kept_out(path.rstrip("/"))


def test_nothing_else_reaches_the_build() -> None:
    assert all(
        kept_out(path) for path in (".git", "deploy/.env", "tests/conftest.py", ".venv", "config/other.yaml")
    )


def test_the_first_layer_holds_what_the_package_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [sys.executable, str(ROOT / "deploy" / "requirements.py"), "train,servers"]
    printed = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20).stdout.split("\n")
    extras = project["optional-dependencies"]
    assert [line for line in printed if line] == [
        *project["dependencies"],
        *extras["train"],
        *extras["servers"],
    ]


def test_the_wheel_is_built_from_what_is_copied(tmp_path: Path) -> None:
    for path in COPIES:
        target = tmp_path / path.rstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / path, target)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"flywheel/cli/serve.py", "flywheel/default_config.yaml", "flywheel/py.typed"} <= set(names)
    assert any(name.startswith("flywheel/student/") and name.endswith(".safetensors") for name in names)


def test_it_runs_as_nobody_in_particular() -> None:
    last = LINES[max(number for number, line in enumerate(LINES) if line.startswith("FROM ")) :]
    assert "USER 10001:10001" in last
    assert 'ENTRYPOINT ["flywheel"]' in last
