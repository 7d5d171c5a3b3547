"""Metrics of an app that talks to the emulator, scraped as Prometheus scrapes them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from app_with_emulator import ANN, RunningApp, run_app
from linqbot_dev.emulator.model.faults import Fault
from linqbot_prometheus import Prometheus
from one_handler import says
from prometheus_client import Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from linqbot import Bot, Context, MessageReceived
from linqbot.linq.types.proactive import HandoffEnd
from linqbot.testing import talking
from linqbot.turn_events import Reason

METRICS = "/plugins/prometheus/metrics"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SECRET_WORDS = "the kitchen is closed"
OWNER = "+14155550143"


def echo() -> Bot:
    bot = Bot(read=False, typing=False, plugins=[Prometheus])

    @bot.on_message("fail", attempts=1)
    async def broken(message: MessageReceived, ctx: Context) -> None:
        raise ValueError(SECRET_WORDS)

    bot.on_message(says("{}"))
    return bot


async def scraped(there: RunningApp) -> dict[tuple[str, ...], float]:
    """Return every sample except buckets, by its name and the values of its labels, sorted by the labels' names."""
    text = (await there.http.get(METRICS)).raise_for_status().text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse_text(text)
        for sample in family.samples
        if "le" not in sample.labels
    }


async def test_a_turn_is_counted_at_every_step(tmp_path: Path) -> None:
    async with run_app(echo(), tmp_path) as there:
        assert await there.answers("hello") == ["hello"]
        found = await scraped(there)
    message = "message.received"
    # A receipt without a handler is a turn, but adds no handler time.
    ((_, kind, handler),) = [key for key in found if key[0] == "linqbot_handler_seconds_count"]
    assert kind == message
    assert handler.endswith("answer")
    for name, *labels in [
        ("linqbot_deliveries_received_total", message),
        ("linqbot_deliveries_stored_total", message),
        ("linqbot_waiting_seconds_count", message),
        ("linqbot_turns_total", message, "ack"),
        ("linqbot_turn_seconds_count", message),
        ("linqbot_handler_seconds_count", message, handler),
        ("linqbot_api_calls_total", "chats.messages.send", "none", "202"),
        ("linqbot_api_call_seconds_count", "chats.messages.send"),
        # Events that the reply caused arrive and are counted too.
        ("linqbot_deliveries_stored_total", "message.delivered"),
    ]:
        assert found[name, *labels] == 1, (name, labels)
    assert found["linqbot_store_seconds_count",] >= 4
    assert found["linqbot_turns_busy",] == 0
    assert found["linqbot_inbox_deliveries",] == found["linqbot_inbox_oldest_seconds",] == 0
    assert found["linqbot_dead_letters",] == 0
    assert found["process_resident_memory_bytes",] > 0


async def test_a_failure_is_counted_by_its_class_and_linqs_code(tmp_path: Path) -> None:
    async with run_app(echo(), tmp_path) as there:
        await there.answers("fail")
        there.emulator.world.faults.add(Fault(on="api", match="chats.messages.send", status=403, code=2024))
        await there.answers("hello")
        assert (await there.http.post("/webhooks/linq", content=b"{}")).status_code == 401
        found = await scraped(there)
    (failure,) = [key for key in found if key[0] == "linqbot_turn_failures_total"]
    assert failure[1:3] == ("ValueError", "message.received")
    assert failure[3].endswith("broken")
    assert found["linqbot_turns_total", "message.received", "dead_letter"] == 1
    assert found["linqbot_dead_letters",] == 1
    assert found["linqbot_api_calls_total", "chats.messages.send", "2024", "403"] == 1
    refused = {key[1]: value for key, value in found.items() if key[0] == "linqbot_deliveries_refused_total"}
    assert refused == dict.fromkeys(get_args(Reason), 0) | {"forged": 1}


async def test_a_send_that_waits_for_linq_is_no_failure_of_the_handler() -> None:
    metrics = Prometheus()
    bot = Bot(plugins=[metrics])

    @bot.on_message
    async def answer(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Hello!")

    async with talking(bot) as phone:
        phone.fail_next("chats.messages.send", status=429, retry_after_s=600)
        await phone.text("hi")
        await phone.quiet()
    families = {family.name: family for family in metrics.registry.collect()}
    samples = families["linqbot_turn_failures"].samples
    # The classes that the alert and the dashboard leave out.
    assert {sample.labels["error"] for sample in samples} == {"TurnDeferred"}


async def test_a_handoff_is_counted_by_its_end() -> None:
    metrics = Prometheus()
    bot = Bot(plugins=[metrics])

    @bot.on_message("human please")
    async def human(message: MessageReceived, ctx: Context) -> None:
        await ctx.handoff(to=OWNER, say="Dana answers you here.", taken_within_s=600)

    def counted() -> dict[str, float]:
        (family,) = (each for each in metrics.registry.collect() if each.name == "linqbot_handoffs")
        return {sample.labels["ended"]: sample.value for sample in family.samples}

    async with talking(bot) as phone:
        assert counted() == dict.fromkeys(get_args(HandoffEnd), 0)
        await phone.text("human please")
        await phone.next_reply()
        assert set(counted().values()) == {0}
        await phone.person(OWNER).text("#done")
        await phone.next_reply()
        await phone.text("human please")
        await phone.next_reply()
        await phone.advance(601)
        await phone.next_reply()
        await phone.quiet()
    assert {ended: count for ended, count in counted().items() if count} == {"owner": 1, "not_taken": 1}


async def test_no_label_holds_what_a_person_is_or_says(tmp_path: Path) -> None:
    async with run_app(echo(), tmp_path) as there:
        chats = [there.text(text) for text in ("hello", "fail")]
        await there.quiet()
        text = (await there.http.get(METRICS)).text
    for private in (*chats, ANN, "hello", SECRET_WORDS):
        assert private not in text


async def test_two_bots_in_one_process_are_counted_separately(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    async with run_app(echo(), folders[0]) as one, run_app(echo(), folders[1]) as two:
        for there, times in ((one, 1), (two, 2)):
            for _ in range(times):
                there.text("hello")
            await there.quiet()
        answered = [(await scraped(there))["linqbot_turns_total", "message.received", "ack"] for there in (one, two)]
    assert answered == [1, 2]


async def test_a_client_that_accepts_openmetrics_gets_it(tmp_path: Path) -> None:
    async with run_app(echo(), tmp_path) as there:
        await there.answers("hello")
        plain = await there.http.get(METRICS)
        modern = await there.http.get(METRICS, headers={"accept": OPENMETRICS})
    assert plain.headers["content-type"].startswith("text/plain")
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    families = parse_openmetrics(modern.text)  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert {"linqbot", "linqbot_turns", "linqbot_store_seconds", "linqbot_inbox_unread"} <= names


async def test_own_metrics_can_join_those_of_the_app(tmp_path: Path) -> None:
    plugin = Prometheus()
    orders = Counter("orders", "Orders taken.", registry=plugin.registry)
    async with run_app(Bot(plugins=[plugin]), tmp_path) as there:
        orders.inc()
        assert (await scraped(there))["orders_total",] == 1


async def test_one_plugin_may_be_in_one_app_after_another(tmp_path: Path) -> None:
    bot = Bot(plugins=[Prometheus()])
    for times in (1, 2):
        async with run_app(bot, tmp_path) as there:
            await there.answers("hello")
            assert (await scraped(there))["linqbot_turns_total", "message.received", "ack"] == times
