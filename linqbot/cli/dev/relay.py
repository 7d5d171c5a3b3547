"""`linqbot dev --line`: run the bot on this machine with a real line, through the relay of Linq's own CLI.

`linq webhooks listen --json` subscribes a relay of Linq's and prints each event as JSON, between other lines. It passes
no signature on. So each event is signed here, with a secret that only this run and its bot know, and posted to the bot's
webhook. The relay has answered Linq by then, so Linq does not repeat an event: it is posted until the bot takes it.

The CLI subscribes the relay to all lines of the account, and not to every event type that a bot needs. So its
subscription is changed to those of the bot, and to the one line. The CLI deletes it at its end.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import click
import httpx

from linqbot.cli.dev.bot_process import BotProcess
from linqbot.cli.dev.processes import no_authorities, stop
from linqbot.cli.output import printable
from linqbot.client.client import Client
from linqbot.errors import ConfigError, LinqApiError
from linqbot.linq.events.delivery import Delivery, event_id_of
from linqbot.linq.events.parse import understood
from linqbot.linq.signatures import random_secret
from linqbot.ops.subscriptions import Handled, address, events_for
from linqbot.server.app import WEBHOOK_PATH
from linqbot.testing.samples import signed

LISTEN: Final = ("webhooks", "listen", "--json")
LONGEST_LINE: Final = 1 << 22
AGAIN_S: Final = 0.2
"""Seconds until an event is posted again that the bot has not taken, because it is being restarted."""
STOP_S: Final = 10.0


@dataclass(slots=True)
class Relay:
    """The relay of Linq's CLI, as a child process."""

    client: Client
    bot: BotProcess
    lines: str  # the line that was asked for; empty chooses the only one of the account
    secret: str = field(default_factory=random_secret, repr=False)
    process: Process | None = None
    events: tuple[str, ...] = ()  # the event types that the bot needs
    before: frozenset[str] = field(default_factory=frozenset)  # the subscriptions that were there before the relay's
    id: str | None = None  # of the relay's subscription, once it is known

    async def open(self) -> None:
        self.lines = await self._chosen()
        program = shutil.which("linq")
        if program is None:
            raise ConfigError(
                "The program linq, Linq's own CLI, is not on the PATH, and --line needs its relay. "
                "Install it with npm install -g @linqapp/cli, or use --public-url."
            )
        there = [one async for one in self.client.webhook_subscriptions.list()]
        self.before = frozenset(one.id for one in there)
        for one in there:
            if one.is_active and self.lines in (one.phone_numbers or (self.lines,)):
                click.secho(
                    f"  {one.id} delivers {self.lines} to {address(one.target_url)} too. If a bot is there, both answer. "
                    f"To delete it: linqbot connect remove {one.id}",
                    fg="yellow",
                    err=True,
                )
        self.bot.webhook_secret = self.secret
        self.bot.instead["LINQBOT_LINES"] = self.lines  # another bot may serve the other lines of the account
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
        if self.lines in lines:
            return self.lines
        if len(lines) == 1 and not self.lines:
            return lines[0]
        problem = f"{self.lines} is not a line of this account, which has" if self.lines else "This account has"
        raise ConfigError(
            f"{problem} {len(lines)} lines: {', '.join(lines)}. Choose one: linqbot dev --line {(*lines, 'NUMBER')[0]}"
        )

    async def pass_on(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        async with httpx.AsyncClient(trust_env=False, verify=no_authorities()) as http:
            async for said in said_by(self.process.stdout):
                if self.id is None:
                    await self._subscribe()
                delivery = Delivery.from_webhook(said.encode(), webhook_id="", received_at=time.time())
                if not delivery.type:
                    click.secho(f"  linq: {printable(said)}", dim=True, err=True)
                elif line_of(delivery) in (None, self.lines):
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
                        click.secho(f"  The bot refused a {delivery.type}: {answer.status_code}.", fg="red", err=True)
                    return
            await asyncio.sleep(AGAIN_S)

    async def sync(self, handled: Handled) -> str | None:
        self.events, _ = await events_for(self.client, handled)
        await self._subscribe()
        return None

    async def _subscribe(self) -> None:
        """Have Linq deliver to the relay what the bot needs, of this line, once the CLI has made its subscription."""
        if self.id is None:
            made = [one.id async for one in self.client.webhook_subscriptions.list() if one.id not in self.before]
            self.id = made[0] if made else None
        if self.id is not None:
            # The types are not known before the bot has started.
            await self.client.webhook_subscriptions.update(
                self.id, subscribed_events=self.events or None, phone_numbers=[self.lines]
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
