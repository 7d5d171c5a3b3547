"""`ctx.state`: typed values that a bot keeps about a person, about a chat, or about everything.

A handler asks for a value by a pydantic model and changes its fields. The worker stores the changed values in the commit
that acks the turn (`worker/turn.py`), each only if the stored value is still the one that the turn has read. Otherwise
the turn runs again with the new value. Next step: `turn_state.py` reads the values and notes what has changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel

from linqbot.bot.conversation.state_json import checked_name, read
from linqbot.errors import BotError
from linqbot.events.event import Event
from linqbot.storage.state import StateStore
from linqbot.types.chat import Chat
from linqbot.types.handle import Handle

M = TypeVar("M", bound=BaseModel)

BOT: Final = "bot"
PERSON: Final = "person:"
CHAT: Final = "chat:"
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Tally(Generic[M]):
    """A number about the person of an event that a step of `ctx.once` changes, such as what the step has cost.

    It is stored in the commit that records the step's result: once for each result, whatever becomes of the turn. Other
    state is stored only if the turn succeeds. Example: `await ctx.once("price", ask, kind=int, tally=Tally(Spent, add))`

    Args:
        model: A pydantic model whose fields all have defaults.
        add: Gets the value, which it changes, and the result of the step as `once` returns it. It is called again if
            another turn has changed the value meanwhile.
        name: The name under which the value is stored; None is the model's qualified name.
    """

    model: type[M]
    add: Callable[[M, Any], object]
    name: str | None = None


class State(ABC):
    """The values that a handler may read and change. Each is one object per turn, so all code of a turn shares it.

    A model is a pydantic model whose fields all have defaults. A value is stored under the model's qualified name, such
    as `Guest`, or under `name`. Only values that were changed are stored, and only if the turn succeeds.

    Args:
        event: The event of the turn.
        store: The store to read from. `ctx.state` is made with that of the bot.
    """

    def __init__(self, event: Event, store: StateStore) -> None:
        self._event = event
        self._store = store

    async def person(self, model: type[M], *, name: str | None = None) -> M:
        """Return the value about the person who caused the event: in a group, the sender.

        Args:
            model: A pydantic model whose fields all have defaults.
            name: The name under which the value is stored; None is the model's qualified name.
        Raises:
            BotError: the event names no person, a field of the model has no default, or the turn has ended.
            StateUnreadable: the model cannot read what is stored.
            StorageUnavailable: the storage cannot be read; the turn runs again later.
        """
        return await self._get(person_scope(self._event), model, name)

    async def chat(self, model: type[M], *, name: str | None = None) -> M:
        """Return the value about the event's chat.

        Args:
            model: A pydantic model whose fields all have defaults.
            name: The name under which the value is stored; None is the model's qualified name.
        Raises:
            BotError: the event belongs to no chat, a field of the model has no default, or the turn has ended.
            StateUnreadable: the model cannot read what is stored.
            StorageUnavailable: the storage cannot be read; the turn runs again later.
        """
        if self._event.chat_id is None:
            raise BotError(f"{self._event.type} belongs to no chat, so it has no state of a chat. Use ctx.state.bot.")
        return await self._get(CHAT + self._event.chat_id, model, name)

    async def bot(self, model: type[M], *, name: str | None = None) -> M:
        """Return a value that all chats share.

        Turns that change it at the same time run again, one after the other. Read it shortly before you change it.

        Args:
            model: A pydantic model whose fields all have defaults.
            name: The name under which the value is stored; None is the model's qualified name.
        Raises:
            BotError: a field of the model has no default, or the turn has ended.
            StateUnreadable: the model cannot read what is stored.
            StorageUnavailable: the storage cannot be read; the turn runs again later.
        """
        return await self._get(BOT, model, name)

    async def people(
        self, model: type[M], *, name: str | None = None, where: Callable[[M], bool] | None = None
    ) -> AsyncIterator[str]:
        """Yield the handles of the people about whom a value is stored, in the order of the handles.

        Changes of this turn are not stored yet, so they are not seen.

        Example: `async for handle in ctx.state.people(Guest, where=lambda guest: guest.visits > 3):`

        Args:
            model: As for `person`.
            name: As for `person`.
            where: Gets the value of each person, and returns True for the people to yield; None yields all.
        Raises:
            BotError: a field of the model has no default.
            StateUnreadable: the model cannot read what is stored about one of them.
            StorageUnavailable: the storage cannot be read.
        """
        name = checked_name(model, name)
        after = ("", "")
        while rows := await self._store.state_rows(prefix=PERSON, name=name, after=after, limit=_PAGE):
            for row in rows:
                if where is None or where(read(model, name, row.value)):
                    yield row.scope.removeprefix(PERSON)
            after = rows[-1].scope, rows[-1].name

    @abstractmethod
    async def _get(self, scope: str, model: type[M], name: str | None) -> M: ...


def person_of(event: Event) -> str | None:
    """Return the handle of the person who caused an event, or else of the other side of a direct chat; None if unknown."""
    if event.actor and not event.is_own:
        return event.actor
    chat = getattr(event, "chat", None)
    if event.is_group is False and isinstance(chat, Chat):
        others: Iterable[Handle] = (handle for handle in chat.handles if not handle.is_me and handle.handle)
        return next((other.handle for other in others), None)
    return None


def person_scope(event: Event) -> str:
    """Return the scope of the values about the person of an event.

    Raises:
        BotError: the event names no person.
    """
    handle = person_of(event)
    if handle is None:
        raise BotError(
            f"{event.type} names no person, so it has no state of a person. Use ctx.state.chat or ctx.state.bot."
        )
    # Addresses of one person may be written in several cases.
    return PERSON + handle.casefold()
