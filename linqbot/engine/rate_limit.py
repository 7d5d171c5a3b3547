"""The waits of a turn's calls: Linq's rate limit, and retries while Linq is unavailable.

Linq's rate limit of 30 messages a minute from a line to a person is kept before Linq has to refuse a message. The
counts are in memory. After a restart they are empty, and Linq's 429 answers take over for the pairs concerned.

A wait that would be too long defers the whole turn instead: see `failure.py`.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from typing import Final

from linqbot.client.call import Call, id_in_path
from linqbot.client.outcome import extends_a_limit
from linqbot.clock import Clock
from linqbot.errors import LinqApiError, LinqUnavailable, RateLimited, TurnDeferred
from linqbot.turn_events import CallDelayed, Observers

MESSAGES: Final = 30
"""Messages allowed in each window."""
WINDOW_S: Final = 60.0
"""Seconds of the window: 30 messages in 60 s per pair of line and recipient. Source: https://docs.linqapp.com/guides/platform/rate-limits"""
PAIRS: Final = 2048
"""Pairs remembered, least recently used first out. A pair near its limit gets a message about every 2 s, so it is
evicted only if over 1,000 other pairs send each second. Then Linq's 429 answer holds the pair."""

SENDS: Final = frozenset(
    {"chats.messages.send", "chats.create", "messages.create", "chats.send_voicememo", "chats.polls.create"}
)
"""Calls that send a message."""


class SendRateLimit:
    """The send times of each pair of line and recipient, by the name that `pair_of` gives the pair.

    A pair of None stands for a call that sends nothing, and is never limited.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Arrays, because an empty deque takes as much memory as 70 times in an array.
        self._sent: OrderedDict[str, array[float]] = OrderedDict()
        self._held: dict[str, float] = {}  # the end of each hold

    def wait_s(self, pair: str | None) -> float:
        """Return the seconds to wait before a call of the pair may be made; 0 if it may be made now."""
        if pair is None:
            return 0.0
        sent = self._sent.get(pair)
        is_full = sent is not None and len(sent) == MESSAGES
        if not is_full and pair not in self._held:
            return 0.0
        now = self._clock.monotonic()
        free_at = sent[0] + WINDOW_S if sent is not None and is_full else 0.0
        if (held_until := self._held.get(pair, 0.0)) <= now:
            self._held.pop(pair, None)
        return max(held_until - now, free_at - now, 0.0)

    def sent(self, pair: str | None) -> None:
        """Note that Linq has accepted a call of the pair."""
        if pair is None:
            return
        times = self._sent.get(pair)
        if times is None:
            times = self._sent[pair] = array("d")
            if len(self._sent) > PAIRS:
                self._sent.popitem(last=False)
        else:
            self._sent.move_to_end(pair)
            if len(times) == MESSAGES:
                del times[0]
        times.append(self._clock.monotonic())

    def hold(self, pair: str | None, seconds: float) -> None:
        """Hold all sends of the pair for some seconds, after a 429 answer. Other pairs are not affected."""
        if pair is not None:
            self._held[pair] = self._clock.monotonic() + seconds


def pair_of(call: Call) -> str | None:
    """Return a name for the line and recipient of a call: its chat id, or its handles. None if the call sends nothing."""
    name = call.name
    if name not in SENDS:
        return None
    if name.startswith("chats.") and name != "chats.create":
        return id_in_path(call)
    body = call.body or {}
    return "|".join([str(body.get("from", "")), *sorted(str(handle) for handle in body.get("to", ()))])


SEND_FOR_S: Final = 20.0
"""Seconds for which a call is retried. A longer wait defers the turn, so that the worker can run other chats' turns."""

NOT_AWAITED: Final = frozenset({"chats.share_contact_card"})
"""Calls whose 429 is raised at once. Linq shares a contact card once per chat in five minutes (R65), so a 429 says that the
person has it, and the rest of an answer must not wait until Linq would share it again."""

EXTENDED_LIMIT_S: Final = 600.0
"""Seconds to defer a turn whose call would extend a limit. Linq names no time; its own limit for contact cards is as long."""

BACKOFF_S: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds to wait before each retry, unless Linq asks for more; the last value repeats."""


class CallNotMade(TurnDeferred):
    """Defers the turn at a call of which it is certain that Linq has not made it, so a later run may make it."""


class Attempts:
    """The attempts of one call: within the rate limit, and again while Linq is unavailable.

    Attributes:
        pair: The name of the line and the recipient; None if the call sends nothing.
        wait_s: Seconds that the rate limit asks for before the next attempt.
        may_be_made: True if Linq may have made the call: in an earlier run, or in an attempt whose answer is not known.
    """

    __slots__ = ("_call", "_clock", "_failed", "_observers", "_rate_limit", "_until", "may_be_made", "pair", "wait_s")

    def __init__(
        self, call: Call, rate_limit: SendRateLimit, clock: Clock, observers: Observers, *, may_be_made: bool
    ) -> None:
        self._call, self.pair = call, pair_of(call)
        self._rate_limit, self._clock, self._observers = rate_limit, clock, observers
        self._until = clock.now() + SEND_FOR_S
        self._failed = 0
        self.wait_s = rate_limit.wait_s(self.pair)
        self.may_be_made = may_be_made

    async def wait(self) -> None:
        """Wait as long as the rate limit asks for; raises as `go_on_after`."""
        await self._wait(self.wait_s, f"Linq allows {MESSAGES} messages a minute from a line to a person")

    async def go_on_after(self, error: LinqApiError) -> bool:
        """Wait after a failed attempt, and return True. False if the call must not be attempted again because of the error.

        Raises:
            CallNotMade: The waits would exceed `SEND_FOR_S`, and Linq has certainly not made the call.
            TurnDeferred: The waits would exceed `SEND_FOR_S`; or Linq may have made the call, and it must not be repeated.
        """
        backoff_s = BACKOFF_S[min(self._failed, len(BACKOFF_S) - 1)]
        self._failed += 1
        if isinstance(error, RateLimited):
            if self._call.name in NOT_AWAITED:
                return False
            wait_s = error.retry_after_s or backoff_s
            self._rate_limit.hold(self.pair, wait_s)
        elif isinstance(error, LinqUnavailable):
            is_extended = extends_a_limit(error)
            if is_extended or (self._call.safety == "once" and not error.is_unsent):
                pause_s = error.retry_after_s or (EXTENDED_LIMIT_S if is_extended else None)
                raise TurnDeferred(error.summary, after_s=pause_s) from error
            self.may_be_made = self.may_be_made or not error.is_unsent
            wait_s = max(backoff_s, error.retry_after_s or 0.0)
        else:
            return False
        await self._wait(wait_s, error.summary)
        self.wait_s = self._rate_limit.wait_s(self.pair)
        return True

    async def _wait(self, wait_s: float, reason: str) -> None:
        now = self._clock.now()
        if now + wait_s > self._until:
            raise (TurnDeferred if self.may_be_made else CallNotMade)(reason, after_s=wait_s)
        if (notify := self._observers.get(CallDelayed)) is not None:
            notify(CallDelayed(reason, wait_s))
        await self._clock.wait_until(now + wait_s)
