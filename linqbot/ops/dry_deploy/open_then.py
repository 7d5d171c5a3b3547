"""The questions that were open when an old delivery came, by which new code decides what the delivery meant.

The journal entry of a question has its conversation as it was when the question was asked. It also says which two
deliveries began and ended its wait. What the storage has now does not matter: the conversation may be long over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from linqbot.bot.asking.question import OpenQuestion
from linqbot.bot.context import Context
from linqbot.events.delivery import Delivery
from linqbot.events.parse import EventNotUnderstood, parse
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ANYONE, ENDED_KEPT_S, Conversation
from linqbot.storage.journal import JournalEntry
from linqbot.worker.asking.prompts import send_again
from linqbot.worker.asking.records import AskRecord, is_wait, prompts_of, record_of


@dataclass(frozen=True, slots=True)
class OpenThen:
    """A conversation that waited for an answer for a while.

    Attributes:
        conversation: The conversation as the storage had it while the question was open.
        since, ended_at: The times, in Unix seconds, at which two deliveries were received: the one whose turn asked the
            question, and the one that ended it.
        has_timed_out: True if the conversation ended without an answer, so that the next message was a late one.
    """

    conversation: Conversation
    since: float
    ended_at: float
    has_timed_out: bool

    def is_open_for(self, delivery: Delivery) -> bool:
        """Return True if the question was open when a delivery of the chat was handled."""
        return self.conversation.id != delivery.id and self.since < delivery.received_at <= self.ended_at

    def is_late(self, delivery: Delivery) -> bool:
        """Return True if a delivery is a message of the asked person that came after the question had timed out."""
        forgotten_at = self.conversation.until + ENDED_KEPT_S
        if not (self.has_timed_out and self.ended_at < delivery.received_at <= forgotten_at):
            return False
        if delivery.type != "message.received":
            return False
        return self.conversation.person in (_person_of(delivery), ANYONE)


async def open_then(
    entry: JournalEntry,
    record: AskRecord,
    entries: Sequence[JournalEntry],
    failed: dict[str, tuple[int, str]],
    storage: Storage,
) -> OpenThen | None:
    """Return the conversation of a question while it was open; None if it is not on record.

    Args:
        entry, record: The question.
        entries: All entries of its turn.
        failed: The conversations that failed after an answer: the number of the question, and the id of the dead answer.
    Raises:
        StorageUnavailable: the storage cannot be read.
    """
    opened, outcome = record.opened, record.outcome or {}
    if opened is None:
        return None
    # The reasons why answers were not taken belong to the question: a tapback on one of them is an answer as well.
    messages = [each.message_id for each in prompts_of(record.n, entries) if each.message_id]
    asked = OpenQuestion.model_validate(opened["question"])
    question = asked.model_copy(update={"messages": (*asked.messages, *messages)})
    conversation = Conversation(
        entry.turn,
        entry.replay,
        opened["chat_id"],
        opened["person"],
        opened["handler"],
        "waiting",
        entry.first_at,
        opened["until"],
        question.to_json(),
    )
    ended_at = outcome.get("at", opened["until"])
    n, answer = failed.get(entry.turn, (0, ""))
    if n == record.n and (dead := await storage.dead_letter(answer)) is not None:
        ended_at = dead.delivery.received_at
    is_last = not any(record_of(each).n > record.n for each in entries if each.safety == "ask")
    has_timed_out = outcome.get("outcome") == "timed_out" and is_last and not is_wait(conversation.person)
    return OpenThen(conversation, opened["since"], ended_at, has_timed_out)


class KeptOpen:
    """A question that another turn has asked, and that stays open during a run. It implements `SideTurn`."""

    def __init__(self, question: OpenQuestion) -> None:
        self._question = question

    @property
    def takes_any_handler(self) -> bool:
        """See `SideTurn.takes_any_handler`."""
        return self._question.side_questions

    async def ask_again(self, ctx: Context) -> None:
        """Send the question again, as it was worded then."""
        if self._question.repeat:
            await send_again(self._question, ctx)


class ConversationsThen:
    """The conversations of a chat that were open when a delivery came. It implements `ConversationReader`."""

    def __init__(self, conversations: Sequence[Conversation], storage: Storage) -> None:
        self._conversations = {each.id: each for each in conversations}
        self.entry_of = storage.entry_of

    async def conversation(self, conversation_id: str) -> tuple[Conversation, list[JournalEntry]] | None:
        """Return a conversation. Its entries are left out: only a run that continues it needs them."""
        found = self._conversations.get(conversation_id)
        return None if found is None else (found, [])


def _person_of(delivery: Delivery) -> str:
    try:
        return (parse(delivery).actor or "").casefold()
    except EventNotUnderstood:
        return ""
