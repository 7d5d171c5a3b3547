"""The client: Linq's API as resources with methods, over one sender.

A resource method builds a Call and passes it to `run`. `Client.wrapped` puts the outbox and outbound middleware around
`run`. Resources are imported on first access: a bot needs few of them. An endpoint without a method can be called with
`client.run(prepare("noun.verb"))`. Next step: `sender.py` makes the attempts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import structlog

from linqbot.client.call import ApiResponse, Call, Put, Run
from linqbot.client.resources.resource import Uploader, below
from linqbot.client.sender import Sender
from linqbot.clock import Clock, SystemClock
from linqbot.errors import BotError, KeyMissing
from linqbot.linq.types.files import MAX_BYTES, Fetched, Saved
from linqbot.linq.types.message import MediaPart
from linqbot.text_files import unquoted, written_text

if TYPE_CHECKING:
    import httpx

    from linqbot.client.resources.account import (
        V2,
        AvailableNumberResource,
        BlockedHandles,
        Capability,
        ContactCards,
        LegacyLines,
        PhoneNumbers,
        Subscriptions,
        WebhookEvents,
    )
    from linqbot.client.resources.attachments import Attachments
    from linqbot.client.resources.chat_features import Experiences
    from linqbot.client.resources.chats import Chats
    from linqbot.client.resources.messages import Messages
    from linqbot.client.resources.payments import PaymentHandles, PaymentProviders, PaymentRequests, Payments


log = structlog.get_logger("linqbot.client")

BASE_URL: Final = "https://api.linqapp.com/api/partner"
_MAX_KEY_LENGTH: Final = 128


class Client(Uploader):
    """Linq's API for one account. Create one client, share it, and close it: `async with Client(key) as client`.

    The names of resources, methods and arguments are those of Linq's documentation and its official Python SDK.

    Args:
        api_key: Linq's API key. It never appears in a repr, an error or a log.
        api_key_file: The file that the key was read from. It is read again when Linq refuses the key, so that a key can be
            changed while the bot runs.
        base_url: The base URL without `/v3`.
        timeout_s: Seconds for one attempt of a call, from its start to the last byte of the response.
        connect_timeout_s: Seconds for opening a connection, as part of `timeout_s`.
        max_retries: Retries of a failed call that is safe to repeat: after lost connections, 408, 429, 5xx and
            responses that are not Linq's. The wait is `Retry-After`, or else 0.5, 1, 2, … 8 s.
        max_wait_s: Longest `Retry-After` that the client waits for. After a longer one it raises RateLimited, and the
            caller decides.
        transport: An httpx transport in place of the network, such as the emulator's. It is closed with the client.
        clock: Measures the waits between attempts.
    Raises:
        ConfigError: The key is empty or contains spaces or line breaks, or the base URL is not a plain http(s) address.
    """

    __slots__ = ("_before_fetch", "_owns_sender", "_sender")

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = BASE_URL,
        timeout_s: float = 60.0,
        connect_timeout_s: float = 5.0,
        max_retries: int = 2,
        max_wait_s: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        api_key_file: Path | None = None,
    ) -> None:
        if not _is_key(api_key):
            raise KeyMissing(
                "The API key is empty, or contains spaces, line breaks or non-ASCII characters. "
                "Copy it again from Linq's dashboard into LINQ_API_V3_API_KEY, or try: linqbot dev"
            )
        self._sender = Sender(
            api_key=api_key,
            base_url=base_url,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            max_retries=max_retries,
            max_wait_s=max_wait_s,
            clock=clock or SystemClock(),
            read_key=None if api_key_file is None else lambda: _key_in(api_key_file),
            httpx_transport=transport,
        )
        self._run = self._sender.run
        self._put = self._sender.put
        self._before_fetch: tuple[Callable[[], object], ...] = ()
        self._owns_sender = True

    chats: Chats = below("chats.Chats", "Chats: participants, messages, typing, locations, polls, backgrounds.")
    messages: Messages = below(
        "messages.Messages", "Messages by id, tapbacks, threads, polls, and sending from a line that Linq chooses."
    )

    attachments: Attachments = below("attachments.Attachments", "Files that are uploaded before they are sent.")
    webhook_subscriptions: Subscriptions = below(
        "account.Subscriptions", "Webhook subscriptions: the URLs that Linq sends events to."
    )
    webhook_events: WebhookEvents = below("account.WebhookEvents", "The event types that a subscription can select.")
    phone_numbers: PhoneNumbers = below("account.PhoneNumbers", "The lines of the account.")
    phonenumbers: LegacyLines = below("account.LegacyLines", "The lines, in the format of a deprecated endpoint.")
    available_number: AvailableNumberResource = below("account.AvailableNumberResource", "The line to send from.")
    capability: Capability = below("account.Capability", "Checks of the services that a handle can receive.")
    contact_card: ContactCards = below("account.ContactCards", "The contact card of a line: name and photo.")
    blocked_handles: BlockedHandles = below(
        "account.BlockedHandles", "Blocked handles: nothing is received from them or sent to them."
    )
    experiences: Experiences = below("chat_features.Experiences", "Ready-made interactive cards and their actions.")
    payment_requests: PaymentRequests = below("payments.PaymentRequests", "Payment requests, paid on a checkout page.")
    payments: Payments = below("payments.Payments", "Charges of connected customers.")
    payment_providers: PaymentProviders = below(
        "payments.PaymentProviders", "Your accounts with the providers that process payments."
    )
    payment_handles: PaymentHandles = below("payments.PaymentHandles", "The connections of customers.")
    v2: V2 = below("account.V2", "The legacy API V2.")

    @property
    def base_url(self) -> str:
        """Return the base URL, without a slash at the end."""
        return self._sender.base_url

    async def fetch(self, media: MediaPart | str, *, max_bytes: int = MAX_BYTES, timeout_s: float = 30.0) -> Fetched:
        """Read the file of a received message into memory. The file's URL is short-lived: fetch soon.

        The URL must be https and its host must have a public address. Both are checked after name resolution and again
        on every redirect. Only this client's own origin, such as the emulator's, is exempt. The API key is sent to no
        host.

        Args:
            media: A part of a message, or a URL.
            max_bytes: Size limit, enforced while reading.
            timeout_s: Seconds for the whole fetch, with its repetitions. A broken connection, 408, 429, 500, 502, 503 and
                504 are repeated like a call.
        Raises:
            FetchRefused: The URL is not allowed, or the file is larger than `max_bytes`.
            FetchFailed: The file could not be read.
        """
        self._admit_fetch()
        return await self._sender.fetcher.fetch(media, max_bytes=max_bytes, timeout_s=timeout_s)

    async def fetch_to(
        self, media: MediaPart | str, path: Path | str, *, max_bytes: int = MAX_BYTES, timeout_s: float = 300.0
    ) -> Saved:
        """Write the file of a received message to `path`. The file appears there complete or not at all.

        URLs and limits are those of `fetch`.

        Raises:
            FetchRefused: The URL is not allowed, or the file is larger than `max_bytes`.
            FetchFailed: The file could not be read.
            OSError: The file could not be written.
        """
        self._admit_fetch()
        return await self._sender.fetcher.fetch_to(media, path, max_bytes=max_bytes, timeout_s=timeout_s)

    def run(self, call: Call) -> Awaitable[ApiResponse]:
        """Send a ready-made call, as the outbox of a turn does with stored calls. The rules are not checked again.

        Raises:
            RateLimited, LinqUnavailable, LinqApiError: As the call's own method would raise.
        """
        return self._run(call)

    def wrapped(
        self, wrap: Callable[[Run], Run], *, before_fetch: Callable[[], object] | None = None, put: Put | None = None
    ) -> Client:
        """Return the same client over the same connections, with `wrap` around every call. Cheap enough for every turn.

        `wrap` receives the current `run` and returns its replacement. On a client that is already wrapped, the newest
        wrapper is the outermost. Closing the returned client closes no connection.

        Args:
            before_fetch: Called before every `fetch` and `fetch_to`, because these are not API calls and do not pass
                `run`. Raises to refuse the fetch.
            put: Uploads the bytes of files, which do not pass `run` either; None uploads them to Linq.
        """
        client = object.__new__(Client)
        client._sender = self._sender
        client._run = wrap(self._run)
        client._put = put or self._put
        client._before_fetch = self._before_fetch if before_fetch is None else (before_fetch, *self._before_fetch)
        client._owns_sender = False
        return client

    def named(self, key: str) -> Client:
        """Return the same client for calls that the journal identifies by a name instead of their position in the turn.

        When a turn is retried, the journal matches its calls with earlier ones by position and content. Give names
        where both may differ from run to run: in concurrent tasks that write their messages differently each time.

        Args:
            key: Unique within the turn, at most 128 characters. Several calls under one key are numbered in their
                order; inside of a step of `ctx.once` they are numbered within the step.
        Raises:
            BotError: The key is no text, or it is empty or too long.
        Example:
            `await ctx.client.named("weather").chats.messages.send(chat_id, message=…)`
        """
        if not isinstance(key, str):
            raise BotError(f"A key of a call is a text, not a value of type {type(key).__name__}.")
        if not 0 < len(key) <= _MAX_KEY_LENGTH:
            raise BotError(f"A key of {len(key)} characters cannot name a call. Use 1 to {_MAX_KEY_LENGTH} characters.")
        return self.wrapped(lambda run: lambda call: run(replace(call, label=key)))

    def _admit_fetch(self) -> None:
        for admit in self._before_fetch:
            admit()

    async def aclose(self) -> None:
        """Close the connections. On a client made by `wrapped` or `named`, do nothing."""
        if self._owns_sender:
            await self._sender.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"Client(base_url={self.base_url!r})"


def _is_key(text: str) -> bool:
    return bool(text) and all("!" <= letter <= "~" for letter in text)


def _key_in(path: Path) -> str | None:
    try:
        key = unquoted(written_text(path))
    except (OSError, UnicodeDecodeError):
        key = ""
    if not _is_key(key):
        log.warning("client.key_unreadable", file=str(path), to_do="Put the token of your Linq account into the file.")
        return None
    return key
