"""Which GPUs of this machine may be given out: those that the driver lists and the environment shows us."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from flywheel.log import get_logger

VARIABLE = "CUDA_VISIBLE_DEVICES"
_TIMEOUT_S = 20.0

log = get_logger(__name__)


def usable_gpus(limit: int | None, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Their ids, as CUDA_VISIBLE_DEVICES takes them; at most `limit`, all for None.

    A batch system or a container that gave this process some devices said so in that variable: others are not
    ours to use. A driver that does not answer means the CPU.
    """
    tool = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if tool is None or limit == 0:
        return ()
    query = [tool, "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True).stdout
    except (subprocess.SubprocessError, OSError) as error:
        log.warning("the GPU driver does not answer; working on the CPU", extra={"error": str(error)})
        return ()
    rows = [line.split(",") for line in answer.splitlines() if "," in line]
    listed = [(index.strip(), uuid.strip()) for index, uuid in rows]
    return visible(listed, environment.get(VARIABLE))[:limit]


def visible(listed: Sequence[tuple[str, str]], variable: str | None) -> tuple[str, ...]:
    """Those of the `listed` (index, UUID) that the variable names, in its order and spelling.

    As CUDA reads it: by index, or by UUID or its beginning; a name that means nothing ends the list. A part
    of a device (MIG) is taken by its word, since the driver's list has whole devices only.
    """
    if variable is None:
        return tuple(index for index, _ in listed)
    found: list[str] = []
    for name in variable.split(","):
        name = name.strip()
        known = any(
            name == index or (name.startswith("GPU-") and uuid.startswith(name)) for index, uuid in listed
        )
        if not known and not name.startswith("MIG-"):
            break
        if name not in found:
            found.append(name)
    return tuple(found)
