"""Fakes that the tests of bot, worker and server share: webhook bodies, and a Linq that records each call.

`settled` lets other tasks of the event loop run.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

from linqbot import Client, MessageReceived
from linqbot.client.call import ApiResponse, Call
from linqbot.events import Delivery
from linqbot.linq.events.parse import parse

LINE = "+12052535597"
PERSON = "+14155550142"
CHAT = "3c99d589-8d03-5753-96bd-addff71de8c2"
POLL = "5c1f0f1e-6d0e-4c0e-9d5f-2f6a0f1f7b11"
NOW = 1_793_900_000.0
_count = itertools.count(1)


async def settled(passes: int = 5) -> None:
    """Let the other tasks that are ready run, for some passes of the event loop. No time passes."""
    for _ in range(passes):
        await asyncio.sleep(0)


def handle(address: str, *, is_me: bool = False) -> dict[str, Any]:
    return {
        "id": "c2e5c382-f7cb-5f5b-bb5e-e1581bdd1620",
        "handle": address,
        "service": "iMessage",
        "joined_at": "2026-10-01T14:02:11.000Z",
        "is_me": is_me,
        "status": "active",
    }


def envelope(event_type: str, data: dict[str, Any], **changes: Any) -> bytes:
    body = {
        "api_version": "v3",
        "webhook_version": "2026-02-03",
        "event_type": event_type,
        "event_id": f"00000000-0000-4000-8000-{next(_count):012}",
        "created_at": "2026-11-05T17:33:20.000Z",
        "trace_id": "8af9171a45022df2eb74ba4e4c83be0f",
        "partner_id": "partner_7d2c41",
        "data": data,
    }
    return json.dumps(body | changes).encode()


def text_body(
    text: str = "hello", *, chat: str = CHAT, sender: str = PERSON, is_group: bool = False, **changes: Any
) -> bytes:
    """Return the body of a `message.received` webhook. `changes` go into its data, `part` into its text part."""
    part = {"type": "text", "value": text} | changes.pop("part", {})
    data = {
        "id": f"10000000-0000-4000-8000-{next(_count):012}",
        "chat": {
            "id": chat,
            "is_group": is_group,
            "owner_handle": handle(LINE, is_me=True),
            "health_status": {"status": "HEALTHY", "doc_url": "https://x.test", "updated_at": "2026-11-02T08:00:00Z"},
        },
        "direction": "inbound",
        "sender_handle": handle(sender),
        "parts": [part],
        "service": "iMessage",
        "sent_at": "2026-11-05T17:33:20.000Z",
    }
    return envelope("message.received", data | changes)


def edit_body(text: str, *, of: str, at: str = "2026-11-05T17:33:30.000Z", **changes: Any) -> bytes:
    """Return the body of a `message.edited` webhook, for the message with the id `of`."""
    data = {
        "id": of,
        "chat": {"id": CHAT, "is_group": False, "owner_handle": handle(LINE, is_me=True)},
        "direction": "inbound",
        "sender_handle": handle(PERSON),
        "edited_at": at,
        "part": {"index": 0, "text": text},
    }
    return envelope("message.edited", data | changes)


def tapback(name: str, message_id: str, *, sender: str = PERSON, emoji: str | None = None) -> bytes:
    """Return the body of a `reaction.added` webhook. `emoji` is the `custom_emoji` of a reaction `custom`."""
    data = {"message_id": message_id, "reaction_type": name, "chat_id": CHAT, "from_handle": handle(sender)}
    if emoji is not None:
        data["custom_emoji"] = emoji
    return envelope("reaction.added", data)


def poll_vote(option: str, person: str = PERSON, *, poll: str = POLL, kind: str = "added") -> bytes:
    """Return the body of a `poll.vote.added` or `poll.vote.removed` webhook."""
    data = {"message_id": poll, "option_id": option, "chat": {"id": CHAT}, "sender_handle": handle(person)}
    return envelope(f"poll.vote.{kind}", data)


def poll_made(*options: str) -> ApiResponse:
    """Return Linq's answer to a poll, with the ids of its options. Its message is POLL."""
    return ApiResponse(201, {"message_id": POLL, "poll": {"options": [{"option_id": each} for each in options]}})


def delivery(body: bytes) -> Delivery:
    return Delivery.from_webhook(body, webhook_id="header-id", received_at=NOW)


def message(text: str = "hello", **changes: Any) -> MessageReceived:
    event = parse(delivery(text_body(text, **changes)))
    assert isinstance(event, MessageReceived)
    return event


def payment_request(request_id: str, asked: Mapping[str, Any], *, status: str = "requested") -> dict[str, Any]:
    """Return a payment request as Linq returns it."""
    return {
        "id": request_id,
        "object": "payment_request",
        "mode": "payment",
        "status": status,
        "amount": 1250,
        "currency": "usd",
        "checkout_url": f"https://zero.linqapp.com/pay/{request_id}",
        "created_at": "2026-11-05T17:33:20.000Z",
        **asked,
    }


Reply = ApiResponse | Exception


class Linq:
    """A Linq without a network: `calls` records each call, which gets Linq's usual answer or a prepared one."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._prepared: list[tuple[str, Reply]] = []
        self.before: Callable[[Call], Any] | None = None
        self.client = Client("key").wrapped(lambda _: self.run)

    def will_answer(self, name: str, *answers: Reply) -> None:
        """Prepare answers or errors for the next calls of that name. Calls after those get the usual answer."""
        self._prepared.extend((name, answer) for answer in answers)

    async def run(self, call: Call) -> ApiResponse:
        if self.before is not None:
            await self.before(call)
        self.calls.append(call)
        for prepared in self._prepared:
            name, answer = prepared
            if name == call.name:
                self._prepared.remove(prepared)
                if isinstance(answer, Exception):
                    raise answer
                return answer
        return ApiResponse(202, self._usual(call))

    def _usual(self, call: Call) -> Any:
        sent = {"id": f"sent-{len(self.calls)}", "delivery_status": "pending", "parts": []}
        match call.name:
            case "chats.messages.send":
                return {"chat_id": call.path.split("/")[3], "message": sent}
            case "messages.retrieve":
                return {"id": call.path.split("/")[3], "chat_id": CHAT, "is_from_me": False}
            case "chats.send_voicememo":
                return {"voice_memo": sent}
            case "payment_requests.create":
                return payment_request(f"pr_{call.key}", call.body or {})
            case "payment_requests.cancel":
                return payment_request(call.path.split("/")[3], {}, status="canceled")
            case _:
                return None

    def said(self) -> list[str]:
        """Return the texts of the messages sent, in order."""
        return [
            part["value"]
            for call in self.calls
            if call.name == "chats.messages.send" and call.body
            for part in call.body["message"]["parts"]
            if part["type"] == "text"
        ]

    def names(self) -> list[str]:
        """Return the names of the calls made, in order, without reads and hints."""
        return [call.name for call in self.calls if call.safety not in ("hint", "read")]
