"""Run a bot on an event in this process, with a recorder that lists each call to Linq instead of making it.

`simulate` sends the event through the whole app: the webhook, the worker, the journal and every plugin are real, and
the storage is a new one in memory. The commands print what was recorded. Stored deliveries: `dry_run.py`.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Self

import httpx

from linqbot.bot.bot import Bot
from linqbot.bot.conversation.history import SentInTurn
from linqbot.bot.proactive.send_later import Rhythm
from linqbot.bot.streaming.record import StreamRecord, Unrecorded
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.client import Client
from linqbot.clock import MovableClock
from linqbot.errors import LinqApiError
from linqbot.events.delivery import Delivery
from linqbot.events.parse import EventNotUnderstood, parse
from linqbot.hookspecs import End, hookimpl
from linqbot.plugins.registry import Plugins
from linqbot.server.app import WEBHOOK_PATH, create_app, running
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import NewBroadcast, counted
from linqbot.storage.memory.storage import MemoryStorage
from linqbot.storage.upkeep import Selection
from linqbot.types.proactive.broadcast import Broadcast, Recipient, RecipientOutcome
from linqbot.types.proactive.scheduled import Scheduled
from linqbot.webhooks import sign
from linqbot.worker.lookups import KnownChat

UPLOAD: Final = "attachments.create"
"""The call that makes room for a file. Its safety class is that of a read, because repeating it is harmless."""
OBSERVER_NAME: Final = "linqbot-simulation"


@dataclass(frozen=True, slots=True)
class Simulation:
    """The result of a simulated event.

    Attributes:
        calls: Calls that would have been made, in this order.
        later: Calls that `ctx.send_later` would have kept for a later time. A dry run alone lists them.
        broadcasts: Broadcasts that would have begun, in this order. A dry run alone lists them.
        handler: Name of the handler that ran; None if no handler took the event.
        error: The exception that the handler raised.
        end: The turn's outcome, as the hook `finished` gets it; None if the turn did not end in time, and in a dry run,
            which has no turn.
        note: What a dry run cannot show, and why; None if it shows everything.
        began_with: For a delivery that went to an open question, which a dry run does not handle: the id of the delivery
            with which the conversation began. None for any other delivery.
        faults: By plugin, the error that has disabled it or one of its hooks.
    """

    delivery: Delivery
    calls: list[Call] = field(default_factory=list)
    later: list[Call] = field(default_factory=list)
    broadcasts: list[Broadcast] = field(default_factory=list)
    handler: str | None = None
    error: BaseException | None = None
    end: End | None = None
    note: str | None = None
    began_with: str | None = None
    faults: dict[str, str] = field(default_factory=dict)


class CallRecorder:
    """Stands in for Linq: records each call and answers it with a made-up response.

    It also stands in for the journal in a turn's context, and so records what `ctx.send_later` keeps, and broadcasts.

    Args:
        reads: Let calls that only read from Linq, and downloads of media, through to Linq.
        check_broadcast: Called with the name and the people of each broadcast before it is recorded; it may raise `Refused`.

    Attributes:
        calls: Recorded calls, in this order; reads and hints (typing dots, read receipts) are not among them.
        later: Recorded calls of `ctx.send_later`.
        broadcasts: Recorded broadcasts, by their names.
    """

    def __init__(
        self, *, reads: bool, check_broadcast: Callable[[str, Sequence[str]], None] = lambda _name, _people: None
    ) -> None:
        self.calls: list[Call] = []
        self.later: list[Call] = []
        self.broadcasts: dict[str, Broadcast] = {}
        self._reads = reads
        self._check_broadcast = check_broadcast

    def around(self, client: Client) -> Client:
        """Return the client with this recorder between it and Linq."""
        return client.wrapped(self._wrap, before_fetch=lambda: self._check_read("fetch"))

    def _wrap(self, run: Run) -> Run:
        async def record(call: Call) -> ApiResponse:
            if call.safety == "hint":
                return ApiResponse(204)
            if call.safety == "read":
                self._check_read(call.name)
                return await run(call)
            self.calls.append(call)
            return ApiResponse(202, made_up_response(call, len(self.calls)))

        return record

    def _check_read(self, name: str) -> None:
        if name == UPLOAD:  # not harmless here: it would leave a file behind
            raise LinqApiError("A dry run uploads nothing. Try the handler with: linqbot dev", call=name)
        if not self._reads:
            raise LinqApiError("A dry run does not ask Linq and fetches nothing. Allow it with --reads.", call=name)

    @property
    def scheduler(self) -> Self:
        """This record itself."""
        return self

    @property
    def broadcaster(self) -> Self:
        """This record itself."""
        return self

    def schedule(
        self,
        chat_id: str,
        calls: Sequence[Call],
        *,
        due: float,
        grace_s: float,
        key: str | None,
        every: Rhythm | None = None,
        tag: str | None = None,
    ) -> Scheduled:
        """Record calls for a later time and return a made-up send."""
        self.later.extend(calls)
        made_up = f"dry-run-{len(self.later)}"
        return Scheduled(made_up, datetime.fromtimestamp(due, UTC), tag, every.spec if every else None)

    async def reschedule(self, scheduled_id: str, *, due: float) -> Scheduled | None:
        """Return the send at its new time, and change nothing."""
        return Scheduled(scheduled_id, datetime.fromtimestamp(due, UTC))

    async def cancel(self, scheduled_id: str) -> bool:
        """Return False: in a dry run no send is waiting."""
        return False

    async def scheduled(self, chat_id: str) -> list[Scheduled]:
        """Return an empty list: in a dry run no send is waiting."""
        return []

    def discard(self) -> None:
        """Forget the sends that were recorded for a later time."""
        self.later.clear()

    async def start_broadcast(
        self,
        new: NewBroadcast,
        people: Sequence[str],
        *,
        check: Callable[[], Awaitable[None]],
    ) -> Broadcast:
        """Record a broadcast to these people and return it, and store nothing.

        Raises:
            Refused: a plugin vetoes it.
        """
        self._check_broadcast(new.name, people)
        return self.broadcasts.setdefault(new.name, counted(new.stored("running"), {"pending": len(people)}))

    async def find_broadcast(self, name: str) -> Broadcast | None:
        """Return a recorded broadcast; None for any other: a dry run looks at no stored one."""
        return self.broadcasts.get(name)

    async def recipients_of(
        self, name: str, *, outcome: RecipientOutcome | None, after: int, limit: int
    ) -> list[Recipient]:
        """Return an empty list: a dry run keeps no people of broadcasts."""
        return []

    def enter_handler(self) -> None:
        """Do nothing: a dry run numbers no calls."""

    def leave_handler(self) -> None:
        """Do nothing: a dry run numbers no calls."""

    def sent_in_turn(self) -> SentInTurn:
        """Return the recorded calls as sent."""
        return SentInTurn([(call, ApiResponse(202, made_up_response(call, n))) for n, call in enumerate(self.calls, 1)])

    def stream(self, key: str | None) -> StreamRecord:
        """Return the record of a stream of which nothing was said."""
        return Unrecorded()


def made_up_response(call: Call, number: int) -> dict[str, Any]:
    """Return a body from which any typed response of Linq's can be read. No real id looks like the ids in it."""
    segments = call.path.split("/")
    made = {"id": f"dry-run-{number}", "delivery_status": "pending"}
    chat = segments[3] if len(segments) > 3 and segments[2] == "chats" else f"dry-run-chat-{number}"
    if call.safety == "natural":
        return {"id": segments[3] if len(segments) > 3 else made["id"], "chat_id": chat, "status": "accepted"}
    poll = {"message_id": made["id"], "poll": {"options": []}}
    return {"chat_id": chat, "message": made, "chat": {"id": chat, "message": made}, "voice_memo": made, **poll, **made}


async def known_in(storage: Storage, chat_id: str) -> KnownChat:
    """Return what the messages of a chat that are in a storage say of the chat: a dry run does not ask Linq."""
    ids = await storage.replayable(Selection(lane=f"c:{chat_id}", type="message.received"))
    kept = [delivery async for page in storage.pages(ids[:1]) for delivery in page]
    try:
        messages = [parse(delivery) for delivery in kept]
    except EventNotUnderstood:
        return KnownChat()
    return KnownChat(messages[0].is_group, messages[0].line) if messages else KnownChat()


class Observer:
    """A plugin that records how an event ends. Load it with the other plugins, and give it to `simulate`."""

    name = OBSERVER_NAME

    def __init__(self) -> None:
        self.end: End | None = None
        self.handler: str | None = None
        self.error: BaseException | None = None
        self.ended = asyncio.Event()

    @hookimpl(trylast=True)
    def handled(self, handler: str | None) -> None:
        self.handler = handler

    @hookimpl(trylast=True)
    def failed(self, handler: str | None, error: BaseException) -> None:
        self.handler, self.error = handler, error

    @hookimpl(trylast=True)
    def finished(self, outcome: End) -> None:
        self.end = outcome
        self.ended.set()


async def simulate(
    bot: Bot,
    plugins: Plugins,
    observer: Observer,
    delivery: Delivery,
    client: Client,
    *,
    reads: bool,
    timeout_s: float,
    wrap: Callable[[Run], Run] = lambda run: run,
) -> Simulation:
    """Send a delivery through the whole app, at the time at which it was received.

    Args:
        plugins: All plugins of the app, `observer` among them.
        client: Used for reads, if they are allowed; already open.
        reads: Let calls that only read from Linq, and downloads of media, through to Linq.
        timeout_s: Real seconds to wait for the end of the turn.
        wrap: Put around each call that would be made.
    Raises:
        BotError, ConfigError: as `create_app`.
    """
    recorder = CallRecorder(reads=reads)
    clock = MovableClock(delivery.received_at)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    app = create_app(
        bot,
        client=recorder.around(client).wrapped(wrap),
        storage=_BackdatingStorage(delivery.received_at, clock),
        secrets=[secret],
        clock=clock,
        plugins=plugins,
        drain_s=0,
        max_body_bytes=max(len(delivery.body), 1),
    )
    async with (
        running(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as linq,
    ):
        await linq.post(WEBHOOK_PATH, content=delivery.body, headers=_headers(delivery, secret))
        try:
            async with asyncio.timeout(timeout_s):
                await observer.ended.wait()
        except TimeoutError:
            pass
        # Read before the app stops: stopping it may end the turn after all.
        end = observer.end
    loaded = [plugin for plugin in plugins.every if plugin.status != "left out"]
    faults = {plugin.name: why for plugin in loaded if (why := plugin.why or plugin.observer_error)}
    return Simulation(delivery, recorder.calls, handler=observer.handler, error=observer.error, end=end, faults=faults)


class _BackdatingStorage(MemoryStorage):
    """Stores each delivery as if it had been received at a given time. The webhook itself uses wall time."""

    def __init__(self, received_at: float, clock: MovableClock) -> None:
        super().__init__(clock=clock)
        self._received_at = received_at

    async def put(self, delivery: Delivery) -> bool:
        return await super().put(replace(delivery, received_at=self._received_at))


def _headers(delivery: Delivery, secret: str) -> dict[str, str]:
    now, webhook_id = int(time.time()), delivery.id.removeprefix("w.")
    signature = sign(delivery.body, webhook_id=webhook_id, timestamp=now, secret=secret)
    return {"webhook-id": webhook_id, "webhook-timestamp": str(now), "webhook-signature": signature}
