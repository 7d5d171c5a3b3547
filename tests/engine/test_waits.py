"""Waits on record: each is found by its key, else by its words, and never by its place among others."""

from __future__ import annotations

from typing import Any

import pytest

from linqbot.engine.waits import Identity, WaitRecord, digest_of_words, record_of, record_with_end, records_of
from linqbot.linq.events.delivery import Delivery
from linqbot.storage.journal import JournalEntry

NAME, SIZE = ["Your name?"], ["Which size?"]


def identity(words: list[str], key: str | None = None, *, verb: str | None = "ctx.ask", shown: str = "") -> Identity:
    return Identity(verb, key, digest_of_words(words), digest_of_words([words, shown]))


def ended(n: int, what: Identity, *, nth: int = 1, outcome: Any = "ended", **fields: Any) -> WaitRecord:
    return WaitRecord(n, what, nth, code="c", outcome={"outcome": outcome} if outcome else None, **fields)


def test_a_wait_finds_its_own_end(subtests: pytest.Subtests) -> None:
    name, size = ended(1, identity(NAME)), ended(2, identity(SIZE))
    again = ended(3, identity(NAME), nth=2)
    keyed, moved = ended(4, identity(NAME, "name")), ended(5, identity(SIZE, "name"))
    rows: list[tuple[str, list[WaitRecord], Identity, int, WaitRecord | None]] = [
        ("the first of all is another one", [size, name], identity(NAME), 1, name),
        ("other words", [name], identity(SIZE), 1, None),
        ("the second time of its words", [name, again], identity(NAME), 2, again),
        ("a third time of its words", [name, again], identity(NAME), 3, None),
        ("other choices", [name], identity(NAME, shown="S or M"), 1, name),
        ("other words with the same key", [moved], identity(NAME, "name"), 1, moved),
        ("another key", [keyed], identity(NAME, "other"), 1, None),
        ("it has lost its key", [keyed], identity(NAME), 1, None),
        ("it has got a key", [name], identity(NAME, "name"), 1, name),
        ("it has got a key, and had these words twice", [name, again], identity(NAME, "name"), 1, None),
        ("it has got a key that another one has", [name, moved], identity(NAME, "name"), 1, moved),
        ("another method with the same key", [keyed], identity(NAME, "name", verb="ctx.vote"), 1, None),
        ("a method that an earlier release did not store", [ended(1, identity(NAME, verb=None))], identity(NAME), 1, None),
        ("it goes on", [ended(1, identity(NAME), outcome=None)], identity(NAME), 1, None),
        ("this run has met it", [ended(1, identity(NAME), is_used=True)], identity(NAME), 1, None),
        ("code of today has refused its end", [ended(1, identity(NAME), is_void=True)], identity(NAME), 1, None),
    ]  # fmt: skip
    for what, records, wanted, nth, found in rows:
        with subtests.test(what):
            expected = records[0] if what.startswith("a method") else found
            assert record_with_end(records, wanted, nth) is expected


def entry(record: WaitRecord, *, status: Any = "attempting") -> JournalEntry:
    return JournalEntry("w.1", 0, record.slot, "key", "ask", record.call, status, 0.0)


def test_a_record_is_read_as_it_was_written() -> None:
    record = ended(2, identity(NAME, "name"), part=1, splits=0, passed={0: (1.0,)}, language="de", opened={"n": 2})
    by = Delivery("w.2", "chat", "message.received", b"", 7.0)
    read = record_of(record.written_to(entry(record), by))
    assert read.outcome == {"outcome": "ended", "by": "w.2", "at": 7.0}
    names = ("n", "identity", "nth", "code", "part", "splits", "opened", "language", "is_void")
    assert {name: getattr(read, name) for name in names} == {name: getattr(record, name) for name in names}
    assert {part: list(times) for part, times in read.passed.items()} == {0: [1.0]}


def test_waits_of_an_earlier_release_are_counted_by_their_words() -> None:
    waits = [identity(NAME), identity(SIZE), identity(NAME)]
    entries = [entry(WaitRecord(n, each, None, "c")) for n, each in enumerate(waits, start=1)]
    assert [each.nth for each in records_of(entries)] == [1, 1, 2]
