"""Events through procrastinate: one job for each, locked by chat. A duplicate that still waits is refused."""

# Only the benchmarks need this library, so it is not installed when types are checked.
# mypy: disable-error-code="import-not-found, untyped-decorator"
from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import procrastinate
import psycopg
from peers.events import AT_ONCE, HANDLER_S, Event

LEFT = "SELECT count(*) FROM (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing') LIMIT 1) AS jobs"


def _app(url: str) -> Any:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task(name="handle")
    async def handle(body: str) -> None:
        await asyncio.sleep(HANDLER_S)

    return app


async def prepare(url: str) -> None:
    app = _app(url)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def accept(url: str, events: Sequence[Event], at_once: int) -> None:
    """Store events, `at_once` of them in one transaction."""
    app = _app(url)
    async with app.open_async(), await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for start in range(0, len(events), at_once):
            async with connection.transaction():
                for event in events[start : start + at_once]:
                    job = app.tasks["handle"].configure(lock=event.chat, queueing_lock=event.id, connection=connection)
                    await job.defer_async(body=event.body.decode())
        # Without statistics of the new rows its plans are slow until autovacuum has made some.
        await connection.execute("ANALYZE")


async def work(url: str) -> None:
    """Handle events until the process is ended."""
    app = _app(url)
    async with app.open_async():
        await app.run_worker_async(concurrency=AT_ONCE, install_signal_handlers=False)
