"""Checks of the options that authors give to a Bot, a Router or a decorator, such as `attempts=3`.

They run when a handler is registered or a bot is created, so that a mistake shows before a person writes.
"""

from __future__ import annotations

import math
from typing import Any

from linqbot.errors import BotError


def is_number(value: Any) -> bool:
    """Return True if a value is an int or a float; booleans do not count."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_attempts(attempts: Any) -> None:
    """Check the `attempts` of a handler.

    Raises:
        BotError: it is neither None nor a whole number of at least 1.
    """
    is_whole = isinstance(attempts, int) and not isinstance(attempts, bool)
    if attempts is not None and not (is_whole and attempts >= 1):
        raise BotError(
            f"attempts={attempts!r} is not possible. It is the number of runs of a handler before an event that fails "
            "becomes a dead letter: a whole number of at least 1, such as attempts=3."
        )


def check_deadline_s(deadline_s: Any) -> None:
    """Check the `deadline_s` of a handler.

    Raises:
        BotError: it is neither None nor a finite number greater than 0.
    """
    if deadline_s is not None and not (is_number(deadline_s) and 0 < deadline_s < math.inf):
        raise BotError(
            f"deadline_s={deadline_s!r} is not possible. It is the number of seconds that a handler may run: a number "
            "greater than 0, such as deadline_s=60."
        )
