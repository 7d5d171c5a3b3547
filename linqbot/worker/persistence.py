"""One call, repeated while Linq is away or asks to wait; after a while the turn is deferred instead."""

from __future__ import annotations

import itertools
from typing import Final

from linqbot.client.call import ApiResponse, Call, Run
from linqbot.clock import Clock
from linqbot.errors import LinqUnavailable, RateLimited, TurnDeferred
from linqbot.worker.rate_limit import SendRateLimit

SEND_FOR_S: Final = 20.0
"""Seconds that a call is repeated in place. A longer wait defers the turn, so that it holds no place of another chat."""

BACKOFF_S: Final = (0.5, 1.0, 2.0, 4.0)


async def call_persistently(call: Call, run: Run, rate_limit: SendRateLimit, clock: Clock) -> ApiResponse:
    """Make a call at the pace that Linq allows, and repeat it while Linq is away.

    Raises:
        TurnDeferred: the wait would be longer than `SEND_FOR_S`; or Linq is away and the call must not be repeated.
        LinqApiError: Linq refused the call.
    """
    until = clock.now() + SEND_FOR_S
    for attempt in itertools.count():
        await _wait(rate_limit.wait_s(call), until, clock, "the pace Linq allows between a line and a person")
        backoff_s = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
        try:
            answer = await run(call)
        except RateLimited as error:
            wait_s = error.retry_after_s or backoff_s
            rate_limit.hold(call, wait_s)
            await _wait(wait_s, until, clock, str(error))
        except LinqUnavailable as error:
            if call.safety == "once":
                raise TurnDeferred(str(error)) from error
            await _wait(backoff_s, until, clock, str(error))
        else:
            rate_limit.sent(call)
            return answer
    raise AssertionError


async def _wait(wait_s: float, until: float, clock: Clock, reason: str) -> None:
    if wait_s <= 0:
        return
    now = clock.now()
    if now + wait_s > until:
        raise TurnDeferred(reason, after_s=wait_s)
    await clock.wait_until(now + wait_s)
