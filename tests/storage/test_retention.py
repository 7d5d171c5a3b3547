"""No row of a storage holds a text that is to be kept no longer, whatever the backend."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from storage.conftest import NOON, handle, leased, rows_of
from storages import open_storage

from linqbot.clock import MovableClock
from linqbot.events import Delivery
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import Ack, Commit, DeadLetter
from linqbot.storage.journal import JournalEntry
from linqbot.storage.timers import Timer

DAY_S = 24 * 3600.0
WORDS = "what a person has said"


async def with_words(url: str) -> set[str]:
    """Return the tables of which a row holds the words."""
    tables = (await rows_of(url)).items()
    return {table for table, rows in tables if any(WORDS in _text(value) for row in rows for value in row)}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def said(name: str, *, is_private: bool) -> Delivery:
    data = {"zero_retention": is_private, "parts": [{"type": "text", "value": WORDS}]}
    return Delivery(name, f"c:{name}", "message.received", json.dumps({"data": data}).encode(), NOON)


def sent(turn: str, *, is_private: bool) -> JournalEntry:
    call = {"verb": "send", "body": {"message": {"parts": [{"type": "text", "value": WORDS}]}}}
    answer = json.dumps({"message": call["body"]}).encode()
    made = json.dumps(call).encode()
    return JournalEntry(turn, 0, "0", f"key-{turn}", "keyed", made, "accepted", NOON, answer, off_the_record=is_private)


async def test_texts_off_the_record_leave_all_tables_with_the_ack(url: str, clock: MovableClock) -> None:
    async with open_storage(url, clock=clock, keep_days=3) as storage:
        ended = await leased(storage, said("w.private", is_private=True))
        entry = sent("w.private", is_private=True)
        await storage.begin(entry, ended)
        assert await with_words(url) == {"delivery", "journal"}
        await storage.settle(replace(entry, message_id="m0"))
        assert await with_words(url) == {"delivery"}, "the turn may yet be given up, and then it has no ack"
        late = replace(entry, slot="1", key="late", message_id="m1", off_the_record=False)
        await storage.finish(ended, Commit(Ack(), [late], off_the_record=True))
        assert await with_words(url) == set()
        assert [each.message_id for each in await storage.entries("w.private")] == ["m0", "m1"]


@pytest.mark.parametrize("result", [WORDS, [WORDS], {"reason": WORDS}])
async def test_the_result_of_a_step_leaves_with_its_turn(url: str, clock: MovableClock, result: object) -> None:
    async with open_storage(url, clock=clock) as storage:
        for is_private in (True, False):
            turn = await leased(storage, said(f"w.{is_private}", is_private=is_private))
            step = replace(
                sent(f"w.{is_private}", is_private=is_private), safety="step", answer=json.dumps(result).encode()
            )
            await storage.begin(step, turn)
            await storage.finish(turn, Commit(Ack(), [step], off_the_record=is_private))
            clock.advance(0 if is_private else 61)
            await storage.check()
            assert await with_words(url) == set()


async def test_history_is_deleted_with_the_first_write_after_its_days(url: str, clock: MovableClock) -> None:
    async with open_storage(url, clock=clock, keep_days=3) as storage:
        entry = sent("w.public", is_private=False)
        await handle(storage, said("w.public", is_private=False), commit=Commit(Ack(), [entry]))
        assert await with_words(url) == {"done", "journal"}
        clock.advance(2.9 * DAY_S)
        await storage.put(said("w.later", is_private=False))
        assert await with_words(url) == {"delivery", "done", "journal"}
        await storage.finish(await leased(storage), Commit(DeadLetter("no handler")))
        assert await storage.purge(before=clock.now() + 1) == 1
        clock.advance(0.2 * DAY_S)
        await storage.check()
        assert await with_words(url) == set()
        assert [each.status for each in await storage.entries("w.public")] == ["accepted"]


async def test_a_text_that_waits_leaves_with_what_ends_the_wait(url: str, clock: MovableClock) -> None:
    async with open_storage(url, clock=clock) as storage:
        payload = json.dumps({"calls": WORDS}).encode()
        await storage.schedule(Timer("t-1", NOON + 60, "c:1", "send", payload))
        await storage.start_broadcast(NewBroadcast("july", "+1", 20, payload, NOON), ["+2"])
        asked = Conversation("w.1", 0, "1", "+1", "bot:form", "waiting", NOON, NOON + 60, payload, root=payload)
        await handle(storage, said("w.1", is_private=False), commit=Commit(Ack(), conversations=[asked]))
        assert await with_words(url) == {"timer", "broadcast", "conversation"}
        await storage.cancel("t-1")
        await handle(storage, said("w.2", is_private=False), commit=Commit(Ack(), ended=["w.1"]))
        await storage.order_broadcast("july", "cancel")
        await storage.fire(clock.now())
        assert await with_words(url) == set()
