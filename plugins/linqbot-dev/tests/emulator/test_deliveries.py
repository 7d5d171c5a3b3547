"""Webhooks: subscriptions, signatures, order, and retries."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import httpx
import pytest
from linqbot_dev.emulator.acts.conversation import Read
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.engine.deliveries import CONCURRENCY
from linqbot_dev.emulator.model.faults import Fault
from linqbot_dev.emulator.web.app import create_app
from patience import until
from standardwebhooks import Webhook

from emulator.conftest import FRIEND, OTHER_LINE, PERSON, Api, Ids, Receiver, arrives, passes, refused, say
from linqbot.clock import MovableClock
from linqbot.linq.signatures import sign_legacy

RECEIVED = ["message.received"]


def texts(receiver: Receiver) -> list[str]:
    return [event["data"]["parts"][0]["value"] for event in receiver.of("message.received")]


async def test_both_signatures_fit_and_every_header_is_there(emulator: Emulator, receiver: Receiver) -> None:
    subscription = emulator.subscribe("https://hook.example/x?version=2026-02-03", RECEIVED)
    emulator.advance(10**6)  # the emulator's clock is far ahead; receivers compare the signature with wall time
    await arrives(emulator, "héllo 🎂")
    (request,) = receiver.requests
    headers = request.headers
    Webhook(subscription.secret).verify(request.content, dict(headers))
    timestamp = int(headers["webhook-timestamp"])
    assert abs(timestamp - time.time()) < 60
    assert headers["x-webhook-signature"] == sign_legacy(
        request.content, timestamp=timestamp, secret=subscription.secret
    )
    assert headers["x-webhook-timestamp"] == headers["webhook-timestamp"]
    assert headers["x-webhook-event"] == "message.received"
    assert headers["x-webhook-subscription-id"] == subscription.id
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == receiver.events[0]["event_id"]
    assert subscription.secret.startswith("whsec_")


async def test_retries_send_the_same_bytes_and_id_after_1_2_4_seconds(emulator: Emulator, hook: Receiver) -> None:
    hook.answers = [503, 429, httpx.ConnectError("refused"), TimeoutError(), 200]
    await arrives(emulator)
    for wait, tries in ((0.9, 1), (0.1, 2), (1.9, 2), (0.1, 3), (4, 4), (8, 5), (1000, 5)):
        await passes(emulator, wait)
        assert len(hook.requests) == tries
    assert len({request.content for request in hook.requests}) == 1
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 1
    (delivery,) = emulator.world.deliveries.history
    assert [attempt.status for attempt in delivery.attempts] == [503, 429, None, None, 200]


async def test_a_receiver_that_is_back_gets_what_it_did_not_answer_at_once_and_only_once(
    emulator: Emulator, receiver: Receiver
) -> None:
    subscription = emulator.subscribe("https://hook.example", RECEIVED)
    receiver.answers = [httpx.ConnectError("refused"), httpx.ConnectError("refused"), 503]
    for said in ("first", "second", "refused"):
        await arrives(emulator, said)
    receiver.requests.clear()
    emulator.retry_unanswered(subscription)
    await emulator.flush()
    assert texts(receiver) == ["first", "second"]
    assert receiver.most_at_once == 1  # several at once would arrive in any order
    await passes(emulator, 1000)
    assert texts(receiver) == ["first", "second", "refused"]


async def test_an_event_is_given_up_after_half_an_hour(emulator: Emulator, hook: Receiver) -> None:
    hook.status = 500
    start = emulator.clock.now()
    say(emulator)
    for _ in range(7200):
        if emulator.clock.now() - start > 7200:
            break
        await emulator.flush()
        emulator.advance(5)
    waits = [attempt.at - start for attempt in emulator.world.deliveries.history[0].attempts]
    gaps = [later - earlier for earlier, later in itertools.pairwise(waits)]
    assert waits[-1] <= 1800
    assert gaps[0] <= 5
    assert max(gaps) <= 305
    assert len(waits) == 14  # at once, 1, 2, 4 ... 256 s later, then every 300 s


async def test_retry_after_is_obeyed(emulator: Emulator, hook: Receiver) -> None:
    hook.answers = [httpx.Response(503, headers={"retry-after": "60"})]
    await arrives(emulator)
    await passes(emulator, 59)
    assert len(hook.requests) == 1
    await passes(emulator, 1)
    assert len(hook.requests) == 2


async def test_other_answers_are_not_retried(emulator: Emulator, hook: Receiver, subtests: pytest.Subtests) -> None:
    for status in (400, 401, 404, 410, 301):
        with subtests.test(status=status):
            hook.clear()
            hook.status = status
            await arrives(emulator)
            await passes(emulator, 1800)
            assert len(hook.requests) == 1


async def test_events_of_a_chat_arrive_in_order_and_failures_delay_no_other(emulator: Emulator, hook: Receiver) -> None:
    hook.answers = [200, 500]
    for number in range(20):
        say(emulator, str(number))
    await emulator.flush()
    assert texts(hook) == [str(number) for number in range(20)]
    await passes(emulator, 1)
    assert texts(hook)[20:] == ["1"]


async def test_one_event_has_one_id_on_all_subscriptions(emulator: Emulator, receiver: Receiver) -> None:
    secrets = {emulator.subscribe(f"https://hook.example/?n={n}", RECEIVED).secret for n in range(3)}
    await arrives(emulator)
    assert len(receiver.requests) == len(secrets) == 3
    assert len({event["event_id"] for event in receiver.events}) == 1


async def test_filters_of_events_and_lines(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    hook = {"target_url": "https://hook.example", "subscribed_events": RECEIVED, "phone_numbers": [OTHER_LINE]}
    assert (await api.post("/v3/webhook-subscriptions", json=hook)).status_code == 201
    say(emulator, "one")
    await arrives(emulator, "two", to=OTHER_LINE)
    assert texts(receiver) == ["two"]


async def test_a_paused_subscription_gets_not_even_retries(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    subscription = emulator.subscribe("https://hook.example", RECEIVED)
    path = f"/v3/webhook-subscriptions/{subscription.id}"
    receiver.answers = [500]
    await arrives(emulator, "one")
    await api.put(path, json={"is_active": False})
    say(emulator, "two")
    await passes(emulator, 5)
    await api.put(path, json={"is_active": True})
    say(emulator, "three")
    await passes(emulator, 1800)
    assert texts(receiver) == ["one", "three"]


async def test_nothing_comes_after_delete(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    subscription = emulator.subscribe("https://hook.example", RECEIVED)
    receiver.status = 500
    await arrives(emulator)
    say(emulator, "queued")
    assert (await api.delete(f"/v3/webhook-subscriptions/{subscription.id}")).status_code == 204
    say(emulator, "later")
    await passes(emulator, 1800)
    assert texts(receiver) == ["hi"]


async def test_a_dead_receiver_delays_no_other_subscription(receiver: Receiver) -> None:
    class Dead(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.host == "dead.example":
                await asyncio.Event().wait()
            answer: httpx.Response = await receiver.handle_async_request(request)
            return answer

    async with Emulator(clock=MovableClock(frozen=True), delivery_transport=Dead()) as emulator:
        emulator.subscribe("https://dead.example", RECEIVED)
        emulator.subscribe("https://alive.example", RECEIVED)
        for number in range(200):
            say(emulator, str(number), from_=f"+1415555{number:04}")
        await until(lambda: len(receiver.requests) == 200)


async def test_affinity_headers_follow_the_chat(emulator: Emulator, api: Api, receiver: Receiver) -> None:
    subscription = emulator.subscribe("https://hook.example", RECEIVED)
    path = f"/v3/webhook-subscriptions/{subscription.id}"
    await api.put(path, json={"routing_key_header": "X-Route"})
    receiver.headers = {"x-route": "worker-7"}
    for person in (PERSON, PERSON, FRIEND):
        await arrives(emulator, from_=person)
    first, second, other = (request.headers for request in receiver.requests)
    assert "x-route" not in first
    assert second["x-route"] == "worker-7"
    assert "x-route" not in other
    assert first["linq-chat-id"] == second["linq-chat-id"] != other["linq-chat-id"]
    await api.put(path, json={"routing_key_header": None})
    await api.put(path, json={"routing_key_header": "X-Route", "routing_id_header": "X-Chat"})
    receiver.clear()
    await arrives(emulator)
    assert "x-route" not in receiver.requests[0].headers
    assert receiver.requests[0].headers["x-chat"] == first["linq-chat-id"]


async def test_lost_doubled_delayed_and_reordered_deliveries(emulator: Emulator, hook: Receiver) -> None:
    emulator.world.faults.add(Fault(on="delivery", match="message.received", drop="answer"))
    say(emulator, "lost")
    emulator.world.faults.add(Fault(on="delivery", match=PERSON, duplicate=True))
    say(emulator, "twice")
    emulator.world.faults.add(Fault(on="delivery", reorder=True))
    say(emulator, "after the next")
    say(emulator, "next")
    emulator.world.faults.add(Fault(on="delivery", delay_ms=5000))
    say(emulator, "late")
    await arrives(emulator, "last")
    assert texts(hook) == ["twice", "twice", "next", "after the next", "last"]
    await passes(emulator, 5)
    assert texts(hook)[-1] == "late"
    emulator.world.faults.add(Fault(on="delivery", reorder=True))
    say(emulator, "nothing follows")
    await passes(emulator, 2)
    assert texts(hook)[-1] == "nothing follows"


async def test_a_far_jump_of_the_clock_gives_each_step_its_own_time(emulator: Emulator, api: Api, chat: Ids) -> None:
    sent = (await api.sent(chat))["id"]
    emulator.advance(10**6)
    message = emulator.state.messages[sent]
    assert message.delivered_at is not None
    assert message.delivered_at - message.created_at < 1


async def test_reading_brings_a_message_through_every_step(
    emulator: Emulator, api: Api, receiver: Receiver, chat: Ids
) -> None:
    emulator.subscribe("https://hook.example", ["message.sent", "message.delivered", "message.read"])
    first, second = (await api.sent(chat))["id"], (await api.sent(chat))["id"]
    emulator.do(Read(from_=PERSON, chat_id=chat["chat_id"], message_id=first))
    await emulator.flush()
    assert receiver.types == ["message.sent", "message.delivered", "message.read"]
    assert [emulator.state.messages[one].status for one in (first, second)] == ["read", "pending"]
    emulator.advance(1)
    emulator.do(Read(from_=PERSON, chat_id=chat["chat_id"]))
    emulator.do(Read(from_=PERSON, chat_id=chat["chat_id"]))
    await emulator.flush()
    assert len(receiver.types) == 6


async def test_r95_a_wrong_subscription_is_refused(emulator: Emulator, api: Api, subtests: pytest.Subtests) -> None:
    emulator.subscribe("https://taken.example")
    rows: list[tuple[dict[str, Any], int, int]] = [
        *(({"target_url": url}, 400, 1005) for url in ("ftp://127.0.0.1", "https://a.example:99999", "https://[")),
        ({"target_url": "https://a.example/?version=1999-01-01"}, 400, 1005),
        ({"target_url": "https://taken.example"}, 409, 1005),
        ({"subscribed_events": ["message.recieved"]}, 400, 1005),
        ({"subscribed_events": ["message.read", "message.read"]}, 400, 1005),
        ({"routing_key_header": "Content-Type"}, 400, 1005),
        ({"routing_key_header": "a b"}, 400, 1005),
    ]
    for body, status, code in rows:
        with subtests.test(body=body):
            asked = {"target_url": "https://a.example", "subscribed_events": RECEIVED} | body
            refused(await api.post("/v3/webhook-subscriptions", json=asked), status, code)
            assert len(emulator.state.subscriptions) == 1


async def test_r95_a_target_on_this_machine_needs_no_https(api: Api, subtests: pytest.Subtests) -> None:
    for target in ["http://127.0.0.1:8000/x", "http://localhost:1/", "http://[::1]:8000/"]:
        with subtests.test(target=target):
            made = await api.post(
                "/v3/webhook-subscriptions", json={"target_url": target, "subscribed_events": RECEIVED}
            )
            assert made.status_code == 201
            shown = (await api.get(f"/v3/webhook-subscriptions/{made.json()['id']}")).json()
            assert set(made.json()) - set(shown) == {"signing_secret"}


async def test_events_wait_until_the_emulator_runs(receiver: Receiver) -> None:
    emulator = Emulator(clock=MovableClock(frozen=True), delivery_transport=receiver)
    emulator.subscribe("https://hook.example", RECEIVED)
    say(emulator)
    async with emulator:
        await emulator.flush()
        assert texts(receiver) == ["hi"]


async def test_a_crash_of_an_in_process_receiver_is_a_failed_attempt(
    emulator: Emulator, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    hook.answers = [RuntimeError("boom")]
    await arrives(emulator, "secret words")
    await passes(emulator, 1)
    assert len(hook.requests) == 2
    assert "secret words" not in caplog.text
    assert PERSON not in caplog.text


async def test_deliveries_are_seen_through_the_control_api(emulator: Emulator, api: Api) -> None:
    subscription = emulator.subscribe("https://hook.example")
    say(emulator)
    assert (await api.post("/emulator/flush")).status_code == 200
    query = {"subscription_id": subscription.id, "event_type": "message.received", "since": "2020-01-01T00:00:00Z"}
    (one,) = (await api.get("/emulator/deliveries", params=query)).json()["deliveries"]
    assert one["attempts"][0]["status"] == 200
    assert (await api.get("/emulator/deliveries", params={"since": "2999-01-01"})).json() == {"deliveries": []}


async def test_a_served_app_runs_the_emulator_by_itself(receiver: Receiver) -> None:
    emulator = Emulator(delivery_transport=receiver)
    emulator.subscribe("https://hook.example", RECEIVED)
    app = create_app(emulator)
    async with app.router.lifespan_context(app), emulator:
        await arrives(emulator)
    assert texts(receiver) == ["hi"]


class Silent(httpx.AsyncBaseTransport):
    """Receives webhooks and never answers. Keeps their ids in order, and the ids of those whose sender has given up."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.given_up: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.received.append(request.headers["webhook-id"])
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up.append(request.headers["webhook-id"])
        raise AssertionError


async def test_a_stop_ends_the_attempts_in_progress_in_the_order_in_which_they_began() -> None:
    silent = Silent()
    async with Emulator(clock=MovableClock(frozen=True), delivery_transport=silent) as emulator:
        emulator.subscribe("https://hook.example/x", RECEIVED)
        for n in range(CONCURRENCY):
            say(emulator, "hi", from_=f"+1415555{n:04}")
        await until(lambda: len(silent.received) == CONCURRENCY)
    assert silent.given_up == silent.received
