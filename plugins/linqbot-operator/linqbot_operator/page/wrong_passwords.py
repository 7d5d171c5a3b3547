"""The wrong passwords of the last minute, by client: who tries many waits, and keeps out no one else."""

from __future__ import annotations

from collections import OrderedDict, deque
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from linqbot.clock import Clock

MOST: Final = 10
"""Wrong passwords of a client in `WITHIN_S`, after which no further one of it is looked at for a while."""

WITHIN_S: Final = 60.0
MOST_CLIENTS: Final = 10_000
"""Clients that are remembered. A flood from more addresses makes the oldest ones forgotten, and not the memory grow."""


class WrongPasswords:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: OrderedDict[str, deque[float]] = OrderedDict()

    def has_too_many(self, client: str) -> bool:
        times = self._at.get(_place_of(client))
        return times is not None and len(times) == MOST and times[0] > self._clock.now() - WITHIN_S

    def add(self, client: str) -> None:
        place = _place_of(client)
        self._at.setdefault(place, deque(maxlen=MOST)).append(self._clock.now())
        self._at.move_to_end(place)
        if len(self._at) > MOST_CLIENTS:
            self._at.popitem(last=False)


def _place_of(client: str) -> str:
    """Return what counts as one client: an IPv4 address, or the network of an IPv6 address, of which a household has 2^64."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    return str(ip_network(f"{address}/64", strict=False)) if isinstance(address, IPv6Address) else client
