"""The languages of a bot: `Bot(language=…, sentences=…)`. Only a bot that uses them imports this module.

A handler gets its language before the middleware of its router runs. A question keeps the one in which it was asked.
What an author writes as a constant is checked when the bot is made. What a function returns for a person, or what was stored
with a question, never fails a turn: a language that linqbot does not speak is English, with an error in the log.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, replace
from string import Formatter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import structlog

from linqbot.client.outcome import is_refused
from linqbot.errors import BotError, LinqApiError, NoVerdict, StorageError
from linqbot.frames import place_of
from linqbot.language.spoken import CODES, ENGLISH, Language, language_of, speaking
from linqbot.language.wording import Sentences
from linqbot.linq.events.event import Event
from linqbot.nearest import suggestion

if TYPE_CHECKING:
    from linqbot.bot.context import Context
    from linqbot.bot.router import Next

log = structlog.get_logger("linqbot.bot")

LanguageChoice: TypeAlias = "Callable[[Any, Context], str | Awaitable[str | None] | None]"
"""A function of an event and its context that returns the code of the person's language; None is English."""
_LONGEST_CODE: Final = 20
"""Characters of a code that is logged. A longer text may be what a person has written."""
_MOST_LOGGED: Final = 100


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
        self._default = _known(language, "Bot(language=…)") if isinstance(language, str) else ENGLISH
        # A function may choose any language, and all others than English need the same libraries.
        _load(self._default if self._choose is None else language_of(CODES[1]))
        self._sentences: dict[str, Sentences] = {}
        self._logged: set[str] = set()
        self._replace(sentences)
        self._default = self._reworded(self._default)

    def named(self, code: Any) -> Language:
        """Return the language of a code, with the author's sentences. None, and what is no code of a language, are English."""
        try:
            known = ENGLISH if code is None else language_of(code)
        except ValueError as error:
            if isinstance(code, str) and len(code) <= _LONGEST_CODE and code.isprintable():
                self._log_once(f"code {code}", code=code, why=str(error))
            else:
                self._log_once(
                    f"{type(code)}", code=f"{type(code).__name__} that is no code", why="It is no code such as 'fr'."
                )
            known = ENGLISH
        return self._reworded(known)

    def _reworded(self, language: Language) -> Language:
        own = self._sentences.get(language.code)
        return language if own is None else replace(language, sentences=own)

    def middleware(self, call_next: Next) -> Next:
        """Run a handler in the language of its person. A conversation has that of the event that began it."""

        async def in_language(event: Event, ctx: Context) -> None:
            resumed = getattr(ctx, "resumption", None)
            with speaking(await self._of(event if resumed is None else resumed.root, ctx)):
                await call_next(event, ctx)

        return in_language

    async def _of(self, event: Event, ctx: Context) -> Language:
        if self._choose is None:
            return self._default
        try:
            chosen = self._choose(event, ctx)
            return self.named(await chosen if inspect.isawaitable(chosen) else chosen)
        except Exception as error:
            if isinstance(error, StorageError | NoVerdict) or (
                isinstance(error, LinqApiError) and not is_refused(error)
            ):
                raise  # something is away for a while, so the turn runs again later
            at = place_of(error)
            self._log_once(
                f"{type(error)} {at}", error=type(error).__name__, at=at, why="The function raised an error."
            )
            return self._reworded(ENGLISH)

    def _log_once(self, what: str, **fields: str) -> None:
        if what not in self._logged and len(self._logged) < _MOST_LOGGED:  # codes may be made of what people write
            self._logged.add(what)
            to_do = "English is spoken. Let the function in Bot(language=…) return a code such as 'fr', or None."
            log.error("language.unknown", **fields, to_do=to_do)

    def _replace(self, sentences: Mapping[str, Any]) -> None:
        """Put the author's sentences in place of linqbot's: by name, or by the code of a language and name."""
        flat = {name: text for name, text in sentences.items() if not isinstance(text, Mapping)}
        if flat and self._choose is not None:
            raise BotError(
                f"Bot(sentences={{{next(iter(flat))!r}: …}}) does not say for which language. With a function in language=, write: "
                'sentences={"fr": {…}, "en": {…}}.'
            )
        by_code = {code: texts for code, texts in sentences.items() if isinstance(texts, Mapping)}
        for code, texts in [(self._default.code, flat), *by_code.items()]:
            language = self._reworded(_known(code, "Bot(sentences=…)"))
            for name, text in texts.items():
                _check(name, text)
            self._sentences[language.code] = replace(language.sentences, **texts)


def _known(code: str, option: str) -> Language:
    try:
        return language_of(code)
    except ValueError as error:
        raise BotError(f"{option}: {error}") from error


def _load(language: Language) -> None:
    if language.stored is None:
        return
    try:
        import babel.dates  # noqa: F401 - all languages and countries need it

        from linqbot.parse.translation import load

        load(language.code)
    except ImportError as error:
        from linqbot.installing import extra_command

        raise BotError(
            f"Bot(language=…): {error.name} is missing, which knows the days and months of other languages and countries. Install "
            f"it: {extra_command('languages')}"
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
