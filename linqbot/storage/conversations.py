"""Conversations: handlers that asked a person a question and wait for the answer, without a coroutine in any process.

A conversation is one row that names the handler and holds the event with which it began. Its questions, its answers and
its API calls are journal entries (`journal.py`), whose turn is the conversation's id. A summary of each row is in memory,
by chat: a message of a chat without an open question costs one look into a dict, and an answer costs one read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from linqbot.storage.journal import JournalEntry

ANYONE: Final = "*"
"""The `person` of a conversation whose question any person of the chat may answer."""

ENDED_KEPT_S: Final = 24 * 3600.0
"""Seconds for which a conversation stays on record after its question timed out, to recognise a late answer."""

FAILED_KEPT_S: Final = 30 * 24 * 3600.0
"""Seconds for which a failed conversation stays on record, so that a retry of its dead letter continues it."""

ConversationStatus: TypeAlias = Literal["waiting", "failed", "timed_out"]


class ConversationSummary(NamedTuple):
    """The columns of a conversation that decide if a delivery may concern it.

    Attributes:
        id, chat_id, person, status, until: See `Conversation`.
    """

    id: str
    chat_id: str
    person: str
    status: ConversationStatus
    until: float

    @property
    def keeps_its_place(self) -> bool:
        """True if a newer conversation with the same person in the chat does not replace this one."""
        return self.status == "failed"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A handler that waits for an answer. At most one for each chat and person, besides those that have failed.

    Attributes:
        id: The id of the delivery that began the conversation. It is the turn of the conversation's journal entries.
        replay: The replay number of that delivery: see `Lease`.
        chat_id: The chat of the question.
        person: The handle, in lower case, that must answer; ANYONE for any person of the chat.
        handler: The name of the handler.
        status: `waiting` for the answer; `failed` if the handler failed too often after an answer, so that the answer
            is a dead letter; `timed_out` if no answer came in time and the handler has ended.
        asked_at: Unix seconds at which the question was asked.
        until: Unix seconds at which the question times out.
        question: The question as JSON; see `features/asking/question.py`.
        off_the_record: True if the line of the chat keeps nothing (zero retention).
        root: The body of the delivery that began the conversation; empty in lists of conversations.
    """

    id: str
    replay: int
    chat_id: str
    person: str
    handler: str
    status: ConversationStatus
    asked_at: float
    until: float
    question: bytes
    off_the_record: bool = False
    root: bytes = field(default=b"", repr=False)

    @property
    def summary(self) -> ConversationSummary:
        """The columns that are in memory."""
        return ConversationSummary(self.id, self.chat_id, self.person, self.status, self.until)


class Conversations(Protocol):
    """The conversations on record. `Commit.conversations` and `Commit.ended` write them, in the commit of a turn."""

    def conversations_in(self, chat_id: str) -> Sequence[ConversationSummary]:
        """Return the conversations of a chat, from memory. Only for the process that serves."""
        ...

    def conversations_of(self, person: str) -> Sequence[ConversationSummary]:
        """Return the conversations in which this person must answer, from memory: see above."""
        ...

    async def conversation(self, conversation_id: str) -> tuple[Conversation, list[JournalEntry]] | None:
        """Return a conversation and all its journal entries, in one read; None if it is not on record."""
        ...

    async def waiting_by_handler(self) -> dict[str, int]:
        """Return the number of questions that wait for an answer, by the name of the handler that asked."""
        ...

    async def conversations(self, *, chat_id: str | None = None, limit: int = 100) -> list[Conversation]:
        """Return the conversations on record, of one chat or of all, without `root`, the oldest question first."""
        ...
