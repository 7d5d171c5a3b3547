"""Opening hours: the author's rules, the owner's changes, and the clocks of any zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import pytest
from answers import answers
from hypothesis import given
from hypothesis import strategies as st
from one_handler import says
from pydantic import AfterValidator, BaseModel

from linqbot import Bot, BotError, Context, Hours, MessageReceived
from linqbot.bot.hours import ChangedHours, understood
from linqbot.language import CODES, sentences, speaking
from linqbot.parse import date_time
from linqbot.parse.translation import DAYS
from linqbot.testing import Phone, killed_between_calls, talking

OWNER, OTHER = "+14155550199", "+14155550142"
PARIS = "Europe/Paris"
WEDNESDAY = datetime(2026, 11, 25, 12, tzinfo=UTC)
SALON = Hours("tue-fri 9-12:30, 14-18", "sat 10am-4pm", timezone=PARIS, closed=["2026-12-25", date(2027, 1, 1)])


def test_rules_say_when_it_is_open(subtests: pytest.Subtests) -> None:
    for rules, shown in [
        (["mon-fri 9-18"], "Mon–Fri 9:00–18:00|Sat–Sun closed"),
        (["daily 9-18:30", "sun closed"], "Mon–Sat 9:00–18:30|Sun closed"),
        (["weekdays 9am-12pm 1:30pm-5pm", "weekend 10 to 4pm"], "Mon–Fri 9:00–12:00, 13:30–17:00|Sat–Sun 10:00–16:00"),
        (["Fri & Sat 18-2, Sun 0-24"], "Mon–Thu closed|Fri–Sat 18:00–2:00|Sun 0:00–24:00"),
        (["9h–17h30"], "Mon–Sun 9:00–17:30"),
        (["every monday 8.30-12; tue: 14-15 and 9-10."], "Mon 8:30–12:00|Tue 9:00–10:00, 14:00–15:00|Wed–Sun closed"),
        (["sat-mon 9-12"], "Mon 9:00–12:00|Tue–Fri closed|Sat–Sun 9:00–12:00"),
        (["mon-fri from 9 to 18, sat between 10 and 14"], "Mon–Fri 9:00–18:00|Sat 10:00–14:00|Sun closed"),
        (["from monday to wednesday nine to noon"], "Mon–Wed 9:00–12:00|Thu–Sun closed"),
        (["thu and fri half past nine till 6pm, closed sunday"], "Mon–Wed closed|Thu–Fri 9:30–18:00|Sat–Sun closed"),
        (["mon 9-12, mon 14-18"], "Mon 9:00–12:00, 14:00–18:00|Tue–Sun closed"),
        (["fri 11am-2am, sat 9am-12am"], "Mon–Thu closed|Fri 11:00–2:00|Sat 9:00–24:00|Sun closed"),
    ]:
        with subtests.test(rules=rules):
            assert str(Hours(*rules, timezone="UTC")) == shown.replace("|", "\n")


def test_a_wrong_rule_is_refused_with_the_nearest_right_form(subtests: pytest.Subtests) -> None:
    for rule, why in [
        ("mon-fri 9-5", "'9-5' ends before it begins. Did you mean 9:00-17:00?"),
        ("mno 9-18", "has a word that is no day"),
        ("mon-fri", "no times of day for some of its days. Write it like: mon-fri 9-18"),
        ("mon 9-18, tue", "no times of day for some of its days"),
        ("mon 9-25", "'9-25' has a time that no clock shows"),
        ("mon 13pm-14", "has a time that no clock shows"),
        ("mon 9-12 lunch", "has a word that is no day"),
        ("mon-fri from 9 to 5", "'from 9 to 5' ends before it begins. Did you mean 9:00-17:00?"),
        ("24-26 dec 9-12", "has a word that is no day"),
        ("mon-fri 9-18, sat", "no times of day for some of its days"),
        ("mon closed 9-12", "says that it is both open and closed"),
        ("", "Write it like: mon-fri 9-18"),
    ]:
        with subtests.test(rule=rule), pytest.raises(BotError) as refused:
            Hours(rule, timezone="UTC")
        assert why in str(refused.value)
    for closed, why in [("2027-1-1", "'2027-01-01'"), ("1 January", "Write it like '2027-01-01'"), (7, "is no date")]:
        with subtests.test(closed=closed), pytest.raises(BotError, match=why):
            Hours("9-18", timezone="UTC", closed=[closed])  # type: ignore[list-item]
    with pytest.raises(BotError, match="IANA name"):
        Hours("9-18", timezone="Europe/Pari")
    with pytest.raises(BotError, match="takes rules and a list of days"):
        Hours("9-18", timezone="UTC", closed="2027-01-01")
    with pytest.raises(ValueError, match="has no time zone"):
        SALON.is_open(datetime(2026, 11, 25))  # noqa: DTZ001


def test_the_next_opening_leaves_out_nights_closed_days_and_pauses(subtests: pytest.Subtests) -> None:
    bar = Hours("fri-sat 18-2", timezone=PARIS)
    for hours, at, opening in [
        (SALON, "2026-11-25 10:00", "2026-11-25 10:00"),  # open then
        (SALON, "2026-11-25 12:30", "2026-11-25 14:00"),
        (SALON, "2026-11-25 18:00", "2026-11-26 09:00"),
        (SALON, "2026-11-28 16:00", "2026-12-01 09:00"),
        (SALON, "2026-12-25 10:00", "2026-12-26 10:00"),
        (bar, "2026-11-29 01:59", "2026-11-29 01:59"),
        (bar, "2026-11-29 02:00", "2026-12-04 18:00"),
    ]:
        with subtests.test(at=at):
            zone = ZoneInfo(PARIS)
            found = hours.next_opening(datetime.fromisoformat(at).replace(tzinfo=zone))
            assert found == datetime.fromisoformat(opening).replace(tzinfo=zone)
    assert Hours("mon closed", timezone=PARIS).next_opening(WEDNESDAY) is None


ZONES = [
    *(PARIS, "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Tehran", "Asia/Kathmandu"),
    *("Africa/Casablanca", "Pacific/Apia", "America/St_Johns", "Asia/Beirut", "Pacific/Auckland", "UTC"),
]


@pytest.mark.slow
@given(
    st.sampled_from(ZONES),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 47), st.integers(1, 47)), min_size=1, max_size=5),
    st.integers(0, 365 * 24 * 60),
)
def test_hours_are_on_their_zones_clocks_all_year(zone: str, spans: list[tuple[int, int, int]], minute: int) -> None:
    """Every half an hour of a week, the hours say what the clock on the wall says, also on days when it is changed."""
    rules = dict[int, str]()
    walls = dict[int, set[int]]()  # the half hours of the week in which it is open
    for weekday, opens, length in spans:
        closes = opens + length if opens >= 24 else min(opens + length, 48)
        rules[weekday] = f"{DAYS[weekday]} {opens // 2}:{opens % 2 * 30:02}-{closes // 2 % 24}:{closes % 2 * 30:02}"
        rules[weekday] = rules[weekday].replace("-0:00", "-24:00")
        walls[weekday] = {(weekday * 48 + each) % 336 for each in range(opens, closes)}
    hours = Hours(*rules.values(), timezone=zone)
    is_open = set[int]().union(*walls.values())
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    for half_hours in range(0, 336, 11):
        at = start + timedelta(minutes=30 * half_hours)
        wall = at.astimezone(ZoneInfo(zone))
        offsets = {
            (at + timedelta(hours=each)).astimezone(ZoneInfo(zone)).utcoffset() for each in (-3, -2, -1, 0, 1, 2, 3)
        }
        if len(offsets) == 1:  # far from a change, the clock on the wall decides alone
            assert hours.is_open(at) == (wall.weekday() * 48 + wall.hour * 2 + wall.minute // 30 in is_open)
        opening = hours.next_opening(at)
        assert opening is not None
        assert hours.is_open(opening)
        opening = opening.astimezone(UTC)  # in its own zone, a second before it may be on a clock that skips it
        assert opening == at if hours.is_open(at) else not hours.is_open(opening - timedelta(seconds=1))
        between = (opening - at) / 7
        assert hours.is_open(at) or not any(hours.is_open(at + each * between) for each in range(7))


def test_a_day_has_its_hours_when_the_clocks_skip_or_repeat_some() -> None:
    night = Hours("sun 1-4", timezone=PARIS)
    for day, real in [("2026-03-29", 2), ("2026-10-25", 4), ("2026-11-01", 3)]:
        midnight = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(hours=2)
        minutes = [midnight + timedelta(minutes=each) for each in range(0, 600, 10)]
        assert sum(map(night.is_open, minutes)) == real * 6


def salon(language: str = "en") -> Bot:
    bot = Bot(language=language)
    bot.include(SALON.changed_by(OWNER))

    @bot.on_message("book")
    async def book(message: MessageReceived, ctx: Context) -> str:
        hours = await SALON.current(ctx)
        at = await ctx.ask("When?", kind=lambda text: hours.check(date_time(text, timezone=PARIS, now=ctx.now())))
        return f"Booked: {at:%a %d %H:%M}"

    @bot.on_message("stored")
    async def show(message: MessageReceived, ctx: Context) -> str:
        return (await ctx.state.bot(ChangedHours, name="Hours")).model_dump_json()

    @bot.on_message("form")
    async def form(message: MessageReceived, ctx: Context) -> str:
        hours = await SALON.current(ctx)

        class Visit(BaseModel):
            at: Annotated[datetime, AfterValidator(hours.check)]

        return f"Booked: {(await ctx.form(Visit, timezone=PARIS, review=False)).at:%a %d %H:%M}"

    @bot.on_message(when=SALON.closed)
    async def closed(message: MessageReceived, ctx: Context) -> str:
        hours = await SALON.current(ctx)
        why = "Sold out" if hours.is_sold_out(ctx.now()) else "Closed"
        return f"{why} until {hours.next_opening(ctx.now()):%a %d %H:%M}"

    bot.on_message(when=SALON.open)(says("Welcome!"))
    return bot


async def reply_to(phone: Phone, text: str) -> str:
    """Write a text, and return the bot's reply."""
    await phone.text(text)
    return str(await phone.next_reply())


async def stored(phone: Phone) -> ChangedHours:
    await phone.replies()
    await phone.text("stored")
    found = ChangedHours.model_validate_json(str(await phone.next_reply()))
    assert found.written.keys() == {*found.week, *map(str, found.days)}
    return found.model_copy(update={"written": {}})


async def test_outside_of_the_hours_the_authors_reply_is_sent() -> None:
    async with talking(salon(), start=WEDNESDAY) as guest:
        for minutes, answer in [(0, "Closed until Wed 25 14:00"), (61, "Welcome!"), (300, "Closed until Thu 26 09:00")]:
            await guest.advance(minutes * 60)
            assert await reply_to(guest, "hello") == answer


async def test_the_owner_changes_the_hours_by_texts_that_outlive_a_restart() -> None:
    async with talking(salon(), start=WEDNESDAY) as guest:
        owner = guest.person(OWNER)
        usual = "Mon closed\nTue–Fri 9:00–12:30, 14:00–18:00\nSat 10:00–16:00\nSun closed"
        ahead = "\nFriday 25 December 2026: closed\nFriday 1 January 2027: closed"
        assert await reply_to(owner, "hours") == usual + ahead
        await guest.advance(3 * 3600)
        assert await reply_to(owner, "Sold out today!") == f"{usual}\nWednesday 25 November 2026: sold out{ahead}"
        await owner.text("closed thu - fri")
        assert "\nThursday 26 November 2026 – Friday 27 November 2026: closed\nFriday 25" in str(
            await owner.next_reply()
        )
        await reply_to(owner, "open fri - sun")  # Sundays have no hours, so nothing is changed
        await guest.restart(down_s=60)
        assert await reply_to(guest, "hello") == "Sold out until Sat 28 10:00"
        await reply_to(owner, "open friday 10-12")
        assert await reply_to(guest, "hello") == "Sold out until Fri 27 10:00"
        await reply_to(owner, "open today")
        assert await reply_to(guest, "hello") == "Welcome!"
        assert (await reply_to(owner, "hours mon 9-11, sat closed")).startswith(
            "Mon 9:00–11:00\nTue–Fri 9:00–12:30, 14:00–18:00\nSat–Sun closed\n"
        )
        # as many people write
        assert (await reply_to(owner, "hours mon 9-5")).startswith("Mon 9:00–17:00\n")
        await owner.text("open 25 dec")  # a day that the author has closed
        assert "Friday 25 December 2026: 9:00–12:30, 14:00–18:00" in str(await owner.next_reply())
        for text in ("open sunday", "hours mon 9-25", "hours soon", "closed 24 dec - 24 nov 2029"):
            assert await reply_to(owner, text) == (
                "Please write like: hours mon-fri 9-18, closed 24 dec, open saturday 9-12, or sold out today."
            )
        assert await reply_to(owner, "closed soon") == "Please give a day, such as Friday, tomorrow or 24 Dec."
        await guest.advance(3 * 86_400)
        await reply_to(owner, "closed monday")  # what is past is forgotten
        assert min((await stored(owner)).days) == date(2026, 11, 27)


async def test_no_other_person_changes_the_hours() -> None:
    async with talking(salon(), handle=OTHER, start=WEDNESDAY + timedelta(hours=2)) as guest:
        for text in ("closed today", "sold out", "hours mon-fri 9-18"):
            assert await reply_to(guest, text) == "Welcome!"


async def test_an_asked_time_is_in_the_hours() -> None:
    async with talking(salon(), start=WEDNESDAY) as guest:
        owner = guest.person(OWNER)
        await reply_to(owner, "closed friday")
        for word, question in (("book", "When?"), ("form", "At?")):
            assert await reply_to(guest, word) == question
            assert (await reply_to(guest, "friday 10:00")).startswith(
                "We are closed then. Please choose another time, from Saturday 28 November 2026 at 10:00 on."
            )
            assert await reply_to(guest, "saturday 10:30") == "Booked: Sat 28 10:30"


async def test_a_night_belongs_to_the_day_on_which_it_began() -> None:
    bar, bot = Hours("fri-sat 18-3", timezone="UTC"), Bot()
    bot.include(bar.changed_by(OWNER))
    bot.on_message(when=bar.open)(says("Welcome!"))
    bot.on_message(says("Closed."))
    async with talking(bot, start=datetime(2026, 11, 28, 1, tzinfo=UTC)) as guest:
        await guest.text("hello")
        owner = guest.person(OWNER)
        await reply_to(owner, "sold out")
        await guest.text("hello")
        await guest.advance(18 * 3600)
        assert await answers(guest, "hello") == ["Welcome!", "Closed.", "Welcome!"]


LISTS: dict[str, dict[str, str]] = {
    "en": {
        "open sunday 9-12, mon 14-18": "29 9:00-12:00 | 30 14:00-18:00",
        "open friday 10-16 and saturday 9-12": "27 10:00-16:00 | 28 9:00-12:00",
        "open friday and saturday 9-12, 14-18": "27 9:00-12:00 14:00-18:00 | 28 9:00-12:00 14:00-18:00",
        "open sunday from 9 to 12": "29 9:00-12:00",
        "Open Sunday from nine to half past twelve!": "29 9:00-12:30",
        "open sunday between 9am and noon": "29 9:00-12:00",
        "open sunday 9 in the morning to 5 in the afternoon": "29 9:00-17:00",
        "open sunday afternoon 2-5": "29 14:00-17:00",
        "open tonight 6 to 11": "25 18:00-23:00",
        "open 27 nov 9-12, 30 nov 10-11": "27 9:00-12:00 | 30 10:00-11:00",
        "open 28-30 nov 9-12": "28 9:00-12:00 | 29 9:00-12:00 | 30 9:00-12:00",
        "open friday and saturday": "27 9:00-12:30 14:00-18:00 | 28 10:00-16:00",
        "open sunday 9-12, monday closed": "29 9:00-12:00 | 30 closed",
        "closed friday and saturday": "27 closed | 28 closed",
        "closed thursday, friday & sat": "26 closed | 27 closed | 28 closed",
        "friday and saturday closed": "27 closed | 28 closed",
        "closed thu-fri": "26 closed | 27 closed",
        "closed today and tomorrow": "25 closed | 26 closed",
        "sold out today and friday": "25 sold out | 27 sold out",
        "closed 27 nov and 28 nov": "27 closed | 28 closed",
        "closed 27 and 28 november": "27 closed | 28 closed",
        "closed november 27, 28 and 30": "27 closed | 28 closed | 30 closed",
        "closed 27-28 nov": "27 closed | 28 closed",
        "closed nov 27-28 and monday": "27 closed | 28 closed | 30 closed",
        "closed from 27 to 28 nov": "27 closed | 28 closed",
        "closed 27.11. - 28.11., 30.11.": "27 closed | 28 closed | 30 closed",
        "closed the 27th and the 28th": "27 closed | 28 closed",
        "closed 2026-11-27": "27 closed",
        "closed friday, 27 nov": "27 closed",  # one day
        "closed Friday, November 27, 2026": "27 closed",
        "closed friday, open saturday 9-12": "27 closed | 28 9:00-12:00",
        "friday closed, saturday 9-12 open": "27 closed | 28 9:00-12:00",
        "hours mon-fri 9-18, sat 10-14": "mon-fri 9:00-18:00 | sat 10:00-14:00",
        "hours monday to friday from 9 to 6 and saturday from 10 to 2": "mon-fri 9:00-18:00 | sat 10:00-14:00",
    },
    "de": {
        "geöffnet Sonntag 9-12, Mo 14-18 Uhr": "29 9:00-12:00 | 30 14:00-18:00",
        "geöffnet Sonntag von 9 bis 12": "29 9:00-12:00",
        "geöffnet So von 9 bis 12 Uhr und Mo von 14 bis 18 Uhr": "29 9:00-12:00 | 30 14:00-18:00",
        "geöffnet Sonntag zwischen halb zehn und 12": "29 9:30-12:00",
        "geschlossen Freitag und Samstag": "27 closed | 28 closed",
        "geschlossen So und Mo": "29 closed | 30 closed",
        "geschlossen am 27. und 28. November": "27 closed | 28 closed",
        "geschlossen vom 27. bis 28. November": "27 closed | 28 closed",
        "geschlossen 27.-28.11.": "27 closed | 28 closed",
        "Freitag geschlossen, Samstag 9-12 offen": "27 closed | 28 9:00-12:00",
        "Öffnungszeiten Mo-Fr von 9 bis 18 Uhr, Sa 10-14": "mon-fri 9:00-18:00 | sat 10:00-14:00",
    },
    "es": {
        "abierto domingo 9-12, lun 14-18": "29 9:00-12:00 | 30 14:00-18:00",
        "abierto el domingo de 9 a 12 y el lunes de 14 a 18": "29 9:00-12:00 | 30 14:00-18:00",
        "abierto domingo desde las 9 hasta las 12": "29 9:00-12:00",
        "abierto domingo de 9 de la mañana a 5 de la tarde": "29 9:00-17:00",
        "cerrado viernes y sábado": "27 closed | 28 closed",
        "cerrado el 27 y el 28 de noviembre": "27 closed | 28 closed",
        "cerrado del 27 al 28 de noviembre": "27 closed | 28 closed",
        "horario de lunes a viernes de 9 a 18, sábado de 10 a 14": "mon-fri 9:00-18:00 | sat 10:00-14:00",
    },
    "fr": {
        "ouvert dimanche 9h-12h, lun 14h-18h": "29 9:00-12:00 | 30 14:00-18:00",
        "ouvert dimanche de 9 à 12 h": "29 9:00-12:00",
        "ouvert dimanche de 9h30 à midi et lundi de 14h à 18h": "29 9:30-12:00 | 30 14:00-18:00",
        "fermé vendredi et samedi": "27 closed | 28 closed",
        "fermé les 27 et 28 novembre": "27 closed | 28 closed",
        "fermé du 27 au 28 novembre": "27 closed | 28 closed",
        "horaires du lundi au vendredi de 9h à 18h, samedi de 10h à 14h": "mon-fri 9:00-18:00 | sat 10:00-14:00",
    },
    "it": {
        "aperto domenica 9-12, lun 14-18": "29 9:00-12:00 | 30 14:00-18:00",
        "aperto domenica dalle 9 alle 12 e lunedì dalle 14 alle 18": "29 9:00-12:00 | 30 14:00-18:00",
        "aperto domenica tra le 9 e le 12": "29 9:00-12:00",
        "chiuso venerdì e sabato": "27 closed | 28 closed",
        "chiuso il 27 e il 28 novembre": "27 closed | 28 closed",
        "chiuso dal 27 al 28 novembre": "27 closed | 28 closed",
        "orari da lunedì a venerdì dalle 9 alle 18, sabato 10-14": "mon-fri 9:00-18:00 | sat 10:00-14:00",
    },
    "ja": {
        "営業 日曜日 9時-12時、月曜日 14時-18時": "29 9:00-12:00 | 30 14:00-18:00",
        "日曜日は9時から12時まで営業": "29 9:00-12:00",
        "日曜日は午前9時から午後5時まで営業": "29 9:00-17:00",
        "営業 日曜日 9時〜12時": "29 9:00-12:00",
        "金曜日と土曜日は休み": "27 closed | 28 closed",
        "11月27日と28日は休み": "27 closed | 28 closed",
        "11月27日から28日まで休み": "27 closed | 28 closed",
        "営業時間 月-金 9時-18時、土 10時-14時": "mon-fri 9:00-18:00 | sat 10:00-14:00",
    },
    "nl": {
        "open zondag 9-12, ma 14-18": "29 9:00-12:00 | 30 14:00-18:00",
        "open zo van 9 tot 12 uur en maandag van 14 tot 18 uur": "29 9:00-12:00 | 30 14:00-18:00",
        "open zondag tussen 9 en 12": "29 9:00-12:00",
        "gesloten vrijdag en zaterdag": "27 closed | 28 closed",
        "gesloten zo en ma": "29 closed | 30 closed",
        "gesloten op 27 en 28 november": "27 closed | 28 closed",
        "gesloten van 27 tot 28 november": "27 closed | 28 closed",
        "openingstijden ma-vr van 9 tot 18, za 10-14": "mon-fri 9:00-18:00 | sat 10:00-14:00",
    },
    "pt": {
        "aberto domingo 9-12, seg 14-18": "29 9:00-12:00 | 30 14:00-18:00",
        "aberto domingo das 9 às 12 e segunda das 14h às 18h": "29 9:00-12:00 | 30 14:00-18:00",
        "aberto domingo das 9 até às 12": "29 9:00-12:00",
        "fechado sexta e sábado": "27 closed | 28 closed",
        "fechado 27 e 28 de novembro": "27 closed | 28 closed",
        "fechado de 27 a 28 de novembro": "27 closed | 28 closed",
        "horário de segunda a sexta das 9 às 18, sábado 10-14": "mon-fri 9:00-18:00 | sat 10:00-14:00",
    },
}
"""What each text changes: days of November, or weekdays, and their hours."""


def changes(text: str, language: str) -> dict[str, str]:
    with speaking(language):
        SALON.change(changed := ChangedHours(), text, WEDNESDAY)
    return changed.week | {f"{day.day}": hours for day, hours in changed.days.items()}


def test_all_days_of_a_list_are_changed(subtests: pytest.Subtests) -> None:
    assert {*LISTS} == {*CODES}
    for language, rows in LISTS.items():
        for text, meant in rows.items():
            expected = dict(each.split(" ", 1) for each in meant.split(" | "))
            if hours := expected.pop("mon-fri", None):
                expected |= dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), hours)
            with subtests.test(language=language, text=text):
                assert changes(text, language) == expected


async def test_a_text_of_which_a_part_is_not_understood_changes_nothing(subtests: pytest.Subtests) -> None:
    texts = {
        "hours_example": (
            *("open friday 10-16, saturday 9-26", "open friday 10-16 and saturday", "open friday 9", "open friday at 9"),
            *("closed friday 14-18", "closed friday at 14:00", "closed friday, saturday 9-12", "open friday morning"),
            *("closed friday afternoon", "open friday 9-12, 27 nov 14-16", "open friday and sunday", "open friday 9-12 closed"),
            *("closed friday saturday open 9-12", "hours mon 9-12, tue", "hours mon 9-12, soon 9-12", "hours mon closed 9-12"),
        ),
        "day": ("closed friday and soon", "open friday 10-16 and soon 9-12", "closed soon", "closed friday - saturday - sunday"),
    }  # fmt: skip
    async with talking(salon(), start=WEDNESDAY) as guest:
        owner = guest.person(OWNER)
        await reply_to(owner, "closed saturday")
        before = await stored(owner)
        for sentence, refused in texts.items():
            for text in refused:
                with subtests.test(text=text):
                    await guest.advance(10)  # Linq limits the messages of a minute
                    assert await reply_to(owner, text) == getattr(sentences(), sentence)
                    assert await stored(owner) == before
        for text in ("closed friday and 31 feb", "closed 3/4 and friday"):
            with subtests.test(text=text):
                assert (await reply_to(owner, text)).split(" ")[0] in ("There", "3/4")
                assert await stored(owner) == before
    for language, text in [
        ("de", "geöffnet Freitag von 9 bis 25 Uhr"),
        ("de", "geschlossen Freitag Nachmittag"),
        ("fr", "ouvert vendredi de 9h à 12h et samedi"),
        ("it", "chiuso venerdì dalle 9 alle 12"),
    ]:
        with subtests.test(text=text), pytest.raises(BotError):
            changes(text, language)


def test_hours_are_shown_with_am_and_pm_where_people_write_them() -> None:
    hours = Hours("mon 9-12 13-18", "fri 18-2", "sat 0-24", timezone="UTC")
    with speaking("en-US"):
        assert str(hours).splitlines()[0] == "Mon 9:00 AM–12:00 PM, 1:00 PM–6:00 PM"
    for language in ("en", "en-GB", "de", "fr-CA"):
        with speaking(language):
            assert str(hours).splitlines()[0].endswith(" 9:00–12:00, 13:00–18:00")


@pytest.mark.slow
async def test_a_change_is_made_once_wherever_the_bot_is_killed() -> None:
    async for phone in killed_between_calls(salon(), change_hours, start=WEDNESDAY):
        assert await stored(phone) == ChangedHours(week={"sat": "9:00-14:00"}, days={date(2026, 11, 25): "sold out"})


async def change_hours(phone: Phone) -> None:
    owner = phone.person(OWNER)
    await owner.text("hours sat 9-14")
    await reply_to(owner, "sold out today")


COMMANDS = {
    "en": ("hours sat 9-14, sun closed", "closed 24 dec - 2 jan", "friday closed.", "open sunday 9am to 1pm", "fully booked"),
    "de": ("Öffnungszeiten Sa 9-14 Uhr, So geschlossen", "geschlossen vom 24.12. bis 2.1.", "Freitag geschlossen", "geöffnet Sonntag 9-13", "ausverkauft heute"),
    "es": ("horario sáb 9-14, dom cerrado", "cerrado del 24 de diciembre al 2 de enero", "cerrado el viernes", "abierto domingo 9h-13h", "agotado hoy"),
    "fr": ("Horaires sam 9h-14h, dim fermé", "fermé du 24 décembre au 2 janvier", "fermé vendredi", "ouvert dimanche 9h-13h", "Complet aujourd’hui !"),
    "it": ("orari sab 9-14, dom chiuso", "chiuso dal 24 dicembre al 2 gennaio", "chiuso venerdì", "aperto domenica 9-13", "tutto esaurito oggi"),
    "ja": ("営業時間 土曜日 9:00-14:00、日曜日 休み", "休み 12月24日 - 1月2日", "金曜日は休み", "営業 日曜日 9時-13時", "今日は売り切れ"),
    "nl": ("openingstijden za 9-14, zo gesloten", "gesloten van 24 december tot 2 januari", "vrijdag gesloten", "open zondag 9-13", "uitverkocht vandaag"),
    "pt": ("horário sáb 9-14, dom fechado", "fechado de 24 de dezembro a 2 de janeiro", "fechado sexta", "aberto domingo 9-13", "esgotado hoje"),
}  # fmt: skip


async def test_the_owner_writes_in_the_language_of_the_bot(subtests: pytest.Subtests) -> None:
    assert {*COMMANDS} == {*CODES}
    for language, texts in COMMANDS.items():
        with subtests.test(language=language):
            async with talking(salon(language), start=WEDNESDAY) as phone:
                owner = phone.person(OWNER)
                for text in texts:
                    await answers(owner, text)
                assert await stored(phone) == ChangedHours(
                    week={"sat": "9:00-14:00", "sun": "closed"},
                    days={
                        **{date(2026, 12, 24) + timedelta(days=each): "closed" for each in range(10)},
                        date(2026, 11, 27): "closed",
                        date(2026, 11, 29): "9:00-13:00",
                        date(2026, 11, 25): "sold out",
                    },
                )


def test_the_texts_that_a_sentence_names_are_understood(subtests: pytest.Subtests) -> None:
    for language in CODES:
        with speaking(language):
            example = sentences().hours_example
            named = re.findall("「(.+?)」", example) or re.split(
                r", | (?:or|oder|ou|of|o) ", example.partition(":")[2].strip(" .").replace(", or ", ", ")
            )
            assert len(named) == 4
            for text in named:
                with subtests.test(language=language, text=text):
                    changed = ChangedHours()
                    SALON.change(changed, text, WEDNESDAY)
                    assert changed != ChangedHours()


@pytest.mark.slow
@given(
    st.sampled_from([*CODES, "en-US", "en-GB", "de-AT", "fr-CA", "fr-CH", "es-MX", "es-CO", "pt-PT"]),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 11)), min_size=1, max_size=4),
)
def test_shown_hours_are_understood_in_their_language(language: str, spans: list[tuple[int, int]]) -> None:
    hours = Hours(*(f"{DAYS[day]} {opens}-{opens + 1} 13-14:30" for day, opens in spans), timezone="UTC")
    with speaking(language):
        read = Hours(*map(understood, str(hours).splitlines()), timezone="UTC")
        assert str(read) == str(hours)


async def test_a_change_of_the_owner_joins_no_burst() -> None:
    bot = Bot(gather_s=2)
    bot.include(SALON.changed_by(OWNER))
    bot.on_message(says("hello"))
    async with talking(bot, start=WEDNESDAY) as phone:
        owner = phone.person(OWNER)
        for text in ("one moment", "sold out today", "thanks"):
            await owner.text(text)
        first, changed, last = await owner.replies()
        assert (first, last) == ("hello", "hello")
        assert "Wednesday 25 November 2026: sold out" in changed


async def test_of_two_texts_about_a_day_the_one_that_was_written_last_counts() -> None:
    bot = Bot()
    bot.include(SALON.changed_by(OWNER))
    async with talking(bot, start=WEDNESDAY) as guest:
        owner = guest.person(OWNER)
        owner.fail_next_delivery("message.received", status=503)
        await owner.text("open friday 10-12, closed saturday")
        await owner.advance(0.5)  # Linq's first attempt has failed, and the next one comes after the other text
        await owner.text("closed friday")
        assert "Friday 27 November 2026: closed" in str(await owner.next_reply())
        await owner.advance(10)
        assert "Friday 27 November 2026 – Saturday 28 November 2026: closed" in str(await owner.next_reply())
