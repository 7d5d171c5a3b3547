from __future__ import annotations

from typing import Any

import pytest
from fakes import delivery, text_body

from linqbot.client.call import ApiResponse, Call, Run, prepare
from linqbot.client.outcome import AttemptFailure, pause_s
from linqbot.clock import MovableClock
from linqbot.engine.bag import Bag
from linqbot.engine.opening import Opening
from linqbot.engine.outbound_plugins import Outbound
from linqbot.engine.outbox import Outbox
from linqbot.engine.rate_limit import CallNotMade, SendRateLimit, pair_of
from linqbot.engine.turn_journal import TurnJournal
from linqbot.errors import LinqApiError, LinqUnavailable, RateLimited, TurnDeferred
from linqbot.plugins.registry import Plugins
from linqbot.storage.sqlite.memory import MemoryStorage


def send(chat: str = "c1") -> Call:
    return Call("chats.messages.send", "POST", f"/v3/chats/{chat}/messages", "keyed", {"message": {}})


def create(*to: str) -> Call:
    return Call("chats.create", "POST", "/v3/chats", "keyed", {"from": "+1", "to": list(to)})


def test_thirty_messages_go_at_once_and_the_next_waits_for_the_window() -> None:
    clock = MovableClock(1000, frozen=True)
    rate_limit = SendRateLimit(clock)
    for _ in range(30):
        assert rate_limit.wait_s(pair_of(send())) == 0
        rate_limit.sent(pair_of(send()))
        clock.advance(1)
    assert rate_limit.wait_s(pair_of(send())) == 30
    clock.advance(30)
    assert rate_limit.wait_s(pair_of(send())) == 0
    rate_limit.sent(pair_of(send()))
    assert rate_limit.wait_s(pair_of(send())) == 1


def test_one_pair_does_not_hold_another_and_a_hold_ends_after_its_time() -> None:
    clock = MovableClock(1000, frozen=True)
    rate_limit = SendRateLimit(clock)
    for _ in range(30):
        rate_limit.sent(pair_of(send("full")))
    rate_limit.hold(pair_of(send("held")), 12)
    assert rate_limit.wait_s(pair_of(send("full"))) == 60
    assert rate_limit.wait_s(pair_of(send("held"))) == 12
    assert rate_limit.wait_s(pair_of(send("free"))) == 0
    clock.advance(12)
    assert rate_limit.wait_s(pair_of(send("held"))) == 0


def test_calls_that_send_nothing_are_never_held() -> None:
    rate_limit = SendRateLimit(MovableClock(1000, frozen=True))
    reaction = Call("messages.add_reaction", "POST", "/v3/messages/m/reactions", "natural", {})
    rate_limit.hold(pair_of(reaction), 60)
    assert rate_limit.wait_s(pair_of(reaction)) == 0
    assert pair_of(reaction) is None


def test_a_pair_does_not_depend_on_the_order_of_handles() -> None:
    assert pair_of(create("+2", "+3")) == pair_of(create("+3", "+2"))
    assert pair_of(create("+2")) != pair_of(create("+3"))


MEMO = Call("chats.send_voicememo", "POST", "/v3/chats/c1/voicememo", "once", {})
DELETION = prepare("messages.delete", path={"message_id": "m"})
BUSY = RateLimited("busy", status=429, retry_after_s=7)
AWAY = LinqUnavailable("no answer")
UNSENT = LinqUnavailable("no connection")
UNSENT.is_unsent = True
SLOW = LinqUnavailable("slow down", status=503, retry_after_s=9)
GONE = LinqApiError("gone", status=404)
OK = ApiResponse(202)


class PassingClock(MovableClock):
    """A clock on which a wait is over at once."""

    async def wait_until(self, at: float) -> None:
        self.advance(at - self.now())


async def make(call: Call, run: Run, rate_limit: SendRateLimit, clock: MovableClock) -> ApiResponse:
    """Make a call in a turn whose calls reach `run`."""
    async with MemoryStorage(clock=clock) as storage:
        await storage.put(delivery(text_body()))
        (lease,) = await storage.take(1, lease_s=600)
        opening = Opening(lease.delivery.id, lease.replay)
        journal = TurnJournal(storage, clock, Outbound(Plugins()), opening, lease, data=Bag())
        return await Outbox(journal, rate_limit, lambda *_: None).wrap(run)(call)


@pytest.mark.parametrize(
    ("call", "said", "attempts_at", "end"),
    [
        (send(), [AWAY, UNSENT, AWAY, AWAY, AWAY, OK], [0, 0.5, 1.5, 3.5, 7.5, 11.5], OK),
        (send(), [BUSY, BUSY, OK], [0, 7, 14], OK),
        (send(), [SLOW, OK], [0, 9], OK),
        (send(), [AWAY] * 9, [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5], TurnDeferred),
        (send(), [UNSENT] * 9, [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5], CallNotMade),
        (send(), [UNSENT, AWAY, *[UNSENT] * 7], [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5], TurnDeferred),
        (send(), [RateLimited("busy", status=429, retry_after_s=21)], [0], CallNotMade),
        (MEMO, [UNSENT, OK], [0, 0.5], OK),
        (MEMO, [AWAY], [0], TurnDeferred),
        (DELETION, [AWAY, GONE], [0, 0.5], ApiResponse(204)),
        (DELETION, [UNSENT, GONE], [0, 0.5], LinqApiError),
    ],
)
async def test_a_call_is_repeated_after_pauses_for_twenty_seconds_if_that_cannot_do_it_twice(
    call: Call, said: list[ApiResponse | LinqApiError], attempts_at: list[float], end: Any
) -> None:
    clock, answers, attempts = PassingClock(1000, frozen=True), iter(said), list[float]()

    async def run(_: Call) -> ApiResponse:
        attempts.append(clock.now() - 1000)
        answer = next(answers)
        if isinstance(answer, LinqApiError):
            raise answer
        return answer

    try:
        ended: Any = await make(call, run, SendRateLimit(clock), clock)
    except (TurnDeferred, LinqApiError) as error:
        # Outside of the engine, a call that was certainly not made is deferred like any other.
        ended = CallNotMade if isinstance(error.__cause__, CallNotMade) else type(error)
    assert (attempts, ended) == (attempts_at, end)


async def test_a_contact_card_is_written_again_only_after_ten_minutes_if_each_attempt_extends_the_limit() -> None:
    card = prepare("contact_card.update", query=(("phone_number", "+12025550100"),), body={"first_name": "Acme"})
    limited = LinqUnavailable("upstream limit", status=503, code=4004, call=card.name)
    assert pause_s(card, AttemptFailure(limited), 0, max_wait_s=60, jitter=0) is None
    made = 0

    async def run(call: Call) -> ApiResponse:
        nonlocal made
        made += 1
        raise limited

    clock = PassingClock(1000, frozen=True)
    with pytest.raises(TurnDeferred) as deferred:
        await make(card, run, SendRateLimit(clock), clock)
    assert (made, deferred.value.after_s) == (1, 600)


async def test_after_a_429_all_sends_to_the_same_person_wait() -> None:
    clock = PassingClock(1000, frozen=True)
    rate_limit = SendRateLimit(clock)

    async def run(_: Call) -> ApiResponse:
        raise RateLimited("busy", status=429, retry_after_s=60)

    with pytest.raises(TurnDeferred):
        await make(send(), run, rate_limit, clock)
    assert (rate_limit.wait_s(pair_of(send())), rate_limit.wait_s(pair_of(send("c2")))) == (60, 0)
