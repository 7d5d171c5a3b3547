"""`linqbot check` finds each planted problem, says how to fix it, and reports nothing else."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import secrets
import socket
import sqlite3
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import httpx
import pytest
import trustme
from cli.practice import KEY, LINE, Practice, problems, serve, text_the_bot, the
from cli.running.broken_proxies import Crooked, Headers, proxying
from fakes import NOW, PERSON, delivery, text_body
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.web.app import create_app
from linqbot_postgres.storage import PostgresStorage
from plugin_packages import install_plugin
from ports import free_port
from postgres_server import as_role, connected, empty_storage_url, execute, server_url
from storages import BACKENDS

import linqbot.ops.doctor
from linqbot import Client
from linqbot.errors import ConfigError
from linqbot.linq.events.delivery import PROBE_TYPE
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.linq.signatures import random_secret
from linqbot.ops.check_codes import CODES
from linqbot.ops.doctor import account
from linqbot.ops.doctor.context import DoctorContext, Finding, examine
from linqbot.ops.doctor.probe import probe_server, public_authorities
from linqbot.ops.stored_contents import migrate
from linqbot.server import uvicorn_server
from linqbot.settings import from_env
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import Ack, Commit
from linqbot.storage.sqlite.storage import SQLiteStorage

# --- no problems ------------------------------------------------------------------------------------------------------


def test_a_ready_bot_has_no_problems_before_it_is_served(practice: Practice) -> None:
    practice.sync()
    findings = practice.doctor()
    assert [each.status for each in findings] == ["ok"] * len(findings), findings
    assert {each.check for each in findings} >= {
        "versions", "token", "line", "subscription", "events", "secret", "clock", "storage", "disk", "delivery",
    }  # fmt: skip
    delivery = next(each for each in findings if each.check == "delivery")
    assert "linqbot check stood in" in delivery.what
    assert delivery.fix == "Go live with: linqbot serve bot.py"
    with socket.socket() as again:
        again.bind(("127.0.0.1", practice.port))


def test_a_served_bot_accepts_the_test_event_through_its_proxy_and_no_handler_gets_it(
    practice: Practice, command: Callable[..., Any]
) -> None:
    (practice.folder / "bot.py").write_text(
        "from pathlib import Path\nfrom linqbot import Bot\nfrom linqbot.linq.events.event import Event\n"
        "bot = Bot()\n@bot.on(Event)\nasync def note(event, ctx):\n    with Path('seen').open('a') as seen: seen.write(event.type + ' ')\n"
    )
    with proxying(Crooked(f"http://127.0.0.1:{practice.port}")) as proxy:
        practice.sync(proxy.url)
        bot = serve(practice, command)
        findings = practice.doctor()
        bot.until(lambda: httpx.get(f"http://127.0.0.1:{practice.port}/readyz").json()["waiting"] == 0)
    assert problems(findings) == []
    assert f"process {bot.process.pid} serves it" in next(each.what for each in findings if each.check == "storage")
    assert bot.stop() == 0
    assert KEY not in bot.said()
    assert not any(secret.removeprefix("whsec_") in bot.said() for secret in practice.kept().values())
    # This bot handles every event, even those about its own subscription. The test event must not reach it.
    seen = practice.folder / "seen"
    assert "linqbot.doctor" not in (seen.read_text() if seen.exists() else "")


@pytest.mark.parametrize("kept", [True, False], ids=["with-its-secret", "without"])
def test_a_delivery_during_the_doctors_run_is_retried(practice: Practice, *, kept: bool) -> None:
    held: list[int] = []

    def hold(headers: Headers, body: bytes) -> tuple[Headers, bytes]:
        if not held and b"linqbot.doctor" in body:
            held.append(1)
            text_the_bot(practice)
        return headers, body

    with proxying(Crooked(f"http://127.0.0.1:{practice.port}", request=hold)) as proxy:
        practice.sync(proxy.url)
        if not kept:
            practice.secret_file.unlink()
        assert problems(practice.doctor("--url", proxy.url)) == ([] if kept else ["failure LQB1006"])
    delivered = [each for each in practice.deliveries() if each["event_type"] == "message.received"]
    assert [each["attempts"][0]["status"] for each in delivered] == [503]


# --- planted problems -------------------------------------------------------------------------------------------------


Plant: TypeAlias = Callable[[Practice], object]


def setting(name: str, value: str | None) -> Plant:
    return lambda practice: practice.environ.update({name: value})


def storage(url: str) -> Plant:
    return setting("LINQBOT_STORAGE", url)


def line(**standing: str) -> Plant:
    body = {"phone_number": LINE, **standing}
    return lambda practice: httpx.post(f"{practice.linq}/emulator/lines", json=body).raise_for_status()


def subscription(query: str | None = None, **changes: Any) -> Plant:
    def change(practice: Practice) -> None:
        practice.change(**changes if query is None else {"target_url": practice.url + query})

    return change


def write(file: str, text: str) -> Plant:
    return lambda practice: (practice.folder / file).write_text(text)


def kept_secret(text: str, **environ: str) -> Plant:
    """Replace the file of secrets; `{}` in a text is the right secret."""

    def replace(practice: Practice) -> None:
        secret = practice.secret()
        write(SECRET_FILE, text.format(secret))(practice)
        practice.environ |= {name: value.format(secret) for name, value in environ.items()}

    return replace


def second_subscription(practice: Practice) -> None:
    body = {"target_url": practice.url + "?version=2026-02-03&linqbot=2", "subscribed_events": ["message.received"]}
    practice.api("POST", "/webhook-subscriptions", body)


def newer_storage(practice: Practice) -> None:
    with closing(sqlite3.connect("linqbot.db")) as db:
        db.executescript(f"PRAGMA application_id = {0x6C696E71}; PRAGMA user_version = 99; CREATE TABLE meta (key)")


def readable_storage(practice: Practice) -> None:
    Path("linqbot.db").touch()
    Path("linqbot.db").chmod(0o644)


SECRET_FILE = ".linqbot/webhook-secret"
HIDDEN_HANDLER = """
from linqbot import Bot
bot = Bot()
bot.on_message(lambda message, ctx: "all")
bot.on_message("hi")(lambda message, ctx: "never")
"""
OPTS_OUT = """
from linqbot import Bot, in_group
bot = Bot()
bot.on_message("menu", "cancel", "stop it")(lambda message, ctx: "first")
bot.on_message("stop", in_group)(lambda message, ctx: "second")
bot.on_opt_out(lambda message, ctx: "third")
"""
FAILING_MIDDLEWARE = """
from linqbot import Bot
bot = Bot()
@bot.use
def limited(next_):
    print("limits are read")  # this must not get into JSON
    raise ValueError("no limits")
"""
SMS = "sms:+14155550142"
PLANTED: list[tuple[Plant, list[str], str]] = [
    (setting("LINQ_API_V3_API_KEY", None), ["failure LQB1005"], "Set it to the API token"),
    (
        setting("LINQ_API_V3_API_KEY", "another"),
        ["failure LQB3003"],
        ": phone_numbers.list was answered 401/2004",
    ),
    (setting("LINQ_API_V3_BASE_URL", "http://127.0.0.1:1"), ["failure LQB3005"], "127.0.0.1:1"),
    # One that is set, and cannot be used, is not said to be missing.
    (setting("LINQ_API_V3_API_KEY", "two words"), ["failure LQB1005"], "contains spaces"),
    (setting("LINQ_API_V3_BASE_URL", "nonsense"), ["failure LQB1001"], "base URL"),
    (
        setting("LINQ_WEBHOOK_SECRET", "nonsense!"),
        ["failure LQB1006"],
        "LINQ_WEBHOOK_SECRET, or secrets=, does not fit",
    ),
    (line(reputation="AT_RISK"), ["warning LQB6022"], LINE),
    (line(reputation="CRITICAL"), ["failure LQB6022"], LINE),
    (line(status="FLAGGED"), ["failure LQB6023"], LINE),
    (setting("LINQBOT_LINES", f"{LINE},+12025550999"), ["failure LQB6024"], "+12025550999"),
    (subscription(phone_numbers=[LINE]), ["warning LQB6036"], ""),
    (second_subscription, ["failure LQB6032", "failure LQB6041"], ""),
    (kept_secret("{} another-subscription\n"), ["failure LQB6041"], ""),
    (kept_secret("{} another-subscription\n", LINQ_WEBHOOK_SECRET="{}"), ["warning LQB6042"], ""),
    (lambda practice: practice.secret_file.chmod(0o644), ["warning LQB6043"], f"chmod 600 {SECRET_FILE}"),
    (kept_secret("nonsense!\n"), ["failure LQB1006"], SECRET_FILE),
    (readable_storage, ["warning LQB6084"], "chmod 600 "),
    (storage("sqlite:////proc/self/linqbot.db"), ["failure LQB4002"], ""),  # even root cannot create a file there
    (storage("sqlite:///bot.py"), ["failure LQB1008"], "not an SQLite file"),
    (storage("sqlite:///."), ["failure LQB1008"], "is a folder"),
    (newer_storage, ["failure LQB4001"], "schema 99"),
    (storage("memory://"), ["warning LQB6083"], ""),
    (storage("mysql://x"), ["failure LQB1008"], ""),
    (storage("sqlite:///nowhere/x.db"), ["failure LQB1008"], ""),
    (storage("postgresql://bot@127.0.0.1:1/linq"), ["failure LQB4002"], "correct what the message names"),
    (storage("postgresql://bot@127.0.0.1:1/linq?schema=pg_bot"), ["failure LQB1001"], ""),
    (setting("LINQBOT_PORT", "many"), ["failure LQB1009"], ""),
    (setting("LINQBOT_POST_SECRETS", "shop"), ["failure LQB1009"], "LINQBOT_POST_SECRETS"),
    (write("bot.py", "bot = Bot("), ["failure LQB5002"], "SyntaxError"),
    (write("bot.py", HIDDEN_HANDLER), ["failure LQB5001"], "can never run"),
    (write("bot.py", OPTS_OUT), ["warning LQB6092"], "The bot uses the word 'cancel' (the handler at bot.py:4)."),
    (write("bot.py", FAILING_MIDDLEWARE), ["failure LQB5001"], "ValueError: no limits"),
    # An owner who can only get texts.
    (setting("LINQBOT_TELL", SMS), ["warning LQB6094"], ""),
    (setting("LINQBOT_TELL", f"{SMS},mailto:ann@a.test"), ["failure LQB1009"], "LINQBOT_SMTP_URL"),
    (setting("LINQBOT_HEARTBEAT_URL", "nonsense"), ["failure LQB1009"], "LINQBOT_HEARTBEAT_URL does not fit"),
    (setting("LINQBOT_TELL", f"{SMS},https://a.test/hook"), [], ""),
]


CORRECTED_BY_SYNC: list[tuple[Plant, list[str], str]] = [
    (
        lambda practice: practice.api("DELETE", f"/webhook-subscriptions/{practice.subscription()['id']}"),
        ["failure LQB6030"],
        "Subscribe: linqbot connect sync bot.py --url http://127.0.0.1:",
    ),
    (subscription(is_active=False), ["failure LQB6031"], "linqbot connect sync bot.py --url http://127.0.0.1:"),
    (
        subscription(subscribed_events=["message.received", "chat.created"]),
        ["failure LQB6032"],
        "reaction.added",
    ),
    (subscription("?version=2025-01-01"), ["failure LQB6034"], ""),
    (subscription(""), ["warning LQB6034"], ""),  # no version at all
]


@pytest.mark.parametrize(("plant", "found", "says"), [*PLANTED, *CORRECTED_BY_SYNC])
@pytest.mark.usefixtures("postgres_plugin")
def test_a_planted_problem_is_found_and_all_else_is_looked_at(
    practice: Practice, plant: Plant, found: list[str], says: str
) -> None:
    practice.sync()
    plant(practice)
    findings = practice.doctor("--url", practice.url)
    assert problems(findings) == found
    assert {"versions", "storage"} <= {each.check for each in findings} or found == ["failure LQB1009"]
    assert says in " ".join(f"{each.what} {each.fix}" for each in findings if each.code)
    if (plant, found, says) in CORRECTED_BY_SYNC:
        practice.sync()
        assert problems(practice.doctor()) == []


async def test_a_token_that_would_travel_unencrypted_is_found(subtests: pytest.Subtests) -> None:
    rows: list[tuple[str, list[str]]] = [
        ("http://linq.test:4010/api/partner", ["LQB6014"]),
        ("http://192.0.2.7", ["LQB6014"]),
        ("http://localhost.evil.test", ["LQB6014"]),
        ("https://linq.test", []),
        *((f"http://{here}:4010", []) for here in ("localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]")),
    ]
    for base_url, in_clear in rows:
        with subtests.test(base_url=base_url):
            linq = Emulator(api_key=KEY, public_url=base_url)
            settings = from_env({"LINQ_API_V3_API_KEY": KEY, "LINQ_API_V3_BASE_URL": base_url})
            transport = httpx.ASGITransport(create_app(linq))
            async with linq, Client(KEY, base_url=base_url, transport=transport) as client:
                findings = await account.token(DoctorContext(settings, client, None, None, None, None))
            assert [each.status for each in findings] == ["ok", *("warning" for _ in in_clear)]
            assert [each.code for each in findings[1:]] == in_clear
            assert all("https://" in each.with_fix({}).fix and KEY not in each.what for each in findings[1:])


def test_handlers_of_one_name_are_counted_each_and_one_of_several_routes_once(practice: Practice) -> None:
    code = "from linqbot import Bot\nbot = Bot()\nfor word in 'ab': bot.on_message(word)(lambda message, ctx: 'x')\n"
    code += "@bot.on_message('c')\n@bot.on_message('d')\ndef both(message, ctx): ...\n"
    (practice.folder / "bot.py").write_text(code)
    assert "Handlers: 3, for 1 of" in practice.doctor("--only", "words")[0].what


def test_a_missing_secret_is_found(practice: Practice) -> None:
    findings = practice.doctor("--url", practice.url)
    assert problems(findings) == ["failure LQB6030", "failure LQB1006"]
    assert any(each.check == "delivery" and each.what.startswith("The way to") for each in findings)


def test_a_bot_with_another_secret_is_found(practice: Practice, command: Callable[..., Any], tmp_path: Path) -> None:
    practice.sync()
    other = {"LINQ_WEBHOOK_SECRET": "whsec_" + "QUJD" * 10, "LINQ_WEBHOOK_SECRET_FILE": str(tmp_path / "none")}
    serve(practice, command, **other)
    findings = practice.doctor()
    assert problems(findings) == ["failure LQB6070"]
    assert "linqbot connect rotate" in the(findings, "LQB6070").fix


@pytest.mark.slow
def test_a_secret_is_no_problem_once_deliveries_were_accepted_but_is_not_called_right(
    practice: Practice, command: Callable[..., Any]
) -> None:
    practice.sync()
    practice.environ["LINQ_WEBHOOK_SECRET"] = practice.secret()
    practice.environ["LINQ_WEBHOOK_SECRET_FILE"] = "none"
    bot = serve(practice, command)
    assert problems(practice.doctor("--url", practice.url)) == ["warning LQB6042"]
    text_the_bot(practice)
    findings = practice.doctor("--url", practice.url)
    assert problems(findings) == []
    assert any(" have been accepted here, the last about " in each.what for each in findings)
    assert bot.stop() == 0
    # The server has another secret from now on, and refuses Linq's deliveries.
    practice.environ["LINQ_WEBHOOK_SECRET"] = "whsec_" + "QUJD" * 10
    bot = serve(practice, command)
    practice.text("hello")
    bot.until(lambda: "delivery.forged" in bot.said())
    said = " ".join(each.what for each in practice.doctor("--url", practice.url))
    assert "It fits" not in said
    assert "so they were not from Linq" not in said


@pytest.mark.parametrize(("off_s", "problem"), [(-400, "failure LQB6050"), (400, "failure LQB6050"), (90, None)])
def test_a_clock_that_is_off_is_found(practice: Practice, off_s: int, problem: str | None) -> None:
    practice.sync()

    def later(headers: Headers) -> Headers:
        at = parsedate_to_datetime(headers["date"]) + timedelta(seconds=off_s)
        return headers | {"date": format_datetime(at, usegmt=True)}

    with proxying(Crooked(practice.linq, answer=later)) as linq:
        practice.environ["LINQ_API_V3_BASE_URL"] = linq.url
        findings = practice.doctor()
    assert problems(findings) == ([problem] if problem else [])
    if problem:
        assert ("behind" if off_s > 0 else "ahead") in the(findings, problem.split()[1]).what


def test_an_address_without_a_server_is_found(practice: Practice) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    practice.sync(nowhere)
    findings = practice.doctor()
    assert problems(findings) == ["failure LQB6060"]
    here = f"stood in for the bot on 127.0.0.1:{practice.port}, and the event did not arrive there."
    assert here in the(findings, "LQB6060").what


def found_behind(practice: Practice, *, tls: ssl.SSLContext | None = None, **faults: Any) -> list[Finding]:
    """Return the findings about a bot behind a proxy with these faults."""
    with proxying(Crooked(**{"upstream": f"http://127.0.0.1:{practice.port}"} | faults), tls=tls) as proxy:
        practice.sync(proxy.url)
        return practice.doctor()


def certified(authority: trustme.CA, **how: Any) -> ssl.SSLContext:
    """Return a server's context with a certificate of an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", **how).configure_cert(context)
    return context


def test_a_certificate_of_a_private_authority_is_found_also_if_this_machine_trusts_it(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA(organization_name="Our Own")
    authority.cert_pem.write_to_path(practice.folder / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(practice.folder / "authority.pem"))
    findings = found_behind(practice, tls=certified(authority))
    assert problems(findings) == ["failure LQB6061"]
    assert "A private authority signed it, which Linq does not trust, or" in the(findings, "LQB6061").what


@pytest.mark.parametrize(
    ("begins", "ends", "problem"),
    [
        (timedelta(days=-90), timedelta(days=5, hours=1), "warning LQB6065"),
        (timedelta(days=-3), timedelta(days=3, hours=1), None),  # it lives for six days only
        (timedelta(days=-5, hours=-1), timedelta(hours=23, minutes=5), "warning LQB6065"),
    ],
)
def test_a_certificate_that_expires_soon_is_found(
    practice: Practice, monkeypatch: pytest.MonkeyPatch, begins: timedelta, ends: timedelta, problem: str | None
) -> None:
    authority, now = trustme.CA(), datetime.now(UTC)
    authority.cert_pem.write_to_path(practice.folder / "public.pem")
    monkeypatch.setattr("certifi.where", lambda: str(practice.folder / "public.pem"))
    monkeypatch.setattr("linqbot.ops.doctor.probe.public_authorities", public_authorities.__wrapped__)
    findings = found_behind(practice, tls=certified(authority, not_before=now + begins, not_after=now + ends))
    assert problems(findings) == ([problem] if problem else [])
    left = f"for {ends.days} days" if ends.days > 1 else "for 23 hours"
    assert left in next(each.what for each in findings if each.check == "certificate")


def without_webhook_headers(headers: Headers, body: bytes) -> tuple[Headers, bytes]:
    return {name: value for name, value in headers.items() if not name.startswith("webhook-")}, body


def test_a_proxy_that_changes_deliveries_and_another_server_at_the_address_are_found(
    practice: Practice, subtests: pytest.Subtests
) -> None:
    rows: list[tuple[dict[str, Any], str, str]] = [
        ({"request": without_webhook_headers}, "LQB6071", "webhook-id, webhook-timestamp, webhook-signature"),
        ({"request": lambda headers, body: (headers, json.dumps(json.loads(body)).encode())}, "LQB6072", "bytes left"),
        ({"request": lambda headers, body: (headers, body.strip())}, "LQB6072", "bytes left"),
        ({"status": 302}, "LQB6062", "redirects to elsewhere.test"),
        ({"status": 404}, "LQB6063", "404"),
        ({"status": 401}, "LQB6064", "401"),
        ({"status": 502}, "LQB6066", "502"),
        ({"status": 200}, "LQB6067", "a random secret"),
        ({"status": 503}, "LQB6073", "503"),
    ]
    for faults, problem, says in rows:
        with subtests.test(faults=faults):
            findings = found_behind(practice, **faults)
            assert problems(findings) == [f"failure {problem}"]
            assert says in the(findings, problem).what
            assert practice.run("connect", "remove", practice.subscription()["id"], "--yes").exit_code == 0


async def asked_by(*handlers: str) -> None:
    """Store an open question of each of these handlers in the storage of the folder."""
    async with SQLiteStorage("linqbot.db") as storage:
        for n, handler in enumerate(handlers):
            await storage.put(delivery(text_body(chat=f"chat-{n}")))
            (lease,) = await storage.take(1, lease_s=60)
            question = Conversation(lease.delivery.id, 0, f"chat-{n}", PERSON, handler, "waiting", NOW, NOW + 60, b"{}")
            await storage.finish(lease, Commit(Ack(), conversations=[question]))


def test_open_questions_of_handlers_that_are_gone_are_found(practice: Practice) -> None:
    practice.sync()
    asyncio.run(asked_by("bot:echo"))
    assert problems(practice.doctor()) == []
    asyncio.run(asked_by("bot:gone", "bot:echo", "bot:gone", "other:form"))
    findings = practice.doctor()
    assert problems(findings) == ["warning LQB6087"]
    found = the(findings, "LQB6087").what
    assert found == "3 open questions cannot go on: the bot has no handlers bot:gone, other:form."
    assert problems(practice.doctor(file="")) == ["warning LQB6087"]  # bot.py of this folder
    (practice.folder / "bot.py").unlink()
    assert problems(practice.doctor(file="")) == []


async def server_version() -> str:
    async with connected(server_url()) as connection:
        number = int(await connection.fetchval("SHOW server_version_num"))
    return f"{number // 10_000}.{number % 10_000}"


@pytest.mark.process
@pytest.mark.usefixtures("postgres_plugin")
def test_a_storage_in_postgresql_is_inspected_and_not_changed(practice: Practice) -> None:
    practice.sync()
    url = practice.environ["LINQBOT_STORAGE"] = empty_storage_url("doctor")
    execute(server_url(), f"DROP SCHEMA IF EXISTS {url.rpartition('=')[2]} CASCADE")
    for _ in range(2):
        findings = practice.doctor()
        assert problems(findings) == []
        assert any("does not exist yet" in each.what for each in findings if each.check == "storage")
    asyncio.run(migrate(url, BACKENDS))
    findings = practice.doctor()
    assert problems(findings) == []
    (what,) = (each.what for each in findings if each.check == "storage")
    assert "0 processes serve it, 0 waiting" in what
    assert f"(version {asyncio.run(server_version())}, " in what


@pytest.fixture
def database(practice: Practice) -> Iterator[tuple[str, str]]:
    """The schema of a storage in PostgreSQL, and the role of the bot, which the test makes."""
    practice.sync()
    url, role = empty_storage_url("doctor"), f"role{secrets.token_hex(4)}"
    asyncio.run(migrate(url, BACKENDS))
    practice.environ["LINQBOT_STORAGE"] = as_role(url, role)
    yield url.rpartition("=")[2], role
    execute(server_url(), f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.process
@pytest.mark.usefixtures("postgres_plugin")
def test_a_database_that_can_only_be_read_is_a_fault(practice: Practice, database: tuple[str, str]) -> None:
    _, role = database
    execute(
        server_url(),
        f"CREATE ROLE {role} LOGIN SUPERUSER; ALTER ROLE {role} SET default_transaction_read_only = on",
    )
    findings = practice.doctor()
    assert problems(findings) == ["failure LQB4002"]
    assert "target_session_attrs=read-write" in the(findings, "LQB4002").fix


@pytest.mark.process
@pytest.mark.usefixtures("postgres_plugin")
def test_a_database_whose_queue_is_missing_is_found_with_both_causes(practice: Practice) -> None:
    practice.sync()
    practice.environ["LINQBOT_STORAGE"] = url = empty_storage_url("half")
    schema = url.rpartition("=")[2]
    asyncio.run(migrate(url, BACKENDS))
    execute(server_url(), f"DROP TABLE {schema}.queue CASCADE")
    findings = practice.doctor()
    assert problems(findings) == ["failure LQB1001"]
    for cause in ("An older linqbot has created the storage", "restore all of the schema"):
        assert cause in str(the(findings, "LQB1001"))

    async def serve() -> None:
        async with PostgresStorage(url):
            raise AssertionError("it was opened")

    with pytest.raises(ConfigError, match=r"has no table queue.*linqbot storage copy"):
        asyncio.run(serve())


@pytest.mark.process
@pytest.mark.usefixtures("postgres_plugin")
def test_a_right_that_the_user_of_postgresql_lacks_is_named(practice: Practice, database: tuple[str, str]) -> None:
    schema, role = database
    execute(
        server_url(),
        f"""CREATE ROLE {role} LOGIN;
            GRANT USAGE ON SCHEMA {schema} TO {role};
            GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role};
            REVOKE DELETE ON {schema}.journal FROM {role}""",
    )
    findings = practice.doctor()
    assert problems(findings) == ["failure LQB4002"]
    assert the(findings, "LQB4002").what.endswith(f"lacks the right DELETE on {schema}.journal.")
    execute(server_url(), f"DROP SCHEMA {schema} CASCADE")
    assert "lacks the right CREATE on the database" in the(practice.doctor(), "LQB4002").what


@pytest.fixture
def path(practice: Practice) -> Path:
    """The path of the bot's storage, which is not there yet."""
    practice.sync()
    path = practice.folder / "served.db"
    practice.environ["LINQBOT_STORAGE"] = f"sqlite:///{path}"
    return path


def test_a_file_that_is_gone_while_a_process_serves_it_is_found(practice: Practice, path: Path) -> None:
    async def serve_and_lose() -> list[Finding]:
        async with SQLiteStorage(path):
            path.rename(path.with_name("moved.db"))  # noqa: ASYNC240 - nothing else runs
            try:
                return await asyncio.to_thread(practice.doctor)
            finally:
                path.with_name("moved.db").rename(path)

    findings = asyncio.run(serve_and_lose())
    assert "failure LQB6089" in problems(findings)
    assert the(findings, "LQB6089").what == f"{path} is gone while process {os.getpid()} serves it."


def test_a_file_that_may_only_be_read_is_found(practice: Practice, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "failure LQB4002" not in problems(practice.doctor())
    path.touch()
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert the(practice.doctor(), "LQB4002").what == f"The storage file {path} cannot be written: Permission denied."


def test_a_file_that_is_locked_or_damaged_is_no_matter_of_rights(
    practice: Practice, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("linqbot.storage.sqlite.file.BUSY_TIMEOUT_MS", 10)

    async def create() -> None:
        async with SQLiteStorage(path):
            pass

    asyncio.run(create())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "end that program" in the(practice.doctor(), "LQB4002").fix
        other.execute("ROLLBACK")
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = b"\xff" * (len(content) - 4096 * 2)
    path.write_bytes(content)
    assert the(practice.doctor(), "LQB4002").what.startswith("served.db is damaged")


def test_a_full_disk_is_found_and_one_without_any_room_needs_no_other_rights(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    practice.sync()

    def full(**_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as little:
        little.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 50 << 20}))
        assert problems(practice.doctor()) == ["failure LQB6082"]
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    findings = practice.doctor()
    assert problems(findings) == ["failure LQB4002"]
    assert the(findings, "LQB4002").what == f"Nothing can be written into {practice.folder}: No space left on device."
    assert the(findings, "LQB4002").fix.startswith("Check the free space")


def test_of_two_installed_plugins_with_one_name_the_one_that_does_not_run_is_reported(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = practice.folder / "site"
    site.mkdir()
    for name in ("lamp", "twin"):
        install_plugin(site, name, "from linqbot import hookimpl\n@hookimpl\ndef stopped(): ...")
    (site / "linqbot_twin-1.0.dist-info" / "entry_points.txt").write_text("[linqbot]\nlamp = twin_plugin\n")
    monkeypatch.syspath_prepend(str(site))
    practice.sync()
    findings = practice.doctor()
    assert problems(findings) == ["warning LQB6090"]
    assert the(findings, "LQB6090").what == (
        "lamp 1.0 of linqbot-twin is left out: another installed plugin has its name."
    )


def test_plugins_are_reported_as_serve_loads_them(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    site = practice.folder / "site"
    site.mkdir()
    install_plugin(site, "handover", "import does_not_exist")
    monkeypatch.syspath_prepend(str(site))
    practice.sync()
    assert problems(practice.doctor()) == problems(practice.doctor(file="")) == ["warning LQB6090"]
    assert "No module named 'does_not_exist'" in the(practice.doctor(), "LQB6090").what
    practice.environ["LINQBOT_PLUGINS"] = ""
    bot, versions, *_ = practice.doctor()
    assert bot.what == f"bot.py can be served. Handlers: 2, for 2 of {len(EVENT_TYPES)} types of events."
    assert "handover 1.0 (left out)" in versions.what
    practice.environ["LINQBOT_PLUGINS"] = "handovr"
    assert problems(practice.doctor()) == ["failure LQB1009"]
    (practice.folder / "bot.py").unlink()
    (found,) = [each for each in practice.doctor(file="") if each.check == "plugins"]
    assert (found.status, found.code) == ("failure", "LQB1009")
    assert ("the plugin handovr, which is not installed." in found.what, found.fix) == (True, "Did you mean handover?")


OWN_ERROR = """
from linqbot import Bot, LinqbotError

class Closed(LinqbotError):
    "The shop is closed."
    lqb = "SHOP1"

bot = Bot()
@bot.use
def limited(next_):
    raise Closed("It is closed.")
"""


def test_an_error_of_the_author_with_a_code_of_its_own_is_reported_without_advice(practice: Practice) -> None:
    write("bot.py", OWN_ERROR)(practice)
    for only in "words", "plugins":
        (found,) = json.loads(practice.run("check", "bot.py", "--json", "--only", only).stdout)
        assert (found["code"], found["fix"]) == ("SHOP1", "")
        assert found["what"].endswith("It is closed.")


def test_a_check_of_this_machine_asks_linq_nothing(practice: Practice, subtests: pytest.Subtests) -> None:
    practice.sync()
    write("bot.py", "from linqbot import Bot\nbot = Bot()\nbot.on_message('stop')(lambda message, ctx: None)\n")(
        practice
    )
    practice.environ["LINQBOT_TELL"] = SMS
    asyncio.run(asked_by("bot:gone"))
    (practice.folder / "linqbot.db-refused.json").write_text(json.dumps({"started_at": 0.0, "refused": []}))

    def calls() -> Any:
        return httpx.get(f"{practice.linq}/emulator/state").json()["calls"]

    before = calls()
    for name, found in {
        "versions": [],
        "storage": ["warning LQB6087"],
        "refused": [],
        "words": ["warning LQB6092"],
        "tell": ["warning LQB6094"],
        "rows": [],
        "plugins": [],
    }.items():
        with subtests.test(name):
            assert problems(practice.doctor("--only", name)) == found
            assert calls() == before


# --- the doctor itself ------------------------------------------------------------------------------------------------


async def test_a_check_that_fails_or_hangs_does_not_affect_the_others() -> None:
    async def breaks(_: DoctorContext) -> list[Finding]:
        raise ValueError("with a person's words in it")

    async def hangs(_: DoctorContext) -> list[Finding]:
        await asyncio.Event().wait()
        return []

    async def times_out(_: DoctorContext) -> list[Finding]:
        raise TimeoutError

    async def works(_: DoctorContext) -> list[Finding]:
        return [Finding("works", "ok", "well")]

    nothing = DoctorContext(from_env({}), None, None, None, None, None)
    checks = {"a": breaks, "b": hangs, "c": works, "d": times_out}
    made = [each async for each in examine(nothing, checks, within_s=0.05)]
    made += [each async for each in examine(nothing, {"d": times_out}, within_s=None)]
    assert [(each.check, each.status, each.code) for each in made] == [
        ("a", "failure", "LQB6000"), ("b", "failure", "LQB6000"), ("works", "ok", None), *[("d", "failure", "LQB6000")] * 2
    ]  # fmt: skip
    assert "words" not in made[0].what
    assert [each.what for each in made if each.code][1:] == [
        "The check did not end within 0.05 s.",
        *["The check itself failed with TimeoutError."] * 2,
    ]


@pytest.mark.anyio
async def test_the_temporary_server_keeps_no_large_body() -> None:
    with uvicorn_server.listen("127.0.0.1", 0) as bound:
        url = f"{uvicorn_server.address(bound)}/webhooks/linq"
        async with probe_server(bound, [random_secret()]) as arrivals, httpx.AsyncClient() as http:
            for size in (4096, 4097, 1 << 20):
                answer = await http.post(url, content=PROBE_TYPE.encode().ljust(size))
                assert answer.status_code == (401 if size == 4096 else 503)
    assert [len(body) for body in arrivals] == [4096]


def test_the_command_makes_every_check_of_the_doctor() -> None:
    folder = Path(linqbot.ops.doctor.__file__).parent
    command = (folder.parent.parent / "cli" / "commands" / "check.py").read_text()
    checks = {
        f"{file.stem}.{name}"
        for file in folder.glob("*.py")
        for name in re.findall(r"^async def ([a-z]\w*)\(context: DoctorContext\)", file.read_text(), re.MULTILINE)
    }
    assert len(checks) > 10
    assert {check for check in checks if f": {check},\n" not in command} == set()


def test_every_code_is_used_by_a_check_and_its_fix_has_no_open_placeholders() -> None:
    checks = Path(linqbot.ops.doctor.__file__).parent
    named = {
        code
        for file in checks.glob("*.py")
        if file.name != "codes.py"
        for code in re.findall(r'"(LQB\d+)"', file.read_text())
    } | set(re.findall(r'"(LQB\d+)"', (checks.parent.parent / "cli" / "commands" / "check.py").read_text()))
    assert named == set(CODES)
    for problem in CODES.values():
        # Linq's own CLI has a command of this name, and linqbot has none.
        assert "doctor" not in f"{problem.means} {problem.why} {problem.to_do}"
        assert problem.means.endswith(".")
        assert problem.why.endswith(".")
        assert not re.search("[{}]", problem.fix(url="https://bot.test"))
