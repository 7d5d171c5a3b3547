"""The part of the control API that concerns the bot too, if a program runs it next to the emulator: see `runner.py`.

Clock, reset and messages work without such a program as well, on the emulator alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linqbot.emulator.acts.conversation import Write, parsed_time
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.model.answers import conflict, invalid
from linqbot.emulator.model.records import iso
from linqbot.emulator.runner import BotRunner
from linqbot.emulator.web.control_bodies import DeliverAgain, Restart, RunAgain, SetClock


async def write(emulator: Emulator, body: Write) -> Mapping[str, Any]:
    """Write a message; with a runner, so that it can be restarted from."""
    return emulator.do(body) if emulator.runner is None else await emulator.runner.write(body)


async def set_clock(emulator: Emulator, body: SetClock) -> dict[str, Any]:
    """Stop, run or move the clock, and return the time.

    Raises:
        ApiError: 400, the time lies in the past, or both `to` and `advance_s` are given.
    """
    to, now = parsed_time(body.to), emulator.clock.now()
    if to is None:
        to = now + (body.advance_s or 0.0)
    elif body.advance_s is not None:
        raise invalid("Give either `to` or `advance_s`.")
    elif to < now:
        raise invalid(
            f"The clock moves only forward, and shows {iso(now)}. To return to real time, reset the emulator."
        )
    if body.freeze is not None:
        emulator.freeze(frozen=body.freeze)
    if emulator.runner is None:
        emulator.advance(max(0.0, to - emulator.clock.now()))
        stopped = None
    else:
        if body.freeze is not None:
            await emulator.runner.follow_clock()
        ahead_s = emulator.clock.ahead_s
        stopped = (await emulator.runner.move_to(to)).stopped
        if body.advance_s and stopped is None and not emulator.clock.is_frozen:
            # The move took some of that time itself.
            left_s = body.advance_s - (emulator.clock.ahead_s - ahead_s)
            stopped = (await emulator.runner.move_to(emulator.clock.now() + left_s)).stopped
    return {"now": iso(emulator.clock.now()), "stopped": stopped}


def deliver_again(emulator: Emulator, body: DeliverAgain) -> None:
    """Deliver the event of a message again.

    Raises:
        ApiError: 404, there is no such message; 409, its event is no longer known.
    """
    emulator.world.deliveries.replay(_event_of(emulator, body.message_id))


async def run_again(emulator: Emulator, body: RunAgain) -> None:
    """Let the bot handle the event of a message again.

    Raises:
        ApiError: 409, see `_runner` and `_event_of`; or the bot does not know the event.
    """
    await _runner(emulator).run_again(_event_of(emulator, body.message_id))


async def restart(emulator: Emulator, body: Restart) -> Mapping[str, Any]:
    """Return emulator and bot to the state before a message, and write it again.

    Raises:
        ApiError: 409, see `_runner`; or the message is too old.
    """
    return await _runner(emulator).restart_from(body.message_id)


def _event_of(emulator: Emulator, message_id: str) -> str:
    """Return the id of the event of a message.

    Raises:
        ApiError: 404, there is no such message; 409, its event is no longer known, or no subscription had it.
    """
    event_id = emulator.world.deliveries.event_of(emulator.state.message(message_id).id)
    if event_id is None:
        raise conflict("The emulator does not know a webhook of this message. Write the message again.")
    return event_id


def _runner(emulator: Emulator) -> BotRunner:
    """Return the runner.

    Raises:
        ApiError: 409, there is none.
    """
    if emulator.runner is None:
        raise conflict("This emulator does not run the bot. Start both with linqbot dev.")
    return emulator.runner
