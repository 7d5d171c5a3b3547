"""A recorder that stands in for Linq while handlers run: it lists each call instead of making it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Self

from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.client import Client
from linqbot.content.streaming import StreamRecord, Unrecorded
from linqbot.engine.turn_journal import SentInTurn
from linqbot.errors import LinqApiError
from linqbot.features.proactive import Rhythm
from linqbot.features.state import TurnState
from linqbot.storage.broadcasts import NewBroadcast, counted
from linqbot.types.proactive import Broadcast, Recipient, RecipientOutcome, Scheduled

UPLOAD: Final = "attachments.create"
"""The call that makes room for a file. Its safety class is that of a read, because repeating it is harmless."""


class CallRecorder:
    """Stands in for Linq: records each call and answers it with a made-up response.

    It also stands in for the journal in a turn's context, and so records what `ctx.send_later` keeps, and broadcasts.

    Args:
        reads: Let calls that only read from Linq, and downloads of media, through to Linq.
        check_broadcast: Called with the name and the people of each broadcast before it is recorded; it may raise
            `Refused`.

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
        self, new: NewBroadcast, people: Sequence[str], *, check: Callable[[], Awaitable[None]]
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

    def use_state(self, state: TurnState) -> None:
        """Do nothing: a dry run stores no state."""

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
