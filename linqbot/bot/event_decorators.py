"""The decorators for common events: `@bot.on_typing`, `@bot.on_delivery`, … They are methods of every Router.

Each takes the name of what happened, and filters. A handler has one route for each event class, so that the bot is
subscribed to these event types only. Next step: `router.py` registers the routes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from linqbot.bot.handlers import Decorator, Handler, Returned, is_handler
from linqbot.engine.filters import Filter, Predicate, check_filters
from linqbot.errors import BotError
from linqbot.linq.events.event import Event
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.nearest import suggestion
from linqbot.storage.journal import RECEIPTS

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

_TYPING: Mapping[str, str] = {name: f"chat.typing_indicator.{name}" for name in ("started", "stopped")}
_DELIVERY: Mapping[str, str] = {status: event_type for event_type, status in RECEIPTS.items()}
_POLL_VOTE: Mapping[str, str] = {name: f"poll.vote.{name}" for name in ("added", "removed")}
_GROUP_CHANGE: Mapping[str, str] = {
    "added": "participant.added",
    "removed": "participant.removed",
    "renamed": "chat.group_name_updated",
    "icon": "chat.group_icon_updated",
    "background": "chat.background_updated",
}
_LOCATION: Mapping[str, str] = {name: f"location.sharing.{name}" for name in ("started", "stopped")}
_PAYMENT: Mapping[str, str] = {
    name: f"payment.{name}" for name in ("succeeded", "declined", "canceled", "expired", "authorized")
}

_not_direct: Filter[Event] = Filter(lambda event: event.is_group is not False, "not in a direct chat")


class EventDecorators(ABC):
    """The decorators for common events: a base of Router."""

    @abstractmethod
    def _add(
        self, event: type[E], handler: Handler[E, Returned], *filters: Predicate[E], **how: Any
    ) -> Handler[E, Returned]:
        """Add a checked handler, with the attributes of its `Route` in `how`."""

    @overload
    def on_typing(self, handler: Handler[TypingEvent, Returned], /) -> Handler[TypingEvent, Returned]: ...

    @overload
    def on_typing(
        self, name: Literal["started"], /, *filters: Predicate[TypingStarted]
    ) -> Decorator[TypingStarted]: ...

    @overload
    def on_typing(
        self, name: Literal["stopped"], /, *filters: Predicate[TypingStopped]
    ) -> Decorator[TypingStopped]: ...

    @overload
    def on_typing(self, *filters: Predicate[TypingEvent]) -> Decorator[TypingEvent]: ...

    def on_typing(self, *given: Any) -> Any:
        """Register a handler for people who start or stop typing.

        Typing events do not wait for the messages of their chat, and a handler that is busy does not delay them.

        Args:
            given: A name, and filters, which must all fit. The names: `started`, `stopped`. Without a name all fit.
        Raises:
            BotError: as for `on`; or the name is not one of these.

        Example:
            `@bot.on_typing("started")` above `async def warm_up(typing: TypingStarted, ctx: Context) -> None: …`
        """
        return self._on_named("on_typing", _TYPING, given)

    @overload
    def on_delivery(self, handler: Handler[MessageReceipt, Returned], /) -> Handler[MessageReceipt, Returned]: ...

    @overload
    def on_delivery(self, name: Literal["sent"], /, *filters: Predicate[MessageSent]) -> Decorator[MessageSent]: ...

    @overload
    def on_delivery(
        self, name: Literal["delivered"], /, *filters: Predicate[MessageDelivered]
    ) -> Decorator[MessageDelivered]: ...

    @overload
    def on_delivery(self, name: Literal["read"], /, *filters: Predicate[MessageRead]) -> Decorator[MessageRead]: ...

    @overload
    def on_delivery(
        self, name: Literal["failed"], /, *filters: Predicate[MessageFailed]
    ) -> Decorator[MessageFailed]: ...

    @overload
    def on_delivery(self, *filters: Predicate[MessageReceipt]) -> Decorator[MessageReceipt]: ...

    def on_delivery(self, *given: Any) -> Any:
        """Register a handler for the delivery of the bot's own messages.

        Linq reports `read` in direct chats only. A message that `failed` may still be `delivered` later.

        Args:
            given: A name, and filters, which must all fit. The names: `sent`, `delivered`, `read`, `failed`. Without
                a name all fit.
        Raises:
            BotError: as for `on`; or the name is not one of these.

        Example:
            `@bot.on_delivery("failed")` above `async def note(failure: MessageFailed, ctx: Context) -> None: …`
        """
        return self._on_named("on_delivery", _DELIVERY, given)

    @overload
    def on_poll_vote(self, handler: Handler[PollVote, Returned], /) -> Handler[PollVote, Returned]: ...

    @overload
    def on_poll_vote(
        self, name: Literal["added"], /, *filters: Predicate[PollVoteAdded]
    ) -> Decorator[PollVoteAdded]: ...

    @overload
    def on_poll_vote(
        self, name: Literal["removed"], /, *filters: Predicate[PollVoteRemoved]
    ) -> Decorator[PollVoteRemoved]: ...

    @overload
    def on_poll_vote(self, *filters: Predicate[PollVote]) -> Decorator[PollVote]: ...

    def on_poll_vote(self, *given: Any) -> Any:
        """Register a handler for the votes of people in polls. For a vote with one result, `ctx.vote` is simpler.

        Args:
            given: A name, and filters, which must all fit. The names: `added`, `removed`. Without a name all fit.
        Raises:
            BotError: as for `on`; or the name is not one of these.

        Example:
            `@bot.on_poll_vote("added")` above `async def count(vote: PollVoteAdded, ctx: Context) -> None: …`
        """
        return self._on_named("on_poll_vote", _POLL_VOTE, given)

    @overload
    def on_group_change(self, handler: Handler[GroupChange, Returned], /) -> Handler[GroupChange, Returned]: ...

    @overload
    def on_group_change(
        self, name: Literal["added"], /, *filters: Predicate[ParticipantAdded]
    ) -> Decorator[ParticipantAdded]: ...

    @overload
    def on_group_change(
        self, name: Literal["removed"], /, *filters: Predicate[ParticipantRemoved]
    ) -> Decorator[ParticipantRemoved]: ...

    @overload
    def on_group_change(
        self, name: Literal["renamed"], /, *filters: Predicate[GroupNameUpdated]
    ) -> Decorator[GroupNameUpdated]: ...

    @overload
    def on_group_change(
        self, name: Literal["icon"], /, *filters: Predicate[GroupIconUpdated]
    ) -> Decorator[GroupIconUpdated]: ...

    @overload
    def on_group_change(
        self, name: Literal["background"], /, *filters: Predicate[BackgroundUpdated]
    ) -> Decorator[BackgroundUpdated]: ...

    @overload
    def on_group_change(self, *filters: Predicate[GroupChange]) -> Decorator[GroupChange]: ...

    def on_group_change(self, *given: Any) -> Any:
        """Register a handler for changes of groups: people who are added or removed, a new name, icon or background.

        A person who leaves is `removed` too. When the bot's line is added to a group, `participant.is_me` is True.

        Args:
            given: A name, and filters, which must all fit. The names: `added`, `removed`, `renamed`, `icon`,
                `background`. Without a name all fit.
        Raises:
            BotError: as for `on`; or the name is not one of these.

        Example:
            `@bot.on_group_change("added")` above `async def welcome(change: ParticipantAdded, ctx: Context) -> None: …`
        """
        return self._on_named("on_group_change", _GROUP_CHANGE, given)

    @overload
    def on_location(self, handler: Handler[LocationSharing, Returned], /) -> Handler[LocationSharing, Returned]: ...

    @overload
    def on_location(
        self, name: Literal["started"], /, *filters: Predicate[LocationSharingStarted]
    ) -> Decorator[LocationSharingStarted]: ...

    @overload
    def on_location(
        self, name: Literal["stopped"], /, *filters: Predicate[LocationSharingStopped]
    ) -> Decorator[LocationSharingStopped]: ...

    @overload
    def on_location(self, *filters: Predicate[LocationSharing]) -> Decorator[LocationSharing]: ...

    def on_location(self, *given: Any) -> Any:
        """Register a handler for people who start or stop sharing their location. To ask for it, use `ctx.location`.

        The event has no coordinates: `ctx.client.chats.location.retrieve` reads them. Linq does not always name the
        chat, and then `event.chat_id` is None.

        Args:
            given: A name, and filters, which must all fit. The names: `started`, `stopped`. Without a name all fit.
        Raises:
            BotError: as for `on`; or the name is not one of these.

        Example:
            `@bot.on_location("started")` above `async def find(sharing: LocationSharingStarted, ctx: Context) -> None: …`
        """
        return self._on_named("on_location", _LOCATION, given)

    @overload
    def on_payment(self, handler: Handler[PaymentEvent, Returned], /) -> Handler[PaymentEvent, Returned]: ...

    @overload
    def on_payment(
        self, name: Literal["succeeded"], /, *filters: Predicate[PaymentSucceeded]
    ) -> Decorator[PaymentSucceeded]: ...

    @overload
    def on_payment(
        self, name: Literal["declined"], /, *filters: Predicate[PaymentDeclined]
    ) -> Decorator[PaymentDeclined]: ...

    @overload
    def on_payment(
        self, name: Literal["canceled"], /, *filters: Predicate[PaymentCanceled]
    ) -> Decorator[PaymentCanceled]: ...

    @overload
    def on_payment(
        self, name: Literal["expired"], /, *filters: Predicate[PaymentExpired]
    ) -> Decorator[PaymentExpired]: ...

    @overload
    def on_payment(
        self, name: Literal["authorized"], /, *filters: Predicate[PaymentAuthorized]
    ) -> Decorator[PaymentAuthorized]: ...

    @overload
    def on_payment(self, *filters: Predicate[PaymentEvent]) -> Decorator[PaymentEvent]: ...

    def on_payment(self, *given: Any) -> Any:
        """Register a handler for payments, such as those that another program has requested.

        Payments that a handler waits for with `ctx.pay` go to that handler only. A payment has a chat only if `ctx.pay`
        has requested it: write with `ctx.bot.send`.

        Args:
            given: A name, and filters, which must all fit. The names: `succeeded`, `declined`, `canceled`,
                `expired`, `authorized`. Without a name all fit.
        Raises:
            BotError: as for `on`; or the name is not one of these.

        Example:
            `@bot.on_payment("succeeded")` above `async def thank(payment: PaymentSucceeded, ctx: Context) -> None: …`
        """
        return self._on_named("on_payment", _PAYMENT, given)

    def _on_named(self, decorator: str, types: Mapping[str, str], given: tuple[Any, ...]) -> Any:
        """Return the decorator, or the handler itself, that registers a route for each named event type."""
        if len(given) == 1 and is_handler(given[0]):
            return self._on_named(decorator, types, ())(given[0])
        name, filters = (given[0], given[1:]) if given and isinstance(given[0], str) else (None, given)
        if name is not None and name not in types:
            raise BotError(f"@bot.{decorator}({name!r}) could never run a handler. {suggestion(name, types)}")
        classes = [EVENT_TYPES[each] for each in (types.values() if name is None else [types[name]])]

        def register(handler: Any) -> Any:
            for event in classes:
                # In a direct chat only the background can change, which is no change of a group.
                own = [_not_direct] if event.types == ("chat.background_updated",) else []
                check_filters(filters, event)
                self._add(event, handler, *own, *filters, is_one_of_several=len(classes) > 1)
            return handler

        return register
