"""Verbs of `ctx` about times: the present, and scheduled sends, which `later.py` stores and makes."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING

from linqbot.client.resources.chats import send_call
from linqbot.content.message_split import (
    Content,
    bubbles,
    check_content,
    depends_on_service,
    fitted_to_messages,
    without_effect,
)
from linqbot.errors import BotError
from linqbot.features.speaking import Speaker, effect_of, known_as_context
from linqbot.linq.types.message import Effect, EffectName
from linqbot.linq.types.proactive import Scheduled
from linqbot.options import GRACE_S, check_whole

if TYPE_CHECKING:
    from linqbot.features.later import TurnScheduler
    from linqbot.parse.recurrences import Recurrence


@known_as_context
class LaterVerbs(Speaker):
    """A run of a handler that can schedule what it sends. Authors know it as their `Context`."""

    def now(self, tz: str | tzinfo = "UTC") -> datetime:
        """Return the present time, in a time zone. In tests the clock stands still, and `phone.advance` moves it.

        When a handler runs again after an answer to `ask`, it reads the times again that it had read before the question. In
        a function of `kind=` it is the time at which the answer came.

        Args:
            tz: The IANA name of the time zone, such as `Europe/Paris`, or a `tzinfo`.
        Raises:
            BotError: there is no time zone of this name.

        Example:
            `tomorrow = ctx.now("Europe/Paris") + timedelta(days=1)`
        """
        at = self.turn_state.now() if self.is_handling else self._clock.now()
        if isinstance(tz, str):
            from linqbot.features.later import zone

            tz = zone(tz)
        return datetime.fromtimestamp(at, tz)

    async def send_later(
        self,
        *content: Content,
        at: datetime | None = None,
        after_s: float | None = None,
        every: str | Recurrence | None = None,
        timezone: str | None = None,
        tag: str | None = None,
        effect: EffectName | str | Effect | None = None,
        cards: bool = True,
        grace_s: float = GRACE_S,
        key: str | None = None,
    ) -> Scheduled:
        """Send into the event's chat at a later time, even if the process restarts before then.

        A scheduled send is stored when the handler succeeds. A handler that fails and runs again therefore schedules
        it once. When it is due, it waits in the chat's lane like a new delivery, so it is never sent between two
        messages of a handler.

        Args:
            at: The time to send at. A time without a zone needs `timezone`. It is stored as Unix time. A time in the past
                sends at once, unless it is more than `grace_s` ago.
            after_s: Alternatively, seconds from now. This too is stored as a time, so a change of the machine's clock
                moves it.
            every: Alternatively, a rhythm such as `weekdays 09:00` or `2 hours`, as for `@bot.every`, or a value of
                `parse.recurrence`. The message is sent again and again, until it is cancelled, the person opts out, the
                chat is gone, or the bot has left the group. Times that pass while the bot is down become one.
            timezone: The IANA name of the time zone, such as `America/New_York`. A rhythm needs it. A time in the hour
                that daylight saving time skips means one hour later. A time that occurs twice means the first; with
                `fold=1`, the second.
            tag: A text of yours, by which the handler of an answer recognizes the message: see `message.answers`.
            cards: As for `reply`.
            grace_s: The longest delay, in seconds, after which it is still sent, such as after a downtime or a
                mute. A later send becomes a dead letter.
            key: Identifies this send within its turn. Needed only by a handler whose sends differ from run to run.
        Returns:
            The scheduled send: its time, and the id that `cancel` takes.
        Raises:
            BotError: not exactly one of `at`, `after_s` and `every` was given, the time has no zone, the rhythm is not known,
                `after_s` or `grace_s` is not a number of seconds, `key` was used before in this turn, or the event belongs
                to no chat; or there is no content, or of a type that cannot be sent.
            RuleBroken: the content breaks one of Linq's rules.
        """
        from linqbot.features.later import check_grace, due_at, rhythm_of

        check_content(content)
        now, rhythm = self._clock.now(), None
        if every is None:
            due = due_at(at, after_s, timezone, now)
        elif at is not None or after_s is not None:
            raise BotError("Give send_later one of at=, after_s= and every=.")
        else:
            rhythm = rhythm_of(every, timezone)
            due = rhythm.next_after(datetime.fromtimestamp(now, UTC)).timestamp()
        check_grace(grace_s)
        check_whole("ctx.send_later(tag=…)", tag)
        decoration = effect_of(effect)
        if self.event.service is None and depends_on_service(content, decoration):
            await self._learn_service()
        resolved = await self._uploads.resolved(fitted_to_messages(content, self.event.service))
        messages = bubbles(resolved, effect=decoration, service=self.event.service, cards=cards)
        shown = [without_effect(message, self.event.service) for message in messages]
        calls = [send_call(self.chat_id, message) for message in shown]
        return self._scheduler.schedule(self.chat_id, calls, due=due, grace_s=grace_s, key=key, every=rhythm, tag=tag)

    async def remind(
        self,
        *content: Content,
        at: datetime,
        before: str,
        timezone: str | None = None,
        tag: str | None = None,
        key: str | None = None,
    ) -> Scheduled | None:
        """Send into the event's chat some time before something happens, such as a day before a booking; see `send_later`.

        Args:
            at: The time at which it happens. A time without a zone needs `timezone`.
            before: The time between the message and `at`: a length of time such as `2 hours`, or days and a time of day,
                such as `1 day at 18:00`. Days are counted by the calendar of the time zone, also when its clocks change.
            timezone: The IANA name of the time zone of the time of day; by default that of `at`.
            tag, key: As for `send_later`.
        Returns:
            The scheduled send; None if its time is over already, so that nothing is sent.
        Raises:
            BotError: `before` has none of these forms; or see `send_later`.
            RuleBroken: the content breaks one of Linq's rules.
        """
        from linqbot.features.later import due_before

        due = due_before(at, before, timezone, self._clock.now())
        if due <= self.now().timestamp():
            return None
        return await self.send_later(*content, at=datetime.fromtimestamp(due, UTC), tag=tag, key=key)

    async def reschedule(self, scheduled: Scheduled | str, *, after_s: float) -> Scheduled:
        """Move a scheduled send that waits; of a recurring send, send the message once more, and leave its rhythm.

        It takes effect when the handler succeeds.

        Args:
            scheduled: A result of `send_later` or `scheduled`, a `message.answers`, or its id.
            after_s: Seconds from now.
        Returns:
            The scheduled send.
        Raises:
            BotError: it is sent or cancelled, so its content is deleted.
            StorageUnavailable: the storage cannot be read.
        """
        from linqbot.features.later import due_at

        due = due_at(None, after_s, None, self._clock.now())
        scheduled_id = scheduled if isinstance(scheduled, str) else scheduled.id
        check_whole("ctx.reschedule(scheduled)", scheduled_id)
        moved = await self._scheduler.reschedule(scheduled_id, due=due)
        if moved is None:
            raise BotError(
                "This send is sent or cancelled, so its content is deleted. Schedule it again with ctx.send_later; the "
                "tag of message.answers says which one it was."
            )
        return moved

    async def cancel(self, scheduled: Scheduled | str | None = None, *, tag: str | None = None) -> bool:
        """Cancel a scheduled send, or all of the chat with a tag, immediately. It stays cancelled even if this turn fails.

        A further run of the turn gets the same result, and cancels nothing else.

        Args:
            scheduled: A result of `send_later` or `scheduled`, or its id.
            tag: Alternatively, the `tag` of sends in the event's chat.
        Returns:
            True if a send was still waiting, or recurs; False if it was already sent or cancelled, or never existed.
        Raises:
            BotError: not exactly one of both was given; or there is a tag, and the event belongs to no chat.
            StorageUnavailable: the storage cannot be read or written.
        """
        check_whole("ctx.cancel(scheduled)", scheduled)
        check_whole("ctx.cancel(tag=…)", tag)
        if (scheduled is None) == (tag is None):
            raise BotError("Give ctx.cancel either a scheduled send or tag=.")
        if scheduled is None:
            ids = [each.id for each in await self.scheduled() if each.tag == tag]
        else:
            ids = [scheduled if isinstance(scheduled, str) else scheduled.id]
        return any([await self._scheduler.cancel(each) for each in ids])

    async def scheduled(self) -> list[Scheduled]:
        """Return the scheduled sends that are waiting in this chat, the earliest first.

        A further run of the turn gets the same list.

        Raises:
            BotError: the event belongs to no chat.
            StorageUnavailable: the storage cannot be read.
        """
        return await self._scheduler.scheduled(self.chat_id)

    @property
    def _scheduler(self) -> TurnScheduler:
        from linqbot.features.later import scheduler_of

        return scheduler_of(self._helpers)
