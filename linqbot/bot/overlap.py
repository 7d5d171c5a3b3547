"""Messages of the same person that come while a handler runs: `overlap=` of `on_message`.

`queue` handles them afterwards, each in a turn of its own. `restart` cancels the handler and runs it again with all
messages. `steer` gives them to the running handler, which asks for them with `ctx.incoming()`. The worker implements the
last two (`worker/overlapping.py`), because it knows what waits in the lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol, TypeAlias

from linqbot.events.message import MessageReceived

OverlapMode: TypeAlias = Literal["queue", "restart", "steer"]


class Overlap(Protocol):
    """The later messages of one turn."""

    @property
    def already_sent(self) -> Sequence[str]:
        """The texts that earlier runs of a restarted turn have sent."""
        ...

    @property
    def takes_incoming(self) -> bool:
        """True if the running handler takes later messages itself."""
        ...

    def begin(self, handler: str, mode: OverlapMode) -> None:
        """Note the chosen handler, which begins now."""
        ...

    async def incoming(self) -> Sequence[MessageReceived]:
        """Take the messages that have come since the last call."""
        ...

    def with_taken(self, body: bytes) -> bytes:
        """Return the body of the delivery with which a conversation began, with all messages that `incoming` has returned."""
        ...

    def uninterrupted(self) -> AbstractAsyncContextManager[None]:
        """Keep the handler from being cancelled inside the block."""
        ...
