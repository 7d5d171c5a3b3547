"""The processes that serve one storage: which are alive, what they must know at the start, and what a dead one leaves.

Each process holds a session lock on the connection that listens. The server frees it when the connection ends, so a process
that was killed is noticed without a heartbeat. A process that only lost its connection connects again within seconds. So a
running process counts another as dead if its lock is free at two sweeps in a row; only at the start, when the predecessor
of this process has probably died, it does so at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from typing import Final

from linqbot.errors import ConfigError
from linqbot.linq.signatures import TOLERANCE_S
from linqbot.storage import conversation_table, facts, hold_table, upkeep
from linqbot_postgres.address import Address, Connection
from linqbot_postgres.lanes import PostgresLaneTransaction
from linqbot_postgres.transaction import Memory, PostgresReader, Transaction

SWEEP_S: Final = 15.0
"""Seconds between two looks for processes that died and for notifications that were lost."""

TICK_S: Final = 1.0
"""Seconds between two looks whether the clock of this machine was set."""

_YOUNG_S: Final = 10.0
"""Seconds after the start of the server in which every process is still connecting again."""

COPIED: Final = "copied"
"""The owner of leases in a storage that was copied: processes that had died. The next process that starts counts the crash."""

_STORAGE: Final = "storage"
"""The name of the lock that every process that uses the storage shares, and a copy holds alone."""


async def ahead(connection: Connection) -> float:
    """Return the seconds by which the clock of the database is ahead of the clock of this machine."""
    shortest, found = math.inf, 0.0
    # The first call takes two round trips, because the statement is prepared in it. The shortest is the most exact.
    for _ in range(3):
        before = time.time()
        there = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8"))
        after = time.time()
        if after - before < shortest:
            shortest, found = after - before, there - (before + after) / 2
    return found


def clock_fault(ahead_s: float) -> str | None:
    """Return why a process must not serve; None if it may.

    Messages and sends would count as too late, or as too early, and the signature of each webhook would be refused.
    """
    if abs(ahead_s) <= TOLERANCE_S:
        return None
    order = "behind" if ahead_s > 0 else "ahead of"
    return f"the clock of this machine is {abs(ahead_s):.0f} s {order} the clock of the database. Set both by NTP"


async def enter(connection: Connection, address: Address) -> None:
    """Use the storage for as long as the connection lasts. Raises ConfigError during a copy, or after one that was interrupted."""
    if not await connection.fetchval("SELECT pg_try_advisory_lock_shared($1)", address.lock(_STORAGE)):
        raise ConfigError(f"{address.name} is being copied. Wait until linqbot storage copy has ended.")
    await upkeep.refuse_unfinished(PostgresReader(connection, 0.0), address.name)


async def enter_alone(connection: Connection, address: Address) -> bool:
    """Keep all others from using the storage for as long as the connection lasts. Return False if one uses it now."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", address.lock(_STORAGE)))


async def join(connection: Connection, address: Address, process: str) -> None:
    """Take the lock of this process, for as long as the connection lasts."""
    await connection.fetchval("SELECT pg_advisory_lock($1)", address.lock(f"process\0{process}"))


async def remember(tx: PostgresLaneTransaction, memory: Memory, settled: Collection[str]) -> None:
    """Register this process, and read what it keeps in memory. After a reconnection its leases stay in force."""
    if memory.serving:
        sql = "INSERT INTO process (id, lock, settled) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING"
        await tx.run(sql, tx.memory.process, tx.memory.address.lock(f"process\0{tx.memory.process}"), list(settled))
        await give_back_unknown(tx, memory)
    memory.room_left = 0
    tx.changes.all_conversations = await conversation_table.summaries(tx)
    await hold_table.read_all(tx, memory.holds)
    memory.has_own_entries = await tx.value("SELECT EXISTS (SELECT FROM journal WHERE starts_with(turn, 'i.'))")
    memory.types = await types_of(tx)
    memory.noted_at = float(await facts.read(tx, "active_at") or 0.0)
    memory.forget_times()


async def types_of(tx: Transaction) -> dict[tuple[str, str], str]:
    sql = """SELECT relname, attname, format_type(atttypid, NULL) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
             WHERE relnamespace = $1::regnamespace AND attnum > 0 AND NOT attisdropped"""
    return {(table, column): kind for table, column, kind in await tx.fetch(sql, tx.memory.address.schema)}


async def give_back_unknown(tx: PostgresLaneTransaction, memory: Memory) -> None:
    """Give back the leases that this process has but does not know: the answer to the commit that made them was lost."""
    owned = {
        row["token"]: row["seq"]
        for row in await tx.fetch("SELECT token, seq FROM leases_in_time($1)", tx.memory.process)
    }
    # The memory follows after COMMIT: a turn may have ended in this transaction, and if that is rolled back, its lease stays.
    tx.changes.ended_leases |= memory.held - owned.keys()
    unknown = sorted(owned.keys() - memory.held)
    await tx.give_back([owned[token] for token in unknown], unknown)


async def missing(tx: Transaction) -> set[str]:
    sql = "SELECT id FROM process WHERE id <> $1 AND pg_try_advisory_xact_lock(lock)"
    return {row["id"] for row in await tx.fetch(sql, tx.memory.process)}


async def is_server_young(tx: Transaction) -> bool:
    """Return True if the server has just started, so that processes are still connecting again."""
    sql = "SELECT extract(epoch FROM pg_catalog.clock_timestamp() - pg_postmaster_start_time()) < $1::float8"
    return bool(await tx.value(sql, _YOUNG_S))
