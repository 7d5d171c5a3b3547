"""examples/salon.py: an appointment from the first word to the reminder, in English and French."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from answers import answers

from linqbot import Bot
from linqbot.testing import Phone, killed_between_calls, talking

WEDNESDAY = datetime(2026, 11, 25, 9, tzinfo=UTC)
DANA, DAY = "+14155550199", 86_400


async def talk(phone: Phone, *lines: str) -> None:
    """Let a person write each line before a `|`, and check that the answer begins with what follows."""
    for line in lines:
        text, _, answer = line.partition("|")
        assert (await answers(phone, text))[-1].startswith(answer), line


async def test_an_appointment_in_english(bot: Bot) -> None:
    async with talking(bot, start=WEDNESDAY, service="SMS") as phone:
        await talk(
            phone,
            "hi|Welcome!",
            "book|With whom?\n1. Mia",
            "menu|With whom?",  # after the prices, the question again
            "mia|On which day?",
            "next week|Please give a day",
            "friday|At which time?\n1. 09:00",
            "10:00|Booked with Mia: Friday 27 November 2026 at 10:00",
        )
        await phone.advance(2 * DAY)
        assert await phone.replies() == ["Tomorrow at 10:00 with Mia!"]
        other = phone.person("+14155550143", service="SMS")
        await talk(other, "book|With", "noah|On", "saturday|At", "13:00|Booked with Noah: Saturday")
        await talk(other, "cancel my appointment|Cancelled.")
        await phone.advance(2 * DAY)
        assert await other.replies() == []
        await talk(phone, "book|With", "noah|On", "sunday|Nothing is free on that day.")


async def test_an_appointment_in_french(bot: Bot) -> None:
    async with talking(bot, start=WEDNESDAY, handle="+33612345678", service="SMS") as phone:
        await talk(
            phone,
            "Bonjour|Bienvenue !",
            "Réserver !|Avec qui ?",
            "Noah|Quel jour ?",
            "bientôt|Merci de donner un jour, par exemple vendredi",
            "après-demain|À quelle heure ?",
            "14:00|Réservé avec Noah : vendredi 27 novembre 2026 à 14:00.",
        )
        await phone.advance(2 * DAY)
        assert await phone.replies() == ["Demain à 14:00 avec Noah !"]
        await talk(phone, "annuler|Annulé.")


async def test_of_guests_who_want_the_same_stylist_at_the_same_time_one_gets_it(bot: Bot) -> None:
    async with talking(bot, start=WEDNESDAY, service="SMS") as phone:
        guests = [phone, phone.person("+14155550143", service="SMS"), phone.person("+33612345678", service="SMS")]
        for text in ("book", "mia", "friday"):
            for guest in guests:
                await guest.text("réserver" if text == "book" and guest is guests[2] else text)
            await phone.quiet()
        for guest in guests:
            await guest.replies()
        phone.slow_next("POST /v3/chats", delay_s=0.1, times=3)
        await asyncio.gather(*(guest.text("10:00") for guest in guests))
        answers = [str(each)[:7] for guest in guests for each in await guest.replies()]
        assert len([each for each in answers if each in ("Booked ", "Réservé")]) == 1
        assert len([each for each in answers if each in ("That ha", "C’est d")]) == 2


async def test_the_owner_closes_a_day_and_guests_read_it_in_their_language(bot: Bot) -> None:
    async with talking(bot, start=WEDNESDAY, service="SMS") as phone:
        french, owner = phone.person("+33612345678", service="SMS"), phone.person(DANA, service="SMS")
        await talk(owner, "closed friday|Mon closed\nTue–Fri 9:00–18:00")
        await talk(phone, "book|With", "Mia|On", "friday|Nothing is free on that day.")
        await talk(owner, "sold out|Mon closed")
        await talk(phone, "hello|We are closed.")
        await french.text("Bonjour")
        assert "\nvendredi 27 novembre 2026: fermé\n" in str(await french.next_reply())


async def test_a_person_answers_also_in_the_middle_of_a_question(bot: Bot) -> None:
    async with talking(bot, start=WEDNESDAY) as phone:
        *_, wait = await answers(phone, "book", "I want to talk to a person")
        assert wait == "Dana answers you here."
        owner = phone.person(DANA)
        assert "I want to talk to a person" in str((await owner.replies())[-1])
        await phone.text("Is Mia in today?")
        assert str(await owner.next_reply()).endswith("Is Mia in today?")
        await owner.text("She is!")
        assert str(await phone.next_reply()) == "Dana: She is!"
        await owner.text("#done")
        await phone.advance(1)
        _, asked = await phone.replies()  # the bot is back, and asks again
        assert str(asked).startswith("With whom?")
        await talk(phone, "mia|On which day?")


async def test_dana_decides_in_her_own_chat_about_an_appointment_on_the_same_day(bot: Bot) -> None:
    async with talking(bot, start=WEDNESDAY, handle="+33612345678", service="SMS") as phone:
        dana = phone.person(DANA)
        asked = "Pour +33612345678 : Mia, mercredi 25 novembre 2026 à 16:00?"
        await talk(
            phone, "réserver|Avec", "mia|Quel", "aujourd’hui|À quelle", "16:00|C’est bientôt. J’ai demandé à Dana."
        )
        assert await dana.replies() == [asked]
        await talk(phone, "oui|Bienvenue !")  # the guest cannot answer for her
        await phone.restart()
        await talk(dana, "closed friday|Pour +33612345678")  # after the new hours, the question again
        await dana.text("Yes!")
        assert await phone.replies() == ["Réservé avec Mia : mercredi 25 novembre 2026 à 16:00."]
        assert await dana.replies() == []


async def test_a_guest_whom_dana_refuses_or_does_not_answer_reads_it_and_the_time_stays_free(bot: Bot) -> None:
    async with talking(bot, start=WEDNESDAY, service="SMS") as phone:
        dana = phone.person(DANA)
        for answer in ("no", None):
            await talk(phone, "book|With", "mia|On", "today|At", "16:00|That is soon. I have asked Dana.")
            await (phone.advance(3601) if answer is None else dana.text(answer))
            (said,) = await phone.replies()
            assert (said == "Dana is sorry, that is too soon. Write: book") == (answer == "no")
        assert (await dana.replies())[-1] == f"For {phone.handle}: Mia, Wednesday 25 November 2026 at 16:00?"
        assert await answers(dana, "yes") == ["That question is over, so your answer came too late."]
        *_, times = await answers(phone, "book", "mia", "today")
        assert " 16:00" in times


async def appointment(phone: Phone) -> None:
    await talk(phone, "book|With", "mia|On", "friday|At", "10:00|Booked")
    await phone.advance(2 * DAY)


@pytest.mark.slow
async def test_an_appointment_is_made_once_wherever_the_bot_is_killed(bot: Bot) -> None:
    async for phone in killed_between_calls(bot, appointment, start=WEDNESDAY, service="SMS"):
        texts = [str(each) for each in phone.messages if each.from_bot]
        assert [each[:8] for each in texts] == ["With who", "On which", "At which", "Booked w", "Tomorrow"]


async def same_day(phone: Phone) -> None:
    dana = phone.person(DANA)
    await talk(phone, "book|With", "mia|On", "today|At", "16:00|That")
    await phone.text("yes")
    await dana.text("yes")
    await phone.quiet()


@pytest.mark.slow
async def test_dana_is_asked_once_and_heard_once_wherever_the_bot_is_killed(bot: Bot) -> None:
    async for phone in killed_between_calls(bot, same_day, start=WEDNESDAY, service="SMS"):
        texts = sorted(str(each)[:8] for each in phone.messages if each.from_bot)
        assert texts == ["At which", "Booked w", "On which", "That is ", "Welcome!", "With who"], phone.killed
        assert [each for each in phone.person(DANA).messages if each.from_bot] == [
            f"For {phone.handle}: Mia, Wednesday 25 November 2026 at 16:00?"
        ]
