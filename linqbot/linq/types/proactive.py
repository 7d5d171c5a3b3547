"""A broadcast with its recipients, as `ctx.bot.broadcast` returns it, a scheduled send of `ctx.send_later`, and a handoff.

The storage keeps broadcasts and handoffs, and an answer to a scheduled send names that send.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, TypeAlias

BroadcastStatus: TypeAlias = Literal["running", "paused", "cancelled", "done"]

Purpose: TypeAlias = Literal["reply", "requested", "promotional"]
"""Why a message is sent: in answer to an event, because the person asked for it before, or because the bot wants to."""

RecipientOutcome: TypeAlias = Literal["pending", "under_way", "sent", "opted_out", "refused", "failed", "cancelled"]
"""`pending` until the person's turn comes, `under_way` while it is sent. The others are final."""

HandoffEnd: TypeAlias = Literal["owner", "time", "not_taken", "unreachable", "unmuted"]
"""The owner gave the chat back; wrote nothing more for long enough; wrote nothing at all in time; could not be written to; the
bot's code called `unmute`."""


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A broadcast, with the number of people for each outcome.

    Attributes:
        name: Identifies the broadcast. Its recipients and its content do not change.
        status: `running`; `paused` by an operator; `cancelled` by an operator; `done` when each person has an outcome.
        line: Your line that it is sent from, E.164.
        per_minute: The number of people that it is sent to in a minute, at most.
        created_at: In UTC.
        people: The number of all people.
        sent: Linq accepted all its messages to these people.
        opted_out: These people have opted out of messages.
        refused: Linq or a plugin refused a message to these people, so they got none, or not all.
        failed: Given up after errors. Each is a dead letter, which `linqbot waiting retry` sends again.
        cancelled: Not reached when the broadcast was cancelled.
        pending: Not reached yet, or being sent now.
    """

    name: str
    status: BroadcastStatus
    line: str
    per_minute: float
    created_at: datetime
    people: int = 0
    sent: int = 0
    opted_out: int = 0
    refused: int = 0
    failed: int = 0
    cancelled: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Recipient:
    """A person that a broadcast goes to.

    Attributes:
        n: The position in the broadcast, from 1.
        reason: The reason for `refused` and `failed`, and for a wait; None for other outcomes.
        at: The time of the outcome, in UTC; while it is `pending`, the time until which it waits, or None.
    """

    n: int
    handle: str
    outcome: RecipientOutcome
    reason: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A scheduled send.

    Attributes:
        id: The id that `ctx.cancel` takes.
        due: The time at which it is sent, in UTC; of a recurring send, the next such time. In `message.answers`, the
            time at which the answered message was due.
        tag: The tag that `send_later` was given; None if it was given none.
        every: The rhythm of a recurring send; None if it is sent once.
    """

    id: str
    due: datetime
    tag: str | None = None
    every: str | None = None


OWNERS_WORDS: Final = "linqbot owner's words"
"""The label of the calls that write to a person what the owner of a handoff has written. `ctx.history` knows these messages by it."""


@dataclass(frozen=True, slots=True)
class ChatHandoff:
    """A direct chat in which a person of yours, its owner, answers by way of the bot. Its repr shows no handles and names.

    Attributes:
        id: Identifies the handoff.
        chat_id: The chat that is handed over.
        person: The handle of the person in it.
        owner: The handle of the person who answers.
        line: Your line in both chats.
        name: The name of the person, as the owner reads it.
        owner_name: The name of the owner, as the person reads it; None shows none.
        language: The code of the language in which linqbot speaks to both; None is English.
        back_after_s: The seconds without a message of the owner after which the bot answers again.
        taken: True once the owner has written.
        ended: How it has ended; None while it lasts, and when its time is over.
        over_at: Unix seconds at which a mute by an operator has ended it; None if none has.
        since: When Linq took the first message about it to the owner, by Linq's clock, in Unix seconds. None until that is known.
    """

    id: str
    chat_id: str
    person: str = field(repr=False)
    owner: str = field(repr=False)
    line: str = field(repr=False)
    name: str = field(repr=False)
    owner_name: str | None = field(repr=False)
    language: str | None
    back_after_s: float
    taken: bool = False
    ended: HandoffEnd | None = None
    over_at: float | None = None
    since: float | None = None
