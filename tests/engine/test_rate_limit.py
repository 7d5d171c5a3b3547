from __future__ import annotations

from linqbot.client.call import Call
from linqbot.clock import MovableClock
from linqbot.engine.rate_limit import SendRateLimit, pair_of


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
