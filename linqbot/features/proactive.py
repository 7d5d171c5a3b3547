"""`ctx.bot`: messages that answer no event, to one person or to many. Next step: `features/broadcasts.py` sends to many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, get_args

from pydantic_core import from_json

from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.content.message_split import Content, bubbles, check_content, files_of
from linqbot.content.sending import stopped_by
from linqbot.content.sent import AcceptedMessage, Sent, SentStatus
from linqbot.content.uploads import Uploads
from linqbot.engine.turn import written_at
from linqbot.errors import BotError, LinqApiError, MessageGone, Refused, RuleBroken
from linqbot.features.broadcasts import (
    PER_MINUTE,
    Audience,
    broadcaster_of,
    check_pace,
    checked_messages,
    people_of,
    send_to,
)
from linqbot.features.schedules import check_name
from linqbot.linq.handles import person_key, plain_handle
from linqbot.linq.rules.message import first_message
from linqbot.linq.types.message import MessageContent, text_of
from linqbot.linq.types.proactive import Broadcast, Purpose, Recipient, RecipientOutcome
from linqbot.nearest import suggestion
from linqbot.options import check_chat_id, check_handle, check_purpose, check_whole
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.consents import Consent, ConsentKind

if TYPE_CHECKING:
    from pydantic import BaseModel

    from linqbot.engine.helpers import Helpers
    from linqbot.features.mute import TurnMutes


class BotSpeaker:
    """Writes to people first, to one or to many. It belongs to one turn, like the context that has it as `ctx.bot`.

    Authors know it as their `BotContext`.

    Args:
        client: The turn's client, whose calls are journalled.
        line: Our line in the event's chat; None if the event has none.
        note_sent: Called with the chat's id, the text and the files of each message that was sent.
        log: The logger of the context.
        uploads: Uploads the files of the turn.
        helpers: The helpers of the turn, such as its steps.
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
        helpers: Helpers,
    ) -> None:
        self._helpers = helpers
        self._steps, self._journal, self._stored = helpers.steps, helpers.journal, helpers.journal.storage
        self._client = client
        self._clock = clock
        self._line = line
        self._note_sent = note_sent
        self._log = log
        self._uploads = uploads
        self._posts = 0  # the number of posts of this run
        self._consents = 0  # the number of those that this run has recorded

    async def send(
        self,
        *content: Content,
        to: str,
        line: str | None = None,
        cards: bool = True,
        key: str | None = None,
        purpose: Purpose | None = None,
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
            purpose: `promotional` messages obey `Bot(manners=…)`, `requested` ones and a `reply` only the person's STOP. None
                is `promotional` in an `@bot.every` handler, `requested` in an `on_post` or `on_broadcast_done` handler,
                and `reply` elsewhere.
        Returns:
            The messages that Linq accepted, and the status: `waiting` if the message will be sent later.
        Raises:
            BotError: the account has no line, or has several and none was given; `to` is not one handle; `purpose` is not
                known; or there is no content, or of a type that cannot be sent.
            RuleBroken: the content breaks one of Linq's rules, such as R52 if the chat is new and the content is only an
                address, or its first sentence has one; the message was not sent.
            LinqApiError: Linq refused the message.

        Example:
            `await ctx.bot.send("Good morning!", to="+14155550142")`
        """
        return (await self.opening(content, to, line=line, cards=cards, key=key, purpose=purpose))[1]

    async def opening(
        self,
        content: tuple[Content, ...],
        to: str,
        *,
        line: str | None = None,
        cards: bool = True,
        key: str | None = None,
        purpose: Purpose | None = None,
    ) -> tuple[str, Sent]:
        """Send to a person, and return the id of the chat too, which is empty if nothing was sent. Raises as `send` does."""
        if not isinstance(to, str) or not to.strip():
            given = "an empty text" if isinstance(to, str) else type(to).__name__
            raise BotError(
                f"ctx.bot.send(to=…) takes the handle of one person, such as '+14155550142', not {given}. It "
                "never opens a group: call ctx.client.chats.create for that."
            )
        if purpose is not None:
            check_purpose(purpose, "ctx.bot.send")
        check_content(content)
        try:
            messages = bubbles(await self._uploads.resolved(content), cards=cards, opens_chat=True)
        except Refused as error:
            stopped_by(error, self._log)
            return "", Sent((), "refused")
        sender = await self.own_line() if line is None else line
        client = self._sending(key, purpose)
        return await self._send(messages, client, "", sender, plain_handle(to))

    async def send_in(self, chat_id: str, *content: Content, key: str | None = None) -> Sent:
        """Send into a chat that is known to be there, as `send` does. Called by linqbot itself."""
        messages = bubbles(await self._uploads.resolved(content))
        client = self._client if key is None else self._client.named(key)
        return (await self._send(messages, client, chat_id, "", ""))[1]

    async def _send(
        self, messages: Iterable[MessageContent], client: Client, chat_id: str, sender: str, to: str
    ) -> tuple[str, Sent]:
        """Send messages into a chat, or to a person if `chat_id` is empty, until one is refused. Return the chat too."""
        status: SentStatus = "accepted"
        sent = list[AcceptedMessage]()
        for message in messages:
            try:
                chat_id, accepted = await send_to(client, chat_id, sender, to, message)
            except MessageGone:
                continue
            except (Refused, LinqApiError) as error:
                if (stopped := stopped_by(error, self._log)) == "waiting":
                    status = stopped
                    continue  # each message waits by itself
                if stopped is not None:
                    return chat_id, Sent(tuple(sent), stopped, _client=client)
                # Only Linq knows if the chat is new, so R52 is not checked before. Its answer does not name the rule.
                may_be_first = not chat_id and not isinstance(error, Refused) and error.status == 400
                broken = first_message(message.to_json_object()) if may_be_first else None
                if broken is None:
                    raise
                raise RuleBroken(broken.message, rule=broken.rule, status=broken.status, code=broken.code) from error
            if chat_id:
                parts = message.parts or ()
                self._note_sent(chat_id, text_of(parts), files_of(parts))
            sent.append((accepted, message))
        return chat_id, Sent(tuple(sent), status, _client=client)

    def _sending(self, key: str | None, purpose: Purpose | None) -> Client:
        client = self._client if key is None else self._client.named(key)
        if purpose is None:
            return client
        return client.wrapped(lambda run: lambda call: run(replace(call, purpose=purpose)))

    async def broadcast(
        self,
        audience: Audience,
        *content: Content,
        name: str,
        per_minute: float = PER_MINUTE,
        line: str | None = None,
        purpose: Purpose = "promotional",
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
            purpose: `requested` for what people asked for, such as that a class is cancelled. See `send`.
        Returns:
            The broadcast, with the number of people for each outcome so far.
        Raises:
            BotError: `audience`, `name`, `per_minute`, `purpose` or the content cannot be used; the account has no line, or has
                several and none was given, or has not the given one.
            RuleBroken: the content breaks one of Linq's rules; nothing was stored.
            Refused: a plugin vetoes the broadcast; nothing was stored.
            StorageUnavailable: nothing was stored; the turn runs again later.

        Example:
            `await ctx.bot.broadcast(ctx.state.people(Guest), "The menu of July is out.", name="july")`
        """
        check_name(name, "broadcast")
        check_pace(per_minute)
        check_purpose(purpose, "ctx.bot.broadcast")
        if (known := await self._stored.broadcast(name)) is not None:
            return known
        messages = bubbles(await self._uploads.resolved(content), opens_chat=True)
        sender = await self.own_line() if line is None else line
        stored = checked_messages(messages, sender)
        new = NewBroadcast(name, sender, float(per_minute), stored, self._clock.now(), purpose=purpose)
        people = await people_of(audience)
        is_known = line is None or line == self._line
        return await broadcaster_of(self._helpers).start_broadcast(
            new, people, ask_linq=None if is_known else self._client
        )

    async def post(
        self,
        name: str,
        data: Mapping[str, Any] | BaseModel,
        *,
        id: str,  # noqa: A002 - the word of the field
        chat: str | None = None,
        person: str | None = None,
    ) -> bool:
        """Post an event of your own, as `running.post` does: the bot's `on_post` handler for its name runs once, in its chat.

        So a handler lets something go on in another chat. The post is stored at once, whatever becomes of the handler, and
        a handler that runs again stores it once.

        Args:
            name: The name of what happened, such as `quote.made`: 1 to 64 letters of ASCII, digits, `_`, `.` and `-`.
            data: A JSON object, or a pydantic model: at most 256 KiB of JSON.
            id: The same for every repetition of this post, such as the id of the message that leads to it. A post whose name
                and id were stored in the last 24 hours is not stored again.
            chat: The id of the chat that it concerns.
            person: The handle of the person that it concerns, instead of a chat.
        Returns:
            True once it is on disk; False if it was stored before.
        Raises:
            BotError: the name, the id, the data or the handle cannot be used, or both a chat and a person are given.
            StorageUnavailable, StorageBusy: nothing was stored; the turn runs again.

        Example: `await ctx.bot.post("quote.made", {"cents": 12000}, id=message.id, person="+14155550142")`
        """
        from linqbot.features.posts import post_delivery

        now = self._clock.now()
        made = post_delivery(name, data, now, post_id=id, chat=chat, person=person, line=self._line)
        self._posts += 1
        put = partial(self._stored.put, made)
        return await self._steps.recorded(f"linqbot post {self._posts}", put, kind=bool)

    async def record_consent(self, person: str, *, given: bool, how: str) -> None:
        """Add a row to the ledger of consents: a person agrees to promotional messages, or does not want them any more.

        It is stored at once, whatever becomes of the handler, and counts for a bot with `Bot(manners=…)`.

        Args:
            person: The handle of the person.
            given: True if the person agrees.
            how: Your words for where and how, such as `box in the booking form`.
        Raises:
            BotError: `person` is no handle, `given` is neither True nor False, or `how` is empty.
            StorageUnavailable: nothing was stored; the turn runs again.

        Example: `await ctx.bot.record_consent(message.sender.handle, given=True, how="said yes in the chat")`
        """
        person = check_handle(person, "record_consent(…)")
        if not isinstance(given, bool):
            raise BotError(
                "record_consent(given=…) takes True if the person agrees, and False if they do not any more."
            )
        if not isinstance(how, str) or not how.strip():
            raise BotError("record_consent(how=…) takes a text that says how the person agreed or withdrew.")
        journal, self._consents = self._journal, self._consents + 1
        key = f"{journal.turn}.{journal.replay}.{self._consents}"
        what: ConsentKind = "given" if given else "withdrawn"
        made = Consent(key, person, self._said_at(person), what, how)
        await self._stored.note_consent(made)

    def _said_at(self, person: str) -> float:
        """Return when a person has said what is recorded: when they wrote the message of this turn, if it is theirs; else now.

        So a consent does not undo a STOP that was written after it.
        """
        journal = self._journal
        origin = {} if journal.origin is None else from_json(journal.origin)
        is_theirs = not journal.delivery.is_internal and person in map(person_key, origin.get("handles", ()))
        return written_at(journal.delivery) if is_theirs else self._clock.now()

    async def mute(self, chat_id: str, *, for_s: float | None = None, reason: str | None = None) -> None:
        """Mute the bot in any chat: see `Context.mute`.

        Raises:
            BotError: `for_s` is not a number of seconds, or `chat_id` is the handle of a person.
            StorageUnavailable: nothing was stored; the turn runs again.
        """
        check_chat_id(chat_id, "ctx.bot.mute")
        await self.mutes.mute(chat_id, for_s=for_s, reason=reason)

    async def unmute(self, chat_id: str) -> None:
        """End the mute of any chat: see `Context.unmute`.

        Raises:
            BotError: `chat_id` is the handle of a person.
            StorageUnavailable: nothing was changed; the turn runs again.
        """
        check_chat_id(chat_id, "ctx.bot.unmute")
        await self.mutes.unmute(chat_id)

    @cached_property
    def mutes(self) -> TurnMutes:
        """The mutes of the turn. Used by linqbot itself; an author uses `mute`."""
        from linqbot.features.mute import TurnMutes

        return TurnMutes(self._stored, self._client, self._clock, self._steps)

    async def find_broadcast(self, name: str) -> Broadcast | None:
        """Return a broadcast, with the number of people for each outcome so far; None if none of this name is stored.

        Raises:
            StorageUnavailable: the storage cannot be read.
        """
        check_whole("ctx.bot.find_broadcast(name)", name)
        return await self._stored.broadcast(name)

    async def recipients(self, name: str, outcome: RecipientOutcome | None = None) -> AsyncIterator[Recipient]:
        """Yield the people of a broadcast, in order, with their outcomes and the reasons of refusals.

        Example: `async for person in ctx.bot.recipients("july", "refused"):`

        Args:
            outcome: Only people with this outcome; None yields all.
        Raises:
            BotError: there is no such outcome.
            StorageUnavailable: the storage cannot be read.
        """
        check_whole("ctx.bot.recipients(name)", name)
        if outcome is not None and outcome not in get_args(RecipientOutcome):
            raise BotError(f"There is no outcome {outcome!r}. {suggestion(str(outcome), get_args(RecipientOutcome))}")
        async for recipient in self._stored.every_recipient(name, outcome):
            yield recipient

    async def own_line(self, *, or_first: bool = False) -> str:
        """Return the line of the event's chat, or else the account's only line. Raises BotError if neither is there.

        Of several lines it is the first one with `or_first`. Used by linqbot itself.
        """
        if self._line:
            return self._line
        lines = await self._client.phone_numbers.list()
        if len(lines) == 1 or (lines and or_first):
            self._line = lines[0].phone_number
            return self._line
        if not lines:
            raise BotError("This account has no line to write from. Add one in Linq's dashboard.")
        raise BotError(
            f"This account has {len(lines)} lines, and the event is not from one of them. Say which one "
            'writes: line="+1…".'
        )


# Python's own errors and warnings name the class of a method, and authors know this class as their `BotContext`.
for _method in vars(BotSpeaker).values():
    if callable(_method):
        _method.__qualname__ = f"BotContext.{_method.__name__}"
