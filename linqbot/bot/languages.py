"""The languages of a bot: `Bot(language=…, sentences=…)`. Only a bot that uses them imports this module.

A handler gets its language before the middleware of its router runs. A question keeps the one in which it was asked.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, replace
from string import Formatter
from typing import TYPE_CHECKING, Any, TypeAlias

from linqbot.errors import BotError
from linqbot.language.spoken import CODES, ENGLISH, Language, language_of, speaking
from linqbot.language.wording import Sentences
from linqbot.linq.events.event import Event
from linqbot.nearest import suggestion

if TYPE_CHECKING:
    from linqbot.bot.context import Context
    from linqbot.bot.router import Next

LanguageChoice: TypeAlias = "Callable[[Any, Context], str | Awaitable[str | None] | None]"
"""A function of an event and its context that returns the code of the person's language; None is English."""


class Languages:
    """The languages of a bot, each with the author's own sentences.

    Raises BotError if linqbot does not speak one, a library for it is missing, or a sentence cannot be right.
    """

    def __init__(self, language: str | LanguageChoice | None, sentences: Mapping[str, Any]) -> None:
        if language is not None and not isinstance(language, str) and not callable(language):
            raise BotError(
                f"Bot(language={language!r}) takes a code such as 'fr', or a function of the event and its context."
            )
        self._choose = None if isinstance(language, str) else language
        self._default = _known(language, "Bot(language=…)").code if isinstance(language, str) else ENGLISH.code
        # A function may choose any language, and all others than English need the same libraries.
        _load(self._default if self._choose is None else CODES[1])
        self._reworded: dict[str, Language] = {}
        self._replace(sentences)

    def named(self, code: str | None) -> Language:
        """Return a language of these, or another one as it is; None stands for English. Raises BotError for an unknown one."""
        known = ENGLISH if code is None else _known(code, "Bot(language=…)")
        return self._reworded.get(known.code, known)

    def middleware(self, call_next: Next) -> Next:
        """Run a handler in the language of its person. A conversation has that of the event that began it."""

        async def in_language(event: Event, ctx: Context) -> None:
            resumed = getattr(ctx, "resumption", None)
            with speaking(await self._of(event if resumed is None else resumed.root, ctx)):
                await call_next(event, ctx)

        return in_language

    async def _of(self, event: Event, ctx: Context) -> Language:
        if self._choose is None:
            return self.named(self._default)
        chosen = self._choose(event, ctx)
        code = await chosen if inspect.isawaitable(chosen) else chosen
        if code is not None and not isinstance(code, str):
            raise BotError(
                f"The function in Bot(language=…) returned {code!r}. Let it return a code such as 'fr', or None."
            )
        return self.named(code)

    def _replace(self, sentences: Mapping[str, Any]) -> None:
        """Put the author's sentences in place of linqbot's: by name, or by the code of a language and name."""
        flat = {name: text for name, text in sentences.items() if not isinstance(text, Mapping)}
        if flat and self._choose is not None:
            raise BotError(
                f"Bot(sentences={{{next(iter(flat))!r}: …}}) does not say for which language. With a function in language=, write: "
                'sentences={"fr": {…}, "en": {…}}.'
            )
        by_code = {code: texts for code, texts in sentences.items() if isinstance(texts, Mapping)}
        for code, texts in [(self._default, flat), *by_code.items()]:
            language = self.named(_known(code, "Bot(sentences=…)").code)
            for name, text in texts.items():
                _check(name, text)
            self._reworded[language.code] = replace(language, sentences=replace(language.sentences, **texts))


def _known(code: str, option: str) -> Language:
    try:
        return language_of(code)
    except ValueError as error:
        raise BotError(f"{option}: {error}") from error


def _load(code: str) -> None:
    from linqbot.parse.translation import load

    try:
        load(code)
    except ImportError as error:
        raise BotError(
            f"Bot(language=…): {error.name} is missing, which knows the days, months and numbers of other languages. Install "
            "it: pip install 'linqbot[languages]'"
        ) from error


def _check(name: str, text: object) -> None:
    names = [each.name for each in fields(Sentences)]
    if name not in names:
        raise BotError(f"Bot(sentences=…): there is no sentence {name!r}. {suggestion(name, names)}")
    if not isinstance(text, str) or not text.strip():
        raise BotError(f"Bot(sentences={{{name!r}: …}}) takes a text, not {text!r}.")
    in_english: str = getattr(ENGLISH.sentences, name)
    try:
        text.format(**{blank: 7 for _, blank, _, _ in Formatter().parse(in_english) if blank is not None})
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise BotError(
            f"Bot(sentences={{{name!r}: {text!r}}}) cannot be filled in: {error}. In English it is {in_english!r}. A brace "
            "itself is written twice: {{."
        ) from error
