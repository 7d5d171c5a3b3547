"""`ctx.bot` and the schedules of a bot: messages that answer no event.

A bot can write to a person first, send later, run a handler in a rhythm (`@bot.every`), or broadcast to many people.
This module checks the arguments and defines the interfaces of the stores. Next step: `features/turn_scheduler.py`
implements these interfaces, and `features/later.py`, `features/schedules.py` and `features/broadcasts.py` act when a time has come.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic_core import to_json

from linqbot.client.call import ApiResponse, Call
from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.content.message_split import Content, bubbles, check_content, files_of
from linqbot.content.sending import stopped_by
from linqbot.content.sent import Sent
from linqbot.content.uploads import Uploads
from linqbot.errors import BotError, LinqApiError, MessageGone, Refused, RuleBroken
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.rules.message import first_message
from linqbot.linq.types.message import MessageContent, SentMessage, text_of
from linqbot.linq.types.proactive import Broadcast, Recipient, RecipientOutcome
from linqbot.options import check_number, check_text, check_timezone
from linqbot.storage.broadcasts import NewBroadcast

if TYPE_CHECKING:
    from linqbot.features.asking.session import AskSession
    from linqbot.features.turn_scheduler import TurnBroadcaster
    from linqbot.parse.recurrences import Recurrence


Audience: TypeAlias = Iterable[str] | AsyncIterable[str]
"""Handles of people, such as a list, or `ctx.state.people(…)`."""

PER_MINUTE: Final = 20.0
"""People in a minute by default."""

_AT_A_TIME: Final = 1000
_ANY_CHAT: Final = "00000000-0000-4000-8000-000000000000"
_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)


def check_name(name: str) -> None:
    """Check the name of a broadcast.

    Raises:
        BotError: it is not a text of 1 to 64 letters, digits, `_`, `.` and `-`.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BotError(f"{name!r} cannot be the name of a broadcast. Use 1 to 64 letters, digits, _, . and -.")


def check_pace(per_minute: float) -> None:
    """Check the pace of a broadcast.

    Raises:
        BotError: it is not greater than 0, or it is infinite.
    """
    check_number("broadcast", "per_minute", per_minute)
    if not 0 < per_minute < float("inf"):
        raise BotError(f"per_minute={per_minute!r} is no pace. Give the number of people in a minute, such as 20.")


async def people_of(audience: Audience) -> list[str]:
    """Return the handles of an audience in order, each once. Addresses that differ in case only are the same.

    Raises:
        BotError: this is one text instead of several handles, or an element is not a text.
    """
    if isinstance(audience, str | bytes) or not isinstance(audience, Iterable | AsyncIterable):
        raise BotError(
            f"ctx.bot.broadcast() takes the handles of people, such as a list or ctx.state.people(…), not "
            f"{type(audience).__name__}. To write to one person: ctx.bot.send(…, to=…)."
        )
    people: dict[str, str] = {}
    if isinstance(audience, AsyncIterable):
        async for handle in audience:
            await _add(handle, people)
    else:
        for handle in audience:
            await _add(handle, people)
    return list(people.values())


async def _add(handle: object, people: dict[str, str]) -> None:
    if not isinstance(handle, str) or not handle.strip():
        what = "an empty text" if isinstance(handle, str) else f"an object of type {type(handle).__name__}"
        raise BotError(f"The audience of a broadcast has {what} in it. Give handles, such as '+14155550142'.")
    check_text("The audience of a broadcast", handle)
    people.setdefault(handle.strip().casefold(), handle.strip())
    if len(people) % _AT_A_TIME == 0:
        await asyncio.sleep(0)  # so that a large audience does not hold up other chats


async def checked_messages(messages: Sequence[MessageContent], client: Client, line: str) -> bytes:
    """Return the messages as JSON, in Linq's form, after the rules have checked them. No call is made.

    Raises:
        BotError: there is no message.
        RuleBroken: a message breaks one of Linq's rules.
    """
    if not messages:
        raise BotError("A broadcast needs content: ctx.bot.broadcast(people, 'The menu of July is out.', name='july').")
    calls: list[Call] = []

    async def keep(call: Call) -> ApiResponse:
        calls.append(call)
        return ApiResponse(202, {"chat": {"id": "", "message": {"id": ""}}, "chat_id": "", "message": {"id": ""}})

    checked = client.wrapped(lambda _: keep)
    for n, message in enumerate(messages):
        if n == 0:
            await checked.chats.create(from_=line, to=[line], message=message)
        else:
            await checked.chats.messages.send(_ANY_CHAT, message=message)
    return to_json([(call.body or {})["message"] for call in calls])


_PAGE: Final = 500


class BotContext:
    """Writes to people first, to one or to many. It belongs to one turn, like the context that has it as `ctx.bot`.

    Args:
        client: The turn's client, whose calls are journalled.
        line: Our line in the event's chat; None if the event has none.
        note_sent: Called with the chat's id, the text and the files of each message that was sent.
        log: The logger of the context.
        uploads: Uploads the files of the turn.
        broadcaster: The store of broadcasts.
        asking: Returns the asker of the turn.
    """

    def __init__(
        self,
        client: Client,
        line: str | None,
        note_sent: Callable[[str, str, str], None],
        log: Any,
        uploads: Uploads,
        *,
        clock: Clock,
        broadcaster: TurnBroadcaster,
        asking: Callable[[], AskSession],
    ) -> None:
        self._asking = asking
        self._client = client
        self._clock = clock
        self._broadcaster = broadcaster
        self._line = line
        self._note_sent = note_sent
        self._log = log
        self._uploads = uploads

    async def send(
        self, *content: Content, to: str, line: str | None = None, cards: bool = True, key: str | None = None
    ) -> Sent:
        """Send to a person, in the direct chat with them. If there is none, the first message opens it.

        Calls are journalled, so a handler that runs again sends each message once. If the person has opted out, or a
        plugin refuses the send, nothing is sent and `Sent.status` gives the reason.

        Args:
            content: As for `ctx.reply`, except polls, voice memos, contact cards and location requests. The first message
                that a person ever gets must not contain a link or an effect. So a text is cut before the sentence with
                its first address, and a card follows as a second message.
            to: The handle of the person: an E.164 phone number or an e-mail address.
            line: Our number to write from, E.164. None is the line of the event's chat, or else the account's only
                line.
            cards: As for `ctx.reply`.
            key: As for `ctx.reply`.
        Returns:
            The messages that Linq accepted, and the status.
        Raises:
            BotError: the account has no line, or has several and none was given; `to` is not one handle; or there is no
                content, or of a type that cannot be sent.
            RuleBroken: the content breaks one of Linq's rules, such as R52 if the chat is new and the content is only an
                address, or its first sentence has one; the message was not sent.
            LinqApiError: Linq refused the message.

        Example:
            `await ctx.bot.send("Good morning!", to="+14155550142")`
        """
        if not isinstance(to, str) or not to.strip():
            raise BotError(
                f"ctx.bot.send(to=…) takes the handle of one person, such as '+14155550142', not {type(to).__name__}. It "
                "never opens a group: call ctx.client.chats.create for that."
            )
        check_content(content)
        try:
            messages = bubbles(await self._uploads.resolved(content), cards=cards, opens_chat=True)
        except Refused as error:
            stopped_by(error, self._log)
            return Sent((), "refused")
        sender = line or self._line or await self._only_line()
        client = self._client if key is None else self._client.named(key)
        chat_id, sent, contents = "", list[SentMessage](), list[MessageContent]()
        for message in messages:
            try:
                chat_id, accepted = await send_to(client, chat_id, sender, to.strip(), message)
            except MessageGone:
                continue
            except (Refused, LinqApiError) as error:
                if (status := stopped_by(error, self._log)) is not None:
                    return Sent(tuple(sent), status, _client=client, _contents=tuple(contents))
                # Only Linq knows if the chat is new, so R52 is not checked before. Its answer does not name the rule.
                may_be_first = not chat_id and not isinstance(error, Refused) and error.status == 400
                broken = first_message(message.to_json_object()) if may_be_first else None
                if broken is None:
                    raise
                raise RuleBroken(broken.message, rule=broken.rule, status=broken.status, code=broken.code) from error
            if chat_id:
                parts = message.parts or ()
                self._note_sent(chat_id, text_of(parts), files_of(parts))
            sent.append(accepted)
            contents.append(message)
        return Sent(tuple(sent), _client=client, _contents=tuple(contents))

    async def broadcast(
        self,
        audience: Audience,
        *content: Content,
        name: str,
        per_minute: float = PER_MINUTE,
        line: str | None = None,
    ) -> Broadcast:
        """Send to many people, one after the other, and return at once.

        The broadcast is stored before this call returns, whatever becomes of the handler. It goes on after a restart.
        Each person gets it once, in the direct chat, which the first message opens if there is none. People who have
        opted out, or whom Linq refuses, are counted, and stop nothing. When each person has an outcome, the bot's
        `on_broadcast_done` handler runs. Broadcasts from one line go out one after the other.

        Args:
            audience: Handles: a list, or `ctx.state.people(…)`. A handle that occurs twice counts once.
            content: As for `ctx.reply`, except polls, voice memos, contact cards and location requests. The first message
                that a person ever gets must not contain a link or an effect.
            name: Identifies the broadcast: 1 to 64 letters of ASCII, digits, `_`, `.` and `-`. If one of this name is stored, it is returned, and nothing is begun. So a
                handler that runs again repeats no send.
            per_minute: The number of people in a minute, at most.
            line: Our number to write from, E.164. None is the line of the event's chat, or else the account's only
                line.
        Returns:
            The broadcast, with the number of people for each outcome so far.
        Raises:
            BotError: `audience`, `name`, `per_minute` or the content cannot be used; the account has no line, or has
                several and none was given, or has not the given one.
            RuleBroken: the content breaks one of Linq's rules; nothing was stored.
            Refused: a plugin vetoes the broadcast; nothing was stored.
            StorageUnavailable: nothing was stored; the turn runs again later.

        Example:
            `await ctx.bot.broadcast(ctx.state.people(Guest), "The menu of July is out.", name="july")`
        """
        check_name(name)
        check_pace(per_minute)
        if (known := await self._broadcaster.find_broadcast(name)) is not None:
            return known
        messages = bubbles(await self._uploads.resolved(content), opens_chat=True)
        sender = line or self._line or await self._only_line()
        stored = await checked_messages(messages, self._client, sender)
        new = NewBroadcast(name, sender, float(per_minute), stored, self._clock.now())
        people = await people_of(audience)
        return await self._broadcaster.start_broadcast(new, people, check=partial(self._check_line, line))

    async def end_questions(self, chat_id: str) -> None:
        """End the open questions of `ask` in any chat, such as one that a person takes over, as `linqbot waiting cancel` does.

        Their handlers get AskCancelled with the reason "operator"; if they do not catch it, the bot says its
        `on_ask_cancelled` there, if it has one. Answers that wait already are handled before. What `pay`, `location` and
        `vote` wait for stays open. For the event's own chat, `ctx.end_questions()` ends them without a word.

        Raises:
            StorageUnavailable: not all of them were ended.
        """
        await self._asking().cancel_questions(chat_id)

    async def find_broadcast(self, name: str) -> Broadcast | None:
        """Return a broadcast, with the number of people for each outcome so far; None if none of this name is stored.

        Raises:
            StorageUnavailable: the storage cannot be read.
        """
        return await self._broadcaster.find_broadcast(name)

    async def recipients(self, name: str, outcome: RecipientOutcome | None = None) -> AsyncIterator[Recipient]:
        """Yield the people of a broadcast, in order, with their outcomes and the reasons of refusals.

        Example: `async for person in ctx.bot.recipients("july", "refused"):`

        Args:
            outcome: Only people with this outcome; None yields all.
        Raises:
            StorageUnavailable: the storage cannot be read.
        """
        after = 0
        while page := await self._broadcaster.recipients_of(name, outcome=outcome, after=after, limit=_PAGE):
            for recipient in page:
                yield recipient
            after = page[-1].n

    async def _check_line(self, line: str | None) -> None:
        """Check that the account has the line that the author gave. Linq would refuse each send from another one for a day.

        Raises:
            BotError: the account does not have it.
        """
        if not line or line == self._line:
            return
        lines = await self._client.phone_numbers.list()
        if all(one.phone_number != line for one in lines):
            raise BotError(
                f"The line= of ctx.bot.broadcast(…) is none of the {len(lines)} lines of this account, so nothing was begun. "
                "Give one that client.phone_numbers.list() returns, in the same form: line='+12025550100'."
            )

    async def _only_line(self) -> str:
        lines = await self._client.phone_numbers.list()
        if len(lines) == 1:
            self._line = lines[0].phone_number
            return self._line
        if not lines:
            raise BotError("This account has no line to write from. Add one in Linq's dashboard.")
        raise BotError(
            f"This account has {len(lines)} lines, and the event is not from one of them. Say which one writes: "
            'ctx.bot.send(…, to=…, line="+1…").'
        )


async def send_to(
    client: Client, chat_id: str, line: str, to: str, message: MessageContent | Mapping[str, Any]
) -> tuple[str, SentMessage]:
    """Send a message to a person, and return the id of its chat and the message.

    Without a chat, `chats.create` sends into the direct chat if it exists, and opens it otherwise. The chat is not
    looked up first: after a crash the lookup would find the chat that the first run opened, and the calls would differ.
    """
    if chat_id:
        return chat_id, (await client.chats.messages.send(chat_id, message=message)).message
    chat = (await client.chats.create(from_=line, to=[to], message=message)).chat
    return chat.id, chat.message


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


LAST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""Times from here on are refused, in Unix seconds: Python's dates end soon after."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The rhythm of a recurring send: the text, and the time zone of its times of day."""

    spec: str
    timezone: str

    def next_after(self, now: float) -> float:
        """Return the first time after a time, both in Unix seconds."""
        from linqbot.parse.recurrences import recurrence

        at = recurrence(self.spec, timezone=self.timezone).next_after(datetime.fromtimestamp(now, UTC))
        return at.timestamp()


def due_at(at: datetime | None, after_s: float | None, timezone: str | None, now: float) -> float:
    """Return the time to send at, in Unix seconds.

    Raises:
        BotError: not exactly one of `at` and `after_s` was given, one is of a wrong type, the time zone is missing,
            unknown or given twice, or the time is before 1970 or after 9998.
    """
    if (at is None) == (after_s is None):
        raise BotError("Give send_later either at= or after_s=.")
    if at is None:
        check_number("send_later", "after_s", after_s)
        assert after_s is not None
        if timezone is not None or not 0 <= after_s < LAST - now:
            raise BotError(
                f"after_s={after_s!r} is not a number of seconds from now that ends before the year 9999, or timezone= "
                "was given with it."
            )
        return now + after_s
    if not isinstance(at, datetime):
        raise BotError(f"send_later(at=…) takes a datetime, but got a value of type {type(at).__name__}.")
    if timezone is not None:
        if at.tzinfo is not None:
            raise BotError("at= has a time zone already. Leave timezone= out, or give a time without one.")
        check_timezone("send_later", timezone)
        at = at.replace(tzinfo=zone(timezone))
    if at.tzinfo is None:
        raise BotError(
            "at= has no time zone, so it could mean any of 24 hours. "
            'Give timezone="Europe/Paris", or a time with a zone: ctx.now() + timedelta(hours=1).'
        )
    try:
        due = at.timestamp()
    except (ValueError, OverflowError):
        due = LAST
    if not 0 <= due < LAST:
        raise BotError(f"at= is in the year {at.year}. Give a time from 1970 to 9998.")
    return due


def due_before(at: datetime, before: str, timezone: str | None, now: float) -> float:
    """Return the time of a reminder before an event, in Unix seconds.

    Raises:
        BotError: `before` is none of the forms that `Context.remind` names, or see `due_at`.
    """
    from linqbot.parse.dates import duration, instant, time_of_day

    is_naive = isinstance(at, datetime) and at.tzinfo is None
    happens = due_at(at, None, timezone if is_naive else None, now)
    if timezone is not None:
        check_timezone("remind", timezone)
    where = zone(timezone) if timezone is not None else at.tzinfo
    if not isinstance(before, str):
        raise _no_reminder(before)
    length, at_clock, clock_text = before.partition(" at ")
    try:
        ahead = duration(length)
        clock, *around = time_of_day(clock_text.casefold())
    except ValueError as error:
        raise _no_reminder(before) from error
    if ahead % timedelta(days=1) and not at_clock:
        return happens - ahead.total_seconds()
    if ahead % timedelta(days=1) or (at_clock and (clock is None or "".join(around).strip())):
        raise _no_reminder(before)
    # Days are counted by the calendar, so that a day before seven in the evening is seven in the evening.
    wall = datetime.fromtimestamp(happens, where).replace(tzinfo=None) - ahead
    assert where is not None
    return instant(wall if clock is None else datetime.combine(wall, clock), where).timestamp()


def _no_reminder(before: object) -> BotError:
    return BotError(
        f'remind(before={before!r}): give the time before the event, such as "2 hours", or days and a time of day, such as '
        '"1 day at 18:00".'
    )


def zone(name: str) -> tzinfo:
    """Return the time zone of an IANA name.

    Raises:
        BotError: there is no time zone of this name.
    """
    if name == "UTC":
        return UTC  # also on a machine without time zone data
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BotError(f"There is no time zone {name!r}. Give an IANA name such as Europe/Paris.") from error


def check_grace(grace_s: float) -> None:
    """Check that `grace_s` is a number of seconds.

    Raises:
        BotError: `grace_s` is no number, negative or NaN. Infinity is allowed.
    """
    check_number("send_later", "grace_s", grace_s)
    if not grace_s >= 0:
        raise BotError(
            f"grace_s={grace_s!r} is not a number of seconds. Give the longest delay after which it may still be sent."
        )


def check_not_missed(due: float, grace_s: float, event: Event) -> None:
    """Check that a send was not too late already when its event happened.

    The time of the event decides, and not the present time: it is the same in each run of the turn. So a run that comes
    after a crash, a retry or an outage schedules what the first run scheduled. An event of an unknown time is not checked.

    Raises:
        BotError: the send would never be made.
    """
    happened = (event.sent_at if isinstance(event, MessageReceived) else None) or event.created_at
    if happened is None or due + grace_s >= happened.timestamp():
        return
    raise BotError(
        f"send_later(at=…): the time is {happened.timestamp() - due:.0f} s before the event that is handled. A send that is "
        f"more than {grace_s:.0f} s late (grace_s=) is never made. Give a time to come, such as ctx.now() + "
        "timedelta(hours=1)."
    )


def rhythm_of(every: str | Recurrence, timezone: str | None) -> Rhythm:
    """Return the rhythm that a recurring send was given.

    Raises:
        BotError: the rhythm or the time zone is of a wrong type or not known, or the time zone is missing or was given
            twice.
    """
    from linqbot.parse.recurrences import Recurrence, recurrence

    if isinstance(every, Recurrence):
        if timezone is not None:
            raise BotError("every= has a time zone already. Leave timezone= out.")
        return Rhythm(every.spec, every.timezone)
    if not isinstance(every, str):
        raise BotError(
            "send_later(every=…) takes a rhythm, such as 'weekdays 09:00', or a value of parse.recurrence, but got a value "
            f"of type {type(every).__name__}."
        )
    if timezone is None:
        raise BotError('every= needs the time zone of the person: timezone="Europe/Paris".')
    check_timezone("send_later", timezone)
    try:
        recurrence(every, timezone=timezone)
    except ValueError as error:
        raise BotError(f"every={every!r}: {error}") from error
    return Rhythm(every, timezone)
