"""What can go wrong with a schedule."""

from __future__ import annotations

from flywheel.errors import Conflict, UserError


class RunOpen(Conflict):
    """The workload has a run that is not over."""

    code = "run_open"

    def __init__(self, says: str) -> None:
        super().__init__(f"{says}; wait for its end, or cancel it")


class FixedField(UserError):
    code = "fixed_field"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} of a schedule cannot be changed: make another one for the other workload")
