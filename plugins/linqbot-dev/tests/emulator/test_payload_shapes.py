"""Events of the emulator compared with real ones: the same keys and kinds of values, in both payload versions.

Everything happens once, and each sample of Linq must have an event of its shape among those that were delivered.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
from linq_events import EXAMPLES, example
from linqbot_dev.emulator.acts.chat_acts import ChangeLine, MakePoll
from linqbot_dev.emulator.acts.conversation import Edit
from pydantic import BaseModel

from emulator.conftest import LINE, PERSON, say
from emulator.everything import EVERYTHING, World, account, chats, messages, polls

# Free-form text, or lists whose content is the case's own.
OPEN = {"target_url", "from", "to"}


def alike(ours: Any, real: Any, at: str = "") -> None:
    """Check that objects have the same keys, values the same kind, and times, ids and addresses the same form."""
    if isinstance(real, dict):
        assert isinstance(ours, dict), at
        assert set(ours) == set(real), f"{at}: {set(ours) ^ set(real)}"
        for key, value in real.items():
            if key not in OPEN or not isinstance(value, dict | list):
                alike(ours[key], value, f"{at}.{key}")
    elif isinstance(real, list):
        assert isinstance(ours, list), at
        assert len(ours) >= len(real), f"{at}: {len(ours)} {len(real)}"
        for mine, theirs in zip(ours, real, strict=False):
            alike(mine, theirs, f"{at}[]")
    elif real is not None:
        assert type(ours) is type(real), f"{at}: {ours!r} {real!r}"
        if isinstance(real, str):
            assert form(ours) == form(real), f"{at}: {ours!r} {real!r}"


def form(text: str) -> str:
    for name, pattern in {
        "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
        "trace": r"[0-9a-f]{32}",
        "phone": r"\+\d+",
        "url": r"https?://.*",
    }.items():
        if re.fullmatch(pattern, text):
            return name
    return "text"


def official(event_type: str) -> type[BaseModel]:
    """Return the official client's model of an event, which refuses data that does not fit."""
    name = re.sub(r"[._]", "_", event_type) + "_webhook_event"
    module = importlib.import_module(f"linq.types.{name}")
    return getattr(module, name.title().replace("_", "").replace("Url", "URL").replace("Api", "API"))  # type: ignore[no-any-return]


def sample(name: str) -> dict[str, Any]:
    """Return an event of Linq, changed to one of the emulator: which tells of its own API, and of its customer."""
    real: dict[str, Any] = example(name)
    if name.startswith("webhook_subscription."):
        real["data"]["actor"] = {"type": "api"}
    if name.startswith("connection."):
        real["data"] |= {"metadata": {"handle": PERSON}, "description": None}
    if name == "message.failed.v2025-01-01":  # what Linq added later is in this version too, without a description
        real["data"] |= {"service": "iMessage", "preferred_service": None, "detail_code": 1203}
    return real


# Events of Linq's dashboard only, or of calls: nothing in the emulator causes them. `linqbot trigger` sends them.
NEVER_HERE = {
    "api_token.activated", "api_token.created", "api_token.deleted", "api_token.expired", "api_token.expiry_scheduled",
    "api_token.renamed", "environment.created", "environment.deleted", "environment.line_moved", "environment.renamed",
    "team_member.added", "team_member.signed_in", "team_member.signed_out",
}  # fmt: skip


async def test_every_sample_of_linq_has_an_event_of_the_same_shape(world: World, subtests: pytest.Subtests) -> None:
    for act in EVERYTHING:
        await act(world)
    for name in sorted(EXAMPLES.keys() - NEVER_HERE):
        with subtests.test(name=name):
            real = sample(name)
            version = "old" if name.endswith("2025-01-01") else "new"
            found, differences = await world.all_heard(real["event_type"], version), []
            for ours in found:
                if version == "new":
                    official(real["event_type"]).model_validate(ours)
                try:
                    alike(ours, real)
                    break
                except AssertionError as difference:
                    differences.append(str(difference))
            else:
                assert found, f"Let something cause {real['event_type']} in everything.py, or name it in NEVER_HERE."
                pytest.fail(f"no event of {len(found)} has the shape: {differences}")


def test_a_sample_that_the_emulator_never_sends_fits_the_official_client(subtests: pytest.Subtests) -> None:
    for name in sorted(NEVER_HERE):
        with subtests.test(name=name):
            official(name).model_validate(example(name))


FACTS: list[tuple[str, dict[str, Any]]] = [
    ("message.received", {"sent_at": "1970-01-01T00:00:00.000Z"}),
    ("message.received", {"chat.health_status.status": "OPTED_OUT"}),
    ("message.received", {"parts.0.mentions": [{"handle": LINE, "is_me": True, "range": [0, 5]}]}),
    ("message.sent", {"delivered_at": None, "effect.name": "confetti"}),
    ("message.sent", {"zero_retention": True, "parts": []}),
    ("message.delivered", {"read_at": None}),
    ("participant.removed", {"handle": LINE, "participant.status": "left"}),
    ("chat.group_icon_updated", {"new_value": "https://cdn.linqapp.com/icon.png"}),
    ("chat.background_updated", {"background": None}),
    ("chat.background_update_failed", {"error_code": 2011}),
    ("poll.updated", {"direction": "inbound", "sender_handle.handle": LINE}),
    ("webhook_subscription.created", {"webhook_subscription.target_url": "https://a.example/"}),
]


def at(value: Any, place: str) -> Any:
    for name in place.split("."):
        value = value[int(name)] if isinstance(value, list) else (value or {}).get(name)
    return value


async def test_events_tell_what_has_happened(world: World, subtests: pytest.Subtests) -> None:
    await messages(world)
    group = world.emulator.state.chat(await chats(world))
    assert (group.name, group.icon, group.background) == ("Friday dinner", "https://cdn.linqapp.com/icon.png", None)
    await polls(world)
    await account(world)
    for event_type, facts in FACTS:
        with subtests.test(event_type=event_type, facts=facts):
            found = await world.all_heard(event_type)
            assert facts in [{place: at(one["data"], place) for place in facts} for one in found]
    assert len(await world.all_heard("contact_card.received")) == 1  # the same card was shared twice
    assert await world.all_heard("message.edited", "old") == []


async def test_a_line_of_zero_retention_keeps_no_content(world: World) -> None:
    world.emulator.do(ChangeLine(phone_number=LINE, zero_retention=True))
    chat_id = say(world.emulator)["chat_id"]
    heard = await world.heard("message.received")
    assert (heard["data"]["parts"][0]["value"], heard["data"]["zero_retention"]) == ("hi", True)
    said = {"message": {"parts": [{"type": "text", "value": "hello"}]}}
    sent = await world.call("POST", f"/chats/{chat_id}/messages", said)
    assert sent["message"]["parts"][0]["value"] == "hello"
    page = await world.call("GET", f"/chats/{chat_id}/messages")
    assert [message["parts"] for message in page["messages"]] == [[], []]
    await world.call("PATCH", f"/messages/{sent['message']['id']}", {"text": "changed"})
    assert (await world.heard("message.edited"))["data"]["part"]["text"] == ""
    world.emulator.do(Edit(from_=PERSON, message_id=page["messages"][1]["id"], text="hi!"))
    assert (await world.heard("message.edited"))["data"]["part"]["text"] == "hi!"
    poll = await world.call("POST", f"/chats/{chat_id}/polls", {"poll": {"options": [{"text": "a"}, {"text": "b"}]}})
    assert [option["text"] for option in poll["poll"]["options"]] == ["a", "b"]
    world.emulator.advance(1)
    assert [option["text"] for option in (await world.heard("poll.sent"))["data"]["poll"]["options"]] == ["", ""]
    kept = await world.call("GET", f"/messages/{poll['message_id']}/poll")
    assert [option["text"] for option in kept["poll"]["options"]] == ["", ""]
    world.emulator.do(MakePoll(from_=PERSON, chat_id=chat_id or "", options=["c", "d"]))
    heard = await world.heard("poll.received")
    assert [option["text"] for option in heard["data"]["poll"]["options"]] == ["c", "d"]
    assert heard["data"]["zero_retention"] is True
