"""Runs a rehearsal from its start to its report."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from linqbot.cli.rehearsal.live_stage import LiveStage
from linqbot.cli.rehearsal.report import PersonResult, Report, faults_in, tried_by
from linqbot.cli.rehearsal.served import ServedBot
from linqbot.cli.rehearsal.summary import end_progress, print_progress
from linqbot.emulator.emulator import Emulator
from linqbot.emulator.model.records import SubscriptionRecord
from linqbot.emulator.web.app import create_app
from linqbot.errors import LinqbotError
from linqbot.server import uvicorn_server
from linqbot.testing.people.acts import FaultName
from linqbot.testing.people.checks import Rule, seconds_to_answers, violations
from linqbot.testing.people.persona import Persona
from linqbot.testing.people.visit import Stretch, Visit

SECRET_NAMES: Final = ("KEY", "TOKEN", "SECRET", "PASSWORD")
"""The ends of the names of environment variables whose values no message may contain."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a rehearsal.

    Attributes:
        bot: The bot as commands take it.
        skipped: The rules that are not checked.
        out: The folder for the bot's log.
    """

    bot: str
    seconds: float
    faults: Sequence[FaultName]
    seed: int
    patience_s: float
    skipped: Sequence[Rule]
    out: Path
    shows_progress: bool


def rehearsed(plan: Plan, people: Sequence[Persona]) -> tuple[Report, Sequence[Visit]]:
    """Rehearse, and return the report and the conversations. Ctrl-C ends the rehearsal early.

    Raises:
        ConfigError: the bot did not start.
    """
    with (
        uvicorn_server.listen("127.0.0.1", 0) as linq,
        uvicorn_server.listen("127.0.0.1", 0) as bound,
        tempfile.TemporaryDirectory(prefix="linqbot-rehearsal-") as folder,
    ):
        port = bound.getsockname()[1]
        passes_socket = os.name == "posix"  # Windows passes no file descriptors on.
        if passes_socket:
            bound.listen()
        else:
            bound.close()
        emulator = Emulator(public_url=uvicorn_server.address(linq))
        bot = ServedBot(
            plan.bot, emulator.public_url, port, Path(folder), plan.out, bound=bound if passes_socket else None
        )
        emulator.api_key = bot.api_key
        stage = LiveStage(
            emulator,
            bot,
            seconds=plan.seconds,
            patience_s=plan.patience_s,
            faults=plan.faults,
            seed=plan.seed,
        )

        async def run() -> bool:
            server = uvicorn_server.server(create_app(emulator), graceful_s=1, before_exit=emulator.end_streams)
            serving = asyncio.create_task(server.serve(sockets=[linq]))
            try:
                return await _run(plan, people, stage, bot, serving)
            finally:
                server.should_exit = True
                await serving

        was_interrupted = asyncio.run(run())
    return _report(plan, stage, bot, was_interrupted=was_interrupted), stage.visits


async def _run(
    plan: Plan,
    people: Sequence[Persona],
    stage: LiveStage,
    bot: ServedBot,
    serving: asyncio.Task[None],
) -> bool:
    """Return True if the server was stopped with Ctrl-C before the people had ended."""
    subscription = stage.emulator.subscribe(f"{bot.url}/webhooks/linq?version=2026-02-03", ("message.received",))
    bot.webhook_secret = subscription.secret
    async with bot:
        talking = asyncio.create_task(_talk(people, stage, bot, subscription))
        shown = asyncio.create_task(_show(plan, stage)) if plan.shows_progress else None
        try:
            await asyncio.wait({talking, serving}, return_when=asyncio.FIRST_COMPLETED)
            if not talking.done():
                talking.cancel()
                with suppress(asyncio.CancelledError):
                    await talking
                await stage.ask_for_dead()
                return True
            _raise_error_of(talking)
            return False
        finally:
            if shown is not None:
                shown.cancel()
                end_progress()


async def _talk(people: Sequence[Persona], stage: LiveStage, bot: ServedBot, subscription: SubscriptionRecord) -> None:
    await bot.start()
    events = dict.fromkeys(("message.received", *await bot.events()))
    stage.emulator.change_events(subscription, list(events))
    await stage.run(people)


def _raise_error_of(task: asyncio.Task[None]) -> None:
    error = task.exception()
    while isinstance(error, BaseExceptionGroup):
        # The tasks of a rehearsal fail together; the first failure is the cause of the others.
        ours = [one for one in error.exceptions if isinstance(one, LinqbotError)]
        error = ours[0] if ours else error.exceptions[0]
    if error is not None:
        raise error


async def _show(plan: Plan, stage: LiveStage) -> None:
    while True:
        await asyncio.sleep(1)
        if stage.progress.begun_at:
            passed = asyncio.get_running_loop().time() - stage.progress.begun_at
            written = sum(1 for visit in stage.visits for _ in visit.said)
            said = len(stage.emulator.state.keys)
            print_progress(min(passed, plan.seconds), plan.seconds, written, said, stage.progress.kills)


def _report(plan: Plan, stage: LiveStage, bot: ServedBot, *, was_interrupted: bool) -> Report:
    secrets = [bot.api_key, bot.webhook_secret]
    secrets += [value for name, value in os.environ.items() if name.endswith(SECRET_NAMES)]
    found = violations(
        stage.visits,
        stage.emulator,
        secrets=secrets,
        given_up=stage.progress.given_up,
        unfinished=not was_interrupted,
    )
    found = [one for one in found if one.rule not in plan.skipped]
    people = [
        PersonResult(
            visit.persona.name,
            written=sum(1 for one in visit.said if one.message_id is not None),
            expecting=_expecting(visit.stretches),
            judged=_expecting([one for one in visit.stretches if one.is_settled or not was_interrupted]),
            tried=tried_by(visit),
            seconds=seconds_to_answers(visit, stage.emulator),
            violations=[one for one in found if one.person == visit.persona.name],
            stopped=visit.stopped,
        )
        for visit in stage.visits
    ]
    return Report(
        bot=plan.bot,
        seconds=stage.progress.seconds,
        seed=plan.seed,
        people=people,
        bubbles=sum(one.is_from_me for one in stage.emulator.state.messages.values()),
        faults=faults_in(stage.visits, stage.progress.kills),
        crashes=stage.progress.crashes,
        memory=stage.progress.memory,
        live=stage.progress.live,
        was_interrupted=was_interrupted,
        skipped=plan.skipped,
    )


def _expecting(stretches: Sequence[Stretch]) -> int:
    return sum(one.expects == "answer" for stretch in stretches for one in stretch.causes)
