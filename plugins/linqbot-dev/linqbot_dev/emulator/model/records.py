"""The records of the emulator, as mutable documents: lines, chats, messages and so on.

Handles are phone numbers or e-mail addresses in their normal form (R7, R8). `documents.py` turns records into JSON and
back, `shapes.py` adds what a record does not hold as Linq shows it; `state.py` keeps and finds them.
"""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, TypeAlias, get_args

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from linqbot.linq.handles import is_handle, is_sender, plain_handle
from linqbot.linq.types.chat import ServiceType
from linqbot.linq.types.message import Effect, ReplyTo, Sticker
from linqbot.linq.types.names import misspelt
from linqbot_dev.emulator.model.answers import JsonObject
from linqbot_dev.emulator.model.documents import Private, Sparse, Time, Unsaved, iso, new_id
from linqbot_dev.emulator.model.message_content import BackgroundRecord, PartRecord, StickerPlacement

DOCS = "https://docs.linqapp.com"


def _reputation(status: str) -> JsonObject:
    anchor = status.lower().replace("_", "-")
    return {"status": status, "doc_url": f"{DOCS}/channel/imessage/guides/phone-numbers/reputation#{anchor}"}


def checked_service(value: str) -> str:
    """Return the name of a service. One that is not known passes: Linq may have added it."""
    if not isinstance(value, str) or not value:
        raise ValueError("service must be a name such as iMessage")
    if near := misspelt("service", value, get_args(ServiceType)):
        raise ValueError(f"service must be {near}")
    return value


Service: TypeAlias = Annotated[str, AfterValidator(checked_service)]
Reputation: TypeAlias = Annotated[
    str,
    BeforeValidator(lambda value: value if isinstance(value, str) else value["status"]),
    PlainSerializer(_reputation),
]


@dataclass(slots=True)
class Line:
    """A phone number of the account. `FLAGGED` lines cannot send (R13).

    Attributes:
        zero_retention: Messages on the line are shown once and not kept.
    """

    phone_number: str
    id: str = field(default_factory=new_id)
    line_type: str = "iMessage"
    reputation: Reputation = "HEALTHY"
    forwarding_number: str | None = None
    status: Private[str] = "ACTIVE"
    zero_retention: Private[bool] = False
    used_at: Unsaved[float] = 0.0

    @property
    def can_send(self) -> bool:
        return self.status == "ACTIVE"


@dataclass(slots=True)
class Member(Sparse):
    """A participant of a chat: Linq's ChatHandle. `line_type` is set for our own line only."""

    SPARSE: ClassVar = frozenset({"line_type"})

    id: str
    handle: str
    service: Service
    joined_at: Time
    is_me: bool = False
    status: str = "active"
    left_at: Time | None = None
    line_type: str | None = None


@dataclass(frozen=True, slots=True)
class NoticeRecord:
    """A change of a chat that phones note between the messages. Linq has events for it, and keeps no list.

    Attributes:
        kind: `joined` by oneself, `added`, `left`, `removed`, `named`, `icon` or `background`.
        by: The handle that made the change.
        handle: The member that joined, left, was added or removed; None for the other kinds.
        value: The new name, the address of the new icon, or the type of the new background; None if it was taken away.
        after: The id of the message before it; None if there was none. Several may have one time.
    """

    kind: str
    created_at: Time
    by: str
    handle: str | None = None
    value: str | None = None
    after: str | None = None


@dataclass(slots=True)
class ChatRecord:
    """A chat of one line with one or more people.

    Attributes:
        reusable: False after participants joined or left: such a group is no longer found by its recipients (R54).
        typing: The time until which each handle shows as typing.
        messages: Oldest first, without deleted ones.
        background: The background that the bot or a person has set; None is Apple's own.
        notices: The changes of the members and of the look, oldest first.
    """

    id: str
    line: Unsaved[str]
    members: Annotated[list[Member], Field(alias="handles")]
    is_group: bool
    service: Service
    created_at: Time
    updated_at: Time
    seq: Unsaved[int]
    name: Private[str | None] = None
    icon: Annotated[str | None, Field(alias="group_chat_icon")] = None
    health: Unsaved[str] = "HEALTHY"
    health_at: Unsaved[float] = 0.0
    reusable: Private[bool] = True
    card_shared_at: Private[Time | None] = None
    location_asked_at: Unsaved[float | None] = None
    background: Private[BackgroundRecord | None] = None
    typing: Unsaved[dict[str, float]] = field(default_factory=dict)
    notices: Private[list[NoticeRecord]] = field(default_factory=list)
    messages: Unsaved[list[MessageRecord]] = field(default_factory=list)

    @property
    def me(self) -> Member:
        return next(member for member in self.members if member.is_me)

    @property
    def others(self) -> list[Member]:
        """The people in the chat now, without our line."""
        return [member for member in self.members if not member.is_me and member.status == "active"]

    @property
    def active(self) -> list[Member]:
        """All members in the chat now, with our line."""
        return [member for member in self.members if member.status == "active"]

    @property
    def people(self) -> frozenset[str]:
        """The handles of the people in the chat now, without our line."""
        return frozenset(member.handle for member in self.others)

    @property
    def has_left(self) -> bool:
        return self.me.status != "active"

    def member(self, handle: str) -> Member | None:
        """Return the member with this handle, including one that has left; None if there is none."""
        return next((member for member in self.members if member.handle == handle), None)


@dataclass(slots=True)
class ReactionRecord(Sparse):
    SPARSE: ClassVar = frozenset({"sticker", "placement"})

    id: str
    type: str
    by: Annotated[Member, Field(alias="handle")]
    part_index: Unsaved[int]
    at: Unsaved[float]
    custom_emoji: str | None = None
    sticker: Sticker | None = None
    placement: Private[StickerPlacement | None] = None


@dataclass(slots=True)
class EarlierText:
    """The text of a part before an edit. Phones show it; Linq's API does not."""

    part_index: int
    text: str
    until: Time


@dataclass(slots=True)
class MessageRecord(Sparse):
    """A message of a chat.

    Attributes:
        status: `pending`, `sent`, `delivered`, `read` or `failed`; inbound `received` or `read`.
        updated_at: Changes with edits only. Receipts and reactions do not change it, because clients read
            `updated_at != created_at` as "edited".
        earlier: The texts before each edit, oldest first.
        poll: Set when the message is a poll.
        zero_retention: The content is on the phones only: the API no longer shows it.
    """

    SPARSE: ClassVar = frozenset({"reconciled_at"})

    id: str
    chat_id: str
    seq: Unsaved[int]
    is_from_me: bool
    sender: Annotated[Member, Field(alias="from_handle")]
    parts: Unsaved[list[PartRecord]]
    status: Annotated[str, Field(alias="delivery_status")]
    service: Service
    created_at: Time
    updated_at: Time
    preferred_service: str | None = None
    effect: Effect | None = None
    reply_to: ReplyTo | None = None
    idempotency_key: Private[str | None] = None
    sent_at: Time | None = None
    delivered_at: Time | None = None
    read_at: Time | None = None
    reconciled_at: Time | None = None
    edits: Private[int] = 0
    earlier: Private[list[EarlierText]] = field(default_factory=list)
    is_voice_memo: Private[bool] = False
    zero_retention: Private[bool] = False
    reactions: Unsaved[list[ReactionRecord]] = field(default_factory=list)
    poll: Unsaved[PollRecord | None] = None


Voters: TypeAlias = Annotated[
    dict[str, Time],
    PlainSerializer(lambda voters: [{"handle": voter, "voted_at": iso(at)} for voter, at in voters.items()]),
]


@dataclass(slots=True)
class PollOptionRecord:
    """One option of a poll. `voters` maps a handle to the time of its vote."""

    id: Annotated[str, Field(alias="option_id")]
    text: str
    creator: Annotated[Member, Field(alias="creator_handle")]
    voters: Voters = field(default_factory=dict)


@dataclass(slots=True)
class PollRecord:
    options: list[PollOptionRecord]
    updated_at: Time


Content: TypeAlias = Annotated[
    bytes,
    BeforeValidator(lambda value: base64.b64decode(value, validate=True) if isinstance(value, str) else value),
    PlainSerializer(lambda content: base64.b64encode(content).decode()),
]


@dataclass(slots=True)
class AttachmentRecord:
    """A file: first announced by its owner, then uploaded.

    Attributes:
        upload_token: The secret part of the upload address; None if the file came otherwise.
        content: None if the file is not uploaded yet, or if a state written by hand leaves it out.
    """

    id: str
    filename: str
    content_type: str
    size_bytes: int
    created_at: Time
    upload_token: Private[str | None] = None
    expires_at: Private[Time] = 0.0
    content: Annotated[Private[Content | None], Field(alias="data_base64")] = None

    @property
    def is_awaited(self) -> bool:
        """Return True if the file was announced and its bytes were not uploaded yet."""
        return self.content is None and self.upload_token is not None


@dataclass(slots=True)
class SubscriptionRecord:
    """A webhook subscription: the address and the types of events. The API shows `secret` once, when it is created."""

    id: str
    target_url: str
    subscribed_events: list[str]
    secret: Annotated[Private[str], Field(alias="signing_secret")]
    created_at: Time
    updated_at: Time
    is_active: bool = True
    phone_numbers: list[str] | None = None
    routing_id_header: str | None = None
    routing_key_header: str | None = None


@dataclass(slots=True)
class ContactCardRecord:
    """The contact card of a line: name and photo.

    Attributes:
        is_given: The line came with this card, and the bot has not changed it. The bot may create its own in its place.
    """

    id: Private[str]
    phone_number: str
    first_name: str
    last_name: str | None = None
    image_url: str | None = None
    is_active: bool = True
    is_given: Private[bool] = False


@dataclass(slots=True)
class Share:
    """A person's location, shared with one of our lines. `ends_at` None is without end."""

    handle: str
    line: Private[str]
    latitude: float
    longitude: float
    began_at: Time
    updated_at: Private[Time]
    ends_at: Time | None = None


@dataclass(slots=True)
class BlockedHandleRecord:
    handle: str
    blocked_at: Time
    reason: str | None = None


@dataclass(slots=True)
class PaymentRequestRecord:
    """A request for payment, which the payer pays on a page.

    Attributes:
        discount: As the request gave it.
        status: `requested`, `authorized`, `declined` (another card may follow), `succeeded`, `canceled`, `expired`.
    """

    NOUN: ClassVar = "payment request"
    OPEN: ClassVar = frozenset({"requested", "authorized", "declined"})

    id: str
    mode: str
    rail: str
    amount: int
    currency: str
    status: str = "requested"
    created_at: Time = 0.0
    updated_at: Time = 0.0
    expires_at: Time = 0.0
    paid_at: Time | None = None
    description: str | None = None
    metadata: JsonObject | None = None
    customer_id: str | None = None
    price_id: str | None = None
    quantity: int | None = None
    discount: JsonObject | None = None
    trial_end: Time | None = None


@dataclass(slots=True)
class PaymentRecord:
    """A charge of a connected customer.

    Attributes:
        needs_card: The customer has no card on file yet.
        merchant: As the request gave it.
    """

    NOUN: ClassVar = "payment"
    OPEN: ClassVar = frozenset({"needs_connection", "connecting", "awaiting_user_action", "ready", "authorized"})

    id: str
    handle: str
    amount_cents: int
    currency: str
    created_at: Private[Time]
    updated_at: Private[Time]
    status: str = "needs_connection"
    needs_card: Private[bool] = True
    description: str | None = None
    merchant: JsonObject | None = None
    metadata: JsonObject | None = None

    @property
    def expires_at(self) -> float:
        """The end of the page for the card. Linq says that it is valid for about 48 hours."""
        return self.created_at + 172800.0


@dataclass(slots=True)
class ConnectionRecord:
    """The permission to charge a customer: `not_connected`, `pending`, `connected` or `revoked`."""

    handle: str
    status: str = "not_connected"
    id: Private[str] = field(default_factory=lambda: f"con_{uuid.uuid4().hex[:24]}")
    connect_id: Private[str | None] = None
    has_card: Private[bool] = False
    created_at: Private[Time] = 0.0


@dataclass(slots=True)
class Audit:
    """An examination of a line's reputation."""

    id: str
    line: str
    created_at: float


def normal(handle: str) -> str:
    """Return the normal form of a handle: an e-mail address in lower case, because its case has no meaning."""
    return plain_handle(handle).lower() if "@" in handle else plain_handle(handle)


def can_text(handle: str) -> bool:
    """Return True for a handle, a short code, or the name of a sender in capitals: another name may be a person's, misspelt."""
    return is_handle(handle) or (is_sender(handle) and handle == handle.upper())
