"""Events that a test dispatches itself, without a worker: their calls are not journalled."""

from __future__ import annotations

from fakes import NOW, Linq, delivery, settled, text_body

from linqbot import Bot, Event
from linqbot.bot.dispatch import Dispatcher
from linqbot.bot.turn_context import TurnContext
from linqbot.clock import MovableClock
from linqbot.engine.deadline import Deadline
from linqbot.engine.helpers import Helpers
from linqbot.engine.outbox import Outbox
from linqbot.engine.rate_limit import SendRateLimit
from linqbot.engine.turn_journal import TurnJournal
from linqbot.engine.turns import Turns
from linqbot.features.catalog import catalogue
from linqbot.plugins.registry import Plugins
from linqbot.storage.inbox import Lease
from linqbot.storage.sqlite.memory import MemoryStorage


def context_of(dispatcher: Dispatcher, event: Event, linq: Linq) -> TurnContext:
    """Return the context for the handler of an event."""
    clock = MovableClock(NOW, frozen=True)
    storage = MemoryStorage(clock=clock)
    turns = Turns(dispatcher, linq.client, storage, clock, SendRateLimit(clock), catalogue)
    turn = turns.new_turn(Lease(delivery(text_body()), 1), None, 0.0)
    turn.event, turn.client = event, linq.client
    turn.journal = journal = TurnJournal(
        turns.storage, turns.clock, turns.outbound, turn.opening, turn.lease, data=turn.data
    )
    turn.outbox = Outbox(journal, turns.rate_limit, turns.features.guard)
    turn.helpers = Helpers(
        dispatcher, journal, turn.lease, turn.opening, ends=turn.ends, make_steps=turns.features.steps_of
    )
    turn.deadline = Deadline(dispatcher.deadline_s, lambda: None, turns.alarms)
    return dispatcher.context(turn, storage)


async def handled(
    bot: Bot | Dispatcher, *events: Event, linq: Linq | None = None, plugins: Plugins | None = None
) -> Linq:
    """Dispatch events, and return what the bot did at Linq."""
    linq = linq or Linq()
    dispatcher = bot
    if isinstance(dispatcher, Bot):
        dispatcher = Dispatcher(dispatcher, MovableClock(NOW, frozen=True), plugins=plugins)
    for event in events:
        await dispatcher.dispatch(event, context_of(dispatcher, event, linq))
    await settled()  # read receipts and typing dots run in background tasks
    return linq
