"""Conversations: handlers that asked a person a question and wait for the answer, without a coroutine in any process.

A conversation is one row that names the handler and holds the event with which it began. Its questions, its answers and
its API calls are journal entries (`journal.py`), whose turn is the conversation's id. A summary of each row is in memory,
by chat: a message of a chat without an open question costs one look into a dict, and an answer costs one read.
`Commit.conversations` and `Commit.ended` write the rows, in the commit of a turn. Next step: `conversation_table.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from linqbot.options import DAY_S

ANYONE: Final = "*"
"""The `person` of a conversation whose question any person of the chat may answer."""

ENDED_KEPT_S: Final = DAY_S
"""Seconds for which a conversation stays on record after its question timed out, to recognise a late answer."""

FAILED_KEPT_S: Final = 30 * DAY_S
"""Seconds for which a failed conversation stays on record, so that a retry of its dead letter continues it."""

NEW_CHAT: Final = "i.new_chat"
"""The `chat_id` of a row that says that a turn opens the direct chat with a person, which has no id yet: `features/new_chats.py`."""

ConversationStatus: TypeAlias = Literal["waiting", "failed", "timed_out", "queued", "opening"]


class ConversationSummary(NamedTuple):
    """The columns of a conversation that decide if a delivery may concern it."""

    id: str
    chat_id: str
    person: str
    status: ConversationStatus
    until: float


@dataclass(frozen=True, slots=True)
class Conversation:
    """A handler that waits for an answer. At most one for each chat and person, besides those that have failed.

    Attributes:
        id: The id of the delivery that began the conversation. It is the turn of the conversation's journal entries.
        replay: The replay number of that delivery: see `Lease`.
        chat_id: The chat of the question.
        person: The handle, in lower case, that must answer; ANYONE for any person of the chat.
        handler: The name of the handler.
        status: `waiting` for the answer; `queued` if its question will be shown once the person's other one is over; `failed` if the handler failed too often after an answer, so that the answer
            is a dead letter; `timed_out` if no answer came in time and the handler has ended; `opening` for the row of a turn
            that opens a chat, in which no question is open yet.
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
        return ConversationSummary(self.id, self.chat_id, self.person, self.status, self.until)
