"""The form in which words of people are compared, and all lists of words in all languages, at every door."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from answers import answers
from fakes import message
from hypothesis import given
from hypothesis import strategies as st
from one_handler import bot_of, says
from pydantic import BaseModel, Field

from linqbot import Bot, Context, MessageReceived, Router, contains, exact, parse
from linqbot.features.asking.answers import choice_of, says_cancel_word
from linqbot.features.asking.question import OpenQuestion, cancel_words
from linqbot.language import CODES, speaking
from linqbot.language.reading import chosen, folded, plain, readings, unaccented
from linqbot.language.spoken import language_of, skips, spoken
from linqbot.linq.rules.message import is_opt_out
from linqbot.testing import talking

POLITE = {
    "en": ("please", "thank you"),
    "de": ("bitte", "vielen Dank"),
    "es": ("por favor", "gracias"),
    "fr": ("s’il vous plaît", "merci"),
    "it": ("per favore", "grazie"),
    "ja": ("お願いします", "です"),
    "nl": ("alsjeblieft", "dank je"),
    "pt": ("por favor", "obrigada"),
}


def bare_letters(text: str) -> str:
    """Return a text as people write it who leave out accents; the marks of Japanese letters are none."""
    apart = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(each for each in apart if not "\u0300" <= each <= "\u036f"))


def full_width(text: str) -> str:
    return "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text)


def ways(word: str, code: str) -> Iterator[str]:
    """Yield a word in the ways that people write it."""
    please, thanks = POLITE[code]
    joined = "" if code == "ja" else " "
    yield from (word, word.upper(), word.capitalize(), bare_letters(word), full_width(word))
    yield from (
        f"{word} 🎉",
        f"{word}🙂🙂",
        f"🙂 {word}",
        f"{word} 👨‍👩‍👧‍👦",
        f"{word} 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        f"{word} 🙋🏽‍♀️",
        f"{word} ❤️",
        f"{word} :)",
    )
    yield from (
        f"{word}!",
        f"{word}.",
        f"{word} …",
        f"{word}。",
        f"{word}！",
        f"¡{word}!",
        f"“{word}”",
        f"{word}!!! 🎉",
    )
    yield from (
        f"\u200e{word}\u200b",
        f"\ufeff{word}\u00a0",
        f"{word[:1]}\u00ad{word[1:]}",
        f"{word}\u2069",
        f"\u2068{word}",
    )
    yield from (
        f"{word}{joined}{please}",
        f"{word}, {thanks}",
        f"{word}{joined}{thanks}! 🙂",
        f"{word.upper()} {please.upper()}",
    )
    yield word.replace("'", "’").replace("-", "‑")
    if code != "ja":
        yield from (f"{please}, {word}", f"{thanks} {word} {please}")


def is_unclear(word: str, way: str) -> bool:
    """Return True for an emoji that says no and words that may say yes: `👎 please`."""
    return word in "👎❌✖🚫🙅" and any(map(str.isalpha, way))


def answered(text: str) -> str | None:
    try:
        return "yes" if parse.yes_no(text) else "no"
    except ValueError:
        return None


def cancels(text: str) -> str | None:
    question = OpenQuestion(n=1, cancel=cancel_words(spoken().cancel))
    return "cancel" if says_cancel_word(question, message(text)) else None


@dataclass(frozen=True)
class Listed:
    """A list of words, with what reads them: the name of the list, or None."""

    name: str
    read: Callable[[str], str | None]

    def words(self, code: str) -> tuple[str, ...]:
        words: tuple[str, ...] = getattr(language_of(code), self.name)
        return words


LISTS = (
    Listed("yes", answered),
    Listed("no", answered),
    Listed("cancel", cancels),
    Listed("back", lambda text: "back" if exact(*spoken().back)(message(text)) else None),
    Listed("skip", lambda text: "skip" if skips(text, 2) else None),
    Listed("nothing", lambda text: "nothing" if skips(text, None) and not skips(text, 2) else None),
)


def test_each_word_of_each_language_is_understood_in_each_way_of_writing_it(subtests: pytest.Subtests) -> None:
    for code in CODES:
        for listed in LISTS:
            with subtests.test(language=code, words=listed.name), speaking(code):
                written = [way for word in listed.words(code) for way in ways(word, code) if not is_unclear(word, way)]
                assert [text for text in written if listed.read(text) != listed.name] == []


def test_a_handler_and_a_choice_with_a_word_take_each_way_of_writing_it(subtests: pytest.Subtests) -> None:
    for code in CODES:
        for listed in LISTS:
            with subtests.test(language=code, words=listed.name):
                # Some of them: that all are read is shown above. Among emoji, each emoji counts.
                words = [word for word in listed.words(code) if any(map(str.isalnum, word))][::4]
                written = [(word, way) for word in words for way in ways(word, code)]
                # Without the language of the turn, which filters do not know.
                assert [way for word, way in written if not exact(word)(message(way))] == []
                assert [
                    way for word, way in written if choice_of(way, ("something else", word), numbered=False) != word
                ] == []


WORDS = [word for code in CODES for each in LISTS for word in each.words(code) if any(map(str.isalnum, word))]
SEEN = ("🎉", "👍🏽", "👨‍👩‍👧", "🇫🇷", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️")
PHRASES = tuple(phrase for code, phrases in POLITE.items() if code != "ja" for phrase in phrases)
UNSEEN = ("", "", "\u200b", "\u200d", "\u2060", "\u00ad", "\ufeff", "\u200e", "\u2068", "\ufe0f")


@given(
    st.sampled_from(WORDS),
    st.lists(st.sampled_from((*SEEN, *PHRASES, "¡")), max_size=2),
    st.lists(st.sampled_from((*SEEN, *PHRASES, "!", "…", "。", ".")), max_size=3),
    st.randoms(use_true_random=False),
)
def test_a_word_is_read_whatever_stands_around_it_and_is_not_seen_in_it(
    word: str, before: list[str], after: list[str], random: Random
) -> None:
    letters = "".join(random.choice((each, each.upper(), full_width(each))) + random.choice(UNSEEN) for each in word)
    assert plain(word) in readings(" ".join([*before, letters, *after]))


def test_words_of_different_meaning_are_different_in_the_form_in_which_they_are_compared(
    subtests: pytest.Subtests,
) -> None:
    for code in CODES:
        forms = {each.name: {form for word in each.words(code) for form in readings(word)} for each in LISTS}
        for one in LISTS:
            for other in LISTS:
                if one.name < other.name:
                    with subtests.test(language=code, lists=(one.name, other.name)):
                        assert forms[one.name] & forms[other.name] == set()


def test_no_word_of_a_language_opts_out_as_it_is_written(subtests: pytest.Subtests) -> None:
    for code in CODES:
        for listed in LISTS:
            with subtests.test(language=code, words=listed.name):
                assert [word for word in listed.words(code) if is_opt_out(word)] == []


def test_the_form_for_comparisons_has_one_case_one_width_and_nothing_unseen() -> None:
    rows = {
        "ＭＥＮＵ": "menu",
        "m\u200be\u200cn\u200du\u2060\ufeff": "menu",
        "\u202emenu\u202c\u061c": "menu",
        "STRASSE straße ẞ": "strasse strasse ss",
        "İSTANBUL ışık I": "istanbul isik i",
        "ΟΔΟΣ οδός": "οδοσ οδοσ",
        "Cœur, Søren, Łódź, Đà Nẵng": "coeur, soren, lodz, da nang",
        "２ ٢ २ 2️⃣ ② ❷ 🔟": "2 2 2 2 2 2 10",
        "‘a’ “b” «c»": '\'a\' "b" "c"',
        "1–2 3—4 −5": "1-2 3-4 -5",
        "a\u00a0b\u3000c\u2009d": "a b c d",
        "👍🏽 ❤️ 🙅‍♂️": "👍 ❤ 🙅",
        "ガ ｶﾞ は ぱ": "ガ ガ は ぱ",  # the marks of Japanese letters are no accents
        "мой мои ёж": "мой мои еж",  # й is a letter
        "한국어 हिन्दी עִברִית": "한국어 हिन्दी עִברִית",
        "1½": "1 1/2",
        "a\x07b": "ab",
    }
    assert {text: unaccented(text) for text in rows} == rows
    assert folded("LÉA") == "léa"


def test_what_people_write_around_a_word_is_read_off_step_by_step() -> None:
    rows = {
        "Menu, please 🙂": ("menu please 🙂", "menu please", "menu"),
        "thanks": ("thanks",),
        "please!": ("please!", "please", "!"),
        "👍 Thanks! 🙂": ("👍 thanks! 🙂", "👍 thanks", "thanks", "👍"),
        "🍕🍕 !": ("🍕🍕 !", "🍕🍕", "🍕"),
        "🍕🍔": ("🍕🍔",),
        "👍!": ("👍!", "👍"),
        "?": ("?",),
        "# Done": ("#done",),
        "thanksgiving": ("thanksgiving",),
        "a" * 400 + "!": ("a" * 400 + "!",),
        "": ("",),
    }
    assert {text: readings(text) for text in rows} == rows
    assert plain("check-in, c'est bien") == "check in cest bien"


def test_an_exact_text_comes_before_one_that_is_nearly_a_choice() -> None:
    names = ("Lea", "Léa", "Marc")
    rows: dict[str, str | None] = {
        "Lea": "Lea",
        "lea 🙂": "Lea",
        "LÉA!": "Léa",
        "Le\u0301a": "Léa",
        "Lèa": None,  # it could be two
        "Márc, please": "Marc",
        "": None,
        "Marcus": None,
    }
    assert {text: chosen(text, names) for text in rows} == rows
    assert [chosen(text, ("🍕 Pizza", "👍", "👎", "M?", "M")) for text in ("pizza", "👍🏾", "👎!", "M?", "m!")] == [
        "🍕 Pizza",
        "👍",
        "👎",
        "M?",
        "M",
    ]


def test_a_text_of_marks_takes_no_longer_than_another() -> None:
    assert readings("! " * 5_000 + "x")[0].endswith("x")
    assert readings(("a" + "!" * 5_000) * 2)
    assert readings("#" + " " * 9_000)


def test_a_part_of_a_text_is_found_in_any_case_width_and_accents() -> None:
    assert contains("réserver")(message("je veux RESERVER une table"))
    assert contains("reserver")(message("Je voudrais ｒéｓｅｒｖｅｒ"))
    assert contains("menu")(message("the m\u200benu"))
    assert contains("👍")(message("ok 👍🏽"))
    assert contains(" no ")(message("say no now"))
    assert not contains("please menu")(message("menu"))


class Guest(BaseModel):
    name: str = Field(description="Name?")
    note: str | None = Field(None, description="Note?")
    seats: int = Field(2, description="Seats?")


async def fill(message: MessageReceived, ctx: Context) -> None:
    guest = await ctx.form(Guest, timezone="UTC", review=False)
    await ctx.reply(f"{guest.name}, {guest.note}, {guest.seats}")


async def test_back_skip_and_cancel_words_of_a_form_are_understood_in_every_language(subtests: pytest.Subtests) -> None:
    for code in CODES:
        language = language_of(code)
        please, thanks = POLITE[code]
        with subtests.test(language=code):
            async with talking(bot_of(fill, language=code, on_ask_cancelled="ended", loop_breaker=False)) as phone:
                said = await answers(
                    phone,
                    "hi",
                    "Ann",
                    f"{language.back[0].upper()}, {please} 🙂",
                    "Bob",
                    f"{language.nothing[0].capitalize()}! 🎉",
                    full_width(f"{language.skip[0]}\u200b"),
                )
                assert said[-1] == "Bob, None, 2"
                said = await answers(phone, "hi", f"{language.cancel[0].capitalize()}, {thanks}! 😅")
                assert said[-1] == "ended"


async def test_nothing_is_the_default_of_a_field_only_if_the_default_is_nothing(subtests: pytest.Subtests) -> None:
    class Seats(BaseModel):
        seats: int = 2
        tags: str = ""

    async def fill(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(repr(await ctx.form(Seats, timezone="UTC", review=False)))

    rows = {"en": ("nobody", "pass"), "de": ("niemand", "überspringen"), "fr": ("personne", "passer")}
    for code, (nothing, skip) in rows.items():
        with subtests.test(language=code):
            async with talking(bot_of(fill, language=code)) as phone:
                refused = await answers(phone, "hi", nothing)
                assert refused[-1] == language_of(code).sentences.number
                assert (await answers(phone, skip, nothing))[-1] == "Seats(seats=2, tags='')"


def two_handlers(first: Any, second: Any) -> Router:
    router = Router()
    router.on_message(*first)(says("first"))
    router.on_message(*second)(says("second"))
    return router


async def test_the_handler_for_exactly_what_was_written_comes_first(subtests: pytest.Subtests) -> None:
    rows = [
        (("si",), ("sí",), {"si": "first", "SI!": "first", "sí": "second", "Sí 🙂": "second"}),
        (("sí",), ("si",), {"si 🙂": "second", "SÍ!": "first"}),
        (("menu",), ("menu please",), {"menu": "first", "Menu please": "second", "menu, thanks": "first"}),
        (("hi",), ("hi!",), {"hi": "first", "hi!": "second", "hi 🙂": "first"}),
        (("si", "no"), ("sí", "no"), {"no": "first", "sí": "second"}),
    ]
    for first, second, written in rows:
        for text, handler in written.items():
            with subtests.test(handlers=(first, second), text=text):
                bot = Bot()
                bot.include(two_handlers(first, second))
                async with talking(bot) as phone:
                    assert await answers(phone, text) == [handler]


async def test_a_filter_in_front_of_both_keeps_its_place() -> None:
    bot = Bot()
    bot.on_message(lambda message: "s" in message.text)(says("has an s"))
    bot.include(two_handlers(("si",), ("sí",)))
    async with talking(bot) as phone:
        assert await answers(phone, "sí") == ["has an s"]
