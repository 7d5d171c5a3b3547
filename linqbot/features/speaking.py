"""The Speaker: what features of linqbot may do in the chat of a turn, such as reply, react, and do something once.

It is the base class of a handler's Context, `bot/context.py`, which adds the verbs that only authors use. Features take a
Speaker, and so know nothing of the bot. Every call that changes something at Linq is written to the turn's journal before its
first attempt. Next steps: `content/sending.py` sends a reply, and `engine/outbox.py` makes the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property, partial
from inspect import unwrap
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import structlog

from linqbot.clock import Clock
from linqbot.content.cards import TurnWithCards
from linqbot.content.drafts import CardShared
from linqbot.content.message_split import (
    Content,
    Sendable,
    bubbles,
    check_content,
    depends_on_service,
    has_drafts,
)
from linqbot.content.sending import (
    ChatSender,
    ContentSent,
    DraftSender,
    stopped_by,
    with_standing_refusal,
)
from linqbot.content.sent import Sent
from linqbot.content.typing import HINT_S, BackgroundTasks, TypingIndicator
from linqbot.content.uploads import Uploads
from linqbot.engine.routing import HandlerRun
from linqbot.engine.state import State, Tally, TurnState
from linqbot.errors import BotError, LinqApiError, LinqbotError, Refused
from linqbot.linq.events.delivery import BROADCAST_DONE_TYPE, POST_TYPE
from linqbot.linq.events.proactive import SCHEDULE_TYPE
from linqbot.linq.types.message import Effect, EffectName, ReactionType, ReplyTo, TurnWithMedia
from linqbot.options import check_whole

if TYPE_CHECKING:
    from linqbot.content.received import ReceivedMedia
    from linqbot.engine.turn import Turn
    from linqbot.features.chat_context import ChatContext
    from linqbot.features.history import History, HistoryReader
    from linqbot.features.overlap import TurnOverlap
    from linqbot.features.proactive import BotSpeaker
    from linqbot.storage.backend import Storage

T = TypeVar("T")
C = TypeVar("C")
B = TypeVar("B", bound="BotSpeaker")

_WITHOUT_CHAT = {SCHEDULE_TYPE: "A schedule", BROADCAST_DONE_TYPE: "A broadcast", POST_TYPE: "This post"}


def known_as_context(cls: type[C]) -> type[C]:
    """Name the methods of a class as authors know them, `Context.reply`: Python's own errors and warnings name the class of a method."""
    for method in vars(cls).values():
        if callable(method):
            for function in (method, unwrap(method)):
                function.__qualname__ = f"Context.{function.__name__}"
    return cls


@known_as_context
class Speaker(HandlerRun, TurnWithMedia, TurnWithCards):
    """A run of a handler that can speak in the event's chat. Authors know it as their `Context`, which describes its attributes."""

    def __init__(
        self,
        turn: Turn,
        *,
        typing: TypingIndicator | None,
        background: BackgroundTasks,
        on_sent: Callable[[str, str, str], None],
        clock: Clock,
        plugins: Callable[[Any], Mapping[str, Any]],
        state_store: Storage,
    ) -> None:
        # The turn is not kept: it refers to this context, and only the garbage collector would free such a circle.
        self.root = turn.event
        if turn.opening.conversation is not None:
            from linqbot.engine.waits import Waits  # few turns continue a conversation

            # There, the person is the one who began it.
            waits = turn.helpers.find(Waits)
            self.root = turn.event if waits is None or waits.root is None else waits.root
        self.event = turn.event
        self.client = turn.client
        self._plugins = plugins
        self.handler: str | None = None
        self.handler_at: str | None = None
        self.attempts: int | None = None
        self.deadline = turn.deadline
        self.stuck_at: str | None = None
        # None for a bot that shows no dots by itself, until its handler shows them.
        self._typing = typing
        self._background = background
        self._on_sent = on_sent
        self._journal, self._outbox = turn.journal, turn.outbox
        self._clock = clock
        self.turn_state = TurnState(self.root, state_store, clock)
        self.is_handling = False
        self._helpers = turn.helpers
        self._service: str | None = None

    @property
    def overlap(self) -> TurnOverlap | None:
        """The later messages of the chat, if a handler of the bot takes messages that come while it runs."""
        if not self._helpers:
            return None
        from linqbot.features.overlap import TurnOverlap

        return self._helpers.find(TurnOverlap)

    @cached_property
    def log(self) -> Any:
        """A structlog logger, bound to the ids of the event and of its chat."""
        return structlog.get_logger("linqbot.bot").bind(event_id=self.event.event_id, chat_id=self.event.chat_id)

    @cached_property
    def bot(self) -> BotSpeaker:
        """The acts outside of the event's chat; see `Context.bot`."""
        from linqbot.features.proactive import BotSpeaker

        return self._acting_as(BotSpeaker)

    def _acting_as(self, kind: type[B]) -> B:
        return kind(
            self.client,
            self.event.line,
            self._on_sent,
            self.log,
            self._uploads,
            clock=self._clock,
            helpers=self._helpers,
        )

    @cached_property
    def chat(self) -> ChatContext:
        """The acts on the event's chat itself: `ctx.chat.rename(…)`, `add`, `remove`, `leave`, `set_icon`, `set_background`.

        Raises:
            BotError: the event belongs to no chat.
        """
        from linqbot.features.chat_context import ChatContext  # imported late: few bots change their chats

        return ChatContext(self.client, self.chat_id, self.event.is_group, self._uploads, self.log)

    @cached_property
    def plugins(self) -> Mapping[str, Any]:
        """The values that plugins add to the context, by name. Each value is made at its first use.

        Values have the type `Any`, so annotate the variable that you assign one to.

        Raises:
            KeyError: no plugin adds a value of this name. The message lists the names that exist.
        """
        return self._plugins(self)

    def discard_plugins(self) -> None:
        vars(self).pop("plugins", None)

    @property
    def state(self) -> State:
        """Typed values about the person, the chat, or the bot.

        A change is stored before the next call to Linq, question or step of `once`, even if the handler fails after that,
        and otherwise when the handler succeeds.

        Example:
            `guest = await ctx.state.person(Guest)`
        """
        self._journal.use_state(self.turn_state)
        return self.turn_state

    @property
    def chat_id(self) -> str:
        """The id of the event's chat.

        Raises:
            BotError: the event belongs to no chat, such as `phone_number.status_updated`.
        """
        if self.event.chat_id is None:
            what = _WITHOUT_CHAT.get(self.event.type, self.event.type)
            raise BotError(
                f"{what} belongs to no chat, so there is no chat to reply in. Write to a person with "
                'ctx.bot.send(…, to="+1…"), or use ctx.client.'
            )
        return self.event.chat_id

    @property
    def sender(self) -> str | None:
        """The handle of the person who caused the event, such as `+14155550142`; None if no person did.

        Useful where the type of the event is not known, such as in a tool of an agent. In a message handler,
        `message.sender` has more about the person.
        """
        return None if self.event.is_own else self.event.actor

    async def history(self, limit: int = 20) -> History:
        """Return the last messages of the event's chat, of both sides, oldest first, up to the current message.

        The current message is included; after a question it is the answer. Before it are the people's earlier messages,
        and what the bot sent in earlier turns; after it, what this turn has sent so far. Messages that arrived after the
        current one are left out, and so are the bot's messages that could not be sent. Linq is asked once per turn.

        Example: `prompt = (await ctx.history()).as_text()`

        Args:
            limit: The number of messages, from 1 to 1000.
        Raises:
            BotError: the event belongs to no chat, or `limit` is out of range.
            LinqUnavailable: Linq did not answer; the turn is deferred.
        """
        return await self._history.read(self.event, limit)

    @cached_property
    def _history(self) -> HistoryReader:
        from linqbot.features.history import HistoryReader

        return HistoryReader(self.chat_id, self.client, self._journal.sent_in_turn, self._journal.labelled)

    async def reply(
        self,
        *content: Sendable,
        effect: EffectName | str | Effect | None = None,
        thread: bool | None = None,
        cards: bool = True,
        key: str | None = None,
    ) -> Sent:
        """Reply in the event's chat.

        If the person has opted out, or a plugin refuses the send, the reply is not sent and `Sent.status` gives the
        reason.

        Args:
            content: Texts, results of `markdown`, parts, whole MessageContents, or results of `media`, `sticker`,
                `voice_memo`, `poll`, `contact_card`, `app_card` and `location_request`. Content that Linq does not allow
                in one message is split into several. A long text is cut at the end of a sentence. What the service of
                the chat does not have is sent in a plainer form: see `Sent.degraded`.
            effect: A screen or bubble effect, for the last message. It is left out on SMS and RCS, which have no
                effects, and where Linq refuses it.
            thread: True sends the first message as a threaded reply to the event's message. None does so only in
                groups. Where Linq refuses the thread, the message is sent without it.
            cards: False shows no preview cards. Otherwise an address at the end of a text becomes a card, and the card of
                an address elsewhere in a text follows it. Parts, and texts with more than three addresses, get no
                cards, and neither do SMS and RCS.
            key: Identifies this send within its turn. Needed only by a handler whose sends differ from run to run: see
                `Client.named`.
        Returns:
            The messages that Linq accepted, and the status.
        Raises:
            RuleBroken: the content breaks one of Linq's rules; the message was not sent.
            LinqApiError: Linq refused the message.
            BotError: the event belongs to no chat; or there is no content, or of a type that cannot be sent.
        """
        return await self._send(content, effect, self._thread(thread), cards, key)

    async def send(
        self,
        *content: Sendable,
        effect: EffectName | str | Effect | None = None,
        cards: bool = True,
        key: str | None = None,
    ) -> Sent:
        """Send into the event's chat, and never as a threaded reply.

        Args:
            content, effect, cards, key: As for `reply`.
        Returns:
            The messages that Linq accepted, and the status.
        Raises:
            RuleBroken, LinqApiError, BotError: as for `reply`.
        """
        return await self._send(content, effect, None, cards, key)

    @overload
    async def once(
        self,
        name: str,
        call: Callable[[str], Any],
        *,
        kind: type[T],
        retry: bool = ...,
        restartable: bool = ...,
        tally: Tally[Any] | Sequence[Tally[Any]] | None = ...,
    ) -> T: ...

    @overload
    async def once(
        self,
        name: str,
        call: Callable[[str], Any],
        *,
        retry: bool = ...,
        restartable: bool = ...,
        tally: Tally[Any] | Sequence[Tally[Any]] | None = ...,
    ) -> Any: ...

    async def once(
        self,
        name: str,
        call: Callable[[str], Any],
        *,
        kind: Any = None,
        retry: bool = False,
        restartable: bool = False,
        tally: Tally[Any] | Sequence[Tally[Any]] | None = None,
    ) -> Any:
        """Do something outside of Linq at most once, however often the handler runs.

        The result is stored before `once` returns. When the handler runs again, after a failure, a crash or a question,
        the stored result is returned and `call` is not called.

        Args:
            name: The name of the step, which is used once in a run of the handler.
            call: A function that takes an idempotency key. The key is the same in every run: pass it to the other
                system. If the function raises an exception, the step counts as not done.
            kind: A type that pydantic can build from the stored JSON. Without it the result is returned as JSON data:
                dicts, lists, texts, numbers. A datetime is read back with the offset of its time zone only.
            retry: True calls again after a run that died during the call. Use this only if the other system recognises
                the key, or if the step changes nothing, such as a question to a model.
            restartable: True lets a handler with `overlap="restart"` begin again after this step, which is then made
                again with the newer messages. Use this only for a step that changes nothing, such as a question to a
                model.
            tally: A value about the person that is changed together with the result, such as what the step has cost, or
                several. It counts even if the turn fails later.
        Returns:
            The result.
        Raises:
            Ambiguous: an earlier run died during the call, and `retry` is False.
            BotError: the name was used twice in this run; `call` is no function; the step was made, but its result
                cannot be written as JSON; the result does not fit `kind`, such as after a deploy that changed the type;
                or there is a tally, but no person.
            StorageUnavailable: the result could not be stored.

        Example:
            `order = await ctx.once("order", lambda key: shop.create(items, idempotency_key=key))`
        """
        if not callable(call):
            raise BotError(
                f"ctx.once({name!r}, …) takes a function of the idempotency key, not {type(call).__name__}. "
                "Write: lambda key: …"
            )
        check_whole("ctx.once(name)", name)
        tallies = (tally,) if isinstance(tally, Tally) else tally
        recording = self.turn_state.recording(tallies) if tallies else None
        return await self._helpers.steps.once(
            name, call, kind=kind, retry=retry, restartable=restartable, recording=recording
        )

    @overload
    def recall(self, name: str, *, kind: type[T]) -> T | None: ...

    @overload
    def recall(self, name: str) -> Any: ...

    def recall(self, name: str, *, kind: Any = None) -> Any:
        """Return the result that `once` has recorded under a name; None if no run of the handler has recorded one.

        With it, a handler leaves out work that only leads to a recorded step. It must not leave out a question of `ask`,
        because the handler goes on behind its last question.

        Args:
            name: The name of the step.
            kind: As for `once`.
        Raises:
            BotError: the result does not fit `kind`.

        Example:
            `plan = ctx.recall("plan") or await ctx.once("plan", make_plan)`
        """
        return self._helpers.steps.recall(name, kind=kind)

    async def recorded(self, name: str, make: Callable[[], Awaitable[T]], *, kind: type[T]) -> T:
        """Return the result of something that may be done again, such as an upload, but is done once if possible.

        Later runs of the turn get the stored result. Called by linqbot itself; an author uses `once`.

        Args:
            name: The name of the step, which is used once in a run of the handler.
        """
        return await self._helpers.steps.recorded(name, make, kind=kind)

    async def react(
        self,
        reaction: ReactionType | str,
        *,
        custom_emoji: str | None = None,
        message_id: str | None = None,
        part_index: int = 0,
        remove: bool = False,
        key: str | None = None,
    ) -> None:
        """Add a reaction (tapback) to the event's message, or remove one.

        If a plugin refuses the reaction, or the person has opted out, it is not made, and a line is logged.

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
        target = self.event.message_id if message_id is None else message_id
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
        except (Refused, LinqApiError) as error:
            if stopped_by(error, self.log) is None:
                raise
            return
        if self.event.chat_id is not None:
            self._note_sent(self.chat_id, "", f"{reaction} {custom_emoji}")

    def received_media(self) -> ReceivedMedia:
        """Return the reader of received files. Write `media.fetch()` or `media.save(path)` instead."""
        from linqbot.content.received import ReceivedMedia  # imported late: many bots read no files

        return ReceivedMedia(self.client, self.event)

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
        dots = self._dots()
        dots.start()
        try:
            yield
        finally:
            dots.stop()

    def _dots(self) -> TypingIndicator:
        if self._typing is None:
            self._typing = TypingIndicator(self.client, self.event.chat_id, background=self._background)
        return self._typing

    def show_typing_when_slow(self) -> None:
        """Show typing dots automatically if the handler works for more than 300 ms. Called by dispatch."""
        if self._typing is not None:
            self._typing.arm()

    def stop_typing(self) -> None:
        if self._typing is not None:
            self._typing.end()

    async def reply_or_else(self, content: Content, *, key: str) -> Sent:
        """Reply with content that the caller replaces if Linq refuses it, so that no later run of the turn sends both."""
        return await self._send((content,), None, self._thread(None), True, key, has_replacement=True)

    def _thread(self, thread: bool | None) -> ReplyTo | None:
        """Return the message to reply to in its thread; None for no thread."""
        threaded = bool(self.event.is_group) if thread is None else thread
        return ReplyTo(message_id=self.event.message_id) if threaded and self.event.message_id else None

    async def _send(
        self,
        content: tuple[Sendable, ...],
        effect: EffectName | str | Effect | None,
        reply_to: ReplyTo | None,
        cards: bool,
        key: str | None,
        *,
        has_replacement: bool = False,
    ) -> Sent:
        """Send content into the event's chat; see `reply`.

        Args:
            has_replacement: True if the caller sends something else when Linq refuses the content.
        """
        check_content(content)
        if self.event.chat_id is None and self.person_without_chat is not None:
            sent = await self._open_chat(content, cards, key)
            if (notify := self._journal.observers.get(ContentSent)) is not None:
                notify(ContentSent(content, effect_of(effect), cards, False, sent))
            return sent
        shown, client = effect_of(effect), self.client if key is None else self.client.named(key)
        if has_replacement:
            client = with_standing_refusal(client)
        if self.event.service is None and depends_on_service(content, shown):
            await self._learn_service()
        service = self.event.service
        if has_drafts(content, service):
            chat, group = self._sender, self.event.is_group
            sender = DraftSender(chat, group, self._uploads, self._clock, lambda: self.state.chat(CardShared))
            sent = await sender.send(content, client, effect=shown, reply_to=reply_to, cards=cards)
        else:
            messages = bubbles(content, effect=shown, reply_to=reply_to, service=service, cards=cards)
            sent = await self._sender.send(messages, client)
        if (notify := self._journal.observers.get(ContentSent)) is not None:
            notify(ContentSent(content, shown, cards, self.event.is_group, sent))
        return sent

    @property
    def person_without_chat(self) -> str | None:
        """The person to whom a post is addressed who has no chat with the bot yet: the first message opens it."""
        return self.event.actor if self.event.type == POST_TYPE and self.event.chat_id is None else None

    async def _open_chat(self, content: tuple[Sendable, ...], cards: bool, key: str | None) -> Sent:
        """Send to the person of a post, and go on in the chat which that opens."""
        person = self.person_without_chat
        assert person is not None
        given, line = cast("tuple[Content, ...]", content), await self.bot.own_line(or_first=True)
        chat_id, sent = await self.bot.opening(given, person, line=line, cards=cards, key=key)
        if chat_id:
            self.event = self.event.model_copy(update={"chat_id": chat_id, "is_group": False})
        return sent

    async def _learn_service(self) -> None:
        """Ask Linq for the service of the chat if the event does not name it, such as a post. Asked once in a turn."""
        if self.event.service is not None or self.event.chat_id is None:
            return
        async with self._learning_service:  # tasks of one handler that send at the same time
            if self._service is None:
                self._service = await self.recorded("linqbot service", self._service_at_linq, kind=str)
        self.event = self.event.model_copy(update={"service": self._service or None})

    @cached_property
    def _learning_service(self) -> asyncio.Lock:
        return asyncio.Lock()

    async def _service_at_linq(self) -> str:
        from linqbot.features.lookups import given

        chat = await given(self.client.chats.retrieve(self.chat_id))
        return "" if chat is None else chat.service or ""

    @property
    def _sender(self) -> ChatSender:
        # Not kept: it refers to this context, and only the garbage collector would free such a circle.
        return ChatSender(self.chat_id, self.event.service, self._typing, lambda: self.log, self._note_sent)

    @cached_property
    def _uploads(self) -> Uploads:
        return Uploads(self.client, self.received_media, partial(self.recorded, kind=str), self._outbox.under_way)

    def _note_sent(self, chat_id: str, text: str, what: str) -> None:
        # Not while sends are only repeated from the journal of a conversation.
        if not self._journal.is_past:
            self._on_sent(chat_id, text, what)


def effect_of(effect: EffectName | str | Effect | None) -> Effect | None:
    """Return the effect that an author has named or given."""
    return Effect.named(effect) if isinstance(effect, str) else effect
