"""A schedule of a bot: its name, and the rhythm in which it is due. `@bot.every` makes it.

`worker/due/recurring.py` keeps a timer for each schedule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from linqbot.errors import BotError

_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule.

    Attributes:
        name: Identifies the schedule in the storage, so that it goes on after a restart.
        spec: The rhythm, as the author wrote it.
        timezone: The IANA name of the time zone of its times of day.
    """

    name: str
    spec: str
    timezone: str

    @classmethod
    def checked(cls, name: str, spec: str, timezone: str) -> Schedule:
        """Return a schedule.

        Raises:
            BotError: the name has other characters than letters, digits, `_`, `.` and `-`; the rhythm or the time zone
                is not known.
        """
        from linqbot.parse.recurrences import recurrence

        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BotError(f"{name!r} cannot be the name of a schedule. Give name= with letters, digits, _, . and -.")
        try:
            recurrence(spec, timezone=timezone)
        except ValueError as error:
            raise BotError(
                f"@bot.every({spec!r}, timezone={timezone!r}): {error} A cron expression has five fields: '0 9 * * mon'."
            ) from error
        return cls(name, spec, timezone)


def check_names(schedules: Iterable[Schedule]) -> None:
    """Check that each schedule has a name of its own.

    Raises:
        BotError: two schedules have the same name.
    """
    known: set[str] = set()
    for schedule in schedules:
        if schedule.name in known:
            raise BotError(
                f"There are two schedules named {schedule.name!r}. Rename a function, or give one of them a name: "
                f"@bot.every({schedule.spec!r}, name=…)."
            )
        known.add(schedule.name)
