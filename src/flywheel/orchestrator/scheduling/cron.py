"""Times of a cron expression on the wall clock of a time zone, as moments.

A door to `cronsim`, which reads expressions as cron of Debian does, its care with clock changes included: a
fixed time that a spring night leaves out comes at the moment of the change, one that an autumn night has
twice comes once, and expressions with a star in minute or hour follow the clock as it goes. Moments come out
in UTC, each later than the one before, which cronsim alone does not promise when it begins in such a night.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from flywheel.config import nearest
from flywheel.errors import ConfigError

_FIELDS = 5
_BEFORE = timedelta(hours=3)
"""Longer than any clock is set back: iterating from there meets both sides of a doubled hour."""
_MOST = 1000
"""Times that are looked at one by one; more have passed only where nobody looked for long."""
_BACK = (timedelta(hours=2), timedelta(days=2), timedelta(days=40), timedelta(days=400))


def check(cron: str, timezone: str, *, where: str = "triggers") -> None:
    """Raises ConfigError, naming the part that is wrong, for an expression or a time zone that is none."""
    zone = _zone(timezone, where)
    if len(cron.split()) != _FIELDS:
        raise ConfigError(
            f"{where}.cron: {cron!r} must have five fields: minute hour day month weekday, as in 0 3 * * 1-5"
        )
    try:
        next(CronSim(cron, datetime.now(zone)))
    except CronSimError as error:
        raise ConfigError(f"{where}.cron: {cron!r}: {str(error).lower()}") from error
    except StopIteration as error:
        raise ConfigError(f"{where}.cron: {cron!r} never comes in the next 50 years") from error


def times(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """The moments later than `after`, in order."""
    last = after.astimezone(UTC)
    for moment in CronSim(cron, (last - _BEFORE).astimezone(_zone(timezone))):
        at = moment.astimezone(UTC)
        if at > last:
            last = at
            yield at


def following(cron: str, timezone: str, after: datetime) -> datetime | None:
    """The first moment later than `after`."""
    return next(times(cron, timezone, after), None)


def due(cron: str, timezone: str, since: datetime, now: datetime) -> tuple[int, datetime | None]:
    """How many moments there were later than `since` and up to `now` (of very many, _MOST), and the last."""
    passed = list(islice(takewhile(lambda at: at <= now, times(cron, timezone, since)), _MOST))
    if len(passed) < _MOST:
        return len(passed), passed[-1] if passed else None
    for back in _BACK:
        late = list(takewhile(lambda at: at <= now, times(cron, timezone, max(since, now - back))))
        if late:
            return _MOST, late[-1]
    return _MOST, passed[-1]


@lru_cache(maxsize=256)
def _zone(timezone: str, where: str = "triggers") -> ZoneInfo:
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        hint = nearest(timezone, available_timezones())
        hint = hint if "did you mean" in hint else ", such as Europe/Berlin or UTC"
        raise ConfigError(f"{where}.timezone: there is no time zone {timezone!r}{hint}") from error
