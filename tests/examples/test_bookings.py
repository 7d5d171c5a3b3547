"""examples/bookings.py: each slot has one guest, and the owner sees, moves and cancels bookings by text."""

from __future__ import annotations

import asyncio
import csv
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from answers import answers
from starlette.applications import Starlette
from storages import open_storage

from linqbot import Bot
from linqbot.testing import Phone, killed_between_calls, talking

WEDNESDAY = datetime(2026, 11, 25, 12, tzinfo=UTC)
OWNER = "+14155550199"


async def books(guest: Phone, name: str, time: str) -> str:
    for text in ("book", "friday", name, time):
        await guest.text(text)
        await guest.quiet()
    return str((await guest.replies())[-1])


async def test_one_of_the_guests_who_want_a_slot_at_once_gets_it(bot: Bot) -> None:
    async with talking(bot, start=WEDNESDAY, service="SMS") as phone:
        guests = [phone, *(phone.person(f"+141555501{n}", service="SMS") for n in range(50, 53))]
        for text in ("book", "friday", "Ann"):
            await asyncio.gather(*(guest.text(text) for guest in guests))
            await phone.quiet()
        for guest in guests:
            assert "At which time?" in str((await guest.replies())[-1])
        phone.slow_next("POST /v3/chats", delay_s=0.1, times=len(guests))
        await asyncio.gather(*(guest.text("10:00") for guest in guests))
        last = [str((await guest.replies())[-1]) for guest in guests]
        assert last.count("Ann, you are booked on Friday 27 November at 10:00.") == 1
        # The others choose again, and the slot is not among their choices.
        again = [text for text in last if text.startswith("At which time?")]
        assert len(again) == len(guests) - 1
        assert not any("10:00" in text for text in again)
        owner = phone.person(OWNER)
        listed = (await answers(owner, "list friday"))[-1].splitlines()
        assert [line[:10] for line in listed[1:]] == ["10:00 Ann,"]


async def test_the_owner_reads_moves_and_cancels_and_the_guest_is_informed(bot: Bot) -> None:
    async with talking(bot, start=WEDNESDAY) as guest:
        owner = guest.person(OWNER)
        assert await books(guest, "Ann Lee", "10:00") == "Ann Lee, you are booked on Friday 27 November at 10:00."
        other = guest.person("+14155550143")
        assert await books(other, "Bob", "11:00") == "Bob, you are booked on Friday 27 November at 11:00."
        for text, answer in [
            ("list", "Wednesday 25 November\nNo bookings."),
            ("list soon", "Please give a day, such as Friday, tomorrow or 24 Dec."),
            ("move friday 10:00 to friday 11:00", "That slot is taken."),
            ("move friday 12:00 to friday 13:00", "That slot is not booked."),
            ("cancel friday 12:00", "That slot is not booked."),
            ("move friday 10:00 to saturday 9:00", f"Saturday 28 November\n09:00 Ann Lee, {guest.handle}"),
            ("cancel friday 11:00", "Friday 27 November\nNo bookings."),
        ]:
            assert await answers(owner, text) == [answer], text
        assert await guest.replies() == [
            "Ann Lee, your booking on Friday 27 November at 10:00 is now on Saturday 28 November at 09:00."
        ]
        assert await other.replies() == ["Bob, we are sorry: we cannot see you on Friday 27 November at 11:00."]
        await guest.advance(3 * 86_400)  # to Saturday, 13:00
        mornings = [str(each) for each in await owner.replies()]
        assert mornings[-1] == f"Saturday 28 November\n09:00 Ann Lee, {guest.handle}"


async def test_a_day_that_the_owner_closes_meanwhile_is_not_booked(bot: Bot) -> None:
    async with talking(bot, start=WEDNESDAY) as guest:
        await answers(guest, "book", "friday", "Ann")
        await guest.person(OWNER).text("closed friday")
        assert await answers(guest, "10:00") == [
            "That is not free any more.",
            "That day is full, or we are closed. Write 'book' to try another.",
        ]


async def test_no_guest_reads_or_changes_the_bookings(bot: Bot) -> None:
    async with talking(bot, start=WEDNESDAY) as guest:
        moves = ("list friday", "move friday 10:00 to friday 11:00", "cancel friday 11:00", "closed friday")
        assert await answers(guest, *moves) == []


async def test_a_name_is_taken_as_phones_write_it(bot: Bot, subtests: pytest.Subtests) -> None:
    names = (
        "O\u2019Brien",
        "D\u2018Angelo",
        "\u2019t Hooft",
        "O'Brien",
        "Zoë",
        "Zoe\u0308",
        "José María",
        "Jean-Luc",
        "Mary\u2013Jane",
    )
    for name in (*names, "Mary\u2010Jane", "Müller", "李雷", "Ann", "J. R. Smith", "Anna & Tom", "ann"):
        with subtests.test(name=name):
            async with talking(bot, start=WEDNESDAY) as guest:
                assert await books(guest, name, "10:00") == f"{name}, you are booked on Friday 27 November at 10:00."
    for text in ("=1+1", "+1 415 555", "@all", "-Ann", "Ann;", "A" * 60, "7"):
        with subtests.test(name=text):
            async with talking(bot, start=WEDNESDAY) as guest:
                assert "Please" in (await answers(guest, "book", "friday", text))[-1]


async def moved(phone: Phone) -> None:
    await books(phone, "Ann", "10:00")
    owner = phone.person(OWNER)
    await owner.text("move friday 10:00 to friday 11:00")
    await owner.text("list friday")


@pytest.mark.slow
async def test_a_booking_is_moved_once_wherever_the_bot_is_killed(bot: Bot) -> None:
    async for phone in killed_between_calls(bot, moved, start=WEDNESDAY):
        texts = [str(each) for each in phone.messages if each.from_bot]
        assert texts.count("Ann, you are booked on Friday 27 November at 10:00.") == 1
        assert texts[-1] == "Ann, your booking on Friday 27 November at 10:00 is now on Friday 27 November at 11:00."
        assert (await phone.person(OWNER).replies())[-1] == f"Friday 27 November\n11:00 Ann, {phone.handle}"


async def test_the_feeds_show_the_bookings_to_those_who_know_the_secret(
    bot: Bot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALENDAR_SECRET", "s3cret")
    url = f"sqlite:///{tmp_path}/bookings.db"
    async with talking(bot, start=WEDNESDAY, storage=url) as guest:
        await books(guest, "Ann O'Neil", "10:00")
    async with open_storage(url) as storage:
        routes = sys.modules["bookings"].Calendar().register_routes(SimpleNamespace(storage=storage))
        transport = httpx.ASGITransport(Starlette(routes=routes))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/") as reader:
            assert (await reader.get("guess.ics")).status_code == 404
            sheet = list(csv.reader((await reader.get("s3cret.csv")).text.splitlines()))
            calendar = (await reader.get("s3cret.ics")).text
            monkeypatch.delenv("CALENDAR_SECRET")
            assert (await reader.get(".ics")).status_code == 404
    assert sheet == [["at", "name", "guest"], ["2026-11-27 10:00", "Ann O'Neil", f"tel:{guest.handle}"]]
    assert "DTSTART:20261127T090000Z\r\n" in calendar
    assert "SUMMARY:Ann O'Neil\r\n" in calendar
    assert sys.modules["bookings"].as_ics([]).endswith("END:VCALENDAR\r\n")
