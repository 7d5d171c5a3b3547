"""After any history with a person, forgetting them leaves no byte of them, and deletes nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlite_connections import bytes_of
from storage.conftest import NOON, rows_of

from linqbot.client.call import Call, prepare
from linqbot.clock import MovableClock
from linqbot.events import Delivery
from linqbot.features.later import StoredSend
from linqbot.linq.events.lane import lane_of_chat, lane_of_receipts
from linqbot.storage.backend import Storage
from linqbot.storage.contents import Row
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Lease, Outcome, Retry
from linqbot.storage.journal import JournalEntry
from linqbot.storage.outcomes import OutcomeRow
from linqbot.storage.sqlite.storage import SQLiteStorage
from linqbot.storage.state import StateWrite

HANDLES = {"ann": "+14155550142", "bob": "+14155550187"}
GROUP = "5a1d3c56-0000-4000-8000-00000000000a"
CHATS = {"ann": "5a1d3c56-0000-4000-8000-00000000000b", "bob": "5a1d3c56-0000-4000-8000-00000000000c"}
OUTCOMES: dict[str, Outcome] = {
    "acked": Ack(),
    "dead-lettered": DeadLetter("Boom"),
    "retried": Retry(NOON + 500, "Boom"),
}


@dataclass(frozen=True)
class Turn:
    """A message and the outcome of its turn.

    Attributes:
        end: The outcome of the turn, or `waits` if no worker has leased the delivery.
        sends: Number of messages that the bot sends; `settled` is True if Linq's answers are known.
        receipt: The outcome of the receipt of the first of them; None if there is none.
        due_in_s: Seconds until a scheduled send is due; with 0 it is a delivery already. None if nothing is scheduled.
    """

    who: str
    in_group: bool
    end: str
    size: int
    sends: int
    settled: bool
    receipt: str | None
    due_in_s: int | None


turns = st.lists(
    st.builds(
        Turn,
        who=st.sampled_from(["ann", "bob"]),
        in_group=st.booleans(),
        end=st.sampled_from([*OUTCOMES, "waits"]),
        size=st.sampled_from([10, 900, 6000]),
        sends=st.integers(0, 2),
        settled=st.booleans(),
        receipt=st.sampled_from([None, *OUTCOMES, "waits"]),
        due_in_s=st.sampled_from([None, 0, 900]),
    ),
    max_size=12,
)


def words(turn: Turn) -> str:
    return f"{turn.who}-said " * (turn.size // 9 + 1)


def chat_of(turn: Turn) -> str:
    return GROUP if turn.in_group else CHATS[turn.who]


def webhook(name: str, event_type: str, turn: Turn, data: dict[str, object]) -> Delivery:
    chat = {"chat": {"id": chat_of(turn), "is_group": turn.in_group}}
    body = {"event_id": name, "event_type": event_type, "data": data | chat}
    return Delivery.from_webhook(json.dumps(body).encode(), webhook_id="", received_at=NOON)


def message(name: str, turn: Turn) -> Delivery:
    sender = {"handle": HANDLES[turn.who], "is_me": False}
    parts = [{"type": "text", "value": words(turn)}]
    return webhook(name, "message.received", turn, {"id": f"m-{name}", "sender_handle": sender, "parts": parts})


def receipt(name: str, turn: Turn) -> Delivery:
    parts = [{"type": "text", "value": f"You said: {words(turn)}"}]
    return webhook(f"r-{name}", "message.delivered", turn, {"id": f"sent-{name}-0", "parts": parts})


def answer(turn: Turn) -> Call:
    parts = [{"type": "text", "value": f"You said: {words(turn)}"}]
    return prepare("chats.messages.send", path={"chatId": chat_of(turn)}, body={"message": {"parts": parts}})


def origin(turn: Turn) -> bytes:
    about = {"handles": [HANDLES[turn.who]], "chat_id": chat_of(turn), "is_group": turn.in_group}
    return json.dumps(about).encode()


async def take(storage: Storage, delivery: Delivery) -> Lease:
    """Lease this delivery, and give other leases back."""
    leases = {lease.delivery.id: lease for lease in await storage.take(1000, lease_s=60)}
    # Otherwise the next delivery would be prefetched for the next `take`.
    assert await storage.take(0, lease_s=60) == []
    for name, lease in leases.items():
        if name != delivery.id:
            await storage.finish(lease, Commit(Retry(NOON, "Not now")))
    return leases[delivery.id]


async def end(storage: Storage, delivery: Delivery, outcome: str, commit: Commit) -> None:
    await storage.put(delivery)
    if outcome in OUTCOMES:
        record = OutcomeRow(
            delivery.id, delivery.lane, delivery.type, None, None, delivery.received_at, "handled", "echo"
        )
        await storage.finish(await take(storage, delivery), replace(commit, outcome=OUTCOMES[outcome], record=record))


async def play(storage: Storage, number: int, turn: Turn) -> None:
    """Do what the worker and the bot would do."""
    # Each in its own lane, so that none waits for another.
    name = f"{number}-{turn.who}"
    delivery = replace(message(name, turn), lane=f"x:{name}")
    entries = []
    for n in range(turn.sends if turn.end != "waits" else 0):
        key, said = f"key-{name}-{n}", answer(turn).to_json()
        entry = JournalEntry(delivery.id, 0, str(n), key, "keyed", said, "attempting", NOON, origin=origin(turn))
        await storage.begin(entry)
        said = json.dumps({"chat_id": chat_of(turn), "message": {"id": f"sent-{name}-{n}"}}).encode()
        sent = {"answer": said, "message_id": f"sent-{name}-{n}", "chat_id": chat_of(turn)}
        entries += [replace(entry, status="accepted", **sent)] if turn.settled else []  # type: ignore[arg-type]
    timers = []
    if turn.end == "acked" and turn.due_in_s is not None:
        call, of_turn = json.loads(answer(turn).to_json()), json.loads(origin(turn))
        send = StoredSend(calls=(call,), due=NOON + turn.due_in_s, grace_s=60, origin=of_turn)
        timers.append(send.timer(f"t-{name}", lane_of_chat(chat_of(turn))))
    scope = f"person:{HANDLES[turn.who]}"
    commit = Commit(Ack(), entries, timers=timers, state=[StateWrite(scope, "said", words(turn).encode())])
    await end(storage, delivery, turn.end, commit)
    await storage.fire(NOON)
    if turn.receipt is not None and entries:
        lane = lane_of_receipts(f"m:sent-{name}-0")  # as of an event that names no chat
        await end(storage, replace(receipt(name, turn), lane=lane), turn.receipt, Commit(Ack()))


async def on_record(path: Path, who: str, *, without: Collection[str] = ()) -> list[Row]:
    """Return all rows about a person. Their deliveries stay known as duplicates."""
    tables = (await rows_of(f"sqlite:///{path}")).items()
    return [row for table, rows in tables if table not in {"seen", *without} for row in rows if who in repr(row)]


async def forget_ann(path: Path, turns: list[Turn], keep_days: float) -> None:
    clock = MovableClock(NOON, frozen=True)
    async with SQLiteStorage(path, clock=clock, keep_days=keep_days) as storage:
        for number, turn in enumerate(turns):
            await play(storage, number, turn)
        others = await on_record(path, "bob")
        forgotten = await storage.forget(HANDLES["ann"])
        # What became of a turn is ids, and stays unless it was in a lane of the person's own, as none is here.
        of_ann = await on_record(path, "ann", without=["outcome"])
        assert (forgotten.left, of_ann, await on_record(path, "bob")) == ((), [], others)
        bytes_now = bytes_of(path)
        assert [word for word in (HANDLES["ann"], CHATS["ann"], "ann-said") if word.encode() in bytes_now] == []


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=turns, keep_days=st.sampled_from([0, 9]))
def test_no_byte_of_a_person_is_left_and_all_rows_of_others_stay(
    tmp_path_factory: pytest.TempPathFactory, turns: list[Turn], keep_days: float
) -> None:
    asyncio.run(forget_ann(tmp_path_factory.mktemp("forget") / "bot.db", turns, keep_days))
