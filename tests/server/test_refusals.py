"""The record of refused deliveries: what it holds, how often it is written, and what it survives. Their log is bounded."""

from __future__ import annotations

import json
import time
from pathlib import Path

import forgeries
import pytest
import structlog
from asgi_client import PATH, SECRET, running_client, signed
from fakes import Linq, text_body
from patience import until

from linqbot import Bot, hookimpl
from linqbot.clock import MovableClock
from linqbot.linq.signatures import sign_probe
from linqbot.plugin_loading import load
from linqbot.server import refusals
from linqbot.server.app import create_app
from linqbot.server.refusals import KEEP_S, LINES, BoundedLog, RefusalCount, RefusalRecord, read
from linqbot.server.secret_file import SecretFile
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.turn_events import Observers, WebhookRefused

OTHER = "whsec_QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUI="
NOON = 1_800_000_000.0


def refused_in(path: Path) -> tuple[RefusalCount, ...]:
    """Return the refusals in a record that is written."""
    found = read(path)
    assert found is not None
    return found.refused


def names_in(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


async def test_a_record_holds_counts_and_times_by_reason(tmp_path: Path) -> None:
    path, clock = tmp_path / "record.json", MovableClock(NOON, frozen=True)
    record = RefusalRecord(path, clock)
    record.open()
    for _ in range(1000):
        record.note("forged")
    record.note("busy")
    clock.advance(10)
    record.note("forged", "sub-1")
    await record.close()
    assert [(each.reason, each.subscription_id, each.count, each.last_at - NOON) for each in refused_in(path)] == [
        ("forged", None, 1000, 0), ("busy", None, 1, 0), ("forged", "sub-1", 1, 10),
    ]  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o600
    assert names_in(tmp_path) == [path.name]


def test_a_delivery_that_comes_again_counts_once_and_what_a_stranger_may_have_sent_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refusals, "IDS", 2)
    record = RefusalRecord(None, MovableClock(NOON, frozen=True))
    for id_ in ("w.1", "w.1", "w.2", "w.1"):
        record.note_people("unavailable", NOON, id_)
    for _ in range(2):
        record.note_people("forged", NOON)
    assert record.of_people == {"unavailable": 2, "forged": 2}
    for id_ in ("w.3", "w.4", "w.3", "w.4", "w.1"):
        record.note_people("unavailable", NOON + 9, id_)
    assert record.of_people["unavailable"] == 5, "the first was forgotten meanwhile"
    assert record.people_at == NOON + 9


async def test_a_later_server_continues_the_record_without_what_is_old(tmp_path: Path) -> None:
    path, clock = tmp_path / "record.json", MovableClock(NOON, frozen=True)
    for reason in ("forged", "busy"):
        record = RefusalRecord(path, clock)
        record.open()
        record.note(reason)
        await record.close()
        clock.advance(KEEP_S / 2 + 1)
    assert {each.reason: each.count for each in refused_in(path)} == {"forged": 1, "busy": 1}
    record = RefusalRecord(path, clock)
    record.open()
    await record.close()
    assert [each.reason for each in refused_in(path)] == ["busy"]


async def test_a_folder_that_cannot_be_written_is_no_problem(tmp_path: Path) -> None:
    record = RefusalRecord(tmp_path / "missing" / "record.json", MovableClock(NOON, frozen=True))
    record.open()
    record.note("forged")
    await record.close()
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("content", ["", "{}", '{"started_at": 1, "refused": [{"reason": "?"}]}', '{"started_at": 1, "refused": 1}'])  # fmt: skip
async def test_a_file_that_is_no_record_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "record.json").write_text(content)
    assert read(tmp_path / "record.json") is None


class Counting:
    """A plugin that counts refused deliveries."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    @hookimpl
    def register_observers(self) -> Observers:
        return {WebhookRefused: self.webhook_refused}

    def webhook_refused(self, event: WebhookRefused) -> None:
        self.reasons.append(event.reason)


def probing(body: bytes, secret: str, *probes: str) -> dict[str, str]:
    """Return the headers of a delivery that is signed with a secret and, as a test of the doctor, with others."""
    headers = signed(body, secret=secret)
    facts = {"webhook_id": headers["webhook-id"], "timestamp": int(headers["webhook-timestamp"])}
    entries = [headers["webhook-signature"], *(sign_probe(body, secret=each, **facts) for each in probes)]  # type: ignore[arg-type]
    return headers | {"webhook-signature": " ".join(entries)}


async def test_a_server_records_forgeries_by_its_own_subscriptions_and_no_probe(tmp_path: Path) -> None:
    SecretFile(tmp_path / "secret").keep(SECRET, "sub-1")
    counting, path = Counting(), tmp_path / "record.json"
    app = create_app(
        Bot(),
        client=Linq().client,
        storage=MemoryStorage(),
        secrets=[],
        secret_file=tmp_path / "secret",
        plugins=load([counting]),
        refusals_file=path,
    )
    body, named = text_body("hello"), "x-webhook-subscription-id"
    genuine = signed(body)["webhook-signature"].removeprefix("v1,")
    with structlog.testing.capture_logs() as logs:
        async with running_client(app) as http:

            async def post(headers: dict[str, str]) -> int:
                return (await http.post(PATH, content=body, headers=headers)).status_code

            # The doctor's test: refused, and neither recorded nor reported.
            assert await post(probing(body, OTHER, SECRET)) == 401
            assert await post(probing(body, OTHER, OTHER, SECRET)) == 401
            assert counting.reasons == []
            assert [line["event"] for line in logs if line["log_level"] == "warning"] == []
            # Forgeries that claim to be a test: with a stranger's secret, with a genuine signature of the body, an old one.
            claimed = signed(body, secret=OTHER)
            assert await post(probing(body, OTHER, OTHER)) == 401
            assert await post(claimed | {"webhook-signature": f"v1,x probe,{genuine}"}) == 401
            old = sign_probe(body, webhook_id=claimed["webhook-id"], timestamp=1, secret=SECRET)
            late = {"webhook-timestamp": "1", "webhook-signature": f"v1,x {old}"}
            assert await post(claimed | late) == 401
            assert await post({"webhook-signature": "probe,"}) == 401
            # Forgeries that name a subscription: ours, and one that the sender made up.
            assert await post(claimed | {named: "sub-1"}) == 401
            assert await post(claimed | {named: "made-up"}) == 401
            assert await post(signed(body)) == 200
    assert {(each.reason, each.subscription_id): each.count for each in refused_in(path)} == {
        ("forged", None): 5,
        ("forged", "sub-1"): 1,
    }
    assert counting.reasons == ["forged"] * 6
    assert "made-up" not in path.read_text()
    assert json.loads(path.read_text())["started_at"] <= time.time()


async def test_the_last_line_of_a_minute_counts_those_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "EVERY_S", 0.0)
    log = BoundedLog(structlog.get_logger("test"))
    with structlog.testing.capture_logs() as logs:
        for n in range(1000):
            log.error("door.knocked", who=n)
        assert len(logs) == LINES
        await until(lambda: len(logs) > LINES)
        log.end()  # the count is logged once
    assert logs[-1] == {"event": "door.knocked", "who": 999, "log_level": "error", "suppressed": 1000 - LINES}
    assert len(logs) == LINES + 1


@pytest.mark.slow
async def test_no_forgery_of_twenty_thousand_is_stored() -> None:
    stored, statuses = await forgeries.run(20_000)
    assert stored == 0
    assert statuses[200] == 1
