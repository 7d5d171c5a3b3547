"""State: small JSON values that the author of a bot keeps about a chat, a person, or the whole bot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

from linqbot.errors import StateConflict

BOT: Final = "bot"
"""The scope of the values that the whole bot shares."""


class AnyValue(Enum):
    """The type of `ANY`."""

    ANY = auto()


ANY: Final = AnyValue.ANY
"""For `StateWrite.expected`: write whatever value is stored."""


@dataclass(frozen=True, slots=True)
class StateWrite:
    """A value to write when the turn ends.

    Attributes:
        scope: `chat:<id>`, `person:<handle>` or `bot`.
        value: JSON; None deletes the value.
        expected: The value that must be stored for the write to happen (compare-and-swap); None if there must be none.
        person: For a value in the scope of a direct chat: the handle of the person in that chat, so that
            `Upkeep.forget` erases the value. None if it is not known.
    """

    scope: str
    name: str
    value: bytes | None
    expected: bytes | AnyValue | None = ANY
    person: str | None = None


@dataclass(frozen=True, slots=True)
class ChangedValue:
    """A changed value, to be stored with a call.

    Attributes:
        now: The JSON of the value.
        before: The JSON that a later run of the turn is shown up to this call; None if nothing was stored.
    """

    write: StateWrite
    now: bytes
    before: bytes | None


@dataclass(frozen=True, slots=True)
class StoredChange:
    """A value that an earlier run of the turn has stored with a call; see `ChangedValue`."""

    scope: str
    name: str
    before: bytes | None
    after: bytes | None


def conflict(writes: Iterable[StateWrite], stored: Callable[[str, str], bytes | None]) -> StateConflict | None:
    """Return an error if the value that a write expects is not the stored one; None if all values are as expected.

    Args:
        stored: Returns the value of a scope and a name; None if there is none.
    """
    for write in writes:
        if write.expected is not ANY and write.expected != stored(write.scope, write.name):
            return StateConflict(write.scope, write.name)
    return None


class StateRow(NamedTuple):
    """A stored value."""

    scope: str
    name: str
    value: bytes


class StateStore(Protocol):
    """Values by scope and name. A turn writes them with `finish`, in its one commit."""

    async def load(self, scope: str) -> dict[str, bytes]:
        """Return all values of a scope, as JSON by name.

        Raises:
            StorageUnavailable: the storage cannot be read.
        """
        ...

    async def state_rows(
        self,
        *,
        prefix: str = "",
        name: str | None = None,
        after: tuple[str, str] = ("", ""),
        limit: int = 500,
    ) -> list[StateRow]:
        """Return stored values, in the order of their scopes and names.

        Args:
            prefix: Only scopes that begin with this text, such as `person:`.
            name: Only values of this name.
            after: The scope and name after which to begin: those of the last row of the previous call.
        Raises:
            StorageUnavailable: the storage cannot be read.
        """
        ...

    async def write_state(self, writes: Sequence[StateWrite]) -> None:
        """Write values outside of a turn, for operators.

        Raises:
            StateConflict: another value than the expected one is stored; nothing was written.
            StorageUnavailable: nothing was written.
        """
        ...
