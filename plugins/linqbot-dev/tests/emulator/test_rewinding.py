"""Returning the emulator to an earlier state, and what comes back."""

from __future__ import annotations

import base64
from collections.abc import Callable

from linqbot_dev.emulator.acts.conversation import Write
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model.faults import Fault

from emulator.conftest import LINE, PERSON, Receiver, passes, say
from linqbot.clock import MovableClock


def write(emulator: Emulator, text: str) -> str:
    return str(say(emulator, text)["message_id"])


def back_to_now(emulator: Emulator) -> Callable[[], None]:
    """Return the way back for a receiver that has stored all that was delivered."""
    return emulator.rewinder(stored_until=emulator.clock.now() + 1)


async def test_messages_files_faults_and_records_return(emulator: Emulator) -> None:
    photo = {"type": "media", "filename": "a.png", "data_base64": base64.b64encode(b"\x89PNG").decode()}
    emulator.do(Write(from_=PERSON, to=LINE, parts=[photo]))
    emulator.world.faults.add(Fault(on="api", status=500, times=2))
    emulator.observe({"kind": "turn", "event_id": "1"})
    rewind = back_to_now(emulator)
    write(emulator, "later")
    emulator.world.faults.take("api", "GET /v3/chats")
    emulator.observe({"kind": "turn", "event_id": "2"})
    rewind()
    (chat,) = emulator.state.chats.values()
    assert len(chat.messages) == 1
    assert [one.content for one in emulator.state.attachments.values()] == [b"\x89PNG"]
    assert [fault.times for fault in emulator.world.faults.active] == [2]
    assert [one["event_id"] for one in emulator.observations] == ["1"]
    rewind()
    assert [fault.times for fault in emulator.world.faults.active] == [2]


async def test_a_moved_clock_returns(receiver: Receiver) -> None:
    async with Emulator(clock=MovableClock(), delivery_transport=receiver) as emulator:
        rewind = back_to_now(emulator)
        emulator.advance(86_400)
        rewind()
        assert emulator.clock.ahead_s == 0


async def test_only_what_was_not_delivered_is_delivered_again(emulator: Emulator, hook: Receiver) -> None:
    write(emulator, "delivered")
    await emulator.flush()
    hook.answers = [500]
    write(emulator, "refused")
    await emulator.flush()
    rewind = back_to_now(emulator)
    await passes(emulator, 5)
    write(emulator, "later")
    await emulator.flush()
    hook.clear()
    rewind()
    await emulator.flush()
    assert [event["data"]["parts"][0]["value"] for event in hook.events] == ["refused"]


async def test_what_came_while_the_storage_was_copied_is_delivered_again(emulator: Emulator, hook: Receiver) -> None:
    stored_until = emulator.clock.now()
    write(emulator, "hi")
    await emulator.flush()
    rewind = emulator.rewinder(stored_until=stored_until)
    rewind()
    await emulator.flush()
    first, again = hook.requests
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
