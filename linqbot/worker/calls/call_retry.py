"""Retries of one call within its turn, while Linq is unavailable or limits the rate.

A wait that would be too long defers the whole turn instead: see `failure.py`.
"""

from __future__ import annotations

import itertools
from typing import Final

from linqbot.bot.turn_watcher import turn_watcher
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.retry import is_deleted_before
from linqbot.clock import Clock
from linqbot.errors import LinqApiError, LinqUnavailable, RateLimited, TurnDeferred
from linqbot.worker.calls.rate_limit import MESSAGES, SendRateLimit, pair_of

SEND_FOR_S: Final = 20.0
"""Seconds for which a call is retried. A longer wait defers the turn, so that the worker can run other chats' turns."""

NOT_AWAITED: Final = frozenset({"chats.share_contact_card"})
"""Calls whose 429 is raised at once. Linq shares a contact card once per chat in five minutes (R65), so a 429 says that the
person has it, and the rest of an answer must not wait until Linq would share it again."""

BACKOFF_S: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds to wait before each retry, unless Linq asks for more; the last value repeats."""


class CallNotMade(TurnDeferred):
    """Defers the turn at a call of which it is certain that Linq has not made it, so a later run may make it."""


async def call_with_retries(
    call: Call, run: Run, rate_limit: SendRateLimit, clock: Clock, *, may_be_made: bool = False
) -> ApiResponse:
    """Make a call within the rate limit, and retry it while Linq is unavailable.

    Args:
        may_be_made: True if an earlier run has begun the call, and its answer is not known.
    Raises:
        CallNotMade: the waits would exceed `SEND_FOR_S`, and Linq has certainly not made the call.
        TurnDeferred: the waits would exceed `SEND_FOR_S`; or Linq may have made the call, and it must not be repeated.
        LinqApiError: Linq refused the call.
        RateLimited: Linq answered a call of `NOT_AWAITED` with 429.
    """
    until = clock.now() + SEND_FOR_S
    pair = pair_of(call)
    for attempt in itertools.count():
        if (wait_s := rate_limit.wait_s(pair)) > 0:
            why = f"Linq allows {MESSAGES} messages a minute from a line to a person"
            await _wait(wait_s, until, clock, why, may_be_made=may_be_made)
        backoff_s = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
        try:
            answer = await run(call)
        except RateLimited as error:
            if call.name in NOT_AWAITED:
                raise
            retry_after_s = error.retry_after_s or backoff_s
            rate_limit.hold(pair, retry_after_s)
            await _wait(retry_after_s, until, clock, str(error), may_be_made=may_be_made)
        except LinqUnavailable as error:
            if call.safety == "once" and not error.is_unsent:
                raise TurnDeferred(str(error), after_s=error.retry_after_s) from error
            may_be_made = may_be_made or not error.is_unsent
            await _wait(max(backoff_s, error.retry_after_s or 0.0), until, clock, str(error), may_be_made=may_be_made)
        except LinqApiError as error:
            if may_be_made and is_deleted_before(call, error):
                return ApiResponse(204)
            raise
        else:
            rate_limit.sent(pair)
            return answer
    raise AssertionError


async def _wait(wait_s: float, until: float, clock: Clock, reason: str, *, may_be_made: bool) -> None:
    now = clock.now()
    if now + wait_s > until:
        raise (TurnDeferred if may_be_made else CallNotMade)(reason, after_s=wait_s)
    if (watcher := turn_watcher.get()) is not None:
        watcher.waits(reason, wait_s)
    await clock.wait_until(now + wait_s)
