"""Choose the turns to run again: handled deliveries, and for an answer the conversation that it belongs to.

The answer to a question is no turn of its own: it is in the record of the turn that asked. So that turn runs from its
first delivery on, even if this delivery is older than those that were asked for. New code needs the questions that were
open when an old delivery came, to decide what the delivery meant. They come from the journal entry of each question,
which has its conversation and the two deliveries that began and ended its wait, and not from what the storage has now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from linqbot.features.asking.admission import ORDER_PREFIX
from linqbot.features.asking.question import OpenQuestion
from linqbot.features.asking.records import AskRecord, is_wait, prompts_of, record_of
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import lane_of_chat
from linqbot.linq.events.parse import understood
from linqbot.ops.dry_runs.recorded_turn import Failed, RecordedTurn, turn_on_record
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ANYONE, ENDED_KEPT_S, Conversation
from linqbot.storage.journal import JournalEntry
from linqbot.storage.upkeep import Selection


@dataclass(frozen=True, slots=True)
class OpenThen:
    conversation: Conversation  # the conversation as the storage had it while the question was open
    # The times, in Unix seconds, at which two deliveries were received: the one whose turn asked the
    # question, and the one that ended it.
    since: float
    ended_at: float
    has_timed_out: bool  # True if the conversation ended without an answer, so that the next message was a late one

    def is_open_for(self, delivery: Delivery) -> bool:
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
    failed: Mapping[str, Failed],
    storage: Storage,
) -> OpenThen | None:
    """Return the conversation of a question while it was open; None if it is not on record.

    Args:
        entry, record: The question.
        entries: All entries of its turn.
        failed: The conversations that failed, by their ids.
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
    failure = failed.get(entry.turn)
    if failure and failure.n == record.n and (dead := await storage.dead_letter(failure.answer)) is not None:
        ended_at = dead.delivery.received_at
    is_last = not any(record_of(each).n > record.n for each in entries if each.safety == "ask")
    has_timed_out = outcome.get("outcome") == "timed_out" and is_last and not is_wait(conversation.person)
    return OpenThen(conversation, opened["since"], ended_at, has_timed_out)


def _person_of(delivery: Delivery) -> str:
    event = understood(delivery)
    return "" if event is None else (event.actor or "").casefold()


LOOK_BACK_S: Final = 7 * 86_400.0
"""Seconds before the oldest chosen delivery in which a conversation may have begun that one of them continues."""

_MOST_CONVERSATIONS: Final = 10_000


@dataclass(frozen=True, slots=True)
class ChosenTurns:
    ids: Sequence[str]  # the ids of their deliveries, in the order in which these were accepted
    answers: int  # the number of chosen deliveries that are part of the turn of an earlier one
    dead_answers: frozenset[str]  # the ids of the dead letters after which a conversation failed
    _storage: Storage
    _open: dict[str, list[OpenThen]]
    _failed: Mapping[str, Failed]
    _late: dict[str, str] = field(default_factory=dict)
    """The first message after a question had timed out, by the id of its conversation."""

    async def read(self, delivery: Delivery) -> RecordedTurn:
        return await turn_on_record(
            self._storage, delivery, self.conversations_at(delivery), self._failed.get(delivery.id)
        )

    def conversations_at(self, delivery: Delivery) -> list[Conversation]:
        """Return the conversations that a delivery may have concerned: open ones, and one for which it came too late."""
        found = []
        for each in sorted(self._open.get(delivery.lane, ()), key=lambda each: each.since):
            if each.is_open_for(delivery):
                found.append(each.conversation)
            elif each.is_late(delivery) and self._late.setdefault(each.conversation.id, delivery.id) == delivery.id:
                found.append(replace(each.conversation, status="timed_out"))
        return found


async def chosen_turns(
    storage: Storage, selection: Selection, *, limit: int | None = None, looked: Callable[[int, int], None]
) -> ChosenTurns:
    """Choose the turns of handled deliveries, of dead letters too.

    Args:
        limit: Only the newest deliveries, at most this many; None takes all.
        looked: Called with the number of deliveries that were looked at, and of all.
    """
    ids = await storage.replayable(selection)
    meant = ids[-limit:] if limit else ids
    earlier = await _earlier(storage, selection, meant)
    wanted = dict.fromkeys(meant)
    failed = await _failed(storage)
    dead_answers = frozenset(each.answer for each in failed.values())
    answered: dict[str, str] = {}
    lanes: dict[str, list[OpenThen]] = {}
    everything = [*earlier, *meant]
    for number, delivery_id in enumerate(everything, 1):
        entries = await storage.entries(delivery_id)
        asks = [entry for entry in entries if entry.safety == "ask"]
        for entry in asks:
            record = record_of(entry)
            answered |= dict.fromkeys(_answered_by(record), delivery_id)
            if (then := await open_then(entry, record, entries, failed, storage)) is not None:
                lanes.setdefault(lane_of_chat(then.conversation.chat_id), []).append(then)
        if delivery_id in failed:
            answered[failed[delivery_id].answer] = delivery_id
        looked(number, len(everything))
    orders = {each for each in meant if each.startswith(ORDER_PREFIX)} - dead_answers
    parts = orders | {each for each in meant if each in answered}
    roots = {answered[each] for each in parts if each in answered and answered[each] not in wanted}
    kept = [each for each in earlier if each in roots] + [each for each in meant if each not in parts]
    return ChosenTurns(kept, len(parts), dead_answers, storage, lanes, failed)


async def _failed(storage: Storage) -> dict[str, Failed]:
    found = {}
    for conversation in await storage.conversations(limit=_MOST_CONVERSATIONS):
        question = OpenQuestion.model_validate_json(conversation.question)
        if conversation.status == "failed" and question.failed_by is not None:
            found[conversation.id] = Failed(question.n, question.failed_by)
    return found


async def _earlier(storage: Storage, selection: Selection, meant: Sequence[str]) -> list[str]:
    """Return the ids of the deliveries among which the conversations of the chosen ones may have begun."""
    oldest = None
    async for page in storage.pages(meant[:1]):
        oldest = page[0] if page else None
    if oldest is None:
        return []
    before = selection._replace(ids=None, type=None, since=oldest.received_at - LOOK_BACK_S)
    until = oldest.received_at + (0.0 if selection.ids is None and selection.type is None else LOOK_BACK_S)
    if selection.ids is not None and selection.lane is None:
        before = before._replace(lane=oldest.lane)
    found = await storage.replayable(before._replace(until=until))
    known = set(meant)
    return [each for each in found if each not in known]


def _answered_by(record: AskRecord) -> list[str]:
    """Return the ids of the deliveries that ended a question.

    An event that came from outside of the chat has two: its own delivery, and the order that was made of it.
    """
    outcome = record.outcome or {}
    found = [outcome["by"]] if "by" in outcome else []
    body = outcome.get("body")
    if isinstance(body, dict):
        found.append(Delivery.from_webhook(b"", webhook_id=str(body.get("event_id") or ""), received_at=0.0).id)
    return found
