"""The record of a turn that was handled: its delivery, its calls in the form in which two turns are compared, its end.

Of an acked turn, the storage has the body and the texts only while history is on. It never has the name of the handler,
the state before the turn, or Linq's answer to a read. A compared call has an endpoint, a digest, and its text if that
is kept. Next step: `dry_deploy.py` compares the turn with the run of new code.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from linqbot.client.call import Call
from linqbot.engine.call_lookup import content_of, was_muted
from linqbot.engine.slots import OUTSIDE_FIRST, digest, is_outside_of_answer, stream_of, timer_slot
from linqbot.engine.turn_journal import journal_key
from linqbot.features.asking.admission import ORDER_PREFIX
from linqbot.features.asking.records import AskRecord, QuestionEnd, explains_refusal, order_of, part_name, record_of
from linqbot.features.asking.steps import steps_on_record
from linqbot.features.handoff import HANDOFF_KIND, RELAY_STEP
from linqbot.features.later import due_send
from linqbot.features.mute import MUTED_STEP
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import chat_of_lane
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.events.parse import parse
from linqbot.linq.types.message import Part, TextPart
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import DeadDelivery
from linqbot.storage.journal import RECORDED, JournalEntry
from linqbot.storage.timers import Timer

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
    lines += [f"[{name}: {_value(message[name])}]" for name in ("effect", "reply_to") if message.get(name)]
    to = body.get("to")
    return "\n".join(lines + ([f"[to {to}]"] if to and call.name != _SEND else []))


def _part(part: Part) -> str:
    if isinstance(part, TextPart):
        return part.value + (" [styled]" if part.text_decorations else "")
    return f"[{part.type}] {to_json(part.model_dump(mode='json', exclude_none=True, exclude={'type'})).decode()}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(str(each) for each in value.values())
    return str(value)


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
        return joined_streams(of_entry(entry) for entry in self.call_entries if not explains_refusal(entry))

    @property
    def call_entries(self) -> list[JournalEntry]:
        """The entries of API calls. What middleware did for the answers is not among them: a dry run has no answers. Neither is
        what was not made because the bot was muted."""
        calls = [entry for entry in self.entries if entry.safety not in RECORDED and not was_muted(entry)]
        return [entry for entry in calls if not is_outside_of_answer(entry.slot)]

    @property
    def questions(self) -> list[AskRecord]:
        records = [record_of(entry) for entry in self.entries if entry.safety == "ask"]
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
    n: int  # the number of the question
    answer: str  # the id of the dead letter that answered it


async def turn_on_record(
    storage: Storage, delivery: Delivery, conversations: Sequence[Conversation], failed: Failed | None
) -> RecordedTurn:
    """Read what the storage has of the turn of a delivery.

    Args:
        conversations: See `RecordedTurn`.
        failed: None if it began no conversation that failed.
    """
    dead = await storage.dead_letter(delivery.id)
    replay, entries = await _newest_entries(storage, delivery.id, dead)
    later = {found: calls async for found, calls in _later(storage, delivery, replay, entries)}
    dead_answer = None
    if failed is not None and (answer := await storage.dead_letter(failed.answer)) is not None:
        dead, dead_answer = answer, (failed.n, _outcome_of(answer.delivery))
    return RecordedTurn(delivery, replay, entries, dead, dead_answer, later, conversations)


def _outcome_of(delivery: Delivery) -> QuestionEnd:
    order = order_of(delivery) if delivery.id.startswith(ORDER_PREFIX) else None
    if order is not None:
        return {**order.outcome, "at": delivery.received_at}
    event = parse(delivery)
    text = event.text if isinstance(event, MessageReceived) else ""
    at = delivery.received_at
    return {"outcome": "answered", "text": text, "type": delivery.type, "body": delivery.content, "at": at}


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
            scheduled_id = journal_key(storage.install, delivery.id, replay, timer_slot(part, str(number)))
            calls = await calls_of_send(storage, scheduled_id)
            if calls is None:
                break
            yield scheduled_id, calls


def _parts(entries: Sequence[JournalEntry]) -> Iterator[str]:
    yield from ("", OUTSIDE_FIRST)
    yield from (part_name(record_of(entry).n) for entry in entries if entry.safety == "ask")


def calls_of(timer: Timer) -> list[Call]:
    return [Call.from_json(to_json(call)) for call in from_json(timer.payload).get("calls", ())]


async def calls_of_send(storage: Storage, scheduled_id: str) -> tuple[ComparedCall, ...] | None:
    timer = await storage.timer(scheduled_id)
    if timer is not None:
        return tuple(of_later(call) for call in calls_of(timer))
    delivery = await storage.delivery(f"i.send.{scheduled_id}")
    return None if delivery is None else tuple(of_later(call) for call in due_send(delivery).calls)
