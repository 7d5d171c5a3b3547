"""The lanes in PostgreSQL: put deliveries into them, lease their heads, give leases back, and end turns.

`storage/operations.py` calls these steps, inside a transaction of the writer. Each transaction first locks the lanes to
which it adds, in one order. So deliveries of a lane get their numbers in the order in which they are committed,
whatever process accepted them.

A lane is hidden until the lease of its head ends: `free_at` in the table `queue` is the time. The table `head` has the heads of
all lanes, so a lease does not read the whole inbox. Each lease has a token, which fences late writers. Turns that end together
share each statement.

When a process dies, its leases are counted by the process that notices it. Suspects are retried as in
`storage/indexes.py`, each group within one process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, ClassVar, Final

from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import EVERY_CHAT, chat_of_lane, lane_of_chat
from linqbot.storage import conversation_table, edits, hold_table, journal, operations, outcomes, people, upkeep
from linqbot.storage.dialect import Readable
from linqbot.storage.inbox import SOON_S, Ack, Defer, InboxLimits, Lease, Retry, keys_of, lease_over
from linqbot.storage.indexes import may_run
from linqbot.storage.op_queue import (
    BeginOp,
    FinishOp,
    OpsByKind,
    PutOp,
    PutReceiptOp,
    ReleaseOp,
    TakeOp,
    WorkOp,
    of,
)
from linqbot.storage.upkeep import DELIVERY
from linqbot_postgres.transaction import Statement, Taken, Transaction

_NO_HOLDS: Final = "[]"
_UNLIMITED: Final = 2**31 - 1
_INBOX_FULL: Final = -2
_LANE_FULL: Final = -1


def rounds(ops: Iterable[PutOp]) -> list[list[PutOp]]:
    """Return deliveries in rounds, in order. In a round, no two have an id or a message key in common."""
    found: list[list[PutOp]] = []
    known: set[str] = set()
    for op in ops:
        keys = keys_of(op.delivery)
        if not found or not known.isdisjoint(keys):
            found.append([])
            known = set()
        found[-1].append(op)
        known.update(keys)
    return found


def add_arrivals(
    statement: Statement, ops: Sequence[PutOp], limits: InboxLimits | None, left: int, payload: str | None = None
) -> None:
    """Store the deliveries of one round, of which `left` fit in, and set the result or error of each operation."""
    tx, new = statement.tx, [op.delivery for op in ops]

    async def note(found: Sequence[Any]) -> None:
        for seq, op in zip(found[0]["seqs"], ops, strict=True):
            if limits and seq in (_INBOX_FULL, _LANE_FULL):
                op.error = limits.full() if seq == _INBOX_FULL else limits.lane_full(op.delivery)
            else:
                op.result = seq > 0
            if op.result:
                tx.changes.stored.append((seq, op.delivery))
                if op.delivery.type == edits.TYPE:
                    tx.changes.edited.add(op.delivery.lane)
        stored = [op.delivery for op in ops if op.result]
        _note_accepted(tx, stored)
        tx.changes.note_received([delivery for delivery in stored if not delivery.is_internal])

    people.note_deliveries(tx, new)
    counted = sorted({delivery.lane for delivery in new}) if limits else []
    limit = limits.lane_limit if limits else _UNLIMITED
    values = statement.values(*_columns(new), tx.now, left, counted, limit, tx.memory.address.channel, payload)
    statement.step("accepted", f"accept_deliveries({values}) AS done", "(done).seqs", note)


def lock(statement: Statement, ops: OpsByKind) -> None:
    """Lock the lanes that a batch adds to, counts or takes from: all at once, and in the same order in every process.

    Otherwise two processes would often wait for each other: one adds to a lane whose head the other one ends, and ends the
    head of a lane to which the other one adds. A batch that only adds or only ends does it with its first step.
    """
    changed = {op.lane for op in of(ops, WorkOp) if op.lane is not None}
    kept = {op.delivery.lane for op in of(ops, PutOp)} | changed
    shortened = {op.lease.delivery.lane for op in of(ops, FinishOp)} | changed
    if kept and shortened:
        heads = statement.values(list(kept | shortened))
        statement.step("locked", f"lock_lanes({statement.values(list(kept))}), lock_heads({heads})")


def _columns(new: Iterable[Delivery]) -> list[list[Any]]:
    rows = [(d.id, d.lane, d.type, d.message_key, d.carrier, d.received_at, d.body) for d in new]
    return [list(column) for column in zip(*rows, strict=True)]


def _note_accepted(tx: Transaction, new: Sequence[Delivery]) -> None:
    tx.changes.wakes_others |= bool(new)
    tx.changes.lanes.update(delivery.lane for delivery in new)
    tx.changes.accepted += len(new)


ALL_HEADS: Final = 100_000
"""Heads that are looked at while there are suspects."""


def allowed(heads: Sequence[tuple[int, int]], running: Iterable[int], limit: int) -> list[int]:
    """Return the heads that may be leased while there are suspects, the suspects first; `running` are limits too."""
    chosen: list[int] = []
    in_force = list(running)
    suspects = [head for head in heads if head[1]]
    while suspects and len(chosen) < limit:
        seq, own = suspects[0]
        if not may_run(own, in_force):
            break
        suspects.pop(0)
        chosen.append(seq)
        in_force.append(own)
    # A suspect that must run alone waits until nothing else runs.
    if 1 in in_force or (suspects and suspects[0][1] == 1):
        return chosen
    return [*chosen, *[seq for seq, own in heads if not own][: limit - len(chosen)]]


_LONGEST_S: Final = 2**31 - 1

_SUSPECTS: Final = 0
"""The number in the only row of `lease` while there are suspects, if this process may not choose among them."""


def _seconds(op: TakeOp) -> int:
    """Return the seconds of a lease: whole ones, and no more than an integer of PostgreSQL holds."""
    return min(math.ceil(op.lease_s), _LONGEST_S)


def add_take(statement: Statement, op: TakeOp, *, may_choose: bool) -> None:
    """Lease the oldest heads, and set the result of the operation; see `Storage.take`.

    With `may_choose`, further statements choose among suspects. Without it, none are leased while there are suspects.
    """
    tx = statement.tx

    async def note(rows: Sequence[Any]) -> None:
        await _note(tx, op, rows, may_choose=may_choose)

    values = statement.values(
        _seconds(op), op.limit, tx.memory.process, may_choose, ALL_HEADS, tx.memory.address.lock("suspects")
    )
    # As this statement finds the queue at its start. Its own leases are added later. Other processes know when theirs end.
    now = statement.values(tx.now)
    due = f"SELECT extract(epoch FROM min(free_at))::float8 FROM queue WHERE free_at > to_timestamp({now})"
    statement.step("taken", f"lease({values}) AS one", f"(one).*, ({due}) AS due", note)


async def _note(tx: Transaction, op: TakeOp, rows: Sequence[Any], *, may_choose: bool) -> None:
    """Set the result of the operation to the leases of these rows. Read what is known of their chats: see `asks` in the schema."""
    due = rows[0]["due"]
    if may_choose:
        suspects = sorted(row["seq"] for row in rows if row["seq"] is not None and row["token"] is None)
        tx.changes.has_suspects = bool(suspects)
        if suspects:
            chosen = await _among_suspects(tx, suspects, op.limit)
            rows = await tx.fetch("SELECT * FROM lease_deliveries($1, $2)", chosen, tx.memory.process) if chosen else []
    op.result = []
    until = tx.now + _seconds(op)
    asking: list[str] = []
    for row in sorted((row for row in rows if row[0] is not None), key=itemgetter(0)):
        if row[0] == _SUSPECTS:
            tx.changes.has_suspects = True
            return
        seq, token, name, lane, kind, body, received_at, message_key, carrier, attempts, crashes, count, *others = row
        replay, put_back, _, asks, *_ = others
        stored = tx.memory.recent.get(seq)
        # The number may belong to another delivery by now: put_in_order changes numbers. And others may have joined this one,
        # in another process, or in a commit whose answer was lost.
        if stored is not None and stored.id == name and stored.body == body:
            delivery = stored
        else:
            delivery = Delivery(name, lane, kind, body, received_at, message_key, carrier)
        op.result.append(Lease(delivery, token, attempts, crashes, count, replay, put_back))
        tx.changes.leased.append(token)
        if (chat_id := chat_of_lane(lane)) is None:
            continue
        # Another process may have written or ended a conversation or the hold of the chat.
        if asks or chat_id in tx.memory.holds or EVERY_CHAT in tx.memory.holds:
            asking.append(chat_id)
        else:
            tx.changes.refreshed[chat_id] = []
    if asking:
        tx.changes.refreshed |= await conversation_table.in_chats(tx, asking)
        await hold_table.read(tx, asking)
        tx.changes.edited |= await edits.lanes_among(tx, list(map(lane_of_chat, asking)))
    if op.result:
        due = until if due is None else min(due, until)
    is_all = 0 < len(op.result) < op.limit and not tx.changes.has_suspects
    tx.changes.taken = Taken(tx.now, due, tx.changes.wakes_before, is_all)


async def following(db: Readable, lane: str, limit: int) -> list[Delivery]:
    # Both columns are compared, so that no plan reads the deliveries of other lanes in the order of their numbers.
    sql = f"""SELECT {DELIVERY} FROM (
                  SELECT * FROM delivery WHERE (lane, seq) >= ($1, 0) ORDER BY lane, seq OFFSET 1 LIMIT $2) AS behind
              JOIN body USING (seq) WHERE lane = $1 ORDER BY seq"""
    return [Delivery(*row) for row in await db.fetch(sql, lane, limit)]


async def _among_suspects(tx: Transaction, seqs: list[int], limit: int) -> list[int]:
    """Return those of the hidden heads that may run; the others become visible again."""
    sql = """SELECT max_concurrent_suspects FROM delivery
             WHERE seq IN (SELECT seq FROM leases_in_time($1)) AND seq <> ALL($2)"""
    running = [own for (own,) in await tx.fetch(sql, tx.memory.process, seqs)]
    sql = "SELECT seq, max_concurrent_suspects FROM delivery WHERE seq = ANY($1) ORDER BY seq"
    chosen = allowed([(seq, own) for seq, own in await tx.fetch(sql, seqs)], running, limit)
    await tx.set_visible([seq for seq in seqs if seq not in set(chosen)])
    return chosen


def _lanes_and_tokens(leases: Sequence[Lease]) -> tuple[list[str], list[int]]:
    return [lease.delivery.lane for lease in leases], [lease.token for lease in leases]


def _entries(statement: Statement, rows: Sequence[tuple[Any, ...]]) -> str:
    """Return the SQL of a table `u` of rows of the journal, each with the token of its lease."""
    return _with_tokens(statement, "journal", f"{journal.COLUMNS}, texts", rows)


def _with_tokens(statement: Statement, table: str, names: str, rows: Sequence[tuple[Any, ...]]) -> str:
    """Return the SQL of a table `u` of these columns of a table, each row with the token of its lease."""
    kinds = [*(statement.tx.memory.types[table, name] for name in names.split(", ")), "bigint"]
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in kinds]
    typed = zip(statement.values(*columns).split(", "), kinds, strict=True)
    arrays = ", ".join(f"{parameter}::{kind}[]" for parameter, kind in typed)
    return f"unnest({arrays}) AS u ({names}, token)"


def add_begins(statement: Statement, ops: Sequence[BeginOp]) -> None:
    """Store the entries of operations, and set the error of each whose lease is over. The state is left out."""
    tx, begun = statement.tx, [(op, entry) for op in ops for entry in op.entries]

    async def note(found: Sequence[Any]) -> None:
        for op in ops:
            if op.error is None and op.lease is not None and op.lease.token not in found[0]["held"]:
                op.error = lease_over(op.lease)
                tx.changes.ended_leases.add(op.lease.token)
        journal.note_own(tx, [entry for op, entry in begun if op.error is None])
        # Another process may hold the chat since this one heard of it. The call that begins must know.
        if found[0]["holds"] != _NO_HOLDS or tx.memory.holds:
            read = [[row[name] for name in hold_table.COLUMNS.split(", ")] for row in json.loads(found[0]["holds"])]
            hold_table.note_read(tx, filter(None, map(chat_of_lane, lanes)), read)

    lanes, tokens = _lanes_and_tokens([op.lease for op in ops if op.lease is not None])
    held = f"ARRAY(SELECT token FROM leases_of({statement.values(lanes, tokens)})) AS held"
    found_holds = f"""(SELECT coalesce(json_agg(m), '{_NO_HOLDS}')::text FROM hold m
                 WHERE lane = ANY({statement.values([*lanes, lane_of_chat(EVERY_CHAT)])}::text[])) AS holds"""
    statement.step("begun", f"{held}, {found_holds}", "held, holds", note)
    given = [journal.row(entry, texts=True) for _, entry in begun]
    journal.note_names(tx, given)
    rows = [
        (*row[:-1], None if op.lease is None else op.lease.token) for row, (op, _) in zip(given, begun, strict=True)
    ]
    # DO NOTHING applies to a repeated slot only. A key that another entry has must raise an error.
    statement.write(
        "new_entries",
        f"""INSERT INTO journal ({journal.COLUMNS}, texts)
            SELECT {journal.COLUMNS}, texts FROM begun, {_entries(statement, rows)}
            WHERE u.token IS NULL OR u.token = ANY (begun.held)
            ON CONFLICT (turn, replay, slot) DO NOTHING""",
    )


def is_plain(ops: Collection[FinishOp], keep_s: float) -> bool:
    """Return True if `add_ends` alone ends these turns: each is acked and writes only journal entries."""
    if keep_s or len({op.lease.token for op in ops}) < len(ops):
        return False
    ends = [op.commit for op in ops]
    writes = any(e.state or e.timers or e.cancelled or e.rearmed or e.recipients or e.ended for e in ends)
    return not writes and not any(e.off_the_record for e in ends) and all(map(operations.ends_its_turn, ops))


def add_ends(statement: Statement, ops: Collection[FinishOp]) -> None:
    """Remove deliveries whose turns have ended, and set the error of each operation whose lease is over.

    Of turns that `ends_its_turn` names, the outcomes of journal entries are stored.
    """
    tx, searched, rows = statement.tx, list[str | None](), list[tuple[Any, ...]]()
    for op in ops:
        ends = operations.ends_its_turn(op)
        search = isinstance(op.commit.outcome, Ack) and not (ends and op.commit.has_all_entries)
        searched.append(op.lease.delivery.id if search else None)
        if ends:
            given = list(journal.outcomes(tx, op.commit.entries, ended=True))
            journal.note_names(tx, given)
            rows += [(*row[:-1], op.lease.token) for row in given]
            journal.note_own(tx, op.commit.entries)

    async def note(found: Sequence[Any]) -> None:
        for op in ops:
            if op.lease.token in found[0]["over"]:
                op.error = lease_over(op.lease)
            tx.changes.ended_leases.add(op.lease.token)
        tx.changes.wakes_worker = True

    leases = _lanes_and_tokens([op.lease for op in ops])
    values = statement.values(*leases, searched, tx.now, SOON_S)
    statement.step("ended", f"end_turns({values}) AS over", "over", note)
    statement.write(
        "outcomes",
        f"""INSERT INTO journal ({journal.COLUMNS}, texts, ended_at)
            SELECT {journal.COLUMNS}, texts, {statement.values(tx.now)}::float8 FROM ended, {_entries(statement, rows)}
            WHERE u.token <> ALL (ended.over) {journal.REPLACE}""",
    )


def add_outcomes(statement: Statement, ops: Collection[FinishOp]) -> None:
    """Store what is kept for operators of turns that `add_ends` has ended just before."""
    tx, kept = statement.tx, [op for op in ops if op.commit.record is not None]
    if not kept:
        return
    rows = outcomes.rows(tx.now, [op.commit.record for op in kept if op.commit.record is not None])
    given = [(*row, op.lease.token) for row, op in zip(rows, kept, strict=True)]
    statement.write(
        "recorded",
        f"""INSERT INTO outcome ({outcomes.COLUMNS})
            SELECT {outcomes.COLUMNS} FROM ended, {_with_tokens(statement, "outcome", outcomes.COLUMNS, given)}
            WHERE u.token <> ALL (ended.over)""",
    )


def add_names(statement: Statement) -> None:
    """Store what the rows of this transaction name; see `storage/people.py`."""
    tx = statement.tx
    if not tx.changes.named:
        return
    whos, places, times = statement.values(*map(list, zip(*people.rows(tx, tx.names.install), strict=True))).split(", ")
    given = f"unnest({whos}::text[], {places}::text[], {times}::float8[])"
    statement.write("naming", f"INSERT INTO {people.INTO} SELECT * FROM {given} {people.REPLACE}")


class PostgresLaneTransaction(Transaction):
    """An open transaction; see `op_queue.LaneTransaction`."""

    old_ids: ClassVar[str] = """DELETE FROM seen WHERE id = ANY(ARRAY(
        SELECT id FROM seen WHERE at < $1 AND NOT EXISTS (SELECT FROM delivery WHERE id = seen.delivery_id)
        ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))"""

    async def store(self, new: Sequence[Delivery]) -> int:
        """Store new deliveries, and return their number. Backlog limits do not apply."""
        ops = [PutOp(delivery) for delivery in new]
        await self._put_all(ops, None)
        return sum(op.result for op in ops)

    async def put(self, ops: Sequence[PutOp]) -> None:
        await self._put_all(ops, self.memory.limits)

    async def _put_all(self, ops: Sequence[PutOp], limits: InboxLimits | None) -> None:
        """Store new deliveries, and set the result or the error of each operation. Without `limits` all fit in."""
        arrivals = rounds(ops)
        if len(arrivals) > 1:
            # All at once: two processes with the same deliveries in different rounds would wait for each other.
            await self.fetch("SELECT lock_lanes($1)", list({op.delivery.lane for op in ops}))
        for arriving in arrivals:
            left = await self._room(len(ops)) - len(self.changes.stored) if limits else _UNLIMITED
            statement = Statement(self)
            add_arrivals(statement, arriving, limits, left)
            await statement.run()

    async def _room(self, wanted: int) -> int:
        """Return how many deliveries fit into the inbox: at least `wanted`, if there is room for them."""
        memory = self.memory
        if memory.room_left < wanted:
            count = int(await self.value("SELECT count(*) FROM delivery"))
            memory.room_left = self.changes.room = max(memory.limits.limit - count, 0)
        return memory.room_left

    async def put_receipts(self, ops: Sequence[PutReceiptOp]) -> None:
        """Store what new receipts report, and set the result of each operation.

        Those that another process that serves may want as events, because its bot has handlers for them, are stored in their lanes.
        """
        types = {op.delivery.type for op in ops}
        sql = "SELECT t FROM unnest($1::text[]) AS t WHERE EXISTS (SELECT FROM process WHERE t <> ALL(settled))"
        wanted = {row["t"] for row in await self.fetch(sql, list(types))}
        settled = [op for op in ops if op.delivery.type not in wanted]
        # In one order in every process: two that remember the same receipts must not wait for each other.
        ids = sorted(op.delivery.id for op in settled)
        sql = "INSERT INTO seen (id, delivery_id, at) SELECT id, id, $2 FROM unnest($1::text[]) AS id ON CONFLICT DO NOTHING"
        new = {row["id"] for row in await self.fetch(f"{sql} RETURNING id", ids, self.now)}
        for op in settled:
            op.result = op.delivery.id in new
            new.discard(op.delivery.id)
        await journal.receive(self, [op.receipt for op in settled if op.result])
        self.changes.note_received([op.delivery for op in settled])
        await self.put([op for op in ops if op.delivery.type in wanted])

    async def put_in_order(self, lane: str, missed: Sequence[Delivery], lease: Lease | None, *, keep: bool) -> int:
        if lease is not None:
            head = await operations.leased(self, lease)
            if not keep:
                await self.give_back([head], [lease.token])
        stored = await self.store(missed)
        self.changes.wakes_others = True
        seqs = [seq for (seq,) in await self.fetch("SELECT seq FROM delivery WHERE lane = $1", lane)]
        # Another process may be leasing the head just now. Its commit, if any, comes before the next statement.
        await self.fetch("SELECT seq FROM queue WHERE seq = ANY($1) ORDER BY seq FOR UPDATE", seqs)
        await upkeep.put_in_order(self, seqs, ("delivery", "body"))
        return stored

    async def number(self, new: Sequence[Delivery]) -> Sequence[int]:
        lanes = [d.lane for d in new]
        await self.fetch("SELECT lock_lanes($1)", lanes)
        # A lane that waits for more deliveries gets one.
        sql = (
            "SELECT min(seq) FROM delivery WHERE lane = ANY($1) AND waits = 'gathering' AND token IS NULL GROUP BY lane"
        )
        await self.set_visible([row[0] for row in await self.fetch(sql, lanes)])
        known = {key: (key, d.id, self.now) for d in new for key in keys_of(d)}
        replace = "ON CONFLICT (id) DO UPDATE SET delivery_id = excluded.delivery_id, at = excluded.at"
        await self.insert("seen (id, delivery_id, at)", list(known.values()), replace)
        _note_accepted(self, new)
        return await self.add_to_queue(len(lanes))

    async def take(self, ops: Sequence[TakeOp]) -> None:
        for op in ops:
            statement = Statement(self)
            add_take(statement, op, may_choose=True)
            await statement.run()

    async def release(self, ops: Iterable[ReleaseOp]) -> None:
        lanes, tokens = _lanes_and_tokens([lease for op in ops for lease in op.leases])
        rows = await self.fetch("SELECT token, seq FROM leases_of($1, $2)", lanes, tokens)
        await self.give_back([row["seq"] for row in rows], tokens)

    async def give_back(self, seqs: Sequence[int], tokens: Sequence[int]) -> None:
        """Give back the leases of these deliveries that have these tokens. They count as nothing."""
        sql = "SELECT seq, token FROM delivery WHERE seq = ANY($1) AND token = ANY($2) ORDER BY seq FOR UPDATE"
        rows = await self.fetch(sql, list(seqs), list(tokens)) if seqs else []
        if not rows:
            return
        gone = [row["seq"] for row in rows]
        sql = "UPDATE delivery SET token = NULL, owner = NULL, delivery_count = delivery_count - 1 WHERE seq = ANY($1)"
        await self.run(sql, gone)
        await self.set_visible(gone)
        self.changes.ended_leases |= {row["token"] for row in rows}
        self.changes.wakes_others = True

    async def gather(self, lease: Lease, until: float, known: int) -> None:
        """Give back a lease, and let its lane wait for more deliveries. Raises LeaseLost if the lease is over."""
        # `lock` has the lane, so a `put` into it comes before or after all of this.
        sql = """UPDATE delivery SET token = NULL, owner = NULL, delivery_count = delivery_count - 1,
                     waits = 'gathering', not_before = $2
                 WHERE seq = (SELECT seq FROM head WHERE lane = $3) AND token = $1
                 RETURNING seq, (SELECT count(*) FROM delivery AS other WHERE other.lane = $3) AS count"""
        rows = await self.fetch(sql, lease.token, until, lease.delivery.lane)
        self.changes.ended_leases.add(lease.token)
        if not rows:
            raise lease_over(lease)
        ((seq, count),) = rows
        await self.set_visible_at([seq], [0.0 if count > 1 + known else until])
        self.changes.wakes_others = True

    async def join(self, lease: Lease, ids: Sequence[str], head: int) -> None:
        sql = "DELETE FROM delivery WHERE lane = $1 AND id = ANY($2) AND seq <> $3 RETURNING seq, id, message_key"
        rows = await self.fetch(sql, lease.delivery.lane, list(ids), head)
        self.changes.joined += [head, *await self._end_deleted(rows)]

    async def _end_deleted(self, rows: Sequence[Any]) -> list[int]:
        """Delete what belongs to deleted deliveries, of which these are numbers, ids and message keys. Return the numbers.

        Their ids stay known for a day, as after an ack, because Linq may deliver them again.
        """
        gone = [seq for seq, _, _ in rows]
        await self.run(
            "UPDATE seen SET at = $1 WHERE id = ANY($2)", self.now, [key for _, *keys in rows for key in keys if key]
        )
        await self.run("DELETE FROM body WHERE seq = ANY($1)", gone)
        await self.run("DELETE FROM queue WHERE seq = ANY($1)", gone)
        return gone

    async def count_crashes(self, processes: Collection[str]) -> None:
        """Count the crash of processes for the deliveries that they had leased, and let others lease these."""
        for process in sorted(processes):
            owned = [row["seq"] for row in await self.fetch("SELECT seq FROM leases_owned_by($1) AS seq", process)]
            await operations.count_crash(self, owned)
            await self.set_visible(owned)
            await self.run("DELETE FROM process WHERE id = $1", process)
            self.changes.wakes_others = True

    async def in_force(self, found: Sequence[Lease]) -> dict[int, int]:
        if not found:
            return {}
        lanes, tokens = _lanes_and_tokens(found)
        rows = await self.fetch("SELECT token, seq FROM lock_leases($1, $2)", lanes, tokens)
        seqs = {row["token"]: row["seq"] for row in rows}
        self.changes.ended_leases |= set(tokens) - seqs.keys()
        return seqs

    async def postpone(self, ops: Mapping[int, FinishOp]) -> None:
        ends = [op.commit.outcome for op in ops.values()]
        await self.set_visible_at(list(ops), [end.at for end in ends if isinstance(end, Retry | Defer)])
        self.changes.ended_leases |= {op.lease.token for op in ops.values()}
        # Another process may have what the turn waits for, such as the handler in a rolling update. That process may know only
        # when the ended lease was to end, and would sleep until then.
        self.changes.wakes_others |= any(isinstance(end, Defer) for end in ends)

    async def remove(self, ops: Mapping[int, FinishOp], _: Collection[int]) -> None:
        statement = Statement(self)
        add_ends(statement, ops.values())
        await statement.run()

    async def forget(self, ids: Collection[str]) -> int:
        if not ids:
            return 0
        gone = await self.fetch("DELETE FROM delivery WHERE id = ANY($1) RETURNING seq, id, message_key", list(ids))
        await self._end_deleted(gone)
        self.changes.wakes_others = True
        return len(gone)

    async def has_room(self) -> bool:
        return await self._room(1) > 0
