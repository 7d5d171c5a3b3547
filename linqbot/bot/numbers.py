"""Numbers among the arguments of a context's methods, checked at the call."""

from __future__ import annotations

from datetime import timedelta
from numbers import Real

from linqbot.errors import BotError


def check_number(call: str, argument: str, value: object, wanted: str = "a number of seconds") -> None:
    """Check that an argument is a number. The error shows its type only, because it may be a person's text.

    Raises:
        BotError: it is none.
    """
    if isinstance(value, Real):
        return
    instead = " Write timedelta(…).total_seconds()." if isinstance(value, timedelta) else ""
    raise BotError(
        f"{call}({argument}=…) takes {wanted}, such as 60, but got a value of type {type(value).__name__}.{instead}"
    )
