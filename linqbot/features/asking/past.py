"""The past of a conversation: the questions that earlier runs of its handler asked, and what these runs did and saw.

The conversation stores the body of the event that began it. What was looked up for the event is not in its body, so
each question stores that too, and the handler sees the same event in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from linqbot.engine.parts import Opening
from linqbot.features.asking.answers import Seen, joined
from linqbot.features.asking.question import AskedBefore, LookedUp, OpenQuestion, Question
from linqbot.features.asking.records import AskRecord, by_part, part_name, prompts_of, record_of
from linqbot.features.lookups import KnownChat, with_chat
from linqbot.linq.events.delivery import Delivery, decode
from linqbot.linq.events.event import Event
from linqbot.linq.events.lane import lane_of_chat
from linqbot.linq.events.message import MessageReceived, ReactionEvent
from linqbot.linq.events.parse import parse
from linqbot.storage.conversations import Conversation
from linqbot.storage.journal import JournalEntry


class Past:
    """The past of the conversation that a turn continues. It is empty if the handler begins with this turn.

    Attributes:
        records: The questions that were asked, in order.
        live: The question that the event of this turn answers or ends; None if there is none.
    """

    def __init__(self, opening: Opening) -> None:
        self.records: list[AskRecord] = []
        self.live: AskRecord | None = None
        self._known = opening.known
        # The journal entries of the records, by their number.
        self._entries: dict[int, JournalEntry] = {}
        # The entries of calls, by the name of their part; and what the parts have seen, by their number.
        self._parts: dict[str, list[JournalEntry]] = {}
        self._seen: dict[int, Seen] = {}
        if opening.conversation is None:
            return
        assert opening.arrival is not None
        question = opening.arrival.question
        assert question is not None
        for entry in opening.known:
            if entry.safety == "ask":
                record = record_of(entry)
                self.records.append(record)
                self._entries[record.n] = entry
                if record.n == question.n:
                    self.live = record
                    record.outcome = opening.arrival.outcome
        self._parts = by_part(opening.known)
        self._seen = {record.part: record.seen for record in self.records}

    @property
    def has_unused_answer(self) -> bool:
        """True if there is an answer that the handler has not come to in this run."""
        return any(each.outcome and not (each.is_used or each.is_void) for each in self.records)

    def match(self, question: Question, number: int, code: str) -> AskRecord | None:
        """Return the record of a question that an earlier run asked, by its number in this run; None if no run did."""
        left = [record for record in self.records if record.may_answer(question) and not record.is_void]
        if question.key is not None:
            return next((record for record in left if record.key == question.key), None)
        digest = question.digest
        left = [record for record in left if record.key is None]
        if same := next((record for record in left if record.digest == digest), None):
            return same
        # The words may differ from run to run. As long as the code is the same, the number decides.
        return next((record for record in left if record.number == number and record.code == code), None)

    def calls_of(self, part: int) -> Sequence[JournalEntry]:
        """Return the journal entries of the calls of a part, without those that ask questions."""
        return self._parts.get(part_name(part), ())

    def calls_since(self, part: int, asked: AskRecord) -> list[JournalEntry]:
        """Return the entries of the calls of a part, and of those that asked the question after it."""
        return [*self.calls_of(part), *prompts_of(asked.n, self._known)]

    def seen_in(self, part: int) -> Seen:
        """Return what an earlier run saw in a part."""
        return self._seen.get(part, Seen())

    def replaced_from(self, part: int) -> Seen | None:
        """Return what the runs saw and left whose place this run takes from a part on.

        It takes the place of the part's own run, and of those of later parts if their questions are gone as well. None if
        these parts do not lead to the open question.
        """
        if self.live is None:
            return None
        runs = [self.live]
        while runs[0].part != part:
            before = next((record for record in self.records if record.n == runs[0].part), None)
            if before is None:
                return None
            runs.insert(0, before)
        return joined([record.seen for record in runs])

    def entry_of(self, record: AskRecord) -> JournalEntry | None:
        """Return the journal entry of a record; None if this run has asked the question."""
        return self._entries.get(record.n)


def looked_up(root: Event, after_ask: AskedBefore | None) -> dict[str, Any]:
    """Return the fields of an `OpenQuestion` that say what was looked up for the event that began the conversation."""
    if isinstance(root, MessageReceived):
        burst = (LookedUp(replies_to_me=each.replies_to_me, answers=each.answers) for each in root.burst)
        found = {"replies_to_me": root.replies_to_me, "answers": root.answers, "burst": tuple(burst)}
        return {**found, "after_ask": after_ask}
    answers = root.answers if isinstance(root, ReactionEvent) else None
    return {"answers": answers, "is_group": root.is_group, "line": root.line, "after_ask": after_ask}


def root_of(conversation: Conversation, question: OpenQuestion) -> Event:
    """Return the event that began a conversation, with what was looked up for it then."""
    body = decode(conversation.root)
    kind = body.get("event_type") if isinstance(body, dict) else ""
    lane = lane_of_chat(conversation.chat_id)
    event = parse(Delivery(conversation.id, lane, str(kind or ""), conversation.root, 0.0, decoded=body))
    if isinstance(event, MessageReceived):
        burst = (_with(each, found) for each, found in zip(event.burst, question.burst, strict=False))
        return _with(event, question).model_copy(update={"burst": tuple(burst)} if question.burst else {})
    if isinstance(event, ReactionEvent) and question.answers is not None:
        event = event.model_copy(update={"answers": question.answers})
    return with_chat(event, KnownChat(question.is_group, question.line))


def _with(message: Event, found: OpenQuestion | LookedUp) -> Event:
    return message.model_copy(update={"replies_to_me": found.replies_to_me, "answers": found.answers})
