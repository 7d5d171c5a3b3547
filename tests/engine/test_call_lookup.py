"""Looking up the effect of a call whose answer was lost, in answers of Linq that have null in the place of a list."""

from __future__ import annotations

from typing import Any

import pytest

from linqbot.client.call import ApiResponse, Call, prepare
from linqbot.engine.call_lookup import find, ids_in
from linqbot.storage.journal import JournalEntry

ID = "550e8400-e29b-41d4-a716-446655440000"
MEMO = prepare("chats.send_voicememo", path={"chat_id": ID}, body={"attachment_id": ID})
OPTIONS = prepare("messages.poll.add_options", path={"message_id": ID}, body={"options": [{"text": "Friday"}]})


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (MEMO, {"messages": None, "next_cursor": None}),
        (OPTIONS, {"message_id": ID, "poll": None}),
        (OPTIONS, {"message_id": ID, "poll": {"options": None}}),
    ],
    ids=["messages", "poll", "options"],
)
async def test_an_effect_is_not_found_where_linq_lists_nothing(call: Call, answer: dict[str, Any]) -> None:
    async def run(_: Call) -> ApiResponse:
        return ApiResponse(200, answer)

    async def has_sent(_: str) -> bool:
        return False

    entry = JournalEntry("w.1", 0, "0", "key-0", "once", call.to_json(), "attempting", 1.0)
    assert await find(call, entry, run, has_sent) is None


def test_the_ids_of_a_send_are_read_from_both_shapes_of_its_answer_and_are_texts() -> None:
    rows: list[tuple[Any, tuple[str | None, str | None]]] = [
        ({"chat_id": "c", "message": {"id": "m"}}, ("m", "c")),
        ({"chat": {"id": "c", "message": {"id": "m"}}}, ("m", "c")),
        ({"chat_id": 7, "message": {"id": 7}}, (None, None)),
        ({"chat_id": "", "message": {"id": ""}}, (None, None)),
        ({"chat": "c", "message": "m"}, (None, None)),
        (["c", "m"], (None, None)),
        (None, (None, None)),
    ]
    assert [ids_in(ApiResponse(202, data)) for data, _ in rows] == [ids for _, ids in rows]
