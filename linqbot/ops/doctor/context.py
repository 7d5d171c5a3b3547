"""One run of `linqbot check`: the state that its checks share, their findings, and the function that runs them at once.

Several checks need the same lists from Linq, so the context asks for each list once. Each check has a time limit, and
its failure does not affect the others. This module judges nothing: the checks are in `account.py`, `machine.py` and
`public.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypeAlias, TypeVar

from linqbot.bot.bot import Bot
from linqbot.client.call import ApiResponse, Call, Run
from linqbot.client.client import Client
from linqbot.errors import ConfigError, LinqApiError, LinqbotError
from linqbot.linq.signatures import is_secret
from linqbot.linq.types.line import PhoneNumber, WebhookSubscription
from linqbot.ops.bot_file import BotFileError
from linqbot.ops.check_codes import CODES
from linqbot.ops.explanations import of_raised
from linqbot.ops.subscriptions import Handled, address, is_pending, pinned
from linqbot.server.secret_file import SecretEntry
from linqbot.settings import Settings

T = TypeVar("T")

NOT_ASKED: Final = "Linq could not be asked."


@dataclass(slots=True)
class DoctorContext:
    settings: Settings
    client: Client | None  # None without an API token
    bot: Bot | None  # None if no file was given or it cannot be loaded
    handled: Handled | None  # of `handled_when_served`; None if it is not known
    file: str | None  # the bot's file, as given on the command line
    url: str | None  # the address given with `--url`, if any
    # Seconds by which Linq's clock is ahead of this machine's, from its latest response; None before the first.
    skew_s: float | None = None
    _asked: dict[str, asyncio.Future[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.client is not None:
            self.client = self.client.wrapped(self._measuring_skew)

    async def lines(self) -> list[PhoneNumber]:
        return await self._once("lines", self._client().phone_numbers.list)

    async def subscriptions(self) -> list[WebhookSubscription]:
        try:
            return await self._once("subscriptions", self._client().webhook_subscriptions.list)
        except LinqApiError as error:
            raise Skip(NOT_ASKED) from error

    async def subscribed(self) -> list[WebhookSubscription]:
        """Return the bot's subscriptions: those that deliver to `url`, or without `url` all whose secrets are stored here.

        If only the environment holds a secret, it may belong to any subscription. If all of the account's subscriptions
        deliver to one address, they are taken for the bot's. Pending subscriptions are left out.
        """
        found = [one for one in await self.subscriptions() if not is_pending(one)]
        if self.url is not None:
            return [one for one in found if address(one.target_url) == address(self.url)]
        kept = {each.subscription_id for each in self.kept()}
        if kept or not self.settings.webhook_secrets:
            return [one for one in found if one.id in kept]
        return found if len({address(one.target_url) for one in found}) == 1 else []

    def kept(self) -> tuple[SecretEntry, ...]:
        """Return the secrets in the secret file; none if it cannot be read, which the check `secret` reports."""
        try:
            return self.settings.secret_file.read()
        except ConfigError:
            return ()

    def secrets(self) -> list[str]:
        """Return all signing secrets: those of the environment, then those of the file.

        One that cannot be a secret is left out; the check `secret` reports it.
        """
        given = [each for each in self.settings.webhook_secrets if is_secret(each)]
        return [*given, *(each.secret for each in self.kept())]

    async def targets(self) -> list[str]:
        if self.url is not None:
            return [self.url]
        there = {address(one.target_url): pinned(one.target_url) for one in await self.subscribed()}
        if not there:
            raise Skip("It is not known which address Linq delivers to. Give --url https://your.host")
        return list(there.values())

    def facts(self) -> dict[str, str]:
        """Return what the fix of a finding may name: the secret file, and the bot's file and address if they were given."""
        secret_file, url = str(self.settings.webhook_secret_file), None if self.url is None else address(self.url)
        facts = {"secret_file": secret_file, "file": self.file, "url": url}
        return {name: value for name, value in facts.items() if value is not None}

    async def _once(self, name: str, listing: Callable[[], AsyncIterable[T]]) -> list[T]:
        async def ask() -> list[T]:
            return [one async for one in listing()]

        if name not in self._asked:
            self._asked[name] = asyncio.ensure_future(ask())
        # Shielded: a check that times out must not cancel the request that other checks wait for.
        answer: list[T] = await asyncio.shield(self._asked[name])
        return answer

    def _client(self) -> Client:
        if self.client is None:
            raise Skip(NOT_ASKED)
        return self.client

    def _measuring_skew(self, run: Run) -> Run:
        async def measured(call: Call) -> ApiResponse:
            asked_at = time.time()
            answer = await run(call)
            try:
                date = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
            except (ValueError, OverflowError):
                return answer
            # The header counts whole seconds, and was written at some time between the request and now.
            self.skew_s = date + 0.5 - (asked_at + time.time()) / 2
            return answer

        return measured


Status: TypeAlias = Literal["ok", "warning", "failure", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    check: str  # the thing, in a word or two
    status: Status
    what: str  # the state of the thing, with the values
    code: str | None = None  # the problem, one of `CODES` or that of an error; None if there is no problem
    fix: str = ""  # what to do; empty if there is nothing to do, and until `with_fix`
    facts: dict[str, str] = field(default_factory=dict)  # facts of this finding for its fix, such as `url`

    def with_fix(self, facts: dict[str, str]) -> Finding:
        """Return the finding with the fix of its code, which names its own facts, and else those of the run."""
        if self.code not in CODES or self.fix:
            return self  # an error of a plugin may have a code of its own, and say nothing to do
        return replace(self, fix=CODES[self.code].fix(**facts | self.facts))


class Skip(Exception):
    """A check cannot be made, because something that it needs is missing. The message names what is missing."""


Check: TypeAlias = Callable[[DoctorContext], Awaitable[Sequence[Finding]]]


def ok(check: str, what: str) -> Finding:
    return Finding(check, "ok", what)


def warning(check: str, code: str, what: str, **facts: str) -> Finding:
    return Finding(check, "warning", what, code, facts=facts)


def failure(check: str, code: str, what: str, **facts: str) -> Finding:
    return Finding(check, "failure", what, code, facts=facts)


def finding_of(check: str, error: LinqbotError) -> Finding:
    """Return the finding of an error with which other commands end too, such as `linqbot serve`; it has the error's own code."""
    what, fix, _ = of_raised(error)
    first, *more = what.splitlines()
    # The last line of a traceback says more; that of code to paste says nothing.
    shown = f"{first} {more[-1]}" if more and not first.endswith(" Write:") else first.removesuffix(" Write:")
    if isinstance(error, BotFileError):
        shown = error.brief
    return Finding(check, "failure", shown, error.lqb, fix)


async def examine(
    context: DoctorContext, checks: Mapping[str, Check], *, within_s: float | None
) -> AsyncIterator[Finding]:
    """Run all checks at once, and yield their findings in the order of `checks`, each with its fix.

    A check that fails or takes longer than `within_s` becomes a finding.
    """
    tasks = [asyncio.create_task(_run_check(name, check, context, within_s)) for name, check in checks.items()]
    try:
        for task in tasks:
            for finding in await task:
                yield finding.with_fix(context.facts())
    finally:
        for task in tasks:
            task.cancel()


async def _run_check(name: str, check: Check, context: DoctorContext, within_s: float | None) -> Sequence[Finding]:
    limit = asyncio.timeout(within_s)
    try:
        async with limit:
            return await check(context)
    except Skip as reason:
        return [Finding(name, "skipped", str(reason))]
    except LinqbotError as error:
        return [finding_of(name, error)]
    except Exception as error:  # noqa: BLE001 - a check with a bug must not hide the findings of the others
        if limit.expired():  # a check may also raise a TimeoutError of its own
            return [failure(name, "LQB6000", f"The check did not end within {within_s:g} s.")]
        return [failure(name, "LQB6000", f"The check itself failed with {type(error).__name__}.")]
