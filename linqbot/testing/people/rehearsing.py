"""`rehearse`: lets simulated people talk to a bot in a test, and returns the rules that were broken."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Final

from linqbot.storage.inbox import DeadDelivery
from linqbot.testing.people.actor import perform
from linqbot.testing.people.checks import GivenUp, Violation, violations
from linqbot.testing.people.persona import Persona, Visit
from linqbot.testing.phone import Phone
from linqbot.testing.stage.record import HandlerFailed, NothingCame

PATIENCE_S: Final = 60.0
"""Emulated seconds: a failing handler has been run five times by then."""


async def rehearse(
    phone: Phone,
    *people: Persona | Iterable[Persona],
    secrets: Collection[str] = (),
    patience_s: float = PATIENCE_S,
) -> list[Violation]:
    """Let people talk to the bot, one after the other, and return the rules that the bot has broken.

    The first person has the handle of the phone. Exceptions of handlers are no violations as such: a turn that fails
    runs again, and the person who gets no answer is reported.

    Example: `assert await rehearse(phone, Persona("Ann", [Say("hi")])) == []`

    Args:
        people: The people, each with a conversation of their own. An endless script never ends here.
        secrets: Values that no message may contain.
        patience_s: Emulated seconds for which a person waits for an answer.
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
        visits.append(await perform(persona, handle, around))
    await around.settled("")
    given_up: list[GivenUp] = []
    with suppress(NothingCame):  # a handler that never ends has not been given up
        given_up += [_given_up(dead) for dead in await phone.dead_letters()]
    return violations(visits, phone.emulator, secrets=secrets, given_up=given_up)


def _given_up(dead: DeadDelivery) -> GivenUp:
    delivery = dead.delivery
    return GivenUp.of(
        lane=delivery.lane,
        event_type=delivery.type,
        received_at=delivery.received_at,
        error=dead.error,
        handler=dead.handler,
    )


def handle_of(number: int) -> str:
    """Return the handle of a simulated person by number."""
    return f"+1415556{number:04}"


class _InTest:
    """A bot in the same process, on a clock that stands still: see `Surroundings`."""

    look_every_s = 1.0
    is_over = False

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
