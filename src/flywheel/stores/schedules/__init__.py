"""Where schedules are kept: the Schedule document, what a store can do, and the embedded one."""

from flywheel.stores.schedules.document import Decided, Schedule
from flywheel.stores.schedules.embedded import EmbeddedScheduleStore
from flywheel.stores.schedules.errors import ScheduleNotFound, ScheduleStoreDamaged, StaleSchedule
from flywheel.stores.schedules.protocol import HistoryPage, SchedulePage, ScheduleQuery, ScheduleStore

__all__ = [
    "Decided",
    "EmbeddedScheduleStore",
    "HistoryPage",
    "Schedule",
    "ScheduleNotFound",
    "SchedulePage",
    "ScheduleQuery",
    "ScheduleStore",
    "ScheduleStoreDamaged",
    "StaleSchedule",
]
