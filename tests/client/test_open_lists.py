"""Lists of Linq's names: a known name passes, a misspelt one is refused, and any other one is sent with one warning."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args

import pytest
from client.calls import CARD, LINE, PERSON, SAID, Scene, emulated
from structlog.testing import capture_logs

from linqbot.client.call import prepare
from linqbot.errors import LinqApiError, RuleBroken
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.linq.rules.check import check
from linqbot.linq.types.chat import BackgroundName, ServiceType
from linqbot.linq.types.files import CONTENT_TYPES
from linqbot.linq.types.message import (
    BUBBLE_EFFECTS,
    SCREEN_EFFECTS,
    ReactionType,
    TapbackName,
    TextAnimation,
    TextStyle,
)
from linqbot.linq.types.names import passed

pytestmark = pytest.mark.usefixtures("no_name_met")

COLOURS = [name for name in get_args(BackgroundName) if " " not in name]
PAYMENT_STATES = ["requested", "authorized", "succeeded", "canceled", "expired", "declined"]


class Listed(NamedTuple):
    """A field with a list: a call that gives it a value, and which values.

    `field` is its name in the warning.
    """

    field: str
    call: Callable[[Any, Scene, Any], Any]
    known: Sequence[str]
    near: str
    new: str


def message(**more: Any) -> Callable[[Any, Scene, Any], Any]:
    """Return a call that sends a message; in `more`, `...` stands for the value."""

    def filled(given: Any, value: Any) -> Any:
        if isinstance(given, dict):
            return {name: filled(each, value) for name, each in given.items()}
        if isinstance(given, list):
            return [filled(each, value) for each in given]
        return value if given is ... else given

    return lambda c, s, value: c.chats.messages.send(s.chat, message={**SAID, **filled(more, value)})


def dressed(**look: Any) -> Callable[[Any, Scene, Any], Any]:
    return message(parts=[{"type": "text", "value": "hi", "text_decorations": [{"range": [0, 2], **look}]}])


TAPBACKS = [*get_args(TapbackName), "custom"]
ROWS = [
    Listed(
        "reaction.type",
        lambda c, s, v: c.messages.add_reaction(
            s.received, operation="add", type=v, custom_emoji="🎂" if v == "custom" else None
        ),
        TAPBACKS,
        "lvoe",
        "image",
    ),
    Listed(
        "reaction.operation",
        lambda c, s, v: c.messages.add_reaction(s.received, operation=v, type="love"),
        ["add", "remove"],
        "Add",
        "toggle",
    ),
    Listed(
        "vote.operation",
        lambda c, s, v: c.messages.poll.vote(s.poll, operation=v, option_id=s.option),
        ["add", "remove"],
        "remov",
        "toggle",
    ),
    Listed("effect.name", message(effect={"name": ...}), [*SCREEN_EFFECTS, *BUBBLE_EFFECTS], "celebraton", "vortex"),
    Listed("effect.type", message(effect={"type": ...}), ["screen", "bubble"], "scren", "haptic"),
    Listed("service", message(preferred_service=...), get_args(ServiceType), "imessage", "auto"),
    Listed("text_decoration.style", dressed(style=...), get_args(TextStyle), "blod", "monospace"),
    Listed("text_decoration.animation", dressed(animation=...), get_args(TextAnimation), "explod", "twirl"),
    Listed("part.type", message(parts=[{"type": ..., "value": "hi"}]), ["text"], "txet", "hologram"),
    Listed(
        "background.type",
        lambda c, s, v: c.chats.background.set(
            s.chat,
            type=v,
            variant="mango" if v == "color" else "dark",
            style="water",
            image_url="https://e.example/i.png",
        ),
        ["color", "dynamic", "photo"],
        "colour",
        "gradient",
    ),
    Listed(
        "background.variant",
        lambda c, s, v: c.chats.background.set(s.chat, type="color", variant=v),
        COLOURS,
        "mangoo",
        "teal",
    ),
    Listed(
        "background.style",
        lambda c, s, v: c.chats.background.set(s.chat, type="dynamic", style=v, variant="dark"),
        ["water"],
        "watre",
        "forest",
    ),
    Listed(
        "background.variant",
        lambda c, s, v: c.chats.background.set(s.chat, type="dynamic", style="sky", variant=v),
        ["dusk", "dawn"],
        "sunst",
        "midnight",
    ),
    Listed(
        "thread.order",
        lambda c, s, v: c.messages.list_messages_thread(s.sent, order=v),
        ["asc", "desc"],
        "DESC",
        "newest",
    ),
    Listed(
        "content_type",
        lambda c, s, v: c.attachments.create(filename="a", content_type=v, size_bytes=3),
        sorted(CONTENT_TYPES),
        "image/jpg",
        "image/avif",
    ),
    Listed(
        "line.type", lambda c, s, v: c.available_number.retrieve(type=v), ["iMessage", "RCS"], "imesage", "satellite"
    ),
    Listed(
        "event_type",
        lambda c, s, v: c.webhook_subscriptions.update(s.subscription, subscribed_events=[v]),
        list(EVENT_TYPES),
        "message.recieved",
        "message.translated",
    ),
    Listed(
        "payment_request.mode",
        lambda c, s, v: c.payment_requests.create(mode=v, amount=50, currency="usd"),
        ["payment"],
        "paymnt",
        "tip",
    ),
    Listed(
        "payment_request.currency",
        lambda c, s, v: c.payment_requests.create(amount=50, currency=v),
        ["usd"],
        "us",
        "eur",
    ),
    Listed(
        "payment_request.rail",
        lambda c, s, v: c.payment_requests.create(amount=50, currency="usd", rail=v, from_=LINE, payer_handle=PERSON),
        ["stripe", "natural"],
        "Stripe",
        "paper",
    ),
    Listed(
        "payment_request.status",
        lambda c, s, v: c.payment_requests.list(status=v),
        PAYMENT_STATES,
        "cancelled",
        "refunded",
    ),
]


async def made(call: Callable[[Any, Scene, Any], Any], client: Any, scene: Scene, value: str) -> None:
    """Make a call. That the emulator refuses it for its state is no matter: then it was sent."""
    with contextlib.suppress(LinqApiError):
        await call(client, scene, value)


async def test_a_known_name_passes_a_misspelt_one_is_refused_and_any_other_is_sent_with_one_warning(
    subtests: pytest.Subtests,
) -> None:
    async with emulated() as linq, linq.client() as client:
        for row in ROWS:
            there = (await linq.made("chats.retrieve", client))[0].scene
            for value in row.known:
                with subtests.test(field=row.field, known=value), capture_logs() as logs:
                    await made(row.call, client, there, value)
                    assert logs == []
            with subtests.test(field=row.field, near=row.near), pytest.raises(RuleBroken, match="Did you mean"):
                await row.call(client, there, row.near)
            with subtests.test(field=row.field, new=row.new), capture_logs() as logs:
                new = f"{row.new}_x"  # as no other test
                for _ in range(2):
                    await made(row.call, client, there, new)
                (warning,) = logs
                assert (warning["event"], warning["log_level"]) == ("linq.unknown", "warning")
                assert (warning["field"], warning["value"]) == (row.field, new)


def test_a_value_that_is_no_name_of_linqs_is_refused_or_passes_and_is_never_logged(subtests: pytest.Subtests) -> None:
    def react(value: Any) -> Any:
        return check("messages.add_reaction", {"operation": "add", "type": value})

    for value in (5, "", ["love"], "❤️"):
        with subtests.test(value=value):
            assert react(value).rule == "R80"
    for secret in ("+14155550142", "ann@example.com", "please call me back", "x" * 300):
        with subtests.test(secret=secret), capture_logs() as logs:
            assert react(secret) is None
            assert secret not in str(logs)


def test_made_up_names_do_not_fill_the_log() -> None:
    with capture_logs() as logs:
        for number in range(2000):
            passed("a field of this test", f"name{number}")
    assert 0 < len(logs) < 100


def test_a_card_may_ask_for_a_service_that_linqbot_does_not_know() -> None:
    assert check("chats.messages.send", {"message": {"parts": [CARD], "preferred_service": "auto"}}) is None


def test_a_call_whose_name_is_not_known_is_not_repeated(subtests: pytest.Subtests) -> None:
    def safety(**body: Any) -> str:
        return prepare("messages.add_reaction", path={"message_id": "m"}, body=body).safety

    rows: list[tuple[dict[str, Any], str]] = [
        *(({"operation": "add", "type": name}, "natural") for name in TAPBACKS),
        ({"operation": "remove", "type": "love"}, "natural"),
        ({"operation": "add", "type": "sticker"}, "once"),
        ({"operation": "add", "type": "image"}, "once"),
        ({"operation": "toggle", "type": "love"}, "once"),
    ]
    for body, expected in rows:
        with subtests.test(body=body):
            assert safety(**body) == expected
    assert set(TAPBACKS) == set(get_args(ReactionType)) - {"sticker"}
    vote = prepare("messages.poll.vote", path={"message_id": "m"}, body={"operation": "toggle", "option_id": "o"})
    assert vote.safety == "once"


async def test_a_voice_memo_may_ask_to_notify_the_person() -> None:
    async with emulated() as linq, linq.client() as client:
        there = (await linq.made("chats.retrieve", client))[0].scene
        memo = await client.chats.send_voicememo(there.chat, attachment_id=there.attachment, force_notify=True)
        assert memo.voice_memo.id
        with pytest.raises(RuleBroken, match="force_notify must be true or false"):
            await client.chats.send_voicememo(there.chat, attachment_id=there.attachment, force_notify="yes")  # type: ignore[arg-type]
