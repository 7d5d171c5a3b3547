"""The messages that joined a turn on record while its handler ran, for a run of a dry deploy."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from linqbot.bot.overlap import OverlapMode
from linqbot.events.delivery import Delivery
from linqbot.events.message import MessageReceived
from linqbot.events.parse import parse


class JoinedMessages:
    """The later messages of a turn on record, which it took while it ran. It implements `Overlap`."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._joined = delivery.joined
        self._calls = 0
        self._mode: OverlapMode = "queue"

    @property
    def takes_incoming(self) -> bool:
        """True if the handler takes the messages that come while it runs."""
        return self._mode == "steer"

    @property
    def already_sent(self) -> Sequence[str]:
        """The texts that earlier runs of the turn had sent."""
        return self._joined.sent

    def begin(self, handler: str, mode: OverlapMode) -> None:
        """Note the mode. No message comes while the handler runs."""
        self._mode = mode

    async def incoming(self) -> Sequence[MessageReceived]:
        """Return the messages that the same call took then."""
        call, self._calls = self._calls, self._calls + 1
        if call >= len(self._joined.incoming):
            return []
        messages = (parse(replace(self._delivery, decoded=each)) for each in self._joined.incoming[call])
        return [each for each in messages if isinstance(each, MessageReceived)]

    def with_taken(self, body: bytes) -> bytes:
        """Return the body as it is: nothing of this run is stored."""
        return body

    def uninterrupted(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Return a context manager that does nothing."""
        return contextlib.nullcontext()
