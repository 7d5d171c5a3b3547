"""`linqbot dev` with a real account: the bot runs on this machine, behind a tunnel of the author's or Linq's own relay.

With `--public-url`, a subscription to the tunnel is created for this run and deleted at its end. A crash leaves the subscription
behind. Its secret is in a file, so the next run finds it and takes it over, even if the tunnel has another address by then.

With `--line`, `linq webhooks listen --json` subscribes a relay of Linq's and prints each event as JSON, between other lines. It
passes no signature on. So each event is signed here, with a secret that only this run and its bot know, and posted to the bot's
webhook. The relay has answered Linq by then, so Linq does not repeat an event: it is posted until the bot takes it. The CLI
subscribes the relay to all lines of the account, and not to every event type that a bot needs. So its subscription is changed to
those of the bot, and to the one line. The CLI deletes it at its end.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from linqbot.cli.output import printable
from linqbot.cli.storage_option import KEPT, folder_prefix
from linqbot.client.client import Client
from linqbot.errors import ConfigError, LinqApiError
from linqbot.linq.events.delivery import Delivery, event_id_of
from linqbot.linq.events.parse import understood
from linqbot.linq.signatures import random_secret
from linqbot.ops.doctor.probe import probe
from linqbot.ops.subscriptions import Handled, address, events_for, is_pending, of_address, sync, target
from linqbot.server.app import WEBHOOK_PATH
from linqbot.server.secret_file import SecretFile
from linqbot.settings import Settings, from_env
from linqbot_dev.dev.bot_process import BotProcess
from linqbot_dev.dev.processes import Needs, bots_socket, no_authorities, stop
from linqbot_dev.dev.session import Session
from linqbot_dev.testing.samples import signed

SECRET_FILE: Final = Path(".linqbot") / "dev-webhook-secret"


def behind_tunnel(file: str, url: str, port: int | None, watched: Path | None, *, as_json: bool) -> None:
    settings = from_env(port=port)
    instead = _environ(settings) | {
        "LINQ_WEBHOOK_SECRET": "",
        "LINQ_WEBHOOK_SECRET_FILE": str(SECRET_FILE),
        # Not the storage of `linqbot serve`: a delivery to one of the two must not be handled by the other.
        "LINQBOT_STORAGE": f"sqlite:///{KEPT}",
    }
    bot = BotProcess(file, "", settings.port, Path(), as_json=as_json, instead=instead)
    asyncio.run(_run(TunnelSession(bot, watched, SecretFile(SECRET_FILE), target(url))))


def on_line(file: str, line: str, watched: Path | None, *, as_json: bool) -> None:
    settings = from_env()
    with bots_socket() as (port, bound), tempfile.TemporaryDirectory(prefix=folder_prefix()) as folder:
        bot = BotProcess(file, "", port, Path(folder), as_json=as_json, bound=bound, instead=_environ(settings))
        asyncio.run(_run(RelaySession(bot, watched, line)))


def _environ(settings: Settings) -> dict[str, str]:
    api_key = settings.required_key(
        ", and --line and --public-url are for a real account",
        "Set it to the API token from your Linq dashboard, or run linqbot dev without the option.",
    )
    return {
        "LINQ_API_V3_API_KEY": api_key,
        "LINQ_API_V3_BASE_URL": settings.base_url,
        "LINQBOT_DRAIN_S": "5",
    }


async def _run(session: TunnelSession | RelaySession) -> None:
    _stop_at_signals(session.bot)
    account = session.bot.instead
    key, base_url = account["LINQ_API_V3_API_KEY"], account["LINQ_API_V3_BASE_URL"]
    async with Client(key, base_url=base_url, timeout_s=20.0) as session.client:
        with suppress(asyncio.CancelledError):
            await session.run()


def _stop_at_signals(bot: BotProcess) -> None:
    """Cancel this task at the first signal, as asyncio does at Ctrl-C. A second signal ends this process at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    assert task is not None
    bot.is_ending = lambda: task.cancelling() > 0

    def cancel() -> None:
        task.cancel()
        for each in signals:
            loop.remove_signal_handler(each)

    for each in signals:
        loop.add_signal_handler(each, cancel)


@dataclass
class TunnelSession(Session):
    """A session with a tunnel of the author's, to which Linq delivers."""

    secrets: SecretFile
    target_url: str
    client: Client = field(init=False)
    id: str = ""  # of the subscription; empty until there is one

    async def open(self) -> None:
        """Take over the subscription that a crash has left, or create one."""
        kept = {each.subscription_id for each in self.secrets.read()}
        there = [one async for one in self.client.webhook_subscriptions.list()]
        left = next((one for one in there if one.id in kept), None)
        strangers = [one for one in of_address(there, self.target_url) if one.id not in kept and not is_pending(one)]
        if strangers:
            raise ConfigError(
                f"{strangers[0].id} already delivers to {address(self.target_url)} and was not created by linqbot dev. "
                f"Give another --public-url, or delete it: linqbot connect remove {strangers[0].id}"
            )
        # With receipts only: the bot starts with the secret, and only then says which events it needs.
        receipts = Handled((), has_handlers=False)
        try:
            await sync(self.client, self.secrets, self.target_url, receipts, own=left)
        finally:  # if only its last call fails, the subscription is there, and its secret is kept
            made = (each.subscription_id for each in self.secrets.read() if each.subscription_id not in kept)
            self.id = left.id if left is not None else next(made, None) or ""
        self.phone = " or ".join([line.phone_number async for line in self.client.phone_numbers.list()])

    async def sync(self, needs: Needs) -> str | None:
        own = await self.client.webhook_subscriptions.retrieve(self.id)
        done = await sync(self.client, self.secrets, self.target_url, Handled(*needs), own=own)
        if done.subscription and done.changes:
            names = ", ".join(sorted(done.subscription.subscribed_events))
            self.say(f"Linq delivers to {address(self.target_url)}: {names}", dim=True)
        secret = next(each.secret for each in self.secrets.read() if each.subscription_id == self.id)
        found = (await probe(self.target_url, secret)).trouble
        if found is None:
            return None
        return (
            f"Nothing arrives through {address(self.target_url)}: {found.what} [{found.code}]\n"
            f"  Point your tunnel to {self.bot.url}, where the bot listens."
        )

    async def remove(self) -> None:
        """Delete the subscription. If that fails, the next run takes it over."""
        if not self.id:
            return
        try:
            await self.client.webhook_subscriptions.delete(self.id)
        except LinqApiError as error:
            if error.status != 404:
                self.say(f"{self.id} could not be deleted: {error}. The next linqbot dev takes it over.")
                return
        self.secrets.drop(self.id)
        self.say(f"Deleted the subscription {self.id}.", dim=True)


LISTEN: Final = ("webhooks", "listen", "--json")
LONGEST_LINE: Final = 1 << 22
AGAIN_S: Final = 0.2
"""Seconds until an event is posted again that the bot has not taken, because it is being restarted."""
STOP_S: Final = 10.0


@dataclass
class RelaySession(Session):
    """A session with the relay of Linq's CLI, as a child process."""

    line: str  # the line that was asked for; empty chooses the only one of the account
    client: Client = field(init=False)
    secret: str = field(default_factory=random_secret, repr=False)
    process: Process | None = None
    events: tuple[str, ...] = ()  # the event types that the bot needs
    before: frozenset[str] = field(default_factory=frozenset)  # the subscriptions that were there before the relay's
    id: str | None = None  # of the relay's subscription, once it is known

    async def open(self) -> None:
        self.line = self.phone = await self._chosen()
        program = shutil.which("linq")
        if program is None:
            raise ConfigError(
                "The program linq, Linq's own CLI, is not on the PATH, and --line needs its relay. "
                "Install it with npm install -g @linqapp/cli, or use --public-url."
            )
        there = [one async for one in self.client.webhook_subscriptions.list()]
        self.before = frozenset(one.id for one in there)
        for one in there:
            if one.is_active and self.line in (one.phone_numbers or (self.line,)):
                self.say(
                    f"{one.id} delivers {self.line} to {address(one.target_url)} too. If a bot is there, both answer. "
                    f"To delete it: linqbot connect remove {one.id}",
                    fg="yellow",
                )
        self.bot.webhook_secret = self.secret
        self.bot.instead["LINQBOT_LINES"] = self.line  # another bot may serve the other lines of the account
        self.process = await asyncio.create_subprocess_exec(
            program,
            *LISTEN,
            env=os.environ | {"LINQ_TOKEN": self.bot.instead["LINQ_API_V3_API_KEY"]},
            stdin=DEVNULL,
            stdout=PIPE,
            limit=LONGEST_LINE,
            # Ctrl-C in the terminal would stop it a second time, and then it does not delete its subscription.
            start_new_session=True,
        )

    async def _chosen(self) -> str:
        lines = [one.phone_number async for one in self.client.phone_numbers.list()]
        if self.line in lines:
            return self.line
        if len(lines) == 1 and not self.line:
            return lines[0]
        problem = f"{self.line} is not a line of this account, which has" if self.line else "This account has"
        raise ConfigError(
            f"{problem} {len(lines)} lines: {', '.join(lines)}. Choose one: linqbot dev --line {(*lines, 'NUMBER')[0]}"
        )

    def passing_on(self) -> Iterable[Awaitable[None]]:
        return (self._pass_on(),)

    async def _pass_on(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        async with httpx.AsyncClient(trust_env=False, verify=no_authorities()) as http:
            async for said in said_by(self.process.stdout):
                if self.id is None:
                    await self._subscribe()
                delivery = Delivery.from_webhook(said.encode(), webhook_id="", received_at=time.time())
                if not delivery.type:
                    self.say(f"linq: {printable(said)}", dim=True)
                elif line_of(delivery) in (None, self.line):
                    await self._post(http, delivery)
        raise ConfigError(
            f"linq webhooks listen has ended with exit code {await self.process.wait()}, so no text arrives any more. "
            "Its own lines say why; linq doctor checks its set-up. Then run linqbot dev --line again."
        )

    async def _post(self, http: httpx.AsyncClient, delivery: Delivery) -> None:
        event = {"event_id": event_id_of(delivery.id), "event_type": delivery.type}
        while True:
            headers = signed(delivery.body, event, secret=self.secret)
            with suppress(httpx.TransportError):
                answer = await http.post(self.bot.url + WEBHOOK_PATH, content=delivery.body, headers=headers)
                if answer.status_code < 500:
                    if not answer.is_success:
                        self.say(f"The bot refused a {delivery.type}: {answer.status_code}.", fg="red")
                    return
            await asyncio.sleep(AGAIN_S)

    async def sync(self, needs: Needs) -> None:
        self.events, _ = await events_for(self.client, Handled(*needs))
        await self._subscribe()

    async def _subscribe(self) -> None:
        """Have Linq deliver to the relay what the bot needs, of this line, once the CLI has made its subscription."""
        if self.id is None:
            made = [one.id async for one in self.client.webhook_subscriptions.list() if one.id not in self.before]
            self.id = made[0] if made else None
        if self.id is not None:
            # The types are not known before the bot has started.
            await self.client.webhook_subscriptions.update(
                self.id, subscribed_events=self.events or None, phone_numbers=[self.line]
            )

    async def remove(self) -> None:
        if self.process is not None:
            await stop(self.process, within_s=STOP_S)
        if self.id is not None:
            with suppress(LinqApiError):  # the CLI has deleted it, unless it crashed
                await self.client.webhook_subscriptions.delete(self.id)


async def said_by(output: asyncio.StreamReader) -> AsyncIterator[str]:
    """Yield each JSON object that the CLI prints, also one that is indented over several lines, and each other line."""
    begun = ""
    async for raw in output:
        line = raw.decode(errors="replace").rstrip()
        begun += line
        # An indented object begins and ends in the first column.
        is_whole = line.endswith("}") if line.startswith(("{", "}")) else not begun.startswith("{")
        if begun and is_whole:
            yield begun
            begun = ""


def line_of(delivery: Delivery) -> str | None:
    """Return the line of an event, if the event names it."""
    event = understood(delivery)
    return None if event is None else event.line
