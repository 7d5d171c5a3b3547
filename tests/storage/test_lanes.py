"""Edge cases of the scheduling of lanes that the contract tests of the backends do not reach."""

from __future__ import annotations

import tracemalloc

from linqbot.storage.indexes import Lanes


def test_the_ends_of_short_turns_do_not_pile_up_behind_a_long_turn() -> None:
    lanes = Lanes()
    lanes.add("long", 1)
    lanes.lease(1, now=0, monotonic=0, until=900)
    tracemalloc.start()
    try:
        for seq in range(2, 5000):
            lanes.add("short", seq)
            (lease,) = lanes.lease(1, now=1, monotonic=1, until=1000 + seq)
            lanes.remove(lease.token)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 50_000, "5000 ends take about 500 kB"
    assert lanes.next_due(now=1, monotonic=1) == 900


def test_adopting_rows_keeps_leases_on_heads_that_are_still_there() -> None:
    lanes = Lanes()
    for seq, lane in enumerate(("kept", "removed", "late"), start=1):
        lanes.add(lane, seq)
    kept, removed = lanes.lease(2, now=0, monotonic=0, until=100)
    (late,) = lanes.lease(1, now=0, monotonic=0, until=10)
    assert lanes.lease(0, now=10, monotonic=10, until=100) == []
    rows = ((1, "kept", 0.0), (3, "late", 0.0), (4, "removed", 0.0), (5, "waits", 50.0))
    adopted = lanes.adopt([(*row, 0, False) for row in rows])
    assert adopted.depth == 4
    assert [adopted.leased_by(lease.token) for lease in (kept, removed, late)] == [1, None, 3]
    free = adopted.lease(10, now=11, monotonic=11, until=100)
    assert [(lease.seq, lease.overdue) for lease in free] == [(3, True), (4, False)]
    assert [lease.seq for lease in adopted.lease(10, now=50, monotonic=50, until=99)] == [5]


def suspects(count: int, *, max_concurrent_suspects: int) -> Lanes:
    lanes = Lanes()
    for seq in range(1, count + 1):
        lanes.add(f"suspect {seq}", seq, max_concurrent_suspects=max_concurrent_suspects)
    return lanes


def test_no_more_suspects_run_together_than_allowed_while_others_go_on() -> None:
    lanes = suspects(5, max_concurrent_suspects=2)
    for seq in range(6, 9):
        lanes.add(f"other {seq}", seq)
    first = lanes.lease(10, now=0, monotonic=0, until=100)
    assert [lease.seq for lease in first] == [1, 2, 6, 7, 8]
    assert lanes.lease(10, now=1, monotonic=1, until=100) == []
    lanes.remove(first[0].token)
    assert [lease.seq for lease in lanes.lease(10, now=2, monotonic=2, until=100)] == [3]


def test_a_suspect_that_must_run_alone_waits_for_others_and_they_wait_for_it() -> None:
    lanes = Lanes()
    lanes.add("busy", 1)
    (busy,) = lanes.lease(1, now=0, monotonic=0, until=100)
    lanes.add("suspect", 2, max_concurrent_suspects=1)
    lanes.add("suspect too", 3, max_concurrent_suspects=1)
    lanes.add("other", 4)
    assert lanes.lease(10, now=1, monotonic=1, until=100) == []
    lanes.remove(busy.token)
    (alone,) = lanes.lease(10, now=2, monotonic=2, until=100)
    assert alone.seq == 2
    assert lanes.lease(10, now=3, monotonic=3, until=100) == []
    lanes.wait(alone.token, 50)
    (second,) = lanes.lease(10, now=4, monotonic=4, until=100)
    assert second.seq == 3
    lanes.remove(second.token)
    assert [lease.seq for lease in lanes.lease(10, now=50, monotonic=50, until=100)] == [2, 4]


def test_a_suspect_whose_lease_ran_out_does_not_block_the_others_forever() -> None:
    lanes = suspects(2, max_concurrent_suspects=1)
    lanes.lease(10, now=0, monotonic=0, until=10)
    (again,) = lanes.lease(10, now=10, monotonic=10, until=20)
    assert (again.seq, again.overdue) == (1, True)
    lanes.remove(again.token)
    assert [lease.seq for lease in lanes.lease(10, now=11, monotonic=11, until=20)] == [2]


def test_a_suspect_that_was_given_back_is_still_a_suspect() -> None:
    lanes = suspects(2, max_concurrent_suspects=1)
    (lease,) = lanes.lease(10, now=0, monotonic=0, until=10)
    lanes.release(lease.token)
    assert [lease.seq for lease in lanes.lease(10, now=1, monotonic=1, until=10)] == [1]


def test_a_suspect_that_is_sorted_behind_another_delivery_is_still_a_suspect() -> None:
    lanes = Lanes()
    lanes.add("chat", 1, max_concurrent_suspects=1)
    lanes.add("chat", 2)
    lanes.add("other", 3)
    lanes.renumber("chat", {1: 2, 2: 1})

    first, other = lanes.lease(5, now=0, monotonic=0, until=10)
    assert (first.seq, other.seq) == (1, 3)
    lanes.remove(first.token)
    assert lanes.lease(5, now=0, monotonic=0, until=10) == []
    lanes.remove(other.token)
    (alone,) = lanes.lease(5, now=0, monotonic=0, until=10)
    lanes.add("third", 4)
    assert alone.seq == 2
    assert lanes.lease(5, now=0, monotonic=0, until=10) == []


def test_a_lane_whose_suspect_was_sorted_to_its_head_is_leased_as_a_suspect() -> None:
    lanes = Lanes()
    lanes.add("other", 1)
    lanes.add("chat", 2)
    lanes.add("chat", 3, max_concurrent_suspects=1)
    lanes.renumber("chat", {2: 3, 3: 2})
    (suspect,) = lanes.lease(5, now=0, monotonic=0, until=10)
    assert suspect.seq == 2
    lanes.remove(suspect.token)
    assert [lease.seq for lease in lanes.lease(5, now=0, monotonic=0, until=10)] == [1, 3]
