"""Runs a rehearsal: the emulator in this process, the bot in another one, and many people who talk at the same time.

Next step: `testing/people/checks.py` checks what the people received, and `report.py` shows the result.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from linqbot.cli.output import progress_bar
from linqbot.errors import ConfigError
from linqbot.linq.events.lane import chat_of_lane
from linqbot.server import uvicorn_server
from linqbot.storage.inbox import DeadDelivery
from linqbot.storage.open import open_storage
from linqbot_dev.dev.bot_process import BotProcess
from linqbot_dev.dev.processes import bots_socket, end
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.engine.webhook import WebhookDelivery
from linqbot_dev.emulator.web.app import create_app
from linqbot_dev.rehearsal.bot import REQUESTS
from linqbot_dev.rehearsal.evals import AT_ONCE, Suite
from linqbot_dev.rehearsal.report import PersonResult, Report, counts_of, faults_in
from linqbot_dev.testing.ledger import FILE as LEDGER
from linqbot_dev.testing.ledger import Ledger, lines_of
from linqbot_dev.testing.people.checks import OF_EFFECTS, Rule, Violation, seconds_to_answers, violations
from linqbot_dev.testing.people.persona import Dialogue, FaultName, Inject, Performed, Persona, Visit, records_of
from linqbot_dev.testing.people.rehearsing import handle_of, perform

SECRET_NAMES: Final = ("KEY", "TOKEN", "SECRET", "PASSWORD")
"""The ends of the names of environment variables whose values no message may contain."""


@dataclass(frozen=True, slots=True)
class Plan:
    bot: str
    seconds: float
    faults: Sequence[FaultName]
    seed: int
    patience_s: float
    skipped: Sequence[Rule]  # the rules that are not checked
    may_ignore: Sequence[re.Pattern[str]]  # see `Surroundings`
    out: Path  # the folder for the bot's log
    suite: Suite | None = None


def rehearsed(plan: Plan, people: Sequence[Persona]) -> tuple[Report, Sequence[Visit]]:
    with (
        uvicorn_server.listen("127.0.0.1", 0) as linq,
        bots_socket() as (port, bound),
        tempfile.TemporaryDirectory(prefix="linqbot-rehearsal-") as folder,
    ):
        emulator = Emulator(public_url=uvicorn_server.address(linq))
        bot = ServedBot(plan.bot, emulator.public_url, port, Path(folder), bound=bound, log=plan.out / LOG)
        emulator.api_key = bot.api_key
        stage = LiveStage(plan, emulator, bot)
        return asyncio.run(stage.rehearse(people, linq)), stage.visits


# The process of the bot: start, kill, stop, its memory, and what its storage says about its work

START_S: Final = 120.0
LOG: Final = "bot.log"
MOST: Final = 10_000


@dataclass(slots=True)
class ServedBot(BotProcess):
    """The bot in its process, which writes a log."""

    program: str = "linqbot_dev.rehearsal.bot"
    log: Path = Path(LOG)
    stop_s: float = 10.0
    has_answered: bool = False  # since its first start

    def __post_init__(self) -> None:
        self.log.unlink(missing_ok=True)
        self.instead |= {"LINQBOT_DRAIN_S": "5", "LINQBOT_LOG_TURNS": "1", LEDGER: str(self.folder / "ledger")}

    async def serve(self) -> int:
        """Start the process, and wait until it answers.

        A message that waits may end it before it answers. Then it is started again.

        Returns:
            How often it ended by itself before it answered.
        """
        ended = 0
        try:
            async with asyncio.timeout(START_S):
                await self.start()
                while await self.needs() is None:
                    if not self.has_answered:
                        raise self._not_started("did not start")
                    ended += 1
                    await self.start()
        except TimeoutError:
            raise self._not_started(f"did not answer within {START_S:g} s") from None
        self.has_answered = True
        return ended

    def _not_started(self, what: str) -> ConfigError:
        last = self.log.read_text(errors="replace").strip()[-2000:]
        return ConfigError(f"{self.file} {what}. Its log, {self.log}, ends with:\n{last}")

    async def kill(self) -> int:
        """Kill the process at once, and start it again. Return how often it then ended by itself."""
        async with self.changing:
            if self.process is not None and self.is_running:
                end(self.process, at_once=True)
                await self.process.wait()
            return await self.serve()

    async def unfinished(self) -> set[str]:
        """Return the ids of the chats with deliveries that the bot has not finished."""
        async with open_storage(self.storage, serving=False) as storage:
            waiting = await storage.waiting(limit=MOST)
        return {chat_id for one in waiting if (chat_id := chat_of_lane(one.lane)) is not None}

    async def dead(self) -> list[DeadDelivery]:
        """Return the deliveries that the bot gave up, the oldest first."""
        if not self.has_answered:
            return []
        async with open_storage(self.storage, serving=False) as storage:
            return (await storage.dead_letters(limit=MOST))[::-1]

    def ledger(self) -> Ledger | None:
        """Return the fake outside system that the bot uses; None if it uses none."""
        file = Path(self.instead[LEDGER])
        return Ledger(file=file) if file.exists() else None

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests to models so far, each with its chat, its tokens and its cost as far as they are known."""
        return lines_of(Path(self.instead[LEDGER]).with_name(REQUESTS))

    def memory_bytes(self) -> int | None:
        """Return the resident memory of the process; None if it does not run, or the system does not say it."""
        if self.process is None or not self.is_running:
            return None
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return None
        line = next((line for line in status.splitlines() if line.startswith("VmRSS:")), None)
        return None if line is None else int(line.split()[1]) * 1024


# The people

LOOK_EVERY_S: Final = 0.25
BUSY_S: Final = 120.0
"""Seconds for which a person waits for a bot that has not finished."""
MOST_AT_ONCE: Final = 2000
KILLS: Final = 15
"""The mean number of kills in a rehearsal."""
LEAST_BETWEEN_KILLS_S: Final = 4.0
MEMORY_EVERY_S: Final = 1.0


class LiveStage:
    """The surroundings of people who talk to a process: see `linqbot_dev.testing.people.rehearsing.Surroundings`.

    The seed determines when the bot is killed.

    Attributes:
        visits: The conversations.
    """

    look_every_s = 0.5

    def __init__(self, plan: Plan, emulator: Emulator, bot: ServedBot) -> None:
        self.emulator = emulator
        self.patience_s = plan.patience_s
        self.may_ignore = plan.may_ignore
        self.visits: list[Visit] = []
        self._plan = plan
        self._bot = bot
        self._dice = random.Random(f"{plan.seed}/kills")  # noqa: S311 - no secret
        self._looks = 0  # the looks that have begun
        self._looked = asyncio.Condition()
        # The number of the latest look that has ended, and the people in whose chats something is not finished.
        self._seen: tuple[int, Collection[str]] = (0, ())
        self._at_once = asyncio.Semaphore(AT_ONCE if plan.suite else MOST_AT_ONCE)
        self._begun_at = 0.0  # time of the event loop at which the people began
        self._seconds = 0.0  # the length of the conversations so far
        self._kills = 0  # how often the bot was killed
        self._crashes = 0  # how often the bot's process ended by itself
        self._memory: list[int] = []  # the bytes of resident memory of the bot's process, in each second

    # For the people

    @property
    def is_over(self) -> bool:
        is_late = asyncio.get_running_loop().time() >= self._begun_at + self._plan.seconds
        suite = self._plan.suite
        return is_late or (suite is not None and bool(suite.limit_reached(self._bot.requests())))

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def settled(self, handle: str) -> bool:
        """Wait until nothing of a person is on its way to the bot, or in its inbox."""
        begun = self._looks
        with suppress(TimeoutError):
            async with asyncio.timeout(BUSY_S), self._looked:
                await self._looked.wait_for(lambda: self._seen[0] > begun and handle not in self._seen[1])
                return True
        return False

    async def kill(self) -> None:
        """Kill the bot and start it again, and note this in the conversations that it cuts into."""
        self._kills += 1
        now = self.emulator.clock.now()
        for visit in self.visits:
            if visit.stretches and not visit.stretches[-1].is_settled:
                visit.stretches[-1].performed.append(Performed(Inject("kill"), now))
        self._crashes += await self._bot.kill()

    # The rehearsal

    async def rehearse(self, people: Sequence[Persona], linq: socket.socket) -> Report:
        """Start the emulator and the bot, and let the people talk until they have ended, or Ctrl-C stops the emulator."""
        server = uvicorn_server.Server(create_app(self.emulator), graceful_s=1, before_exit=self.emulator.end_streams)
        serving = asyncio.create_task(server.serve(linq))
        talking = asyncio.create_task(self._run(people))
        try:
            await asyncio.wait({talking, serving}, return_when=asyncio.FIRST_COMPLETED)
            if was_interrupted := not talking.done():
                talking.cancel()
            with suppress(asyncio.CancelledError):
                await talking
        finally:
            await self._bot.stop()
            server.should_exit = True
            await serving
        report = self._report(await self._bot.dead(), was_interrupted=was_interrupted)
        suite = self._plan.suite
        return report if suite is None else await suite.results(report)

    async def _run(self, people: Sequence[Persona]) -> None:
        """Let the people talk to the bot until they have ended."""
        bot = self._bot
        subscription = self.emulator.subscribe(f"{bot.url}/webhooks/linq?version=2026-02-03", ("message.received",))
        bot.webhook_secret = subscription.secret
        await bot.serve()
        needs = await bot.needs()
        events = dict.fromkeys(("message.received", *(needs.types if needs else ())))
        self.emulator.change_events(subscription, list(events))
        self._begun_at = asyncio.get_running_loop().time()
        self.visits += [Visit(persona, handle_of(number)) for number, persona in enumerate(people, start=1)]
        talking = asyncio.gather(*map(self._let_talk, self.visits))
        around = [self._look_again_and_again(), self._watch_process(), self._show()]
        around += [self._kill_now_and_then()] if "kill" in self._plan.faults else []
        tasks: list[asyncio.Future[Any]] = [talking, *map(asyncio.ensure_future, around)]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in tasks:
                if each in ended:
                    each.result()
        finally:
            async with bot.changing:  # a start that is cut short would leave a process behind
                for each in tasks:
                    each.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _show(self) -> None:
        with progress_bar("Talking") as progress:
            while True:
                await asyncio.sleep(1)
                passed = asyncio.get_running_loop().time() - self._begun_at
                progress(round(min(passed, self._plan.seconds)), round(self._plan.seconds))

    async def _let_talk(self, visit: Visit) -> None:
        try:
            async with self._at_once:
                await perform(visit, self)
        except Exception as error:  # noqa: BLE001 - a function of the author chooses the acts
            visit.stopped = f"its script raised {type(error).__name__}: {error}"

    async def _look_again_and_again(self) -> None:
        known = self.emulator.state.chats
        while True:
            self._looks += 1
            # First what the bot has not accepted: what it accepts meanwhile is then in its inbox.
            chats = {one.chat_id or "" for one in self.emulator.world.deliveries.history if _is_on_its_way(one)}
            chats |= await self._bot.unfinished()
            async with self._looked:
                self._seen = self._looks, {handle for one in chats if one in known for handle in known[one].people}
                self._looked.notify_all()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _kill_now_and_then(self) -> None:
        mean = max(LEAST_BETWEEN_KILLS_S, self._plan.seconds / KILLS)
        while True:
            await asyncio.sleep(max(1.0, self._dice.expovariate(1 / mean)))
            # A bot that has never received anything cannot know that it has missed something.
            has_received = not all(_is_on_its_way(one) for one in self.emulator.world.deliveries.history)
            if has_received and not self.is_over:
                await self.kill()

    async def _watch_process(self) -> None:
        while True:
            await asyncio.sleep(MEMORY_EVERY_S)
            self._seconds = asyncio.get_running_loop().time() - self._begun_at
            if (used := self._bot.memory_bytes()) is not None:
                self._memory.append(used)
            if not self._bot.is_running and not self._bot.changing.locked():
                async with self._bot.changing:
                    self._crashes += 1 + await self._bot.serve()

    def _report(self, given_up: Sequence[DeadDelivery], *, was_interrupted: bool) -> Report:
        secrets = [self._bot.api_key, self._bot.webhook_secret]
        secrets += [value for name, value in os.environ.items() if name.endswith(SECRET_NAMES)]
        ledger = self._bot.ledger()
        broken = violations(
            self.visits,
            self.emulator,
            secrets=secrets,
            given_up=given_up,
            unfinished=not was_interrupted,
            ledger=ledger,
        )
        found = [one for one in broken if one.rule not in self._plan.skipped]
        requests = self._bot.requests()
        people = [self._result(visit, found, requests, was_interrupted=was_interrupted) for visit in self.visits]
        return Report(
            bot=self._plan.bot,
            seconds=self._seconds,
            seed=self._plan.seed,
            people=people,
            bubbles=sum(one.is_from_me for one in self.emulator.state.messages.values()),
            faults=faults_in(self.visits, self._kills),
            crashes=self._crashes,
            memory=self._memory,
            was_interrupted=was_interrupted,
            skipped=(*self._plan.skipped, *(() if ledger else OF_EFFECTS)),
            effects=len(ledger.entries) if ledger else 0,
        )

    def _result(
        self, visit: Visit, found: Sequence[Violation], requests: Sequence[dict[str, Any]], *, was_interrupted: bool
    ) -> PersonResult:
        records = records_of(self.emulator, visit.handle, *visit.friends)
        chats = {record.chat_id for record in records}
        begun = visit.stretches[0].performed[0].at if visit.stretches else 0.0
        dialogue = Dialogue(self.emulator, visit.handle, *visit.friends)
        return PersonResult(
            visit.persona.name,
            counts_of(visit, was_interrupted=was_interrupted),
            seconds=seconds_to_answers(visit, self.emulator),
            violations=[one for one in found if one.person == visit.persona.name],
            stopped=visit.stopped,
            is_finished=visit.has_ended,
            transcript=dialogue.text if self._plan.suite else "",
            took_s=records[-1].created_at - begun if records else 0.0,
            requests=[one for one in requests if one["chat_id"] in chats],
        )


def _is_on_its_way(delivery: WebhookDelivery) -> bool:
    return all(one.is_repeated for one in delivery.attempts)
