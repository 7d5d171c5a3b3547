"""A person's phone: everything that a person can do in a chat with the bot, and waiting for the bot's acts.

Waiting never sleeps. A wait ends as soon as the expected message is there. It fails as soon as it is certain that none
will come; the error then shows what happened instead.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypeVar, get_args
from uuid import uuid4

from pydantic import BaseModel

from linqbot.bot.bot import Bot
from linqbot.client.client import Client
from linqbot.engine.state import PERSON
from linqbot.engine.state_values import checked_name, read
from linqbot.errors import ConfigError
from linqbot.linq.handles import is_handle, person_key
from linqbot.linq.types.chat import Chat
from linqbot.linq.types.message import BUBBLE_EFFECTS, SCREEN_EFFECTS, EffectName, utf16_length
from linqbot.storage.inbox import DeadDelivery
from linqbot_dev.emulator.acts import chat_acts, conversation
from linqbot_dev.emulator.acts.conversation import Act
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model import shapes
from linqbot_dev.emulator.model.documents import iso
from linqbot_dev.emulator.model.faults import Fault, Lost
from linqbot_dev.emulator.model.records import PaymentRecord, PaymentRequestRecord, normal
from linqbot_dev.testing import arguments
from linqbot_dev.testing.bubble import Bubble, ChatView, Tapback
from linqbot_dev.testing.stage.connections import ApiCall
from linqbot_dev.testing.stage.stage import Stage

M = TypeVar("M", bound=BaseModel)
Result = TypeVar("Result")

Service: TypeAlias = Literal["iMessage", "RCS", "SMS"]

_EFFECTS = sorted(SCREEN_EFFECTS | BUBBLE_EFFECTS)


class Phone:
    """The phone of one person, showing one chat with the bot's line.

    Acts return when the bot's server has accepted the webhook. To wait for the bot's work, use `next_reply`, `replies`,
    `next_tapback`, `next_typing` and `quiet`. Every act raises the emulator's ApiError if Linq would not allow it, and
    ValueError if its arguments cannot be: an empty text, a handle that is neither a phone number nor an e-mail address.
    After the end of its block a phone still shows what happened, and an act raises ConfigError.

    Attributes:
        handle: The handle of the phone's owner. E-mail addresses are in lower case.
        line: The bot's number.
    """

    def __init__(self, stage: Stage, handle: str, line: str, others: tuple[str, ...] = ()) -> None:
        self._stage = stage
        self.handle = normal(handle)
        self.line = line
        self._view = ChatView(stage.emulator, line, tuple(dict.fromkeys((self.handle, *others))))

    # Other people, other chats

    def person(self, handle: str, *, service: Service | str | None = None) -> Phone:
        """Return the phone of another person, in their direct chat with the bot.

        Args:
            handle: E.164, an e-mail address, the name of a person of the test's `DeclaredWorld`, a short code such as `68849`,
                or the name of a sender in capitals, such as `SUPPORT`.
            service: The service of that phone; None is what the test's `DeclaredWorld` says, or iMessage.
        Raises:
            ValueError: the service is misspelt, or there is no person of this name.
        """
        phone = Phone(self._stage, self._handle(handle), self.line)
        declared = self.emulator.declared.person(phone.handle)
        if service is None:
            service = declared.service if declared else "iMessage"
        arguments.name("service", service, get_args(Service), "service")
        self.emulator.state.services[phone.handle] = service
        return phone

    def group(self, *others: Phone | str) -> Phone:
        """Return this phone in the group of this person, the others and the bot. Its first message creates it.

        Args:
            others: Phones, handles, or names of people of the test's `DeclaredWorld`; or the name of one of its groups.
        Raises:
            ValueError: there is no other person. This person alone has a direct chat with the bot.
        """
        known = self.emulator.declared.people_of(others[0]) if others and isinstance(others[0], str) else None
        handles = tuple(known or (self._handle(one) for one in others))
        if not {*handles} - {self.handle}:
            raise ValueError(f"A group needs another person than {self.handle}: group(bob), or group('+14155550143').")
        return Phone(self._stage, self.handle, self.line, handles)

    def by(self, other: Phone | str) -> Phone:
        """Return another participant's phone in the same group: `await group.by(bob).text("me too")`."""
        phone = Phone(self._stage, self._handle(other), self.line)
        phone._view = self._view
        return phone

    # Acts of the person

    async def text(
        self,
        text: str,
        *,
        reply_to: Bubble | str | None = None,
        mention: bool | str = False,
        effect: EffectName | str | None = None,
        late_s: float = 0.0,
    ) -> Bubble:
        """Write a message.

        Args:
            reply_to: The message that this message answers.
            mention: True mentions the bot, which a bot in a group answers by default: the first word with an `@` is
                the mention, or `@bot ` is written before the text. A text is the piece that is the mention.
            effect: The screen or bubble effect.
            late_s: Linq found the message this many seconds late, and says so in `reconciled_at`.
        Returns:
            The message. Its `id` is empty when the bot has blocked the person.
        """
        if effect is not None:
            arguments.name("effect", effect, _EFFECTS, "effect.name")
        part: dict[str, Any] = {"type": "text", "value": text}
        if mention:
            text, marked = mentioning(text, mention)
            part = {"type": "text", "value": text, "mention": self.line, "mention_range": marked}
        return await self._write(text, part, reply_to=reply_to, effect=effect, late_s=late_s)

    async def reply(self, to: Bubble | str, text: str) -> Bubble:
        """Answer a message in its thread."""
        return await self.text(text, reply_to=to)

    async def media(self, content: bytes, filename: str, *, text: str = "") -> Bubble:
        """Send a file, with a text before it if there is one. The file's type is guessed from its name."""
        part = {"type": "media", "filename": filename, "data_base64": base64.b64encode(content).decode()}
        return await self._write(text, *([{"type": "text", "value": text}] if text else []), part)

    async def voice_memo(self, content: bytes, filename: str = "Audio Message.caf") -> Bubble:
        """Record a voice memo. Linq marks none: it is an audio file of a kind that phones record."""
        return await self.media(content, filename)

    async def link(self, url: str) -> Bubble:
        """Send a link, which shows as a preview card."""
        return await self._write(url, {"type": "link", "value": url})

    async def opt_out(self) -> Bubble:
        """Write STOP: Linq refuses further messages of the bot until the person writes something else."""
        return await self.text("STOP")

    async def edit(self, message: Bubble | str, text: str) -> None:
        """Change the text of a message that this person wrote."""
        await self._do(f"edits a message to {text!r}", conversation.Edit, message_id=_id(message), text=text)

    async def react(self, message: Bubble | str, reaction: str, *, remove: bool = False) -> None:
        """Add a tapback to a message, or remove it.

        Args:
            reaction: `love`, `like`, `dislike`, `laugh`, `emphasize`, `question`, or an emoji.
        """
        kind, emoji = arguments.tapback(reaction)
        operation = "remove" if remove else "add"
        what = f"{operation}s {reaction}"
        how = {"type": kind, "operation": operation, "custom_emoji": emoji}
        await self._do(what, conversation.React, message_id=_id(message), **how)

    async def sticker(
        self, message: Bubble | str, content: bytes, filename: str = "sticker.png", *, x: float = 0.0, y: float = 0.0
    ) -> None:
        """Put a sticker on a message.

        Args:
            content, filename: The image. Its type is guessed from the name.
            x, y: The place on the bubble, from -1 (left, top) to 1 (right, bottom).
        """
        await self._do(
            "puts a sticker on a message",
            conversation.React,
            message_id=_id(message),
            type="sticker",
            data_base64=base64.b64encode(content).decode(),
            filename=filename,
            placement=conversation.Placement(x=x, y=y),
        )

    async def typing(self, is_typing: bool = True) -> None:
        """Begin to type, or stop."""
        what, state = ("types", "started") if is_typing else ("stops typing", "stopped")
        await self._do(what, conversation.SetTyping, state=state)

    async def read(self, up_to: Bubble | str | None = None) -> None:
        """Read the bot's messages, all of them or up to one. Only direct chats over iMessage or RCS report this.

        Raises:
            HandlerFailed: a handler raised. This method waits for the bot's messages first.
        """
        __tracebackhide__ = True
        await self.quiet()
        await self._do("reads", conversation.Read, message_id=up_to and _id(up_to))

    async def poll(self, *options: str) -> Bubble:
        """Make a poll, and return its message."""
        act = chat_acts.MakePoll(from_=self.handle, chat_id=self.chat_id, options=options)
        return await self._wrote("makes a poll", act)

    async def vote(self, poll: Bubble, option: str, *, remove: bool = False) -> None:
        """Vote for an option of a poll, given by its text, or take the vote back."""
        operation, option_id = "remove" if remove else "add", poll.option_id(option)
        what = f"{'takes back the vote' if remove else 'votes'} for {option!r}"
        await self._do(what, chat_acts.Vote, message_id=poll.id, option_id=option_id, operation=operation)

    async def add_option(self, poll: Bubble, *options: str) -> None:
        """Add options to a poll."""
        await self._do("adds to a poll", chat_acts.AddOptions, message_id=poll.id, options=options)

    async def leave(self) -> None:
        """Leave the group."""
        await self._do("leaves", chat_acts.Leave)

    async def join(self) -> None:
        """Join the group, also again after leaving."""
        await self._do("joins", chat_acts.Join, chat_id=self.chat_id)

    async def bring(self, other: Phone | str) -> None:
        """Add another person to the group."""
        await self._do("adds a person", chat_acts.Join, chat_id=self.chat_id, handle=self._handle(other))

    async def remove(self, other: Phone | str) -> None:
        """Remove another participant from the group; `phone.line` is the bot."""
        await self._do("removes a participant", chat_acts.Leave, handle=self._handle(other))

    async def rename(self, name: str | None) -> None:
        """Give the group a name; None takes the name away."""
        await self._do("renames the group", conversation.NameGroup, name=name)

    async def set_background(self, color: str | None) -> None:
        """Give the chat a background of one of Linq's colors, such as `mango`; None takes the background away."""
        kind = None if color is None else "color"
        await self._do("changes the background", conversation.SetBackground, type=kind, variant=color)

    async def share_location(self, latitude: float, longitude: float, *, for_s: float | None = None) -> None:
        """Share this person's location, in degrees, or move to another location.

        Args:
            for_s: Seconds until sharing ends; None shares until `stop_sharing_location`.
        """
        where = {"latitude": latitude, "longitude": longitude}
        await self._do("shares a location", chat_acts.ShareLocation, **where, for_s=for_s)

    async def stop_sharing_location(self) -> None:
        """Stop sharing this person's location."""
        await self._do("stops sharing a location", chat_acts.ShareLocation, state="stopped")

    async def share_card(self, first_name: str, last_name: str = "") -> None:
        """Share this person's name with the bot."""
        names = {"first_name": first_name, "last_name": last_name}
        await self._do("shares a contact card", chat_acts.ShareCard, to=self.line, **names)

    async def pay(self, payment_id: str | None = None) -> None:
        """Pay a payment request, or approve a payment.

        Args:
            payment_id: None pays the newest payment request that is open.
        Raises:
            ConfigError: no payment request is open.
        """
        await self._perform("pays", chat_acts.Pay(id=payment_id or self._open_payment_request()))

    async def decline(self, payment_id: str | None = None) -> None:
        """Refuse a payment request or a payment, as the payer's bank does.

        Args:
            payment_id: None declines the newest payment request that is open.
        Raises:
            ConfigError: no payment request is open.
        """
        await self._perform("declines to pay", chat_acts.Decline(id=payment_id or self._open_payment_request()))

    async def event(self, event_type: str, data: Mapping[str, Any]) -> None:
        """Let Linq report an event that no act of a phone causes, such as a phone call. Nothing else happens.

        Example: `await phone.event("call.no_answer", {"from": phone.handle, "to": phone.line})`

        Args:
            event_type: Linq's name of the event.
            data: The event's `data`, as Linq would send it. It is not checked.
        Raises:
            ValueError: the name of the event is misspelt.
        """
        arguments.event(event_type)
        await self._perform(f"has an event {event_type}", chat_acts.Report(event_type, data, self.line))

    async def post(
        self,
        name: str,
        data: Mapping[str, Any] | BaseModel,
        *,
        post_id: str | None = None,
        person: Phone | str | None = None,
        chat: str | None = None,
    ) -> None:
        """Let a program outside the bot post something that concerns this person, or in a group the chat; see `running.post`.

        `person` and `chat` address it as your program does. A handler has `ctx.state.person` of a post to a person only.

        Example: `await phone.post("order.shipped", {"parcel": "1Z"})`

        Args:
            name, data: As for `running.post`.
            post_id: The id of the post; None is a new one.
            person: The phone or the handle of the person that it concerns, as `running.post(person=…)`.
            chat: The id of the chat that it concerns, such as `phone.chat_id`, as `running.post(chat=…)`.
        Raises:
            BotError: the name, the data, or the chat cannot be used, or both a chat and a person are given.
            ValueError: there is no such person.
        """
        self._stage.require_running()
        if person is chat is None:
            # Linq finds no chat by a short code, so a post to such a person could not arrive.
            is_of_person = len(self._view.people) == 1 and is_handle(self.handle)
            chat = None if is_of_person else self._view.id
            person = self.handle if chat is None else None
        to = {} if person is None else {"person": self._handle(person)}
        to |= {} if chat is None else {"chat": chat}
        self._stage.record.history.append(f"{name} is posted for {' and '.join(to.values())}")
        await self._stage.post({"type": name, "data": data, **to}, post_id or str(uuid4()))

    def _open_payment_request(self) -> str:
        for request in reversed(self.emulator.state.payment_requests.values()):
            if request.status in ("requested", "declined"):
                return request.id
        raise ConfigError("No payment request is open. The bot makes one with ctx.pay or ctx.client.payment_requests.")

    # Waiting for the bot

    async def next_reply(self) -> Bubble:
        """Return the next message of the bot in this chat. It compares with its text.

        Raises:
            NothingCame: there is none, and none will come until the clock moves.
            HandlerFailed: there is none, and a handler raised.
        """
        __tracebackhide__ = True
        reply = await self._stage.until(self._view.take_reply)
        if reply is None:
            self._stage.record.complain(f"No reply came.{self._view.elsewhere()}")
        return reply

    async def replies(self) -> list[Bubble]:
        """Wait until nothing more happens, and return the bot's messages in this chat that no wait has returned yet.

        Example:
            `assert await phone.replies() == []`
        Raises:
            HandlerFailed: a handler raised.
            NothingCame: a handler spends too long on real work.
        """
        __tracebackhide__ = True
        await self.quiet()
        return list(iter(self._view.take_reply, None))

    async def next_tapback(self) -> Tapback:
        """Return the bot's next tapback in this chat. It compares with its name, such as `love`, or its emoji.

        Raises:
            NothingCame: there is none, and none will come until the clock moves.
            HandlerFailed: there is none, and a handler raised.
        """
        __tracebackhide__ = True
        tapback = await self._stage.until(lambda: self._view.take_tapback(self._stage.record.calls))
        return self._stage.record.complain("No tapback came.") if tapback is None else tapback

    async def next_typing(self) -> None:
        """Return when the bot starts to type in this chat. Each call waits for a further start.

        Raises:
            NothingCame: the bot did not start, and will not until the clock moves.
            HandlerFailed: the bot did not start, and a handler raised.
        """
        __tracebackhide__ = True
        if not await self._stage.until(lambda: self._view.take_typing(self._stage.record.calls)):
            self._stage.record.complain("No typing dots came.")

    async def quiet(self) -> None:
        """Return when everything in all chats is handled and delivered, and nothing happens until the clock moves.

        Raises:
            HandlerFailed: a handler raised.
            NothingCame: a handler spends too long on real work.
        """
        __tracebackhide__ = True
        await self._stage.quiet()

    async def errors(self) -> list[BaseException]:
        """Wait until nothing more happens, and return the exceptions of handlers that no wait has raised yet.

        The exceptions count as expected: they fail no later wait.

        Raises:
            NothingCame: a handler spends too long on real work.
        """
        __tracebackhide__ = True
        await self._stage.until(lambda: None)
        return self._stage.record.failures()

    async def waiting(self) -> int:
        """Return the number of deliveries, of all chats, that the bot will handle when the clock moves.

        They are retried or deferred, or they wait behind such a delivery of their chat.
        """
        __tracebackhide__ = True
        await self._stage.until(lambda: None)
        return len(await self._stage.storage.waiting(limit=1000))

    async def dead_letters(self) -> list[DeadDelivery]:
        """Return the deliveries, of all chats, that the bot has given up, the oldest first, each with the reason."""
        __tracebackhide__ = True
        await self._stage.until(lambda: None)
        found: list[DeadDelivery] = await self._stage.storage.dead_letters(limit=1000)
        return found[::-1]

    async def plugins(self) -> dict[str, str]:
        """Return the status of each plugin of the bot, as `/readyz` shows it.

        A plugin that works is `active`. A plugin that fails is `disabled`, and its bot goes on, so nothing else in a
        test shows it. A required plugin is never disabled: it is `failing` while its middleware fails, and it stays
        `active` if one of its observing hooks has failed. The reason follows after a colon.

        Example: `assert await phone.plugins() == {"audit": "active"}`
        """
        __tracebackhide__ = True
        await self._stage.until(lambda: None)
        return self._stage.plugins.report()

    # Time, restarts, faults

    async def advance(self, seconds: float) -> None:
        """Let time pass for bot and emulator: retries, scheduled sends and repeated deliveries.

        Everything happens in order and at its time, and is handled when this method returns.

        Raises:
            ValueError: `seconds` is below 0.
            HandlerFailed: a handler raised.
        """
        __tracebackhide__ = True
        if not seconds >= 0:
            raise ValueError(f"advance({seconds!r}) is not a number of seconds from 0 on.")
        await self._stage.advance(seconds)

    async def restart(self, *, down_s: float = 0.0, bot: Bot | None = None) -> None:
        """Stop the bot at once, as a kill would, and start it again on the same storage.

        Nothing that the stopped bot still does reaches its storage or Linq: neither a handler that was running, nor
        its tasks, nor their cleanup. Deliveries that it did not answer are delivered again when it has started.

        Args:
            down_s: Seconds until it starts, on the emulated clock. Linq's retries in that time fail.
            bot: The bot to start, such as a newer version of the code; None is the same one.
        Raises:
            BotError: a handler of the new bot can never run. Then the old one goes on.
        """
        await self._stage.restart(down_s, bot)

    def fail_next(
        self,
        call: str = "",
        *,
        status: int = 500,
        code: int | None = None,
        retry_after_s: int | None = None,
        times: int = 1,
    ) -> None:
        """Answer the next calls of the bot with an error, and do nothing else.

        Args:
            call: The calls that fail, by a part of method and path, such as `POST /v3/chats`, or of the endpoint's name,
                such as `chats.messages.send`; empty is any call. `GET /attachments` is the download of a file.
            status, code: The HTTP status, and Linq's error code.
            retry_after_s: Seconds to wait, for a 429.
            times: The number of calls that fail.
        Raises:
            ValueError: there is no call of this name.
        """
        self._fault_of_calls(
            Fault(on="api", match=call, status=status, code=code, retry_after=retry_after_s, times=times)
        )

    def drop_next(
        self, call: str = "", *, lost: Literal["answer", "request", "connection"] = "answer", times: int = 1
    ) -> None:
        """Break the connection of the next calls of the bot.

        Args:
            call: The calls that fail, by a part of method and path or of the endpoint's name; empty is any call.
            lost: `request` breaks the connection before anything is done, `answer` after the call was executed; both in
                the middle of the answer. `connection` closes it before anything is done and without sending a byte.
            times: The number of calls that fail.
        Raises:
            ValueError: there is no call of this name, or no such `lost`.
        """
        arguments.one_of("lost", lost, get_args(Lost))
        self._fault_of_calls(Fault(on="api", match=call, drop=lost, times=times))

    def slow_next(self, call: str = "", *, delay_s: float = 5.0, times: int = 1) -> None:
        """Answer the next calls of the bot late, on the emulated clock.

        Args:
            call: The calls that are slow, by a part of method and path or of the endpoint's name; empty is any call.
            delay_s: Seconds until the call is executed and answered.
            times: The number of calls that are slow.
        Raises:
            ValueError: there is no call of this name.
        """
        self._fault_of_calls(Fault(on="api", match=call, delay_ms=round(delay_s * 1000), times=times))

    def fail_next_message(self, code: int = 4001) -> None:
        """Accept the bot's next message to this person, and then fail to deliver it: `message.failed`."""
        self.emulator.world.faults.add(Fault(on="message", match=self.handle, code=code))

    def fail_next_delivery(self, event_type: str, *, status: int = 500, times: int = 1) -> None:
        """Fail the next deliveries of events of this type before they reach the bot. Linq delivers them again.

        Args:
            event_type: A type, or a part of it.
            status: The HTTP status that Linq takes for the bot's answer.
            times: The number of deliveries that fail.
        Raises:
            ValueError: the name of the event is misspelt.
        """
        arguments.event_type(event_type)
        self.emulator.world.faults.add(Fault(on="delivery", match=event_type, status=status, times=times))

    def double_next(self, event_type: str) -> None:
        """Deliver the next event of this type twice.

        Raises:
            ValueError: the name of the event is misspelt.
        """
        arguments.event_type(event_type)
        self.emulator.world.faults.add(Fault(on="delivery", match=event_type, duplicate=True))

    # State

    @property
    def messages(self) -> list[Bubble]:
        """All messages of the chat, of both sides, oldest first."""
        return [Bubble(message) for message in self._view.messages()]

    async def state(self, model: type[M], *, name: str | None = None) -> M:
        """Return a copy of the state that the bot has stored about the phone's owner; the defaults if it has none.

        Example: `assert (await phone.state(Guest)).visits == 2`

        Args:
            model, name: As for `ctx.state.person`.
        Raises:
            HandlerFailed: a handler raised. This method waits for the bot's work first.
        """
        __tracebackhide__ = True
        await self.quiet()
        name = checked_name(model, name)
        stored = (await self._stage.storage.load(PERSON + person_key(self.handle))).get(name)
        return model() if stored is None else read(model, name, stored)

    @property
    def payments(self) -> list[str]:
        """The ids of the bot's payment requests and payments, of all chats, oldest first."""
        state = self.emulator.state
        found: list[PaymentRequestRecord | PaymentRecord] = [*state.payment_requests.values(), *state.payments.values()]
        return [one.id for one in sorted(found, key=lambda one: one.created_at)]

    @property
    def calls(self) -> list[ApiCall]:
        """All requests of the bot to Linq's API, in all chats, oldest first."""
        return list(self._stage.record.calls)

    @property
    def is_shown_typing(self) -> bool:
        """True if the phone shows the bot's typing dots now."""
        return self._view.record is not None and self.line in self._view.record.typing

    @property
    def chat(self) -> Chat:
        """The chat as Linq's API shows it now: name, participants, service."""
        return Chat.model_validate(shapes.chat(self.emulator.state.chat(self.chat_id)))

    @property
    def chat_id(self) -> str:
        """Linq's id of the chat.

        Raises:
            ConfigError: no message was written yet, so the chat does not exist.
        """
        if self._view.id is None:
            raise ConfigError("This chat does not exist yet. Let a person write first: await phone.text(…)")
        return self._view.id

    @property
    def now(self) -> float:
        """The emulated time of bot and emulator, in Unix seconds."""
        return self._stage.clock.now()

    @property
    def client(self) -> Client:
        """The bot's client, for calls outside handlers, such as opening a chat or listing messages."""
        return self._stage.client

    @property
    def emulator(self) -> Emulator:
        """The emulator, for everything that a phone cannot do."""
        return self._stage.emulator

    @property
    def killed(self) -> str | None:
        """The point at which `killed_between_calls` killed the bot, such as `after storage.finish`; None if nowhere."""
        return self._stage.killed

    def __repr__(self) -> str:
        killed = f", killed={self.killed!r}" if self.killed else ""
        return f"Phone({self.handle!r}, line={self.line!r}{killed})"

    async def _write(
        self,
        shown: str,
        *parts: dict[str, Any],
        reply_to: Bubble | str | None = None,
        effect: EffectName | str | None = None,
        late_s: float = 0.0,
    ) -> Bubble:
        act = conversation.Write(
            from_=self.handle,
            to=self.line,
            parts=parts,
            chat_id=self._view.id,
            group=[one for one in self._view.people if one != self.handle],
            reply_to=None if reply_to is None else _id(reply_to),
            effect=effect,
            sent_at=iso(self.now - late_s) if late_s else None,
            reconciled_at=iso(self.now) if late_s else None,
        )
        return await self._wrote(f"writes {shown!r}" if shown else "sends a file", act, shown)

    async def _wrote(self, what: str, act: Act[dict[str, Any]], shown: str = "") -> Bubble:
        """Do an act that writes a message, and return the message."""
        message_id = self._act(what, act)["message_id"]
        # Found before its webhook is answered: by then, the bot may have deleted the message at Linq.
        bubble = Bubble.unseen(shown) if message_id is None else Bubble(self.emulator.state.message(message_id))
        await self._stage.arrived()
        return bubble

    async def _do(self, what: str, kind: type[conversation.ByPerson], **fields: Any) -> None:
        """Do an act of the phone's owner, in this chat if it is an act of someone in a chat."""
        if issubclass(kind, conversation.InChat):
            fields["chat_id"] = self.chat_id
        await self._perform(what, kind(from_=self.handle, **fields))

    async def _perform(self, what: str, act: Any) -> None:
        self._act(what, act)
        await self._stage.arrived()

    def _handle(self, person: Phone | str) -> str:
        if not isinstance(person, str):
            return person.handle
        arguments.handle(handle := self.emulator.declared.handle_of(person), self.emulator.declared)
        return handle

    def _act(self, what: str, act: Act[Result]) -> Result:
        self._stage.require_running()
        self._stage.record.history.append(f"{self.handle} {what}")
        result = self.emulator.do(act)
        self._view.find()
        return result

    def _fault_of_calls(self, fault: Fault) -> None:
        arguments.call(fault.match)
        self.emulator.world.faults.add(fault)


def _id(message: Bubble | str) -> str:
    return message.id if isinstance(message, Bubble) else message


def mentioning(text: str, mention: bool | str) -> tuple[str, list[int]]:
    """Return a text that mentions the bot, and the mention's range in UTF-16 units. Raises ConfigError if it is none."""
    if isinstance(mention, str):
        piece = mention
    elif word := next((word for word in text.split() if word.startswith("@")), None):
        piece = word.rstrip(",.:;!?…")
    else:
        piece, text = "@bot", f"@bot {text}"
    start = text.find(piece)
    if start < 0:
        raise ConfigError(f"mention={piece!r} is not in the text {text!r}. Give a piece of the text, or True.")
    before = utf16_length(text[:start])
    return text, [before, before + utf16_length(piece)]
