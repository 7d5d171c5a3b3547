"""Corners of turn-taking that no backend reaches by its contract alone."""

from __future__ import annotations

from linqbot.storage.lanes import Lanes


def test_a_claim_undone_keeps_that_an_earlier_one_ran_out() -> None:
    lanes = Lanes()
    lanes.add("c:1", 1)
    lanes.claim(1, now=0, until=10)
    (late,) = lanes.claim(1, now=10, until=20)
    assert late.overdue is True
    lanes.release(late.token, overdue=late.overdue)
    (again,) = lanes.claim(1, now=11, until=20)
    assert again.overdue is True


def test_ends_of_short_turns_do_not_pile_up_behind_a_long_one() -> None:
    lanes = Lanes()
    lanes.add("long", 1)
    lanes.claim(1, now=0, until=900)
    for seq in range(2, 5000):
        lanes.add("short", seq)
        (claim,) = lanes.claim(1, now=1, until=1000 + seq)
        lanes.remove(claim.token)
    assert len(lanes._ends) < 200
    assert lanes.next_due() == 900


def test_adopting_what_is_on_disk_keeps_claims_on_heads_that_are_still_there() -> None:
    lanes = Lanes()
    for seq, lane in enumerate(("kept", "removed", "late"), start=1):
        lanes.add(lane, seq)
    kept, removed = lanes.claim(2, now=0, until=100)
    (late,) = lanes.claim(1, now=0, until=10)
    assert lanes.claim(0, now=10, until=100) == []
    adopted = lanes.adopt([(1, "kept", 0.0), (3, "late", 0.0), (4, "removed", 0.0), (5, "waits", 50.0)])
    assert adopted.depth == 4
    assert (adopted.held(kept.token), adopted.held(removed.token), adopted.held(late.token)) == (1, None, 3)
    free = adopted.claim(10, now=11, until=100)
    assert [(claim.seq, claim.overdue) for claim in free] == [(3, True), (4, False)]
    assert [claim.seq for claim in adopted.claim(10, now=50, until=99)] == [5]
