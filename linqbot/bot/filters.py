"""Filters: whether a handler fits an event. Any pure callable of one argument is one; these can be combined.

`a & b`, `a | b` and `~a` work on every Filter here. A filter may return a regular expression's match; it is then at
hand as `ctx.match`. Filters must be pure: they may be asked more than once about one event.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar, overload

from linqbot.errors import BotError
from linqbot.events.event import Event
from linqbot.events.message import MessageEdited, MessageReceived

Fit: TypeAlias = "bool | re.Match[str] | None"
E_contra = TypeVar("E_contra", bound=Event, contravariant=True)
E = TypeVar("E", bound=Event)
Predicate: TypeAlias = Callable[[E], Fit]
Texts: TypeAlias = "MessageReceived | MessageEdited"


class Filter(Generic[E_contra]):
    """A predicate with a name, which combines with others.

    Example:
        `@bot.on_message(in_direct & ~contains("unsubscribe"))`
    """

    __slots__ = ("_fits", "name")

    def __init__(self, fits: Callable[[E_contra], Fit], name: str) -> None:
        self._fits = fits
        self.name = name

    def __call__(self, event: E_contra) -> Fit:
        return self._fits(event)

    # Two filters fit together when there is an event both can be asked about. Python's types cannot say "the more
    # particular of the two", so the three cases that occur are spelled out.
    @overload
    def __and__(self, other: Callable[[E_contra], Fit]) -> Filter[E_contra]: ...
    @overload
    def __and__(self: Filter[MessageReceived], other: Predicate[MessageReceived]) -> Filter[MessageReceived]: ...
    @overload
    def __and__(self: Filter[Event], other: Predicate[E]) -> Filter[E]: ...
    def __and__(self, other: Any) -> Any:
        def both(event: Any) -> Fit:
            first = self._fits(event)
            if not first:
                return False
            second = other(event)
            # A match says more than True: keep whichever there is.
            return first if second is True else second

        return Filter(both, f"({self.name} & {name_of(other)})")

    @overload
    def __or__(self, other: Callable[[E_contra], Fit]) -> Filter[E_contra]: ...
    @overload
    def __or__(self: Filter[MessageReceived], other: Predicate[MessageReceived]) -> Filter[MessageReceived]: ...
    @overload
    def __or__(self: Filter[Event], other: Predicate[E]) -> Filter[E]: ...
    def __or__(self, other: Any) -> Any:
        return Filter(lambda event: self._fits(event) or other(event), f"({self.name} | {name_of(other)})")

    def __invert__(self) -> Filter[E_contra]:
        return Filter(lambda event: not self._fits(event), f"~{self.name}")

    def __bool__(self) -> bool:
        raise BotError(f"{self!r} has no truth of its own. Combine filters with &, | and ~, not with and, or and not.")

    def __repr__(self) -> str:
        return f"<filter {self.name}>"


def name_of(predicate: Callable[..., Any]) -> str:
    """What a filter is called in messages."""
    return predicate.name if isinstance(predicate, Filter) else getattr(predicate, "__qualname__", repr(predicate))


def exact(*texts: str) -> Filter[Texts]:
    """The whole text is one of these, trimmed and in any case: `exact("hi", "hello")`.

    In a group a mention of the bot does not count: `@Bot, hi` is `hi`.
    """
    wanted = frozenset(text.strip().casefold() for text in texts)
    if not texts or "" in wanted:
        raise BotError("A text filter with no words can never match. Give the words, or leave the filter out.")

    def fits(event: Texts) -> bool:
        text = event.text_to_me if isinstance(event, MessageReceived) else event.text
        return text.strip().casefold() in wanted

    return Filter(fits, f"exact{texts!r}")


def contains(*texts: str) -> Filter[Texts]:
    """The text contains one of these, in any case."""
    wanted = tuple(text.casefold() for text in texts)
    if not all(wanted) or not texts:
        raise BotError("contains() with no words can never tell anything. Give the words to look for.")

    def fits(event: Texts) -> bool:
        text = event.text.casefold()
        return any(word in text for word in wanted)

    return Filter(fits, f"contains{texts!r}")


def regex(pattern: str | re.Pattern[str], flags: re.RegexFlag = re.IGNORECASE) -> Filter[Texts]:
    """The pattern is found in the text. The match is at hand as `ctx.match`.

    Args:
        flags: Only for a pattern given as a string.
    """
    try:
        compiled = re.compile(pattern, flags) if isinstance(pattern, str) else pattern
    except re.error as error:
        raise BotError(f"regex({pattern!r}) is no regular expression: {error}.") from error
    return Filter(lambda event: compiled.search(event.text), f"regex({compiled.pattern!r})")


def from_handle(*handles: str) -> Filter[Event]:
    """It was done by one of these phone numbers or e-mail addresses."""
    wanted = frozenset(handle.casefold() for handle in handles)
    return Filter(lambda event: (event.actor or "").casefold() in wanted, f"from_handle({len(handles)} handles)")


def to_line(*lines: str) -> Filter[Event]:
    """It came in on one of these lines of yours."""
    wanted = frozenset(lines)
    return Filter(lambda event: event.line in wanted, f"to_line({len(lines)} lines)")


in_group: Filter[Event] = Filter(lambda event: event.is_group is True, "in_group")
in_direct: Filter[Event] = Filter(lambda event: event.is_group is False, "in_direct")
has_media: Filter[MessageReceived] = Filter(lambda event: bool(event.media), "has_media")
has_link: Filter[MessageReceived] = Filter(lambda event: bool(event.links), "has_link")
mentions_bot: Filter[MessageReceived] = Filter(lambda event: event.mentions_me, "mentions_bot")
replies_to_bot: Filter[MessageReceived] = Filter(lambda event: event.replies_to_me, "replies_to_bot")
