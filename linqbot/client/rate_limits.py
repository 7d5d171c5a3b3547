"""The client keeps those rate limits of Linq that are published, so that Linq need not respond with 429 (R65, R94).

It counts only its own calls. The journal of a turn is above these limits: a call that the journal answers is not counted.
The limit of messages to a person is kept by the worker: `engine/rate_limit.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from linqbot.client.call import ApiResponse, Call, Run
from linqbot.clock import Clock
from linqbot.errors import RateLimited


class RateLimit(NamedTuple):
    """At most `max_calls` calls within `window_s`, for each subject such as a chat or a line.

    Attributes:
        allowance: The end of the sentence "Linq allows this …".
    """

    rule: str
    max_calls: int
    window_s: float
    allowance: str


CARD_SHARES = RateLimit("R65", 1, 300.0, "once per chat in five minutes")
CARD_WRITES = RateLimit("R94", 3, 600.0, "three times per line in ten minutes, creating and updating together")
LIMITED: Final[Mapping[str, RateLimit]] = {
    "chats.share_contact_card": CARD_SHARES,
    "contact_card.create": CARD_WRITES,
    "contact_card.update": CARD_WRITES,
}

_LONGEST_WINDOW_S = max(CARD_SHARES.window_s, CARD_WRITES.window_s)


@dataclass(slots=True)
class RateLimits:
    """Makes calls within the limits, and knows the times of the recent ones, by rate limit and subject.

    Attributes:
        sender: Sends the calls.
    """

    sender: Run
    clock: Clock
    _spent: dict[tuple[str, str], deque[float]] = field(default_factory=dict)

    def run(self, call: Call) -> Awaitable[ApiResponse]:
        """Make a call. One that has failed does not count.

        Raises:
            RateLimited: The limit is reached. Nothing was sent; `retry_after_s` is the time until the next call is
                allowed.
        """
        rate_limit = LIMITED.get(call.name)
        return self.sender(call) if rate_limit is None else self._limited(call, rate_limit)

    async def _limited(self, call: Call, rate_limit: RateLimit) -> ApiResponse:
        place = rate_limit.rule, _subject(call)
        now = self.clock.monotonic()
        recent = [at for at in self._spent.get(place, ()) if at > now - rate_limit.window_s]
        if len(recent) >= rate_limit.max_calls:
            wait_s = recent[-rate_limit.max_calls] + rate_limit.window_s - now
            said = f"{rate_limit.rule}: not sent, because Linq allows this {rate_limit.allowance}. Wait {wait_s:.0f} s."
            raise RateLimited(said, status=429, code=1007, retry_after_s=wait_s, call=call.name)
        response = await self.sender(call)
        now = self.clock.monotonic()
        for old in [key for key, spent in self._spent.items() if spent[-1] <= now - _LONGEST_WINDOW_S]:
            del self._spent[old]  # outside of every window
        self._spent.setdefault(place, deque(maxlen=rate_limit.max_calls)).append(now)
        return response


def _subject(call: Call) -> str:
    """Return what the limit of a call counts by: the line of a contact card, or the path, which has the id of the chat."""
    line = dict(call.query).get("phone_number") or (call.body or {}).get("phone_number")
    return str(line) if line else call.path
