"""Everything a pretend Linq remembers, and how it is found. `statefile.py` writes it down."""

from __future__ import annotations

import itertools
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator

from linqbot.emulator.model.answers import not_found
from linqbot.emulator.model.records import (
    AttachmentRecord,
    Audit,
    BlockedHandleRecord,
    ChatRecord,
    ConnectionRecord,
    ContactCardRecord,
    Line,
    Member,
    MessageRecord,
    PaymentRecord,
    PaymentRequestRecord,
    Share,
    SubscriptionRecord,
    new_id,
)


class State:
    """The records by noun.

    Attributes:
        keys: Idempotency key to message id; a key outlives its message, so that it is never sent again.
        opted_out: Handles that said STOP and nothing since.
        services: What a person's phone speaks, for those who do not speak iMessage.
        shares: Locations by (handle, line).
        released: Lines that were ours; what is under way from them still ends.
        received_cards: What each person last shared of themselves with each line.
        payment_keys: Idempotency key, with what it is for, to the id of what was made.
        keeps_s: How long messages are kept, in seconds, on an account of the ephemeral tier; None is for good.
        is_sandbox: People must write first, and 100 messages a day is all (R15).
        sends: When each (line, recipient) pair was last written to, for the rate limit.
    """

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self.chats: dict[str, ChatRecord] = {}
        self.messages: dict[str, MessageRecord] = {}
        self.attachments: dict[str, AttachmentRecord] = {}
        self.subscriptions: dict[str, SubscriptionRecord] = {}
        self.cards: dict[str, ContactCardRecord] = {}
        self.blocked: dict[str, BlockedHandleRecord] = {}
        self.shares: dict[tuple[str, str], Share] = {}
        self.payment_requests: dict[str, PaymentRequestRecord] = {}
        self.payments: dict[str, PaymentRecord] = {}
        self.payment_keys: dict[str, str] = {}
        self.connections: dict[str, ConnectionRecord] = {}
        self.providers: dict[str, str] = dict.fromkeys(("stripe", "natural", "agentcard"), "ready")
        self.audits: dict[str, Audit] = {}
        self.released: dict[str, Line] = {}
        self.received_cards: dict[tuple[str, str], tuple[str, str, str | None]] = {}
        self.keeps_s: float | None = None
        self.is_sandbox = False
        self.sandbox_day: tuple[int, int] = (0, 0)
        self.opted_out: set[str] = set()
        self.services: dict[str, str] = {}
        self.keys: dict[str, str] = {}
        self.card_writes: dict[str, list[float]] = defaultdict(list)
        self.sends: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._direct: dict[tuple[str, str], ChatRecord] = {}
        self._handle_ids: dict[str, str] = {}
        self._seq = itertools.count(1)

    def next_seq(self) -> int:
        return next(self._seq)

    def chat(self, chat_id: str) -> ChatRecord:
        chat = self.chats.get(chat_id)
        if chat is None:
            raise not_found("chat")
        return chat

    def message(self, message_id: str) -> MessageRecord:
        message = self.messages.get(message_id)
        if message is None:
            raise not_found("message")
        return message

    def attachment(self, attachment_id: str) -> AttachmentRecord:
        attachment = self.attachments.get(attachment_id)
        if attachment is None:
            raise not_found("attachment")
        return attachment

    def subscription(self, subscription_id: str) -> SubscriptionRecord:
        subscription = self.subscriptions.get(subscription_id)
        if subscription is None:
            raise not_found("webhook subscription")
        return subscription

    def service_of(self, handle: str) -> str:
        return self.services.get(handle, "iMessage")

    def handle_id(self, handle: str) -> str:
        """A handle keeps its id in every chat it is in."""
        return self._handle_ids.setdefault(handle, new_id())

    def remember_handle(self, member: Member) -> None:
        self._handle_ids.setdefault(member.handle, member.id)

    def add_chat(self, chat: ChatRecord) -> None:
        self.chats[chat.id] = chat
        for member in chat.others if not chat.is_group else ():
            self._direct[chat.line, member.handle] = chat

    def add_message(self, chat: ChatRecord, message: MessageRecord) -> None:
        chat.messages.append(message)
        self.messages[message.id] = message
        if message.idempotency_key:
            self.keys[message.idempotency_key] = message.id

    def remove_message(self, message: MessageRecord) -> None:
        del self.messages[message.id]
        self.chats[message.chat_id].messages.remove(message)

    def remove_line(self, line: Line) -> None:
        """A line is no longer ours, nor is anything that was said on it."""
        self.released[line.phone_number] = self.lines.pop(line.phone_number)
        self.cards.pop(line.phone_number, None)
        for chat in [chat for chat in self.chats.values() if chat.line == line.phone_number]:
            del self.chats[chat.id]
            for message in chat.messages:
                del self.messages[message.id]
        self._direct = {key: chat for key, chat in self._direct.items() if chat.line != line.phone_number}

    def chats_with(self, line: str, people: Iterable[str]) -> Iterator[ChatRecord]:
        """Chats our line is still in with exactly these people, the latest active first."""
        wanted = frozenset(people)
        if len(wanted) == 1:
            chat = self._direct.get((line, next(iter(wanted))))
            found = [chat] if chat else []
        else:
            found = [chat for chat in self.chats.values() if chat.is_group and chat.line == line]
            found = [chat for chat in found if chat.people == wanted and not chat.has_left]
        yield from sorted(found, key=lambda chat: (chat.updated_at, chat.seq), reverse=True)
