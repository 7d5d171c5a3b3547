from __future__ import annotations

import pytest

from linqbot.bot.loops import LoopBreaker


def converse(breaker: LoopBreaker, replies: list[str], heard: list[str], *, pause_s: float = 1.0) -> int:
    """Two sides take turns; returns how many messages there were when ours fell silent."""
    now, count = 1000.0, 0
    for theirs, ours in zip(heard, replies, strict=True):
        now += pause_s
        count += 1
        if breaker.heard("chat", theirs, now):
            return count
        breaker.said("chat", ours, now + 0.1)
        count += 1
    return count


def quoting(rounds: int) -> tuple[list[str], list[str]]:
    """Two echo bots: each message holds the one before."""
    heard, said = ["hi"], []
    for _ in range(rounds):
        said.append(f"You said: {heard[-1]}")
        heard.append(f"You wrote: {said[-1]}")
    return said, heard[:-1]


def test_two_echo_bots_are_stopped_within_ten_messages() -> None:
    said, heard = quoting(50)
    assert converse(LoopBreaker(), said, heard) < 10


def test_two_bots_with_one_sentence_each_are_stopped_within_ten_messages() -> None:
    assert converse(LoopBreaker(), ["I am a bot."] * 50, ["So am I."] * 50) <= 10


def test_a_person_who_writes_something_new_each_time_is_answered() -> None:
    assert converse(LoopBreaker(), ["ok"] * 50, [str(n) for n in range(50)], pause_s=0.5) == 100


def test_a_person_who_repeats_themselves_slowly_is_answered() -> None:
    assert converse(LoopBreaker(), ["ok"] * 50, ["hello?"] * 50, pause_s=30) == 100


def test_a_flood_that_does_not_wait_for_replies_is_no_loop() -> None:
    breaker = LoopBreaker()
    breaker.said("chat", "ok", 2000)
    assert not any(breaker.heard("chat", "same", 1000.0 + n) for n in range(50))


@pytest.mark.parametrize("next_", [("something new", 1.0), ("So am I.", 3600.0)])
def test_after_a_loop_what_is_new_or_comes_later_is_answered_again(next_: tuple[str, float]) -> None:
    breaker = LoopBreaker()
    said = ["I am a bot."] * 50
    count = converse(breaker, said, ["So am I."] * 50)
    now = 1000.0 + count
    assert breaker.heard("chat", "So am I.", now)
    text, pause_s = next_
    assert not breaker.heard("chat", text, now + pause_s)


def test_chats_do_not_count_for_each_other() -> None:
    breaker = LoopBreaker()
    for n in range(50):
        breaker.said(f"chat {n}", "x", 1000.0 + n)
        assert not breaker.heard(f"chat {n}", "x", 1000.5 + n)
