"""The turns on record: the delivery of each, its calls in the form in which two turns are compared, its end; and which of them
to run again.

Of an acked turn, the storage has the body and the texts only while history is on. It never has the name of the handler,
the state before the turn, or Linq's answer to a read. A compared call has an endpoint, a digest, and its text if that
is kept. Next step: `dry_deploy.py` compares the turn with the run of new code.

The answer to a question is no turn of its own: it is in the record of the turn that asked. So that turn runs from its
first delivery on, even if this delivery is older than those that were asked for. New code needs the questions that were
open when an old delivery came, to decide what the delivery meant. They come from the journal entry of each question,
which has its conversation and the two deliveries that began and ended its wait, and not from what the storage has now.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from linqbot.client.call import Call
from linqbot.engine.call_lookup import content_of, stop_of
from linqbot.engine.prompts import prompts_of
from linqbot.engine.slots import OUTSIDE_FIRST, digest, is_outside_of_answer, stream_of, timer_slot
from linqbot.engine.steps import steps_on_record
from linqbot.engine.turn_journal import journal_key
from linqbot.engine.waits import WaitRecord, part_name, record_of, records_of
from linqbot.errors import Muted
from linqbot.features.asking.admission import ENDING_ID
from linqbot.features.asking.elsewhere import brought
from linqbot.features.asking.judge import Answer, CountedVote, Ends, judge
from linqbot.features.asking.question import OpenQuestion, QuestionEnd
from linqbot.features.asking.records import (
    Asked,
    asks_again,
    ending_of,
    explains_refusal,
    is_wait,
)
from linqbot.features.asking.shown import WHYS
from linqbot.features.handoff import HANDOFF_KIND, RELAY_STEP
from linqbot.features.later import StoredSend
from linqbot.features.mute import MUTED_STEP
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import chat_of_lane, lane_of_chat
from linqbot.linq.events.parse import parse, understood
from linqbot.linq.handles import person_key
from linqbot.linq.types.message import MessageContent, Part, TextPart
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import ANYONE, ENDED_KEPT_S, Conversation
from linqbot.storage.inbox import DeadDelivery
from linqbot.storage.journal import RECORDED, JournalEntry
from linqbot.storage.upkeep import Selection

_SEND = "chats.messages.send"


@dataclass(frozen=True, slots=True)
class ComparedCall:
    name: str  # the endpoint, such as `chats.messages.send`
    digest: str | None  # equal for calls of equal content; None if neither the content nor a digest of it is kept
    shown: str | None = field(default=None, repr=False)  # the content for an operator; None if it is not kept
    stream: str | None = None  # the slot of the stream that the call belongs to; None if it belongs to none
    is_later: bool = False  # True for a call that `ctx.send_later` keeps for a later time

    def is_like(self, other: ComparedCall) -> bool:
        """Return True if both do the same, as far as that is known."""
        if (self.name, self.is_later) != (other.name, other.is_later):
            return False
        return None in (self.digest, other.digest) or self.digest == other.digest


def of_later(call: Call) -> ComparedCall:
    """Return a call that `ctx.send_later` keeps."""
    return ComparedCall(call.name, digest(call), _shown(call), is_later=True)


def of_entry(entry: JournalEntry) -> ComparedCall:
    call = Call.from_json(entry.call)
    has_content = call.body is not None or b'"body":' in entry.call
    if not has_content:
        return ComparedCall(call.name, entry.digest, None, stream_of(entry.slot))
    return ComparedCall(call.name, entry.digest or digest(call), _shown(call), stream_of(entry.slot))


def _is_call(entry: JournalEntry) -> bool:
    return (
        entry.safety not in RECORDED
        and not isinstance(stop_of(entry, ""), Muted)
        and not is_outside_of_answer(entry.slot)
    )


def compared(entries: Iterable[JournalEntry]) -> Iterator[ComparedCall]:
    """Yield what the entries of a turn have said: its calls, and the questions that others brought to people in their own chats."""
    for entry in entries:
        if entry.safety == "ask":
            yield from _brought(record_of(entry))
        elif _is_call(entry):
            yield of_entry(entry)


def _brought(record: WaitRecord) -> Iterator[ComparedCall]:
    """Yield what a question shows to people in their own chats, and what the chat of its handler reads meanwhile."""
    if record.opened is None:
        return
    for errand in brought(OpenQuestion.model_validate(record.opened["question"])):
        yield _of_errand([errand.to, errand.prompt], errand.prompt, f"[to {errand.to}]")
        if errand.meanwhile:
            yield _of_errand(errand.meanwhile, errand.meanwhile, "[meanwhile]")


def _of_errand(content: object, messages: Sequence[dict[str, Any]], place: str) -> ComparedCall:
    parts = [part for message in messages for part in MessageContent.model_validate(message).parts or ()]
    same = hashlib.blake2b(to_json(content), digest_size=8).hexdigest()
    return ComparedCall("ctx.ask", same, "\n".join([*map(_part, parts), place]))


def joined_streams(calls: Iterable[ComparedCall]) -> tuple[ComparedCall, ...]:
    """Return the calls with the messages of each stream as one.

    A stream is cut into messages by the pace at which its text came, which a dry run does not know.
    """
    found: list[ComparedCall] = []
    for call in calls:
        last = found[-1] if found else None
        if last is None or call.stream is None or call.stream != last.stream or None in (call.shown, last.shown):
            found.append(call)
            continue
        shown = f"{last.shown}\n{call.shown}"
        found[-1] = ComparedCall(call.name, None, shown, call.stream)
    return tuple(_of_stream(call) if call.stream and call.shown is not None else call for call in found)


def _of_stream(call: ComparedCall) -> ComparedCall:
    words = "".join((call.shown or "").split())
    return ComparedCall(call.name, hashlib.blake2b(words.encode(), digest_size=8).hexdigest(), call.shown, call.stream)


def _shown(call: Call) -> str:
    """Return what a call says: the texts of a message, and anything else in brackets."""
    body = call.body or {}
    if (parts := content_of(call)) is None:
        return to_json(_without_keys(body)).decode() if body else call.path.rpartition("/")[2]
    message: dict[str, Any] = body.get("message") or {}
    lines = [_part(part) for part in parts]
    lines += [
        f"[{name}: {' '.join(map(str, message[name].values()))}]"
        for name in ("effect", "reply_to")
        if message.get(name)
    ]
    to = body.get("to")
    return "\n".join(lines + ([f"[to {to}]"] if to and call.name != _SEND else []))


def _part(part: Part) -> str:
    if isinstance(part, TextPart):
        return part.value + (" [styled]" if part.text_decorations else "")
    return f"[{part.type}] {to_json(part.model_dump(mode='json', exclude_none=True, exclude={'type'})).decode()}"


def _without_keys(body: Any) -> Any:
    if isinstance(body, dict):
        return {name: _without_keys(value) for name, value in body.items() if name != "idempotency_key"}
    return [_without_keys(each) for each in body] if isinstance(body, list | tuple) else body


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    delivery: Delivery
    replay: int  # the number of the last replay; see `Lease`
    entries: Sequence[JournalEntry]  # the journal entries of that replay
    # The dead letter; None if the turn was acked. Of a conversation that failed, it is that of its last answer.
    dead: DeadDelivery | None = None
    # The number of the question after whose answer it failed, and that answer; None for all other turns.
    dead_answer: tuple[int, QuestionEnd] | None = None
    # The calls of `ctx.send_later` that are still known, by the id of the send.
    later: Mapping[str, Sequence[ComparedCall]] = field(default_factory=dict)
    # The conversations of other turns that waited for an answer in the chat when the delivery came, the oldest first.
    # One that had timed out is among them if this delivery was the first message of its person since.
    conversations: Sequence[Conversation] = ()

    @property
    def calls(self) -> tuple[ComparedCall, ...]:
        return joined_streams(compared(e for e in self.entries if not (explains_refusal(e) or asks_again(e))))

    @property
    def call_entries(self) -> list[JournalEntry]:
        """The entries of API calls. What middleware did for the answers is not among them: a dry run has no answers. Neither is
        what was not made because the bot was muted."""
        return [entry for entry in self.entries if _is_call(entry)]

    @property
    def questions(self) -> list[WaitRecord]:
        records = records_of(self.entries)
        for record in records:
            if self.dead_answer is not None and record.n == self.dead_answer[0]:
                record.outcome = self.dead_answer[1]
        return records

    @property
    def results(self) -> dict[str, JournalEntry]:
        """The entries of what is no API call and has a result, by slot."""
        return {entry.slot: entry for entry in self.entries if entry.safety == "step" and entry.status == "accepted"}

    @property
    def muted(self) -> JournalEntry | None:
        """The entry that says that the chat was muted; None if it was not."""
        return next((entry for slot, entry in self.results.items() if slot.endswith(f"step:{MUTED_STEP}")), None)

    @property
    def is_of_handoff(self) -> bool:
        """True if linqbot has handled the delivery for `ctx.handoff`, and no handler of the bot."""
        is_relayed = any(slot.endswith(f"step:{RELAY_STEP}") for slot in self.results)
        return is_relayed or self.delivery.id.startswith(f"i.{HANDOFF_KIND}.")

    @property
    def steps(self) -> dict[str, JournalEntry]:
        """The steps of `ctx.once` whose results are on record, by their names."""
        return steps_on_record(self.entries)


class Failed(NamedTuple):
    asked: Asked  # the question whose conversation has failed
    answer: str  # the id of the dead letter that answered it


def _end_of(asked: Asked, answer: Delivery) -> QuestionEnd | None:
    """Return the end of a question by the dead letter that answered it, as the engine finds it when it is put back."""
    if answer.id.startswith(ENDING_ID):
        ending = ending_of(answer)
        end = None if ending is None else ending.outcome
    else:
        verdict = judge(asked, Answer(parse(answer), answer, is_put_back=True))
        end = verdict.end if isinstance(verdict, Ends | CountedVote) else None
    return None if end is None else {**end, "at": answer.received_at}


async def _newest_entries(
    storage: Storage, delivery_id: str, dead: DeadDelivery | None
) -> tuple[int, list[JournalEntry]]:
    """Return the number of the last replay, and its entries. Without a dead letter, a replay without entries is unknown."""
    if dead is not None:
        return dead.replay, await storage.entries(delivery_id, dead.replay)
    newest = 0, await storage.entries(delivery_id, 0)
    for replay in itertools.count(1):
        entries = await storage.entries(delivery_id, replay)
        if not entries:
            return newest
        newest = replay, entries
    raise AssertionError


async def _later(
    storage: Storage, delivery: Delivery, replay: int, entries: Sequence[JournalEntry]
) -> AsyncIterator[tuple[str, tuple[ComparedCall, ...]]]:
    """Yield the ids of the sends that the turn scheduled without a `key=`, and their calls.

    A send that waits is a timer. One that was made is a delivery, while history keeps it. One that was cancelled is gone.
    """
    if chat_of_lane(delivery.lane) is None:
        return
    for part in _parts(entries):
        for number in itertools.count():
            scheduled_id = journal_key(
                storage.install, delivery.newest_message_key or delivery.id, replay, timer_slot(part, str(number))
            )
            calls = await calls_of_send(storage, scheduled_id)
            if calls is None:
                break
            yield scheduled_id, calls


def _parts(entries: Sequence[JournalEntry]) -> Iterator[str]:
    yield from ("", OUTSIDE_FIRST)
    yield from (part_name(record_of(entry).n) for entry in entries if entry.safety == "ask")


def calls_of(payload: bytes) -> tuple[ComparedCall, ...]:
    """Return the calls of a stored send, given the payload of its timer or the body of its delivery."""
    return tuple(of_later(call) for call in StoredSend.read(payload).as_calls())


async def calls_of_send(storage: Storage, scheduled_id: str) -> tuple[ComparedCall, ...] | None:
    timer = await storage.timer(scheduled_id)
    if timer is not None:
        return calls_of(timer.payload)
    delivery = await storage.delivery(f"i.send.{scheduled_id}")
    return None if delivery is None else calls_of(delivery.body)


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
    record: WaitRecord,
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
    if (
        failure
        and failure.asked.question.n == record.n
        and (dead := await storage.dead_letter(failure.answer)) is not None
    ):
        ended_at = dead.delivery.received_at
    is_last = entry is [each for each in entries if each.safety == "ask"][-1]
    has_timed_out = outcome.get("outcome") == "timed_out" and is_last and not is_wait(conversation.person)
    return OpenThen(conversation, opened["since"], ended_at, has_timed_out)


def _person_of(delivery: Delivery) -> str:
    event = understood(delivery)
    return "" if event is None else person_key(event.actor or "")


LOOK_BACK_S: Final = 7 * 86_400.0
"""Seconds before the oldest chosen delivery in which a conversation may have begun that one of them continues."""

_MOST_CONVERSATIONS: Final = 10_000

_WITHOUT_HANDLERS: Final = ("i.ask_to.", "i.ask_in.", "i.new_chat.")
"""The beginnings of the ids of deliveries by which linqbot brings a question to a person. What they show is compared with the turn
that has asked."""


@dataclass(frozen=True, slots=True)
class ChosenTurns:
    ids: Sequence[str]  # the ids of their deliveries, in the order in which these were accepted
    answers: int  # the number of chosen deliveries that are part of the turn of an earlier one
    # The ids of deliveries that answered a question whose turn is not among those that were looked at: it is not kept any more, or
    # began long before. So are those of dead letters after which a conversation failed, if that is not kept.
    lost_answers: frozenset[str]
    storage: Storage
    _open: dict[str, list[OpenThen]]
    _failed: Mapping[str, Failed]
    _late: dict[str, str] = field(default_factory=dict)
    """The first message after a question had timed out, by the id of its conversation."""

    async def turns(self, ids: Sequence[str]) -> AsyncIterator[RecordedTurn]:
        async for page in self.storage.pages(ids):
            for delivery in page:
                yield await self._turn(delivery)

    async def _turn(self, delivery: Delivery) -> RecordedTurn:
        dead = await self.storage.dead_letter(delivery.id)
        replay, entries = await _newest_entries(self.storage, delivery.id, dead)
        later = {found: calls async for found, calls in _later(self.storage, delivery, replay, entries)}
        dead_answer, failed = None, self._failed.get(delivery.id)
        if failed is not None and (answer := await self.storage.dead_letter(failed.answer)) is not None:
            end = _end_of(failed.asked, answer.delivery)
            dead, dead_answer = answer, None if end is None else (failed.asked.question.n, end)
        return RecordedTurn(delivery, replay, entries, dead, dead_answer, later, self._conversations_at(delivery))

    def _conversations_at(self, delivery: Delivery) -> list[Conversation]:
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
    ids = [each for each in await storage.replayable(selection) if not each.startswith(_WITHOUT_HANDLERS)]
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
    endings = {each for each in meant if each.startswith(ENDING_ID)} - dead_answers
    parts = endings | {each for each in meant if each in answered}
    roots = {answered[each] for each in parts if each in answered and answered[each] not in wanted}
    went_on = await storage.outcomes_of([each for each in meant if each not in parts])
    # Answers to questions of other chats that were not valid, or that came too late.
    parts |= {row.delivery for row in went_on if row.why in WHYS}
    kept = [each for each in earlier if each in roots] + [each for each in meant if each not in parts]
    looked_at = set(everything)
    lost = {row.delivery for row in went_on if row.turn is not None and row.turn not in looked_at}
    return ChosenTurns(kept, len(parts), dead_answers | lost, storage, lanes, failed)


async def _failed(storage: Storage) -> dict[str, Failed]:
    found = {}
    for conversation in await storage.conversations(limit=_MOST_CONVERSATIONS):
        asked = Asked(conversation, OpenQuestion.model_validate_json(conversation.question))
        if conversation.status == "failed" and asked.question.failed_by is not None:
            found[conversation.id] = Failed(asked, asked.question.failed_by)
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


def _answered_by(record: WaitRecord) -> list[str]:
    """Return the ids of the deliveries that ended a question.

    An event that came from outside of the chat has two: its own delivery, and the ending that was made of it.
    """
    outcome = record.outcome or {}
    found = [outcome["by"]] if "by" in outcome else []
    body = outcome.get("body")
    if isinstance(body, dict):
        found.append(Delivery.from_webhook(b"", webhook_id=str(body.get("event_id") or ""), received_at=0.0).id)
    return found
