"""The way a command reports an error: what happened, what to do, a code to look up, an exit code. No traceback.

`of` turns an error into a `CommandFailure`, and `print_failure` prints it. What the codes mean is in the docstrings of
the errors; `linqbot explain` reads it from there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import click

from linqbot.cli.output import printable_json, printable_lines
from linqbot.errors import ConfigError, LinqbotError, RuleBroken
from linqbot.ops.explanations import first_sentence, of_raised, with_full_stop


class CalledWrongly(LinqbotError):
    """A command was called in the wrong way. Nothing was done.

    Why: An option or argument is missing, misspelt, or does not go with another.
    To do: Read the help of the command. Every command and every group has one, such as `linqbot waiting retry --help`.
    """

    lqb = "LQB1002"


class Interrupted(LinqbotError):
    """A command was stopped before its end, with Ctrl-C or by the answer no to its question.

    Why: The question was not confirmed; a script has no terminal to answer it from.
    To do: Run the command again. Commands that ask have `--yes`, which confirms without a question.
    """

    lqb = "LQB1003"


class NotAccepted(LinqbotError):
    """A bot did not accept an event that `linqbot trigger` sent.

    Why: There is no server at that address, or the bot refused the event: 401 for another secret, 404 for another path,
        503 if it cannot accept events now.
    To do: Read the bot's log, which gives the reason. The address is usually http://127.0.0.1:8000/webhooks/linq.
    """

    lqb = "LQB2004"


class DeployDiffers(LinqbotError):
    """New code does other things than what was done for the same deliveries, or it fails. Nothing was sent.

    Why: `linqbot replay` ran the code on deliveries that were handled, and compared. Or none of them could be
        compared.
    To do: Read the groups above; `--diff` shows what differs. If the differences are meant, `--allow-different` lets only
        failures count.
    """

    lqb = "LQB5011"


@dataclass(frozen=True, slots=True)
class CommandFailure:
    code: str  # the code of linqbot, such as `LQB1001`
    what: str
    fix: str
    look_up: str  # the most specific code for `linqbot explain`: Linq's error code or rule if there is one, else `code`
    exit_code: int
    usage: str = ""  # usage line of the command, if it was called in the wrong way


def of(error: LinqbotError | click.ClickException | click.Abort | OSError) -> CommandFailure:
    """Return what to print of an error. An OSError is one of a file or a folder that this user may not read or write."""
    if isinstance(error, OSError):
        error = ConfigError(
            f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}. Run the command as the user to whom it belongs, "
            "or name another path."
        )
    if isinstance(error, click.Abort):
        # click raises Abort from KeyboardInterrupt for Ctrl-C, and without a cause for the answer no to a question.
        # After Ctrl-C, the command asked nothing, and perhaps it only reads, such as one that watches.
        half_done = "The command was aborted. If it changes something, that may be half done: run it again."
        error = Interrupted("Aborted; nothing was done." if error.__cause__ is None else half_done)
    if isinstance(error, LinqbotError):
        what, fix, look_up = of_raised(error)
        return CommandFailure(error.lqb, what, fix, look_up, 2 if isinstance(error, ConfigError | RuleBroken) else 1)
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    if ctx and isinstance(error, click.exceptions.NoArgsIsHelpError):
        what = f"{ctx.command_path} is a group of commands, and no command was named."
        return CommandFailure(
            CalledWrongly.lqb, what, f"See: {ctx.command_path} --help", CalledWrongly.lqb, 2, ctx.get_help() + "\n"
        )
    what, fix = first_sentence(" ".join(error.format_message().split()))
    if isinstance(error, click.NoSuchOption) and ctx:
        name = error.option_name.lstrip("-")
        if any(isinstance(each, click.Argument) and each.name == name for each in ctx.command.params):
            what, fix = f"{name.upper()} is an argument, not an option", f"Write its value without {error.option_name}."
    path = ctx.command_path if ctx else "linqbot"
    usage = ctx.get_usage() if ctx else ""
    code = CalledWrongly.lqb
    return CommandFailure(code, with_full_stop(what), fix or f"See: {path} --help", code, error.exit_code, usage)


def print_failure(failure: CommandFailure, *, as_json: bool) -> None:
    if as_json:
        error = {"code": failure.code, "what": failure.what, "fix": failure.fix}
        click.echo(printable_json({"error": error}), err=True)
        return
    if failure.usage:
        click.echo(failure.usage, err=True)
    between = "\n" if "\n" in failure.what else " "
    color = False if os.environ.get("NO_COLOR") else None  # the command's context, which knows it, has ended
    click.secho(printable_lines(f"Error: {failure.what}{between}{failure.fix}"), fg="red", err=True, color=color)
    # Of a wrong call, the help of the command says more, and the fix names it.
    more = "" if failure.code == CalledWrongly.lqb else f" More: linqbot explain {failure.look_up}"
    click.secho(f"[{failure.code}]{more}", dim=True, err=True, color=color)


def wants_json(arguments: Sequence[str]) -> bool:
    """Return True if a command line has `--json`. click is not asked, because it may have refused the command line."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in own
