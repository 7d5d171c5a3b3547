"""`rehearse` lets simulated people talk to a bot in a test, and returns the rules that were broken.

Each person has an actor, which performs the acts of the script and waits for the bot between them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, Protocol

from linqbot.linq.rules.message import is_opt_out
from linqbot.storage.inbox import DeadDelivery
from linqbot_dev.emulator.acts.chat_acts import Decline, Pay, ShareLocation, Vote
from linqbot_dev.emulator.acts.conversation import Act, Edit, Media, Part, React, SetTyping, Text, Write
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model import shapes
from linqbot_dev.emulator.model.answers import ApiError
from linqbot_dev.emulator.model.faults import Fault
from linqbot_dev.emulator.model.records import MessageRecord
from linqbot_dev.testing.arguments import tapback
from linqbot_dev.testing.ledger import Ledger
from linqbot_dev.testing.people.checks import Violation, answers_to, text_of, violations
from linqbot_dev.testing.people.persona import (
    NO,
    YES,
    Correct,
    Decide,
    Dialogue,
    FaultName,
    Inject,
    Locate,
    Pause,
    PayRequest,
    Performed,
    Persona,
    PersonAct,
    Say,
    Stretch,
    Tap,
    Visit,
    VoteFor,
    acts_of,
    asks,
    records_of,
)
from linqbot_dev.testing.phone import Phone, mentioning
from linqbot_dev.testing.stage.record import HandlerFailed, NothingCame

PATIENCE_S: Final = 60.0
"""Emulated seconds: a failing handler has been run five times by then."""


async def rehearse(
    phone: Phone,
    *people: Persona | Iterable[Persona],
    secrets: Collection[str] = (),
    patience_s: float = PATIENCE_S,
    ledger: Ledger | None = None,
) -> list[Violation]:
    """Let people talk to the bot, one after the other, and return the rules that the bot has broken.

    The first person has the handle of the phone. Exceptions of handlers are no violations as such: a turn that fails
    runs again, and the person who gets no answer is reported.

    Example: `assert await rehearse(phone, Persona("Ann", [Say("hi")])) == []`

    Args:
        people: The people, each with a conversation of their own. An endless script never ends here.
        secrets: Values that no message may contain.
        patience_s: Emulated seconds for which a person waits for an answer.
        ledger: The fake outside system that the bot uses.
    Returns:
        The violations; empty if there are none.
    Raises:
        HandlerFailed: an exception of a handler came before the first act.
        ValueError: two people have the same name.
    """
    every = [one for given in people for one in ([given] if isinstance(given, Persona) else given)]
    if len({persona.name for persona in every}) < len(every):
        raise ValueError("Two of the people have the same name, and violations tell them apart by name.")
    await phone.quiet()
    around = _InTest(phone, patience_s)
    visits: list[Visit] = []
    for number, persona in enumerate(every):
        handle = phone.handle if number == 0 else handle_of(number)
        visits.append(Visit(persona, handle))
        await perform(visits[-1], around)
    await around.settled("")
    given_up: list[DeadDelivery] = []
    with suppress(NothingCame):  # a handler that never ends has not been given up
        given_up = await phone.dead_letters()
    return violations(visits, phone.emulator, secrets=secrets, given_up=given_up, ledger=ledger)


def handle_of(number: int) -> str:
    return f"+1415556{number:04}"


class _InTest:
    """A bot in the same process, on a clock that stands still: see `Surroundings`."""

    look_every_s = 1.0
    is_over = False
    may_ignore: Sequence[re.Pattern[str]] = ()

    def __init__(self, phone: Phone, patience_s: float) -> None:
        self._phone = phone
        self.emulator = phone.emulator
        self.patience_s = patience_s

    async def pause(self, seconds: float) -> None:
        # A handler that fails again is no reason to stop: the clock has moved when the error is raised.
        with suppress(HandlerFailed, NothingCame):
            await self._phone.advance(seconds)

    async def settled(self, handle: str) -> bool:
        """Wait until nothing more happens, and no failed or deferred delivery waits to be handled again."""
        waited_s = 0.0
        while True:
            try:
                await self._phone.errors()
                if not await self._phone.waiting():
                    return True
            except NothingCame:  # a handler spends too long on real work
                return False
            if waited_s >= self.patience_s:
                return False
            await self.pause(self.look_every_s)
            waited_s += self.look_every_s

    async def kill(self) -> None:
        await self._phone.restart()


PHOTO: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
"""A picture of one pixel, in base64."""

BETWEEN_S: Final = 0.001
FAULTS_OF_SENDS: Final[Mapping[FaultName, Mapping[str, Any]]] = {
    "429": {"status": 429, "retry_after": 2},
    "500": {"status": 500},
    "lost-answer": {"drop": "answer"},
    "slow": {"delay_ms": 3000},
}


class Surroundings(Protocol):
    """The place in which people act: the bot in this process, or a process of its own."""

    emulator: Emulator
    # Seconds that a person waits for an answer that is owed after the bot has finished, because a bot may answer later,
    # such as with `ctx.send_later`.
    patience_s: float
    look_every_s: float  # seconds between looks for such an answer
    may_ignore: Sequence[re.Pattern[str]]  # fit messages that the bot may leave without an answer

    @property
    def is_over(self) -> bool:
        """True if people shall end their conversations."""
        ...

    async def pause(self, seconds: float) -> None: ...

    async def settled(self, handle: str) -> bool:
        """Wait until the bot has finished everything in the chats of a person. Return False if it takes too long."""
        ...

    async def kill(self) -> None: ...


async def perform(visit: Visit, around: Surroundings) -> None:
    actor = Actor(visit, around)
    around.emulator.state.services[visit.handle] = visit.persona.service
    async for act in acts_of(visit.persona, actor.dialogue):
        if around.is_over and actor.is_between:
            return
        if isinstance(act, Say) and act.expects == "answer" and any(one.search(act.text) for one in around.may_ignore):
            act = replace(act, expects="anything")  # noqa: PLW2901
        try:
            await actor.do(act)
        except ApiError as error:
            visit.stopped = f"{type(act).__name__} was refused: {error}"
            break
    await actor.wait()
    visit.has_ended = True


class Actor:
    def __init__(self, visit: Visit, around: Surroundings) -> None:
        self._visit = visit
        self._around = around
        self._emulator = around.emulator
        self.dialogue = Dialogue(around.emulator, visit.handle, *visit.friends)
        self._pending: list[FaultName] = []
        self._faults: list[str] = []

    @property
    def is_between(self) -> bool:
        return not self._visit.stretches or self._visit.stretches[-1].is_settled

    async def do(self, act: PersonAct) -> None:
        if isinstance(act, Decide):
            for answer in self._answers(act):
                await self.do(answer)
            return
        match act:
            case Say():
                await self._type(act)
                self._say(act)
            case Pause(seconds=seconds):
                # A pause between stretches belongs to the next one.
                self._note(act)
                await self._around.pause(seconds)
                return
            case Inject(fault=fault):
                self._note(act)
                await self._inject(fault)
                return
            case _:
                if (found := self._found(act)) is not None:
                    performed = self._note(act)
                    performed.message_id, performed.expects = found[0], act.expects
                    self._emulator.do(found[1])
        if not isinstance(act, Say) or act.waits:
            await self.wait()

    async def wait(self) -> None:
        """Wait until the bot has finished; and a while longer, if the person is owed an answer."""
        if self.is_between:
            return
        around, stretch = self._around, self._visit.stretches[-1]
        is_settled, waited_s = await around.settled(self._visit.handle), 0.0
        while is_settled and waited_s < around.patience_s and self._is_owed_an_answer(stretch):
            await around.pause(around.look_every_s)
            waited_s += around.look_every_s
            is_settled = await around.settled(self._visit.handle)
        if is_settled:
            self._clear_faults()
            stretch.is_settled = True
            # The next stretch begins later than all effects of this one, also on a clock that stands still.
            await around.pause(BETWEEN_S)

    def _note(self, act: PersonAct) -> Performed:
        """Add an act to the record of the conversation, before it is done."""
        records = self._records()
        last = records[-1].seq if records else 0
        if self.is_between:
            self._visit.stretches.append(Stretch(last))
        performed = Performed(act, self._emulator.clock.now(), seq=last + 1 if records else 0)
        self._visit.stretches[-1].performed.append(performed)
        return performed

    def _is_owed_an_answer(self, stretch: Stretch) -> bool:
        records = self._records()
        return any(one.expects == "answer" and not answers_to(one, records) for one in stretch.causes)

    def _records(self) -> list[MessageRecord]:
        return records_of(self._emulator, self._visit.handle, *self._visit.friends)

    # Acts

    async def _type(self, act: Say) -> None:
        chat_id = self._chat_id()
        if act.typing_s and chat_id is not None:
            self._emulator.do(SetTyping(from_=self._visit.handle, chat_id=chat_id, state="started"))
        if act.typing_s:
            await self._around.pause(act.typing_s)

    def _say(self, act: Say) -> None:
        performed = self._note(act)
        text, line = act.text, self._line()
        parts: list[Part] = [Text(value=text)] if text else []
        if act.mentions:
            text, marked = mentioning(text, mention=True)
            parts = [Text(value=text, mention=line, mention_range=marked)]
        parts += [Media(filename=f"photo{n + 1}.png", data_base64=PHOTO) for n in range(act.photos)]
        heard = [one for one in self._records() if one.is_from_me]
        if "double" in self._pending:
            self._add(Fault(on="delivery", match=self._visit.handle, duplicate=True))
        thread = heard[-1].id if act.in_thread and heard else None
        write = Write(from_=self._visit.handle, to=line, group=self._visit.friends, parts=parts, reply_to=thread)
        written = self._emulator.do(write)
        performed.message_id = written["message_id"]
        if performed.message_id is not None:
            performed.seq = self._emulator.state.message(performed.message_id).seq
            is_stop = not act.photos and is_opt_out(act.text)
            performed.expects = "silence" if is_stop else act.expects
        self._add_pending(written["chat_id"])

    def _answers(self, act: Decide) -> Iterator[Say]:
        """Yield the answer to the bot's question, if its latest message asks for a confirmation."""
        records = self._records()
        if records and records[-1].is_from_me and asks(text_of(records[-1])):
            yield Say(YES) if act.yes else Say(NO, expects="anything", does="")

    def _found(self, act: Correct | Tap | VoteFor | PayRequest | Locate) -> tuple[str, Act[None]] | None:
        """Return the id of what an act is about, and the act on the emulator; None if there is nothing to do it with."""
        handle, records, state = self._visit.handle, self._records(), self._emulator.state
        own = [one for one in records if not one.is_from_me and not one.poll]
        heard = [one for one in records if one.is_from_me]
        polls = [(one.id, one.poll.options) for one in heard if one.poll]
        match act:
            case Correct(text=text) if own:
                return own[-1].id, Edit(from_=handle, message_id=own[-1].id, text=text)
            case Tap(reaction=reaction) if heard:
                kind, emoji = tapback(reaction)
                return heard[-1].id, React(from_=handle, message_id=heard[-1].id, type=kind, custom_emoji=emoji)
            case VoteFor(option=option) if polls:
                poll_id, options = polls[-1]
                chosen = options[option % len(options)]
                return poll_id, Vote(from_=handle, message_id=poll_id, option_id=chosen.id)
            case PayRequest(pays=pays):
                said, every = repr([one.parts for one in heard]), state.payment_requests.values()
                open_ = [each for each in every if each.status == "requested"]
                ids = [each.id for each in open_ if shapes.payable(each)["checkout_url"] in said]
                return (ids[-1], Pay(id=ids[-1]) if pays else Decline(id=ids[-1])) if ids else None
            case Locate(latitude=north, longitude=east) if records and self._visit.persona.service != "SMS":
                chat_id = records[-1].chat_id
                return chat_id, ShareLocation(from_=handle, chat_id=chat_id, latitude=north, longitude=east)
        return None

    def _chat_id(self) -> str | None:
        records = self._records()
        return records[-1].chat_id if records else None

    def _line(self) -> str:
        chat = self._emulator.state.chats.get(self._chat_id() or "")
        return chat.line if chat else self._emulator.declared.lines[0].phone_number

    # Faults

    async def _inject(self, fault: FaultName) -> None:
        if fault == "kill":
            await self._around.kill()
        else:
            self._pending.append(fault)

    def _add_pending(self, chat_id: str | None) -> None:
        """Add the faults of the bot's next message, now that the chat exists. The bot has not seen the message yet."""
        # Only the sending of messages: a read receipt would use a fault up.
        match = f"POST /v3/chats/{chat_id}/messages"
        for fault in self._pending:
            if (given := FAULTS_OF_SENDS.get(fault)) is not None:
                self._add(Fault(on="api", match=match, **given))
        self._pending.clear()

    def _add(self, fault: Fault) -> None:
        self._faults.append(self._emulator.world.faults.add(fault).id)

    def _clear_faults(self) -> None:
        for fault_id in self._faults:
            self._emulator.world.faults.remove(fault_id)
        self._faults.clear()
