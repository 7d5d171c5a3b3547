"""The client: Linq's API as nouns and verbs, over one transport.

A noun's method builds a Call and hands it to `run`; what stands around `run` (effect journal, outbound middleware)
is put there with `wrapped` and knows no nouns. Nouns a bot seldom needs are imported when it does. Endpoints that have
no method yet: `client.run(prepare("noun.verb"))`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.http.media_fetch import MAX_BYTES, Fetched, Saved
from linqbot.client.rate_limits import RateLimits
from linqbot.client.resources.chats.chats import Chats
from linqbot.client.resources.messages import Messages
from linqbot.client.resources.v2 import V2
from linqbot.client.resources.v2 import credentials as v2_credentials
from linqbot.client.sender import Sender
from linqbot.clock import Clock, SystemClock
from linqbot.errors import BotError, ConfigError
from linqbot.types.message import MediaPart

if TYPE_CHECKING:
    import httpx

    from linqbot.client.resources.attachments import Attachments
    from linqbot.client.resources.contact_cards import ContactCards
    from linqbot.client.resources.experiences import Experiences
    from linqbot.client.resources.handles import BlockedHandles, Capability
    from linqbot.client.resources.payment_requests import PaymentRequests
    from linqbot.client.resources.payments import PaymentHandles, PaymentProviders, Payments
    from linqbot.client.resources.phone_numbers import AvailableNumberResource, LegacyLines, PhoneNumbers
    from linqbot.client.resources.webhook_events import WebhookEvents
    from linqbot.client.resources.webhook_subscriptions import Subscriptions

BASE_URL: Final = "https://api.linqapp.com/api/partner"
_LONGEST_KEY: Final = 128


class Client:
    """Linq's API for one account. Make one, share it, close it: `async with Client(key) as client`.

    Names of nouns, methods and arguments are those of Linq's own documents and official Python SDK.

    Args:
        api_key: Linq's key. It never appears in a repr, an error or a log.
        base_url: Up to and without `/v3`.
        timeout_s: Seconds for one attempt of a call, from its start to the last byte of its answer.
        connect_timeout_s: Seconds of it for a new connection.
        max_retries: How often a failed call is repeated when that is safe: on lost connections, 408, 429, 5xx and
            answers that are not Linq's, after `Retry-After` or 0.5, 1, 2, … 8 s.
        max_wait_s: Longest `Retry-After` that is waited out; a longer one is the caller's to wait, as RateLimited.
        transport: An httpx transport in place of the network, such as the emulator's; it is closed with the client.
        clock: What the waits between repetitions are measured by.
    Raises:
        ConfigError: the key is empty or broken over lines, or the base URL is not a plain http(s) address.
    """

    __slots__ = ("_before_fetch", "_owns_transport", "_rate_limits", "_run", "_transport")

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
    ) -> None:
        if not api_key or not all("!" <= letter <= "~" for letter in api_key):
            raise ConfigError(
                "The API key is empty, or has spaces, line breaks or foreign letters in it. "
                "Copy it again from Linq's dashboard into LINQ_API_V3_API_KEY, or try: linqbot dev"
            )
        clock = clock or SystemClock()
        self._rate_limits = RateLimits(clock)
        self._transport = Sender(
            api_key,
            base_url=base_url,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            max_retries=max_retries,
            max_wait_s=max_wait_s,
            clock=clock,
            credentials={"v2": v2_credentials(api_key)},
            http=transport,
        )
        self._run: Run = self._transport.run
        self._before_fetch: tuple[Callable[[], object], ...] = ()
        self._owns_transport = True

    @property
    def chats(self) -> Chats:
        """Chats: participants, messages, typing, locations, polls, backgrounds."""
        return Chats(self._run, self._rate_limits)

    @property
    def messages(self) -> Messages:
        """Messages by id, tapbacks, threads, polls, and sending from the line Linq finds best."""
        return Messages(self._run)

    @property
    def attachments(self) -> Attachments:
        """Files, uploaded before they are sent."""
        from linqbot.client.resources.attachments import Attachments

        return Attachments(self._run, self._transport.put)

    @property
    def webhook_subscriptions(self) -> Subscriptions:
        """Where Linq sends events, and which."""
        from linqbot.client.resources.webhook_subscriptions import Subscriptions

        return Subscriptions(self._run)

    @property
    def webhook_events(self) -> WebhookEvents:
        """The event types there are."""
        from linqbot.client.resources.webhook_events import WebhookEvents

        return WebhookEvents(self._run)

    @property
    def phone_numbers(self) -> PhoneNumbers:
        """The lines of the account."""
        from linqbot.client.resources.phone_numbers import PhoneNumbers

        return PhoneNumbers(self._run)

    @property
    def phonenumbers(self) -> LegacyLines:
        """The lines, as a deprecated endpoint lists them."""
        from linqbot.client.resources.phone_numbers import LegacyLines

        return LegacyLines(self._run)

    @property
    def available_number(self) -> AvailableNumberResource:
        """Which line to write from."""
        from linqbot.client.resources.phone_numbers import AvailableNumberResource

        return AvailableNumberResource(self._run)

    @property
    def capability(self) -> Capability:
        """What somebody can receive."""
        from linqbot.client.resources.handles import Capability

        return Capability(self._run)

    @property
    def contact_card(self) -> ContactCards:
        """Name and photo of a line."""
        from linqbot.client.resources.contact_cards import ContactCards

        return ContactCards(self._run, self._rate_limits)

    @property
    def blocked_handles(self) -> BlockedHandles:
        """Whom you neither hear nor write to."""
        from linqbot.client.resources.handles import BlockedHandles

        return BlockedHandles(self._run)

    @property
    def experiences(self) -> Experiences:
        """Ready-made cards, and what they can do."""
        from linqbot.client.resources.experiences import Experiences

        return Experiences(self._run)

    @property
    def payment_requests(self) -> PaymentRequests:
        """Money asked for, paid on a page."""
        from linqbot.client.resources.payment_requests import PaymentRequests

        return PaymentRequests(self._run)

    @property
    def payments(self) -> Payments:
        """Charging connected customers."""
        from linqbot.client.resources.payments import Payments

        return Payments(self._run)

    @property
    def payment_providers(self) -> PaymentProviders:
        """Who makes those payments."""
        from linqbot.client.resources.payments import PaymentProviders

        return PaymentProviders(self._run)

    @property
    def payment_handles(self) -> PaymentHandles:
        """Which customers are connected."""
        from linqbot.client.resources.payments import PaymentHandles

        return PaymentHandles(self._run)

    @property
    def v2(self) -> V2:
        """The legacy API."""
        return V2(self._run)

    @property
    def base_url(self) -> str:
        """Where it calls, without a slash at the end."""
        return self._transport.base_url

    async def fetch(self, media: MediaPart | str, *, max_bytes: int = MAX_BYTES, timeout_s: float = 30.0) -> Fetched:
        """Read the file of a received message into memory. Its URL is short-lived: fetch soon.

        Only over https and from public addresses, checked after the look-up and on every redirect; the one exception
        is this client's own origin, such as the emulator's. The key goes along to nobody.

        Args:
            media: A part of a message, or a URL.
            max_bytes: Counted while reading.
            timeout_s: Seconds for all of it.
        Raises:
            FetchRefused: its address is not one to go to, or it is larger than `max_bytes`.
            FetchFailed: it could not be had.
        """
        self._admit_fetch()
        return await self._transport.fetcher.fetch(media, max_bytes=max_bytes, timeout_s=timeout_s)

    async def fetch_to(
        self, media: MediaPart | str, path: Path | str, *, max_bytes: int = MAX_BYTES, timeout_s: float = 300.0
    ) -> Saved:
        """Write the file of a received message to `path`; it appears there whole or not at all. See `fetch`."""
        self._admit_fetch()
        return await self._transport.fetcher.fetch_to(media, path, max_bytes=max_bytes, timeout_s=timeout_s)

    async def run(self, call: Call) -> ApiResponse:
        """Send a ready call, as the journal does with stored ones. The rules are not asked again.

        Raises:
            RateLimited, LinqUnavailable, LinqApiError: as the call's own method would.
        """
        return await self._run(call)

    def wrapped(self, wrap: Callable[[Run], Run], *, before_fetch: Callable[[], object] | None = None) -> Client:
        """The same client over the same connections, with `wrap` around every call; cheap enough to make per turn.

        `wrap` gets the present `run` and gives back its own. Called on a wrapped client, the newest wrapping is the
        outermost. Closing the result closes nothing.

        Args:
            before_fetch: Called before every `fetch` and `fetch_to`, which are no calls of the API; to refuse the
                fetch, let it raise.
        """
        client = object.__new__(Client)
        client._transport = self._transport
        client._rate_limits = self._rate_limits
        client._run = wrap(self._run)
        client._before_fetch = self._before_fetch if before_fetch is None else (before_fetch, *self._before_fetch)
        client._owns_transport = False
        return client

    def named(self, key: str) -> Client:
        """Return the same client for calls that are known in their turn by a name, and not by their number.

        A handler that runs again after a failure meets its earlier calls by number and content. Give names where both
        may differ from run to run: tasks that run side by side and word their messages anew each time.

        Args:
            key: Unique in its turn, at most 128 characters. Several calls under one key are numbered in their order.
        Raises:
            BotError: the key is empty or too long.
        Example:
            `await ctx.client.named("weather").chats.messages.send(chat_id, message=…)`
        """
        if not 0 < len(key) <= _LONGEST_KEY:
            raise BotError(f"A key of {len(key)} characters cannot name a call. Give 1 to {_LONGEST_KEY}.")
        return self.wrapped(lambda run: lambda call: run(replace(call, label=key)))

    def _admit_fetch(self) -> None:
        for admit in self._before_fetch:
            admit()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._owns_transport:
            await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"Client(base_url={self.base_url!r})"
