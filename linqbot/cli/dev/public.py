"""`linqbot dev --public-url`: run the bot on this machine with a real account, behind a tunnel of the author's.

A subscription is created for this run and deleted at its end. A crash leaves the subscription behind. Its secret is in a
file, so the next run finds it and takes it over, even if the tunnel has another address by then. `run` also serves
`linqbot dev --line`: see `relay.py`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import click

from linqbot.cli.dev.bot_process import BotProcess
from linqbot.client.client import Client
from linqbot.errors import ConfigError, LinqApiError
from linqbot.ops.doctor.probe import probe
from linqbot.ops.subscriptions import Handled, address, create_pending, is_pending, sync
from linqbot.server.secret_file import SecretFile
from linqbot.settings import Settings

FOLDER: Final = Path(".linqbot")
SECRET_FILE: Final = FOLDER / "dev-webhook-secret"
STORAGE: Final = f"sqlite:///{FOLDER / 'dev.db'}"
"""Not the storage of `linqbot serve`: a delivery to one of the two must not be handled by the other."""


def environ(settings: Settings) -> dict[str, str]:
    api_key = settings.required_key(
        ", and --line and --public-url are for a real account",
        "Set it to the API token from your Linq dashboard, or run linqbot dev without the option.",
    )
    return {
        "LINQ_API_V3_API_KEY": api_key,
        "LINQ_API_V3_BASE_URL": settings.base_url,
        "LINQBOT_DRAIN_S": "5",
    }


OF_TUNNEL: Final = {
    "LINQ_WEBHOOK_SECRET": "",
    "LINQ_WEBHOOK_SECRET_FILE": str(SECRET_FILE),
    "LINQBOT_STORAGE": STORAGE,
}


class EventSource(Protocol):
    """A way for Linq's events to reach this machine."""

    lines: str  # the lines to text, once it is open

    async def open(self) -> None:
        """Open it, before the bot starts."""

    async def pass_on(self) -> None:
        """Pass events on to the bot until this task is cancelled."""

    async def sync(self, handled: Handled) -> str | None:
        """Have Linq deliver the event types that the bot handles, after each start of the bot.

        Return why nothing arrives, although the bot is up; None if there is no reason.
        """

    async def remove(self) -> None:
        """Close it, and delete its subscription."""


async def run(
    bot: BotProcess, settings: Settings, source_of: Callable[[Client], EventSource], watched: Path | None
) -> None:
    assert settings.api_key
    _stop_at_signals()
    async with Client(settings.api_key, base_url=settings.base_url, timeout_s=20.0) as client:
        source = source_of(client)
        with suppress(asyncio.CancelledError):
            try:
                await source.open()
                keeping = asyncio.create_task(bot.keep_up(partial(_begin, bot, source), watched))
                try:
                    await asyncio.gather(source.pass_on(), keeping)
                finally:
                    keeping.cancel()  # no file that is saved from now on starts the bot
                    await asyncio.wait({keeping})
            finally:
                # First at Linq: what it sends once the bot has stopped would fail.
                await source.remove()
                await bot.aclose()


def _stop_at_signals() -> None:
    """Cancel this task at the first signal, as asyncio does at Ctrl-C. A second signal ends this process at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    assert task is not None

    def stop() -> None:
        task.cancel()
        for each in signals:
            loop.remove_signal_handler(each)

    for each in signals:
        loop.add_signal_handler(each, stop)


@dataclass(slots=True)
class Tunnel:
    """A tunnel of the author's, to which Linq delivers."""

    client: Client
    secrets: SecretFile
    target_url: str
    bot_url: str
    lines: str = ""
    id: str = ""  # of the subscription; empty until there is one

    async def pass_on(self) -> None:
        await asyncio.Event().wait()  # the tunnel itself does

    async def open(self) -> None:
        """Take over the subscription that a crash has left, or create one. If there are several, delete all but one."""
        kept = {each.subscription_id for each in self.secrets.read()}
        there = [one async for one in self.client.webhook_subscriptions.list()]
        strangers = [one for one in there if one.id not in kept and address(one.target_url) == address(self.target_url)]
        for orphan in [one for one in strangers if is_pending(one)]:
            await self._delete(orphan.id)
            strangers.remove(orphan)
        if strangers:
            raise ConfigError(
                f"{strangers[0].id} already delivers to {address(self.target_url)} and was not created by linqbot dev. "
                f"Give another --public-url, or delete it: linqbot connect remove {strangers[0].id}"
            )
        left = [one.id for one in there if one.id in kept]
        for other in left[1:]:
            await self._delete(other)
        # Pending at first: the bot starts with its secret, and only then says which events it needs.
        self.id = left[0] if left else (await create_pending(self.client, self.secrets, self.target_url)).id
        self.lines = " or ".join([line.phone_number async for line in self.client.phone_numbers.list()])

    async def sync(self, handled: Handled) -> str | None:
        own = await self.client.webhook_subscriptions.retrieve(self.id)
        done = await sync(self.client, self.secrets, self.target_url, handled, own=own)
        if done.subscription and done.changes:
            names = ", ".join(sorted(done.subscription.subscribed_events))
            click.secho(f"  Linq delivers to {address(self.target_url)}: {names}", dim=True, err=True)
        secret = next(each.secret for each in self.secrets.read() if each.subscription_id == self.id)
        found = (await probe(self.target_url, secret)).trouble
        if found is None:
            return None
        return (
            f"Nothing arrives through {address(self.target_url)}: {found.what} [{found.code}]\n"
            f"  Point your tunnel to {self.bot_url}, where the bot listens."
        )

    async def remove(self) -> None:
        """Delete the subscription. If that fails, the next run takes it over."""
        if not self.id:
            return
        try:
            await self._delete(self.id)
        except LinqApiError as error:
            click.secho(f"  {self.id} could not be deleted: {error}. The next linqbot dev takes it over.", err=True)
        else:
            click.secho(f"  Deleted the subscription {self.id}.", dim=True, err=True)

    async def _delete(self, subscription_id: str) -> None:
        try:
            await self.client.webhook_subscriptions.delete(subscription_id)
        except LinqApiError as error:
            if error.status != 404:
                raise
        self.secrets.drop(subscription_id)


async def _begin(bot: BotProcess, source: EventSource) -> None:
    needs = await bot.begin()
    if needs is None:
        click.secho(f"  {bot.file} did not start. Correct it and save.", fg="red", err=True)
    elif trouble := await source.sync(Handled(tuple(needs["types"]), everything=needs["everything"])):
        click.secho(f"  {trouble}", fg="red", err=True)
    else:
        lines = click.style(source.lines, fg="cyan", bold=True)
        click.echo(f"\n  Text your bot: {lines}\n  Ctrl-C stops the bot and deletes the subscription.\n", err=True)
