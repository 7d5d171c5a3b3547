"""What a handler may do now: reply, react, show typing, mark read, and everything else through `client`.

A Context belongs to one turn. It knows no storage: its client was wrapped by the worker, so that every call made here,
or with `ctx.client` directly, stands in the journal before it is tried.
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
from linqbot.bot.send_later import GRACE_S, Later, Scheduled, check_grace, due_at, shown
from linqbot.bot.typing import TypingIndicator
from linqbot.client.call import ApiResponse, Call
from linqbot.client.client import Client
from linqbot.clock import Clock, SystemClock
from linqbot.errors import BotError, LinqApiError, LinqbotError, MessageGone, Refused
from linqbot.events.event import Event
from linqbot.types.message import Effect, EffectName, MessageContent, ReactionType, ReplyTo, SentMessage

OPTED_OUT = 2024
"""Linq's code for a person who wrote STOP."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a reply.

    Attributes:
        messages: The messages Linq accepted, one per bubble; without those deleted before we saw their answer.
        status: `accepted`; `opted_out` when the person asked not to be written to, and Linq refused; or `refused` when
            a plugin did.
    """

    messages: tuple[SentMessage, ...]
    status: str = "accepted"

    @property
    def id(self) -> str | None:
        """The id of the first message; None when nothing was sent."""
        return self.messages[0].id if self.messages else None


class Context:
    """Handed to each handler beside its event.

    Attributes:
        event: What is being handled.
        client: Linq's whole API. Calls made through it are as safe as `reply`.
        match: The match of the `regex` filter that fitted, if one did.
        handler: Name of the handler that took the event; None before one was found.
        handler_at: `file:line` of its definition.
        attempts: How often that handler may run, where it said so itself.
        deadline: The time limit of the turn.
        stuck_at: `file:line` at which the thread of a plain handler stands that was given up; else None.
    """

    def __init__(
        self,
        event: Event,
        client: Client,
        *,
        typing: TypingIndicator | None = None,
        said: Callable[[str, str, str], None] | None = None,
        later: Later | None = None,
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
        self._said = said
        self._later = later
        self._clock = clock or SystemClock()

    @cached_property
    def log(self) -> Any:
        """A structlog logger bound to this event's ids."""
        return structlog.get_logger("linqbot.bot").bind(event_id=self.event.event_id, chat_id=self.event.chat_id)

    @cached_property
    def plugins(self) -> Mapping[str, Any]:
        """What plugins bring, by name, each made when it is first asked for. Typed `Any`: annotate what you take.

        Raises:
            KeyError: no plugin brings it; says what there is.
        """
        return {} if self._plugins is None else self._plugins(self)

    @property
    def chat_id(self) -> str:
        """The chat this event belongs to.

        Raises:
            BotError: it belongs to none, such as `phone_number.status_updated`.
        """
        if self.event.chat_id is None:
            raise BotError(f"{self.event.type} belongs to no chat, so there is nobody to reply to. Use ctx.client.")
        return self.event.chat_id

    async def reply(
        self,
        *content: Content,
        effect: EffectName | Effect | None = None,
        thread: bool | None = None,
        key: str | None = None,
    ) -> Sent:
        """ApiResponse in the event's chat.

        What a person's opt-out or a plugin forbids is not sent: see `Sent.status`.

        Args:
            content: Texts, parts, or whole MessageContents; what may not share a bubble gets its own.
            effect: A screen or bubble effect; left out on SMS and RCS, which cannot show one.
            thread: Whether it hangs on the message it answers; None does so in groups only.
            key: Names it within this turn, for a handler whose sends change from run to run: see `Client.named`.
        Raises:
            RuleBroken: one of Linq's rules would be broken; nothing was sent.
            LinqApiError: Linq refused.
        """
        threaded = bool(self.event.is_group) if thread is None else thread
        answered = self.event.message_id
        reply_to = ReplyTo(message_id=answered) if threaded and answered else None
        return await self._send(content, effect, reply_to, key)

    async def send(self, *content: Content, effect: EffectName | Effect | None = None, key: str | None = None) -> Sent:
        """Write into the event's chat without hanging on any message. Arguments and errors are those of `reply`."""
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
        """Write into the event's chat at a time, also if the process is restarted in between.

        It goes out in the chat's order, never between two messages of a handler, once; it is kept when this handler
        ends well, so a handler that fails and runs again schedules it once.

        Args:
            at: The time. Without a zone of its own it needs `timezone`. It is stored as Unix time.
            after_s: Or how long from now, in seconds. It is stored as a time too: setting the machine's clock moves it.
            timezone: IANA name, such as `America/New_York`. A time in the hour that daylight saving time skips is one
                hour later; of a time that comes twice the first is meant, with `fold=1` the second.
            grace_s: How late it may still be sent after a downtime; later it becomes a dead letter.
            key: Names it within this turn, for handlers whose sends change from run to run.
        Raises:
            BotError: the time is not clear.
            RuleBroken: one of Linq's rules would be broken.
        """
        due = due_at(at, after_s, timezone, self._clock.now())
        check_grace(grace_s)
        messages = bubbles(content, effect=_effect(effect))
        calls = [await self._as_call(self._fitted(message)) for message in messages]
        return shown(self._keeper.schedule(self.chat_id, calls, due=due, grace_s=grace_s, key=key), due)

    async def cancel(self, scheduled: Scheduled | str) -> bool:
        """Take back a send that waits for its time, at once: also when this turn fails. True only if it still waited."""
        return await self._keeper.cancel(scheduled if isinstance(scheduled, str) else scheduled.id)

    async def scheduled(self) -> list[Scheduled]:
        """What waits to be sent into this chat, the earliest first."""
        return [shown(*entry) for entry in await self._keeper.scheduled(self.chat_id)]

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
        """Put a tapback on the event's message, or take it away. What a plugin forbids is left out, and logged.

        Args:
            custom_emoji: The emoji, when `reaction` is `custom`.
            message_id: Another message than the event's.
            part_index: Which part of it, from 0.
            key: As for `reply`.
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
            self._tell_refused(error)
            return
        if self._said is not None and self.event.chat_id is not None:
            self._said(self.event.chat_id, "", f"{reaction} {custom_emoji}")

    async def mark_read(self) -> None:
        """Mark the chat as read. Best effort: a failure is logged and never raised."""
        try:
            async with asyncio.timeout(HINT_S):
                await self.client.chats.mark_as_read(self.chat_id)
        except (LinqbotError, TimeoutError) as error:
            self.log.debug("read.failed", error=type(error).__name__)

    @asynccontextmanager
    async def typing(self) -> AsyncIterator[None]:
        """Show typing dots while the block runs, kept alive until you send. Best effort, never raises."""
        self._typing.start()
        try:
            yield
        finally:
            self._typing.stop()

    def take(self, handler: str, match: re.Match[str] | None, attempts: int | None, at: str | None = None) -> None:
        """Note which handler took the event, and the match of its filter. Called by dispatch."""
        self.handler = handler
        self.handler_at = at
        self.match = match
        self.attempts = attempts

    def show_typing_when_slow(self) -> None:
        """Show dots by themselves if the handler works for a while. Called by dispatch."""
        self._typing.arm()

    def leave(self) -> None:
        """End what was shown while the handler ran. Called by dispatch."""
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
                self._tell_refused(error)
                return Sent(tuple(sent), status="refused")
            except LinqApiError as error:
                if error.code == OPTED_OUT:
                    self.log.info("send.opted_out")
                    return Sent(tuple(sent), status="opted_out")
                raise
            self._typing.sent()
            if self._said is not None:
                self._said(self.chat_id, text_of(message), files_of(message.parts or ()))
            sent.append(answer.message)
        return Sent(tuple(sent))

    def _tell_refused(self, error: Refused) -> None:
        self.log.info("send.refused", plugin=error.plugin, reason=str(error))

    async def _as_call(self, message: MessageContent) -> Call:
        """The call that would send `message`, checked by the rules and not made."""
        calls: list[Call] = []

        async def keep(call: Call) -> ApiResponse:
            calls.append(call)
            return ApiResponse(202, {"chat_id": self.chat_id, "message": {"id": ""}})

        await self.client.wrapped(lambda _: keep).chats.messages.send(self.chat_id, message=message)
        return calls[0]

    @property
    def _keeper(self) -> Later:
        if self._later is None:
            raise BotError("This context keeps nothing for later: it was made outside of a worker.")
        return self._later

    def _fitted(self, message: MessageContent) -> MessageContent:
        if message.effect is not None and self.event.service in {"SMS", "RCS"}:
            return message.model_copy(update={"effect": None})
        return message


def _effect(effect: EffectName | Effect | None) -> Effect | None:
    return Effect.named(effect) if isinstance(effect, str) else effect
