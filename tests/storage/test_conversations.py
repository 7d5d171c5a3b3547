"""The contract of conversations, with every backend."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from storage.conftest import asked, delivery, entry, handle, leased, opening, passes

from linqbot.clock import MovableClock
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ENDED_KEPT_S, NEW_CHAT, Conversation
from linqbot.storage.inbox import Ack, Commit, DeadLetter
from linqbot.storage.journal import ENTRIES_KEPT_S, JournalEntry
from linqbot.storage.sqlite.storage import SQLiteStorage


async def ask(storage: Storage, asks: Conversation, *entries: JournalEntry) -> None:
    """Let the turn of a delivery end with a question that waits."""
    await handle(storage, delivery(name=asks.id), commit=Commit(Ack(), [*entries], conversations=[asks]))


async def test_a_conversation_is_read_together_with_its_journal(storage: Storage) -> None:
    await ask(storage, asked(), entry("w.root"), entry("w.other"))
    assert await storage.conversation("w.root") == (asked(), [entry("w.root")])
    assert await storage.conversation("w.other") is None


async def test_one_person_has_one_conversation_in_a_chat_and_another_in_another(storage: Storage) -> None:
    first, second = asked("w.1"), asked("w.2")
    elsewhere, other = asked("w.3", chat="2"), asked("w.4", person="*")
    for each in (first, second, elsewhere, other):
        await ask(storage, each)
    assert set(storage.conversations_in("1")) == {second.summary, other.summary}
    assert await storage.conversation("w.1") is None
    assert len(await storage.conversations()) == 3
    assert {each.id for each in await storage.conversations(chat_id="1")} == {"w.2", "w.4"}
    assert [each.id for each in await storage.conversations(chat_id="1", limit=1)] == ["w.2"]
    assert await storage.conversations(chat_id="none") == []


async def test_a_conversation_that_ends_in_the_commit_that_stores_it_is_forgotten(storage: Storage) -> None:
    stores = await leased(storage, delivery("c:1", name="w.1"))
    ends = await leased(storage, delivery("c:2", name="w.2"))
    await asyncio.gather(
        storage.finish(stores, Commit(Ack(), conversations=[asked("w.1")])),
        storage.finish(ends, Commit(Ack(), ended=["w.1"])),
    )
    assert (await storage.conversations(), storage.conversations_in("1")) == ([], ())


async def test_a_turn_that_opens_a_chat_is_noted_until_its_commit_and_is_no_question(closed_storage: Storage) -> None:
    first, second = opening("w.1"), opening("w.2")
    async with closed_storage as storage:
        for row in (first, opening("w.3", person="+2 +9"), second, second):
            await storage.note_opening(row)
        assert {each.id for each in storage.conversations_in(NEW_CHAT)} == {"i.new_chat.w.2", "i.new_chat.w.3"}
        assert (await storage.conversations(), await storage.waiting_by_handler()) == ([], {})
        assert await storage.conversations(chat_id=NEW_CHAT) == []
    async with closed_storage as storage:
        assert second.summary in storage.conversations_in(NEW_CHAT)
        await handle(storage, delivery(name="w.2"), commit=Commit(Ack(), ended=[second.id], conversations=[asked()]))
        assert [each.id for each in storage.conversations_in(NEW_CHAT)] == ["i.new_chat.w.3"]
        assert [each.id for each in storage.conversations_in("1")] == ["w.root"]


async def test_conversations_survive_a_restart(closed_storage: Storage) -> None:
    async with closed_storage as storage:
        await ask(storage, asked())
    async with closed_storage as storage:
        assert storage.conversations_in("1") == (asked().summary,)
        assert await storage.conversation("w.root") == (asked(), [])


async def test_the_journal_of_a_conversation_is_kept_until_it_ends(storage: Storage, clock: MovableClock) -> None:
    question = replace(entry("w.root", "ask:1"), safety="ask")
    answered = replace(question, status="accepted", answer=b'{"text":"Ada"}')
    await ask(storage, asked(), question)
    clock.advance(2 * ENTRIES_KEPT_S)
    await handle(storage, delivery(), commit=Commit(Ack(), [answered], conversations=[asked()]))
    await passes(2 * ENTRIES_KEPT_S, storage, clock)
    assert await storage.conversation("w.root") == (asked(), [answered])
    clock.advance(62)
    await storage.finish(await leased(storage), Commit(Ack(), ended=["w.root"]))
    await passes(62, storage, clock)
    (left,) = await storage.entries("w.root")
    assert b"Ada" not in (left.answer or b"")
    await passes(ENTRIES_KEPT_S, storage, clock)
    assert await storage.entries("w.root") == []


async def test_an_event_for_no_handler_leaves_the_conversations_journal(storage: Storage, clock: MovableClock) -> None:
    sent = entry("w.root", status="accepted", answer=b'{"message":{"id":"msg"}}', message_id="msg")
    await ask(storage, asked(), sent)
    by_middleware = entry("w.root", "1", status="accepted", answer=b"{}", message_id="note")
    await handle(storage, delivery(), commit=Commit(Ack(), [by_middleware]))
    await passes(2 * ENTRIES_KEPT_S, storage, clock)
    assert await storage.conversation("w.root") == (asked(), [sent, by_middleware])


async def test_a_timed_out_conversation_is_kept_for_a_day(storage: Storage, clock: MovableClock) -> None:
    late = replace(asked(root=b""), status="timed_out")
    await ask(storage, late)
    await passes(60 + ENDED_KEPT_S - 1, storage, clock)
    assert storage.conversations_in("1") == (late.summary,)
    await passes(62, storage, clock)
    assert (storage.conversations_in("1"), await storage.conversations()) == ((), [])


async def test_a_conversation_fails_with_the_dead_letter_of_its_answer(storage: Storage, clock: MovableClock) -> None:
    await ask(storage, asked())
    failed = replace(asked(), status="failed")
    dead = Commit(DeadLetter("Boom"), [entry("w.root")], conversations=[failed])
    await handle(storage, delivery(), commit=dead)
    assert storage.conversations_in("1") == (failed.summary,)
    await passes(2 * ENTRIES_KEPT_S, storage, clock)
    assert await storage.conversation("w.root") == (failed, [entry("w.root")])


async def test_a_forgotten_person_leaves_no_conversation(storage: Storage) -> None:
    root = b'{"sender":{"handle":"+14155550142"},"chat":{"id":"1","is_group":true}}'
    await ask(storage, asked(root=root), replace(entry("w.root"), safety="ask"))
    forgotten = await storage.forget("+14155550142")
    assert (forgotten.rows["conversation"], forgotten.rows["journal"]) == (1, 1)
    assert (storage.conversations_in("1"), await storage.conversations()) == ((), [])
    assert await storage.entries("w.root") == []


async def test_a_conversation_that_another_process_ends_is_gone_here_too(path: Path, clock: MovableClock) -> None:
    async with SQLiteStorage(path, clock=clock) as served:
        await ask(served, asked(root=b'"+2"'))
        async with SQLiteStorage(path, clock=clock, serving=False) as command:
            assert await command.conversations() == [replace(asked(), root=b"")]
            await command.forget("+2")
        await served.put(delivery())
        assert served.conversations_in("1") == ()


async def test_a_failed_conversation_stays_next_to_a_newer_one_with_the_same_person(storage: Storage) -> None:
    failed = replace(asked("w.old"), status="failed")
    for name, conversation in (("w.1", failed), ("w.2", asked("w.new")), ("w.3", asked("w.newer")), ("w.4", failed)):
        await handle(storage, delivery(name=name), commit=Commit(Ack(), conversations=[conversation]))
    assert {each.id for each in storage.conversations_in("1")} == {"w.old", "w.newer"}
    assert await storage.conversation("w.old") == (failed, [])
    await handle(storage, delivery(), commit=Commit(Ack(), ended=["w.old"]))
    assert [each.id for each in await storage.conversations()] == ["w.newer"]
