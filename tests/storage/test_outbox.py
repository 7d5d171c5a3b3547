"""The outbox's contract, over every backend."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

import pytest

from linqbot.clock import MovableClock
from linqbot.errors import LeaseLost, StorageError
from linqbot.events.delivery import Delivery
from linqbot.storage.backend import Storage
from linqbot.storage.inbox import Ack, Bury, Finish, Lease, Park
from linqbot.storage.outbox import EFFECTS_KEPT_S, Effect

pytestmark = pytest.mark.anyio

MakeDelivery = Callable[..., Delivery]
MakeEffect = Callable[..., Effect]


async def turn(storage: Storage, delivery: Delivery) -> Lease:
    await storage.put(delivery)
    (lease,) = await storage.take(1, lease_s=60)
    return lease


async def test_effects_come_back_in_the_order_they_were_begun(storage: Storage, effect: MakeEffect) -> None:
    begun = [effect("w.1", slot) for slot in ("0", "10", "2", "thanks")]
    for one in begun:
        await storage.begin(one)
    await storage.begin(effect("w.1", run=1))
    await storage.begin(effect("w.2"))
    assert await storage.effects("w.1") == begun
    assert await storage.effects("w.1", 1) == [effect("w.1", run=1)]
    assert await storage.effects("w.3") == []


async def test_beginning_again_keeps_what_is_on_record(storage: Storage, effect: MakeEffect) -> None:
    first = effect("w.1", call=b'{"text":"as first said"}')
    await storage.begin(first)
    await storage.begin(first)
    await storage.begin(effect("w.1", call=b'{"text":"said otherwise"}', key="lb.other"))
    assert await storage.effects("w.1") == [first]


async def test_beginning_again_does_not_undo_an_outcome(storage: Storage, effect: MakeEffect) -> None:
    accepted = effect("w.1", status="accepted", answer=b"{}", message_id="msg")
    await storage.begin(effect("w.1"))
    await storage.settle(accepted)
    await storage.begin(effect("w.1"))
    assert await storage.effects("w.1") == [accepted]


async def test_no_two_effects_share_a_key(storage: Storage, effect: MakeEffect) -> None:
    await storage.begin(effect("w.1", key="lb.same"))
    with pytest.raises(StorageError):
        await storage.begin(effect("w.2", key="lb.same"))
    assert await storage.effects("w.2") == []


async def test_a_refused_effect_does_not_fail_those_begun_with_it(storage: Storage, effect: MakeEffect) -> None:
    await storage.begin(effect("w.0", key="lb.same"))
    keys = ["lb.same" if n == 3 else None for n in range(8)]
    begun = (storage.begin(effect(f"w.{n + 1}", key=key)) for n, key in enumerate(keys))
    outcomes = await asyncio.gather(*begun, return_exceptions=True)
    assert [isinstance(outcome, StorageError) for outcome in outcomes] == [n == 3 for n in range(8)]
    assert [len(await storage.effects(f"w.{n + 1}")) for n in range(8)] == [1, 1, 1, 0, 1, 1, 1, 1]


async def test_settle_is_kept_whatever_becomes_of_the_turn(storage: Storage, effect: MakeEffect) -> None:
    await storage.begin(effect("w.1"))
    settled = effect("w.1", status="ambiguous")
    await storage.settle(settled)
    assert await storage.effects("w.1") == [settled]


async def test_finish_replaces_effects_and_keeps_their_order(
    storage: Storage, delivery: MakeDelivery, effect: MakeEffect
) -> None:
    lease = await turn(storage, delivery(name="w.1"))
    for slot in "01":
        await storage.begin(effect("w.1", slot))
    first = effect("w.1", "0", status="accepted", answer=b'{"id":1}', message_id="msg", call=b"{}")
    second = effect("w.1", "1", status="refused", answer=b'{"code":2024}')
    never_begun = effect("w.1", "2", status="dropped")
    await storage.finish(lease, Finish(Ack(), effects=[second, never_begun, first]))
    assert await storage.effects("w.1") == [first, second, never_begun]


async def test_effects_of_a_lost_lease_are_not_written(
    storage: Storage, delivery: MakeDelivery, effect: MakeEffect, clock: MovableClock
) -> None:
    old = await turn(storage, delivery(name="w.1"))
    clock.advance(60)
    await storage.take(1, lease_s=60)
    with pytest.raises(LeaseLost):
        await storage.finish(old, Finish(Ack(), effects=[effect("w.1", status="accepted")]))
    assert await storage.effects("w.1") == []


async def test_effects_are_kept_a_week_after_their_turn_and_then_forgotten(
    storage: Storage, delivery: MakeDelivery, effect: MakeEffect, clock: MovableClock
) -> None:
    lease = await turn(storage, delivery(name="w.1"))
    await storage.begin(effect("w.1"))
    await storage.begin(effect("w.1", "once"))
    clock.advance(2 * EFFECTS_KEPT_S)
    await storage.finish(lease, Finish(Ack(), effects=[effect("w.1", status="accepted")]))
    clock.advance(EFFECTS_KEPT_S - 1)
    await storage.put(delivery())
    assert len(await storage.effects("w.1")) == 2
    clock.advance(62)
    await storage.put(delivery())
    assert await storage.effects("w.1") == []
    await storage.begin(effect("w.2", key="lb.w.1.0.0"))


async def test_effects_of_a_turn_that_goes_on_are_kept_a_week_after_its_last_delivery(
    storage: Storage, delivery: MakeDelivery, effect: MakeEffect, clock: MovableClock
) -> None:
    lease = await turn(storage, delivery("c:1", name="w.root"))
    await storage.finish(lease, Finish(Ack(), effects=[effect("w.root", "question")]))
    other = await turn(storage, delivery("c:2", name="w.other"))
    await storage.finish(other, Finish(Ack(), effects=[effect("w.other")]))
    clock.advance(EFFECTS_KEPT_S - 1)
    lease = await turn(storage, delivery("c:1", name="w.answer"))
    await storage.finish(lease, Finish(Ack(), effects=[effect("w.root", "thanks")]))
    clock.advance(EFFECTS_KEPT_S - 1)
    await storage.put(delivery())
    await storage.put(delivery())
    assert [one.slot for one in await storage.effects("w.root")] == ["question", "thanks"]
    assert await storage.effects("w.other") == []


async def test_effects_of_parked_and_buried_turns_are_never_forgotten(
    storage: Storage, delivery: MakeDelivery, effect: MakeEffect, clock: MovableClock
) -> None:
    for name, outcome in (("w.1", Park(at=clock.now(), reason="away")), ("w.2", Bury(error="Boom"))):
        await storage.begin(effect(name))
        lease = await turn(storage, delivery(name, name=name))
        await storage.finish(lease, Finish(outcome, effects=[effect(name, status="accepted")]))
    clock.advance(10 * EFFECTS_KEPT_S)
    await storage.put(delivery())
    await storage.put(delivery())
    assert len(await storage.effects("w.1")) == 1
    assert len(await storage.effects("w.2")) == 1


async def test_effects_survive_a_restart(closed_storage: Storage, effect: MakeEffect) -> None:
    made = dataclasses.replace(effect("w.1", status="accepted", answer=b"\x00{}"), chat_id="chat")
    async with closed_storage as storage:
        await storage.begin(effect("w.1"))
        await storage.settle(made)
    async with closed_storage as storage:
        assert await storage.effects("w.1") == [made]


async def test_a_message_we_made_is_known_as_ours(storage: Storage, delivery: MakeDelivery, effect: MakeEffect) -> None:
    lease = await turn(storage, delivery(name="w.1"))
    await storage.begin(effect("w.1"))
    assert not await storage.has_sent("msg")
    await storage.finish(lease, Finish(Ack(), [effect("w.1", status="accepted", message_id="msg")]))
    assert await storage.has_sent("msg")
    assert not await storage.has_sent("another")
