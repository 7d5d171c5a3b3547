"""The gate: decides about each call before it is made, whatever part of the bot makes it.

`Bot(allow_to=…)` and `Bot(manners=…)` ask for it; other bots do not load this module. A call that is forbidden raises Withheld,
and a row of `storage/decisions.py` says why: `linqbot waiting list --withheld`. A promotional call that may be made later becomes
a timer, or a row of its broadcast.

Signs of life are noted: what a person does on purpose is an answer to what the bot sends. They count for `Manners(unanswered=…)` and
for the first contact. That a message was delivered or read, or that a person types, is no answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import structlog
from pydantic_core import from_json

from linqbot.client.call import Call, Run, prepare
from linqbot.client.outcome import opted_out
from linqbot.engine.failure import STORAGE_PAUSE_S
from linqbot.engine.feature import GuardedCall
from linqbot.engine.rate_limit import CallNotMade
from linqbot.engine.turn import Turn, written_at
from linqbot.errors import StorageUnavailable, Withheld
from linqbot.features.later import StoredSend, zone
from linqbot.features.manners.conduct import Conduct
from linqbot.features.manners.days import Day, first_with_room
from linqbot.features.manners.options import Manners, QuietHours, zone_named, zones_of_number
from linqbot.features.optout import note_stop
from linqbot.features.turn_data import SentFor
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.delivery import BROADCAST_DONE_TYPE, POST_TYPE, Delivery, retention_mark
from linqbot.linq.events.lane import as_object, lane_of_chat, lane_of_person
from linqbot.linq.events.parse import parse, understood
from linqbot.linq.events.proactive import SCHEDULE_TYPE
from linqbot.linq.handles import person_key
from linqbot.linq.rules.keywords import is_opt_out_message
from linqbot.linq.rules.message import has_address
from linqbot.linq.types.proactive import Purpose
from linqbot.options import DAY_S
from linqbot.storage.broadcasts import place_of_person, turn_of_person
from linqbot.storage.decisions import AskedCall, Decision, Standing, Verdict
from linqbot.storage.timers import Timer

if TYPE_CHECKING:
    from linqbot.engine.turn_journal import TurnJournal
    from linqbot.engine.turns import Turns

log = structlog.get_logger("linqbot.worker")

_PAYERS: Final = "/v3/payments/handles/"
_NAMED: Final = ("handle", "payer_handle")
"""The fields of a body that name a person whom a call reaches."""

_BROADCAST: Final = "linqbot.broadcast"
_LOOK_EVERY_S: Final = 300.0
"""Seconds for which the reputations of lines are remembered."""
_CLOCKS_S: Final = 5.0
"""Seconds by which Linq's clock may be behind ours, by which what was sent is noted."""
_CHATS: Final = 100_000
"""Largest number of direct chats whose people are remembered."""

_SIGNS_OF_LIFE: Final = frozenset(
    {
        "message.received",
        "message.edited",
        "reaction.added",
        "reaction.removed",
        "poll.received",
        "poll.reaction.added",
        "poll.vote.added",
        "poll.vote.removed",
        "location.sharing.started",
        "location.sharing.stopped",
        "contact_card.received",
    }
)
"""The types of events that are signs of life of their authors."""

_PURPOSES: Final[Mapping[str, Purpose]] = {
    SCHEDULE_TYPE: "promotional",
    POST_TYPE: "requested",
    BROADCAST_DONE_TYPE: "requested",
}
"""The purposes of what handlers send, by the type of the event; of all others it is `reply`."""


@dataclass(frozen=True, slots=True)
class _Asked:
    call: Call
    journal: TurnJournal
    key: str  # its idempotency key
    people: Sequence[str]  # the handles of the people whom it reaches, in lower case
    chat_id: str | None
    purpose: Purpose

    @property
    def person(self) -> str | None:
        return self.people[0] if len(self.people) == 1 else None

    @property
    def line(self) -> str | None:
        return (self.call.body or {}).get("from") or self.journal.data.of(SentFor).line

    @property
    def turn(self) -> str:
        return turn_of_person(self.journal.data.of(SentFor).turn or self.journal.turn)


class Gate(TurnFeature):
    """Decides about the calls of a bot, and notes the signs of life of its people.

    Without `conduct.manners`, no rules are kept for promotional messages.
    """

    def __init__(self, turns: Turns, conduct: Conduct) -> None:
        super().__init__(turns)
        self._allow_to = conduct.allow_to
        self._manners = manners = conduct.manners
        self.types = _SIGNS_OF_LIFE if manners is not None else frozenset()
        if manners is not None:
            self.arrives = {"message.received": self._note_stop}
        quiet = manners.quiet_hours if manners is not None else None
        self._quiet = None if quiet is None else QuietHours.read(quiet)
        # The people of direct chats, by chat: they never change.
        self._direct: dict[str, str] = {}
        # The reputations of the lines, by number, and when Linq was asked for them.
        self._standings: dict[str, str | None] = {}
        self._looked_at = -_LOOK_EVERY_S

    async def open(self, turn: Turn) -> None:
        """Note a sign of life, also in an event that no handler takes."""
        delivery = turn.lease.delivery
        event = understood(delivery)
        if event is not None and event.actor is not None and not event.is_own:
            at = min(delivery.received_at, written_at(delivery) + _CLOCKS_S)
            await self._turns.storage.note_wrote(person_key(event.actor), at)

    async def guard(self, asked: GuardedCall) -> None:
        """Check that a call may be made, now. Raises Withheld; or LinqApiError if the person has opted out, as Linq would."""
        try:
            await self._check(asked.call, asked.journal, asked.run, asked.key)
        except StorageUnavailable as error:
            # Without the ledger and what was sent, nothing is sent.
            raise CallNotMade(str(error), after_s=STORAGE_PAUSE_S) from error

    async def _check(self, call: Call, journal: TurnJournal, run: Run, key: str) -> None:
        sent_for = journal.data.of(SentFor)
        purpose = call.purpose or sent_for.purpose or _PURPOSES.get(journal.delivery.type, "reply")
        needs_all = self._allow_to is not None or purpose == "promotional"
        chat_id = await journal.chat_of(call)
        people = [person_key(each) for each in await self._people(call, chat_id, journal, run, needs_all=needs_all)]
        asked = _Asked(call, journal, key, people, chat_id, purpose)
        sent_for.line = asked.line
        if self._allow_to is not None and not self._allow_to.issuperset(people):
            raise await self._withhold(asked, "Bot(allow_to=…) does not name the person.")
        if self._manners is None or not people:
            return
        if asked.person is not None:
            await self._check_consent(asked, asked.person, self._manners)
        if key and purpose == "promotional":
            await self._check_promotional(asked, self._manners, run)

    async def _check_consent(self, asked: _Asked, person: str, manners: Manners) -> None:
        """Check that a person has not opted out (LinqApiError), and agrees to a promotional message (Withheld)."""
        state = await self._turns.storage.consent_of(person)
        if state.is_stopped and not (asked.call.body or {}).get("override_optout"):
            if asked.key:
                await self._note(asked, "refused", "The person has opted out.")
            raise opted_out(asked.call)
        if asked.purpose != "promotional":
            return
        if state.consent is not None and state.consent.what != "given":
            raise await self._withhold(asked, "The person has withdrawn the consent to promotional messages.")
        if state.consent is None and manners.needs_consent:
            raise await self._withhold(asked, "No consent of the person is on record.")

    async def _note_stop(self, delivery: Delivery) -> None:
        """Note in the ledger that a person opts out, before the delivery is stored: from now on no call to the person begins."""
        if is_opt_out_message(delivery):
            await note_stop(parse(delivery), delivery, self._turns.storage, has_manners=True)

    async def _check_promotional(self, asked: _Asked, manners: Manners, run: Run) -> None:
        """Check that a promotional call may be made now, and note that it is made. Raises Withheld, also if it is unknown."""
        now, storage = self._turns.clock.now(), self._turns.storage
        zones = await self._zones(asked.people, manners)
        since = min(Day.around(now, zone).begin for zone in zones)
        question = AskedCall(asked.key, asked.turn, asked.person or "", now, since, asked.line, manners.per_line)
        known = await storage.standing(question)
        if known.call_sent_at is not None:  # an attempt before may have reached Linq
            if known.call_sent_at < since:  # Linq was away: the message counts on the day on which the person gets it
                await self._note(asked, "sent", "Allowed.")
            return
        if asked.person is not None and not known.has_written and _has_more_than_text(asked.call):
            await self._check_acquainted(asked, asked.person, known, run)
        if not known.is_turn_sent:
            await self._check_line(asked, run, now)

        def decide(known: Standing) -> tuple[Decision, Timer | None]:
            made = self._decided(asked, manners, known, zones, now)
            if made.until is None or asked.journal.delivery.type == _BROADCAST:
                return made, None
            return made, self._timer(asked, made.until)

        made = await storage.judge(question, decide)
        if made.verdict != "sent":
            raise Withheld(made.reason, until=made.until)

    def _decided(
        self, asked: _Asked, manners: Manners, known: Standing, zones: Sequence[tzinfo], now: float
    ) -> Decision:
        """Return if a promotional call may be made now, must wait, or must not be made, by the numbers of messages and the hours."""
        if known.is_turn_sent:  # the person has the beginning of the message
            return self._decision(asked, "sent", "Allowed.", now)
        if manners.unanswered is not None and known.unanswered >= manners.unanswered:
            return self._decision(
                asked, "refused", f"The person has not answered {_promotional(known.unanswered)}.", now
            )
        begin = now if known.line_since is None else max(known.line_since + DAY_S, now + 1)
        allowed = partial(self._allowed_at, zones=zones, own=zone(manners.timezone))
        first = allowed(begin)
        at: float | None = first
        if manners.per_day is not None:
            taken, per_day = known.reaches_at, manners.per_day
            at = first_with_room(now, begin, zones, taken=taken, per_day=per_day, allowed=allowed)
        if at == now:
            return self._decision(asked, "sent", "Allowed.", now)
        limit = f"The limit of {_promotional(manners.per_day or 0)} a day leaves no room"
        if at is None:
            return self._decision(asked, "refused", f"{limit} today or tomorrow.", now)
        if at > first:
            reason = limit
        elif at > begin:
            reason = "Quiet hours of the person,"
        else:
            reason = f"The line has sent {manners.per_line} promotional messages within 24 hours,"
        return self._decision(asked, "waits", f"{reason} until {_shown(at)}.", now, until=at)

    async def _check_acquainted(self, asked: _Asked, person: str, known: Standing, run: Run) -> None:
        """Check that the first message that a person gets is a text without a link, unless the person has ever written."""
        # A chat from before the first message of this kind.
        first_at = (self._turns.clock.now() if known.first_at is None else known.first_at) - _CLOCKS_S
        listed = await run(prepare("chats.list_chats", query=(("to", person), ("limit", "100"))))
        chats = [each for each in listed.data.get("chats") or () if not each.get("is_group")]
        if not any(datetime.fromisoformat(each["created_at"]).timestamp() < first_at for each in chats):
            raise await self._withhold(asked, "The person has never written, and the message has a link or a file.")
        await self._turns.storage.note_wrote(person, first_at)

    async def _check_line(self, asked: _Asked, run: Run, now: float) -> None:
        """Check that the line is in good standing. A broadcast is paused otherwise, until an operator resumes it."""
        if self._looked_at < now - _LOOK_EVERY_S:
            lines = (await run(prepare("phone_numbers.list"))).data.get("phone_numbers") or ()
            standings = {each["phone_number"]: (each.get("reputation") or {}).get("status") for each in lines}
            self._standings, self._looked_at = standings, now
        standing = self._standings.get(asked.line or "")
        if standing not in ("AT_RISK", "CRITICAL"):
            return
        reason = f"The line is {standing}: linqbot check."
        if asked.journal.delivery.type != _BROADCAST:
            raise await self._withhold(asked, reason)
        name, _ = place_of_person(asked.journal.delivery.id)
        if await self._turns.storage.order_broadcast(name, "pause"):
            log.warning(
                "broadcast.paused", broadcast=name, reason=reason, to_do=f"linqbot waiting broadcast {name} --resume"
            )
        await self._note(asked, "waits", reason, until=now)
        raise Withheld(reason, until=now)

    def _allowed_at(self, now: float, *, zones: Sequence[tzinfo], own: tzinfo) -> float:
        """Return when a message is allowed in all zones; in the bot's own zone alone if there is no such time."""
        if self._quiet is None:
            return now
        at = self._quiet.allowed_at(now, zones)
        if at is None:
            at = self._quiet.allowed_at(now, [own])
        assert at is not None, "the quiet hours are no whole day"
        return at

    async def _zones(self, people: Sequence[str], manners: Manners) -> Sequence[tzinfo]:
        """Return the time zones in which people may be; the bot's own if none is known."""
        found = {each: None for person in people for each in await self._zones_of(person)}
        return tuple(found) or (zone(manners.timezone),)

    async def _zones_of(self, person: str) -> Sequence[tzinfo]:
        """Return the time zones of a person: the one in the bot's state of the person, or else those of the number."""
        for value in (await self._turns.storage.load(f"person:{person}")).values():
            if (stated := zone_named(as_object(from_json(value)).get("timezone"))) is not None:
                return (stated,)
        return zones_of_number(person)

    async def _withhold(self, asked: _Asked, reason: str) -> Withheld:
        """Store that a call is not made, and return the error. A hint leaves no row."""
        if asked.key:
            await self._note(asked, "refused", reason)
        return Withheld(reason)

    async def _note(self, asked: _Asked, verdict: Verdict, reason: str, *, until: float | None = None) -> None:
        await self._turns.storage.decide(self._decision(asked, verdict, reason, self._turns.clock.now(), until=until))

    @staticmethod
    def _decision(asked: _Asked, verdict: Verdict, reason: str, now: float, *, until: float | None = None) -> Decision:
        return Decision(asked.key, now, verdict, asked.purpose, reason, asked.turn, asked.person, asked.line, until)

    def _timer(self, asked: _Asked, due: float) -> Timer:
        """Return a scheduled send of one call. The call keeps its idempotency key, which also names the timer."""
        lane = lane_of_person(asked.people[0]) if asked.chat_id is None else lane_of_chat(asked.chat_id)
        origin = {"handles": asked.people, "chat_id": asked.chat_id, "is_group": len(asked.people) > 1}
        send = StoredSend(
            calls=(from_json(asked.call.to_json()),),
            due=due,
            grace_s=DAY_S,
            origin=origin,
            purpose=asked.purpose,
            turn=asked.turn,
            **retention_mark(off_the_record=asked.journal.off_the_record),
        )
        return send.timer(asked.key, lane)

    async def _people(
        self, call: Call, chat_id: str | None, journal: TurnJournal, run: Run, *, needs_all: bool
    ) -> list[str]:
        """Return the handles of the people whom a call reaches; none if it reaches no person, such as a change of a line.

        Unless `needs_all`, the people in the group of the event are left out.
        """
        if call.name.startswith("blocked_handles."):
            return []
        body = call.body or {}
        people = [str(each) for each in body.get("to") or ()]
        people += [str(body[name]) for name in _NAMED if body.get(name)]
        if call.path.startswith(_PAYERS):
            people.append(unquote(call.path.removeprefix(_PAYERS).partition("/")[0]))
        if chat_id is not None:
            people += await self._members(chat_id, journal, run, needs_all=needs_all)
        return people

    async def _members(self, chat_id: str, journal: TurnJournal, run: Run, *, needs_all: bool) -> list[str]:
        """Return the people in a chat: those of the event in a direct chat, otherwise those that Linq names now."""
        origin = {} if journal.origin is None else from_json(journal.origin)
        if origin.get("chat_id") == chat_id and origin.get("is_group") is False:
            return [str(each) for each in origin["handles"]]
        if origin.get("chat_id") == chat_id and not needs_all:
            return []
        if chat_id in self._direct:
            return [self._direct[chat_id]]
        chat = (await run(prepare("chats.retrieve", path={"chat_id": chat_id}))).data
        people = [str(each["handle"]) for each in chat.get("handles") or () if not each.get("is_me")]
        if chat.get("is_group") is False and len(people) == 1 and len(self._direct) < _CHATS:
            self._direct[chat_id] = people[0]
        return people


def _has_more_than_text(call: Call) -> bool:
    """Return True if a call sends anything but texts without web addresses."""
    parts: Sequence[Mapping[str, Any]] = ((call.body or {}).get("message") or {}).get("parts") or ({},)
    return any(part.get("type") != "text" or has_address(part.get("value") or "") for part in parts)


def _promotional(count: int) -> str:
    return "1 promotional message" if count == 1 else f"{count} promotional messages"


def _shown(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
