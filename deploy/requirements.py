"""What the package needs, without the package: `python requirements.py train,servers` prints one line each.

The image installs these in a layer of their own, which stays when only our code changes.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def wanted(extras: list[str]) -> list[str]:
    """Requirements of the package and of its `extras`. Raises KeyError for an extra that does not exist."""
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    return [requirement for each in lists for requirement in each]


if __name__ == "__main__":
    sys.stdout.write("\n".join(wanted([extra for extra in sys.argv[1].split(",") if extra])) + "\n")
