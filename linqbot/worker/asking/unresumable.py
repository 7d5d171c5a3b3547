"""Open questions that today's code cannot continue, because their handler is gone."""

from __future__ import annotations

import structlog

from linqbot.bot.dispatch import Dispatcher
from linqbot.storage.backend import Storage

log = structlog.get_logger("linqbot.worker")


async def unresumable(storage: Storage, dispatcher: Dispatcher) -> dict[str, int]:
    """Return the number of questions that wait for an answer and whose handler the bot does not have, by handler.

    Raises:
        StorageUnavailable: the storage cannot be read.
    """
    counts = await storage.waiting_by_handler()
    return {handler: count for handler, count in counts.items() if dispatcher.handler_named(handler) is None}


async def log_unresumable(storage: Storage, dispatcher: Dispatcher) -> None:
    """Log the open questions that the bot cannot continue, by handler. Called when the bot starts.

    Raises:
        StorageUnavailable: the storage cannot be read.
    """
    for handler, count in (await unresumable(storage, dispatcher)).items():
        log.error(
            "ask.no_handler",
            handler=handler,
            questions=count,
            to_do="Serve a bot that has a handler of this name, or end the questions: linqbot asks list, "
            "linqbot asks cancel. Otherwise the next message of each person is handled as if no question were open.",
        )
