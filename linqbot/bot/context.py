"""The Context of a handler: reply, send later, react, show typing, mark as read, and Linq's whole API as `ctx.client`.

A Context belongs to one turn. It does not know the storage. The worker wraps the context's client, so every call that
changes something at Linq, through the Context or through `ctx.client`, is written to the turn's journal before its
first attempt. Next step: `client/resources/messages.py` sends the reply, and `worker/turn.py` ends the turn.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import structlog

from linqbot.bot.background import HINT_S
from linqbot.bot.deadline import DEADLINE_S, Deadline
from linqbot.bot.message_split import Content, bubbles, files_of, text_of
from linqbot.bot.send_later import GRACE_S, Scheduled, Scheduler, as_scheduled, check_grace, due_at
from linqbot.bot.typing import TypingIndicator
from linqbot.client.call import ApiResponse, Call
from linqbot.client.client import Client
from linqbot.clock import Clock, SystemClock
from linqbot.errors import BotError, LinqApiError, LinqbotError, MessageGone, Refused
from linqbot.events.event import Event
from linqbot.types.message import Effect, EffectName, MessageContent, ReactionType, ReplyTo, SentMessage

OPTED_OUT = 2024
"""Linq's error code for a send to a person who opted out by writing STOP."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of a reply or a send.

    Attributes:
        messages: The messages that Linq accepted, one per bubble. A message that was deleted before its answer arrived
            is missing.
        status: `accepted`; `opted_out` if Linq refused because the person opted out of messages; `refused` if a plugin
            refused the send.
    """

    messages: tuple[SentMessage, ...]
    status: str = "accepted"

    @property
    def id(self) -> str | None:
        """The id of the first message; None if no message was accepted."""
        return self.messages[0].id if self.messages else None


class Context:
    """The second argument of every handler, after its event.

    Attributes:
        event: The event being handled.
        client: Linq's whole API. Calls made through `client` are journalled like those of `reply`, so a second run of
            the handler does not repeat them.
        match: The match of the handler's `regex` filter; None if it has no such filter.
        handler: The name of the handler that was chosen for the event; None before dispatch has chosen one.
        handler_at: `file:line` of the handler's definition.
        attempts: The handler's own maximum number of runs, if it was registered with one.
        deadline: The time limit of the turn.
        stuck_at: For a handler that is a plain `def` and ran past its time limit: the `file:line` at which its thread
            was then. None otherwise.
    """

    def __init__(
        self,
        event: Event,
        client: Client,
        *,
        typing: TypingIndicator | None = None,
        on_sent: Callable[[str, str, str], None] | None = None,
        scheduler: Scheduler | None = None,
        clock: Clock | None = None,
        plugins: Callable[[Context], Mapping[str, Any]] | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        self.event = event
        self.client = client
        self._plugins = plugins
        self.match: re.Match[str] | None = None
        self.handler: str | None = None
        self.handler_at: str | None = None
        self.attempts: int | None = None
        self.deadline = deadline or Deadline(DEADLINE_S)
        self.stuck_at: str | None = None
        self._typing = typing or TypingIndicator(client, event.chat_id)
        self._on_sent = on_sent
        self._scheduler = scheduler
        self._clock = clock or SystemClock()

    @cached_property
    def log(self) -> Any:
        """A structlog logger, bound to the ids of the event and of its chat."""
        return structlog.get_logger("linqbot.bot").bind(event_id=self.event.event_id, chat_id=self.event.chat_id)

    @cached_property
    def plugins(self) -> Mapping[str, Any]:
        """The values that plugins add to the context, by name. Each value is made at its first use.

        Values have the type `Any`, so annotate the variable that you assign one to.

        Raises:
            KeyError: no plugin adds a value of this name. The message lists the names that exist.
        """
        return {} if self._plugins is None else self._plugins(self)

    @property
    def chat_id(self) -> str:
        """The id of the event's chat.

        Raises:
            BotError: the event belongs to no chat, such as `phone_number.status_updated`.
        """
        if self.event.chat_id is None:
            raise BotError(f"{self.event.type} belongs to no chat, so there is no chat to reply in. Use ctx.client.")
        return self.event.chat_id

    async def reply(
        self,
        *content: Content,
        effect: EffectName | Effect | None = None,
        thread: bool | None = None,
        key: str | None = None,
    ) -> Sent:
        """Reply in the event's chat.

        If the person has opted out, or a plugin refuses the send, the reply is not sent and `Sent.status` gives the
        reason.

        Args:
            content: Texts, parts, or whole MessageContents. Content that Linq does not allow in one message is split
                into several.
            effect: A screen or bubble effect, for the first message. It is left out on SMS and RCS, which have no
                effects.
            thread: True sends the reply as a threaded reply to the event's message. None does so only in groups.
            key: Identifies this send within its turn. Needed only by a handler whose sends differ from run to run: see
                `Client.named`.
        Returns:
            The messages that Linq accepted, and the status.
        Raises:
            RuleBroken: the content breaks one of Linq's rules; the message was not sent.
            LinqApiError: Linq refused the message.
            BotError: the event belongs to no chat, or the content is of a type that cannot be sent.
        """
        threaded = bool(self.event.is_group) if thread is None else thread
        answered = self.event.message_id
        reply_to = ReplyTo(message_id=answered) if threaded and answered else None
        return await self._send(content, effect, reply_to, key)

    async def send(self, *content: Content, effect: EffectName | Effect | None = None, key: str | None = None) -> Sent:
        """Send into the event's chat, and never as a threaded reply.

        Args:
            content: As for `reply`.
            effect: As for `reply`.
            key: As for `reply`.
        Returns:
            The messages that Linq accepted, and the status.
        Raises:
            RuleBroken: the content breaks one of Linq's rules; the message was not sent.
            LinqApiError: Linq refused the message.
            BotError: the event belongs to no chat, or the content is of a type that cannot be sent.
        """
        return await self._send(content, effect, None, key)

    async def send_later(
        self,
        *content: Content,
        at: datetime | None = None,
        after_s: float | None = None,
        timezone: str | None = None,
        effect: EffectName | Effect | None = None,
        grace_s: float = GRACE_S,
        key: str | None = None,
    ) -> Scheduled:
        """Send into the event's chat at a later time, even if the process restarts before then.

        A scheduled send is stored when the handler succeeds. A handler that fails and runs again therefore schedules
        it once. When it is due, it waits in the chat's lane like a new delivery, so it is never sent between two
        messages of a handler.

        Args:
            at: The time to send at. A time without a zone needs `timezone`. It is stored as Unix time.
            after_s: Alternatively, seconds from now. This too is stored as a time, so a change of the machine's clock
                moves it.
            timezone: The IANA name of the time zone, such as `America/New_York`. A time in the hour that daylight
                saving time skips means one hour later. A time that occurs twice means the first; with `fold=1`, the
                second.
            grace_s: The longest delay, in seconds, after which it is still sent, such as after a downtime. A later
                send becomes a dead letter.
            key: Identifies this send within its turn. Needed only by a handler whose sends differ from run to run.
        Returns:
            The scheduled send: its time, and the id that `cancel` takes.
        Raises:
            BotError: not exactly one of `at` and `after_s` was given, the time has no zone, `grace_s` is not a number
                of seconds, `key` was used before in this turn, the event belongs to no chat, or the content is of a
                type that cannot be sent.
            RuleBroken: the content breaks one of Linq's rules.
        """
        due = due_at(at, after_s, timezone, self._clock.now())
        check_grace(grace_s)
        messages = bubbles(content, effect=_effect(effect))
        calls = [await self._as_call(self._fitted(message)) for message in messages]
        return as_scheduled(
            self._scheduler_or_error.schedule(self.chat_id, calls, due=due, grace_s=grace_s, key=key), due
        )

    async def cancel(self, scheduled: Scheduled | str) -> bool:
        """Cancel a scheduled send immediately. It stays cancelled even if this turn fails.

        Args:
            scheduled: A result of `send_later` or `scheduled`, or its id.
        Returns:
            True if the send was still waiting; False if it was already sent or cancelled, or never existed.
        Raises:
            BotError: the context was made outside of a worker, so there are no scheduled sends.
            StorageUnavailable: the storage cannot be read or written.
        """
        return await self._scheduler_or_error.cancel(scheduled if isinstance(scheduled, str) else scheduled.id)

    async def scheduled(self) -> list[Scheduled]:
        """Return the scheduled sends that are waiting in this chat, the earliest first.

        Raises:
            BotError: the event belongs to no chat, or the context was made outside of a worker.
            StorageUnavailable: the storage cannot be read.
        """
        return [as_scheduled(*entry) for entry in await self._scheduler_or_error.scheduled(self.chat_id)]

    async def react(
        self,
        reaction: ReactionType,
        *,
        custom_emoji: str | None = None,
        message_id: str | None = None,
        part_index: int = 0,
        remove: bool = False,
        key: str | None = None,
    ) -> None:
        """Add a reaction (tapback) to the event's message, or remove one.

        If a plugin refuses the reaction, it is not made, and a line is logged.

        Args:
            custom_emoji: The emoji, if `reaction` is `custom`.
            message_id: The message to react to, if not the event's.
            part_index: The index of the message's part to react to, from 0.
            remove: True removes the reaction instead of adding it.
            key: As for `reply`.
        Raises:
            BotError: the event names no message, and `message_id` was not given.
            RuleBroken: the reaction breaks one of Linq's rules.
            LinqApiError: Linq refused the reaction.
        """
        target = message_id or self.event.message_id
        if target is None:
            raise BotError(f"{self.event.type} names no message to react to. Give message_id=.")
        client = self.client if key is None else self.client.named(key)
        try:
            await client.messages.add_reaction(
                target,
                operation="remove" if remove else "add",
                type=reaction,
                custom_emoji=custom_emoji,
                part_index=part_index,
            )
        except Refused as error:
            self._log_refused(error)
            return
        if self._on_sent is not None and self.event.chat_id is not None:
            self._on_sent(self.event.chat_id, "", f"{reaction} {custom_emoji}")

    async def mark_read(self) -> None:
        """Mark the chat as read. Best effort: a failure is logged and never raised."""
        try:
            async with asyncio.timeout(HINT_S):
                await self.client.chats.mark_as_read(self.chat_id)
        except (LinqbotError, TimeoutError) as error:
            self.log.debug("read.failed", error=type(error).__name__)

    @asynccontextmanager
    async def typing(self) -> AsyncIterator[None]:
        """Show typing dots while the `async with` block runs.

        A message that is sent ends the dots. If the handler goes on working after it, they appear again, unless the bot
        has `typing=False`. Best effort: a failure is never raised.
        """
        self._typing.start()
        try:
            yield
        finally:
            self._typing.stop()

    def note_handler(
        self, handler: str, match: re.Match[str] | None, attempts: int | None, at: str | None = None
    ) -> None:
        """Note the handler that was chosen for the event, and the match of its filter. Called by dispatch."""
        self.handler = handler
        self.handler_at = at
        self.match = match
        self.attempts = attempts

    def show_typing_when_slow(self) -> None:
        """Show typing dots automatically if the handler works for more than 300 ms. Called by dispatch."""
        self._typing.arm()

    def stop_typing(self) -> None:
        """End the typing dots. Called by dispatch when the handler has ended."""
        self._typing.stop()

    async def _send(
        self,
        content: tuple[Content, ...],
        effect: EffectName | Effect | None,
        reply_to: ReplyTo | None,
        key: str | None,
    ) -> Sent:
        client = self.client if key is None else self.client.named(key)
        sent: list[SentMessage] = []
        for message in bubbles(content, effect=_effect(effect), reply_to=reply_to):
            self._typing.sending()
            try:
                answer = await client.chats.messages.send(self.chat_id, message=self._fitted(message))
            except MessageGone:
                continue
            except Refused as error:
                self._log_refused(error)
                return Sent(tuple(sent), status="refused")
            except LinqApiError as error:
                if error.code == OPTED_OUT:
                    self.log.info("send.opted_out")
                    return Sent(tuple(sent), status="opted_out")
                raise
            self._typing.sent()
            if self._on_sent is not None:
                self._on_sent(self.chat_id, text_of(message), files_of(message.parts or ()))
            sent.append(answer.message)
        return Sent(tuple(sent))

    def _log_refused(self, error: Refused) -> None:
        self.log.info("send.refused", plugin=error.plugin, reason=str(error))

    async def _as_call(self, message: MessageContent) -> Call:
        """Return the call that would send `message`. The rules check it, but it is not made."""
        calls: list[Call] = []

        async def keep(call: Call) -> ApiResponse:
            calls.append(call)
            return ApiResponse(202, {"chat_id": self.chat_id, "message": {"id": ""}})

        await self.client.wrapped(lambda _: keep).chats.messages.send(self.chat_id, message=message)
        return calls[0]

    @property
    def _scheduler_or_error(self) -> Scheduler:
        if self._scheduler is None:
            raise BotError("This context cannot schedule sends, because it was made outside of a worker.")
        return self._scheduler

    def _fitted(self, message: MessageContent) -> MessageContent:
        if message.effect is not None and self.event.service in {"SMS", "RCS"}:
            return message.model_copy(update={"effect": None})
        return message


def _effect(effect: EffectName | Effect | None) -> Effect | None:
    return Effect.named(effect) if isinstance(effect, str) else effect
