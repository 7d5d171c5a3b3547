"""`forget` removes a person from the file to the last byte, including messages sent to them and scheduled for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking_talk import Talk
from fakes import CHAT, LINE, PERSON, delivery, envelope, handle, text_body
from sqlite_connections import bytes_of

from linqbot import Context, MessageReceived
from linqbot.engine.turn import origin_of
from linqbot.linq.events.parse import parse

WORDS = "meet me at nine"
BOB = "+14155550187"
GROUP = "00000000-0000-4000-9000-000000000001"


def on_disk(talk: Talk, *words: str) -> list[str]:
    """Return those of the words that the files of the storage hold."""
    stored = bytes_of(talk.path)
    return [word for word in words if word.encode() in stored]


async def remind(message: MessageReceived, ctx: Context) -> None:
    await ctx.send_later(f"You said: {message.text}", after_s=50)


async def test_a_send_scheduled_for_a_person_in_a_group_is_removed_and_not_sent(talk: Talk) -> None:
    talk.deploy(remind, groups="all")
    await talk.say(WORDS, chat=GROUP, is_group=True)
    await talk.say("others stay", chat=GROUP, sender=BOB, is_group=True)
    forgotten = await talk.storage.forget(PERSON)
    assert (forgotten.rows["timer"], forgotten.chats, forgotten.left, forgotten.wiped) == (1, (), (), True)
    assert on_disk(talk, WORDS, PERSON) == []
    await talk.pass_time(60)
    assert talk.said == ["You said: others stay"]


async def answer(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply(WORDS)


@pytest.mark.parametrize(
    ("handler", "later_s", "table"), [(remind, 0, "timer"), (remind, 50, "journal"), (answer, 0, "journal")]
)
async def test_a_direct_chat_is_found_by_what_is_left_after_its_deliveries_are_gone(
    talk: Talk, handler: Any, later_s: float, table: str
) -> None:
    await talk.to(handler, WORDS)
    await talk.pass_time(later_s)
    assert on_disk(talk, CHAT) == [CHAT]
    forgotten = await talk.storage.forget(PERSON)
    assert (forgotten.rows[table], forgotten.chats) == (1, (CHAT,))
    assert await talk.storage.scheduled() == []
    assert on_disk(talk, WORDS, PERSON, CHAT) == []


def origin(body: bytes) -> dict[str, object] | None:
    found = origin_of(parse(delivery(body)))
    return None if found is None else dict(json.loads(found))


def test_the_origin_of_a_turn_is_who_wrote_or_came_and_never_a_line_of_ours() -> None:
    direct = {"handles": [PERSON], "chat_id": CHAT, "is_group": False}
    group = direct | {"is_group": True}
    added = {"chat_id": CHAT, "participant": handle(PERSON)}
    chat = {"id": CHAT, "is_group": False, "handles": [handle(PERSON), handle(LINE, is_me=True)]}
    rows = [
        (text_body(), direct),
        (text_body(is_group=True), group),
        (text_body(sender=LINE, direction="outbound"), None),
        (envelope("participant.added", added), group),
        (envelope("participant.added", added | {"participant": handle(LINE, is_me=True)}), None),
        (envelope("chat.created", chat), direct),
        (envelope("chat.created", chat | {"is_group": True}), None),
    ]
    assert [origin(body) for body, _ in rows] == [found for _, found in rows]
