"""A session of `linqbot dev`: it keeps the process of the bot, and what delivers events to the bot, up until one of them ends.

That with the emulator is in `commands/dev.py`, those with a real account are in `real_account.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from linqbot.cli.output import print_started, printable_json
from linqbot.errors import ConfigError
from linqbot_dev.dev.bot_process import BotProcess
from linqbot_dev.dev.processes import Needs

MESSAGES: Final = "message.received"
"""Messages are delivered to a bot without a handler for them too: then the page can say why there is no answer."""


@dataclass
class Session:
    bot: BotProcess
    watched: Path | None  # the folder in which a saved file starts the bot again; None for --no-reload
    phone: str = field(default="", init=False)  # where to text the bot, once it is open: the page, or lines
    was_tried: asyncio.Event = field(default_factory=asyncio.Event, init=False)  # a start of the bot has ended

    async def open(self) -> None:
        """Open a way for events to reach this machine, before the bot starts."""

    def passing_on(self) -> Iterable[Awaitable[None]]:
        """Return the tasks that pass events on to the bot. The session ends with the first that ends."""
        return ()

    async def sync(self, needs: Needs) -> str | None:
        """Have the event types delivered that the bot needs, after each start of the bot.

        Return why nothing arrives, although the bot is up; None if there is no reason.
        """

    async def remove(self) -> None:
        """Close the way for events, and delete its subscription."""

    async def run(self) -> None:
        try:
            await self.open()
            works = (self.bot.keep_up(self.begin, self.watched), *self.passing_on())
            tasks = [asyncio.ensure_future(each) for each in works]
            try:
                ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in tasks:
                    each.cancel()  # no file that is saved from now on starts the bot
                await asyncio.wait(tasks)
            for each in tasks:
                if each in ended:
                    each.result()
        finally:
            # First the events: what is delivered once the bot has stopped would fail.
            await self.remove()
            await self.bot.aclose()

    async def begin(self) -> None:
        """Start the bot with its present code, and say where to text it, or why nothing arrives, or that it did not start."""
        if (needs := await self.bot.begin()) is None:
            if not self.bot.is_ending():  # else Ctrl-C has ended it
                self._say_not_started()
        elif trouble := await self.sync(needs):
            self.say(trouble, fg="red")
        else:
            self._say_ready(needs)
        self.was_tried.set()

    def say(self, text: str, **style: Any) -> None:
        """Print a sentence on standard error; with --json it is a line of JSON."""
        if self.bot.as_json:
            click.echo(printable_json({"note": text}), err=True)
        else:
            click.secho(f"  {text}", err=True, **style)

    def _say_ready(self, needs: Needs) -> None:
        bot, again = self.bot, self.was_tried.is_set()
        if bot.as_json:
            webhook = f"{bot.url}/webhooks/linq"
            print_started({"bot": bot.file, "phone": self.phone, "webhook": webhook, "reloaded": again})
        elif again:
            click.secho(f"  Reloaded. Text your bot: {self.phone}", fg="green", err=True)
        else:
            end = "" if bot.emulator else "  Ctrl-C stops the bot and deletes the subscription.\n"
            click.echo(f"\n  Text your bot: {click.style(self.phone, fg='cyan', bold=True)}\n{end}", err=True)
        if MESSAGES not in needs.types:
            self.say(f"{bot.file} has no handler for messages yet: add @bot.on_message.", fg="yellow")

    def _say_not_started(self) -> None:
        """Say that the bot has not started, and wait for a correction, or end."""
        assert self.bot.process is not None
        code = self.bot.process.returncode
        if self.watched is not None:
            page = f" The page stays at {self.bot.emulator}" if self.bot.emulator else ""
            self.say(f"{self.bot.file} did not start. Correct it and save.{page}", fg="red")
        elif code in (1, 2):  # it has printed its error
            raise click.exceptions.Exit(code)
        else:
            raise ConfigError(f"The process of {self.bot.file} ended with exit code {code} while it started.")
