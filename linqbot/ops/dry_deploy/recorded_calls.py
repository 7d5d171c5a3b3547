"""Stands in for Linq and for the journal while new code runs on an old delivery: calls are answered from the record.

Nothing goes out. A call that the old turn made gets the answer that it got then, so that ids and refusals are those of
then. A call that is new gets a made-up answer. A read whose answer is not kept ends the run, and is named: the code must
not go on with something made up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import NoReturn, Self

from pydantic_core import from_json

from linqbot.bot.conversation.history import SentInTurn
from linqbot.bot.conversation.turn_state import TurnState
from linqbot.bot.proactive.send_later import Rhythm
from linqbot.bot.streaming.record import Unrecorded
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.client import Client
from linqbot.errors import Suspended
from linqbot.ops.call_recorder import UPLOAD, made_up_response
from linqbot.ops.dry_deploy.compared_call import ComparedCall, joined_streams, of_call, of_entry
from linqbot.ops.dry_deploy.kept_chat import KeptChats
from linqbot.ops.dry_deploy.recorded_turn import RecordedTurn
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast, counted
from linqbot.storage.journal import JournalEntry
from linqbot.types.proactive.broadcast import Broadcast, Recipient, RecipientOutcome
from linqbot.types.proactive.scheduled import Scheduled
from linqbot.worker.calls.entry_answers import outcome_of
from linqbot.worker.calls.journal_match import JournalMatcher
from linqbot.worker.calls.slots import OUTSIDE_FIRST, Slots, step_around, step_digest
from linqbot.worker.calls.turn_journal import journal_key, refuse_if_muted
from linqbot.worker.calls.turn_scheduler import listed


class RecordedCalls:
    """Answers the calls of one run, and stands in for its journal. It must be created in the task of the run.

    Args:
        reads: Let reads of Linq that the storage cannot answer through to Linq, as it is now.
        without_past: True answers `ctx.history` as if nothing were said before.

    Attributes:
        missing: What is not on record, so that the run has ended; None if nothing was missing.
        doubts: Why the run may differ from the turn on record, although its code is the same.
        past: What the run has read of the past that may not be as it was then: sentences.
        muted_chat: See `TurnJournal`.
    """

    def __init__(
        self, turn: RecordedTurn, storage: Storage, kept: KeptChats, *, reads: bool, without_past: bool
    ) -> None:
        self.missing: str | None = None
        self.doubts: list[str] = []
        self.past: list[str] = []
        self._without_past = without_past
        self.muted_chat: str | None = None
        self._turn = turn
        self._storage = storage
        self._kept = kept
        self._reads = reads
        self._matcher = JournalMatcher(turn.call_entries)
        self._slots = Slots()
        self._made: list[ComparedCall] = []
        self._answered: list[tuple[Call, ApiResponse]] = []
        self._messages: set[str] = set()
        self._of_earlier_parts: frozenset[str] = frozenset()
        self._sends: dict[str, tuple[ComparedCall, ...]] = {}
        self._is_over = False

    @property
    def made(self) -> tuple[ComparedCall, ...]:
        """The calls that the run made, without reads and hints."""
        return joined_streams(self._made)

    @property
    def sends(self) -> dict[str, tuple[ComparedCall, ...]]:
        """The calls of `ctx.send_later`, by the id of the send; none if the person opted out with the turn."""
        return self._sends if self.muted_chat is None else {}

    def around(self, client: Client) -> Client:
        """Return the client with the record between it and Linq."""
        return client.wrapped(self._answering, before_fetch=self._refuse_fetch)

    def enter(self, part: str) -> None:
        """Go on with the next part of a conversation; see `TurnJournal.enter`."""
        self._slots.part = part
        self._of_earlier_parts = frozenset(self._messages)

    def recall_step(self, name: str) -> None:
        """Note that the run has a step from the record, and so makes the calls that the step made then."""
        digest = step_digest(name)
        self._made += [of_entry(entry) for entry in self._turn.call_entries if step_around(entry.slot) == digest]

    def cut(self, what: str) -> NoReturn:
        """End the run, because something is not on record.

        Raises:
            Suspended: always. The author's `except Exception` does not catch it.
        """
        self.missing = self.missing or what
        self.end()
        raise Suspended(f"not recorded: {what}")

    def end(self) -> None:
        """Let every later call end the code that makes it."""
        self._is_over = True

    def doubt(self, why: str) -> None:
        """Note why the run may differ from the turn on record."""
        if why not in self.doubts:
            self.doubts.append(why)

    def _answering(self, run: Run) -> Run:
        async def answer(call: Call) -> ApiResponse:
            if call.safety == "hint":
                return ApiResponse(204)
            self._refuse_after_end()
            if call.name == UPLOAD:
                self.cut("the upload of a file")
            if call.safety == "read":
                return await self._read(call, run)
            return await self._answer(call)

        return answer

    async def _answer(self, call: Call) -> ApiResponse:
        slot = self._slots.of_call(call)
        if self.muted_chat is not None:
            await refuse_if_muted(call, self.muted_chat, self._storage.entry_of)
        entry = self._matcher.match(slot, call, is_named=call.label is not None).entry
        self._made.append(of_call(call, slot))
        answer = (
            ApiResponse(202, made_up_response(call, len(self._made))) if entry is None else _answer_of_then(entry, call)
        )
        self._answered.append((call, answer))
        if entry is not None and entry.message_id is not None:
            self._messages.add(entry.message_id)
        return answer

    async def _read(self, call: Call, run: Run) -> ApiResponse:
        found = await self._kept.answer(call, self._turn, self.past, without_past=self._without_past)
        if found is not None:
            return ApiResponse(200, found)
        if not self._reads:
            self.cut(f"what {call.name} returned (with --reads, Linq is asked now)")
        self.doubt(f"{call.name} was read from Linq as it is now")
        return await run(call)

    def _refuse_fetch(self) -> None:
        self._refuse_after_end()
        if not self._reads:
            self.cut("a file that was downloaded (with --reads, it is downloaded now)")

    def _refuse_after_end(self) -> None:
        if self._is_over:
            raise Suspended("The run has ended.")

    # The journal, as a context uses it

    @property
    def scheduler(self) -> Self:
        """This record itself."""
        return self

    @property
    def broadcaster(self) -> Self:
        """This record itself."""
        return self

    def schedule(
        self,
        chat_id: str,
        calls: Sequence[Call],
        *,
        due: float,
        grace_s: float,
        key: str | None,
        every: Rhythm | None = None,
        tag: str | None = None,
    ) -> Scheduled:
        """Record calls for a later time, under the id that the turn on record gave them."""
        self._refuse_after_end()
        turn = self._turn
        scheduled_id = journal_key(self._storage.install, turn.delivery.id, turn.replay, self._slots.of_timer(key))
        self._sends[scheduled_id] = tuple(of_call(call, is_later=True) for call in calls)
        return Scheduled(scheduled_id, datetime.fromtimestamp(due, UTC), tag, every.spec if every else None)

    async def cancel(self, scheduled_id: str) -> bool:
        """Cancel a send of this run, or return the result on record."""
        self._refuse_after_end()
        entry = self._turn.results.get(self._slots.of_cancelled())
        if self._sends.pop(scheduled_id, None) is not None:
            return True
        if entry is not None:
            return bool(from_json(entry.answer or b"false"))
        if scheduled_id:
            self.doubt("it is not on record if a scheduled send was still waiting to be cancelled")
        return False

    def discard(self) -> None:
        """Forget the sends of this run."""
        self._sends.clear()

    async def scheduled(self, chat_id: str) -> list[Scheduled]:
        """Return the list on record; without one an empty list."""
        self._refuse_after_end()
        if (entry := self._turn.results.get(self._slots.of_list())) is not None:
            return listed(entry)
        self.doubt("it is not on record which scheduled sends were waiting")
        return []

    async def start_broadcast(
        self,
        new: NewBroadcast,
        people: Sequence[str],
        *,
        check: Callable[[], Awaitable[None]],
    ) -> Broadcast:
        """Record a broadcast that is not stored, and return it. A stored one is returned as it is now."""
        self._refuse_after_end()
        stored = await self._storage.broadcast(new.name)
        if stored is not None:
            self.doubt("a broadcast was read as it is now")
            return stored
        self._made.append(ComparedCall("ctx.bot.broadcast", new.name, f"[broadcast {new.name}]"))
        return counted(new.stored("running"), {"pending": len(people)})

    async def find_broadcast(self, name: str) -> Broadcast | None:
        """Return a broadcast as it is now; None if none of this name is stored."""
        self.doubt("a broadcast was read as it is now")
        return await self._storage.broadcast(name)

    async def recipients_of(
        self, name: str, *, outcome: RecipientOutcome | None, after: int, limit: int
    ) -> list[Recipient]:
        """Return people of a broadcast as it is now."""
        self.doubt("a broadcast was read as it is now")
        return await self._storage.recipients(name, outcome=outcome, after=after, limit=limit)

    async def reschedule(self, scheduled_id: str, *, due: float) -> Scheduled | None:
        """Return the send at its new time. It is not known if it was still waiting."""
        self._refuse_after_end()
        self.doubt("it is not on record if a scheduled send was still waiting to be moved")
        return Scheduled(scheduled_id, datetime.fromtimestamp(due, UTC))

    def enter_handler(self) -> None:
        """Go on with what the handler does."""
        self._slots.part = ""

    def leave_handler(self) -> None:
        """Go on with what is done outside of the handler, for the event that began the turn."""
        self._slots.part = OUTSIDE_FIRST

    def use_state(self, state: TurnState) -> None:
        """Do nothing: a dry run stores no state."""

    def sent_in_turn(self) -> SentInTurn:
        """Return the calls that this run has made so far, and the ids of the messages of the turn on record."""
        ids = frozenset(entry.message_id for entry in self._turn.call_entries if entry.message_id)
        return SentInTurn(tuple(self._answered), ids, self._of_earlier_parts)

    def stream(self, key: str | None) -> Unrecorded:
        """Return the record of a stream of which nothing was said."""
        self._refuse_after_end()
        stream = Unrecorded()
        stream.label = self._slots.label_of_stream(key)
        return stream


def _answer_of_then(entry: JournalEntry, call: Call) -> ApiResponse:
    """Return the answer that a call got then, or a made-up one if none is kept.

    Raises:
        LinqApiError, AmbiguousCall, MessageGone: the call ended so then; see `outcome_of`.
    """
    if entry.status not in ("refused", "ambiguous") and entry.answer is None and entry.message_id is None:
        return ApiResponse(202, made_up_response(call, 0))
    return outcome_of(entry, call)
