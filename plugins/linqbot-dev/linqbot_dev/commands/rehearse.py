"""`linqbot rehearse`: simulated people talk to a bot for some minutes, while things go wrong, and rules are checked.

This module reads the options, the author's own personas from a Python file, and the patterns of messages that a bot may
leave without an answer. Next step: `rehearsal/run.py` runs the emulator in this process and the bot in a child
process, which is really killed.
"""

from __future__ import annotations

import json
import re
import runpy
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import click

from linqbot.cli import logs
from linqbot.cli.kit import BotFile, Opt, Result, command_of
from linqbot.cli.output import Number, Whole
from linqbot.errors import ConfigError
from linqbot.ops.bot_file import BotFileError, require_file
from linqbot_dev.rehearsal import evals as evals_of
from linqbot_dev.rehearsal.report import print_summary, write_file
from linqbot_dev.rehearsal.reproducing import write_reproductions
from linqbot_dev.rehearsal.run import Plan, rehearsed
from linqbot_dev.testing.people.checks import Rule
from linqbot_dev.testing.people.kinds import crowd
from linqbot_dev.testing.people.persona import FAULTS, FaultName, Persona


def _faults(value: str) -> tuple[FaultName, ...]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    if names in (["all"], ["none"]):
        return FAULTS if names == ["all"] else ()
    known = tuple(fault for fault in FAULTS if fault in names)
    if unknown := [name for name in names if name not in FAULTS]:
        raise click.BadParameter(f"{unknown[0]!r} is no fault. Write some of {','.join(FAULTS)}; or all, or none.")
    return known


def _pattern(value: str) -> re.Pattern[str]:
    try:
        return re.compile(value, re.IGNORECASE)
    except re.error as error:
        raise click.BadParameter(f"{error.pattern!r} is no regular expression: {error}.") from None


_TO_READ: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


def rehearse(
    file: BotFile,
    *,
    as_json: bool,
    count: Annotated[
        int | None,
        Opt("Number of built-in people. Default: 50, and 0 with --evals.", "--people", type=Whole(0, 1000)),
    ] = None,
    minutes: Annotated[float, Opt("Length of the rehearsal.", type=Number(0, min_open=True))] = 10.0,
    faults: Annotated[
        str | None,
        Opt(
            f"What goes wrong: some of {','.join(FAULTS)}; or all, or none. Default: all, and none with --evals.",
            metavar="LIST",
        ),
    ] = None,
    seed: Annotated[int, Opt("The same seed gives the same people and faults.")] = 0,
    sayings: Annotated[tuple[str, ...], Opt("A text that the bot answers, for people to write.", "--say", "TEXT")] = (),
    silences: Annotated[
        tuple[re.Pattern[str], ...],
        Opt("Messages that the bot may leave without an answer.", "--may-ignore", "REGEX", _pattern),
    ] = (),
    skip: Annotated[
        tuple[Rule, ...], Opt("A rule that does not hold for this bot, such as order.", metavar="RULE")
    ] = (),
    personas: Annotated[
        Path | None, Opt("A Python file with personas of your own, who talk too.", type=_TO_READ)
    ] = None,
    evals: Annotated[
        Path | None,
        Opt(
            "A YAML file with cases, which are repeated, judged, and compared with the last run.",
            type=_TO_READ,
        ),
    ] = None,
    patience_s: Annotated[
        float,
        Opt(
            "Seconds that people wait for an answer when the bot has nothing left to do.",
            "--patience",
            type=Number(0),
        ),
    ] = 30.0,
    junit: Annotated[
        Path | None, Opt("Write JUnit XML to this file.", type=click.Path(dir_okay=False, path_type=Path))
    ] = None,
    out: Annotated[
        Path,
        Opt(
            "Folder for the report, the bot's log, and tests that show findings.",
            type=click.Path(file_okay=False, path_type=Path),
        ),
    ] = Path("rehearsal"),
) -> Result:
    """Let simulated people talk to the bot in FILE while things go wrong.

    They are impatient, write in bursts, attack, edit, react, opt out. Everything is on this machine: an emulated Linq, and
    the bot in a process of its own. The exit code is 1 if a rule was broken.
    """
    require_file(file)
    # Connections that a fault breaks are errors of the server, and are meant.
    logs.configure("critical", "json" if as_json else "auto")
    if evals is None:
        suite, usual_count, usual_faults = None, 50, "all"
        own = [] if personas is None else load_people(personas)
    else:  # cases alone, and undisturbed, unless the author wants more
        suite, usual_count, usual_faults = evals_of.load(evals), 0, "none"
        own = suite.people(lambda: [] if personas is None else load_people(personas))
    count = usual_count if count is None else count
    injected = _faults(usual_faults if faults is None else faults)
    people = [*own, *crowd(count, seed=seed, faults=injected, sayings=sayings)]
    if not people:
        raise ConfigError("There is nobody to talk to the bot. Give --people, or --personas.")
    if twice := [name for name, times in Counter(one.name for one in people).items() if times > 1]:
        raise ConfigError(
            f"Two people are named {twice[0]!r}, and reports tell them apart by name. Rename one of them."
        )
    out.mkdir(parents=True, exist_ok=True)
    plan = Plan(file, minutes * 60, injected, seed, patience_s, skip, silences, out, suite)
    report, visits = rehearsed(plan, people)
    if report.violations and not report.was_interrupted and suite is None:  # a model would be asked again
        report.reproductions.update(write_reproductions(report.violations, visits, file, out))
    shown = report.as_json()
    write_file(out / "report.json", (json.dumps(shown, ensure_ascii=False, indent=1) + "\n").encode())
    if junit is not None:
        write_file(junit, report.junit())
    return Result(shown, partial(print_summary, report, out), exit_code=int(not report.is_good))


def load_people(file: Path) -> list[Persona]:
    """Return the personas of a file: its list `people`, or else each Persona at its top level."""
    try:
        names = runpy.run_path(str(file))
    except Exception as error:
        raise BotFileError(str(file), error) from error
    given = names.get("people")
    found = list(given) if isinstance(given, list | tuple) else list(names.values())
    people = [one for one in found if isinstance(one, Persona)]
    if not people:
        raise ConfigError(f'{file} has no Persona at its top level. Add: ann = Persona("Ann", [Say("hi")])')
    return people


command: Final = command_of(rehearse, "rehearse")
