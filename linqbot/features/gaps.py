"""Messages and answers whose webhooks did not arrive: asked for at Linq, and stored as deliveries in the order sent.

Linq retries a delivery for half an hour, independently of the others, and then gives up. After a long downtime, the
process that receives again stores a delivery of type `CATCH_UP_TYPE`. The worker that leases it fetches the messages of
all chats, so one process does this, and another one goes on if that process dies.

After a shorter gap, Linq's retries bring everything, but in another order. So the first message of each chat, or the
timeout of a question, waits while Linq is asked for the chat's messages since the gap began (`Gaps`). The missing ones
are stored, and `Storage.put_in_order` sorts the lane by the times at which its messages were sent. Linq's own retries
arrive later, and are recognised as duplicates. Without a gap, nothing is asked and nothing waits.

For open questions, votes, tapbacks, shared locations and removals are looked up as well, a request or two for each
question. Such an answer reaches questions only (`engine/turns.py`): handlers get the webhook, if it still comes.
Payments need no search: `ctx.pay` asks Linq when its time is over.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog
from pydantic_core import from_json, to_json

from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.content.typing import BackgroundTasks
from linqbot.engine.failure import STORAGE_PAUSE_S
from linqbot.engine.feature import Feature
from linqbot.errors import LinqApiError, StorageUnavailable
from linqbot.features.asking.admission import ENDING_TYPE, FOUND_ID, waiting_in
from linqbot.features.bot_options import MissedMessages
from linqbot.features.lookups import given, line_of
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import chat_of_lane, lane_of_chat
from linqbot.linq.handles import person_key
from linqbot.linq.types.chat import Chat, Handle
from linqbot.linq.types.message import Message, UnknownPart
from linqbot.options import Role
from linqbot.storage.backend import Storage
from linqbot.storage.conversations import Conversation
from linqbot.storage.inbox import Ack, Commit, Defer, Lease

if TYPE_CHECKING:
    from linqbot.features.asking.question import OpenQuestion
    from linqbot.linq.types.chat_features import PollEnvelope


log = structlog.get_logger("linqbot.worker")

CATCH_UP_TYPE: Final = "linqbot.catch_up"
"""The type of the delivery whose worker fetches missed messages."""

RECONCILED_ID: Final = "i.reconciled."
"""The beginning of the id of a message that was fetched."""

_LANE: Final = "catch_up"

SHORT_GAP_S: Final = 20 * 60.0
"""Seconds without a webhook in which no message can be lost, because Linq is still retrying."""

_ON_ITS_WAY_S: Final = 60.0
"""Seconds by which a message may be older than the first attempt to deliver it. A gap begins with an attempt, so what is missing was
written earlier."""

RETRY_S: Final = 60.0
"""Seconds before the messages are fetched again after a failure."""

PAGE_SIZE: Final = 100
"""Items that Linq is asked for per page of a list."""

LINQ_RETRIES_S: Final = 31 * 60.0
"""Seconds after a message was sent, by which Linq has certainly given up delivering it."""

_MOST_QUESTIONS: Final = 100_000
"""Most open questions whose missed answers are searched for."""


async def end_downtime(storage: Storage, clock: Clock, since: float | None = None) -> None:
    """Announce to all processes that deliveries may have been refused since a Unix time, or since the newest webhook.

    If that was long ago, let a worker fetch the missed messages. Call it before a webhook is accepted: then the catch-up
    is stored before the time of the newest webhook changes.
    """
    since, now = await storage.last_activity() if since is None else since, clock.now()
    if since is None:
        return
    if now - since >= SHORT_GAP_S:
        body = {"since": since, "created_at": datetime.fromtimestamp(now, UTC).isoformat()}
        catch_up = Delivery(f"i.catch_up.{since}.{now}", _LANE, CATCH_UP_TYPE, to_json(body), now)
        await storage.put_in_order(_LANE, [catch_up])
    await storage.announce_gap(since)


class Gaps(Feature):
    """The chats that may miss messages, and the means to complete them."""

    types = frozenset()  # no turn is concerned: what is missing goes before it

    def __init__(self, client: Client, storage: Storage, clock: Clock, options: MissedMessages) -> None:
        self._client = client
        self._storage = storage
        self._clock = clock
        self._options = options
        self._ending = BackgroundTasks()
        # The time of the bot's first webhook, once it is known. Messages sent before it are not fetched.
        self._first_at = 0.0
        # Since this time deliveries may have been refused; None while none can be missing.
        self._since: float | None = None
        self._ends_at = 0.0
        # The last time at which each lane, or with None any, may have missed a message, and at which each was completed. These
        # and `_ends_at` are readings of the monotonic clock: after the wall clock is set back, a lane would be completed
        # again and again until it has caught up.
        self._missed_at: dict[str | None, float] = {}
        self._completed_at: dict[str, float] = {}

    async def admit(self, lease: Lease) -> Lease | None:
        """Return the lease to handle; None if it was a catch-up, or if missed messages now go before it."""
        if lease.delivery.type == CATCH_UP_TYPE:
            await self.catch_up(lease)
            return None
        if self._since is None or not self._may_miss(lease.delivery):
            return lease
        return None if await self.complete(lease) else lease

    @asynccontextmanager
    async def around(self, role: Role) -> AsyncIterator[None]:
        """Begin where the processes before this one have ended."""
        if role != "work":
            await end_downtime(self._storage, self._clock)
        if role != "receive":
            self._storage.follow_gaps(self.note)
            await self._begin()
        yield

    def refused(self, lane: str | None) -> None:
        # During an outage, other processes cannot tell which lanes they refuse, so any chat may miss messages. One process can.
        if lane is not None or self._storage.is_shared:
            self.note(lane)

    def stored_again(self, since: float) -> None:
        """End a time in which this process ran and could store nothing. A long one ends as a downtime does.

        After a short one, Linq still retries, and each refused chat is known.
        """
        self._ending.start(self._end_outage(since))

    async def receives_no_more(self) -> None:
        """Cancel what still waits for the storage, and announce that this process receives no more.

        Linq repeats a request that this process did not read. Another one may accept the chat's next message before.
        """
        await self._ending.aclose()
        with suppress(StorageUnavailable):
            await self._storage.announce_gap(self._clock.now())

    async def _end_outage(self, since: float) -> None:
        while self._clock.now() - since >= SHORT_GAP_S:
            try:
                await end_downtime(self._storage, self._clock, since)
            except StorageUnavailable:
                await self._clock.wait_until(self._clock.now() + STORAGE_PAUSE_S)
            else:
                return

    async def _begin(self) -> None:
        """Note at start-up that no process may have run since the newest webhook, so messages may be missing.

        Messages that an earlier process missed may still be missing too, because Linq retries for half an hour.
        """
        first_at, last_at = await self._storage.first_activity(), await self._storage.last_activity()
        if first_at is not None and last_at is not None:
            self._first_at = first_at
            self.note(since=last_at)

    def note(self, lane: str | None = None, since: float | None = None) -> None:
        """Note that deliveries of a lane, or with None of any, may have been refused since a time until now."""
        now = self._clock.now()
        since = max(min(now if since is None else since, now - LINQ_RETRIES_S), self._first_at)
        self._since = since if self._since is None else min(self._since, since)
        self._missed_at[lane] = self._clock.monotonic()
        self._ends_at = self._missed_at[lane] + LINQ_RETRIES_S

    def _may_miss(self, delivery: Delivery) -> bool:
        """Return True if messages that were sent before this one may be missing.

        The same is asked for the timeout of a question: an answer that was sent before it counts.
        """
        if delivery.type not in ("message.received", ENDING_TYPE) or self._options.wait_s <= 0:
            return False
        if chat_of_lane(delivery.lane) is None:
            return False  # Linq has sent a message without its chat, so no chat can be asked for others.
        if self._clock.monotonic() > self._ends_at:
            self._since = None
            self._missed_at.clear()
            self._completed_at.clear()
            return False
        missed_at = max(self._missed_at.get(each, 0.0) for each in (None, delivery.lane))
        return missed_at > self._completed_at.get(delivery.lane, 0.0)

    async def complete(self, lease: Lease) -> bool:
        """Store the messages that are missing before a leased message, and put its lane in order.

        Returns True if the lease was released, so that the lane is leased again in the right order. False if Linq did not
        answer in time; then the leased message is handled without the missing ones. Raises LeaseLost, and CancelledError if
        the worker stops: then the lease was released too.
        """
        lane = lease.delivery.lane
        try:
            while (missed := await self._stored_before(lease)) is None:
                await self._clock.wait_until(self._clock.now() + STORAGE_PAUSE_S)
        except (TimeoutError, LinqApiError) as error:
            log.warning("order.unknown", delivery=lease.delivery.id, error=type(error).__name__)
            return False
        except asyncio.CancelledError:
            # Not deferred: a deferred delivery keeps its place, before missed messages that are found later.
            await self._storage.put_in_order(lane, (), lease)
            raise
        if missed:
            log.info("order.completed", delivery=lease.delivery.id, messages=missed)
        return True

    async def _stored_before(self, lease: Lease) -> int | None:
        """Store the messages that are missing, and return their number; None if the storage failed."""
        lane = lease.delivery.lane
        chat_id = chat_of_lane(lane)
        assert chat_id is not None  # see `_may_miss`
        began = self._clock.monotonic()
        try:
            if not self._first_at:
                # This process was started before the first webhook.
                self._first_at = await self._storage.first_activity() or 0.0
            since = max((self._since or 0.0) - _ON_ITS_WAY_S, self._first_at)
            questions = await waiting_in(chat_id, self._storage)
            async with asyncio.timeout(self._options.wait_s):
                missed = await self._missed(await self._client.chats.retrieve(chat_id), questions, since)
            self._count(missed, await self._storage.put_in_order(lane, missed, lease))
        except StorageUnavailable as error:
            log.warning("order.waits", delivery=lease.delivery.id, error=str(error))
            return None
        except (TimeoutError, LinqApiError):
            self._completed_at[lane] = began  # The chat waits only once.
            raise
        # Not earlier: a process that was suspended may lose the lease meanwhile, and lease the lane again.
        self._completed_at[lane] = began
        return len(missed)

    async def catch_up(self, lease: Lease) -> None:
        """Store the messages that were missed. If Linq does not list them, or the worker stops, defer the delivery.

        Raises LeaseLost if the lease is over; in other errors it is still held.
        """
        since, now = float(from_json(lease.delivery.body)["since"]) - _ON_ITS_WAY_S, self._clock.now
        try:
            count = await self._store_missed(since)
        except LinqApiError as error:
            log.error("history.failed", error=str(error), again_in_s=RETRY_S)
            await self._storage.finish(lease, Commit(Defer(now() + RETRY_S, error.summary)))
        except asyncio.CancelledError:
            await self._storage.finish(lease, Commit(Defer(now(), "stopped")))
            raise
        else:
            log.info("history.fetched", messages=count, since=round(since))
            # Off the record, so that it is not kept and replayed.
            await self._storage.finish(lease, Commit(Ack(), off_the_record=True))

    async def _store_missed(self, since: float) -> int:
        count, chats = 0, self._client.chats
        asked: dict[str, list[Conversation]] = {}
        for each in await self._storage.conversations(limit=_MOST_QUESTIONS):
            if each.status == "waiting":
                asked.setdefault(each.chat_id, []).append(each)
        for line in self._options.lines or (None,):
            async for chat in chats.list_chats(from_=line, limit=PAGE_SIZE):
                questions = asked.pop(chat.id, ())
                if questions or chat.updated_at is None or chat.updated_at.timestamp() >= since:
                    count += await self._store_missed_of(chat, questions, since)
        for chat_id, questions in asked.items():
            if (unlisted := await given(chats.retrieve(chat_id))) is not None:
                count += await self._store_missed_of(unlisted, questions, since)
        return count

    async def _store_missed_of(self, chat: Chat, questions: Sequence[Conversation], since: float) -> int:
        lane, began = lane_of_chat(chat.id), self._clock.monotonic()
        missed = await self._missed(chat, questions, since)
        count = await self._storage.put_in_order(lane, missed)
        self._count(missed, count)
        if not questions:
            # The timeout of a question may be leased already, so that it was not sorted. Its own turn asks again.
            self._completed_at[lane] = began
        return count

    def _count(self, missed: Sequence[Delivery], stored: int) -> None:
        """Count messages that were stored, at most so many."""
        given_up_at = self._clock.now() - LINQ_RETRIES_S
        self.lost += min(
            stored, sum(each.id.startswith(RECONCILED_ID) and each.sent_at < given_up_at for each in missed)
        )

    async def _missed(self, chat: Chat, questions: Sequence[Conversation], since: float) -> list[Delivery]:
        """Return what is missing of a chat since a Unix time: messages, and answers to open questions."""
        messages = [
            message
            async for message in newest(self._client, chat.id, since)
            if not message.is_from_me and sent_at(message) >= since
        ]
        if messages and sent_at(messages[0]) >= sent_at(messages[-1]):
            messages.reverse()  # Linq lists the newest first. So of equal times, the older message is stored first.
        now = self._clock.now()
        has_left = await self._storage.seen([_key(message) for message in messages])
        handled_at = max((sent_at(message) for message in messages if has_left.get(_key(message))), default=0.0)
        found = [
            delivery_of(chat, message, now, is_history=self._is_history(message, handled_at, now))
            for message in messages
            if _key(message) not in has_left
        ]
        return found + await missed_answers(self._client, chat, questions, since, now)

    def _is_history(self, message: Message, handled_at: float, now: float) -> bool:
        age_s = now - sent_at(message)
        if age_s <= LINQ_RETRIES_S:
            return False  # Linq may still deliver it itself, and that delivery would not be history
        return age_s > self._options.answer_for_s or sent_at(message) < handled_at


def sent_at(message: Message) -> float:
    at = message.sent_at or message.created_at
    return at.timestamp() if at is not None else 0.0


async def newest(client: Client, chat_id: str, since: float) -> AsyncIterator[Message]:
    """Yield a chat's messages, back to `since` if the pages go from new to old.

    Linq does not document the order of the list. So reading stops early only if a page is seen to go from new to old.
    """
    async for page in client.chats.messages.list(chat_id, limit=PAGE_SIZE).pages():
        for message in page.items:
            yield message
        times = [sent_at(message) for message in page.items]
        if times and times[0] >= times[-1] and times[-1] < since:
            return


def _key(message: Message) -> str:
    return f"m.{message.id}"


def delivery_of(chat: Chat, message: Message, now: float, *, is_history: bool) -> Delivery:
    """Return the delivery of a message whose webhook did not arrive, or is not kept."""
    owner = next((handle for handle in chat.handles if handle.is_me), None)
    at = datetime.fromtimestamp(now, UTC).isoformat()
    data: dict[str, Any] = message.to_json_object() | {
        "chat": {"id": chat.id, "is_group": chat.is_group, "owner_handle": _json_object(owner)},
        "direction": "inbound",
        "sender_handle": _json_object(message.from_handle),
    }
    # The envelope's time is that of this search.
    data["sent_at"] = data.get("sent_at") or data.get("created_at")
    if is_history:
        data["reconciled_at"] = at
    body = {
        "api_version": "v3",
        "webhook_version": "2026-02-03",
        "event_type": "message.received",
        "event_id": f"reconciled.{message.id}",
        "created_at": at,
        "data": data,
    }
    delivery = Delivery.from_webhook(to_json(body), webhook_id="", received_at=now)
    # The id has a form that no webhook can have. The message key still matches the copy that Linq delivers itself.
    return replace(delivery, id=f"{RECONCILED_ID}{message.id}")


def _json_object(handle: Handle | None) -> dict[str, Any] | None:
    return None if handle is None else handle.to_json_object()


_SHARED: Final = "location.sharing.started"


class _Fact(NamedTuple):
    """An event as Linq would have reported it: its time, its type, and its data without the chat."""

    at: datetime
    type: str
    data: dict[str, Any]


async def missed_answers(
    client: Client, chat: Chat, questions: Sequence[Conversation], since: float, now: float
) -> list[Delivery]:
    """Return what the open questions of a chat wait for and Linq knows, as deliveries.

    A tapback, a location and a vote that was taken back have no time at Linq. They get the earliest possible one, so
    that they count before the question's timeout: `since`, the time since which webhooks may be missing.
    """
    if not questions:
        return []
    from linqbot.features.asking.question import OpenQuestion

    found = []
    for conversation in questions:
        if (question := OpenQuestion.read(conversation.question)) is not None:
            earliest = datetime.fromtimestamp(max(since, conversation.asked_at), UTC)
            facts = await _facts(question, chat, client, earliest)
            found += [_answer_delivery(fact, conversation, chat, now) for fact in facts]
    return found


async def _facts(question: OpenQuestion, chat: Chat, client: Client, earliest: datetime) -> list[_Fact]:
    facts = [*_of_members(question, chat, earliest)]
    if question.poll is not None and (envelope := await given(client.messages.poll.retrieve(question.poll))):
        facts += _of_poll(question, envelope, line_of(chat), earliest)
    for message_id in question.messages if question.reactions else ():
        if (message := await given(client.messages.retrieve(message_id))) is not None:
            facts += _of_reactions(message, earliest)
    if _SHARED in question.events and (located := await given(client.chats.location.retrieve(chat.id))):
        handles = [feature.properties.handle for feature in located.data.features]
        facts += [_Fact(earliest, _SHARED, {"shared_by": handle, "shared_with": line_of(chat)}) for handle in handles]
    return facts


def _of_members(question: OpenQuestion, chat: Chat, earliest: datetime) -> Iterator[_Fact]:
    """Yield the removal of the bot from a group, and the people who came or left since a vote of all began."""
    ballot = question.ballot if question.ballot is not None and question.ballot.until is None else None
    for handle in chat.handles if chat.is_group else ():
        has_left = handle.status in ("left", "removed")
        is_awaited = ballot is not None and person_key(handle.handle) in ballot.members
        if has_left if handle.is_me else (ballot is not None and has_left == is_awaited):
            at = handle.left_at if has_left else handle.joined_at
            kind = "participant.removed" if has_left else "participant.added"
            yield _Fact(at or earliest, kind, {"participant": handle.to_json_object()})


def _of_poll(question: OpenQuestion, made: PollEnvelope, line: str | None, earliest: datetime) -> Iterator[_Fact]:
    """Yield the options that people added to a poll, and the votes that they gave and took back."""
    from linqbot.features.asking.question import Ballot

    base = {"message_id": made.message_id, "direction": "inbound"}
    ballot = question.ballot or Ballot(choices=question.choices, options=tuple(question.options.items()))
    known = dict(ballot.options)
    votes = {
        (person_key(voter.handle), option.option_id): voter.voted_at or earliest
        for option in made.poll.options
        for voter in option.voters
        if voter.handle != line
    }
    added = [option.to_json_object() for option in made.poll.options if option.option_id not in known]
    if added:
        # Before the votes for them.
        yield _Fact(min([earliest, *votes.values()]), "poll.updated", base | {"added_options": added})
    counted = {(person, option) for person, choice in ballot.votes for option, text in known.items() if text == choice}
    for person, option in sorted(counted - votes.keys()):
        yield _Fact(earliest, "poll.vote.removed", base | {"sender_handle": {"handle": person}, "option_id": option})
    for (person, option), at in votes.items():
        # A vote for an added option was answered as invalid before, if it answers a question.
        if (person, option) not in counted and (question.ballot is not None or option in known):
            yield _Fact(at, "poll.vote.added", base | {"sender_handle": {"handle": person}, "option_id": option})


def _of_reactions(message: Message, earliest: datetime) -> Iterator[_Fact]:
    for index, part in enumerate(message.parts):
        for each in () if isinstance(part, UnknownPart) else part.reactions or ():
            if each.handle is not None and not each.is_me:
                reaction = {"reaction_id": each.id, "reaction_type": each.type, "custom_emoji": each.custom_emoji}
                by = {"is_from_me": False, "from_handle": each.handle.to_json_object()}
                place = {"message_id": message.id, "part_index": index}
                yield _Fact(earliest, "reaction.added", {**place, **reaction, **by})


def _answer_delivery(fact: _Fact, conversation: Conversation, chat: Chat, now: float) -> Delivery:
    """Build the delivery that Linq would have made for an event."""
    owner = {"owner_handle": {"handle": line_of(chat), "is_me": True}}
    place = {"chat_id": chat.id, "chat": {"id": chat.id, "is_group": chat.is_group, **owner}}
    hidden = {"zero_retention": True} if conversation.off_the_record else {}
    body = {"event_type": fact.type, "created_at": fact.at.isoformat(), "data": {**place, **fact.data, **hidden}}
    # A digest, because the body has handles, and ids are logged. The same fact has the same id.
    name = hashlib.blake2b(to_json([conversation.id, body]), digest_size=16).hexdigest()
    body["event_id"] = f"found.{name}"
    return Delivery(f"{FOUND_ID}{name}", lane_of_chat(chat.id), fact.type, to_json(body), now)
