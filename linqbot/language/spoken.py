"""The language of a turn, in which linqbot speaks and understands what people write.

It is English unless `Bot(language=…)` says otherwise: `bot/languages.py` sets it for each turn. The parsers of
`linqbot.parse` and the questions of `ctx.ask` look it up here. Each other language is a file of this folder, such as
`fr.toml`, which is read when a bot speaks it: its sentences and words are the fields of the classes in `wording.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, TypeVar

from linqbot.language.wording import Sentences, Words
from linqbot.nearest import suggestion

T = TypeVar("T", str, str | None)

CODES: Final = ("en", "de", "es", "fr", "it", "ja", "nl", "pt")
"""The codes of all languages."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language that linqbot speaks. The defaults are English.

    Attributes:
        code: Its code, such as `fr`.
        sentences: What linqbot says in it.
        words: The words that it understands; None for English, which the parsers read themselves.
        cancel: The words that end a question.
        back, skip: The words that go back in a form, and that leave out a field. The first is the one that is shown.
    """

    code: str
    sentences: Sentences
    words: Words | None = None
    cancel: tuple[str, ...] = ("never mind", "forget it")  # None is an opt-out in capitals (R69), as CANCEL is.
    back: tuple[str, ...] = ("back", "go back", "previous")
    skip: tuple[str, ...] = ("skip", "pass", "none")

    @property
    def stored(self) -> str | None:
        """The code, as a question is stored with it; None for English."""
        return None if self.words is None else self.code


ENGLISH: Final = Language("en", Sentences())

_spoken: ContextVar[Language] = ContextVar("linqbot_language", default=ENGLISH)


def spoken() -> Language:
    return _spoken.get()


def sentences() -> Sentences:
    return _spoken.get().sentences


@lru_cache
def language_of(code: str) -> Language:
    """Return the language of a code, such as `fr`, or `fr-CA`, of which the first part counts. Raises ValueError."""
    name = code.replace("_", "-").partition("-")[0].casefold()
    if name == "en":
        return ENGLISH
    if name not in CODES:
        raise ValueError(f"linqbot does not speak {code!r}. {suggestion(name, CODES)}")
    import tomllib  # most bots speak English

    data = tomllib.loads(Path(__file__).with_name(f"{name}.toml").read_text("utf-8"))
    words = Words(**data["words"])
    listed = (words.cancel, words.back, words.skip)
    return Language(name, Sentences(**data["sentences"]), words, *map(partial(_said, words), listed))


def _said(words: Words, listed: str) -> tuple[str, ...]:
    """Return the texts of a list, each with its accents and without."""
    return tuple(dict.fromkeys(said for each in listed.split(",") for said in (each, words.plain(each))))


@contextmanager
def speaking(language: Language | str | None) -> Iterator[None]:
    """Speak a language in the block; None for that of the turn.

    Raises:
        ValueError: linqbot does not speak it.
    """
    if language is None:
        yield
        return
    token = _spoken.set(language_of(language) if isinstance(language, str) else language)
    try:
        yield
    finally:
        _spoken.reset(token)


def in_language(text: T, name: str) -> T:
    """Return a text in the language of the turn if it is the English sentence of this name; other texts unchanged."""
    said: T = getattr(sentences(), name)
    return said if text == getattr(ENGLISH.sentences, name) else text
