"""Filters: functions that take an event and return a true value if a handler fits.

Any plain function of one argument works as a filter. The filters of this module can also be combined: `a & b`, `a | b`
and `~a`. One of two combined filters may be a plain function. A filter may return the match of a regular expression, which
the handler finds in `ctx.match`. Filters must have no side effects, because they may be called more than once for one
event.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar, overload

from linqbot.errors import BotError
from linqbot.language.reading import exactly, plain_words, says, unaccented
from linqbot.linq.events.event import Event
from linqbot.linq.events.message import MessageEdited, MessageEvent, MessageReceived
from linqbot.linq.handles import person_key
from linqbot.options import check_handle, check_line

Fit: TypeAlias = "bool | re.Match[str] | None"
E_contra = TypeVar("E_contra", bound=Event, contravariant=True)
E = TypeVar("E", bound=Event)
Predicate: TypeAlias = Callable[[E], Fit]
Texts: TypeAlias = "MessageReceived | MessageEdited"
Classes: TypeAlias = tuple[type[Event], ...]

AWAITING_FILTER: Final = (
    "If it is meant to choose events: a filter is a plain def of the event alone; what must await is an async def of "
    "(event, ctx), given as when=."
)
"""The end of an error for an `async def` that may be meant as a filter."""

_ANY: Final[Classes] = (Event,)
_MESSAGES: Final[Classes] = (MessageEvent,)
_TEXTS: Final[Classes] = (MessageEvent, MessageEdited)


class Filter(Generic[E_contra]):
    """A filter with a name, which can be combined with other filters by `&`, `|` and `~`.

    Works as a decorator too: a plain function below `@Filter` can be combined with everything, and negated with `~`.

    Args:
        fits: Returns a true value if a handler fits the event.
        name: The name that error messages and logs show; None takes the function's own.
        events: The classes of events that the function can look at, subclasses included. A handler of another event
            is refused with this filter. None takes every event.

    Example:
        `@bot.on_message(in_direct & ~contains("unsubscribe"))`
    """

    def __init__(
        self, fits: Callable[[E_contra], Fit], name: str | None = None, *, events: Classes | None = None
    ) -> None:
        self._fits = fits
        self.name = name_of(fits) if name is None else name
        self.events = events
        self.takes_muted = False  # True if a handler with this filter takes events of muted chats
        self.names_people = False  # True if it fits events of people only whom the author names
        self.is_whole_text = False  # True if it fits whole texts only
        if inspect.isfunction(fits) and fits.__doc__:  # that of another callable is its class's
            self.__doc__ = fits.__doc__  # for `help()` and the pages of the docs

    def __call__(self, event: E_contra) -> Fit:
        return self._fits(event)

    # Two filters can be combined if an event exists that both accept. Python's types cannot express "the more specific
    # of the two event types", so there is an overload for each of the three cases that occur.
    @overload
    def __and__(self, other: Callable[[E_contra], Fit]) -> Filter[E_contra]: ...
    @overload
    def __and__(self: Filter[MessageReceived], other: Predicate[MessageReceived]) -> Filter[MessageReceived]: ...
    @overload
    def __and__(self: Filter[Event], other: Predicate[E]) -> Filter[E]: ...
    def __and__(self, other: Any) -> Any:
        check_filter(other)

        def both(event: Any) -> Fit:
            first = self._fits(event)
            if not first:
                return False
            second = other(event)
            # Prefer a match of a regular expression to True: the match becomes ctx.match.
            return first if second is True else second

        return self._combined(other, "&", both)

    @overload
    def __or__(self, other: Callable[[E_contra], Fit]) -> Filter[E_contra]: ...
    @overload
    def __or__(self: Filter[MessageReceived], other: Predicate[MessageReceived]) -> Filter[MessageReceived]: ...
    @overload
    def __or__(self: Filter[Event], other: Predicate[E]) -> Filter[E]: ...
    def __or__(self, other: Any) -> Any:
        check_filter(other)
        return self._combined(other, "|", lambda event: self._fits(event) or other(event))

    # The same with a plain function on the left.
    @overload
    def __rand__(self, other: Callable[[E_contra], Fit]) -> Filter[E_contra]: ...
    @overload
    def __rand__(self: Filter[MessageReceived], other: Predicate[MessageReceived]) -> Filter[MessageReceived]: ...
    @overload
    def __rand__(self: Filter[Event], other: Predicate[E]) -> Filter[E]: ...
    def __rand__(self, other: Any) -> Any:
        check_filter(other)
        return Filter(other) & self

    @overload
    def __ror__(self, other: Callable[[E_contra], Fit]) -> Filter[E_contra]: ...
    @overload
    def __ror__(self: Filter[MessageReceived], other: Predicate[MessageReceived]) -> Filter[MessageReceived]: ...
    @overload
    def __ror__(self: Filter[Event], other: Predicate[E]) -> Filter[E]: ...
    def __ror__(self, other: Any) -> Any:
        check_filter(other)
        return Filter(other) | self

    def _combined(self, other: Any, sign: str, fits: Callable[[Any], Fit]) -> Filter[Any]:
        made: Filter[Any] = Filter(fits, f"({self.name} {sign} {name_of(other)})", events=_events_of_both(self, other))
        made.takes_muted = takes_muted((self, other))
        of_both = any if sign == "&" else all
        made.names_people = of_both(getattr(each, "names_people", False) for each in (self, other))
        made.is_whole_text = of_both(getattr(each, "is_whole_text", False) for each in (self, other))
        return made

    def __invert__(self) -> Filter[E_contra]:
        return Filter(lambda event: not self._fits(event), f"~{self.name}", events=self.events)

    def __bool__(self) -> bool:
        raise BotError(f"{self!r} has no truth value. Combine filters with &, | and ~, not with and, or and not.")

    def __repr__(self) -> str:
        return f"<filter {self.name}>"


class TextFilter(Filter[Texts]):
    """A filter of the text alone. When a bot is loaded, such filters are compared by the texts that they fit.

    Args:
        fits_text: Returns a true value if the filter fits a text without mentions.
        fits: The filter itself; None asks `fits_text` about the text of an event.
        words: The whole texts that fit, as their author wrote them; empty for a filter that finds a part.
        flags: Flags of a regular expression.
    """

    def __init__(
        self,
        fits_text: Callable[[str], Fit],
        name: str,
        *,
        fits: Callable[[Texts], Fit] | None = None,
        words: tuple[str, ...] = (),
        flags: int = 0,
    ) -> None:
        super().__init__(fits or (lambda event: fits_text(event.text)), name, events=_TEXTS)
        self.fits_text = fits_text
        self.words = words
        self.is_whole_text = bool(words)
        self.flags = flags

    def is_exact(self, text: str) -> bool:
        """Return True if a text is one of the words as their author wrote them."""
        return exactly(text) in map(exactly, self.words)

    def fits_as(self, other: Callable[..., Any]) -> bool:
        """Return True if another filter certainly fits the same texts."""
        return isinstance(other, TextFilter) and (self.name, self.flags) == (other.name, other.flags)


def words_among(filters: Iterable[Any]) -> TextFilter | None:
    """Return the first filter of whole texts among those of a handler; None if there is none."""
    return next((each for each in filters if isinstance(each, TextFilter) and each.words), None)


def are_of_commands(filters: Iterable[Any]) -> bool:
    """Return True if a handler with these filters takes whole texts only, and of named people only, such as the owner's."""
    each = tuple(filters)
    return any(getattr(one, "names_people", False) for one in each) and any(
        getattr(one, "is_whole_text", False) for one in each
    )


def text_of(event: Texts) -> str:
    """Return the text that is compared with whole words: without a mention of the bot."""
    return event.text_to_me if isinstance(event, MessageReceived) else event.text


def _texts_that_fit(filters: Iterable[Any]) -> list[str]:
    """Return the texts that fit the words of a handler, in the ways that people write them; empty without words."""
    found = words_among(filters)
    words = () if found is None else found.words
    spelled = {way(word.strip()) for word in words for way in (str, str.lower, str.upper, str.capitalize)}
    return [f"{word}{mark}" for word in sorted(spelled) for mark in ("", *".!?…")]


def covers(earlier: Iterable[Callable[[Any], Fit]], later: Sequence[Callable[[Any], Fit]]) -> bool:
    """Return True if each event that fits the filters of a later handler certainly fits those of an earlier one."""
    texts, own = _texts_that_fit(later), words_among(later)

    def fits_too(one: Any) -> bool:
        if any(one is other for other in later):
            return True
        if not isinstance(one, TextFilter):
            return False
        if any(map(one.fits_as, later)):
            return True
        if one.words:  # a later handler for exactly a text comes before one for nearly this text: see `Routes.tried`
            return own is not None and all(map(one.is_exact, own.words))
        return bool(texts) and all(map(one.fits_text, texts))

    return all(map(fits_too, earlier))


def takes_muted(filters: Iterable[Any]) -> bool:
    """Return True if the filter `muted` is among filters, or part of one, so that their handler takes events of muted chats."""
    return any(isinstance(each, Filter) and each.takes_muted for each in filters)


def name_of(predicate: Callable[..., Any]) -> str:
    """Return the name of a filter, for error messages and logs."""
    return predicate.name if isinstance(predicate, Filter) else getattr(predicate, "__qualname__", repr(predicate))


def _events_of_both(first: Filter[Any], second: Any) -> Classes | None:
    """Return the classes of events that a combination of two filters can look at; None if they are not known.

    A first filter of an author may keep other events from the second one, so its combinations take every event.
    """
    takes_any = first.events == _ANY and isinstance(second, Filter) and second.events is not None
    return second.events if takes_any else first.events


def check_filter(given: Any) -> None:
    """Check that something is a filter: a plain function, or another callable, of one argument.

    Raises:
        BotError: it is something else, such as a class, a text or an `async def`.
    """
    if is_maker(given):
        raise BotError(f"{given.__name__} alone is not a filter: it makes one. Write {given.__name__}(…).")
    if callable(given) and not isinstance(given, type) and not inspect.iscoroutinefunction(given) and takes(given, 1):
        return
    hint = ""
    if inspect.iscoroutinefunction(given):
        hint = f" {AWAITING_FILTER}"
    elif isinstance(given, str):
        hint = f" For a text, write exact({given!r}) or contains({given!r})."
    elif isinstance(given, type) and issubclass(given, Event):
        hint = f" A handler for the events of a class is registered with @bot.on({given.__name__})."
    raise BotError(f"{name_of(given)} is not a filter. A filter is a plain function of one argument, the event.{hint}")


def is_maker(given: Any) -> bool:
    """Return True for a function of this module that makes a filter, such as `contains`: a filter is `contains("x")`."""
    return inspect.isfunction(given) and given in (exact, contains, regex, from_handle, to_line)


def takes(function: Any, count: int) -> bool:
    """Return True if a callable can be called with this number of arguments."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # no signature is known, as for some functions written in C
        return True
    return True


def _refuse_contradiction(filters: Sequence[TextFilter]) -> None:
    texts = _texts_that_fit(filters)
    if texts and not any(all(each.fits_text(text) for each in filters) for text in texts):
        names = [each.name for each in filters]
        raise BotError(
            f"{' and '.join(names)} never fit the same text, so this handler could never run: one of the strings and every "
            f"filter must fit. If one of them shall do, write {' | '.join(names)}."
        )


def check_filters(filters: Sequence[Any], event: type[Event]) -> None:
    """Check the filters of a handler when it is registered.

    Raises:
        BotError: a filter is not a plain function, or cannot look at the handler's events; or no text fits them all.
    """
    _refuse_contradiction([each for each in filters if isinstance(each, TextFilter)])
    is_narrowed = False
    for predicate in filters:
        check_filter(predicate)
        events = predicate.events if isinstance(predicate, Filter) else None
        if events is None:
            is_narrowed = True  # An author's own filter may accept only a subclass of the handler's events.
        elif not any(issubclass(event, kind) or (is_narrowed and issubclass(kind, event)) for kind in events):
            fitting = " and ".join(kind.__name__ for kind in events) or "no event"
            raise BotError(
                f"The filter {name_of(predicate)} does not fit a handler of {event.__name__}: it is for {fitting}. Leave "
                "the filter out, or write a plain function of the event as a filter of your own."
            )


def _listed(texts: tuple[str, ...]) -> str:
    return ", ".join(map(repr, texts))


def _check_texts(filter_name: str, texts: tuple[Any, ...]) -> None:
    for each in texts:
        if not isinstance(each, str):
            raise BotError(f'{filter_name}() takes texts, not {each!r}. Write {filter_name}("yes", "no").')


def exact(*texts: str) -> Filter[Texts]:
    """Fit if the whole text is one of these texts: `exact("hi", "hello")`.

    Case, accents, the forms of quotes and digits, and what stands around the words is ignored: white space, marks at the end
    of the sentence, emoji, and politeness. `Hi! 🙂` is `hi`, and so is `hi, please`. In a group, a mention of the bot is
    ignored too: `@Bot, hi` is `hi`. A handler for exactly what was written comes before one for nearly that.

    Raises:
        BotError: no texts were given, an empty one, or something else.
    """
    _check_texts("exact", texts)
    if not texts or "" in plain_words(texts):
        raise BotError("A text filter with no words can never match. Give the words, or leave the filter out.")

    def fits(event: Texts) -> bool:
        return says(text_of(event), texts)

    return TextFilter(lambda text: says(text, texts), f"exact({_listed(texts)})", fits=fits, words=texts)


def contains(*texts: str) -> Filter[Texts]:
    """Fit if the text contains one of these texts. Case, accents, and the forms of quotes and digits are ignored.

    Raises:
        BotError: no texts were given, an empty one, or something else.
    """
    _check_texts("contains", texts)
    wanted = tuple(map(unaccented, texts))
    if not all(wanted) or not texts:
        raise BotError("contains() needs at least one word, and no empty ones. Give the words to look for.")

    def fits(text: str) -> bool:
        text = unaccented(text)
        return any(word in text for word in wanted)

    return TextFilter(fits, f"contains({_listed(texts)})")


def regex(pattern: str | re.Pattern[str]) -> Filter[Texts]:
    """Fit if the pattern is found anywhere in the text. The handler finds the match in `ctx.match`.

    Args:
        pattern: A regular expression: as a string, which ignores case, or compiled, with the flags that you like.
    Raises:
        BotError: the pattern is not a regular expression of texts.
    """
    if not isinstance(pattern, str) and not (isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str)):
        raise BotError(f'regex() takes a pattern, not {pattern!r}. Write regex(r"order (\\d+)").')
    try:
        compiled = re.compile(pattern, re.IGNORECASE) if isinstance(pattern, str) else pattern
    except re.error as error:
        raise BotError(f"regex({pattern!r}) is not a regular expression: {error}.") from error
    return TextFilter(compiled.search, f"regex({compiled.pattern!r})", flags=compiled.flags)


def from_handle(*handles: str) -> Filter[Event]:
    """Fit if the person who caused the event has one of these phone numbers (E.164) or e-mail addresses.

    Raises:
        BotError: no handles were given, or one that no person can have.

    Example:
        `@bot.on_message("open", from_handle("+14155550142", "ann@example.com"))`
    """
    if not handles:
        raise BotError("from_handle() needs at least one phone number or e-mail address, such as '+14155550142'.")
    wanted = frozenset(check_handle(handle, "from_handle(…)") for handle in handles)
    by_them: Filter[Event] = Filter(
        lambda event: person_key(event.actor or "") in wanted, f"from_handle({len(handles)} handles)", events=_ANY
    )
    by_them.names_people = True
    return by_them


def to_line(*lines: str) -> Filter[Event]:
    """Fit if the event arrived on one of these phone numbers (lines) of yours, in E.164 form.

    Raises:
        BotError: no lines were given, or one that is not in E.164 form.
    """
    if not lines:
        raise BotError("to_line() needs at least one of your phone numbers, such as '+14155550142'.")
    for line in lines:
        check_line(line, "to_line(…)")
    wanted = frozenset(lines)
    return Filter(lambda event: event.line in wanted, f"to_line({len(lines)} lines)", events=_ANY)


def _for(*events: type[Event]) -> Callable[[Predicate[E]], Filter[E]]:
    """Return a decorator that makes a function a filter for events of these classes."""
    return lambda fits: Filter(fits, events=events)


@_for(*_ANY)
def in_group(event: Event) -> bool:
    """Fit if the event happened in a group chat.

    In groups the bot takes only messages that mention it or reply to it, unless it is a `Bot(groups="all")`. An event
    without a chat fits neither `in_group` nor `in_direct`.
    """
    return event.is_group is True


@_for(*_ANY)
def in_direct(event: Event) -> bool:
    """Fit if the event happened in a direct chat, between the bot and one person.

    An event without a chat fits neither `in_group` nor `in_direct`.
    """
    return event.is_group is False


@_for(*_MESSAGES)
def has_media(event: MessageReceived) -> bool:
    """Fit if the message has a file: a photo, a video, a voice memo or another attachment, in `message.media`."""
    return bool(event.media)


@_for(*_MESSAGES)
def has_link(event: MessageReceived) -> bool:
    """Fit if the message has a link preview, in `message.links`. A web address inside a text is none: use `regex`."""
    return bool(event.links)


@_for(MessageReceived)
def mentions_bot(event: MessageReceived) -> bool:
    """Fit if the message mentions the bot: a part of its text is a mention of the bot's line."""
    return event.mentions_me


@_for(MessageReceived)
def replies_to_bot(event: MessageReceived) -> bool:
    """Fit if the message is in a group and replies to a message of the bot.

    The person has chosen this message to reply to. In a direct chat, where each message is meant for the bot, it never
    fits; `message.reply_to` says if a message is a reply.
    """
    return event.replies_to_me


@_for(*_ANY)
def muted(event: Event) -> bool:
    """Fit if the bot is muted in the event's chat: `ctx.mute`.

    Only handlers with this filter get events of muted chats. What they send there is not sent before `ctx.unmute`.

    Example:
        `@bot.on_message("#done", muted)`
    """
    return event.muted


muted.takes_muted = True
