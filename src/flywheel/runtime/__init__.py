"""Launching programs: one small protocol, the same for a laptop and a cluster.

`process` starts child processes of this machine, `fake` plays scripted ones. A runtime knows nothing of
training or serving: it is handed a command, keeps it alive or not, and tells what became of it. Restarting
what crashed is the caller's decision.
"""

from flywheel.runtime.protocol import (
    Handle,
    LaunchConflict,
    LaunchFailed,
    LaunchSpec,
    NotEnoughGpus,
    Runtime,
    RuntimeInUse,
    Status,
)

__all__ = [
    "Handle",
    "LaunchConflict",
    "LaunchFailed",
    "LaunchSpec",
    "NotEnoughGpus",
    "Runtime",
    "RuntimeInUse",
    "Status",
]
