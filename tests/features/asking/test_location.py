"""Locations: a handler that asks for one ends, and goes on when the person shares it."""

from __future__ import annotations

from typing import Any

import pytest
from asking_talk import Talk
from fakes import CHAT, LINE, PERSON, envelope, tapback

from linqbot import AskCancelled, AskTimeout, Context, LinqApiError, MessageReceived
from linqbot.client.call import ApiResponse
from linqbot.features.asking.event_waits import look_again_after_s


async def near(message: MessageReceived, ctx: Context) -> None:
    if message.text != "near":
        await ctx.reply(f"Routed: {message.text}")
        return
    try:
        where = await ctx.location("Where are you?", timeout_s=600)
    except AskTimeout:
        await ctx.send("Never mind.")
    except AskCancelled as error:
        await ctx.send(f"Cancelled: {error.reason}")
    else:
        await ctx.send(f"You are at {where.latitude} {where.longitude}.")


def at(latitude: float, longitude: float, *, handle: str = PERSON) -> dict[str, Any]:
    place = {"type": "Point", "coordinates": [longitude, latitude]}
    properties = {"handle": handle, "updated_at": "2026-11-05T17:34:00Z", "locality": "Paris"}
    return {"type": "Feature", "geometry": place, "properties": properties}


def locates(talk: Talk, *features: dict[str, Any], times: int = 1) -> None:
    data = {"type": "FeatureCollection", "features": list(features)}
    talk.linq.will_answer("chats.location.retrieve", *[ApiResponse(200, {"success": True, "data": data})] * times)


async def share(talk: Talk, *, by: str = PERSON, chat: str | None = CHAT) -> None:
    data = {"chat_id": chat, "shared_by": by, "shared_with": LINE, "began_at": "2026-11-05T17:33:20.000Z"}
    await talk.receive(envelope("location.sharing.started", data))


async def test_a_phone_that_is_not_located_yet_is_looked_up_again(talk: Talk) -> None:
    await talk.to(near, "near")
    locates(talk, times=2)
    await share(talk)
    assert talk.open_questions() == ["waiting"]
    await talk.restart()
    await talk.pass_time(5)
    assert talk.open_questions() == ["waiting"]
    locates(talk, at(48.85, 2.35))
    await talk.pass_time(10)
    assert talk.said == ["Where are you?", "You are at 48.85 2.35."]
    assert await talk.storage.scheduled() == []


async def test_a_phone_that_is_never_located_ends_with_the_timeout(talk: Talk) -> None:
    await talk.to(near, "near")
    locates(talk, times=100)
    await share(talk)
    for _ in range(60):
        await talk.pass_time(11)
    assert talk.said == ["Where are you?", "Never mind."]
    assert [call.name for call in talk.linq.calls].count("chats.location.retrieve") < 16
    await talk.pass_time(100)
    assert await talk.storage.scheduled() == []


def test_a_phone_is_looked_up_once_a_minute_however_long_the_wait_lasts() -> None:
    looks_of_a_year = 366 * 24 * 60
    pauses = [look_again_after_s(looks) for looks in (0, 1, 2, 3, 4, 1023, 1024, looks_of_a_year)]
    assert pauses == [5, 10, 20, 40, 60, 60, 60, 60]


async def test_a_person_who_shares_already_is_not_asked(talk: Talk) -> None:
    talk.deploy(near)
    talk.linq.will_answer("chats.location.request", LinqApiError("shared already", status=409, code=1005))
    locates(talk, at(48.85, 2.35))
    await talk.say("near")
    await talk.run()
    assert talk.said == ["You are at 48.85 2.35."]
    assert talk.open_questions() == []
    assert await talk.storage.scheduled() == []


async def test_what_else_a_person_does_does_not_end_the_wait(talk: Talk) -> None:
    await talk.to(near, "near")
    locates(talk, at(48.85, 2.35))
    await talk.receive(tapback("like", "sent-1"))
    assert (talk.said, talk.open_questions()) == (["Where are you?"], ["waiting"])


@pytest.mark.parametrize("changes", [{"chat": None}, {"by": "ada@example.com"}])
async def test_a_location_may_come_without_its_chat_and_from_the_address_of_an_apple_id(
    talk: Talk, changes: dict[str, Any]
) -> None:
    await talk.to(near, "near")
    locates(talk, at(48.85, 2.35, handle=changes.get("by", PERSON)))
    await share(talk, **changes)
    assert talk.said[1:] == ["You are at 48.85 2.35."]


@pytest.mark.parametrize("changes", [{"service": "SMS"}, {"service": "RCS"}, {"is_group": True}])
async def test_where_linq_cannot_ask_for_a_location_the_wait_is_cancelled(talk: Talk, changes: dict[str, Any]) -> None:
    talk.deploy(near, groups="all")
    await talk.say("near", **changes)
    assert talk.said == ["Cancelled: unsupported"]
    assert "chats.location.request" not in talk.linq.names()


@pytest.mark.parametrize(
    ("error", "reason"), [((409, 2017), "unsupported"), ((409, 2016), "unsupported"), ((403, 2024), "opted_out")]
)
async def test_a_refusal_of_linqs_ends_the_wait(talk: Talk, error: tuple[int, int], reason: str) -> None:
    talk.deploy(near)
    status, code = error
    talk.linq.will_answer("chats.location.request", LinqApiError("no", status=status, code=code))
    await talk.say("near")
    assert talk.said == [f"Cancelled: {reason}"]


async def test_a_second_request_takes_the_place_of_the_first(talk: Talk) -> None:
    await talk.to(near, "near", "near")
    locates(talk, at(48.85, 2.35))
    await share(talk)
    assert talk.said == ["Where are you?", "Where are you?", "You are at 48.85 2.35."]
    assert talk.open_questions() == []
    await talk.pass_time(601)
    assert len(talk.said) == 3
