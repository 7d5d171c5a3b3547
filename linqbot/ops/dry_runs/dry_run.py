"""Run a bot's handlers on deliveries of its own storage, and list each call instead of making it.

The turn runs in a world of its own (`world.py`), with what is on record. A send whose time has come can be repeated too,
although it has no webhook. A delivery that went to an open question is no turn of its own. If the run ends at something
that is not on record, it says so. The command `linqbot replay bot.py` prints the result.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from linqbot.bot.bot import Bot
from linqbot.client.call import Call
from linqbot.client.client import Client
from linqbot.errors import LinqApiError
from linqbot.features.asking.admission import ORDER_PREFIX
from linqbot.linq.events.delivery import Delivery
from linqbot.linq.types.proactive import Broadcast
from linqbot.ops.dry_runs.chosen_turns import ChosenTurns
from linqbot.ops.dry_runs.dry_turn import DryTurn
from linqbot.ops.dry_runs.recorded_turn import calls_of
from linqbot.ops.dry_runs.tape import NO_READS
from linqbot.ops.dry_runs.world import DryWorld
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Storage
from linqbot.storage.journal import JournalEntry

_SEE_CONVERSATION: Final = "To see that conversation, replay the delivery with which it began: {}"
_ANSWER: Final = f"It answered a question, so the handler that asked took it. {_SEE_CONVERSATION}"
_TO_QUESTION: Final = (
    "A question was open when it came, which it did not end: it was a refused answer, or a vote that was counted. "
    + _SEE_CONVERSATION
)


@dataclass(frozen=True, slots=True)
class Simulation:
    delivery: Delivery
    calls: list[Call] = field(default_factory=list)  # calls that would have been made, in this order
    later: list[Call] = field(default_factory=list)  # calls that `ctx.send_later` would have kept for a later time
    broadcasts: list[Broadcast] = field(default_factory=list)  # broadcasts that would have begun, in this order
    handler: str | None = None  # name of the handler that ran; None if no handler took the event
    error: BaseException | None = None  # the exception that the handler raised
    note: str | None = None  # what a dry run cannot show, and why; None if it shows everything
    # For a delivery that went to an open question, which a dry run does not handle: the id of the delivery with which
    # the conversation began. None for any other delivery.
    began_with: str | None = None


class DryRun:
    """Runs a bot's handlers on stored deliveries, each at the time at which it was received.

    Args:
        client: Used for reads, if they are allowed; already open.
        storage: Holds the deliveries, and knows which messages the bot has sent. It is only read.
        chosen: Tells which deliveries went to an open question.
        reads: Let reads that the storage cannot answer, and downloads of media, through to Linq.
        plugins: Their middleware and routers run as in production; their observer hooks do not run.
    """

    def __init__(
        self, bot: Bot, client: Client, storage: Storage, chosen: ChosenTurns, *, reads: bool, plugins: Plugins
    ) -> None:
        self._world = DryWorld(bot, client, storage, plugins=plugins, reads=reads)
        self._storage = storage
        self._chosen = chosen

    async def replay(self, ids: Sequence[str]) -> AsyncIterator[Simulation]:
        async for page in self._storage.pages(ids):
            for delivery in page:
                yield await self.run(delivery)

    async def run(self, delivery: Delivery) -> Simulation:
        """Run the handlers on one delivery. An error that they raise is in the result, a SystemExit included."""
        note = note_on(delivery, self._chosen)
        began_with = None if note else self._chosen.answered.get(delivery.id)
        if began_with is not None:
            # The handler that takes other messages would not have got it.
            return Simulation(delivery, note=_ANSWER.format(began_with), began_with=began_with)
        turn = await self._chosen.read(delivery)
        if note is not None:
            turn = replace(turn, conversations=())
        if (asker := await self._world.answered_by(turn)) is not None:
            return Simulation(delivery, note=_TO_QUESTION.format(asker.id), began_with=asker.id)
        done = await self._world.run(turn)
        if done.is_answer and done.asker is not None:
            return Simulation(delivery, note=_TO_QUESTION.format(done.asker.id), began_with=done.asker.id)
        return Simulation(
            delivery,
            [Call.from_json(each.call) for each in done.made if isinstance(each, JournalEntry)],
            [call for timer in done.sends for call in calls_of(timer)],
            done.begun,
            done.ctx.handler if done.ctx else None,
            LinqApiError(NO_READS, call=done.missing_read) if done.missing_read else done.error,
            note=" ".join(filter(None, (note, _why_ended(done)))) or None,
        )


def _why_ended(done: DryTurn) -> str | None:
    """Return why a run has ended before the end of its handler; None if it has not, or if its error says so."""
    if done.waits == "refused":
        return "The recorded answer does not fit this question, so it would be asked again."
    if done.waits is not None:
        return "It asks this question and waits. No answer is on record, so the dry run ends here."
    if done.missing_step is not None:
        return (
            f"ctx.once({done.missing_step!r}) has an effect outside of Linq, and no result is on record, so the dry run "
            "ends here."
        )
    return None if done.missing is None or done.missing_read else f"Not recorded: {done.missing}."


def note_on(delivery: Delivery, chosen: ChosenTurns) -> str | None:
    """Return why a dry run cannot show what really happens with a delivery of a conversation; None if it can."""
    if delivery.id.startswith(ORDER_PREFIX):
        return (
            "It ends a question of ctx.ask, such as after a timeout, and no dry run shows that. To continue the "
            f"conversation: linqbot waiting retry {delivery.id}"
        )
    if (failed := chosen.failed_by(delivery.id)) is not None:
        return (
            f"It answered a question of handler {failed.handler}. The dry run shows it as a message of its own. "
            f"To continue the conversation with it: linqbot waiting retry {delivery.id}"
        )
    return None
