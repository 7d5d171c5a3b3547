"""The language of a turn, in which linqbot speaks and understands what people write.

It is English unless `Bot(language=…)` says otherwise: `bot/languages.py` sets it for each turn. The parsers of
`linqbot.parse` and the questions of `ctx.ask` look it up here. Each other language is a file of this folder, such as
`fr.toml`, which is read when a bot speaks it: its sentences and words are the fields of the classes in `wording.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

from linqbot.clock import WrongCall
from linqbot.language.reading import plain_words, says, spelled
from linqbot.language.wording import Sentences, Words
from linqbot.nearest import suggestion

T = TypeVar("T", str, str | None)

CODES: Final = ("en", "de", "es", "fr", "it", "ja", "nl", "pt")
"""The codes of all languages."""
_YES: Final = (
    *("y", "yes", "yea", "yeah", "yep", "yup", "ya", "yess", "sure", "sure thing", "ok", "okay", "k", "kk"),
    *("of course", "absolutely", "definitely", "certainly", "correct", "right", "true", "please"),
    *("please do", "yes please", "go ahead", "do it", "sounds good", "why not", "fine", "great", "perfect"),
    *("confirm", "confirmed", "agreed", "i agree", "i do", "i am", "deal", "yes i do", "yes do it", "👍"),
    *("✅", "✔", "👌", "🙏", "💯", "ja", "jawohl", "oui", "si", "sí", "sim"),
)
_NO: Final = (
    *("n", "no", "nope", "nah", "no thanks", "no thank you", "not now", "not really", "never", "no way"),
    *("wrong", "incorrect", "false", "please don't", "don't", "do not", "rather not", "better not"),
    *("i don't", "i do not", "i'm not", "negative", "👎", "❌", "✖", "🚫", "🙅", "nein", "non", "não"),
)


@dataclass(frozen=True, slots=True)
class Language:
    """A language that linqbot speaks. The defaults are English.

    Attributes:
        code: Its code, such as `fr`.
        sentences: What linqbot says in it.
        words: The words that it understands; None for English, which the parsers read themselves.
        yes, no: Whole answers. Those of English count in each language.
        cancel: The words that end a question.
        back: The words that go back in a form.
        skip, nothing: The words that leave out a field of a form, and those that do so if it is empty then. The first one is
            shown.
        country: The country, such as `CA`, whose people write days, times and numbers in this way; None if no one was named.
    """

    code: str
    sentences: Sentences
    words: Words | None = None
    yes: tuple[str, ...] = _YES
    no: tuple[str, ...] = _NO
    # In a direct chat CANCEL and QUIT are opt-outs (R69), which come before questions. In another case they end a question.
    cancel: tuple[str, ...] = ("never mind", "nevermind", "forget it", "cancel", "quit")
    back: tuple[str, ...] = ("back", "go back", "previous")
    skip: tuple[str, ...] = ("skip", "pass")
    nothing: tuple[str, ...] = ("none", "nothing", "no one", "nobody", "n/a")
    country: str | None = None

    @property
    def stored(self) -> str | None:
        """The code with its country, as a question is stored with it; None for English of no country."""
        if self.country is None:
            return None if self.words is None else self.code
        return f"{self.code}-{self.country}"


ENGLISH: Final = Language("en", Sentences())

_spoken: ContextVar[Language] = ContextVar("linqbot_language", default=ENGLISH)


def spoken() -> Language:
    return _spoken.get()


def sentences() -> Sentences:
    return _spoken.get().sentences


def language_of(code: str) -> Language:
    """Return the language of a code, such as `fr` or `fr-CA`. Raises ValueError if linqbot does not speak it."""
    if not isinstance(code, str):
        raise WrongCall(f"{code!r} is no code of a language, such as 'fr'.")
    return _language_of(code)


@lru_cache
def _language_of(code: str) -> Language:
    name, *further = code.replace("_", "-").casefold().split("-")
    if name not in CODES:
        raise WrongCall(f"linqbot does not speak {code!r}. {suggestion(name, CODES)}")
    # A script may stand before the country, as in `zh-hant-tw`. A region of several countries is a number: `es-419`.
    country = next((each.upper() for each in further if re.fullmatch(r"[a-z]{2}|[0-9]{3}", each)), None)
    language = _language(name)
    is_own = country is None or (name == "en" and country == "GB")  # English of no country is written as in this one
    return language if is_own else replace(language, country=country)


@lru_cache
def _language(name: str) -> Language:
    if name == "en":
        return ENGLISH
    import tomllib  # most bots speak English

    data = tomllib.loads(Path(__file__).with_name(f"{name}.toml").read_text("utf-8"))
    words = Words(**data["words"])
    yes, no = _spellings(words.yes), _spellings(words.no)
    return Language(
        name,
        Sentences(**data["sentences"]),
        words,
        (*yes, *_without(_YES, no)),
        (*no, *_without(_NO, yes)),
        _spellings(words.cancel),
        _spellings(words.back),
        _spellings(words.skip),
        _spellings(words.nothing),
    )


def _spellings(listed: str) -> tuple[str, ...]:
    return tuple(spelled(listed.split(",")))


def _without(words: tuple[str, ...], others: tuple[str, ...]) -> tuple[str, ...]:
    """Return English words without those that mean something else in another language."""
    return tuple(word for word in words if plain_words((word,)).isdisjoint(plain_words(others)))


def skips(text: str, default: object) -> bool:
    """Return True if a text leaves out a field of a form, in the language of the turn.

    `skip` leaves out each field that has a default. `none` does so if the default is nothing: None, or an empty text or list.
    """
    is_empty = default is None or (isinstance(default, Sized) and len(default) == 0)
    return says(text, spoken().skip) or (is_empty and says(text, spoken().nothing))


def speak(language: Language) -> None:
    """Speak a language from now on, until the block of `speaking` around the caller ends."""
    _spoken.set(language)


@contextmanager
def speaking(language: Language | str | None) -> Iterator[None]:
    """Speak a language in the block; None for that of the turn.

    Raises:
        ValueError: linqbot does not speak it.
    """
    if language is None:
        yield
        return
    token = _spoken.set(language if isinstance(language, Language) else language_of(language))
    try:
        yield
    finally:
        _spoken.reset(token)


def in_language(text: T, name: str) -> T:
    """Return a text in the language of the turn if it is the English sentence of this name; other texts unchanged."""
    said: T = getattr(sentences(), name)
    return said if text == getattr(ENGLISH.sentences, name) else text
