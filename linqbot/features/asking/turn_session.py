"""The session of a turn, which is made and imported when it is first used: few turns have questions or steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linqbot.engine.parts import Part, Turn

if TYPE_CHECKING:
    from linqbot.features.asking.session import AskSession


class TurnSession:
    """Makes the session of a turn.

    It does not refer to the turn or to its context, so it makes no reference cycle.

    Args:
        ends: See `Turn`; the session adds its own end.
    Attributes:
        session: The session; None as long as nothing has used it.
    """

    __slots__ = ("_ends", "_made_of", "session")

    def __init__(self, ends: list[Any], *made_of: Any) -> None:
        self._ends = ends
        self._made_of = made_of
        self.session: AskSession | None = None

    def __call__(self) -> AskSession:
        """Return the session."""
        if self.session is None:
            from linqbot.features.asking.session import AskSession

            self.session = AskSession(*self._made_of)
            self._ends.append(self.session.end)
        return self.session


class Sessions(Part):
    """Gives each turn the means to make the session of its questions and steps."""

    async def begin(self, turn: Turn) -> None:
        turns = self._turns
        turn.asking = TurnSession(
            turn.ends, turn.journal, turns.storage, turns.dispatcher, turns.clock, turn.lease, turn.opening
        )
        if turn.opening.arrival is not None:
            turn.asking()
