"""The marks of leases: every backend says of a lease what its turn needs to know."""

from __future__ import annotations

from dataclasses import replace

from storage.conftest import asked, delivery, leased

from linqbot.clock import MovableClock
from linqbot.engine.turn import ASKED, CRASHED, RAN, RECEIPT, TAKEN
from linqbot.features.catalog import marks_of
from linqbot.linq.events.delivery import Joined
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Defer, Lease, Retry

TOOK = Joined(incoming=(({"n": 2},),))


async def test_every_special_delivery_has_its_marks(closed_storage: Storage, clock: MovableClock) -> None:
    found: dict[str, tuple[int, int]] = {}

    async def note(what: str, lease: Lease, marks: int, *, end: bool = True) -> None:
        found[what] = marks_of(lease, closed_storage), marks
        if end:
            await closed_storage.finish(lease, Commit(Ack()))

    async with closed_storage as storage:
        first = await leased(storage, delivery("c:1"))
        await note("a message", first, 0, end=False)
        await storage.finish(first, Commit(Retry(clock.now(), "ValueError")))
        await note("a failed one", await leased(storage), RAN)
        await storage.finish(await leased(storage, delivery("c:1")), Commit(Defer(clock.now(), "away")))
        await note("a deferred one", await leased(storage), RAN)
        for kind in ("message.sent", "message.delivered", "message.read", "message.failed"):
            await note(kind, await leased(storage, replace(delivery("r:1"), type=kind)), RECEIPT)
        for kind in ("contact_card.received", "location.sharing.started"):
            await note(f"{kind} of no chat", await leased(storage, replace(delivery("e:1"), type=kind)), ASKED)
        for name in ("i.ask.w.1.0.1", "i.found.abc"):
            await note(name, await leased(storage, delivery("c:1", name=name)), ASKED)
        for name in ("i.send.1", "i.schedule.daily.1", "i.dead_letter.w.1.0", "i.doctor.1"):
            await note(name, await leased(storage, delivery("c:1", name=name)), 0)
        for status in ("waiting", "failed", "timed_out"):
            lease = await leased(storage, delivery("c:2"))
            await storage.finish(lease, Commit(Ack(), conversations=[replace(asked("w.0", chat="2"), status=status)]))
            await note(
                f"a message of a chat with a question that is {status}", await leased(storage, delivery("c:2")), ASKED
            )
            await note(f"one of a chat without, and one that is {status}", await leased(storage, delivery("c:3")), 0)
        lease = await leased(storage, delivery("c:3", name="w.taken"))
        await storage.join(lease, lease.delivery.with_joined(TOOK), [])
        await storage.finish(lease, Commit(Retry(clock.now(), "ValueError")))
        again = await leased(storage)
        await note("a failed one that took messages", again, RAN | TAKEN, end=False)
        await storage.finish(again, Commit(DeadLetter("ValueError")))
        await storage.retry(["w.taken"])
        await note("a dead letter that an operator puts back", await leased(storage), RAN | TAKEN)
        await leased(storage, delivery("c:4"))
    async with closed_storage:
        await note("one that was leased when the process died", await leased(closed_storage), RAN | CRASHED)
    assert {what: marks for what, marks in found.items() if marks[0] != marks[1]} == {}
