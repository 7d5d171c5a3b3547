"""Why the bot answered as it did, or not at all: what Linq lists of a chat, next to what became of each delivery.

The storage has the outcomes of some days (`storage/outcomes.py`), what waits, dead letters, journal entries, questions and
mutes. Linq has the messages, and the chats of a person. No text of a person is shown, unless bodies are asked for.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from linqbot.client.client import Client
from linqbot.clock import clock_time
from linqbot.engine.slots import is_outside_of_answer, outside_of_answer
from linqbot.error_details import ErrorDetails
from linqbot.errors import KeyMissing, LinqApiError, StorageError
from linqbot.features.asking.records import explains_refusal
from linqbot.features.gaps import newest, sent_at
from linqbot.features.handoff import LABEL
from linqbot.features.muted_chats import Mute, stored_mutes
from linqbot.linq.events.delivery import LINQ_DELIVERY, OWN_DELIVERY, Delivery, decode
from linqbot.linq.events.lane import EVERY_CHAT, chat_of, chat_of_lane, lane_of_chat
from linqbot.linq.handles import is_handle, plain_handle
from linqbot.linq.rules.values import uuid
from linqbot.linq.types.chat import Chat
from linqbot.ops.explanations import of_linq
from linqbot.options import DAY_S
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import DeadDelivery
from linqbot.storage.journal import JournalEntry
from linqbot.storage.outcomes import OutcomeRow, message_of
from linqbot.storage.upkeep import Waiting

LOOK_BACK_S: Final = 2 * DAY_S
"""Seconds before now for which a chat is looked at, unless a time is named."""

AROUND_S: Final = 600.0
"""Seconds before and after a time that is named."""

_LATE_S: Final = 5.0
"""Seconds after its arrival from which on a run is late."""

_FAILED: Final = "message.failed"

_HELD: Final[Mapping[str, str]] = {"retry": "failed", "deferred": "was deferred", "dead_letter": "failed"}
"""Words for the ends of runs for which the next delivery of their lane waits."""

_PART: Final = re.compile(r"@(\d+):")
"""The beginning of the slots of the calls that follow a question of a conversation."""

_MOST_CHATS: Final = 50
_MOST: Final = 500


@dataclass(slots=True)
class Case:
    """A message or another event of a chat, with all that is known of it.

    Attributes:
        at: Unix seconds: when it was sent, or else received.
        chat_id: None for a delivery of no chat.
        ids: The ids of its deliveries; empty if none arrived.
        listed: True if Linq lists the message; None if Linq was not asked for it.
        rows: Its outcomes, the oldest first.
        waiting: Its delivery, if that waits; `behind` is the head of its lane, if that is another one.
        dead: Its dead letter.
        error: Why its last run has failed. It quotes no person.
        details: The exceptions behind `error`.
        text: What Python or Linq has said of it, which may quote a person, if bodies are asked for.
        body: What was received, if bodies are asked for and it waits or was given up.
        known: True if its id is known, although nothing says what became of it.
        calls: Its calls, those included that were refused, in their order; None if they were not looked up.
        held: A run of a delivery before it in its lane for whose end the case waited; None if it did not wait.
        owner: The person of yours to whom its chat is handed over, if the case has handed it over or was passed on.
        answer: What became of it, in a sentence. It is set last.
    """

    at: float
    chat_id: str | None
    type: str
    message_id: str | None = None
    ids: list[str] = field(default_factory=list)
    listed: bool | None = None
    rows: list[OutcomeRow] = field(default_factory=list)
    waiting: Waiting | None = None
    behind: Waiting | None = None
    dead: DeadDelivery | None = None
    error: str | None = None
    details: ErrorDetails | None = None
    text: str | None = None
    body: Any = None
    known: bool = False
    calls: Sequence[dict[str, Any]] | None = None
    held: OutcomeRow | None = None
    owner: str | None = None
    answer: str = ""

    @property
    def last(self) -> OutcomeRow | None:
        """The row that says what became of it: a copy that came later says nothing."""
        return next((row for row in reversed(self.rows) if row.outcome != "duplicate"), None)

    @property
    def tried(self) -> list[list[str]]:
        """The handlers that did not take it, each with the filter that did not fit."""
        return [] if self.last is None else json.loads(self.last.tried or "[]")

    @property
    def is_received(self) -> bool:
        return bool(self.ids or self.known)

    def to_json(self) -> dict[str, Any]:
        waits, counted = self.waiting, self.waiting or self.dead
        return {
            "at": self.at,
            "chat": self.chat_id,
            "type": self.type,
            "message_id": self.message_id,
            "deliveries": self.ids,
            "listed": self.listed,
            "received": self.is_received,
            "answer": self.answer,
            "trace_id": next((row.trace_id for row in self.rows if row.trace_id), None),
            "state": "dead" if self.dead is not None else None if waits is None else waits.state,
            "not_before": None if waits is None else waits.not_before,
            "attempts": None if counted is None else counted.attempts,
            "crashes": None if counted is None else counted.crashes,
            "error": self.error,
            "raised": [] if self.details is None else self.details.lines,
            **({} if self.text is None else {"error_text": self.text}),
            **({} if self.body is None else {"body": self.body}),
            "calls": self.calls or [],
            "answer_to": None if self.last is None else self.last.turn,
            "held_by": None if self.held is None else self.held.delivery,
            "outcomes": [
                {**row._asdict(), "tried": json.loads(row.tried or "[]"), "calls": json.loads(row.calls or "[]")}
                | {"steps": json.loads(row.steps or "[]")}
                for row in self.rows
            ],
        }


@dataclass(slots=True)
class Findings:
    """The answer to the question about a person, a chat, a message or a delivery.

    Attributes:
        chats: The ids of the chats that were looked at; `lanes` are those of a delivery.
        notes: Sentences about what could not be looked at.
    """

    chats: list[str] = field(default_factory=list)
    lanes: list[str] = field(default_factory=list)
    mutes: list[Mute] = field(default_factory=list)
    questions: list[Conversation] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        mutes = [asdict(mute) | {"until": mute.ends_at} for mute in self.mutes]
        asked = ("id", "chat_id", "handler", "status", "asked_at", "until")
        questions = [{name: getattr(each, name) for name in asked} for each in self.questions]
        cases = [each.to_json() for each in self.cases]
        return {"chats": self.chats, "mutes": mutes, "questions": questions, "cases": cases, "notes": self.notes}


async def look(
    storage: Storage, client: Client | None, who: str, *, now: float, at: float | None = None, bodies: bool = False
) -> Findings:
    """Find out what became of the messages of a person or a chat, or of one message or delivery.

    Args:
        client: Asks Linq; None asks only the storage.
        who: A handle, or the id of a chat, a message, a delivery or an event.
        at: Unix seconds: only what came around this time. None: of the last two days.
        bodies: True also returns what was received, and the messages of errors. Both may quote people.
    Raises:
        StorageError: it is not known who that is.
        KeyMissing: it is a handle, and Linq cannot be asked.
    """
    found, who = Findings(), plain_handle(who)
    only = await _choose(storage, client, who, found)
    since, until = (now - LOOK_BACK_S, now + DAY_S) if at is None else (at - AROUND_S, at + AROUND_S)
    if only is not None:
        since, until = 0.0, now + DAY_S
    cases = _Cases(since, until, bodies=bodies)
    for row in only if only is not None else await storage.outcomes(found.chats, since=since, until=until, limit=_MOST):
        cases.add_row(row, is_asked_for=only is not None)
    for lane in dict.fromkeys([*map(lane_of_chat, found.chats), *found.lanes]):
        await _add_stored(storage, cases, lane)
    if client is not None:
        for chat_id in found.chats:
            await _add_listed(client, cases, chat_id, found)
    wanted = {who, f"{LINQ_DELIVERY}{who}"}
    chosen = [each for each in cases.by_key.values() if only is None or wanted & {each.message_id, *each.ids}]
    silent = [each for each in chosen if not each.ids and each.message_id]
    seen = await storage.seen([f"m.{each.message_id}" for each in silent]) if silent else {}
    first = await storage.first_activity()
    mutes = await stored_mutes(storage)
    for each in chosen:
        each.known = f"m.{each.message_id}" in seen
        each.calls = await _calls(storage, each, cases.statuses)
        each.held, each.owner = await _held(storage, each), _owner(each, mutes)
        each.answer = answer_of(each, keep_days=storage.keep_outcomes_days, now=now, first_at=first)
    found.cases = sorted(chosen, key=lambda each: each.at)
    chats = {*found.chats, EVERY_CHAT}
    found.mutes = [each for each in mutes if each.chat_id in chats and each.until > now]
    for chat_id in found.chats:
        found.questions += [each for each in await storage.conversations(chat_id=chat_id) if each.status == "waiting"]
    return found


async def chats_with(client: Client | None, handle: str) -> list[Chat]:
    """Return the chats of a person, as Linq lists them.

    Raises:
        KeyMissing: there is no client to ask.
    """
    if client is None:
        raise KeyMissing("The chats of a person are asked of Linq. Set LINQ_API_V3_API_KEY, or name a chat.")
    return [chat async for chat in client.chats.list_chats(to=handle, limit=100)]


async def _choose(storage: Storage, client: Client | None, who: str, found: Findings) -> list[OutcomeRow] | None:
    """Set the chats that are asked about. Return the outcomes of one message or delivery, if that is asked about."""
    if is_handle(who):
        chats = await chats_with(client, who)
        chats.sort(key=lambda chat: chat.updated_at.timestamp() if chat.updated_at else 0.0, reverse=True)
        if not chats:
            raise StorageError(f"Linq lists no chat with {who}, so no message came from there. Check the handle.")
        found.chats = [chat.id for chat in chats[:_MOST_CHATS]]
        return None
    rows = await storage.outcomes_of([who, f"{LINQ_DELIVERY}{who}"])
    delivery = await storage.delivery(who) or await storage.delivery(f"{LINQ_DELIVERY}{who}")
    lanes = {row.lane for row in rows} | ({delivery.lane} if delivery is not None else set())
    if lanes:
        chats_of = {chat_of(lane) for lane in lanes}
        found.chats, found.lanes = sorted(chat for chat in chats_of if chat is not None), sorted(lanes)
        return rows
    if who.startswith((LINQ_DELIVERY, OWN_DELIVERY)):
        raise StorageError(
            f"There is no delivery {who}. What became of one is kept for {storage.keep_outcomes_days:g} days."
        )
    if await storage.outcomes([who], limit=1) or await storage.waiting(lane=lane_of_chat(who), limit=1):
        found.chats = [who]
        return None
    if uuid(who, "WHO") is not None:
        raise StorageError(
            f"{who!r} is neither a handle, such as +14155550142, nor the id of a chat, a message or a delivery. Check it."
        )
    if client is None:
        found.notes.append("Linq was not asked: this needs LINQ_API_V3_API_KEY.")
        found.chats = [who]
        return None
    try:
        found.chats = [(await client.chats.retrieve(who)).id]
    except LinqApiError as error:
        if error.status != 404:
            raise
        return await _choose_message(client, who, found)
    return None


async def _choose_message(client: Client, who: str, found: Findings) -> list[OutcomeRow]:
    try:
        found.chats = [(await client.messages.retrieve(who)).chat_id]
    except LinqApiError as error:
        if error.status != 404:
            raise
        raise StorageError(
            f"Neither the storage nor Linq knows a chat, a message or a delivery {who}. Check the id."
        ) from error
    return []


class _Cases:
    """The cases of some time, by message or by delivery."""

    def __init__(self, since: float, until: float, *, bodies: bool) -> None:
        self._bodies = bodies
        self.since = since
        self._until = until
        self.by_key: dict[str, Case] = {}
        self.statuses: dict[str, str | None] = {}  # of the messages that the bot has sent

    def covers(self, at: float) -> bool:
        return self.since <= at < self._until

    def of(self, key: str, at: float, chat_id: str | None, kind: str, message_id: str | None) -> Case:
        return self.by_key.setdefault(key, Case(at, chat_id, kind, message_id))

    def of_delivery(self, delivery: Delivery, stored: Waiting | DeadDelivery) -> Case:
        """Return the case of a delivery that waits or was given up."""
        key, chat_id = delivery.message_key or delivery.id, chat_of_lane(delivery.lane)
        case = self.of(key, delivery.received_at, chat_id, delivery.type, message_of(delivery))
        case.ids = [delivery.id, *(one for one in case.ids if one != delivery.id)]
        case.error, case.details = stored.error, stored.details
        if self._bodies:
            case.text = None if stored.details is None else stored.details.text
            decoded = decode(delivery.body)
            case.body = delivery.body.decode("utf-8", "replace") if decoded is None else decoded
        return case

    def add_row(self, row: OutcomeRow, *, is_asked_for: bool = False) -> None:
        if row.type == _FAILED and row.handler is None and not is_asked_for:
            return  # the call that made the message shows it
        is_message = row.type == "message.received" and row.message_id is not None
        key = f"m.{row.message_id}" if is_message else row.delivery
        chat_id = chat_of(row.lane)
        case = self.of(key, row.received_at, chat_id, row.type, row.message_id)
        case.rows.append(row)
        if row.delivery not in case.ids:
            case.ids.append(row.delivery)


async def cases_in(storage: Storage, chat_id: str, *, limit: int) -> list[Case]:
    """Return the cases of a chat as the storage knows them: its latest outcomes, what waits there, and what was given up."""
    cases = _Cases(0.0, math.inf, bodies=False)
    for row in await storage.outcomes([chat_id], limit=limit):
        cases.add_row(row)
    await _add_stored(storage, cases, lane_of_chat(chat_id))
    return list(cases.by_key.values())


async def _add_stored(storage: Storage, cases: _Cases, lane: str) -> None:
    """Add what waits in a lane, and what was given up there."""
    waiting = await storage.waiting(lane=lane, limit=_MOST)
    for each in waiting:
        if cases.covers(each.received_at) and (delivery := await storage.delivery(each.id)) is not None:
            case = cases.of_delivery(delivery, each)
            case.waiting, case.behind = each, waiting[0] if each is not waiting[0] else None
    for letter in await storage.dead_letters(lane=lane, limit=_MOST):
        if cases.covers(letter.delivery.received_at):
            cases.of_delivery(letter.delivery, letter).dead = letter


async def _add_listed(client: Client, cases: _Cases, chat_id: str, found: Findings) -> None:
    """Add the messages that Linq lists of a chat."""
    listed = 0
    try:
        async for message in newest(client, chat_id, cases.since):
            at = sent_at(message)
            if listed == _MOST or not cases.covers(at):
                continue
            listed += 1
            if message.is_from_me:
                cases.statuses[message.id] = message.delivery_status
            else:
                case = cases.of(f"m.{message.id}", at, chat_id, "message.received", message.id)
                case.listed, case.at = True, at
    except LinqApiError as error:
        found.notes.append(f"Linq did not list the messages of the chat {chat_id}: {answer_code(error)}.")


async def _calls(storage: Storage, case: Case, statuses: dict[str, str | None]) -> list[dict[str, Any]]:
    """Return the calls of a case, those included that were refused."""
    calls: list[dict[str, Any]] = []
    turns = {(row.turn or row.delivery, replay) for row in case.rows for replay in range(row.replay + 1)}
    turns |= {(each, 0) for each in case.ids}
    for turn, replay in sorted(turns):
        entries = await storage.entries(turn, replay)
        made = [row for entry in _own(case, turn, entries) for row in _entry(entry, statuses)]
        asked = [each for each in made if (each["call"], each["status"]) == ("ctx.ask", "attempting")]
        if asked and not await _is_open(storage, turn):
            for each in asked:
                each["status"] = "ended"
        calls += made
    calls.sort(key=lambda each: float(each["at"]))
    await _add_codes(storage, calls)
    last = case.last
    refused = {each["call"]: each for each in reversed(calls) if each["status"] == "refused"}
    for failed in json.loads(last.calls or "[]") if last is not None else ():
        if failed["call"] in refused:
            refused[failed["call"]]["answer"] = failed
        else:
            calls.append({"call": failed["call"], "status": "refused", "answer": failed})
    return calls


async def _add_codes(storage: Storage, calls: Sequence[dict[str, Any]]) -> None:
    """Add Linq's code to each call whose message could not be sent."""
    failed = {each["message_id"]: each for each in calls if each["message_id"] and each["delivery"] == "failed"}
    for row in await storage.outcomes_of(list(failed)) if failed else ():
        if row.type == _FAILED and row.message_id in failed:
            codes = [each["code"] for each in json.loads(row.calls or "[]") if "code" in each]
            failed[row.message_id] |= {"code": codes[-1]} if codes else {}


async def _is_open(storage: Storage, turn: str) -> bool:
    """Return True if a question of a turn waits for its answer, and has not been ended, as by another question or a deploy."""
    found = await storage.conversation(turn)
    return found is not None and found[0].status == "waiting"


def _own(case: Case, turn: str, entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """Return the entries of a turn that a case has made.

    In a conversation, the handler's calls between two questions are a part with a number, which their slots have. The message that
    began the conversation has made the first part, each answer the part that follows its question, and an answer that was not
    taken the call that says so.
    """
    outside = tuple(map(outside_of_answer, case.ids))
    own = list[JournalEntry]()
    runs: dict[int | str, list[JournalEntry]] = {}
    for entry in entries:
        if is_outside_of_answer(entry.slot):
            own += [entry] if entry.slot.startswith(outside) else []
        else:
            runs.setdefault(entry.slot if explains_refusal(entry) else _part_of(entry), []).append(entry)
    if turn in case.ids:
        return own + runs.get(0, [])
    part = _ended_by(entries, case.ids)
    return own + (_begun_by(case, runs) if part is None else runs.get(part, []))


def _begun_by(case: Case, runs: Mapping[int | str, list[JournalEntry]]) -> list[JournalEntry]:
    """Return the calls of a conversation that an answer has made, by their times."""
    first = min((row.received_at for row in case.rows), default=case.at)
    # The clock of a database may differ from that of the process that made the calls.
    last = math.inf if case.waiting is not None else max((row.ended_at for row in case.rows), default=first) + 1
    begun = [made for run, made in runs.items() if run != 0 and first <= made[0].first_at <= last]
    return min(begun, key=lambda made: made[0].first_at, default=[])


def _part_of(entry: JournalEntry) -> int:
    """Return the number of the question that comes before a call in its conversation; 0 before the first one."""
    if entry.safety == "ask":
        part = (decode(entry.call) or {}).get("part")  # it is gone when the conversation is over
        return part if isinstance(part, int) else int(entry.slot.partition(":")[2]) - 1
    found = _PART.match(entry.slot)
    return 0 if found is None else int(found[1])


def _ended_by(entries: Sequence[JournalEntry], ids: Collection[str]) -> int | None:
    """Return the number of the question that a delivery has answered; None if that is not kept any more."""
    asked = (entry for entry in entries if entry.safety == "ask" and entry.answer is not None)
    found = (
        int(entry.slot.partition(":")[2]) for entry in asked if (decode(entry.answer or b"") or {}).get("by") in ids
    )
    return next(found, None)


def _entry(entry: JournalEntry, statuses: dict[str, str | None]) -> list[dict[str, Any]]:
    call = decode(entry.call) or {}
    if entry.safety == "step" or (call.get("noun") == "ctx" and entry.safety != "ask"):
        return []
    name = "ctx.ask" if entry.safety == "ask" else f"{call.get('noun')}.{call.get('verb')}"
    row: dict[str, Any] = {"call": name, "status": entry.status, "message_id": entry.message_id}
    row |= {"delivery": entry.delivery or statuses.get(entry.message_id or ""), "at": entry.first_at}
    return [row | {"chat": entry.chat_id, "to_owner": LABEL in entry.slot}]


async def _held(storage: Storage, case: Case) -> OutcomeRow | None:
    """Return the run for which a case waited in its lane; None if it did not wait, or for nothing that is on record."""
    last = case.last
    if last is None or case.chat_id is None or _waited_s(last) <= _LATE_S:
        return None
    began_at = last.received_at + _waited_s(last)
    around = await storage.outcomes([case.chat_id], since=last.received_at - DAY_S, until=began_at, limit=_MOST)
    # A lane is in order: what ended in it before this case began came before it.
    before = [
        row
        for row in around
        if row.lane == last.lane and row.delivery not in case.ids and last.received_at <= row.ended_at <= began_at
    ]
    return max(before, key=lambda row: (row.outcome in _HELD, row.ms or 0.0), default=None)


def _owner(case: Case, mutes: Sequence[Mute]) -> str | None:
    """Return the person of yours to whom the chat of a case is handed over, if the case has written to them."""
    if case.last is None or not any(each.get("to_owner") for each in case.calls or ()):
        return None
    ended_at = case.last.ended_at
    of_chat = (each for each in mutes if each.chat_id == case.chat_id and each.handoff and each.since <= ended_at + 1)
    return next((each.handoff.owner for each in of_chat if each.handoff is not None), None)


# --- sentences --------------------------------------------------------------------------------------------------------


def answer_of(case: Case, *, keep_days: float, now: float, first_at: float | None) -> str:
    """Return what became of a message or event, in a sentence or two."""
    last = case.last
    if case.waiting is not None:
        return _waits(case.waiting, case.behind)
    if last is not None:
        return _ended(case, last)
    if case.dead is not None:
        by = f" in the handler {case.dead.handler}" if case.dead.handler else ""
        return f"It was given up{by}: {_stop(case.dead.error)} Handle it again: linqbot waiting retry {case.dead.delivery.id}"
    if case.rows or case.known:
        return "It was received before, and what became of it then is not on record."
    if now - case.at > keep_days * DAY_S:
        return f"It is older than {keep_days:g} days, for which it is kept what became of a delivery."
    is_early = first_at is None or case.at < first_at - 60
    before = "It was sent before the bot received its first webhook."
    return (
        before if is_early else "It was never received: Linq lists it, and no webhook of it arrived. See: linqbot check"
    )


def _waits(waiting: Waiting, behind: Waiting | None) -> str:
    until = "" if waiting.not_before is None else f" It runs again at {clock_time(waiting.not_before)}."
    match waiting.state:
        case "leased":
            return "A handler is working on it."
        case "gathering":
            return "It waits for further messages of the person: Bot(gather_s=…)."
        case "retrying":
            return f"Its handler has failed {_times(waiting.attempts)}: {waiting.error}.{until}"
        case "deferred":
            return f"It is deferred: {_stop(waiting.error)}{until}"
    if behind is None:
        return "It waits for a process that serves the bot."
    reason = f": {behind.error}" if behind.error else ""
    return f"It waits behind {behind.id} of its chat, which is {behind.state}{reason}."


def _ended(case: Case, last: OutcomeRow) -> str:
    why = _stop(last.why)
    by = f"The handler {last.handler}" if last.handler else "linqbot"
    match last.outcome:
        case "joined":
            return f"It became a part of the message before it, and was answered with that: linqbot why {last.why}"
        case "dead_letter":
            again = f" Handle it again: linqbot waiting retry {last.delivery}" if case.dead is not None else ""
            by = f" in the handler {last.handler}" if last.handler else ""
            after = f" after {last.attempts} attempt{'s' * (last.attempts > 1)}" if last.attempts else ""
            return f"It was given up{by}{after}: {why}{again}"
        case "muted":
            return f"No handler took it: {why} Such messages are handled with: linqbot mute WHO --end --catch-up"
        case "ignored":
            return f"No handler took it: {why}"
        case "retry" | "deferred":
            return f"It was to run again, and what became of it is not on record: {why}"
    asked = "" if last.turn is None else f" as the answer to the question of {last.turn}"
    return " ".join(filter(None, (f"{by} took it{asked}{_lateness(case, last)}.", last.why and why, _said(case, last))))


def _said(case: Case, last: OutcomeRow) -> str:
    """Return what the handler has sent."""
    refused, calls = next(iter(json.loads(last.calls or "[]")), None), case.calls or ()
    sent = [each for each in calls if each.get("message_id")]
    parts = []
    if refused is not None:
        parts.append(refusal(refused))
    if any(each["call"] == "ctx.ask" and each["status"] == "attempting" for each in calls):
        parts.append("It has asked a question, and waits for the answer.")
    if any(each["call"] == "ctx.ask" and each["status"] == "ended" for each in calls):
        parts.append("It has asked a question, which waits for no answer any more.")
    if refused is None and case.calls is not None and not calls:
        parts.append("It sent nothing." if last.turn is None else "It sent nothing after the answer.")
    if to_owner := [each for each in sent if each.get("to_owner")]:
        who = case.owner or f"the person in the chat {to_owner[0]['chat']}"
        parts.append(f"It was passed on to {who}." if last.handler is None else f"It handed the chat over to {who}.")
    away = [each for each in sent if each.get("chat") not in (None, case.chat_id) and not each.get("to_owner")]
    if away and case.chat_id is not None:
        chats = ", ".join(dict.fromkeys(each["chat"] for each in away))
        many = "It" if len(away) == len(sent) else f"{len(away)} of its {len(sent)} messages"
        parts.append(f"{many} went to another chat, not to this one: {chats}.")
    if bad := [each for each in sent if each["delivery"] in ("failed", "sent", "pending", "queued", None)]:
        states = ", ".join(sorted({_state(each) for each in bad}))
        parts.append(
            f"{len(bad)} of its {len(sent)} messages {'is' if len(bad) == 1 else 'are'} not delivered: {states}."
        )
    if len({row.replay for row in case.rows if row.outcome in ("handled", "dead_letter")}) > 1:
        parts.append("It was handled again by an operator, which sent everything again.")
    return " ".join(parts)


def _state(call: dict[str, Any]) -> str:
    """Return in words how far a message has come, and why no farther."""
    state = call["delivery"] or "without a receipt yet"
    known = of_linq().get(str(call.get("code")))
    means = f": {known.summary}" if known is not None else ""
    return f"{state} with the code {call['code']}{means.removesuffix('.')}" if "code" in call else state


def refusal(answer: dict[str, Any]) -> str:
    """Return why a call was refused, in a sentence."""
    if "why" in answer:
        return f"Of its calls, {answer['by']} refused {answer['call']}: {_stop(answer['why'])}"
    if "status" in answer:
        known = of_linq().get(str(answer.get("code")))
        means = f": {known.summary}" if known is not None else "."
        return f"Linq refused {answer['call']} with {answer['status']}/{answer.get('code')}{means}"
    return f"{answer['call']} was not made: {answer.get('error')}."


def _lateness(case: Case, last: OutcomeRow) -> str:
    """Return how late the handler began, and why, if it was late."""
    waited_s = _waited_s(last)
    facts = []
    if last.received_at - case.at > 60:
        facts.append(f"Linq delivered it {_duration(last.received_at - case.at)} after it was sent")
    if waited_s > _LATE_S:
        facts.append(f"{_duration(waited_s)} after it was received")
    if case.held is not None:
        held = case.held
        why = f"{_HELD[held.outcome]}: {held.why}" if held.outcome in _HELD else "took its time"
        facts.append(f"it waited behind {held.delivery}, which {why}".removesuffix("."))
    if last.attempts:
        facts.append(f"in run {last.attempts + 1}")
    earlier = next((row.why for row in reversed(case.rows[:-1]) if row.outcome in ("retry", "deferred")), None)
    if earlier is not None:
        facts.append(f"before that: {earlier.removesuffix('.')}")
    return f" ({'; '.join(facts)})" if facts else ""


def _waited_s(last: OutcomeRow) -> float:
    """Return the seconds from the arrival of a delivery to its last run."""
    return last.ended_at - last.received_at - (last.ms or 0.0) / 1000


def _stop(text: str | None) -> str:
    return f"{(text or 'no reason is on record').removesuffix('.')}."


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def answer_code(error: LinqApiError) -> str:
    """Return the status and the code of an answer of Linq, such as 403/2004; without them the class of the error."""
    return "/".join(str(each) for each in (error.status, error.code) if each is not None) or type(error).__name__
