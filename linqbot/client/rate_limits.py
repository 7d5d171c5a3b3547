"""How often Linq lets some things be done, remembered here so that it need not say 429 (R65, R94).

What another process did is not known here; then Linq itself says no. The figures are Linq's; those it does not publish
are not guessed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from linqbot.clock import Clock
from linqbot.errors import RateLimited


@dataclass(frozen=True, slots=True)
class Budget:
    """`most` times within `window_s`, for each subject.

    Attributes:
        what: The end of the sentence "Linq allows this …".
    """

    rule: str
    most: int
    window_s: float
    what: str


CARD_SHARES = Budget("R65", 1, 300.0, "once per chat in five minutes")
CARD_WRITES = Budget("R94", 3, 600.0, "three times per line in ten minutes, creating and updating together")


@dataclass(slots=True)
class RateLimits:
    """What was done lately, by rate_limit and subject, on the client's clock."""

    clock: Clock
    _spent: dict[tuple[str, str], deque[float]] = field(default_factory=dict)

    def check(self, rate_limit: Budget, subject: str, call: str) -> None:
        """Say whether there is something left.

        Raises:
            RateLimited: nothing left. Nothing was sent; `retry_after_s` says when there will be.
        """
        now, spent = self.clock.now(), self._spent.get((rate_limit.rule, subject), ())
        recent = [at for at in spent if at > now - rate_limit.window_s]
        if len(recent) < rate_limit.most:
            return
        wait_s = recent[-rate_limit.most] + rate_limit.window_s - now
        said = f"{rate_limit.rule}: not sent, because Linq allows this {rate_limit.what}. Wait {wait_s:.0f} s."
        raise RateLimited(said, status=429, code=1007, retry_after_s=wait_s, call=call)

    def spend(self, rate_limit: Budget, subject: str) -> None:
        """It was done. What no longer counts is forgotten."""
        now = self.clock.now()
        for key in [key for key, spent in self._spent.items() if spent[-1] <= now - CARD_WRITES.window_s]:
            del self._spent[key]
        self._spent.setdefault((rate_limit.rule, subject), deque(maxlen=rate_limit.most)).append(now)
