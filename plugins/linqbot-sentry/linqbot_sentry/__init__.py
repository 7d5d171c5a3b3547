"""Errors of a linqbot in Sentry. `Sentry` is the plugin; linqbot finds it once this package is installed.

One Sentry event for each turn that failed, with ids and the places in the code, without what people wrote.

Sentry's defaults send the values of local variables and the messages of errors. Both may quote a person, so they are
removed, and so are breadcrumbs, because turns of several people run at the same time in one process.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import sentry_sdk
from sentry_sdk.utils import BadDsn

from linqbot import hookimpl
from linqbot.errors import ConfigError, LinqApiError, error_name
from linqbot.turn_events import Observers, TurnEnded

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

__all__ = ["Sentry"]

_FLUSH_S: Final = 5.0


class Sentry:
    """Reports each turn that is to be retried because of an error, and each dead letter.

    If Sentry is not set up when the bot starts, the plugin sets it up from SENTRY_DSN and the SDK's other variables.
    Without SENTRY_DSN the plugin does nothing.

    Args:
        messages: True sends the messages of errors too. They may quote a person, or contain a secret.
    """

    name: Final = "sentry"

    def __init__(self, *, messages: bool = False) -> None:
        self._messages = messages

    @hookimpl(trylast=True)
    def started(self) -> None:
        """Set Sentry up, unless the bot's code has. Raises ConfigError if SENTRY_DSN is wrong."""
        if not sentry_sdk.is_initialized() and os.environ.get("SENTRY_DSN"):
            # Integrations would wrap the server, the loggers and each HTTP request, and send what passes there.
            try:
                sentry_sdk.init(default_integrations=False, include_local_variables=False)
            except BadDsn as error:
                raise ConfigError(f"SENTRY_DSN does not fit: {error}. Copy it again from Sentry") from error

    @hookimpl
    def register_observers(self) -> Observers:
        return {TurnEnded: self.turn_ended}

    def turn_ended(self, turn: TurnEnded) -> None:
        if turn.outcome not in ("retry", "dead_letter") or not sentry_sdk.is_initialized():
            return
        with sentry_sdk.new_scope() as scope:
            scope.set_level("error" if turn.outcome == "dead_letter" else "warning")
            for name, value in _tags(turn).items():
                scope.set_tag(name, value)
            scope.add_event_processor(partial(self._without_texts, turn.error))
            if turn.error is not None:
                sentry_sdk.capture_exception(turn.error)
            else:
                # Without the reason, which has ids: Sentry would list each delivery as a trouble of its own.
                sentry_sdk.capture_message("A delivery was given up. See: linqbot why")

    @hookimpl
    async def stopped(self) -> None:
        await asyncio.to_thread(sentry_sdk.flush, _FLUSH_S)

    def _without_texts(self, error: BaseException | None, event: Event, _hint: Hint) -> Event:
        for name in ("breadcrumbs", "request", "extra"):
            event.pop(name, None)  # type: ignore[misc]
        names = {} if error is None else _names(error)
        shown: list[dict[str, Any]] = (event.get("exception") or {}).get("values", [])
        for each in shown:
            if not self._messages:
                each["type"], each["value"] = names.get(each["type"], "Exception"), ""
            for frame in (each.get("stacktrace") or {}).get("frames", ()):
                frame.pop("vars", None)
        return event


def _names(error: BaseException) -> dict[str, str]:
    """Return the names of the classes of an error, of its causes and of the errors of a group, by those that the SDK gives.

    The SDK names a class as it is, but one that was made at run time may have a person's text as its name.
    """
    names: dict[str, str] = {}
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in seen:
            seen.add(id(one))
            names[type(one).__qualname__] = error_name(one)
            members = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
            waiting += [each for each in (one.__cause__, one.__context__, *members) if each is not None]
    return names


def _tags(turn: TurnEnded) -> dict[str, str | int]:
    """Return what identifies the turn: ids, names of code and numbers, as in `linqbot why`."""
    tags: dict[str, str | int | None] = {
        "linqbot.delivery": turn.delivery.id,
        "linqbot.outcome": turn.outcome,
        "linqbot.attempts": turn.attempts,
        "linqbot.handler": turn.handler,
        "linqbot.event": None if turn.event is None else type(turn.event).__name__,
    }
    if isinstance(turn.error, LinqApiError):
        tags |= {"linq.status": turn.error.status, "linq.code": turn.error.code}
    return {name: value for name, value in tags.items() if value is not None}
