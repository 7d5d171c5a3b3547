"""Runs handlers on what was received before, in this process, behind a recorder: calls are listed, and none is made."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from linqbot.bot.bot import Bot
from linqbot.bot.dispatch import Dispatcher
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.errors import LinqApiError
from linqbot.events.delivery import Delivery
from linqbot.events.event import Event
from linqbot.events.message import MessageReceived
from linqbot.events.parse import parse
from linqbot.plugins.registry import Plugins
from linqbot.storage.backend import Storage
from linqbot.worker.outbound_plugins import Outbound
from linqbot.worker.scheduled_send import due_send


@dataclass(slots=True)
class DryRunResult:
    """What a delivery would do.

    Attributes:
        calls: What would be called, in order; `later` for what would be sent at a time.
        handler: Who took it; None when nobody did.
        error: The traceback of what the handler raised.
    """

    delivery: Delivery
    calls: list[Call] = field(default_factory=list)
    later: list[Call] = field(default_factory=list)
    handler: str | None = None
    error: str | None = None


class DryRun:
    """Plays deliveries through a bot, at the time they came.

    Args:
        reads: Let through what only asks Linq, and fetches of media.
        plugins: What stands around the bot: middleware, routers, gates.
    """

    def __init__(
        self, bot: Bot, client: Client, storage: Storage, *, reads: bool, plugins: Plugins | None = None
    ) -> None:
        plugins = plugins or Plugins()
        self._clock = MovableClock(0.0, frozen=True)
        self._dispatcher = Dispatcher(bot, self._clock, plugins=plugins)
        self._outbound = Outbound(plugins)
        self._client = client
        self._storage = storage
        self._reads = reads

    async def play(self, delivery: Delivery) -> DryRunResult:
        """Run the handler. What it raises is told, not raised."""
        # As of then: else every message would be old news, and handlers would not see it.
        self._clock.advance(delivery.received_at - self._clock.now())
        played = DryRunResult(delivery)
        recorder = CallRecorder(played, reads=self._reads)
        client = recorder.around(self._client).wrapped(self._outbound.wrap)
        try:
            if (due := due_send(delivery)) is not None:
                for call in due.calls:
                    await client.run(call)
                return played
            event = await self._understood(delivery)
            ctx = self._dispatcher.context(event, client, recorder)
            try:
                await self._dispatcher.dispatch(event, ctx)
            finally:
                played.handler = ctx.handler
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is what is asked for
            played.error = "".join(traceback.format_exception(error))
        return played

    async def _understood(self, delivery: Delivery) -> Event:
        event = parse(delivery)
        if isinstance(event, MessageReceived) and event.is_group and event.reply_to is not None:
            is_ours = await self._storage.has_sent(event.reply_to.message_id)
            return event.model_copy(update={"replies_to_me": is_ours})
        return event


class CallRecorder:
    """Stands where calls leave a turn, and where a turn keeps what it puts off."""

    def __init__(self, played: DryRunResult, *, reads: bool) -> None:
        self._played = played
        self._reads = reads

    def around(self, client: Client) -> Client:
        """Return the client behind this recorder."""
        return client.wrapped(self._wrap, before_fetch=lambda: self._read("fetch"))

    def _wrap(self, run: Run) -> Run:
        async def fenced(call: Call) -> ApiResponse:
            if call.safety == "hint":
                return ApiResponse(204)
            if call.safety == "read":
                self._read(call.name)
                return await run(call)
            self._played.calls.append(call)
            return ApiResponse(202, _stand_in(call, len(self._played.calls)))

        return fenced

    def _read(self, name: str) -> None:
        """Refuse to ask, unless reads are allowed; an upload always."""
        # An upload is safe to repeat, and so counts as a read elsewhere; here it would leave a file behind.
        if name == "attachments.create":
            raise LinqApiError("A dry run uploads nothing. Try the handler with: linqbot dev", call=name)
        if not self._reads:
            raise LinqApiError("A dry run does not ask Linq and fetches nothing. Allow it with --reads.", call=name)

    def schedule(self, chat_id: str, calls: Sequence[Call], *, due: float, grace_s: float, key: str | None) -> str:
        """Note what would be sent later."""
        self._played.later.extend(calls)
        return f"dry-run-{len(self._played.later)}"

    async def cancel(self, scheduled_id: str) -> bool:
        """Nothing waits in a dry run."""
        return False

    async def scheduled(self, chat_id: str) -> list[tuple[str, float]]:
        """Nothing waits in a dry run."""
        return []


def _stand_in(call: Call, number: int) -> dict[str, Any]:
    """An answer any of Linq's typed ones can be read from, with ids that cannot be mistaken for real ones."""
    words = call.path.split("/")
    made = {"id": f"dry-run-{number}", "delivery_status": "pending"}
    chat = words[3] if len(words) > 3 and words[2] == "chats" else f"dry-run-chat-{number}"
    if call.safety == "natural":
        return {"id": words[3] if len(words) > 3 else made["id"], "chat_id": chat, "status": "accepted"}
    return {"chat_id": chat, "message": made, "chat": {"id": chat, "message": made}, "voice_memo": made, **made}


Tell = Callable[[DryRunResult], None]
"""Told of each delivery that was played."""


async def dry_run(playing: DryRun, storage: Storage, ids: Sequence[str], tell: Tell) -> None:
    """Play kept deliveries, in this order."""
    async for page in storage.pages(ids):
        for delivery in page:
            tell(await playing.play(delivery))
