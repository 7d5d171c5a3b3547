"""Linq's rate limit of 30 messages a minute from a line to a person, kept before Linq has to refuse a message.

The counts are in memory. After a restart they are empty, and Linq's 429 answers take over for the pairs concerned.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from typing import Final

from linqbot.client.call import Call, id_in_path
from linqbot.clock import Clock

MESSAGES: Final = 30
"""Messages allowed in each window."""
WINDOW_S: Final = 60.0
"""Seconds of the window: 30 messages in 60 s per pair of line and recipient. Source: https://docs.linqapp.com/guides/platform/rate-limits"""
PAIRS: Final = 2048
"""Pairs remembered, least recently used first out. A pair near its limit gets a message about every 2 s, so it is
evicted only if over 1,000 other pairs send each second. Then Linq's 429 answer holds the pair."""

_SENDS = frozenset(
    {"chats.messages.send", "chats.create", "messages.create", "chats.send_voicememo", "chats.polls.create"}
)


class SendRateLimit:
    """The send times of each pair of line and recipient, by the name that `pair_of` gives the pair.

    A pair of None stands for a call that sends nothing, and is never limited.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Arrays, because an empty deque takes as much memory as 70 times in an array.
        self._sent: OrderedDict[str, array[float]] = OrderedDict()
        # The time at which each hold began, and its end.
        self._held: dict[str, tuple[float, float]] = {}

    def wait_s(self, pair: str | None) -> float:
        """Return the seconds to wait before a call of the pair may be made; 0 if it may be made now."""
        if pair is None:
            return 0.0
        sent = self._sent.get(pair)
        is_full = sent is not None and len(sent) == MESSAGES
        if not is_full and pair not in self._held:
            return 0.0
        now = self._clock.now()
        free_at = sent[0] + WINDOW_S if sent is not None and is_full else 0.0
        held_at, held_until = self._held.get(pair, (0.0, 0.0))
        # A time to come is one from before the clock was set back. It must not silence the chat until it has come again.
        if free_at > now + WINDOW_S:
            del self._sent[pair]
            free_at = 0.0
        if held_until <= now or held_at > now:
            self._held.pop(pair, None)
            held_until = 0.0
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
        times.append(self._clock.now())

    def hold(self, pair: str | None, seconds: float) -> None:
        """Hold all sends of the pair for some seconds, after a 429 answer. Other pairs are not affected."""
        if pair is not None:
            now = self._clock.now()
            self._held[pair] = now, now + seconds


def pair_of(call: Call) -> str | None:
    """Return a name for the line and recipient of a call: its chat id, or its handles. None if the call sends nothing."""
    name = call.name
    if name not in _SENDS:
        return None
    if call.noun.startswith("chats") and name != "chats.create":
        return id_in_path(call)
    body = call.body or {}
    return "|".join([str(body.get("from", "")), *sorted(str(handle) for handle in body.get("to", ()))])
