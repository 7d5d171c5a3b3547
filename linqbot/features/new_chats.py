"""New chats: a turn that opens the direct chat with a person goes before what the person writes there.

A post to a person without a chat opens it by the first message of its handler, and so does a question that is brought to a
person. Until the turn has ended, nothing stored names the chat: Linq's answer may be lost, or the process may die. What the
person replies then would be handled as if nothing were asked. So a row with the person and the line is stored before the
message is sent, and deleted by the commit that ends the turn. Meanwhile the person's direct chat waits, as it would if the
turn had its lane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from pydantic_core import to_json

from linqbot.engine.call_lookup import OPENS_CHAT, ids_in
from linqbot.engine.feature import GuardedCall
from linqbot.engine.turn import Kind, Turn, ack
from linqbot.errors import StorageUnavailable
from linqbot.features.turn_feature import TurnFeature
from linqbot.linq.events.lane import chat_of_lane, is_lane_of_post, lane_of_chat, lane_of_post
from linqbot.linq.events.parse import understood
from linqbot.linq.handles import person_key
from linqbot.options import DAY_S
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import NEW_CHAT, Conversation, ConversationSummary
from linqbot.storage.inbox import Ack, Commit, DeadLetter, Lease
from linqbot.storage.timers import Timer

if TYPE_CHECKING:
    from linqbot.engine.turns import Turns

log = structlog.get_logger("linqbot.worker")

KIND: Final = "new_chat"
"""The kind of the delivery that ends the wait of a chat, when the turn that has opened it is over."""

_ID: Final = f"{NEW_CHAT}."
"""The beginning of the ids of the rows. The id of the turn's delivery follows."""
_MOST_BEHIND: Final = 10_000
"""Deliveries behind the head of a lane that are counted: more than a lane may have."""
_AGAIN_S, _LONGEST_S = 1.0, 60.0
"""Seconds after which a chat that waits is looked at again: the first time, and at most. Usually the end of the turn wakes it."""


class NewChats(TurnFeature):
    """Notes the opening of a chat before its message is sent, ends it with the turn that opens it, and lets the chat wait until then."""

    # What may be handled in the lane of a post to a person.
    types = frozenset(f"linqbot.{kind}" for kind in ("post", "post_to", "ask_to", "dead_letter"))
    guards_calls = frozenset({OPENS_CHAT})

    def __init__(self, turns: Turns) -> None:
        super().__init__(turns)
        self.kinds = {KIND: Kind(open=ack, has_row=False)}  # it ends the wait of a chat, and no handler takes it

    def concerns(self, lease: Lease) -> bool:
        return is_lane_of_post(lease.delivery.lane)

    async def guard(self, asked: GuardedCall) -> None:
        """Store that a turn opens the direct chat with the person of its lane, if that is what a call does. Stop no call."""
        journal, body = asked.journal, asked.call.body or {}
        people = [person_key(str(each)) for each in body.get("to") or ()]
        if not asked.key or list(map(lane_of_post, people)) != [journal.delivery.lane]:
            return
        storage, now, person = self._turns.storage, self._turns.clock.now(), people[0]
        row = Conversation(
            id=f"{_ID}{journal.delivery.id}",
            replay=journal.replay,
            chat_id=NEW_CHAT,
            person=f"{person} {body.get('from') or ''}",
            handler="",
            status="opening",
            asked_at=now,
            until=now + DAY_S,  # for as long as Linq may defer the turn
            question=b"{}",
            off_the_record=journal.off_the_record,
            root=to_json({"handles": [person]}),
        )
        if all(each.id != row.id for each in storage.conversations_in(NEW_CHAT)):
            await storage.note_opening(row)

    async def admit(self, lease: Lease) -> Lease | None:
        """Let what a person does in a direct chat wait while a turn opens it. Raises LeaseLost."""
        storage, clock = self._turns.storage, self._turns.clock
        if not storage.conversations_in(NEW_CHAT):
            return lease  # nearly always
        delivery = lease.delivery
        if chat_of_lane(delivery.lane) is None or (opening := _opening_of(lease, storage)) is None:
            return lease
        try:
            behind = len(await storage.following(delivery.lane, _MOST_BEHIND))
            if not await _is_open(opening, storage):
                return lease
            waited_s = clock.now() - delivery.received_at
            until = clock.now() + min(max(waited_s, _AGAIN_S), _LONGEST_S)
            await storage.gather(lease, until, known=behind)
        except StorageUnavailable as error:
            log.warning("order.unknown", delivery=delivery.id, error=type(error).__name__)
            return lease
        return None

    def end(self, turn: Turn, commit: Commit) -> None:
        row, stored = f"{_ID}{turn.lease.delivery.id}", self._turns.storage.conversations_in(NEW_CHAT)
        if not isinstance(commit.outcome, Ack | DeadLetter) or all(each.id != row for each in stored):
            return
        commit.ended.append(row)
        made = turn.journal.sent_in_turn().made if turn.is_running else ()
        chats = {ids_in(answer)[1] for call, answer in made if call.name == OPENS_CHAT}
        now, name = self._turns.clock.now(), turn.lease.delivery.id
        commit.timers += [Timer(name, now, lane_of_chat(chat), KIND, b"{}") for chat in chats if chat]


def _opening_of(lease: Lease, storage: Storage) -> ConversationSummary | None:
    """Return the row of the turn that opens the direct chat in which the person of a delivery has done something."""
    event = understood(lease.delivery)
    if event is None or event.is_own or event.is_group or not event.actor:
        return None
    person = person_key(event.actor)
    rows = (each for each in storage.conversations_in(NEW_CHAT) if each.person.partition(" ")[0] == person)
    return next((each for each in rows if event.line in (None, each.person.partition(" ")[2])), None)


async def _is_open(opening: ConversationSummary, storage: Storage) -> bool:
    """Return True if the turn that opens a chat is not over, or if this process does not know its end yet."""
    turn = opening.id.removeprefix(_ID)
    has_left = (await storage.seen([turn])).get(turn, True)
    # The commit that ends the turn deletes the row. One that is left has no turn any more.
    return not has_left or await storage.conversation(opening.id) is None
