"""What can go wrong with stored schedules."""

from __future__ import annotations

from flywheel.errors import Conflict, FlywheelError, NotFound


class ScheduleNotFound(NotFound):
    code = "schedule_not_found"

    def __init__(self, schedule_id: str) -> None:
        self.schedule_id = schedule_id
        super().__init__(f"there is no schedule {schedule_id}")


class StaleSchedule(Conflict):
    """Somebody else changed the schedule, or claimed its run: nothing was written."""

    code = "stale_schedule"

    def __init__(self, schedule_id: str, revision: int) -> None:
        self.schedule_id = schedule_id
        super().__init__(f"schedule {schedule_id} is no longer at revision {revision}; load it again")


class ScheduleStoreDamaged(FlywheelError):
    code = "schedule_store_damaged"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path} is not a usable store of schedules: {reason}; move it away or restore a backup"
        )
