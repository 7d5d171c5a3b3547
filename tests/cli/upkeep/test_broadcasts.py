"""`linqbot waiting`: list, show, pause, resume and cancel, next to a running server."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest
from patience import PATIENCE_S
from typed_command import data, shown

from linqbot.clock import MovableClock
from linqbot.linq.types.proactive import Broadcast, RecipientOutcome
from linqbot.storage.acts import By
from linqbot.storage.broadcasts import NewBroadcast, RecipientUpdate
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.sqlite.storage import SQLiteStorage

NOON = 1_800_000_000.0
LINE = "+12025550100"
PEOPLE = [f"+1415555{n:04}" for n in range(200, 208)]
ENDED: list[tuple[RecipientOutcome, str | None]] = [
    ("sent", None),
    ("refused", "403/2026: blocked"),
    ("opted_out", None),
    ("refused", "403/2026: blocked"),
]
Storage = SQLiteStorage | MemoryStorage


def new(name: str) -> NewBroadcast:
    return NewBroadcast(name, LINE, 20, b"[]", NOON)


async def send(storage: Storage, clock: MovableClock, outcome: RecipientOutcome, reason: str | None = None) -> None:
    """Let the next person of a broadcast have an outcome."""
    await storage.fire(clock.now())
    (lease,) = await storage.take(1, lease_s=60)
    body = json.loads(lease.delivery.body)
    update = RecipientUpdate(body["broadcast"], body["n"], outcome, reason)
    await storage.finish(lease, Commit(Ack(), recipients=[update]))
    clock.advance(3)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "linqbot.db"
    monkeypatch.setenv("LINQBOT_STORAGE", f"sqlite:///{path}")

    async def fill() -> None:
        clock = MovableClock(NOON, frozen=True)
        async with SQLiteStorage(path, clock=clock) as storage:
            await storage.start_broadcast(new("july"), PEOPLE)
            for outcome, reason in ENDED:
                await send(storage, clock, outcome, reason)
            await storage.start_broadcast(new("august"), PEOPLE[:2])

    asyncio.run(fill())
    return path


def test_list_shows_the_newest_first(path: Path) -> None:
    first, second = data("waiting", "list", "--broadcasts")
    assert (first["name"], second["name"]) == ("august", "july")
    assert second == {
        "name": "july",
        "status": "running",
        "line": LINE,
        "per_minute": 20.0,
        "created_at": "2027-01-15T08:00:00.000Z",
        "people": 8,
        "sent": 1,
        "opted_out": 1,
        "refused": 2,
        "failed": 0,
        "cancelled": 0,
        "pending": 4,
    }
    table = shown("waiting", "list", "--broadcasts").splitlines()
    assert table[0].split()[:3] == ["name", "status", "line"]
    assert len(table) == 3


def test_show_prints_the_counts_the_reasons_and_the_people_with_an_outcome(path: Path) -> None:
    said = shown("waiting", "broadcast", "july")
    assert "refused      2 × 403/2026: blocked\n" in said
    assert "pending      4\n" in said
    assert "cancelled" not in said
    assert PEOPLE[1] not in said
    found = data("waiting", "broadcast", "july", "--outcome", "refused")
    assert found["reasons"] == {"refused": {"403/2026: blocked": 2}, "failed": {}}
    assert found["recipients"][0] == {
        "n": 2,
        "handle": PEOPLE[1],
        "outcome": "refused",
        "at": "2027-01-15T08:00:03.000Z",
        "reason": "403/2026: blocked",
    }
    assert [one["n"] for one in found["recipients"]] == [2, 4]
    assert PEOPLE[3] in shown("waiting", "broadcast", "july", "--outcome", "refused")
    assert "No recipient is failed." in shown("waiting", "broadcast", "july", "--outcome", "failed")


def test_a_paused_broadcast_can_be_resumed_and_cancelled(path: Path) -> None:
    july = ("waiting", "broadcast", "july")
    assert data(*july, "--pause")["status"] == "paused"
    refused = shown(*july, "--pause", code=1)
    assert "The broadcast july is paused. Only one that is running can be changed in this way." in refused
    assert data(*july, "--resume")["status"] == "running"
    shown("waiting", "cancel", "july", input="n\n", code=1)
    cancelled = data("waiting", "cancel", "july", "--yes")
    assert (cancelled["status"], cancelled["cancelled"], cancelled["pending"]) == ("cancelled", 4, 0)
    assert "Only one that is paused" in shown(*july, "--resume", code=1)
    # One that has ended is watched for no time.
    assert data(*july, "--watch")["pending"] == 0


def test_a_name_that_is_not_stored_is_an_error(path: Path) -> None:
    for command in ([], ["--pause"], ["--resume"], ["--watch"]):
        said = shown("waiting", "broadcast", "june", *command, code=1)
        assert "There is no broadcast june. See: linqbot waiting list --broadcasts" in said
    unasked = shown("waiting", "cancel", "june", input="y\n", code=1)
    assert "Cancel the broadcast" not in unasked
    assert "No open question, scheduled send or broadcast has the id june." in unasked


async def test_a_running_broadcast_is_watched_until_it_has_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, find = threading.Event(), SQLiteStorage.broadcast

    async def look(self: SQLiteStorage, name: str) -> Broadcast | None:
        found = await find(self, name)
        looked.set()
        return found

    monkeypatch.setattr(SQLiteStorage, "broadcast", look)
    async with SQLiteStorage(path) as server:
        watching = asyncio.create_task(asyncio.to_thread(data, "waiting", "broadcast", "july", "--watch"))
        assert await asyncio.to_thread(looked.wait, PATIENCE_S)
        assert await server.order_broadcast("july", "cancel", by=By("ann"))
        assert (await watching)["pending"] == 0


async def test_a_server_notices_what_a_command_changes(tmp_path: Path) -> None:
    path = tmp_path / "linqbot.db"
    async with SQLiteStorage(path) as server:
        await server.start_broadcast(new("july"), PEOPLE)
        assert await server.next_timer() == 0.0
        async with SQLiteStorage(path, serving=False) as command:
            assert await command.order_broadcast("july", "pause", by=By("ann"))
            async with asyncio.timeout(PATIENCE_S):
                while await server.next_timer() is not None:
                    await server.changed()
            assert await server.fire(NOON) == 0
            assert await command.order_broadcast("july", "resume", by=By("ann"))
            assert await command.next_timer() == 0.0
            async with asyncio.timeout(PATIENCE_S):
                while await server.next_timer() is None:
                    await server.changed()
        assert await server.fire(NOON) == 1
