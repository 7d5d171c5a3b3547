"""As fast as Linq allows: 30 messages a minute from a line to a person, kept before Linq must refuse.

In memory: after a restart Linq's own 429 says what we forgot, and holds that pair only.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from typing import Final

from linqbot.client.call import Call
from linqbot.clock import Clock

MESSAGES: Final = 30
WINDOW_S: Final = 60.0
"""R: 30 messages in 60 s per pair of line and recipient. Source: https://docs.linqapp.com/guides/platform/rate-limits"""
PAIRS: Final = 2048
"""Remembered, those written to last. Whoever nears the limit is written to every other second, and so stays among them
unless a thousand others are in each; then Linq's 429 holds the pair."""

_SENDS = frozenset(
    {"chats.messages.send", "chats.create", "messages.create", "chats.send_voicememo", "chats.polls.create"}
)


class SendRateLimit:
    """When the next message of a pair may go."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Not deques: an empty one is as large as 70 times.
        self._sent: OrderedDict[str, array[float]] = OrderedDict()
        self._held: dict[str, float] = {}

    def wait_s(self, call: Call) -> float:
        """Seconds until `call` may be made; 0 makes it now."""
        pair = pair_of(call)
        if pair is None:
            return 0.0
        now = self._clock.now()
        held_until = self._held.get(pair, 0.0)
        if held_until <= now:
            self._held.pop(pair, None)
        sent = self._sent.get(pair)
        free_at = sent[0] + WINDOW_S if sent is not None and len(sent) == MESSAGES else 0.0
        return max(held_until - now, free_at - now, 0.0)

    def sent(self, call: Call) -> None:
        """A message was given to Linq."""
        pair = pair_of(call)
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

    def hold(self, call: Call, seconds: float) -> None:
        """Linq said 429: nothing more to this pair until then. Other pairs go on."""
        pair = pair_of(call)
        if pair is not None:
            self._held[pair] = self._clock.now() + seconds


def pair_of(call: Call) -> str | None:
    """What names line and recipient in a call that sends: the chat, or the handles; None when nothing is sent."""
    if call.name not in _SENDS:
        return None
    if call.noun.startswith("chats") and call.name != "chats.create":
        return call.path.split("/")[3]
    body = call.body or {}
    return "|".join([str(body.get("from", "")), *sorted(str(handle) for handle in body.get("to", ()))])
