"""Recurring timers, of `@bot.every` and of sends that recur: stored once, and rearmed by the turn of each due time.

When such a timer fires, it is parked and becomes a delivery, and the commit that ends the turn of that delivery rearms
it. So a schedule never overlaps itself, and due times that pass meanwhile become one.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
from pydantic_core import from_json, to_json

from linqbot.clock import Clock, NoSuchZone
from linqbot.engine.failure import OfOtherRelease
from linqbot.engine.turn import Kind, Turn
from linqbot.engine.turns import Turns
from linqbot.errors import BotError, DeliveryRejected
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.proactive import SCHEDULE_TYPE
from linqbot.options import Role
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit, DeadLetter
from linqbot.storage.timers import Rearm, Timer

log = structlog.get_logger("linqbot.worker")

REPEAT_ID = "i.repeat."
"""Prefix of the ids of deliveries that a recurring send became."""
SCHEDULE = "schedule"
REPEAT = "repeat"


_NAME: Final = re.compile(r"[\w.-]{1,64}", re.ASCII)
"""The names of schedules and broadcasts."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule.

    Attributes:
        name: Identifies the schedule in the storage, so that it goes on after a restart.
        spec: The rhythm, as the author wrote it.
        timezone: The IANA name of the time zone of its times of day.
    Raises:
        BotError: the name cannot be used, or the rhythm or the time zone is not known.
    """

    name: str
    spec: str
    timezone: str

    def __post_init__(self) -> None:
        from linqbot.parse.recurrences import recurrence

        check_name(self.name, "schedule")
        try:
            recurrence(self.spec, timezone=self.timezone, language="en")
        except ValueError as error:
            advice = "" if isinstance(error, NoSuchZone) else " A cron expression has five fields: '0 9 * * mon'."
            raise BotError(f"@bot.every({self.spec!r}, timezone={self.timezone!r}): {error}{advice}") from error


def check_name(name: object, of: str) -> None:
    """Raise BotError if the name `of` a schedule, a broadcast or a post is not 1 to 64 letters, digits, `_`, `.`, `-`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BotError(f"{name!r} cannot be the name of a {of}. Use 1 to 64 letters of ASCII, digits, _, . and -.")


def check_names(schedules: Iterable[Schedule]) -> None:
    """Raise BotError if two schedules have the same name."""
    known: set[str] = set()
    for schedule in schedules:
        if schedule.name in known:
            raise BotError(
                f"There are two schedules named {schedule.name!r}. Rename a function, or give one of them a name: "
                f"@bot.every({schedule.spec!r}, name=…)."
            )
        known.add(schedule.name)


class Schedules(TurnFeature):
    """Fires the schedules of the bot's handlers, at one due time after the other."""

    types = frozenset()

    def __init__(self, turns: Turns) -> None:
        super().__init__(turns)
        self._schedules = turns.dispatcher.routes.of_option(Schedule)
        self.kinds = {SCHEDULE: Kind(open=partial(check_known, turns), end=rearm)}
        self.arrives = {SCHEDULE_TYPE: self._check_name}

    @asynccontextmanager
    async def around(self, role: Role) -> AsyncIterator[None]:
        if role != "receive":
            await start_schedules(self._turns.storage, self._turns.clock, self._schedules)
        yield

    async def _check_name(self, delivery: Delivery) -> None:
        """Refuse an event of a schedule that the bot does not have. Linq knows no schedules: it is from `linqbot trigger`."""
        names = sorted(each.name for each in self._schedules)
        if (name := delivery.data.get("name")) not in names:
            known = f"The bot has: {', '.join(names)}." if names else "The bot has none: see @bot.every."
            raise DeliveryRejected(f"There is no schedule {name}. {known}")


async def start_schedules(storage: Storage, clock: Clock, schedules: Iterable[Schedule]) -> None:
    """Bring the stored timers in line with the schedules of the bot, before the worker starts.

    A timer whose schedule is gone is deleted, and one whose rhythm has changed is replaced. A timer that is overdue
    stays, and fires at once. A parked timer whose delivery is lost is replaced too, and one that waits for a later due
    time than the next, because the clock was ahead when it was set.

    In a shared storage, a schedule that this bot does not have may be of a newer release, of which another process runs.
    So its timer stays until it is due: see `check_known`.
    """
    wanted = {schedule.name: schedule for schedule in schedules}
    stored = {timer.id: timer for timer in await storage.recurring(SCHEDULE)}
    for name, timer in stored.items():
        schedule = wanted.get(name)
        if schedule is None and storage.is_shared:
            continue
        if (
            schedule is None
            or timer.payload != _payload(schedule)
            or _waits_too_long(timer, clock.now())
            or await _is_orphan(storage, timer)
        ):
            await storage.cancel(name)
            log.info("schedule.removed" if schedule is None else "schedule.changed", schedule=name)
        else:
            del wanted[name]
    for schedule in wanted.values():
        await _store(storage, clock, schedule)
    for timer in await storage.recurring(REPEAT):
        if await _is_orphan(storage, timer) and (due := next_due(timer.payload, clock.now())) is not None:
            await storage.cancel(timer.id)
            await storage.schedule(replace(timer, due=due))


async def _store(storage: Storage, clock: Clock, schedule: Schedule) -> None:
    payload, after, step_s = _payload(schedule), clock.now(), 1.0
    # More than one try only if the clock was set back: then the next due times may have had their deliveries already.
    while (due := next_due(payload, after)) is not None:
        if await storage.schedule(Timer(schedule.name, due, f"s:{schedule.name}", SCHEDULE, payload)):
            log.debug("schedule.waits", schedule=schedule.name, due=datetime.fromtimestamp(due, UTC).isoformat())
            return
        # In growing steps, because there may be a due time for each second of a day.
        after, step_s = max(due, after + step_s), 2 * step_s


def _waits_too_long(timer: Timer, now: float) -> bool:
    due = next_due(timer.payload, now)
    return due is not None and not timer.is_parked and timer.due > due


async def _is_orphan(storage: Storage, timer: Timer) -> bool:
    """Return True if a parked timer has no delivery in the inbox, so that no turn will rearm it."""
    if not timer.is_parked:
        return False
    delivery_id = timer.fired(0.0).id
    return (await storage.seen([delivery_id])).get(delivery_id, True)


async def check_known(turns: Turns, turn: Turn) -> None:
    """Leave a due schedule that the bot does not have to another release of the bot, then delete its timer.

    Raises OfOtherRelease as long as a process with another release may have the schedule.
    """
    lease = turn.lease
    name, _ = timer_and_tick(lease.delivery)
    if any(each.name == name for each in turns.dispatcher.routes.of_option(Schedule)):
        return
    if turns.may_be_of_other_release(lease.delivery):
        raise OfOtherRelease(name)
    # An earlier run has failed, so some process has the schedule. A dead letter that was put back has no parked timer.
    has_run = lease.attempts or lease.crashes or lease.put_back
    if not has_run and await turns.storage.cancel(name):
        log.info("schedule.removed", schedule=name)


def timer_and_tick(delivery: Delivery) -> tuple[str, str]:
    """Return the id of the recurring timer that a delivery came from, and the time at which the timer fired."""
    timer_id, _, tick = delivery.id.split(".", 2)[2].rpartition(".")
    return timer_id, tick


def rearm(delivery: Delivery, commit: Commit) -> None:
    """Add the next due time of the recurring timer that a delivery came from. A dead letter must not stop it either."""
    if not isinstance(commit.outcome, Ack | DeadLetter):
        return
    timer_id, tick = timer_and_tick(delivery)
    # From the time at which the timer fired, which every run of the turn knows: earlier due times are merged into it.
    due = next_due(delivery.body, max(delivery.received_at, float(tick)))
    if due is None:
        log.error("schedule.ended", delivery=delivery.id, why="Its rhythm has no further time, or cannot be read.")
    else:
        commit.rearmed = (Rearm(timer_id, float(tick), due),)


def every_of(spec: str, timezone: str) -> dict[str, str]:
    return {"spec": spec, "timezone": timezone}


def _payload(schedule: Schedule) -> bytes:
    data = {"name": schedule.name, "every": every_of(schedule.spec, schedule.timezone)}
    return to_json({"event_type": SCHEDULE_TYPE, "data": data})


def next_due(payload: bytes, after: float) -> float | None:
    """Return the first due time after a time, both in Unix seconds; None if the rhythm has none or cannot be read."""
    from linqbot.parse.recurrences import recurrence

    try:
        stored = from_json(payload)
        every = stored.get("every") or stored["data"]["every"]
        rhythm = recurrence(every["spec"], timezone=every["timezone"], language="en")
        return rhythm.next_after(datetime.fromtimestamp(after, UTC)).timestamp()
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None
