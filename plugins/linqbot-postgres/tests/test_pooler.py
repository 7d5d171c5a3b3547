"""The URL of a storage: connection pools in front of the server, a limit of connections, the password in a file."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme
from deploy.tools import tool
from linqbot_postgres.address import Address
from linqbot_postgres.migrate import check_up
from linqbot_postgres.storage import PostgresStorage
from patience import PATIENCE_S
from ports import free_port
from postgres_server import as_role, connected, empty_storage_url, execute, server_url
from storage.conftest import delivery, open_and_close

from linqbot.errors import ConfigError, StorageUnavailable

pytestmark = [pytest.mark.process, pytest.mark.tools]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can see."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def pooler(folder: Path, mode: str, more: str = "") -> Iterator[str]:
    """Run PgBouncer in front of the test server, and yield the URL of a storage behind it."""
    program = tool("pgbouncer", get="apt-get install pgbouncer")
    storage = empty_storage_url("pooled")
    parts = urlsplit(storage)
    host = parse_qs(parts.query).get("host", [parts.hostname or ""])[0]
    port = free_port()
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host={host} port={parts.port or 5432} user={parts.username or 'postgres'}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = {mode}\n{more}"
    )
    # As root it does not start: then it runs as the user of the server, who may not see the folders of the tests.
    as_user = ["-u", Path(host).owner() if host.startswith("/") else "nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen([program, *as_user, config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"postgresql://postgres@127.0.0.1:{port}{parts.path}?schema={parse_qs(parts.query)['schema'][0]}"
            wait_for(url.partition("?")[0])
            yield url
        finally:
            process.terminate()


def wait_for(url: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            execute(url, "SELECT 1")
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


async def test_a_pool_in_session_mode_works(folder: Path) -> None:
    with pooler(folder, "session") as url:
        async with PostgresStorage(url) as one, PostgresStorage(url) as other:
            await one.put(delivery(name="w.1"))
            async with asyncio.timeout(PATIENCE_S):
                while not (taken := await other.take(1, lease_s=60)):
                    await other.changed()
            assert taken[0].delivery.id == "w.1"


async def test_a_pool_in_transaction_mode_is_refused_with_the_reason(folder: Path) -> None:
    reason = r"pool in transaction mode.*LISTEN.*session mode"
    with pooler(folder, "transaction") as url:
        for using in (open_and_close(PostgresStorage(url)), check_up(url)):
            with pytest.raises(ConfigError, match=reason):
                await using


async def test_a_pool_that_is_too_small_is_named_with_the_remedy(folder: Path) -> None:
    with (
        pooler(folder, "session", "default_pool_size = 2\nquery_wait_timeout = 1\n") as url,
        pytest.raises(StorageUnavailable, match=r"query_wait_timeout.*raise its default_pool_size"),
    ):
        await open_and_close(PostgresStorage(url))


async def test_a_wrong_option_for_tls_is_named_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    failed = []
    for option, names in (
        ("sslmode=verify-full", "root.crt"),
        ("sslmode=verify-full&sslrootcert=/no/such/file", "sslrootcert=/no/such/file"),
        ("sslmode=perhaps", "sslmode"),
    ):
        with pytest.raises(ConfigError) as error:
            await open_and_close(PostgresStorage(f"postgresql://bot@127.0.0.1:1/db?{option}"))
        said = str(error.value)
        if ".." in said or not said.endswith(".") or "USER@HOST" in said or names not in said:
            failed.append((option, said))
    assert not failed


async def test_a_certificate_that_does_not_fit_is_not_taken_for_a_wrong_url(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("db.example.com").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)  # the request for TLS
        writer.write(b"S")
        with suppress(OSError):
            await writer.start_tls(context)
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://bot@127.0.0.1:{port}/db?sslmode=verify-full&sslrootcert={tmp_path / 'ca.pem'}"
        with pytest.raises(StorageUnavailable, match=r"certificate verify failed: IP address mismatch"):
            await open_and_close(PostgresStorage(url))


async def test_a_process_opens_no_more_connections_than_its_url_allows() -> None:
    url = empty_storage_url("bounded") + "&connections=3"
    async with PostgresStorage(url) as storage:
        await asyncio.gather(*(storage.depth() for _ in range(20)))
        async with connected(server_url()) as watcher:
            sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1"
            assert await watcher.fetchval(sql, f"linqbot {Address.parse(url).schema}") == 3


@pytest.fixture
def crowded() -> Iterator[str]:
    """The URL of a storage whose database allows three connections."""
    base = server_url()
    execute(
        base,
        "DROP DATABASE IF EXISTS crowded; DROP ROLE IF EXISTS crowd; CREATE ROLE crowd LOGIN; "
        "CREATE DATABASE crowded OWNER crowd CONNECTION LIMIT 3",
        one_by_one=True,
    )
    yield as_role(base.replace("/postgres?", "/crowded?"), "crowd")
    execute(base, "DROP DATABASE crowded WITH (FORCE); DROP ROLE crowd", one_by_one=True)


async def test_a_read_for_which_the_server_has_no_connection_fails_and_the_storage_goes_on(crowded: str) -> None:
    async with PostgresStorage(crowded) as storage:
        read = await asyncio.gather(*(storage.depth() for _ in range(9)), return_exceptions=True)
        refused = [each for each in read if isinstance(each, StorageUnavailable)]
        assert refused
        assert all("raise its max_connections, or lower connections=" in str(each) for each in refused)
        assert storage.trouble is None
        assert await storage.depth() == 0


def test_several_servers_may_be_named() -> None:
    address = Address.parse("postgresql://u:hunter2@one:5432,two:5433/d?target_session_attrs=read-write")
    assert address.name == "PostgreSQL at one:5432,two:5433/d (schema linqbot)"


async def test_an_option_that_the_server_does_not_know_is_named() -> None:
    url = empty_storage_url("options")
    with pytest.raises(StorageUnavailable, match='unrecognized configuration parameter "keepalive"'):
        await open_and_close(PostgresStorage(f"{url}&keepalive=1"))


async def test_the_password_is_read_from_a_file_for_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "password"
    url = empty_storage_url("secret") + f"&password_file={file}"
    with pytest.raises(ConfigError, match=r"password file .*/password .*cannot be read: No such file"):
        await open_and_close(PostgresStorage(url))
    file.write_text("hunter2\n")
    assert "hunter2" not in repr(Address.parse(url))
    async with PostgresStorage(url) as storage:
        assert await storage.depth() == 0


async def test_a_read_waits_for_a_password_file_that_is_away_as_for_a_server(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    async with PostgresStorage(empty_storage_url("away") + f"&password_file={file}") as storage:
        file.rename(tmp_path / "away")
        read = await asyncio.gather(*(storage.depth() for _ in range(9)), return_exceptions=True)
        failed = [each for each in read if isinstance(each, BaseException)]
        assert failed
        assert all(isinstance(each, StorageUnavailable) and "password file" in str(each) for each in failed)
        (tmp_path / "away").rename(file)
        assert await asyncio.gather(*(storage.depth() for _ in range(9))) == [0] * 9
