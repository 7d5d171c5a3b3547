"""A judgement: starts the emulator and the bot, finds the webhook by a first probe, makes the trials, and fills the card.

A trial that breaks a promise is made again with fewer texts, until the promise is broken again: this confirms the finding, and the
shortest story is kept.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from starlette.middleware import Middleware

from linqbot.errors import ConfigError
from linqbot.linq.signatures import random_secret
from linqbot.server import uvicorn_server
from linqbot_dev.emulator.web.app import create_app
from linqbot_dev.judge import promises
from linqbot_dev.judge.judged_bot import JudgedBot, NotStarted, StartedBot
from linqbot_dev.judge.play import LOOK_EVERY_S, BrokenRule, NotTried, Play, StoryLine
from linqbot_dev.judge.promises import PROMISES, promise_of
from linqbot_dev.judge.scene import JudgedScene, echo
from linqbot_dev.judge.trials import TRIALS, Trial
from linqbot_dev.judge.wire import NotedSends, Wire

PATHS: Final = (
    *("/webhooks/linq", "/webhook", "/webhooks", "/linq/webhook", "/webhook/linq", "/linq/webhooks", "/linq"),
    *("/api/webhooks/linq", "/api/webhook", "/api/linq/webhook", "/api/linq", "/"),
)
"""The paths at which a webhook is looked for."""

PROBES: Final = ("hello", "good day")
PROBE_S: Final = 2.0
"""Seconds after the last bubble, until the answer to a probe is taken as whole."""


@dataclass(frozen=True)
class JudgePlan:
    """The bot that is judged, and the way.

    Attributes:
        command: The program of the bot and its arguments; empty if a bot runs at `webhook`.
        webhook: The address of a bot that runs already.
        secret: The signing secret of a bot that runs already.
        linq_port: The port of the emulated Linq; 0 for any.
        port: The port of the bot; 0 for any.
        path: The path of the webhook; None to look for it.
        scene: What people say; None for the built-in echo.
        start_s: Seconds until the bot must answer its first probe.
    """

    command: Sequence[str] = ()
    webhook: str | None = None
    secret: str | None = None
    linq_port: int = 0
    port: int = 0
    path: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    scene: JudgedScene | None = None
    patience_s: float = 20.0
    start_s: float = 60.0
    trials: Sequence[Trial] = TRIALS


@dataclass(frozen=True)
class PromiseLine:
    """A line of the card: the verdict about a promise.

    Attributes:
        verdict: `kept`, `broken` or `not tried`.
        why: What broke it, or why it was not tried.
        trial: The trial that broke it.
        times: How often the trial broke it, of how often it was made.
        story: What phones showed, as short as it was found.
    """

    promise: str
    verdict: str
    why: str = ""
    trial: str = ""
    times: tuple[int, int] = (0, 0)
    story: Sequence[StoryLine] = ()


async def judge(plan: JudgePlan, *, progress: Callable[[int, int], None] = lambda *_: None) -> list[PromiseLine]:
    """Judge a bot.

    Args:
        progress: Called with the trials that were made, and the number of all.
    Returns:
        A line of the card for each promise, in their order.
    Raises:
        ConfigError: The bot did not answer its first probe, or its command cannot be started.
    """
    with TemporaryDirectory(prefix="linqbot-judge-") as folder:
        async with _wired(plan, Path(folder)) as (wire, bot):
            scene = await _Probing(plan, wire, bot).scene()
            court = _Judging(plan, scene, wire, bot)
            for number, trial in enumerate(plan.trials):
                progress(number, len(plan.trials))
                await court.make(trial)
            return court.card()


@asynccontextmanager
async def _wired(plan: JudgePlan, folder: Path) -> AsyncIterator[tuple[Wire, JudgedBot]]:
    """Yield the emulated Linq, which listens, and the bot, which is not started yet. Both end afterwards."""
    with uvicorn_server.listen("127.0.0.1", plan.linq_port, setting="--linq-port") as bound:
        token = secrets.token_hex(16)
        wire = Wire(api_key=token if plan.command else None, public_url=uvicorn_server.address(bound))
        app = create_app(wire.emulator)
        app.user_middleware.append(Middleware(NotedSends, wire=wire))
        server = uvicorn_server.Server(app, graceful_s=0.5, before_exit=wire.emulator.end_streams, is_main=False)
        serving = asyncio.create_task(server.serve(bound))
        bot = _bot_of(plan, wire, token, folder)
        try:
            yield wire, bot
        finally:
            wire.clear()
            bot.kill_now()
            with suppress(NotStarted):
                await bot.stop()
            server.should_exit = True
            await serving
            await wire.aclose()


def _bot_of(plan: JudgePlan, wire: Wire, token: str, folder: Path) -> JudgedBot:
    if not plan.command:
        return JudgedBot(wire, plan.secret or random_secret())
    return StartedBot(
        wire,
        random_secret(),
        command=plan.command,
        variables=plan.variables,
        token=token,
        port=plan.port or _free_port(),
        folder=folder,
        start_s=plan.start_s,
    )


def _free_port() -> int:
    with uvicorn_server.listen("127.0.0.1", 0) as bound:
        port: int = bound.getsockname()[1]
    return port


class _Probing:
    """The first contact: finds the path of the webhook, and how the bot answers."""

    def __init__(self, plan: JudgePlan, wire: Wire, bot: JudgedBot) -> None:
        self._plan = plan
        self._wire = wire
        self._bot = bot
        self._seen: dict[str, str] = {}  # what each path has answered

    async def scene(self) -> JudgedScene:
        """Return what people say to this bot, when it has answered its first probe. Raises ConfigError."""
        try:
            await self._bot.start()
        except NotStarted as error:
            raise self._never(str(error)) from None
        handle = self._wire.new_handle()
        if not await self._accepts(handle):
            answers = ", ".join(f"{path}: {answer}" for path, answer in self._seen.items())
            raise self._never(f"It accepted no webhook. The answers were {answers}. Name the path with --path.")
        if self._plan.scene is not None:
            return self._plan.scene
        first = await self._answer(handle, PROBES[0], 0)
        self._wire.write(handle, PROBES[1])
        return echo(first, await self._answer(handle, PROBES[1], len(first)))

    async def _accepts(self, handle: str) -> bool:
        """Deliver the first text to one path after the other, until one accepts it. Return False if none does."""
        wire, plan = self._wire, self._plan
        paths = (
            [plan.webhook] if plan.webhook else [self._bot.url + path for path in ([plan.path] if plan.path else PATHS)]
        )
        message_id = ""
        for url in paths:
            before = len(wire.webhooks)
            wire.deliver_to(url, self._bot.secrets[0])
            if message_id:
                wire.emulator.world.deliveries.replay(wire.deliveries_of(message_id)[0].event_id)
            else:
                message_id = wire.write(handle, PROBES[0])
            # Linq delivers again after 5xx and without an answer: the bot may still be starting.
            is_last = url == paths[-1]
            await self._until(partial(self._has_answered, before, is_last=is_last))
            answered = [each.status for each in wire.webhooks[before:] if each.status is not None]
            self._seen[url.removeprefix(self._bot.url)] = str(answered[-1]) if answered else "no answer"
            if wire.webhooks[-1].is_accepted:
                return True
        return False

    def _has_answered(self, before: int, *, is_last: bool) -> bool:
        statuses = [each.status for each in self._wire.webhooks[before:] if each.status is not None]
        return bool(statuses) and (statuses[-1] < 500 or not is_last)

    async def _answer(self, handle: str, text: str, before: int) -> list[str]:
        """Wait for the answer to a probe, and return its bubbles with `{text}` in place of the text. Raises ConfigError."""

        def bubbles() -> list[str]:
            return [words for _, words in self._wire.bubbles(handle)[before:]]

        if not await self._until(bubbles):
            refused = [each.answered for each in self._wire.sends if each.answered and each.answered >= 300]
            why = f" Its send was answered {refused[-1]}." if refused else ""
            raise self._never(f"It accepted the webhook of “{text}”, and sent no answer.{why}")
        while self._wire.now - self._wire.last_at < PROBE_S:  # noqa: ASYNC110 - it may send more
            await asyncio.sleep(LOOK_EVERY_S)
        found = [words.replace(text, "{text}") for words in bubbles()]
        if not any("{text}" in words for words in found):
            raise ConfigError(
                f"The bot answers “{text}” with “{found[0]}”, so it is no echo. Say in a file what it is asked and what it owes: "
                "--scene FILE, see docs/judge.md."
            )
        return found

    async def _until(self, is_so: Callable[[], object]) -> bool:
        try:
            async with asyncio.timeout(self._plan.start_s):
                while not is_so():
                    if self._bot.has_crashed:
                        raise self._never("Its process ended.")
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            return False
        return True

    def _never(self, why: str) -> ConfigError:
        last = self._bot.last_output()
        printed = f" It printed last:\n{last}" if last else ""
        return ConfigError(f"The bot never answered its first probe. {why}{printed}")


class _Judging:
    """The trials that were made, and what they found."""

    def __init__(self, plan: JudgePlan, scene: JudgedScene, wire: Wire, bot: JudgedBot) -> None:
        self._plan = plan
        self._scene = scene
        self._wire = wire
        self._bot = bot
        self._runs = 0
        self._kept: set[str] = set()
        self._broken: dict[str, PromiseLine] = {}
        self._not_tried: dict[str, str] = {}
        self._ended = ""  # why no more trials are made

    async def make(self, trial: Trial) -> None:
        """Make a trial, and again with fewer texts if it breaks a promise."""
        if trial.is_of_process and not self._bot.can_be_killed:
            return self._skip(trial, "the judge has not started the bot, and cannot kill it")
        if self._ended:
            return self._skip(trial, self._ended)
        size = min(trial.size, self._scene.length)
        try:
            play, found = await self._play(trial, size)
        except NotTried as error:
            return self._skip(trial, str(error))
        unseen = play.unseen()
        self._kept |= trial.promises - set(found) - set(unseen)
        for promise in trial.promises & set(unseen):
            self._not_tried.setdefault(promise, unseen[promise])
        for promise in found:
            if promise not in self._broken:
                self._broken[promise] = await self._confirmed(trial, promise, size, play, found[promise])
        if trial.promise == promises.ANSWERS and promises.ANSWERS in self._broken:
            self._ended = "the bot does not answer texts when nothing goes wrong"
        return None

    def _skip(self, trial: Trial, why: str) -> None:
        for promise in trial.promises:
            self._not_tried.setdefault(promise, why)

    async def _play(self, trial: Trial, size: int) -> tuple[Play, dict[str, BrokenRule]]:
        """Make a trial once, and return what it broke, by promise. Raises NotTried."""
        self._runs += 1
        play = Play(
            self._scene,
            size=size,
            run=str(self._runs),
            wire=self._wire,
            bot=self._bot,
            patience_s=self._plan.patience_s,
        )
        try:
            await trial.play(play)
        except NotStarted:
            self._ended = "the bot did not start again"
        finally:
            self._wire.clear()
        found: dict[str, BrokenRule] = {}
        for each in play.found():
            promise = promise_of(each.rule, main=trial.promise, by_rule=trial.by_rule)
            found.setdefault(promise, each)
        return play, found

    async def _confirmed(self, trial: Trial, promise: str, size: int, play: Play, broken: BrokenRule) -> PromiseLine:
        """Make a trial again, with one text at first, until it breaks the promise again. Keep the shortest story."""
        made = 1
        for fewer in [*dict.fromkeys((1, 2, size))] if not self._ended else []:
            made += 1
            try:
                again, found = await self._play(trial, min(fewer, size))
            except NotTried:
                continue
            if promise in found:
                return self._line(trial, promise, again, found[promise], (2, made))
            if self._ended:
                break
        return self._line(trial, promise, play, broken, (1, made))

    @staticmethod
    def _line(trial: Trial, promise: str, play: Play, broken: BrokenRule, times: tuple[int, int]) -> PromiseLine:
        return PromiseLine(promise, "broken", broken.says, trial.name, times, play.story(broken.people))

    def card(self) -> list[PromiseLine]:
        """Return a line for each promise."""
        return [self._broken.get(promise) or self._unbroken(promise) for promise in PROMISES]

    def _unbroken(self, promise: str) -> PromiseLine:
        if promise in self._kept or (promise == promises.STAYS and self._bot.can_be_killed):
            return PromiseLine(promise, "kept")
        return PromiseLine(promise, "not tried", self._not_tried.get(promise, "no trial was made for it"))
