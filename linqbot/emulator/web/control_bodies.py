"""The bodies of the control API that are not acts: faults, clock, webhooks again, and reset."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from linqbot.emulator.acts.conversation import Body, parsed_time
from linqbot.emulator.emulator import BotRunner, Emulator
from linqbot.emulator.model.answers import conflict, invalid
from linqbot.emulator.model.documents import iso
from linqbot.emulator.model.faults import Fault, NewFault


class OnEmulator(Body, ABC):
    """A body that is performed on the emulator and on the program that runs the bot, if there is one."""

    @abstractmethod
    async def perform(self, emulator: Emulator) -> Mapping[str, Any] | None:
        """Do it, and return the answer; None is an empty object.

        Raises:
            ApiError: it is not possible now.
        """


class AddFault(NewFault, OnEmulator):
    """Make the next matching calls, deliveries, messages or chat changes go wrong. The answer has the fault's `id`."""

    async def perform(self, emulator: Emulator) -> dict[str, Any]:
        return {"id": emulator.world.faults.add(Fault(**self.model_dump())).id}


class SetClock(OnEmulator):
    """Stop the clock, let it run, or move it forward. What is due by then happens.

    The answer has the time as `now`. Under `linqbot dev` the bot's clock moves along: the clocks stop at each time at which
    something is due, and go on when the bot has handled it. If that takes too long, the clocks stay at the time that they
    have reached, and the answer says why as `stopped`. Otherwise `stopped` is null.
    """

    freeze: bool | None = Field(None, description="true stops the clock, false lets it run.")
    advance_s: Annotated[float, Field(ge=0, le=10**9)] | None = Field(None, description="Seconds to move forward.")
    to: str | None = Field(None, description="ISO 8601. Move forward to this time, in place of `advance_s`.")

    async def perform(self, emulator: Emulator) -> dict[str, Any]:
        to, now = parsed_time(self.to), emulator.clock.now()
        if to is None:
            to = now + (self.advance_s or 0.0)
        elif self.advance_s is not None:
            raise invalid("Give either `to` or `advance_s`.")
        elif to < now:
            raise invalid(
                f"The clock moves only forward, and shows {iso(now)}. To return to real time, reset the emulator."
            )
        if self.freeze is not None:
            emulator.freeze(frozen=self.freeze)
        if emulator.runner is None:
            emulator.advance(max(0.0, to - emulator.clock.now()))
            stopped = None
        else:
            if self.freeze is not None:
                await emulator.runner.follow_clock()
            ahead_s = emulator.clock.ahead_s
            stopped = await emulator.runner.move_to(to)
            if self.advance_s and stopped is None and not emulator.clock.is_frozen:
                # The move took some of that time itself.
                left_s = self.advance_s - (emulator.clock.ahead_s - ahead_s)
                stopped = await emulator.runner.move_to(emulator.clock.now() + left_s)
        return {"now": iso(emulator.clock.now()), "stopped": stopped}


def _event_of(emulator: Emulator, message_id: str) -> str:
    event_id = emulator.world.deliveries.event_of(emulator.state.message(message_id).id)
    if event_id is None:
        raise conflict("The emulator does not know a webhook of this message. Write the message again.")
    return event_id


def _runner(emulator: Emulator) -> BotRunner:
    if emulator.runner is None:
        raise conflict("This emulator does not run the bot. Start both with linqbot dev.")
    return emulator.runner


class DeliverAgain(OnEmulator):
    """Deliver the webhook of a person's message again, as Linq does when an answer was lost.

    It has the same bytes and the same id, so a bot that has stored it recognises a duplicate and does nothing.
    """

    message_id: str

    async def perform(self, emulator: Emulator) -> None:
        emulator.world.deliveries.replay(_event_of(emulator, self.message_id))


class RunAgain(OnEmulator):
    """Let the bot handle a message of a person again, although it has handled it: everything is sent again.

    Unlike `/deliver-again`, after which the bot does nothing. Only under `linqbot dev`; otherwise 409.
    """

    message_id: str

    async def perform(self, emulator: Emulator) -> None:
        await _runner(emulator).run_again(_event_of(emulator, self.message_id))


class Restart(OnEmulator):
    """Return to the state before a message of a person, and write the message again. The answer has its new ids.

    The emulator, the bot's storage and both clocks return to that state, and the bot is started again. What the bot keeps
    elsewhere, such as in a database of its own, stays as it is. Only under `linqbot dev`, for the latest 20 messages;
    otherwise 409.
    """

    message_id: str

    async def perform(self, emulator: Emulator) -> Mapping[str, Any]:
        return await _runner(emulator).restart_from(self.message_id)


class Reset(Body):
    """Start again with two healthy lines and no chats, or with a saved state. The body may be left out."""

    seed: dict[str, Any] | None = Field(None, description="A state in the shape that the emulator saves.")
