"""The contract of the ledger of consents, with every backend."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from storage.conftest import NOON

from linqbot.ops.person import exported_consents
from linqbot.storage.backend import Storage
from linqbot.storage.consents import Consent, ConsentState

ANN = "+14155550142"
GIVEN = Consent("k-1", ANN, NOON, "given", "a form")
STOPPED = Consent("k-2", ANN, NOON + 10, "stopped", "STOP")
WROTE = Consent("k-3", ANN, NOON + 20, "wrote", "wrote")


async def test_the_latest_row_counts_in_whatever_order_rows_come(storage: Storage) -> None:
    assert await storage.consent_of(ANN) == ConsentState()
    for each in (STOPPED, GIVEN):
        assert await storage.note_consent(each)
    state = await storage.consent_of(ANN)
    assert (state, state.is_stopped) == (ConsentState(STOPPED, STOPPED), True)
    await storage.note_consent(WROTE)
    state = await storage.consent_of(ANN)
    assert (state, state.is_stopped) == (ConsentState(WROTE, STOPPED), False)
    assert await storage.consent_of("+14155550143") == ConsentState()


async def test_a_row_is_stored_once_and_listed_in_order(storage: Storage) -> None:
    other = replace(GIVEN, key="k-4", person="ann@example.com")
    for each in (STOPPED, GIVEN, other):
        await storage.note_consent(each)
    assert not await storage.note_consent(replace(STOPPED, what="given"))
    assert [row for _, row in await storage.consents()] == [STOPPED, GIVEN, other]
    ((first, _), *_) = await storage.consents(limit=1)
    assert [row for _, row in await storage.consents(after=first, person=ANN)] == [GIVEN]


async def test_an_exported_row_has_its_second(storage: Storage) -> None:
    # As PostgreSQL returns a time: it is moved by the difference of two clocks, which is measured.
    await storage.note_consent(replace(GIVEN, at=NOON - 3e-6))
    (row,) = [row async for row in exported_consents(storage, None)]
    assert row["at"] == datetime.fromtimestamp(NOON, UTC).isoformat()
