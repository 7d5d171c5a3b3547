"""What one examination works with: settings, the bot, and what Linq says, asked once for all checks that need it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.client import Client
from linqbot.errors import ConfigError, LinqApiError
from linqbot.ops.doctor.finding import Findings, Skip
from linqbot.ops.subscriptions import Handled, address, is_pending, pinned
from linqbot.server.secret_file import SecretEntry
from linqbot.settings import Settings
from linqbot.types.line import PhoneNumber
from linqbot.types.webhook import WebhookSubscription

T = TypeVar("T")

NOT_ASKED: Final = "Linq could not be asked."


@dataclass(slots=True)
class DoctorContext:
    """One examination.

    Attributes:
        client: None without a key.
        handled: By the bot; None when no file was given, or it cannot be loaded.
        file: As it was given.
        url: The address asked about, if one was.
        skew_s: How far Linq's clock is ahead of ours, seen in its latest answer; None before there is one.
    """

    settings: Settings
    client: Client | None
    handled: Handled | None
    file: str | None
    url: str | None
    skew_s: float | None = None
    _asked: dict[str, asyncio.Future[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.client is not None:
            self.client = self.client.wrapped(self._watching)

    async def lines(self) -> list[PhoneNumber]:
        """The account's lines.

        Raises:
            LinqApiError: Linq says no.
            Skip: there is no key to ask with.
        """
        client = self._client()

        async def ask() -> list[PhoneNumber]:
            return [line async for line in client.phone_numbers.list()]

        return await self._once("lines", ask)

    async def subscriptions(self) -> list[WebhookSubscription]:
        """All subscriptions of the account."""
        client = self._client()

        async def ask() -> list[WebhookSubscription]:
            return [one async for one in client.webhook_subscriptions.list()]

        return await self._of_linq(self._once("subscriptions", ask))

    async def subscribed(self) -> list[WebhookSubscription]:
        """Those of the address in question, what delivers first; several addresses when none was given."""
        found = await self.subscriptions()
        if self.url is not None:
            here = [one for one in found if address(one.target_url) == address(self.url)]
        else:
            here = [one for one in found if one.id in {each.subscription_id for each in self.kept()}]
        return [one for one in here if not is_pending(one)]

    def kept(self) -> tuple[SecretEntry, ...]:
        """What the secret file holds; nothing when it cannot be read, which a check of its own tells."""
        try:
            return self.settings.secret_file.read()
        except ConfigError:
            return ()

    async def target(self) -> str:
        """Where deliveries go.

        Raises:
            Skip: nobody has said.
        """
        if self.url is not None:
            return self.url
        there = await self.subscribed()
        if not there:
            raise Skip("Which address Linq delivers to is not known. Give --url https://your.host")
        return pinned(there[0].target_url)

    async def findings(self) -> Findings:
        """What makes findings, knowing file and address."""
        facts = {"secret_file": str(self.settings.webhook_secret_file)}
        if self.file is not None:
            facts["file"] = self.file
        with contextlib.suppress(Skip, LinqApiError):
            facts["url"] = address(await self.target())
        return Findings(**facts)

    async def _of_linq(self, asked: Awaitable[T]) -> T:
        """What Linq says, for checks that are not about Linq: another one tells what is wrong with it."""
        try:
            return await asked
        except LinqApiError as error:
            raise Skip(NOT_ASKED) from error

    async def _once(self, name: str, ask: Callable[[], Awaitable[T]]) -> T:
        if name not in self._asked:
            self._asked[name] = asyncio.ensure_future(ask())
        # Shielded: a check whose time is over must not take the answer away from the others.
        answer: T = await asyncio.shield(self._asked[name])
        return answer

    def _client(self) -> Client:
        if self.client is None:
            raise Skip(NOT_ASKED)
        return self.client

    def _watching(self, run: Run) -> Run:
        async def watched(call: Call) -> ApiResponse:
            asked_at = time.time()
            answer = await run(call)
            try:
                said = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
            except (ValueError, OverflowError):
                return answer
            # Its date has no fractions, and was made somewhere between our asking and now.
            self.skew_s = said + 0.5 - (asked_at + time.time()) / 2
            return answer

        return watched
