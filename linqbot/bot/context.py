"""The Context of a handler: reply, send later, react, show typing, mark as read, and Linq's whole API as `ctx.client`.

Here are methods that only authors call. Those that ask are in `features/asking/verbs.py`, those about scheduled sends in
`features/later_verbs.py`, and those that features call too, such as `reply`, in `features/speaking.py`.

A Context belongs to one turn. Of the storage it knows only the state, which it reads. The worker wraps the context's
client, so every call that changes something at Linq, through the Context or through `ctx.client`, is written to the turn's
journal before its first attempt.

The methods are what an author may call, with their documentation; the work is done in the modules that they name, such as
`content/sending.py`. Next steps: that module sends the reply, `engine/outbox.py` makes the call, and `engine/turns.py`
ends the turn.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, overload

from linqbot.content.capabilities import Capabilities, CapabilitiesAsked, capabilities
from linqbot.content.cards import Card, card_of, text_of_card
from linqbot.content.message_split import (
    Content,
    Sendable,
)
from linqbot.content.sending import (
    update_card,
)
from linqbot.content.sent import Sent
from linqbot.engine.state import Tally
from linqbot.errors import BotError
from linqbot.features.asking.verbs import AskOptions, AskVerbs
from linqbot.features.later_verbs import LaterVerbs
from linqbot.features.speaking import effect_of
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.types.message import (
    AppPart,
    Effect,
    EffectName,
)
from linqbot.nearest import no_attribute
from linqbot.options import STEER_ONLY

if TYPE_CHECKING:
    from pydantic import BaseModel

    from linqbot.bot.bot_context import BotContext
    from linqbot.content.preview import Preview
    from linqbot.features.model_steps import Draft, ModelStep
    from linqbot.features.streams import PaceName, StreamSource

T = TypeVar("T")
B = TypeVar("B", bound="BaseModel")


_HINTS: Final = dict.fromkeys(("answer", "respond", "say", "send_message"), "Reply with: await ctx.reply(…)")
"""What the handlers of other frameworks call, with the sentence that helps."""


class Context(AskVerbs, LaterVerbs):
    """The second argument of every handler, after its event.

    Attributes:
        event: The event being handled. After a question of `ask` it is the answer, which `react` and a thread of `reply` are
            about then. The handler's first argument stays `root`.
        root: The event with which the handler began.
        client: Linq's whole API. Calls made through `client` are journalled like those of `reply`, so a second run of
            the handler does not repeat them.
        handler: The name of the handler that was chosen for the event; None before dispatch has chosen one.
        handler_at: `file:line` of the handler's definition.
        attempts: The handler's own maximum number of runs, if it was registered with one.
        deadline: The time limit of the turn.
        stuck_at: For a handler that is a plain `def` and ran past its time limit: the `file:line` at which its thread
            was then. None otherwise.
        is_handling: True while the handler runs; False in middleware and error handlers.
        after_ask: The question that timed out before this message; None if there is none. The message may be a late
            answer to it.
        resumption: Set while a handler goes on after a question of `ask`.
        turn_state: What `state` and `now` show, for dispatch and for questions.
        side: The session of the person's open question, if a handler may take this event while the question stays open. For
            `side_questions=True` that is any handler. Else it is one with `during_ask=True`; if none takes the event, it is
            the answer.
    """

    _match: re.Match[str] | None = None

    if not TYPE_CHECKING:  # a type checker would accept any name

        def __getattr__(self, name: str) -> Any:
            of_event = not name.startswith("_") and hasattr(type(self.__dict__.get("event")), name)
            hint = "The event has it, which is the first argument of the handler." if of_event else _HINTS.get(name, "")
            return no_attribute(self, name, of=Context, hint=hint)

    @property
    def match(self) -> re.Match[str]:
        """The match of the handler's `regex` filter.

        Raises:
            BotError: the handler has no such filter, or the event fits another one: `exact("menu") | regex(…)`.
        """
        if self._match is None:
            raise BotError(
                f"ctx.match is the match of a pattern, and this event fits {self.handler or 'no handler'} without one. Give "
                "the handler a regex(…) filter, or write a handler of its own for the pattern."
            )
        return self._match

    @cached_property
    def bot(self) -> BotContext:
        """The acts outside of the event's chat: `ctx.bot.send(…, to=…)` writes first, `ctx.bot.broadcast` to many.

        `ctx.bot.post` lets a handler of another chat go on.
        """
        from linqbot.bot.bot_context import BotContext

        return self._acting_as(BotContext)

    @property
    def already_sent(self) -> Sequence[str]:
        """The texts that this handler has sent before it was cancelled and began again: see `overlap="restart"`."""
        return () if self.overlap is None else self.overlap.already_sent

    @property
    def takes_incoming(self) -> bool:
        """True if the handler may call `incoming`: it is registered with `overlap="steer"`."""
        return self.overlap is not None and self.overlap.takes_incoming

    async def incoming(self) -> AsyncIterator[MessageReceived]:
        """Yield the messages of the person that have come since the handler began, or since the last call.

        It does not wait for any. The messages belong to this turn from then on: no other handler gets them, and a second
        run of the handler gets the same ones at the same calls. What the run that succeeds has not taken is handled
        afterwards. An edit of the handler's message, or of one that was yielded, is yielded as this message with its new
        text: `edited` is True.

        Example:
            `async for message in ctx.incoming(): prompt += message.text`
        Raises:
            BotError: the handler is not registered with `overlap="steer"`.
        """
        if self.overlap is None:
            raise BotError(STEER_ONLY)
        for message in await self.overlap.incoming():
            yield message

    @asynccontextmanager
    async def uninterrupted(self) -> AsyncIterator[None]:
        """Keep a handler with `overlap="restart"` from being cancelled inside the block, such as during a payment.

        A message that comes meanwhile restarts the handler after the block. Without `overlap="restart"` nothing changes.

        Example:
            `async with ctx.uninterrupted(): await shop.book(order)`
        """
        if self.overlap is None:
            yield
            return
        async with self.overlap.uninterrupted():
            yield

    @property
    def language(self) -> str:
        """The code of the language that linqbot speaks in this handler, such as `fr`: see `Bot(language=…)`."""
        from linqbot.language.spoken import spoken

        return spoken().code

    def preview(
        self, *content: Sendable, effect: EffectName | str | Effect | None = None, cards: bool = True
    ) -> Preview:
        """Return the messages that content becomes on iMessage, on RCS and on SMS. Nothing is uploaded or sent.

        Args:
            content, effect, cards: As for `reply`.
        Raises:
            BotError: the content is of a type that cannot be sent.

        Example: `ctx.preview(markdown(text), poll("Yes", "No")).sms.messages`
        """
        from linqbot.content.preview import preview

        return preview(content, effect=effect_of(effect), cards=cards, is_group=self.event.is_group)

    async def capabilities(self) -> Capabilities:
        """Return what the phone of the person who caused the event can receive.

        Linq is asked once per person, and the answer is remembered for 30 days, when the handler succeeds.

        Raises:
            BotError: the event names no person.
            LinqApiError: Linq refused the question.

        Example: `if not (await ctx.capabilities()).imessage: …`
        """
        state = await self.state.person(CapabilitiesAsked)
        handle, event = self.event.actor or "", self.event
        return await capabilities(
            handle, self.client, state, line=event.line, service=event.service, now=self._clock.now()
        )

    async def card(
        self, card: AppPart, *, effect: EffectName | str | Effect | None = None, key: str | None = None
    ) -> Card:
        """Send an app card into the event's chat, and return an object that changes it.

        Args:
            card: The result of `app_card`, or an `AppPart`.
            effect, key: As for `reply`.
        Returns:
            The card. Its `update` changes it, also in a later turn, if the card is kept in `ctx.state`.
        Raises:
            RuleBroken: the card breaks one of Linq's rules; it was not sent.
            LinqApiError: Linq refused the card.
            BotError: the event belongs to no chat, or `card` is no app card.

        Example:
            `card = await ctx.card(app_card(PARCELS, caption="Parcel 7"))`, then `await card.update(subcaption="Here")`
        """
        if not isinstance(card, AppPart):
            raise BotError(f"ctx.card takes the result of app_card(…), or an AppPart, not {type(card).__name__}.")
        return card_of(card, await self._send((card,), effect, None, False, key))

    async def show_card(self, card: Card) -> str:
        """Show a card that has changed, and return its new id. Write `card.update(…)` instead."""
        if not card.is_text:
            return await update_card(card, self.client, self._clock)
        sent = await self._send((text_of_card(card),), None, None, True, None)
        return sent.id or card.id or ""

    async def stream(
        self,
        source: StreamSource,
        *,
        pace: PaceName = "human",
        markdown: bool = True,
        thread: bool | None = None,
        cards: bool = True,
        stall_s: float = 60.0,
        max_messages: int | None = None,
        more: str | None = None,
        key: str | None = None,
    ) -> list[Sent]:
        """Say a growing text, such as a model's answer, in several messages while it still grows.

        A message ends with a paragraph or a sentence, and never inside a mark of Markdown or a character. Typing dots show
        between messages. If the source fails, what was said stays, and its error is raised here.

        A turn that runs again goes on behind the last message that Linq took. If everything was said, the source is not
        used again.

        Example:
            `await ctx.stream(lambda so_far: model.answer(prompt, so_far))`

        Args:
            source: A function that takes the text which the person has already seen, and returns an async iterator of
                texts that goes on behind it. The text is empty at first. Or an async iterator that begins again: what
                equals the text that was already said is left out; a text that differs is said from its start.
            pace: `human` sends soon, and waits between messages as a person who types would. `fast` sends paragraphs
                without waiting. On SMS messages are fewer and longer.
            markdown: True reads the text as Markdown, as `markdown` does. False sends it as it is.
            thread: As for `reply`, for the first message.
            cards: As for `reply`.
            stall_s: The longest silence of the source, in seconds.
            max_messages: The most messages to say. What the source still gives then is dropped. None sets no limit.
            more: The text to say instead of what is dropped, in one message more; None says nothing.
            key: Identifies the stream within its turn; see `Client.named`.
        Returns:
            The results of the sends, one for each message. If the person has opted out, or a plugin refuses a message,
            the stream ends, and the last status gives the reason.
        Raises:
            StreamStalled: the source was silent for `stall_s` seconds.
            LinqApiError: Linq refused a message.
            BotError: the source is no async iterator of texts, another argument is not valid, or the event belongs
                to no chat.
        """
        # Imported late: few bots stream, and what cuts a stream into messages is large.
        from linqbot.features.streams import Stream, StreamJournal, pace_of

        await self._learn_service()
        record = StreamJournal(self._journal, key)
        client = self.client.named(record.label)
        return await Stream(
            send=lambda messages: self._sender.send(messages, client),
            typing=self._dots(),
            clock=self._clock,
            reply_to=self._thread(thread),
            service=self.event.service,
            log=self.log,
            record=record,
            pace=pace_of(pace, self.event.service),
            markdown=markdown,
            cards=cards,
            stall_s=stall_s,
            max_messages=max_messages,
            more=more,
        ).say(source)

    async def form(
        self,
        model: type[B],
        *,
        review: bool = True,
        timezone: str = "UTC",
        **options: Unpack[AskOptions],
    ) -> B:
        """Ask for the fields of a pydantic model one by one, and return it.

        The question of a field is its `Field(description=…)`. A `Literal` or an Enum is a choice, numbers, days and times are
        read as people write them, and an answer that breaks a constraint is answered with a sentence. The person may say
        "back", "skip" for a field with a default, and at the end the name of what to change. Each answer is stored when it
        comes: see `ask`.

        Args:
            model: A pydantic model. Its validators may raise ValueError with a sentence for the person.
            review: False does not show all values at the end.
            timezone: The IANA name of the time zone of days and times.
            options: `who`, `tries`, `timeout_s`, `cancel` and `repeat`, as for `ask`. `key` tells two forms of one model in
                one handler apart.
        Raises:
            AskTimeout, AskCancelled: as for `ask`.
            BotError: as for `ask`; or a field of the model cannot be asked for by text, such as a nested model; or there is no
                time zone of this name.

        Example:
            `guest = await ctx.form(Guest, timezone="Europe/Paris")`
        """
        from linqbot.bot.forms import form

        return await form(self, model, review=review, timezone=timezone, options=options)

    @overload
    async def model_step(
        self,
        name: str,
        source: Callable[[Draft], Awaitable[object]],
        *,
        kind: type[T],
        say: Callable[[T], str] | None = ...,
        stream: Callable[..., Awaitable[object]] | None = ...,
        tally: Tally[Any] | None = ...,
    ) -> ModelStep[T]: ...

    @overload
    async def model_step(
        self,
        name: str,
        source: Callable[[Draft], Awaitable[object]],
        *,
        say: Callable[[Any], str] | None = ...,
        stream: Callable[..., Awaitable[object]] | None = ...,
        tally: Tally[Any] | None = ...,
    ) -> ModelStep[Any]: ...

    async def model_step(
        self,
        name: str,
        source: Callable[[Draft], Awaitable[object]],
        *,
        kind: Any = None,
        say: Callable[[Any], str] | None = None,
        stream: Callable[..., Awaitable[object]] | None = None,
        tally: Tally[Any] | None = None,
    ) -> ModelStep[Any]:
        """Ask a language model once, record its response, and say its text while the model writes it.

        The response is stored before `model_step` returns. A turn that runs again gets it from the record, and the model is
        not asked again. If a crash, or the provider, cuts a response that is being said, the source is called again with
        what the person has read of it, and the model goes on behind that. A request that was cut off is made again.

        Args:
            name: The name of the step, which is used once in a run of the handler.
            source: A function that asks the model. It takes a `Draft`, writes the pieces of the text to it as they come,
                and returns the response. A source that writes nothing has its text said when the response is on record.
            kind: As for `once`.
            say: A function that returns the text of a response, which is said. None says nothing.
            stream: The function that says it, called like `stream`, such as `partial(ctx.stream, cards=False)`.
            tally: As for `once`.
        Returns:
            The response, and what was said before it.
        Raises:
            BotError: see `once` and `stream`.
            TurnDeferred: the provider has cut the response for the first time. The turn runs again at once.

        Example:
            `step = await ctx.model_step("answer", lambda draft: model.answer(prompt, draft), say=str)`
        """
        from linqbot.features.model_steps import Saying

        return await Saying(self, name, source, kind, say, stream or self.stream, tally).done()

    async def mute(self, *, for_s: float | None = None, reason: str | None = None) -> None:
        """Mute the bot in the event's chat at once, for a person who answers there.

        Nothing more is sent there: `Sent.status` is `muted`. Messages reach only handlers with the filter `muted`; they are in
        `ctx.history`. Open questions, scheduled sends and posts wait until the mute ends: a question whose time is over by then
        times out, and a send that is later than its `grace_s` becomes a dead letter. A mute outlives a restart, and stays if the
        handler fails. A mute of the same chat that is stored already is replaced.

        Args:
            for_s: Seconds after which the bot answers again. None mutes it until `unmute`.
            reason: A note for yourself, which is stored.
        Raises:
            BotError: the event belongs to no chat, or `for_s` is not a number of seconds.
            StorageUnavailable: nothing was stored; the turn runs again.

        Example: `await ctx.mute(for_s=3600, reason="Dana takes over")`
        """
        await self.bot.mute(self.chat_id, for_s=for_s, reason=reason)

    async def unmute(self) -> None:
        """End the mute of the event's chat at once. What has waited for it is handled now. Without a mute nothing changes.

        Raises:
            BotError: the event belongs to no chat.
            StorageUnavailable: nothing was changed; the turn runs again.
        """
        await self.bot.unmute(self.chat_id)

    async def handoff(
        self,
        *,
        to: str,
        say: Content,
        summary: str = "",
        back_after_s: float = 3600.0,
        taken_within_s: float = 600.0,
        name: str | None = None,
        owner_name: str | None = None,
    ) -> bool:
        """Hand the event's direct chat over to a person of yours, who answers there by way of the bot, from their own phone.

        The owner gets the summary and the last messages, in their direct chat with the bot. From now on the bot is muted here,
        as by `mute`: texts and files of the person go to the owner, and those of the owner to the person. A 👍 or ✔ of the
        owner, on a message or alone, or `#done`, ends it, and so does the time. Both are notified.

        Args:
            to: The handle of the owner.
            say: The words to the person, such as "Dana answers you here."
            summary: The words to the owner about what is wanted.
            back_after_s: Seconds without a message of the owner after which the bot answers again.
            taken_within_s: Seconds in which the owner must write for the first time. Otherwise the person is notified that no
                one can answer, and the bot answers again.
            name: The name of the person, as the owner reads it; None is their handle.
            owner_name: The name of the owner, as the person reads it before each text; None shows none.
        Returns:
            False if the owner cannot be written to. Then the person is notified as if no one had answered.
        Raises:
            BotError: the event belongs to no direct chat, the chat is handed over already, or an argument cannot be.
            LinqUnavailable: Linq did not answer; the turn is deferred.
            StorageUnavailable: it could not be stored; the turn runs again.

        Example: `await ctx.handoff(to=OWNER, say="Dana answers you here.", owner_name="Dana")`
        """
        from linqbot.features.handoff import Terms, hand_over

        terms = Terms(to, say, summary, back_after_s, taken_within_s, name, owner_name)
        return await hand_over(self, self._journal, self.bot.mutes, terms)
