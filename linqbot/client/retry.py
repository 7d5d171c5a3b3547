"""The retry policy of the client: decide if and when a failed call is repeated.

Linq's official client also retries 409. This client never does: Linq uses 409 for a state, such as a chat that your
line left, and the same call would get the same response. `pause_s` is a pure function; its test is the full table of
cases.
"""

from __future__ import annotations

from dataclasses import dataclass

from linqbot.api import ENDPOINTS
from linqbot.client.call import Call
from linqbot.errors import LinqApiError, LinqUnavailable


@dataclass(frozen=True, slots=True)
class AttemptFailure:
    """An attempt that failed.

    Attributes:
        sent: False if it is certain that no byte of the request left this machine.
        advice: The value of the header `x-should-retry`; None if the header was absent.
        is_stale: True if a reused connection returned nothing. Most likely the server closed it while it was idle, so
            there is no reason to wait before the retry.
    """

    error: LinqApiError
    sent: bool = True
    advice: bool | None = None
    is_stale: bool = False


def pause_s(call: Call, failure: AttemptFailure, attempt: int, *, jitter: float, max_wait_s: float) -> float | None:
    """Return the seconds to wait before the call is repeated, or None to give up.

    Args:
        attempt: 0 after the first attempt.
        max_wait_s: Give up if Linq asks for a longer wait than this. The error then tells the caller how long.
        jitter: 0 to 1; shortens the wait by up to a quarter, so that clients that failed together do not retry
            together.
    """
    if not _may_repeat(call, failure):
        return None
    if failure.is_stale and attempt == 0:
        return 0.0
    asked = failure.error.retry_after_s
    if asked is not None:
        return asked if asked <= max_wait_s else None
    return backoff_s(attempt, jitter=jitter)


def backoff_s(attempt: int, *, jitter: float) -> float:
    """Return the seconds to wait after an attempt whose failure says nothing of a wait: see `pause_s`."""
    return float(min(0.5 * 2**attempt, 8.0) * (1 - 0.25 * jitter))


def is_deleted_before(call: Call, error: LinqApiError) -> bool:
    """Return True if a repeated deletion was refused because an earlier attempt, whose answer was lost, has made it."""
    endpoint = ENDPOINTS.get(call.name)
    return error.status == 404 and endpoint is not None and endpoint.method == "DELETE" and endpoint.needs is None


def _may_repeat(call: Call, failure: AttemptFailure) -> bool:
    error = failure.error
    if failure.advice is False:
        return False
    if call.safety == "hint":
        return failure.is_stale  # best effort: retried only where no wait is needed
    if not failure.sent or error.status == 429:
        return True  # Linq has not executed the call
    if call.safety == "once" or (call.safety == "keyed" and call.key is None):
        return False  # the call may have been executed, and a retry would execute it twice
    return isinstance(error, LinqUnavailable) or (failure.advice is True and error.status != 409)
