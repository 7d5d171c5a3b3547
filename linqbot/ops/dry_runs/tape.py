"""A tape that stands in for Linq while a bot runs: it lists each call that changes something, and makes up its answer."""

from __future__ import annotations

from typing import Any, Final

from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.client import Client
from linqbot.errors import LinqApiError

UPLOAD: Final = "attachments.create"
"""The call that makes room for a file. Its safety class is that of a read, because repeating it is harmless."""

NO_READS: Final = "A dry run does not ask Linq and fetches nothing. Allow it with --reads."

UPLOADED: Final = "00000000-0000-4000-8000-000000000000"
"""The id of every file. Nothing is uploaded."""
_ADDRESS: Final = f"https://uploads.invalid/{UPLOADED}"


class Tape:
    """Stands in for Linq.

    Args:
        reads: Let calls that only read from Linq, and downloads of media, through to Linq.

    Attributes:
        calls: The calls that would be made, in this order; reads and hints (typing dots, read receipts) are not among them.
    """

    def __init__(self, *, reads: bool) -> None:
        self.calls: list[Call] = []
        self.reads = reads

    def around(self, client: Client) -> Client:
        """Return the client with the tape between it and Linq."""
        return client.wrapped(self._answering, before_fetch=self.admit_fetch, put=_upload_nothing)

    def _answering(self, run: Run) -> Run:
        async def answer(call: Call) -> ApiResponse:
            if call.safety == "hint":
                return ApiResponse(204)
            if call.name == UPLOAD:
                made_up = {"attachment_id": UPLOADED, "upload_url": _ADDRESS, "download_url": _ADDRESS}
                return ApiResponse(200, made_up)
            return await (self.read(call, run) if call.safety == "read" else self.change(call))

        return answer

    async def read(self, call: Call, run: Run) -> ApiResponse:
        """Answer a call that only reads.

        Raises:
            LinqApiError: reads are not allowed.
        """
        if not self.reads:
            raise LinqApiError(NO_READS, call=call.name)
        return await run(call)

    async def change(self, call: Call) -> ApiResponse:
        """List a call that changes something, and answer it."""
        self.calls.append(call)
        return ApiResponse(202, made_up_response(call, len(self.calls)))

    def admit_fetch(self) -> None:
        """Refuse a download, if reads are not allowed.

        Raises:
            LinqApiError: they are not.
        """
        if not self.reads:
            raise LinqApiError(NO_READS, call="fetch")


async def _upload_nothing(*_: object) -> None:
    pass


def made_up_response(call: Call, number: int) -> dict[str, Any]:
    """Return a body from which any typed response of Linq's can be read. No real id looks like the ids in it."""
    segments = call.path.split("/")
    made = {"id": f"dry-run-{number}", "delivery_status": "pending"}
    chat = segments[3] if len(segments) > 3 and segments[2] == "chats" else f"dry-run-chat-{number}"
    if call.safety == "natural":
        return {"id": segments[3] if len(segments) > 3 else made["id"], "chat_id": chat, "status": "accepted"}
    poll = {"message_id": made["id"], "poll": {"options": []}}
    return {"chat_id": chat, "message": made, "chat": {"id": chat, "message": made}, "voice_memo": made, **poll, **made}
