"""The storage of a dry run: in memory, with the real storage behind it, which is only read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic_core import from_json

from linqbot.clock import Clock
from linqbot.engine.call_lookup import was_muted
from linqbot.engine.slots import is_outside_of_answer
from linqbot.features.asking.question import OpenQuestion
from linqbot.features.asking.records import order, record_of
from linqbot.features.later import CANCEL, KIND
from linqbot.features.schedules import REPEAT
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.events.lane import chat_of_lane
from linqbot.linq.types.proactive import Broadcast, Recipient, RecipientOutcome
from linqbot.ops.dry_runs.dry_turn import DryTurn
from linqbot.storage import conversations
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast
from linqbot.storage.inbox import Ack, Commit, Lease, Outcome
from linqbot.storage.journal import RECORDED, JournalEntry
from linqbot.storage.mutes import FOREVER, Mute
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.storage.state import StateRow, StateWrite
from linqbot.storage.timers import Timer

_STATE_OF_NOW: Final = "ctx.state, which is not on record as it was then"
ALL: Final = 10_000
"""More deliveries and timers than a turn can have."""


class Scratch(MemoryStorage):
    """The storage of one run. What it does not have of other turns, and the state, come from the real storage."""

    def __init__(self, run: DryTurn, behind: Storage, clock: Clock) -> None:
        # With history, so that the content of calls stays.
        super().__init__(clock=clock, keep_days=1.0)
        self._install = behind.install
        self._run = run
        self._behind = behind
        self._scopes: set[str] = set()
        self._shown: set[tuple[str, str]] = set()
        self._not_ours: set[str] = set()
        # The numbers of the questions that were answered from the record.
        self._ended: set[int] = set()
        self.begun_slot = ""  # the slot of the call that is being made
        self.outcome: Outcome = Ack()  # the outcome of the turn that has ended last

    async def fill(self) -> None:
        turn = self._run.turn
        for entry in turn.results.values():
            if from_json(entry.call).get("verb") in (CANCEL, "scheduled"):
                await self.settle(entry)
        if turn.muted is not None and (chat_id := chat_of_lane(turn.delivery.lane)) is not None:
            await self.mute(Mute(chat_id, FOREVER))
            await self.settle(turn.muted)
        if turn.conversations:
            commit = Commit(Ack(), conversations=list(turn.conversations))
            await self._operate(lambda tx: conversations.write(tx, [commit]))
        await self._show(0)

    async def _show(self, part: int) -> None:
        """Store the state that a part of the conversation on record has read. Of the last part, it is not on record."""
        for record in self._run.questions:
            if record.part != part:
                continue
            for scope, values in record.seen.state.items():
                writes = [StateWrite(scope, name, None if v is None else v.encode()) for name, v in values.items()]
                await self.write_state(writes)
                self._shown |= {(scope, name) for name in values}

    async def next_answer(self) -> Delivery | None:
        """Return the end of the question that the run has asked, as a delivery; None if there is none on record."""
        run = self._run
        found = await super().conversation(run.turn.delivery.id)
        if run.is_over or found is None or found[0].status != "waiting":
            return None
        conversation, entries = found
        question = OpenQuestion.model_validate_json(conversation.question)
        asks = (record_of(entry) for entry in entries if entry.safety == "ask")
        asked = next(each for each in asks if each.n == question.n)
        record = run.answered(asked)
        if record is None or record.outcome is None or question.n in self._ended:
            return None
        record.is_used = True
        self._ended.add(question.n)
        await self._show(record.n)
        at = record.outcome.get("at", self._clock.now())
        run.answered_by = str(record.outcome.get("by", ""))
        outcome: Any = {name: value for name, value in record.outcome.items() if name not in ("by", "at")}
        return order(conversation, question.n, outcome, name=run.answered_by, now=at)

    async def sends(self) -> list[Timer]:
        timers = await super().scheduled(limit=ALL)
        return [each for each in timers if each.kind in (KIND, REPEAT) and each.id not in self._not_ours]

    def close(self) -> None:
        """Free the database. Other objects of the run refer to each other, and stay until the garbage collector runs."""
        self._writer.db.close()

    async def finish(self, lease: Lease, commit: Commit) -> None:
        await super().finish(lease, commit)
        self.outcome = commit.outcome

    # Journal

    async def begin(self, entry: JournalEntry, lease: Lease | None = None, **state: Any) -> None:
        self._run.refuse_after_end()
        await super().begin(entry, lease, **state)
        if entry.safety not in RECORDED:
            self.begun_slot = entry.slot
            # What middleware did for the answers is not compared.
            if not is_outside_of_answer(entry.slot):
                self._run.made.append(entry)

    async def settle(self, entry: JournalEntry, state: Sequence[StateWrite] = ()) -> None:
        await super().settle(entry, state)
        if was_muted(entry):
            made = self._run.made
            self._run.made = [each for each in made if isinstance(each, NewBroadcast) or each.key != entry.key]

    async def entry_of(self, message_id: str) -> JournalEntry | None:
        return await super().entry_of(message_id) or await self._behind.entry_of(message_id)

    async def has_sent(self, message_id: str) -> bool:
        return await super().has_sent(message_id) or await self._behind.has_sent(message_id)

    @property
    def has_made_scheduled_sends(self) -> bool:
        return True

    # State

    async def load(self, scope: str) -> dict[str, bytes]:
        if scope not in self._scopes and not self._run.without_past:
            values = await self._behind.load(scope)
            if values:
                self._run.past.append(_STATE_OF_NOW)
            new = {name: value for name, value in values.items() if (scope, name) not in self._shown}
            await self.write_state([StateWrite(scope, name, value) for name, value in new.items()])
        self._scopes.add(scope)
        return await super().load(scope)

    async def state_rows(self, **how: Any) -> list[StateRow]:
        if self._run.without_past:
            return []
        self._run.past.append(_STATE_OF_NOW)
        return await self._behind.state_rows(**how)

    # Timers

    async def cancel(self, timer_id: str, record: JournalEntry | None = None, *, by: By | None = None) -> bool:
        if timer_id and record is not None:
            self._run.doubt("it is not on record if a scheduled send was still waiting to be cancelled")
        return await super().cancel(timer_id, record, by=by)

    async def scheduled(self, *, lane: str | None = None, limit: int = 100) -> list[Timer]:
        if self._run.ctx is not None:
            self._run.doubt("it is not on record which scheduled sends were waiting")
        return await super().scheduled(lane=lane, limit=limit)

    async def timer(self, timer_id: str) -> Timer | None:
        if (found := await super().timer(timer_id)) is None and self._run.ctx is not None:
            self._run.doubt("it is not on record if a scheduled send was still waiting to be moved")
            found = await self._behind.timer(timer_id)
            self._not_ours.add(timer_id)
        return found

    # Broadcasts

    async def start_broadcast(self, broadcast: NewBroadcast, people: Sequence[str]) -> bool:
        if await self._begun_before(broadcast.name) is not None:
            return False
        is_new = await super().start_broadcast(broadcast, people)
        # One that is stored has begun in the turn on record, or later.
        if is_new and await self._behind.broadcast(broadcast.name) is None:
            self._run.made.append(broadcast)
        return is_new

    async def broadcast(self, name: str) -> Broadcast | None:
        return await super().broadcast(name) or await self._begun_before(name)

    async def recipients(
        self, name: str, *, outcome: RecipientOutcome | None = None, after: int = 0, limit: int = 500
    ) -> list[Recipient]:
        if await super().broadcast(name) is not None:
            return await super().recipients(name, outcome=outcome, after=after, limit=limit)
        self._run.doubt("a broadcast was read as it is now")
        return await self._behind.recipients(name, outcome=outcome, after=after, limit=limit)

    async def _begun_before(self, name: str) -> Broadcast | None:
        """Return a broadcast that began before the turn, as it is now; None if none of this name did."""
        found = await self._behind.broadcast(name)
        if found is None or found.created_at.timestamp() >= self._run.turn.delivery.received_at:
            return None
        self._run.doubt("a broadcast was read as it is now")
        return found
