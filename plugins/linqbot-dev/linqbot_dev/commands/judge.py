"""`linqbot judge`: judges any bot that speaks Linq's API, in any language, by promises about what people see.

This module reads the options. Next step: `judge/judging.py` starts the emulator and the bot, and makes the trials.
"""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path
from typing import Annotated, Final

import click

from linqbot.cli import logs
from linqbot.cli.kit import Arg, Opt, Result, command_of
from linqbot.cli.output import Number, Whole, progress_bar
from linqbot.errors import ConfigError
from linqbot_dev.judge.card import PromiseCard
from linqbot_dev.judge.card_page import page_of
from linqbot_dev.judge.judging import JudgePlan
from linqbot_dev.judge.judging import judge as judged
from linqbot_dev.judge.scene import load_scene

LINQ_PORT: Final = 4010
"""The port of the emulated Linq for a bot that runs already, which must know it."""
SECRET: Final = "LINQ_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable

_TOML: Final = click.Path(dir_okay=False, path_type=Path)
_TO_WRITE: Final = click.Path(dir_okay=False, path_type=Path)


def _variable(value: str) -> tuple[str, str]:
    name, is_given, content = value.partition("=")
    if not (name and is_given):
        raise click.BadParameter(f"{value!r} is no variable. Write NAME=VALUE.")
    return name, content


async def judge(
    command: Annotated[tuple[str, ...], Arg(metavar="COMMAND...")] = (),
    *,
    as_json: bool,
    webhook: Annotated[
        str | None, Opt("Judge a bot that runs already, by the address of its webhook.", metavar="URL")
    ] = None,
    scene: Annotated[
        Path | None, Opt("A TOML file of what people say and what is due. Default: an echo.", type=_TOML)
    ] = None,
    variables: Annotated[
        tuple[tuple[str, str], ...],
        Opt(
            "A variable for the command; {token}, {secret}, {url}, {port}, {line} and {folder} are replaced.",
            "--env",
            "NAME=VALUE",
            _variable,
        ),
    ] = (),
    path: Annotated[str | None, Opt("Path of the webhook. Default: the first that answers.", metavar="PATH")] = None,
    port: Annotated[
        int | None, Opt("Port on which the bot listens. Default: a free one.", type=Whole(1, 65535))
    ] = None,
    linq_port: Annotated[
        int | None,
        Opt(f"Port of the emulated Linq. Default: a free one; {LINQ_PORT} with --webhook.", type=Whole(1, 65535)),
    ] = None,
    patience_s: Annotated[
        float, Opt("Seconds that people wait for what is due.", "--patience", type=Number(0, min_open=True))
    ] = 20.0,
    start_s: Annotated[
        float, Opt("Seconds in which the bot answers its first probe.", "--start", type=Number(0, min_open=True))
    ] = 60.0,
    junit: Annotated[Path | None, Opt("Write JUnit XML to this file.", type=_TO_WRITE)] = None,
    html: Annotated[Path | None, Opt("Write a page with the phones to this file.", type=_TO_WRITE)] = None,
) -> Result:
    """Judge the bot that COMMAND starts, in any language, while things go wrong.

    People write to it on an emulated Linq, which doubles and delays webhooks, refuses sends and loses answers. The bot is
    killed and restarted, and its secret is rotated. Write -- before COMMAND. The exit code is 1 if a promise was broken, and
    2 if the bot never answered.
    """
    if bool(command) == bool(webhook):
        raise click.UsageError("Give the command of a bot behind --, or --webhook with the address of one that runs.")
    if webhook and not os.environ.get(SECRET):
        raise ConfigError(f"Set {SECRET} to the signing secret of the bot, with which its webhooks are signed.")
    logs.configure("critical", "json" if as_json else "auto")
    linq_port = (LINQ_PORT if webhook else 0) if linq_port is None else linq_port
    plan = JudgePlan(
        command=command,
        webhook=webhook,
        secret=os.environ.get(SECRET),
        linq_port=linq_port,
        port=port or 0,
        path=None if path is None else f"/{path.removeprefix('/')}",
        variables=dict(variables),
        scene=None if scene is None else load_scene(scene),
        patience_s=patience_s,
        start_s=start_s,
    )
    _end_with_sigterm()
    with progress_bar("Judging") as progress:
        card = PromiseCard(webhook or shlex.join(command), await judged(plan, progress=progress))
    for file, content in ((junit, card.junit), (html, lambda: page_of(card))):
        if file is not None:
            file.write_bytes(content())
    return Result(card.as_json(), card.print, exit_code=int(not card.is_good))


def _end_with_sigterm() -> None:
    """Let SIGTERM end this command as Ctrl-C does, so that the bot that it has started ends too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


command: Final = command_of(judge, "judge")
