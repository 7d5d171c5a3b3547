"""The language of a turn, in which linqbot speaks and understands what people write.

It is English unless `Bot(language=…)` says otherwise: `bot/languages.py` sets it for each turn. The parsers of
`linqbot.parse` and the questions of `ctx.ask` look it up here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, TypeVar

from linqbot.language import english
from linqbot.language.wording import Sentences

T = TypeVar("T", str, str | None)


@dataclass(frozen=True, slots=True)
class Language:
    """A language that linqbot speaks.

    Attributes:
        code: Its code, such as `fr`.
        sentences: What linqbot says in it.
    """

    code: str
    sentences: Sentences


ENGLISH: Final = Language("en", english.SENTENCES)

_spoken: ContextVar[Language] = ContextVar("linqbot_language", default=ENGLISH)


def spoken() -> Language:
    """Return the language of the turn."""
    return _spoken.get()


def sentences() -> Sentences:
    """Return the sentences of the language of the turn."""
    return _spoken.get().sentences


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """Speak a language in the block."""
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def in_language(text: T, name: str) -> T:
    """Return a text in the language of the turn if it is the English sentence of this name; other texts unchanged."""
    said: T = getattr(sentences(), name)
    return said if text == getattr(ENGLISH.sentences, name) else text
