"""Options of handlers for features, as authors give them by keyword: `@bot.on_message(gather=False)`.

They lie in `Route.options`. An option here needs no other line: `Router.on` takes the keywords of `HandlerOptions`. The module imports
no feature.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict, get_args

from linqbot.engine.bag import Bag, Option
from linqbot.engine.routing import handler_name
from linqbot.errors import BotError
from linqbot.nearest import suggestion
from linqbot.options import OverlapMode

TYPING: Final = ("chat.typing_indicator.started", "chat.typing_indicator.stopped")
_EDITED: Final = "message.edited"


class HandlerOptions(TypedDict, total=False):
    """The keywords of these options.

    Attributes:
        gather: See `Gather`.
        overlap: See `Overlap`.
    """

    gather: bool
    overlap: OverlapMode


@dataclass(frozen=True, slots=True)
class Gather(Option):
    """The time for which a message that fits the handler waits for further ones: see `bursts.py`.

    The option of a handler is `gather=False`, and else that of the routers around it counts: `Router(gather_s=…)`.

    Attributes:
        window_s: The seconds; 0 handles each message at once.
    """

    window_s: float = 0.0

    @property
    def needs(self) -> Sequence[str]:
        return (*TYPING, _EDITED) if self.window_s else ()


@dataclass(frozen=True, slots=True)
class Overlap(Option):
    """The treatment of messages of the same person that come while the handler runs: see `overlap.py`.

    Attributes:
        mode: `restart` or `steer`. Without the option, the messages wait.
    """

    mode: OverlapMode

    @property
    def needs(self) -> Sequence[str]:
        return (_EDITED,)


@dataclass(frozen=True, slots=True)
class ForOptOut(Option):
    """The handler takes the messages by which people opt out: `@bot.on_opt_out`. See `optout.py`."""


def chosen(keywords: Mapping[str, Any], handler: Any) -> Bag:
    """Return the options of a handler, given by their keywords. Raises BotError if there is no such option, or not for it."""
    options = Bag()
    for keyword, given in keywords.items():
        if (read := _READ.get(keyword)) is None:
            raise BotError(f"Handlers have no option {keyword}=. {suggestion(keyword, _KEYWORDS)}")
        if (option := read(given, handler)) is not None:
            options.put(option)
    return options


def _gather(given: Any, _: Any) -> Option | None:
    return None if given else Gather(0.0)


def _overlap(given: Any, handler: Any) -> Option | None:
    """Return the option. A handler that is a plain `def` can neither be cancelled nor await."""
    known = get_args(OverlapMode)
    if given not in known:
        raise BotError(f"overlap={given!r} is not known. {suggestion(str(given), known)}")
    if given == "queue":
        return None
    if not inspect.iscoroutinefunction(handler):
        raise BotError(
            f"overlap={given!r} needs an async def: {handler_name(handler)} is a plain def, which cannot be interrupted."
        )
    return Overlap(given)


_READ: Final[Mapping[str, Callable[[Any, Any], Option | None]]] = {"gather": _gather, "overlap": _overlap}
_KEYWORDS: Final = ("late", "attempts", "deadline_s", "during_ask", "when", *_READ)
