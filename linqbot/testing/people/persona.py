"""A simulated person: a name, the service of the phone, and a script of acts or a function that chooses them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from linqbot.emulator.emulator import Emulator
from linqbot.emulator.model.records import MessageRecord
from linqbot.testing.bubble import Bubble
from linqbot.testing.people.acts import PersonAct
from linqbot.testing.phone import Service


class Dialogue:
    """A conversation so far, as the person's phone shows it.

    Args:
        emulator: The emulator.
        handle: The person's handle.
    """

    def __init__(self, emulator: Emulator, handle: str) -> None:
        self._emulator = emulator
        self.handle = handle

    @property
    def messages(self) -> list[Bubble]:
        """All messages of both sides, oldest first. `from_bot` says who wrote one."""
        return [Bubble(record) for record in records_of(self._emulator, self.handle)]

    @property
    def text(self) -> str:
        """The conversation as text, one message on a line: `me: …` for the person, `bot: …` for the bot."""
        return "\n".join(f"{'bot' if one.from_bot else 'me'}: {one}" for one in self.messages)


def records_of(emulator: Emulator, handle: str) -> list[MessageRecord]:
    """Return the emulator's records of all messages in direct chats with a person, oldest first."""
    people = {handle}
    chats = [chat for chat in emulator.state.chats.values() if not chat.is_group and chat.people == people]
    return sorted((message for chat in chats for message in chat.messages), key=lambda one: one.seq)


Chooser: TypeAlias = Callable[[Dialogue], Awaitable[PersonAct | None]]
"""Chooses the next act, after the bot has finished what it did about the last one. None ends the conversation."""


@dataclass(frozen=True, slots=True, eq=False)
class Persona:
    """A simulated person.

    Args:
        name: The name in reports, such as `impatient 7`.
        script: The acts in their order, or an async function that chooses the next one, such as a call of a language
            model. An iterator is used up by one conversation.
        service: The service of the phone.
    """

    name: str
    script: Iterable[PersonAct] | Chooser
    service: Service = "iMessage"


async def acts_of(persona: Persona, dialogue: Dialogue) -> AsyncIterator[PersonAct]:
    """Yield the acts of a person, one after the other."""
    if callable(persona.script):
        while (act := await persona.script(dialogue)) is not None:
            yield act
    else:
        for act in persona.script:
            yield act
