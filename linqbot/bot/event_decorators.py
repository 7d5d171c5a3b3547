"""The decorators for common events: `@bot.on_typing`, `@bot.on_delivery`, … They are methods of every Router.

Each takes the names of what happened, and filters. A handler has one route for each event class, so that the bot is
subscribed to these event types only. Next step: `router.py` registers the routes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from linqbot.bot.filters import Filter, Predicate
from linqbot.bot.handlers import Handler, Returned, When, is_handler
from linqbot.errors import BotError
from linqbot.linq.events.event import Event
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.nearest import suggestion

if TYPE_CHECKING:  # A bot uses few of these classes, and each is imported at its first use.
    from linqbot.linq.events.chat import (
        BackgroundUpdated,
        GroupChange,
        GroupIconUpdated,
        GroupNameUpdated,
        LocationSharing,
        LocationSharingStarted,
        LocationSharingStopped,
        ParticipantAdded,
        ParticipantRemoved,
        TypingEvent,
        TypingStarted,
        TypingStopped,
    )
    from linqbot.linq.events.message import MessageDelivered, MessageFailed, MessageRead, MessageReceipt, MessageSent
    from linqbot.linq.events.payment import (
        PaymentAuthorized,
        PaymentCanceled,
        PaymentDeclined,
        PaymentEvent,
        PaymentExpired,
        PaymentSucceeded,
    )
    from linqbot.linq.events.poll import PollVote, PollVoteAdded, PollVoteRemoved

E = TypeVar("E", bound=Event)

_TYPING: Mapping[str, str] = {
    "started": "chat.typing_indicator.started",
    "stopped": "chat.typing_indicator.stopped",
}
_DELIVERY: Mapping[str, str] = {
    "sent": "message.sent",
    "delivered": "message.delivered",
    "read": "message.read",
    "failed": "message.failed",
}
_POLL_VOTE: Mapping[str, str] = {"added": "poll.vote.added", "removed": "poll.vote.removed"}
_GROUP_CHANGE: Mapping[str, str] = {
    "added": "participant.added",
    "removed": "participant.removed",
    "renamed": "chat.group_name_updated",
    "icon": "chat.group_icon_updated",
    "background": "chat.background_updated",
}
_LOCATION: Mapping[str, str] = {"started": "location.sharing.started", "stopped": "location.sharing.stopped"}
_PAYMENT: Mapping[str, str] = {
    "succeeded": "payment.succeeded",
    "declined": "payment.declined",
    "canceled": "payment.canceled",
    "expired": "payment.expired",
    "authorized": "payment.authorized",
}

_not_direct: Filter[Event] = Filter(lambda event: event.is_group is not False, "not in a direct chat")


class EventDecorators(ABC):
    """The decorators for common events: a base of Router."""

    @abstractmethod
    def on(
        self, event: type[E], *filters: Predicate[E], when: When[E] | None = None
    ) -> Callable[[Handler[E, Returned]], Handler[E, Returned]]:
        """Register a handler for the events of a class."""

    @overload
    def on_typing(self, handler: Handler[TypingEvent, Returned], /) -> Handler[TypingEvent, Returned]: ...

    @overload
    def on_typing(
        self, name: Literal["started"], /, *filters: Predicate[TypingStarted], when: When[TypingStarted] | None = None
    ) -> Callable[[Handler[TypingStarted, Returned]], Handler[TypingStarted, Returned]]: ...

    @overload
    def on_typing(
        self, name: Literal["stopped"], /, *filters: Predicate[TypingStopped], when: When[TypingStopped] | None = None
    ) -> Callable[[Handler[TypingStopped, Returned]], Handler[TypingStopped, Returned]]: ...

    @overload
    def on_typing(
        self, *filters: Predicate[TypingEvent], when: When[TypingEvent] | None = None
    ) -> Callable[[Handler[TypingEvent, Returned]], Handler[TypingEvent, Returned]]: ...

    def on_typing(self, *given: Any, when: When[Any] | None = None) -> Any:
        """Register a handler for people who start or stop typing.

        Typing events do not wait for the messages of their chat, and a handler that is busy does not delay them.

        Args:
            given: Names, one of which must fit, and filters, which must all fit. The names: `started`, `stopped`.
                Without a name all fit.
            when: As for `on`.
        Raises:
            BotError: as for `on`; or a name is not one of these.

        Example:
            `@bot.on_typing("started")` above `async def warm_up(typing: TypingStarted, ctx: Context) -> None: …`
        """
        return self._on_named("on_typing", _TYPING, given, when)

    @overload
    def on_delivery(self, handler: Handler[MessageReceipt, Returned], /) -> Handler[MessageReceipt, Returned]: ...

    @overload
    def on_delivery(
        self, name: Literal["sent"], /, *filters: Predicate[MessageSent], when: When[MessageSent] | None = None
    ) -> Callable[[Handler[MessageSent, Returned]], Handler[MessageSent, Returned]]: ...

    @overload
    def on_delivery(
        self,
        name: Literal["delivered"],
        /,
        *filters: Predicate[MessageDelivered],
        when: When[MessageDelivered] | None = None,
    ) -> Callable[[Handler[MessageDelivered, Returned]], Handler[MessageDelivered, Returned]]: ...

    @overload
    def on_delivery(
        self, name: Literal["read"], /, *filters: Predicate[MessageRead], when: When[MessageRead] | None = None
    ) -> Callable[[Handler[MessageRead, Returned]], Handler[MessageRead, Returned]]: ...

    @overload
    def on_delivery(
        self, name: Literal["failed"], /, *filters: Predicate[MessageFailed], when: When[MessageFailed] | None = None
    ) -> Callable[[Handler[MessageFailed, Returned]], Handler[MessageFailed, Returned]]: ...

    @overload
    def on_delivery(
        self,
        name: Literal["sent", "delivered", "read", "failed"],
        other: Literal["sent", "delivered", "read", "failed"],
        /,
        *given: Literal["sent", "delivered", "read", "failed"] | Predicate[MessageReceipt],
        when: When[MessageReceipt] | None = None,
    ) -> Callable[[Handler[MessageReceipt, Returned]], Handler[MessageReceipt, Returned]]: ...

    @overload
    def on_delivery(
        self, *filters: Predicate[MessageReceipt], when: When[MessageReceipt] | None = None
    ) -> Callable[[Handler[MessageReceipt, Returned]], Handler[MessageReceipt, Returned]]: ...

    def on_delivery(self, *given: Any, when: When[Any] | None = None) -> Any:
        """Register a handler for the delivery of the bot's own messages.

        Linq reports `read` in direct chats only. A message that `failed` may still be `delivered` later.

        Args:
            given: Names, one of which must fit, and filters, which must all fit. The names: `sent`, `delivered`,
                `read`, `failed`. Without a name all fit.
            when: As for `on`.
        Raises:
            BotError: as for `on`; or a name is not one of these.

        Example:
            `@bot.on_delivery("failed")` above `async def note(failure: MessageFailed, ctx: Context) -> None: …`
        """
        return self._on_named("on_delivery", _DELIVERY, given, when)

    @overload
    def on_poll_vote(self, handler: Handler[PollVote, Returned], /) -> Handler[PollVote, Returned]: ...

    @overload
    def on_poll_vote(
        self, name: Literal["added"], /, *filters: Predicate[PollVoteAdded], when: When[PollVoteAdded] | None = None
    ) -> Callable[[Handler[PollVoteAdded, Returned]], Handler[PollVoteAdded, Returned]]: ...

    @overload
    def on_poll_vote(
        self,
        name: Literal["removed"],
        /,
        *filters: Predicate[PollVoteRemoved],
        when: When[PollVoteRemoved] | None = None,
    ) -> Callable[[Handler[PollVoteRemoved, Returned]], Handler[PollVoteRemoved, Returned]]: ...

    @overload
    def on_poll_vote(
        self, *filters: Predicate[PollVote], when: When[PollVote] | None = None
    ) -> Callable[[Handler[PollVote, Returned]], Handler[PollVote, Returned]]: ...

    def on_poll_vote(self, *given: Any, when: When[Any] | None = None) -> Any:
        """Register a handler for the votes of people in polls. For a vote with one result, `ctx.vote` is simpler.

        Args:
            given: Names, one of which must fit, and filters, which must all fit. The names: `added`, `removed`. Without
                a name all fit.
            when: As for `on`.
        Raises:
            BotError: as for `on`; or a name is not one of these.

        Example:
            `@bot.on_poll_vote("added")` above `async def count(vote: PollVoteAdded, ctx: Context) -> None: …`
        """
        return self._on_named("on_poll_vote", _POLL_VOTE, given, when)

    @overload
    def on_group_change(self, handler: Handler[GroupChange, Returned], /) -> Handler[GroupChange, Returned]: ...

    @overload
    def on_group_change(
        self,
        name: Literal["added"],
        /,
        *filters: Predicate[ParticipantAdded],
        when: When[ParticipantAdded] | None = None,
    ) -> Callable[[Handler[ParticipantAdded, Returned]], Handler[ParticipantAdded, Returned]]: ...

    @overload
    def on_group_change(
        self,
        name: Literal["removed"],
        /,
        *filters: Predicate[ParticipantRemoved],
        when: When[ParticipantRemoved] | None = None,
    ) -> Callable[[Handler[ParticipantRemoved, Returned]], Handler[ParticipantRemoved, Returned]]: ...

    @overload
    def on_group_change(
        self,
        name: Literal["renamed"],
        /,
        *filters: Predicate[GroupNameUpdated],
        when: When[GroupNameUpdated] | None = None,
    ) -> Callable[[Handler[GroupNameUpdated, Returned]], Handler[GroupNameUpdated, Returned]]: ...

    @overload
    def on_group_change(
        self,
        name: Literal["icon"],
        /,
        *filters: Predicate[GroupIconUpdated],
        when: When[GroupIconUpdated] | None = None,
    ) -> Callable[[Handler[GroupIconUpdated, Returned]], Handler[GroupIconUpdated, Returned]]: ...

    @overload
    def on_group_change(
        self,
        name: Literal["background"],
        /,
        *filters: Predicate[BackgroundUpdated],
        when: When[BackgroundUpdated] | None = None,
    ) -> Callable[[Handler[BackgroundUpdated, Returned]], Handler[BackgroundUpdated, Returned]]: ...

    @overload
    def on_group_change(
        self,
        name: Literal["added", "removed", "renamed", "icon", "background"],
        other: Literal["added", "removed", "renamed", "icon", "background"],
        /,
        *given: Literal["added", "removed", "renamed", "icon", "background"] | Predicate[GroupChange],
        when: When[GroupChange] | None = None,
    ) -> Callable[[Handler[GroupChange, Returned]], Handler[GroupChange, Returned]]: ...

    @overload
    def on_group_change(
        self, *filters: Predicate[GroupChange], when: When[GroupChange] | None = None
    ) -> Callable[[Handler[GroupChange, Returned]], Handler[GroupChange, Returned]]: ...

    def on_group_change(self, *given: Any, when: When[Any] | None = None) -> Any:
        """Register a handler for changes of groups: people who are added or removed, a new name, icon or background.

        A person who leaves is `removed` too. When the bot's line is added to a group, `participant.is_me` is True.

        Args:
            given: Names, one of which must fit, and filters, which must all fit. The names: `added`, `removed`,
                `renamed`, `icon`, `background`. Without a name all fit.
            when: As for `on`.
        Raises:
            BotError: as for `on`; or a name is not one of these.

        Example:
            `@bot.on_group_change("added")` above `async def welcome(change: ParticipantAdded, ctx: Context) -> None: …`
        """
        return self._on_named("on_group_change", _GROUP_CHANGE, given, when)

    @overload
    def on_location(self, handler: Handler[LocationSharing, Returned], /) -> Handler[LocationSharing, Returned]: ...

    @overload
    def on_location(
        self,
        name: Literal["started"],
        /,
        *filters: Predicate[LocationSharingStarted],
        when: When[LocationSharingStarted] | None = None,
    ) -> Callable[[Handler[LocationSharingStarted, Returned]], Handler[LocationSharingStarted, Returned]]: ...

    @overload
    def on_location(
        self,
        name: Literal["stopped"],
        /,
        *filters: Predicate[LocationSharingStopped],
        when: When[LocationSharingStopped] | None = None,
    ) -> Callable[[Handler[LocationSharingStopped, Returned]], Handler[LocationSharingStopped, Returned]]: ...

    @overload
    def on_location(
        self, *filters: Predicate[LocationSharing], when: When[LocationSharing] | None = None
    ) -> Callable[[Handler[LocationSharing, Returned]], Handler[LocationSharing, Returned]]: ...

    def on_location(self, *given: Any, when: When[Any] | None = None) -> Any:
        """Register a handler for people who start or stop sharing their location. To ask for it, use `ctx.location`.

        The event has no coordinates: `ctx.client.chats.location.retrieve` reads them. Linq does not always name the
        chat, and then `event.chat_id` is None.

        Args:
            given: Names, one of which must fit, and filters, which must all fit. The names: `started`, `stopped`.
                Without a name all fit.
            when: As for `on`.
        Raises:
            BotError: as for `on`; or a name is not one of these.

        Example:
            `@bot.on_location("started")` above `async def find(sharing: LocationSharingStarted, ctx: Context) -> None: …`
        """
        return self._on_named("on_location", _LOCATION, given, when)

    @overload
    def on_payment(self, handler: Handler[PaymentEvent, Returned], /) -> Handler[PaymentEvent, Returned]: ...

    @overload
    def on_payment(
        self,
        name: Literal["succeeded"],
        /,
        *filters: Predicate[PaymentSucceeded],
        when: When[PaymentSucceeded] | None = None,
    ) -> Callable[[Handler[PaymentSucceeded, Returned]], Handler[PaymentSucceeded, Returned]]: ...

    @overload
    def on_payment(
        self,
        name: Literal["declined"],
        /,
        *filters: Predicate[PaymentDeclined],
        when: When[PaymentDeclined] | None = None,
    ) -> Callable[[Handler[PaymentDeclined, Returned]], Handler[PaymentDeclined, Returned]]: ...

    @overload
    def on_payment(
        self,
        name: Literal["canceled"],
        /,
        *filters: Predicate[PaymentCanceled],
        when: When[PaymentCanceled] | None = None,
    ) -> Callable[[Handler[PaymentCanceled, Returned]], Handler[PaymentCanceled, Returned]]: ...

    @overload
    def on_payment(
        self, name: Literal["expired"], /, *filters: Predicate[PaymentExpired], when: When[PaymentExpired] | None = None
    ) -> Callable[[Handler[PaymentExpired, Returned]], Handler[PaymentExpired, Returned]]: ...

    @overload
    def on_payment(
        self,
        name: Literal["authorized"],
        /,
        *filters: Predicate[PaymentAuthorized],
        when: When[PaymentAuthorized] | None = None,
    ) -> Callable[[Handler[PaymentAuthorized, Returned]], Handler[PaymentAuthorized, Returned]]: ...

    @overload
    def on_payment(
        self,
        name: Literal["succeeded", "declined", "canceled", "expired", "authorized"],
        other: Literal["succeeded", "declined", "canceled", "expired", "authorized"],
        /,
        *given: Literal["succeeded", "declined", "canceled", "expired", "authorized"] | Predicate[PaymentEvent],
        when: When[PaymentEvent] | None = None,
    ) -> Callable[[Handler[PaymentEvent, Returned]], Handler[PaymentEvent, Returned]]: ...

    @overload
    def on_payment(
        self, *filters: Predicate[PaymentEvent], when: When[PaymentEvent] | None = None
    ) -> Callable[[Handler[PaymentEvent, Returned]], Handler[PaymentEvent, Returned]]: ...

    def on_payment(self, *given: Any, when: When[Any] | None = None) -> Any:
        """Register a handler for payments, such as those that another program has requested.

        Payments that a handler waits for with `ctx.pay` go to that handler only. A payment has a chat only if `ctx.pay`
        has requested it: write with `ctx.bot.send`.

        Args:
            given: Names, one of which must fit, and filters, which must all fit. The names: `succeeded`, `declined`,
                `canceled`, `expired`, `authorized`. Without a name all fit.
            when: As for `on`.
        Raises:
            BotError: as for `on`; or a name is not one of these.

        Example:
            `@bot.on_payment("succeeded")` above `async def thank(payment: PaymentSucceeded, ctx: Context) -> None: …`
        """
        return self._on_named("on_payment", _PAYMENT, given, when)

    def _on_named(
        self, decorator: str, types: Mapping[str, str], given: tuple[Any, ...], when: When[Any] | None
    ) -> Any:
        """Return the decorator, or the handler itself, that registers a route for each named event type."""
        if len(given) == 1 and is_handler(given[0]):
            return self._on_named(decorator, types, (), when)(given[0])
        names = [name for name in given if isinstance(name, str)]
        for name in names:
            check_name_of(decorator, name, types)
        filters = [predicate for predicate in given if not isinstance(predicate, str)]
        # Each name once, because a second route of the same class could never run.
        classes = [EVENT_TYPES[types[name]] for name in dict.fromkeys(names or types)]

        def register(handler: Any) -> Any:
            for event in classes:
                # In a direct chat only the background can change, which is no change of a group.
                own = [_not_direct] if event.types == ("chat.background_updated",) else []
                self.on(event, *own, *filters, when=when)(handler)
            return handler

        return register


def check_name_of(decorator: str, name: str, names: Mapping[str, str]) -> None:
    """Check a name that was given to a decorator.

    Raises:
        BotError: the decorator has no such name. The message gives the nearest one.
    """
    if name in names:
        return
    raise BotError(f"@bot.{decorator}({name!r}) could never run a handler. {suggestion(name, names)}")
