"""Launching programs: one small protocol, the same for a laptop and a cluster.

`process` starts child processes of this machine, `kubernetes` Jobs and Deployments of a cluster, `fake` plays
scripted ones. A runtime knows nothing of
training or serving: it is handed a command, keeps it alive or not, and tells what became of it. Restarting
what crashed is the caller's decision.
"""

from flywheel.runtime.protocol import (
    Cache,
    Handle,
    LaunchConflict,
    LaunchFailed,
    LaunchSpec,
    NotEnoughGpus,
    Runtime,
    RuntimeInUse,
    Site,
    Status,
)

__all__ = [
    "Cache",
    "Handle",
    "LaunchConflict",
    "LaunchFailed",
    "LaunchSpec",
    "NotEnoughGpus",
    "Runtime",
    "RuntimeInUse",
    "Site",
    "Status",
]
