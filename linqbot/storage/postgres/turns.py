"""The SQL that ends turns, run inside a transaction of the writer. Turns that end together share each statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from linqbot.errors import LeaseLost
from linqbot.storage.inbox import SOON_S, Ack, DeadLetter, Defer, Retry, lease_over
from linqbot.storage.operations import BeginOp, FinishOp, SettleOp
from linqbot.storage.postgres.transaction import Statement, Transaction
from linqbot.storage.tables import broadcasts, conversations, journal, timers
from linqbot.storage.tables.state import StateBatch


def _entries(statement: Statement, rows: Sequence[tuple[Any, ...]]) -> str:
    """Return the SQL of a table `u` of rows of the journal, each with the token of its lease."""
    kinds = [statement.tx.types["journal", name] for name in (*journal.COLUMNS.split(", "), "texts")] + ["bigint"]
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in kinds]
    typed = zip(statement.values(*columns).split(", "), kinds, strict=True)
    arrays = ", ".join(f"{parameter}::{kind}[]" for parameter, kind in typed)
    return f"unnest({arrays}) AS u ({journal.COLUMNS}, texts, token)"


async def begin(tx: Transaction, ops: Sequence[BeginOp]) -> None:
    """Store journal entries before the first attempt of their calls, except those whose lease is over.

    An entry on record stays as it is.
    """
    if not ops:
        return
    state = StateBatch(tx)
    changing = [op for op in ops if op.state]
    await state.read([op.state for op in changing])
    for op in changing:
        if not await journal.is_on_record(tx, op.entry):
            op.error = state.add(op.state)
    statement = Statement(tx)
    add_begins(statement, ops)
    await statement.run()
    for op in changing:
        if isinstance(op.error, LeaseLost):
            state.drop(op.state)
    await state.write()


def add_begins(statement: Statement, ops: Sequence[BeginOp]) -> None:
    """Store the entries of operations, and set the error of each whose lease is over. The state is left out."""
    tx, begun = statement.tx, [(op, entry) for op in ops for entry in op.entries]

    async def note(found: Sequence[Any]) -> None:
        for op in ops:
            if op.error is None and op.lease is not None and op.lease.token not in found[0]["held"]:
                op.error = lease_over(op.lease)
                tx.changes.ended_leases.add(op.lease.token)
        journal.note_own(tx, [entry for op, entry in begun if op.error is None])

    held = [op.lease for op in ops if op.lease is not None]
    values = statement.values([lease.delivery.lane for lease in held], [lease.token for lease in held])
    statement.step("begun", f"ARRAY(SELECT token FROM leases_of({values})) AS held", "held", note)  # noqa: S608
    rows = [(*journal.row(entry, texts=True)[:-1], None if op.lease is None else op.lease.token) for op, entry in begun]
    # DO NOTHING applies to a repeated slot only. A key that another entry has must raise an error.
    statement.write(
        "new_entries",
        f"""INSERT INTO journal ({journal.COLUMNS}, texts)
            SELECT {journal.COLUMNS}, texts FROM begun, {_entries(statement, rows)}
            WHERE u.token IS NULL OR u.token = ANY (begun.held)
            ON CONFLICT (turn, replay, slot) DO NOTHING""",  # noqa: S608 - constant texts
    )


async def finish(tx: Transaction, settles: Sequence[SettleOp], ops: Sequence[FinishOp], *, leaving: bool) -> None:
    """End turns, and set the error of each that cannot end; see `Inbox.finish`.

    Args:
        leaving: True if this process leases nothing more.
    """
    state = StateBatch(tx)
    await state.read([*(op.state for op in settles), *(op.commit.state for op in ops)])
    entries = await state.settled(settles)
    seqs = await _held(tx, ops)
    ended: dict[int, FinishOp] = {}
    for op in ops:
        seq = seqs.pop(op.lease.token, None)
        if seq is None:
            op.error = lease_over(op.lease)
            tx.changes.ended_leases.add(op.lease.token)
        elif (conflict := state.add(op.commit.state)) is not None:
            op.error = conflict
            seqs[op.lease.token] = seq
        else:
            ended[seq] = op
            entries += [] if _ends_its_turn(op) else op.commit.entries
    await journal.settle(tx, entries)
    await state.write()
    await conversations.write(tx, [op.commit for op in ended.values()])
    await broadcasts.update(tx, [update for op in ended.values() for update in op.commit.recipients])
    stays = {seq: op for seq, op in ended.items() if isinstance(op.commit.outcome, Retry | Defer)}
    await _postpone(tx, stays)
    await _remove(tx, {seq: op for seq, op in ended.items() if seq not in stays})
    await timers.write(tx, [op.commit for op in ended.values()])
    tx.changes.ended_leases |= {op.lease.token for op in ended.values()}
    # The lanes go on, but not in this process.
    tx.changes.work |= leaving and bool(ended)


def is_plain(ops: Collection[FinishOp], keep_s: float) -> bool:
    """Return True if `add_ends` alone ends these turns: each is acked and writes only journal entries."""
    if keep_s or len({op.lease.token for op in ops}) < len(ops):
        return False
    ends = [op.commit for op in ops]
    writes = any(e.state or e.timers or e.cancelled or e.rearmed or e.recipients or e.ended for e in ends)
    return not writes and not any(e.off_the_record for e in ends) and all(map(_ends_its_turn, ops))


def _ends_its_turn(op: FinishOp) -> bool:
    """Return True if `add_ends` also stores the outcomes of the turn: no later run needs them, and each row changes once."""
    end, turn = op.commit, op.lease.delivery.id
    if not isinstance(end.outcome, Ack) or end.conversations:
        return False
    slots = {entry.slot for entry in end.entries if entry.turn == turn}
    return len(slots) == len(end.entries) and (end.has_all_entries or not slots)


def add_ends(statement: Statement, ops: Collection[FinishOp]) -> None:
    """Remove deliveries whose turns have ended, and set the error of each operation whose lease is over.

    Of turns that `_ends_its_turn` names, the outcomes of journal entries are stored.
    """
    tx, searched, rows = statement.tx, list[str | None](), list[tuple[Any, ...]]()
    for op in ops:
        ends = _ends_its_turn(op)
        search = isinstance(op.commit.outcome, Ack) and not (ends and op.commit.has_all_entries)
        searched.append(op.lease.delivery.id if search else None)
        if ends:
            rows += [(*row[:-1], op.lease.token) for row in journal.outcomes(tx, op.commit.entries, ended=True)]
            journal.note_own(tx, op.commit.entries)

    async def note(found: Sequence[Any]) -> None:
        for op in ops:
            if op.lease.token in found[0]["over"]:
                op.error = lease_over(op.lease)
            tx.changes.ended_leases.add(op.lease.token)

    lanes, tokens = [op.lease.delivery.lane for op in ops], [op.lease.token for op in ops]
    values = statement.values(lanes, tokens, searched, tx.now, SOON_S)
    statement.step("ended", f"end_turns({values}) AS over", "over", note)
    statement.write(
        "outcomes",
        f"""INSERT INTO journal ({journal.COLUMNS}, texts, ended_at)
            SELECT {journal.COLUMNS}, texts, {statement.values(tx.now)}::float8 FROM ended, {_entries(statement, rows)}
            WHERE u.token <> ALL (ended.over) {journal.REPLACE}""",  # noqa: S608 - constant texts
    )


async def _held(tx: Transaction, ops: Sequence[FinishOp]) -> dict[int, int]:
    """Return the sequence numbers that are leased under the tokens of these operations."""
    if not ops:
        return {}
    lanes, tokens = [op.lease.delivery.lane for op in ops], [op.lease.token for op in ops]
    rows = await tx.fetch("SELECT token, seq FROM lock_leases($1, $2)", lanes, tokens)
    return {row["token"]: row["seq"] for row in rows}


async def _postpone(tx: Transaction, ops: Mapping[int, FinishOp]) -> None:
    if not ops:
        return
    seqs, failed, whys, times = [], [], [], []
    for seq, op in ops.items():
        outcome = op.commit.outcome
        assert isinstance(outcome, Retry | Defer)
        seqs.append(seq)
        failed.append(isinstance(outcome, Retry))
        whys.append(storable(outcome.error if isinstance(outcome, Retry) else outcome.reason))
        times.append(outcome.at)
    await tx.run(
        """UPDATE delivery SET attempts = attempts + u.failed::integer,
               waits = CASE WHEN u.failed THEN 'retrying' ELSE 'deferred' END,
               not_before = u.at, error = u.why, token = NULL, owner = NULL,
               crashed_with_others = 0, max_concurrent_suspects = 0
           FROM unnest($1::bigint[], $2::boolean[], $3::text[], $4::float8[]) AS u (seq, failed, why, at)
           WHERE delivery.seq = u.seq""",
        seqs,
        failed,
        whys,
        times,
    )
    await tx.set_visible_at(seqs, times)


async def _remove(tx: Transaction, gone: Mapping[int, FinishOp]) -> None:
    if not gone:
        return
    acked = {seq: op for seq, op in gone.items() if isinstance(op.commit.outcome, Ack)}
    private = {seq: op for seq, op in acked.items() if op.commit.off_the_record}
    for seq, op in gone.items():
        if isinstance(op.commit.outcome, DeadLetter):
            await _dead_letter(tx, seq, op.commit.outcome)
    if tx.keep_s and (kept := [seq for seq in acked if seq not in private]):
        await _keep(tx, kept)
    statement = Statement(tx)
    add_ends(statement, gone.values())
    await statement.run()
    turns = {entry.turn for op in acked.values() for entry in op.commit.entries if entry.turn != op.lease.delivery.id}
    await journal.end(tx, turns)
    if private:
        await journal.forget_texts(tx, [op.lease.delivery.id for op in private.values()])


async def _dead_letter(tx: Transaction, seq: int, outcome: DeadLetter) -> None:
    await tx.run("DELETE FROM dead WHERE id = (SELECT id FROM delivery WHERE seq = $1)", seq)
    await tx.run(
        """INSERT INTO dead (id, lane, type, message_key, carrier, received_at, error, handler,
                             replay, delivery_count, attempts, crashes, dead_lettered_at, body)
           SELECT id, lane, type, message_key, carrier, received_at, $2, $3,
                  replay, delivery_count, attempts + $4, crashes, $5, body
           FROM delivery JOIN body USING (seq) WHERE seq = $1""",
        seq,
        storable(outcome.error),
        None if outcome.handler is None else storable(outcome.handler),
        int(outcome.failed),
        tx.now,
    )


async def _keep(tx: Transaction, seqs: list[int]) -> None:
    await tx.run("DELETE FROM done WHERE id IN (SELECT id FROM delivery WHERE seq = ANY($1))", seqs)
    await tx.run(
        """INSERT INTO done (id, lane, type, message_key, carrier, received_at, replay, acked_at, body)
           SELECT id, lane, type, message_key, carrier, received_at, replay, $2, body
           FROM delivery JOIN body USING (seq) WHERE seq = ANY($1) ORDER BY seq""",
        seqs,
        tx.now,
    )


def storable(text: str) -> str:
    """Return a message in a form that PostgreSQL can hold: without U+0000 and half surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
