"""A Delivery: one verified webhook POST with its id, its event type and its lane. The body is kept byte for byte.

The body is decoded once, here. The decoded object travels with the delivery inside this process, so that no later step
decodes the body again. Storing comes next (`Storage.put`); `linq/events/parse.py` later turns the delivery into an
event.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final

from pydantic_core import from_json, to_json

from linqbot.linq.events.lane import as_object, lane, token

PROBE_TYPE: Final = "linqbot.doctor"
"""Type of the probe event that `linqbot check` signs and sends to the bot's own webhook. No handler receives it."""

LINQ_DELIVERY: Final = "w."
"""Prefix of the ids of deliveries that Linq has posted. The id of the event follows."""

OWN_DELIVERY: Final = "i."
"""Prefix of the ids of deliveries that linqbot creates."""

PROBE_ID: Final = "i.doctor."
"""Prefix of the ids of probe deliveries."""

BROADCAST_DONE_TYPE: Final = "linqbot.broadcast_done"
"""Type of the event of a broadcast that has ended. A webhook may have this type too, but never an id with `BROADCAST_DONE_ID`."""

BROADCAST_DONE_ID: Final = "i.broadcast_done."
"""Prefix of the ids of the deliveries of ended broadcasts."""

POST_TYPE: Final = "linqbot.post"
"""Type of the event of a post; see `proactive.py`."""

POST_ID: Final = "i.post."
"""Prefix of the ids of posts that a handler gets. A webhook cannot have such an id."""

JOINED_KEY: Final = "linqbot"
"""The key in a body under which the messages are that joined its delivery: the fields of `Joined`."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The messages that joined a delivery after it was received. They are in its body, so every run of the turn has the same.

    Attributes:
        burst: The bodies of further messages, which the handler gets as one message with the first.
        incoming: The bodies of messages that the running handler took, by its calls of `ctx.incoming`.
        sent: The texts that were sent before the turn began again with more messages.
        restarts: How often the turn has begun again.
    """

    burst: tuple[Any, ...] = ()
    incoming: tuple[tuple[Any, ...], ...] = ()
    sent: tuple[str, ...] = ()
    restarts: int = 0


_JOINED_FIELDS: Final = frozenset(each.name for each in fields(Joined))


@dataclass(slots=True, unsafe_hash=True)  # not frozen: see `JournalEntry`
class Delivery:
    """One verified webhook delivery, to be handled in the order of its lane. Its repr does not show the body.

    Attributes:
        id: `w.<event_id>` for a webhook; `i.<kind>.<id>` for deliveries that linqbot creates. A POST can only create
            the first kind and `i.doctor.`, whose own prefix shows that it is not a sign of life from Linq.
        lane: Deliveries of one lane are handled one at a time, in the order in which they were accepted.
        type: Linq's `event_type`; empty if the body has none.
        body: The raw bytes, as received and signed.
        received_at: Unix seconds.
        message_key: `m.<message id>` for a received message: a copy of the message under another event id is a
            duplicate.
        carrier: Data of plugins that travels with the delivery, such as the ids of a trace: a JSON object of strings;
            None if empty.
        decoded: The body as Python data, or None if it must be decoded (again).
        zero_retention: See `is_off_the_record`; None if the body must be decoded to know it.
    """

    id: str
    lane: str
    type: str
    body: bytes = field(repr=False)
    received_at: float
    message_key: str | None = None
    carrier: str | None = None
    decoded: Any = field(default=None, compare=False, repr=False)
    zero_retention: bool | None = field(default=None, compare=False, repr=False)

    @property
    def is_internal(self) -> bool:
        """Return True if linqbot has created the delivery, such as for a timer, and False if Linq has posted it."""
        return self.id.startswith(OWN_DELIVERY)

    @property
    def newest_message_key(self) -> str | None:
        """Return the `message_key` of the message of its burst that was written last; its own, if no message joined it."""
        if self.message_key is None or not (burst := self.joined.burst):
            return self.message_key
        joined = [each["data"] for each in burst if each["event_type"] == "message.received"]
        keys = [self.message_key, *map(_message_key, joined)]
        times = [at for data in (self.data, *joined) if (at := _seconds(data.get("sent_at"))) is not None]
        # As `parse` orders them: of equal times, and if one of them is not known, the last one is the newest.
        is_known = len(times) == len(keys)
        return max(zip(times, range(len(keys)), keys, strict=True))[2] if is_known else keys[-1]

    @property
    def edited_key(self) -> str | None:
        """Return the `message_key` of the message that an edit changes; None if the data names none."""
        return _message_key(self.data)

    @property
    def sent_at(self) -> float:
        """Return the time when the message or event was sent, in Unix seconds; else the time of receipt."""
        at = _seconds(self.data.get("sent_at") or as_object(self.content).get("created_at"))
        return self.received_at if at is None else at

    @property
    def is_off_the_record(self) -> bool:
        """Return True if the delivery comes from a line whose content is never stored: `zero_retention` in its data."""
        if self.zero_retention is not None:
            return self.zero_retention
        return self.data.get("zero_retention") is True

    @property
    def content(self) -> Any:
        """Return the body as Python data; None if it is not JSON."""
        return decode(self.body) if self.decoded is None else self.decoded

    @property
    def data(self) -> dict[str, Any]:
        """Return the data of the event, which the body's envelope holds; empty if it has none."""
        return as_object(as_object(self.content).get("data"))

    @property
    def joined(self) -> Joined:
        """Return the messages that joined this delivery after it was received: a burst, or what its handler took in."""
        content = self.content
        found = content.get(JOINED_KEY) if isinstance(content, dict) else None
        # The key is ours. Should Linq ever use it, what it means by it must not cost the message.
        return Joined(**found) if isinstance(found, dict) and found.keys() == _JOINED_FIELDS else Joined()

    def with_joined(self, joined: Joined) -> Delivery:
        content = {**self.content, JOINED_KEY: asdict(joined)}
        return replace(self, body=to_json(content), decoded=content)

    def with_further(self, *others: Delivery) -> Delivery:
        """Return this delivery with others that join it, as in a burst: messages, and edits of them."""
        if not others:
            return self
        joined = self.joined
        return self.with_joined(replace(joined, burst=(*joined.burst, *(each.content for each in others))))

    @classmethod
    def from_webhook(cls, body: bytes, *, webhook_id: str, received_at: float, signed_id: bool = True) -> Delivery:
        """Create the delivery of a verified POST. Never raises: an authentic body is kept, whatever it contains.

        Args:
            body: The raw bytes.
            webhook_id: The `webhook-id` header. It becomes the delivery's id if the body has no event id.
            received_at: Unix seconds.
            signed_id: True if the signature covers `webhook_id`. The legacy signature does not cover it: an attacker
                who saw a delivery could send it again under another id. Then the id is derived from the body.
        """
        decoded = decode(body)
        envelope = decoded if isinstance(decoded, dict) else {}
        data = given if isinstance(given := envelope.get("data"), dict) else {}
        event_type = token(envelope.get("event_type")) or ""
        event_id = token(envelope.get("event_id")) or (token(webhook_id) if signed_id else None)
        event_id = event_id or hashlib.sha256(body).hexdigest()
        return cls(
            id=f"{PROBE_ID if event_type == PROBE_TYPE else LINQ_DELIVERY}{event_id}",
            lane=lane(event_type, data, event_id),
            type=event_type,
            body=body,
            received_at=received_at,
            message_key=_message_key(data) if event_type == "message.received" else None,
            decoded=decoded,
            zero_retention=data.get("zero_retention") is True,
        )


def event_id_of(delivery_id: str) -> str:
    """Return the id of Linq's event, given the id of its delivery; the id of one of linqbot's own as it is."""
    return delivery_id.removeprefix(LINQ_DELIVERY)


def retention_mark(*, off_the_record: bool) -> dict[str, Any]:
    """Return what a body of linqbot's own holds if its line keeps nothing, in Linq's form: see `is_off_the_record`."""
    return {"data": {"zero_retention": True}} if off_the_record else {}


def decode(body: bytes) -> Any:
    """Return a body as Python data; None if it is not JSON.

    Some text is valid in JSON but not in Unicode: half a surrogate pair, or bytes that are not UTF-8. Such text is
    repaired with U+FFFD, so that a broken emoji costs one character and not the message, and can always be stored.
    """
    try:
        # Only names are shared. Texts and ids are not: the last 16,384 of all deliveries would stay in memory.
        return from_json(body, cache_strings="keys")
    except ValueError:
        return repaired(body)


def repaired(body: bytes) -> Any:
    """Return a body that is not strict JSON as Python data, with U+FFFD for broken text; None if it is no JSON at all."""
    try:
        text = json.dumps(json.loads(body.decode("utf-8-sig", "replace")), ensure_ascii=False)
        return from_json(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
    except (ValueError, RecursionError):
        return None


def _seconds(at: Any) -> float | None:
    """Return a time in Linq's form in Unix seconds; None if it is none."""
    try:
        return datetime.fromisoformat(str(at)).timestamp()
    except (ValueError, OverflowError):
        return None


def _message_key(data: dict[str, Any]) -> str | None:
    # The payload version 2025-01-01 nests the message.
    message = data.get("message")
    inner = token(message.get("id")) if isinstance(message, dict) else None
    message_id = inner or token(data.get("id")) or token(data.get("message_id"))
    return message_id and f"m.{message_id}"
