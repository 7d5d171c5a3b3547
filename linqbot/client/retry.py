"""Rules for repeating a failed call: if it may be repeated, and when. A pure function; its test has the whole table.

Linq's official client also repeats 409. Here a 409 is never repeated: at Linq it is an answer about the world, such
as a chat that was left, and the same question would get the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from linqbot.client.call import Call
from linqbot.errors import LinqApiError, LinqUnavailable


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """One attempt that did not work.

    Attributes:
        sent: False when surely no byte of the request left this machine.
        advice: The header `x-should-retry`; None when there was none.
        is_stale: True when a connection that was kept brought nothing: closed while it was idle, most likely, so
            there is nothing to wait for.
    """

    error: LinqApiError
    sent: bool = True
    advice: bool | None = None
    is_stale: bool = False


def pause_s(call: Call, failure: AttemptFailure, attempt: int, *, jitter: float, max_wait_s: float) -> float | None:
    """Seconds to wait before the call is made again, or None to give up.

    Args:
        attempt: 0 after the first one.
        max_wait_s: Who asks for more retry_policy than this has it from the caller: the error says how long.
        jitter: 0 to 1; takes up to a quarter off, so that callers who failed together do not return together.
    """
    if not _may_repeat(call, failure):
        return None
    if failure.is_stale and attempt == 0:
        return 0.0
    asked = failure.error.retry_after_s
    if asked is not None:
        return asked if asked <= max_wait_s else None
    return float(min(0.5 * 2**attempt, 8.0) * (1 - 0.25 * jitter))


def _may_repeat(call: Call, failure: AttemptFailure) -> bool:
    error = failure.error
    if failure.advice is False:
        return False
    if call.safety == "hint":
        return failure.is_stale  # best effort: worth no wait
    if not failure.sent or error.status == 429:
        return True  # Linq has done nothing yet
    if call.safety == "once" or (call.safety == "keyed" and call.key is None):
        return False  # it may have been done, and a repetition would do it twice
    return isinstance(error, LinqUnavailable) or (failure.advice is True and error.status != 409)
