"""Scheduled sends, recurring timers and broadcasts: a timer or a row in the storage, and a delivery when it is due.

A scheduled send becomes a delivery in its chat's lane. A recurring timer, of a schedule or of a send that recurs, is
stored once and stays: when it fires, it is parked and becomes a delivery, and the commit that ends the turn of that
delivery rearms it. So a schedule never overlaps itself, and due times that pass meanwhile become one. For a broadcast,
`Worker` asks the storage for the next person when the pace of the line allows it (`storage/broadcasts.py`), and the
commit of the person's turn stores the outcome. `kinds.py` says which function makes the calls of these deliveries.

`AlarmClock` ends a wait of the worker when a time has come. The worker nearly always waits for the same time, the end
of the oldest lease. So the alarm stays set from one wait to the next, and is moved only to an earlier time. If it goes
off too early, the worker looks once in vain and sets it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog
from pydantic_core import from_json, to_json

from linqbot.bot.proactive import Rhythm, Schedule, send_to
from linqbot.bot.sent import OPTED_OUT
from linqbot.client.call import Call
from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.errors import (
    LinqApiError,
    LinqbotError,
    LinqUnavailable,
    MessageGone,
    RateLimited,
    Refused,
    RuleBroken,
    TurnDeferred,
)
from linqbot.events.delivery import Delivery
from linqbot.events.lane import lane_of_chat
from linqbot.events.parse import EventNotUnderstood
from linqbot.events.proactive import SCHEDULE_TYPE
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import SEND_ID, RecipientUpdate
from linqbot.storage.inbox import Ack, DeadLetter, Finish
from linqbot.storage.journal import JournalEntry
from linqbot.storage.timers import Rearm, Timer, Timers
from linqbot.types.proactive import RecipientOutcome, Scheduled
from linqbot.worker.failure import OfOtherRelease, readable
from linqbot.worker.parts import Turn

if TYPE_CHECKING:
    from linqbot.worker.turn import Turns

KIND = "send"

_OTHER_CONFLICTS: Final = (2015, 2018, 2023)
"""The codes of the conflicts (409) of a send that leave the chat as it is: no line that can send, an app card without
iMessage, and a mention in a direct chat."""

_ALL: Final = 1_000_000
"""Reads all sends of a chat: one that is left out cannot be cancelled, and would go to a person who has opted out."""


class SendMissed(LinqbotError):
    """A scheduled send was not made, and is kept as a dead letter.

    Why: The send is later than its `grace_s` allows, because no process ran when it was due, or because the handler
        scheduled it only after an outage or in a late retry; or another release stored it in a form that this one
        cannot read.
    To do: If the message is still wanted, send it by hand: `linqbot send`. To allow future sends after a longer
        downtime, schedule them with a longer `grace_s`.
    """

    lqb = "LQB3009"


@dataclass(frozen=True, slots=True)
class DueSend:
    """The calls of a scheduled send that is due.

    Attributes:
        id: The id of the scheduled send.
        calls: The calls to make, in order.
        due: The time at which they were due, in Unix seconds.
        grace_s: The longest time, in seconds, for which no server may have run since then.
        origin: The people and the chat of the turn that scheduled them, as JSON: see `origin_of`. Under `scheduled` it
            names the send, so that an answer to its message finds it: see `answered_schedule`.
    """

    id: str
    calls: tuple[Call, ...]
    due: float
    grace_s: float
    origin: bytes

    def check(self, served_at: float) -> None:
        """Check that the send was not due too long before a server could make it.

        Args:
            served_at: The Unix time since which a server has run, from the time on at which the send was due.
        Raises:
            SendMissed: the send was due more than `grace_s` seconds before.
        """
        late_s = served_at - self.due
        if late_s > self.grace_s:
            raise SendMissed(
                f"A message of send_later was due {late_s:.0f} s ago when a server could make it, and may be at most "
                f"{self.grace_s:.0f} s late (grace_s=). "
                "If it is still wanted, send it by hand: linqbot send. To allow longer downtimes, give send_later a longer "
                "grace_s=."
            )


def timer(
    timer_id: str,
    chat_id: str,
    calls: Sequence[Call],
    due: float,
    grace_s: float,
    *,
    origin: bytes | None = None,
    off_the_record: bool = False,
    every: Rhythm | None = None,
    tag: str | None = None,
) -> Timer:
    """Build the timer that stores `calls` until they are due.

    Args:
        due: The time at which to make them, in Unix seconds.
        grace_s: The longest delay, in seconds, after which they may still be made.
        origin: The people and the chat of the turn, as JSON: see `origin_of`.
        off_the_record: True keeps no content of the calls after they are made.
        every: The rhythm in which to make them again; None makes them once.
        tag: The author's name for the send.
    """
    payload = {"calls": [from_json(call.to_json()) for call in calls], "due": due, "grace_s": grace_s}
    if origin is not None:
        payload["origin"] = from_json(origin)
    if every is not None:
        payload["every"] = every_of(every.spec, every.timezone)
    if tag is not None:
        payload["tag"] = tag
    if off_the_record:
        payload["data"] = {"zero_retention": True}  # in Linq's own form: see `Delivery.is_off_the_record`
    return Timer(timer_id, due, lane_of_chat(chat_id), KIND if every is None else REPEAT, to_json(payload), grace_s)


def moved(timer: Timer, timer_id: str, due: float) -> Timer:
    """Return a timer that makes the calls of another one once, at another time.

    Raises:
        ValueError: the payload of the timer cannot be read.
    """
    payload = from_json(timer.payload)
    payload["due"] = due
    if payload.pop("every", None) is not None:
        payload["series"] = timer.id  # what it answers for: it may be put off again
    return Timer(timer_id, due, timer.lane, KIND, to_json(payload), timer.grace_s)


def scheduled_by(timer: Timer) -> Scheduled:
    """Return the scheduled send that a timer stores."""
    payload = from_json(timer.payload)
    return _scheduled(timer.id, timer.tick, payload)


async def sends_of(chat_id: str, stored: Timers) -> dict[str, Timer]:
    """Return all scheduled sends of a chat, by id. A recurring send that is due now is among them: it goes on later.

    Raises:
        StorageUnavailable: the storage cannot be read.
    """
    lane = lane_of_chat(chat_id)
    waiting = await stored.scheduled(lane=lane, limit=_ALL)
    repeated = await stored.recurring(REPEAT, lane=lane)
    return {timer.id: timer for timer in (*waiting, *repeated) if timer.kind in (KIND, REPEAT)}


def _scheduled(scheduled_id: str, due: float, payload: dict[str, Any]) -> Scheduled:
    every = payload.get("every")
    return Scheduled(
        scheduled_id, datetime.fromtimestamp(due, UTC), payload.get("tag"), every["spec"] if every else None
    )


def _due(delivery: Delivery, payload: dict[str, Any]) -> tuple[str, float]:
    """Return the id of a due send, and its due time. Of a recurring send, this is the last due time that has passed."""
    if delivery.id.startswith(f"i.{KIND}."):
        return delivery.id.split(".", 2)[2], float(payload["due"])
    timer_id, _, tick = delivery.id.split(".", 2)[2].rpartition(".")
    return timer_id, last_due(payload["every"], float(tick), delivery.received_at)


def due_send(delivery: Delivery) -> DueSend | None:
    """Return the due send that a delivery stands for; None for any other delivery.

    The id of the delivery decides, and not its type: a webhook can have any type, but no such id.

    Raises:
        SendMissed: the stored send cannot be read.
    """
    if not delivery.id.startswith((f"i.{KIND}.", REPEAT_ID)):
        return None
    try:
        payload = from_json(delivery.body)
        scheduled_id, due = _due(delivery, payload)
        calls = tuple(Call.from_json(to_json(call)) for call in payload["calls"])
        origin = dict(payload.get("origin") or {})
        origin["scheduled"] = {"id": payload.get("series", scheduled_id), "due": due} | {
            name: payload[name] for name in ("tag", "every") if name in payload
        }
        return DueSend(scheduled_id, calls, due, float(payload["grace_s"]), to_json(origin))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # The message of the error is left out, because it may quote the text of the send.
        raise SendMissed(f"The stored send cannot be read ({type(error).__name__}).") from None


def is_recurring_send(delivery: Delivery) -> bool:
    """Return True if a recurring send is due. Its timer is stored until it is cancelled."""
    return delivery.id.startswith(REPEAT_ID)


async def send_due(turns: Turns, turn: Turn) -> None:
    """Make the calls of a scheduled send.

    Raises:
        SendMissed: the send is too late, or cannot be read.
        LinqApiError: Linq refused a call, or did not answer.
    """
    delivery, journal = turn.lease.delivery, turn.journal
    due = due_send(delivery)
    assert due is not None
    if is_recurring_send(delivery) and await turns.storage.timer(due.id) is None:
        log.info("send.cancelled", delivery=delivery.id)
        return
    # A send that has begun, and one that a server made a delivery in time, goes on however long Linq is away. If the server
    # has stopped since, it is unknown for how long none ran.
    if not journal.unmatched():
        due.check(max(delivery.received_at, turns.serving_since))
    journal.origin = due.origin
    with turn.deadline:
        for call in due.calls:
            with suppress(MessageGone):
                try:
                    await turn.client.run(call)
                except LinqApiError as error:
                    # The person opted out, or the chat is gone, or was left: a recurring send must not be made again.
                    if is_recurring_send(delivery) and (unreachable(error) is not None or error.status == 404):
                        journal.cancelled.append(due.id)
                    raise


def unreachable(error: BaseException | None) -> Literal["opted_out", "left"] | None:
    """Return why the chat of a send takes no messages of the bot: the person opted out, or its line has left the group.

    Returns:
        None if the send was refused for another reason.
    """
    if not isinstance(error, LinqApiError):
        return None
    if error.code == OPTED_OUT:
        return "opted_out"
    # R61: Linq documents the status for a chat that was left, and no code.
    return "left" if error.status == 409 and error.code not in _OTHER_CONFLICTS else None


def answered_schedule(entry: JournalEntry | None) -> Scheduled | None:
    """Return the scheduled send that made a message, from the message's journal entry; None if none made it."""
    try:
        made_by = from_json(entry.origin)["scheduled"] if entry is not None and entry.origin else None
        return None if made_by is None else _scheduled(made_by["id"], float(made_by["due"]), made_by)
    except (ValueError, TypeError, KeyError):
        return None


log = structlog.get_logger("linqbot.worker")

LINE_CODES: Final = frozenset({2005, 2015, 2027})
"""Linq's error codes for a line that cannot send, now or at all. No other person would get the message either."""

LONGEST_REASON: Final = 300
"""Largest number of characters of a reason. The whole error of a person who failed is in the dead letter."""


@dataclass(frozen=True, slots=True)
class BroadcastSend:
    """The part of a broadcast that one turn sends: all its messages, to one person.

    Attributes:
        n: The person's number in the broadcast.
        messages: In Linq's form.
    """

    broadcast: str
    n: int
    line: str
    to: str
    messages: Sequence[Mapping[str, Any]]

    @property
    def origin(self) -> bytes:
        """The person, as JSON; see `origin_of`."""
        return to_json({"handles": [self.to], "chat_id": None, "is_group": False})

    async def send(self, client: Client) -> RecipientUpdate:
        """Send, and return the outcome.

        Raises:
            TurnDeferred: the line or the API key cannot send now, which is not about this person.
            LinqApiError: it is unknown if Linq accepted a message.
        """
        chat_id = ""
        try:
            for message in self.messages:
                with suppress(MessageGone):
                    chat_id, _ = await send_to(client, chat_id, self.line, self.to, message)
        except Refused as error:
            return self._ended("refused", f"{error.plugin or 'Outbound middleware'}: {error}")
        except RuleBroken as error:
            return self._ended("refused", str(error))
        except LinqApiError as error:
            if isinstance(error, LinqUnavailable | RateLimited) or error.status is None:
                raise
            if error.code in LINE_CODES or error.status == 401:
                raise TurnDeferred(f"{error} The broadcast {self.broadcast} waits until then.") from error
            return self._ended("opted_out") if error.code == OPTED_OUT else self._ended("refused", str(error))
        return self._ended("sent")

    def _ended(self, outcome: RecipientOutcome, reason: str | None = None) -> RecipientUpdate:
        if outcome != "sent":
            log.info(f"broadcast.{outcome}", broadcast=self.broadcast, n=self.n, reason=reason)
        return RecipientUpdate(
            self.broadcast, self.n, outcome, None if reason is None else readable(reason)[:LONGEST_REASON]
        )


def broadcast_send(delivery: Delivery) -> BroadcastSend | None:
    """Return the send of a broadcast that a delivery stands for; None for any other delivery.

    The id of the delivery decides, and not its type: a webhook can have any type, but no such id.

    Raises:
        EventNotUnderstood: the stored send cannot be read; another release may have stored it.
    """
    if not delivery.id.startswith(SEND_ID):
        return None
    try:
        body = from_json(delivery.body)
        return BroadcastSend(
            str(body["broadcast"]), int(body["n"]), str(body["from"]), str(body["to"]), list(body["messages"])
        )
    except (ValueError, TypeError, KeyError):
        # Without the error as its cause, because it may quote the text of the message.
        raise EventNotUnderstood(delivery.id, delivery.type, ("body",)) from None


async def send_to_person(_: Turns, turn: Turn) -> None:
    """Send a broadcast to one person.

    Raises:
        EventNotUnderstood, TurnDeferred, LinqApiError: see `broadcast_send` and `BroadcastSend.send`.
    """
    to_person = broadcast_send(turn.lease.delivery)
    assert to_person is not None
    turn.journal.origin = to_person.origin
    with turn.deadline:
        turn.journal.recipients = (await to_person.send(turn.client),)


def give_up_person(delivery: Delivery, commit: Finish) -> None:
    """Add the outcome of a person whose delivery became a dead letter: it must not keep the broadcast from ending."""
    if isinstance(outcome := commit.outcome, DeadLetter):
        name, _, n = delivery.id.removeprefix(SEND_ID).rpartition(".")
        # Of a failure only the class of the error: its message may quote a text, and the outcome is kept for ever.
        reason = (outcome.kind or "an error") if outcome.failed else outcome.error
        commit.recipients = (RecipientUpdate(name, int(n), "failed", reason[:LONGEST_REASON]),)


REPEAT_ID = "i.repeat."
"""Prefix of the ids of deliveries that a recurring send became."""
SCHEDULE = "schedule"
REPEAT = "repeat"


async def start_schedules(storage: Storage, clock: Clock, schedules: Iterable[Schedule]) -> None:
    """Bring the stored timers in line with the schedules of the bot, before the worker starts.

    A timer whose schedule is gone is deleted, and one whose rhythm has changed is replaced. A timer that is overdue
    stays, and fires at once. A parked timer whose delivery is lost is replaced too, and one that waits for a later due
    time than the next, because the clock was ahead when it was set.

    Raises:
        StorageUnavailable: the storage cannot be read or written.
    """
    wanted = {schedule.name: schedule for schedule in schedules}
    stored = {timer.id: timer for timer in await storage.recurring(SCHEDULE)}
    for name, timer in stored.items():
        schedule = wanted.get(name)
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
        if await _is_orphan(storage, timer) and (due := _next_due(timer.payload, clock.now())) is not None:
            await storage.cancel(timer.id)
            await storage.schedule(Timer(timer.id, due, timer.lane, timer.kind, timer.payload, timer.grace_s))


async def _store(storage: Storage, clock: Clock, schedule: Schedule) -> None:
    payload, after, step_s = _payload(schedule), clock.now(), 1.0
    # More than one try only if the clock was set back: then the next due times may have had their deliveries already.
    while (due := _next_due(payload, after)) is not None:
        if await storage.schedule(Timer(schedule.name, due, f"s:{schedule.name}", SCHEDULE, payload, 0.0)):
            log.debug("schedule.waits", schedule=schedule.name, due=datetime.fromtimestamp(due, UTC).isoformat())
            return
        # In growing steps, because there may be a due time for each second of a day.
        after, step_s = max(due, after + step_s), 2 * step_s


def _waits_too_long(timer: Timer, now: float) -> bool:
    """Return True if a timer waits for a later due time than the next one."""
    due = _next_due(timer.payload, now)
    return due is not None and not timer.is_parked and timer.due > due


async def _is_orphan(storage: Storage, timer: Timer) -> bool:
    """Return True if a parked timer has no delivery in the inbox, so that no turn will rearm it."""
    if not timer.is_parked:
        return False
    delivery_id = timer.fired(0.0).id
    return (await storage.seen([delivery_id])).get(delivery_id, True)


async def check_schedule_gone(turns: Turns, turn: Turn) -> None:
    """Check that a due schedule that this process does not have is gone, and not in another release of the bot.

    When this process began, it deleted the timers of all schedules that it does not have: see `start_schedules`. So
    another process has stored such a timer since.

    Raises:
        OfOtherRelease: another process has the schedule.
        StorageUnavailable: the storage cannot be read.
    """
    if not turns.may_be_of_other_release(turn.lease.delivery):
        return
    name, _ = _timer_and_tick(turn.lease.delivery)
    is_here = any(schedule.name == name for schedule in turns.dispatcher.schedules)
    if not is_here and await turns.storage.timer(name) is not None:
        raise OfOtherRelease(name)


def _timer_and_tick(delivery: Delivery) -> tuple[str, str]:
    """Return the id of the recurring timer that a delivery came from, and the time at which the timer fired."""
    timer_id, _, tick = delivery.id.split(".", 2)[2].rpartition(".")
    return timer_id, tick


def rearm(delivery: Delivery, commit: Finish) -> None:
    """Add the next due time of the recurring timer that a delivery came from. A dead letter must not stop it either."""
    if not isinstance(commit.outcome, Ack | DeadLetter):
        return
    timer_id, tick = _timer_and_tick(delivery)
    # From the time at which the timer fired, which every run of the turn knows: earlier due times are merged into it.
    due = _next_due(delivery.body, max(delivery.received_at, float(tick)))
    if due is None:
        log.error("schedule.ended", delivery=delivery.id, why="Its rhythm has no further time, or cannot be read.")
    else:
        commit.rearmed = (Rearm(timer_id, float(tick), due),)


def every_of(spec: str, timezone: str) -> dict[str, str]:
    """Return a rhythm in the form in which payloads hold it."""
    return {"spec": spec, "timezone": timezone}


def last_due(every: dict[str, str], first: float, until: float) -> float:
    """Return the last due time of a rhythm from `first` up to `until`, all in Unix seconds.

    Raises:
        ValueError, KeyError: the rhythm cannot be read.
    """
    from linqbot.parse.recurrences import last_until, recurrence

    rhythm = recurrence(every["spec"], timezone=every["timezone"])
    last, _ = last_until(rhythm, datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(until, UTC), most=0)
    return last.timestamp()


def _payload(schedule: Schedule) -> bytes:
    data = {"name": schedule.name, "every": every_of(schedule.spec, schedule.timezone)}
    return to_json({"event_type": SCHEDULE_TYPE, "data": data})


def _next_due(payload: bytes, after: float) -> float | None:
    """Return the first due time after a time, both in Unix seconds; None if the rhythm has none or cannot be read."""
    from linqbot.parse.recurrences import recurrence

    try:
        stored = from_json(payload)
        every = stored.get("every") or stored["data"]["every"]
        rhythm = recurrence(every["spec"], timezone=every["timezone"])
        return rhythm.next_after(datetime.fromtimestamp(after, UTC)).timestamp()
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None


class AlarmClock:
    """Ends a wait when its clock reaches a time. One task may wait at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._limit: asyncio.Timeout | None = None

    def set(self, at: float) -> None:
        """Set the alarm to a Unix time, if it is not set to an earlier one."""
        if self._task is not None and self._at <= at:
            return
        self.cancel()
        self._at = at
        self._task = asyncio.get_running_loop().create_task(self._clock.wait_until(at), name="linqbot alarm")
        self._task.add_done_callback(self._went_off)

    def cancel(self) -> None:
        """Turn the alarm off."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def wait_for(self, work: Awaitable[object]) -> None:
        """Wait until work is done, or until the alarm goes off, which cancels the work."""
        limit = self._limit = asyncio.timeout(None)
        try:
            async with limit:
                await work
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            self._limit = None

    def _went_off(self, task: asyncio.Task[None]) -> None:
        if task is not self._task:
            return
        self._task = None
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())
