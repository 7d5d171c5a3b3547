"""The parts of turns that a lease may concern: every backend says of a lease what its turn needs to know."""

from __future__ import annotations

from dataclasses import replace

from engine_turns import turns_of
from fakes import Linq
from storage.conftest import asked, delivery, leased
from storage.test_holds import HANDOFF, MUTE

from linqbot import Bot
from linqbot.clock import MovableClock
from linqbot.features.muted_chats import mute_chat, unmute_chats
from linqbot.linq.events.delivery import Joined
from linqbot.linq.events.lane import EVERY_CHAT
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Defer, Lease, Retry

TOOK = Joined(incoming=(({"n": 2},),))

ALWAYS = ("Lookups", "OptOuts")
MUTES, HANDOFFS = "Mutes", "Handoffs"
ASKS = "Asks"
CRASHES = "OptOutsAfterCrash"
RECEIPTS = "Receipts"
OVERLAPS = "Overlaps"
EDITS = "Edits"
NEW_CHATS = "NewChats"


async def test_every_special_delivery_concerns_its_parts(closed_storage: Storage, clock: MovableClock) -> None:
    found: dict[str, tuple[list[str], list[str]]] = {}

    async def note(what: str, lease: Lease, *special: str, end: bool = True) -> None:
        concerned = turns_of(Bot(), Linq(), closed_storage, clock).features.concerned(lease)
        parts = [each.name for each in concerned if each.name not in ALWAYS]
        found[what] = parts, list(special)
        if end:
            await closed_storage.finish(lease, Commit(Ack()))

    async with closed_storage as storage:
        first = await leased(storage, delivery("c:1"))
        await note("a message", first, end=False)
        await storage.finish(first, Commit(Retry(clock.now(), "ValueError")))
        await note("a failed one", await leased(storage), MUTES)
        await storage.finish(await leased(storage, delivery("c:1")), Commit(Defer(clock.now(), "away")))
        await note("a deferred one", await leased(storage), MUTES)
        for kind in ("message.sent", "message.delivered", "message.read", "message.failed"):
            await note(kind, await leased(storage, replace(delivery("r:1"), type=kind)), RECEIPTS)
        for kind in ("contact_card.received", "location.sharing.started"):
            await note(f"{kind} of no chat", await leased(storage, replace(delivery("e:1"), type=kind)), ASKS)
        for name in ("i.ask.w.1.0.1", "i.found.abc"):
            await note(name, await leased(storage, delivery("c:1", name=name)), ASKS)
        for name in ("i.send.1", "i.schedule.daily.1", "i.dead_letter.w.1.0", "i.doctor.1"):
            await note(name, await leased(storage, delivery("c:1", name=name)))
        for status in ("waiting", "failed", "timed_out"):
            lease = await leased(storage, delivery("c:2"))
            await storage.finish(lease, Commit(Ack(), conversations=[replace(asked("w.0", chat="2"), status=status)]))
            await note(f"one of a chat with a question that is {status}", await leased(storage, delivery("c:2")), ASKS)
            await note(f"one of a chat without, and one that is {status}", await leased(storage, delivery("c:3")))
        lease = await leased(storage, delivery("c:3", name="w.taken"))
        await storage.join(lease, lease.delivery.with_joined(TOOK), [])
        await storage.finish(lease, Commit(Retry(clock.now(), "ValueError")))
        again = await leased(storage)
        await note("a failed one that took messages", again, MUTES, OVERLAPS, end=False)
        await storage.finish(again, Commit(DeadLetter("ValueError")))
        await storage.retry(["w.taken"])
        await note("a dead letter that an operator puts back", await leased(storage), MUTES, OVERLAPS)
        await mute_chat(storage, replace(MUTE, chat_id="5"))
        await note("a message of a muted chat", await leased(storage, delivery("c:5")), MUTES)
        await note("one of another chat", await leased(storage, delivery("c:3")))
        await note("a send without a chat", await leased(storage, delivery("send:+1")), MUTES)
        post = replace(delivery("post:shop"), type="linqbot.post")
        await note("a post without a chat", await leased(storage, post), MUTES, NEW_CHATS)
        await mute_chat(storage, replace(MUTE, chat_id=EVERY_CHAT))
        await note("a message while all chats are muted", await leased(storage, delivery("c:3")), MUTES)
        await note("an event of no chat", await leased(storage, delivery("e:1")))
        await unmute_chats(storage, EVERY_CHAT)
        await mute_chat(storage, replace(MUTE, chat_id="5", handoff=HANDOFF))
        await note("a message of a chat that is handed over", await leased(storage, delivery("c:5")), MUTES, HANDOFFS)
        await note("one of another chat, perhaps of the owner", await leased(storage, delivery("c:3")), HANDOFFS)
        tapback = replace(delivery("c:3"), type="reaction.added")
        await note("a tapback of another chat", await leased(storage, tapback), HANDOFFS)
        edit = await leased(storage, replace(delivery("c:3"), type="message.edited"), delivery("c:3"))
        await note("an edit", edit, EDITS)
        await note("a message of its chat", await leased(storage), EDITS, HANDOFFS)
        await leased(storage, replace(delivery("c:4"), type="message.edited"))
    async with closed_storage as storage:
        await note("an edit that was leased when the process died", await leased(storage), EDITS, MUTES)
        await leased(storage, delivery("c:6"))
    async with closed_storage:
        await note("a message that was leased then", await leased(closed_storage), MUTES, HANDOFFS, CRASHES)
    assert {what: parts for what, parts in found.items() if parts[0] != parts[1]} == {}
