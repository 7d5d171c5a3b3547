"""Handling: the questions that the engine and the features ask about a bot's handlers and rules.

The questions run no code of the bot but its filters and its `allow`. Next step: `bot/dispatch.py`, which performs the acts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from linqbot.engine import reasons
from linqbot.engine.bag import Bag
from linqbot.engine.failure import ChoiceFailed
from linqbot.engine.filters import are_of_commands, takes_muted, words_among
from linqbot.engine.routing import Route, RouteTable
from linqbot.interrupts import is_ctrl_c
from linqbot.linq.events.delivery import BROADCAST_DONE_TYPE, POST_TYPE, Delivery
from linqbot.linq.events.event import Event, UnknownEvent
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.events.parse import EVENT_TYPES, understood
from linqbot.linq.events.proactive import SCHEDULE_TYPE
from linqbot.linq.rules.keywords import keyword_of
from linqbot.options import Groups

if TYPE_CHECKING:
    from linqbot.language.spoken import Language

OWN_TYPES: Final = frozenset({SCHEDULE_TYPE, BROADCAST_DONE_TYPE, POST_TYPE})
"""The types of events that no person causes: what the bot's settings say of people and groups does not concern them."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rules:
    """The options of a bot that decide which events reach its handlers, and what the bot says by itself.

    Attributes:
        allow: Returns True if the bot admits the person of an event: `Bot(allow=…)`.
        groups: The messages to handle in group chats, as in `Bot`.
        on_trouble: The text that the bot says in an outage of a chat; None if it says nothing.
        has_languages: True if the bot speaks other languages than English: `Bot(language=…)`.
        answers_keywords: True if linqbot answers START and HELP.
        is_own_command: Returns True for a text that is a command of linqbot's own, such as `#answer yes`.
    """

    allow: Callable[[Event], bool]
    groups: Groups
    on_trouble: str | None
    has_languages: bool
    answers_keywords: bool
    is_own_command: Callable[[str], bool]


class Handling(ABC):
    """The handlers and rules of a bot.

    Args:
        deadline_s: Seconds that a handler may run, unless it was registered with its own `deadline_s`.
        has_middleware: True if all events reach the bot's middleware, those without a handler too.
    Attributes:
        options: The options that the author has chosen for features: see `features/bot_options.py`.
        has_notices: True if the bot says something when it cannot answer: `Bot(on_trouble=…)`, or an `on_dead_letter` handler.
    """

    def __init__(
        self, routes: RouteTable, rules: Rules, options: Bag, *, deadline_s: float, has_middleware: bool
    ) -> None:
        self.routes = routes
        self.rules = rules
        self.options = options
        self.deadline_s = deadline_s
        self.has_middleware = has_middleware
        self.has_notices = rules.on_trouble is not None or bool(routes.dead_letter_routes)
        self._side_routes = [route for route in routes.all if route.during_ask]
        self._commands = [route for route in routes.all if are_of_commands(route.filters) and route.when is None]
        # What only linqbot itself needs, no author need handle.
        self._without_handler = {name for name in routes.needed if not self.wants(name)}

    @abstractmethod
    def language_named(self, code: str | None) -> Language:
        """Return a question's language with the bot's own sentences; None is English, as is an unknown one."""

    @property
    def longest_s(self) -> float:
        """The longest time limit of all handlers, in seconds."""
        return max([self.deadline_s, *(route.deadline_s or 0.0 for route in self.routes.all)])

    def allows(self, event: Event) -> bool:
        """Return True if the bot's `allow` admits the person of an event. Raises ChoiceFailed if `allow` raised an error."""
        return _chosen(lambda: self.rules.allow(event))

    def has_side_handler(self, event: Event, *, for_word: bool = False) -> bool:
        """Return True if a `during_ask=True` handler fits the event; its `when` is asked in a turn. Raises ChoiceFailed.

        With `for_word` only handlers of whole texts count, such as that of the bot's own word `cancel`.
        """
        routes = (route for route in self._side_routes if isinstance(event, route.event))
        if for_word:
            routes = (route for route in routes if words_among(route.filters) is not None)
        return _chosen(lambda: any(route.fits(event) for route in routes))

    def handler_for(self, message: MessageReceived) -> str | None:
        """Return the name of the handler that would take a message in time; None if none would, or if it is not known.

        It is not known if a `when=` decides, if `allow` fails, or, in a group, for a message that replies to another one.
        """
        route = self.route_of(message) if self.may_join(message) else None
        if route is None or route.when is not None or not self.may_reach_handler(message):
            return None
        return route.name

    def first_fit(self, message: MessageReceived) -> str | None:
        """Return the name of the first handler whose filters fit a message; None if none does."""
        route = self.route_of(message)
        return None if route is None else route.name

    def may_join(self, message: MessageReceived) -> bool:
        """Return True if a message can become a part of another message's turn.

        Not a late one, nor one that is a command by itself: STOP, START, HELP, `#answer …`, or a command of the owner.
        """
        if message.is_own or message.reconciled_at is not None or self.is_command(message, during_ask=True):
            return False
        if self.rules.is_own_command(message.text):
            return False
        return keyword_of(message) not in ("stop", "start") and not self.takes_keyword(message)

    def route_of(self, message: MessageReceived) -> Route | None:
        """Return the first route whose filters fit a message; None if there is none, or if a filter fails."""
        routes = self.routes.tried(message)
        try:
            return _chosen(lambda: next((route for route in routes if route.fits(message)), None))
        except ChoiceFailed:
            return None  # the turn of the message reports the error

    def has_no_handler(self, event_type: str) -> bool:
        """Return True if events of this type reach no code of the bot, so they need not be parsed.

        False until one event of the type has been dispatched: it logs how the author of the bot can handle the type.
        """
        return event_type in self._without_handler

    def wants(self, event_type: str) -> bool:
        """Return True if events of this type may reach code of the bot."""
        return self.has_middleware or bool(self.routes.of(EVENT_TYPES[event_type]))

    def is_command(self, event: Event, *, during_ask: bool = False) -> bool:
        """Return True for a command of an owner: a handler for whole texts of named people takes it, such as `Hours.changed_by`.

        With `during_ask` only handlers that take events also while a question is open count.
        """
        if not self._commands or not isinstance(event, MessageReceived):
            return False
        routes = (
            each for each in self._commands if isinstance(event, each.event) and (each.during_ask or not during_ask)
        )
        try:
            return _chosen(lambda: any(route.fits(event) for route in routes))
        except ChoiceFailed:
            return False

    def takes_keyword(self, event: Event, *, during_ask: bool = False, in_handoff: bool = False) -> bool:
        """Return True if linqbot answers an event: START or HELP, unless a handler of the bot is for this text and gets it.

        In a muted chat only handlers with the filter `muted` get it, with `during_ask` those with `during_ask=True`, and in a
        handoff none.
        """
        if not self.rules.answers_keywords or keyword_of(event) not in ("start", "help"):
            return False
        assert isinstance(event, MessageReceived)
        routes = [] if in_handoff else self.routes.of(type(event))
        if event.muted:
            routes = [route for route in routes if takes_muted(route.filters)]
        words = (words_among(route.filters) for route in routes if route.during_ask or not during_ask)
        return not any(each is not None and each.fits_text(event.text) for each in words)

    def is_keyword(self, event: Event) -> bool:
        """Return True for START or HELP, which linqbot or a handler answers."""
        return self.rules.answers_keywords and keyword_of(event) in ("start", "help")

    def may_reach_handler(self, event: Event) -> bool:
        """Return True if the bot's settings let an event through to its handlers; False if `allow` fails."""
        try:
            return _chosen(lambda: self._reason_to_ignore(event)) is None
        except ChoiceFailed:
            return False

    def takes_dead_letter(self, delivery: Delivery) -> bool:
        """Return True if the bot has an `on_dead_letter` handler for the event of a delivery."""
        event = understood(delivery)
        # Of linqbot's own deliveries, those without a class are no events: a scheduled send, or the notice itself.
        if event is None or (isinstance(event, UnknownEvent) and delivery.is_internal):
            return False
        return self.routes.dead_letter_handler(type(event)) is not None

    def _reason_to_ignore(self, event: Event, *, is_side: bool = False) -> str | None:
        """Return the reason why this event must not reach a handler; None if it may.

        `is_side`: it is of a person who is asked a question, and who need not address the bot.
        """
        if event.is_own and event.echoes:
            return reasons.OWN_ECHO
        if event.type not in OWN_TYPES and not self.rules.allow(event):
            return reasons.NOT_ALLOWED
        if event.is_group and self.rules.groups != "all" and not is_side and event.type not in OWN_TYPES:
            if self.rules.groups == "never":
                return reasons.IN_GROUP
            if isinstance(event, MessageReceived) and not event.is_addressed:
                return reasons.NOT_ADDRESSED
        return None


def _chosen(choose: Callable[[], T]) -> T:
    """Run code of the bot that decides about an event, where no turn is running that reports its errors.

    Raises ChoiceFailed for any, a SystemExit or CancelledError included.
    """
    try:
        return choose()
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        raise ChoiceFailed from error
