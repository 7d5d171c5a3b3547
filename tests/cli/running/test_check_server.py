"""`linqbot check` and a running server: several addresses, what the server refused, and who uses its port."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trustme
from cli.practice import Practice, problems, serve, text_the_bot, the
from cli.running.broken_proxies import Crooked, proxying
from ports import free_port

# --- several subscriptions --------------------------------------------------------------------------------------------


def test_a_bot_that_has_moved_is_checked_at_both_addresses(practice: Practice, command: Callable[..., Any]) -> None:
    gone = f"http://127.0.0.1:{free_port()}/webhooks/linq"
    practice.sync(gone)
    (first,) = [row["id"] for row in practice.api("GET", "/webhook-subscriptions")["subscriptions"]]
    practice.sync()
    said = " ".join(practice.outputs[-1].split())
    assert f"Another subscription with a secret kept here delivers to {gone}. If the bot has moved: linqbot connect remove {first}" in said  # fmt: skip
    assert f"warning {'LQB6037'}" in problems(practice.doctor("--url", practice.url))
    serve(practice, command)
    findings = practice.doctor()
    assert problems(findings) == ["warning LQB6037", "failure LQB6060"]
    assert gone in the(findings, "LQB6060").what
    assert f"{first} to {gone}" in the(findings, "LQB6037").what
    assert any(each.check == "delivery" and each.status == "ok" and practice.url in each.what for each in findings)
    shown = practice.run("check", "bot.py").output
    for words in (
        f"FAIL delivery {gone}",
        f"ok delivery {practice.url}",
        "[LQB6060] → ",
        "If the bot has moved, delete the subscription to the old address: linqbot connect remove ID",
        "1 to fix, 1 to look at.",
    ):
        assert words in " ".join(shown.split())
    assert all(len(line) <= 110 for line in shown.splitlines())
    assert practice.run("connect", "remove", first, "--yes").exit_code == 0
    assert "Nothing keeps it from working; 0 to look at." in practice.run("check", "bot.py").output


def test_each_subscription_is_checked(practice: Practice) -> None:
    practice.sync()
    practice.sync(f"http://127.0.0.1:{practice.port}/webhooks/linq/")
    one, other = [row["id"] for row in practice.api("GET", "/webhook-subscriptions")["subscriptions"]]
    for each in (one, other):
        practice.api("PUT", f"/webhook-subscriptions/{each}", {"is_active": False})
        paused = [finding.what for finding in practice.doctor() if finding.code == "LQB6031"]
        assert f"{each} is paused." in paused


def test_with_a_secret_from_the_environment_only_the_one_address_of_the_account_is_checked(practice: Practice) -> None:
    practice.sync()
    practice.environ["LINQ_WEBHOOK_SECRET"] = practice.secret()
    practice.secret_file.unlink()
    findings = practice.doctor()
    assert problems(findings) == ["warning LQB6042"]
    assert the(findings, "LQB6042").fix.endswith(f"linqbot connect rotate --url {practice.url}")
    assert any(each.check == "delivery" and each.status == "ok" for each in findings)


# --- the running server -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_wrong_secret_that_doctor_and_server_share_is_found_also_after_a_restart_and_rotate_corrects_it(
    practice: Practice, command: Callable[..., Any]
) -> None:
    practice.sync()
    practice.secret_file.write_text(f"whsec_{'QUJD' * 10} {practice.subscription()['id']}\n")
    bot = serve(practice, command)
    assert problems(practice.doctor()) == []
    text_the_bot(practice)
    bot.until(lambda: "LQB6045" in str(problems(practice.doctor())))
    findings = practice.doctor()
    assert problems(findings) == ["failure LQB6045"]
    assert practice.subscription()["id"] in the(findings, "LQB6045").what
    assert the(findings, "LQB6045").fix.endswith(f"linqbot connect rotate --url {practice.url}")
    record = practice.folder / "linqbot.db-refused.json"
    assert record.stat().st_mode & 0o077 == 0
    assert bot.stop() == 0
    assert problems(practice.doctor()) == ["failure LQB6045"]
    bot = serve(practice, command)
    assert problems(practice.doctor()) == ["failure LQB6045"]
    # The file is then newer than the refusals: the server may know the right secret.
    assert practice.run("connect", "rotate", "--overlap", "0").exit_code == 0, practice.outputs[-1]
    assert problems(practice.doctor()) == []
    text_the_bot(practice)
    bot.until(lambda: "deliveries have been accepted" in str(practice.doctor()) or not problems(practice.doctor()))
    assert bot.stop() == 0


def test_doctor_and_rotation_set_off_no_alarm_for_forgeries_and_a_stranger_one_until_a_delivery_was_accepted(
    practice: Practice, command: Callable[..., Any]
) -> None:
    practice.sync()
    bot = serve(practice, command)
    record, before = practice.folder / "linqbot.db-refused.json", bot.said()
    assert problems(practice.doctor()) == []
    assert practice.run("connect", "rotate", "--overlap", "0").exit_code == 0
    assert problems(practice.doctor()) == []
    added = bot.said().removeprefix(before)
    assert "forged" not in added
    assert "warning" not in added
    assert json.loads(record.read_text())["refused"] == []
    forged = {
        "webhook-id": "1",
        "webhook-timestamp": "1",
        "webhook-signature": "v1,x",
        "x-webhook-subscription-id": "2",
    }
    for _ in range(3):
        assert httpx.post(practice.url, content=b"{}", headers=forged).status_code == 401
    bot.until(lambda: '"count": 3' in record.read_text())
    findings = practice.doctor()
    assert problems(findings) == ["warning LQB6046"]
    assert "3 requests" in the(findings, "LQB6046").what
    text_the_bot(practice)
    findings = practice.doctor()
    assert problems(findings) == []
    assert "not from Linq" in next(each.what for each in findings if each.check == "refused")
    assert json.loads(record.read_text())["refused"][0]["subscription_id"] is None
    # A bot with another storage is no other program.
    practice.environ["LINQBOT_STORAGE"] = "memory://"
    assert problems(practice.doctor()) == ["warning LQB6083"]


def test_a_rotation_works_behind_a_private_authority_that_this_machine_trusts(
    practice: Practice, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(practice.folder / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(practice.folder / "authority.pem"))
    with proxying(Crooked(f"http://127.0.0.1:{practice.port}"), tls=context) as proxy:
        practice.sync(proxy.url)
        serve(practice, command)
        assert practice.run("connect", "rotate", "--overlap", "0").exit_code == 0, practice.outputs[-1]


def test_a_port_that_another_program_uses_is_found(practice: Practice) -> None:
    practice.sync()
    with proxying(Crooked("", status=200)) as other:
        practice.environ["LINQBOT_PORT"] = other.url.rpartition(":")[2]
        findings = practice.doctor("--url", practice.url)
        assert problems(findings) == ["failure LQB1007", "failure LQB6060"]
        assert f"127.0.0.1:{practice.environ['LINQBOT_PORT']}" in the(findings, "LQB1007").what


@pytest.mark.slow
def test_a_bot_that_is_served_at_another_port_is_not_reported_as_not_served(
    practice: Practice, command: Callable[..., Any]
) -> None:
    practice.sync()
    serve(practice, command, LINQBOT_STORAGE="memory://")
    practice.environ |= {"LINQBOT_PORT": str(free_port()), "LINQBOT_STORAGE": "memory://"}
    (delivery,) = [each for each in practice.doctor() if each.check == "delivery"]
    assert (delivery.status, delivery.fix) == ("ok", "")
    here = f"127.0.0.1:{practice.environ['LINQBOT_PORT']}"
    assert delivery.what.endswith(f"A bot accepted it that does not listen on {here}.")
