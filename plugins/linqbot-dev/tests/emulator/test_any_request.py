"""The emulator answers any request as Linq does: 2xx, or a 4xx in its envelope. Never a traceback."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from linqbot_dev.emulator.acts.chat_acts import MakePoll
from linqbot_dev.emulator.acts.conversation import React
from linqbot_dev.emulator.api import HANDLERS
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.web.control import REQUESTS, ControlRequest

from emulator.conftest import FRIEND, LINE, NOBODY, PERSON, THIRD, Api, say
from linqbot.clock import MovableClock
from linqbot.linq.endpoints import ENDPOINTS as TABLE
from linqbot.linq.rules.check import takes_body

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
handle = st.sampled_from([LINE, PERSON, FRIEND, THIRD, "a@b.co", "x", "", "+1"])
url = st.sampled_from(
    ["https://e.example/a.png", "http://127.0.0.1:4010/attachments/", "x", "https://", "https://[", "data:,x"]
)
span = st.lists(st.integers(-1, 5), max_size=3)
some_text = st.text(max_size=5)
words = st.dictionaries(some_text, some_text, max_size=2)
values: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("from", "handle", "mention", "phone_number", "forwarding_number"), handle),
    **dict.fromkeys(("to", "handles", "exclude_from"), st.lists(handle, max_size=3)),
    **dict.fromkeys(("url", "voice_memo_url", "image_url", "group_chat_icon", "target_url", "return_url"), url),
    **dict.fromkeys(("text", "display_name", "first_name", "filename", "connect_id"), some_text),
    **dict.fromkeys(("override_optout", "is_active"), st.booleans()),
    **dict.fromkeys(("amount", "amount_cents", "quantity", "trial_period_days"), st.integers(0, 10**12)),
    "type": st.sampled_from(
        ["text", "media", "link", "imessage_app", "app_clip", "love", "custom", "sticker", "color"]
    ),
    "operation": st.sampled_from(["add", "remove", "x"]),
    "emoji": st.sampled_from(["🚀", "a", ""]),
    "custom_emoji": st.sampled_from(["🚀", ""]),
    "part_index": st.integers(-1, 3),
    "value": st.sampled_from(["hi", "", "🎂 x", "https://e.example", "STOP"]),
    "placement": st.fixed_dictionaries({}, optional={"x": anything, "y": anything, "scale": anything}),
    "layout": st.fixed_dictionaries({}, optional={"caption": st.text(max_size=3), "image_url": url}),
    "app": st.fixed_dictionaries(
        {"team_id": st.just("ABCDE12345"), "bundle_id": st.text(max_size=3)}, optional={"name": st.text(max_size=3)}
    ),
    "mention_range": span,
    "preferred_service": st.sampled_from(["iMessage", "SMS", "RCS", "x"]),
    "effect": st.fixed_dictionaries(
        {"name": st.sampled_from(["slam", "x"])}, optional={"type": st.sampled_from(["bubble", "screen"])}
    ),
    "idempotency_key": st.sampled_from(["k", "l", ""]),
    "subscribed_events": st.lists(st.sampled_from(["message.sent", "x.y", "chat.created"]), max_size=3),
    "content_type": st.sampled_from(["image/png", "audio/mpeg", "x"]),
    "size_bytes": st.integers(-1, 10**9),
    "continuation_message": st.fixed_dictionaries({"text": st.text(max_size=3)}),
    "options": st.lists(st.fixed_dictionaries({"text": st.text(max_size=3)}), max_size=4),
    "mode": st.sampled_from(["payment", "subscription"]),
    "rail": st.sampled_from(["stripe", "natural"]),
    "price_id": st.sampled_from(["price_1", "x"]),
    "customer_id": st.sampled_from(["cus_1", "x"]),
    "trial_end": st.sampled_from(["9999-12-31T23:59:59-14:00", "2100-01-01", "x"]),
    "discount": st.dictionaries(st.sampled_from(["coupon", "label", "promotion_code"]), st.text(max_size=2)),
    "merchant": st.dictionaries(st.sampled_from(["name", "url"]), st.text(max_size=2)),
    "metadata": words,
    "code": st.sampled_from(["424242", "x"]),
}
part = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "media", "link", "imessage_app", "app_clip"])},
    optional={key: values[key] for key in ("value", "url", "mention", "mention_range", "app", "layout")}
    | {
        "text_decorations": st.lists(
            st.fixed_dictionaries({"range": span}, optional={"style": st.just("bold")}), max_size=2
        ),
        "inline_stickers": st.lists(st.fixed_dictionaries({"range": span}, optional={"url": url}), max_size=2),
        "attachment_id": st.just(NOBODY),
    },
)
about_a_message = {key: values[key] for key in ("effect", "preferred_service", "idempotency_key")}
extras = st.fixed_dictionaries({}, optional=about_a_message)
values["message"] = st.fixed_dictionaries(
    {"parts": st.lists(part, max_size=3)},
    optional=about_a_message
    | {
        "reply_to": st.fixed_dictionaries({"message_id": st.just(NOBODY) | st.text(max_size=3)}),
        "experience": st.fixed_dictionaries(
            {"name": st.just("link"), "action": st.just("open")}, optional={"params": anything}
        ),
    },
)
values["poll"] = st.fixed_dictionaries({"options": values["options"]}, optional={"idempotency_key": st.just("p")})
field = st.one_of([st.tuples(st.just(key), value | anything) for key, value in values.items()])
body = st.lists(field, max_size=8).map(dict)
query = st.dictionaries(
    st.sampled_from(
        ["limit", "cursor", "from", "to", "type", "order", "phone_number", "exclude_from", "offset", "status"]
    ),
    st.sampled_from(["", "1", "999", "x", LINE, PERSON, "asc", "rcs", "é"]),
    max_size=3,
)
HI = {"parts": [{"type": "text", "value": "hi"}]}
GOOD: dict[str, dict[str, Any]] = {
    "chats.create": {"from": LINE, "to": [PERSON], "message": HI},
    "chats.update": {"display_name": "a", "group_chat_icon": "https://e.example/i.png"},
    "chats.messages.send": {"message": HI},
    "messages.create": {"to": [PERSON], "message": HI},
    "messages.update": {"text": "ho"},
    "messages.add_reaction": {"operation": "add", "type": "love"},
    "messages.update_sticker_placement": {"placement": {"x": 0}},
    "messages.update_app_card": {"layout": {"caption": "a"}},
    "chats.participants.add": {"handle": "b@c.de"},
    "chats.participants.remove": {"handle": THIRD},
    "chats.polls.create": {"poll": {"options": [{"text": "a"}, {"text": "b"}]}},
    "messages.poll.add_options": {"options": [{"text": "c"}]},
    "messages.poll.vote": {"operation": "add", "option_id": NOBODY},
    "chats.send_voicememo": {"voice_memo_url": "https://e.example/a.m4a"},
    "chats.background.set": {"type": "color", "variant": "mango"},
    "chats.location.stop": {"handle": PERSON},
    "capability.check_i_message": {"address": PERSON},
    "capability.check_RCS": {"address": PERSON},
    "attachments.create": {"filename": "a.png", "content_type": "image/png", "size_bytes": 4},
    "phone_numbers.update": {"forwarding_number": PERSON},
    "contact_card.create": {"phone_number": LINE, "first_name": "A"},
    "contact_card.update": {"last_name": "B"},
    "blocked_handles.block": {"handle": FRIEND},
    "blocked_handles.unblock": {"handle": FRIEND},
    "webhook_subscriptions.create": {"target_url": "https://h.example", "subscribed_events": ["message.sent"]},
    "webhook_subscriptions.update": {"is_active": False},
    "payment_requests.create": {"amount": 50, "currency": "usd"},
    "payments.create": {"handle": PERSON, "amount_cents": 50, "currency": "usd"},
    "payment_providers.connect": {"return_url": "https://e.example/back"},
    "payment_handles.verify": {"code": "424242", "connect_id": "x"},
}
part_of_a_message = st.builds(lambda one, more: {"message": {"parts": [one], **more}}, part, extras)


def calls(endpoint: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    """Generate calls that are right, nearly right, or wrong."""
    good = st.just(GOOD.get(endpoint.name, {}))
    changed = st.builds(
        lambda base, change: base | change, good, part_of_a_message | field.map(lambda pair: dict([pair]))
    )
    return st.tuples(
        st.just(endpoint),
        good | changed | changed | body,
        query | st.just({}),
        st.integers(0, 9),
        st.integers(0, 9).map(bool),
    )


def test_every_endpoint_with_a_body_has_a_valid_example() -> None:
    differing = GOOD.keys() ^ {name for name in HANDLERS if takes_body(name)}
    assert not differing, "Put a body that breaks no rule into GOOD."


def test_every_endpoint_of_the_v3_api_has_one_handler() -> None:
    differing = HANDLERS.keys() ^ {name for name in TABLE if not name.startswith("v2.")}
    assert not differing, "Name a function in emulator/endpoints/ as the endpoint: chats_typing_start."


step = st.sampled_from([TABLE[name] for name in HANDLERS]).flatmap(calls)


def path_of(template: str, emulator: Emulator, pick: int, *, known: bool) -> str:
    state = emulator.state
    ids = {
        "chat_id": list(state.chats),
        "message_id": list(state.messages),
        "attachment_id": list(state.attachments),
        "subscription_id": list(state.subscriptions),
        "phone_number_id": [line.id for line in state.lines.values()],
        "reaction_id": [one.id for message in state.messages.values() for one in message.reactions],
        "phone_number": [LINE.replace("+", "%2B")],
        "audit_id": list(state.audits),
        "payment_request_id": list(state.payment_requests),
        "payment_id": list(state.payments),
        "provider": ["stripe", "natural"],
        "handle": [PERSON.replace("+", "%2B")],
        "experience": ["link"],
    }
    filled = []
    for segment in template.split("/"):
        choices = ids.get(segment[1:-1], []) if segment.startswith("{") else [segment]
        filled.append(choices[pick % len(choices)] if choices and (known or segment == choices[0]) else NOBODY)
    return "/".join(filled)


async def play(steps: list[Any]) -> None:
    echo = httpx.MockTransport(lambda request: httpx.Response(200, json=json.loads(request.content)))
    async with Emulator(clock=MovableClock(frozen=True), delivery_transport=echo) as emulator:
        emulator.subscribe("https://new.example")
        emulator.subscribe("https://old.example/?version=2025-01-01")
        say(emulator)
        say(emulator, from_=FRIEND, service="SMS")
        say(emulator, group=[FRIEND, THIRD])
        emulator.do(MakePoll(from_=PERSON, chat_id=next(iter(emulator.state.chats)), options=["a", "b"]))
        emulator.do(React(from_=PERSON, message_id=next(iter(emulator.state.messages)), type="sticker", emoji="🚀"))
        async with Api(emulator) as client:
            for endpoint, sent, params, pick, known in steps:
                answer = await client.request(
                    endpoint.method,
                    path_of(endpoint.path, emulator, pick, known=known),
                    content=json.dumps(sent).encode() if takes_body(endpoint.name) else None,
                    params=params,
                    headers={"content-type": "application/json"} if takes_body(endpoint.name) else {},
                )
                assert answer.status_code < 500 or answer.json()["error"]["code"] != 3006, (endpoint.name, sent)
                if not answer.is_success:
                    assert set(answer.json()) == {"success", "error", "trace_id"}, endpoint.name
                emulator.advance(pick / 10)
        await emulator.flush()
        saved = json.loads(json.dumps(emulator.save_state()))
        emulator.reset(saved)
        assert emulator.save_state() == saved


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(step, min_size=1, max_size=12))
def test_any_sequence_of_calls_is_answered_in_form(steps: list[Any]) -> None:
    anyio.run(play, steps)


control_values = values | {
    "from_": handle,
    "to": handle,
    "parts": st.lists(
        part | st.fixed_dictionaries({"type": st.just("media"), "data_base64": st.text(max_size=4)}), max_size=3
    ),
    "group": st.lists(handle, max_size=2),
    "chat_id": st.sampled_from(["c", NOBODY]),
    "message_id": st.sampled_from(["m", NOBODY]),
    "sent_at": st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "x", "2026-01-01"]),
    "reply_to": st.just("m"),
    "effect": st.sampled_from(["slam", "x"]),
    "state": st.sampled_from(["started", "stopped"]),
    "service": st.sampled_from(["iMessage", "SMS", "RCS"]),
    "options": st.lists(st.text(max_size=2), max_size=3),
    "on": st.sampled_from(["delivery", "message"]),
    "advance_s": st.floats(-1, 10**6),
    "id": st.sampled_from(["pr_1", "pay_1", "x"]),
    "provider": st.sampled_from(["stripe", "x"]),
    "status": st.sampled_from(["ready", "disabled", "FLAGGED", 429]),
    "last_name": st.text(max_size=3),
}
control_request = st.sampled_from([one for one in REQUESTS if one.body is not None])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), control_request)
def test_any_control_body_is_answered_in_form_or_as_its_route_says(data: Any, control: ControlRequest) -> None:
    assert control.body is not None
    sent = {}
    for name, about in control.body.model_fields.items():
        if about.is_required() or data.draw(st.booleans()):
            sent[about.alias or name] = data.draw(control_values.get(name, anything))

    async def act() -> None:
        emulator = Emulator(clock=MovableClock(frozen=True))
        chat = {"id": "c", "handles": [{"handle": LINE, "is_me": True}, {"handle": PERSON}]}
        said = {"id": "m", "chat_id": "c", "from": PERSON, "parts": HI["parts"]}
        emulator.reset({"phone_numbers": [{"phone_number": LINE}], "chats": [chat], "messages": [said]})
        async with Api(emulator) as client:
            answer = await client.post(f"/emulator{control.path}", json=sent)
            assert answer.status_code == control.status or set(answer.json()) == {"success", "error", "trace_id"}
            assert (await client.get("/emulator/state")).status_code == 200

    anyio.run(act)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from([TABLE[name] for name in HANDLERS]), st.binary(max_size=40) | st.text(max_size=20).map(str.encode)
)
def test_any_bytes_are_answered_in_form(endpoint: Any, raw: bytes) -> None:
    async def send() -> None:
        emulator = Emulator()
        async with Api(emulator) as client:
            headers = {"content-type": "application/json"}
            path = path_of(endpoint.path, emulator, 0, known=False)
            answer = await client.request(endpoint.method, path, content=raw, headers=headers)
            assert answer.status_code < 500 or answer.json()["error"]["code"] != 3006

    anyio.run(send)
