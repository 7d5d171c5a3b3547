"""The values that one feature keeps in the data of a turn, and that others look at. The module imports no feature."""

from __future__ import annotations

from dataclasses import dataclass

from linqbot.linq.types.proactive import Purpose


@dataclass(slots=True)
class OptedOut:
    """The chat whose person opts out by the event of the turn: see `optout.py`."""

    chat_id: str = ""


@dataclass(slots=True)
class Overtaken:
    """Says that the message of the turn was written before a STOP or START that came first, which counts."""


@dataclass(slots=True)
class QuestionReached:
    """Says that the run of the turn has come to a question."""


@dataclass(slots=True)
class HandedOver:
    """Says that the handler has begun a handoff. The end of the handoff asks the open question again."""


@dataclass(slots=True)
class TurnMute:
    """The meaning of mutes for the turn: see `mute.py`.

    Attributes:
        is_muted: True if a person answers the event, or gets it by a handoff. Then open questions wait.
        is_passed: True makes calls also in muted chats: they are those of the person who answers there.
        answers_keyword: True makes calls also where the bot is muted, by an operator too: they answer HELP or START.
    """

    is_muted: bool = False
    is_passed: bool = False
    answers_keyword: bool = False


@dataclass(slots=True)
class SentFor:
    """Why the turn sends, if its delivery does not say it.

    Attributes:
        purpose: The purpose that is on record.
        turn: The turn whose call has waited until now; None if the turn makes its own calls.
        line: The line that the last call to a handle has named.
    """

    purpose: Purpose | None = None
    turn: str | None = None
    line: str | None = None
