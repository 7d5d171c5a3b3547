"""`linqbot rehearse`: simulated people talk to a bot for some minutes, while things go wrong, and rules are checked.

This module reads the options, the author's own personas from a Python file, and the patterns of messages that a bot may
leave without an answer. Next step: `cli/rehearsal/run.py` runs the emulator in this process and the bot in a child
process, which is really killed.
"""

from __future__ import annotations

import json
import re
import runpy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import click
from click.core import ParameterSource

from linqbot.cli import logs
from linqbot.cli.output import file_argument, json_option, printable_json
from linqbot.cli.rehearsal import evals as evals_of
from linqbot.cli.rehearsal.report import print_summary, write_file
from linqbot.cli.rehearsal.reproducing import write_reproductions
from linqbot.cli.rehearsal.run import Plan, rehearsed
from linqbot.errors import ConfigError
from linqbot.ops.bot_file import BotFileError
from linqbot.testing.people.checks import RULES, Rule
from linqbot.testing.people.kinds import crowd
from linqbot.testing.people.persona import FAULTS, Chooser, Dialogue, FaultName, Persona, PersonAct, Say


def _faults(_: click.Context, __: click.Parameter, value: str) -> tuple[FaultName, ...]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    if names in (["all"], ["none"]):
        return FAULTS if names == ["all"] else ()
    known = tuple(fault for fault in FAULTS if fault in names)
    if unknown := [name for name in names if name not in FAULTS]:
        raise click.BadParameter(f"{unknown[0]!r} is no fault. Write some of {','.join(FAULTS)}; or all, or none.")
    return known


def _patterns(_: click.Context, __: click.Parameter, values: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(re.compile(value, re.IGNORECASE) for value in values)
    except re.error as error:
        raise click.BadParameter(f"{error.pattern!r} is no regular expression: {error}.") from None


@click.command("rehearse")
@file_argument
@click.option(
    "--people", "count", default=50, show_default=True, type=click.IntRange(0, 1000), help="Number of built-in people."
)
@click.option(
    "--minutes",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Length of the rehearsal.",
)
@click.option(
    "--faults",
    default="all",
    show_default=True,
    callback=_faults,
    metavar="LIST",
    help=f"What goes wrong: some of {','.join(FAULTS)}; or all, or none.",
)
@click.option("--seed", default=0, show_default=True, type=int, help="The same seed gives the same people and faults.")
@click.option(
    "--say", "sayings", multiple=True, metavar="TEXT", help="A text that the bot answers, for people to write."
)
@click.option(
    "--may-ignore",
    "silences",
    multiple=True,
    callback=_patterns,
    metavar="REGEX",
    help="Messages that the bot may leave without an answer.",
)
@click.option(
    "--skip",
    multiple=True,
    type=click.Choice(RULES),
    metavar="RULE",
    help="A rule that does not hold for this bot, such as order.",
)
@click.option(
    "--personas",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A Python file with personas of your own, who talk too.",
)
@click.option(
    "--evals",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A YAML file with cases, which are repeated, judged, and compared with the last run.",
)
@click.option(
    "--patience",
    "patience_s",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0),
    help="Seconds that people wait for an answer when the bot has nothing left to do.",
)
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write JUnit XML to this file.")
@click.option(
    "--out",
    default="rehearsal",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the report, the bot's log, and tests that show findings.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    file: str,
    count: int,
    minutes: float,
    faults: tuple[FaultName, ...],
    seed: int,
    sayings: tuple[str, ...],
    silences: tuple[re.Pattern[str], ...],
    skip: tuple[Rule, ...],
    personas: Path | None,
    evals: Path | None,
    patience_s: float,
    junit: Path | None,
    out: Path,
    as_json: bool,
) -> None:
    """Let simulated people talk to the bot in FILE while things go wrong.

    They are impatient, write in bursts, attack, edit, react, opt out. Everything is on this machine: an emulated Linq, and
    the bot in a process of its own. The exit code is 1 if a rule was broken.
    """
    path = Path(file.partition(":")[0])
    if file.endswith(".py") and not path.is_file():
        # Imported here: this process does not load the bot.
        from linqbot.ops.bot_file import no_file

        raise no_file(path)
    # Connections that a fault breaks are errors of the server, and are meant.
    logs.configure("critical", "json" if as_json else "auto")
    suite = None
    if evals is not None:
        suite = evals_of.load(evals)
        own = suite.people(lambda: [] if personas is None else load_people(personas))
        # Cases alone, and undisturbed, unless the author wants more.
        count = 0 if _is_default(ctx, "count") else count
        faults = () if _is_default(ctx, "faults") else faults
    else:
        own = [] if personas is None else load_people(personas)
    people = [with_silences(one, silences) for one in [*own, *crowd(count, seed=seed, faults=faults, sayings=sayings)]]
    if not people:
        raise ConfigError("There is nobody to talk to the bot. Give --people, or --personas.")
    if twice := [name for name, times in Counter(one.name for one in people).items() if times > 1]:
        raise ConfigError(
            f"Two people are named {twice[0]!r}, and reports tell them apart by name. Rename one of them."
        )
    out.mkdir(parents=True, exist_ok=True)
    plan = Plan(file, minutes * 60, faults, seed, patience_s, skip, out, shows_progress=not as_json, suite=suite)
    report, visits = rehearsed(plan, people)
    if report.violations and not report.was_interrupted and suite is None:  # a model would be asked again
        tests = write_reproductions(report.violations, visits, file, out, shows_progress=plan.shows_progress)
        report.reproductions.update(tests)
    shown = report.as_json()
    write_file(out / "report.json", (json.dumps(shown, ensure_ascii=False, indent=1) + "\n").encode())
    if junit is not None:
        write_file(junit, report.junit())
    if as_json:
        click.echo(printable_json(shown, indent=1))
    else:
        print_summary(report, out)
    ctx.exit(0 if report.is_good else 1)


def _is_default(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.DEFAULT


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


def with_silences(persona: Persona, patterns: Sequence[re.Pattern[str]]) -> Persona:
    """Return a persona whose messages that fit one of the patterns expect no answer."""
    if not patterns:
        return persona

    def changed(act: PersonAct) -> PersonAct:
        if isinstance(act, Say) and act.expects == "answer" and any(each.search(act.text) for each in patterns):
            return replace(act, expects="anything")
        return act

    script = persona.script
    if callable(script):
        return replace(persona, script=_chooser(script, changed))
    return replace(persona, script=map(changed, script))


def _chooser(choose: Chooser, changed: Callable[[PersonAct], PersonAct]) -> Chooser:
    async def choose_changed(dialogue: Dialogue) -> PersonAct | None:
        act = await choose(dialogue)
        return None if act is None else changed(act)

    return choose_changed
