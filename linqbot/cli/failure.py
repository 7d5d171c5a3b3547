"""How a command fails: one sentence of what, one of what to do, a code to look up, an exit code. Never a traceback."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import click

from linqbot.errors import ConfigError, LinqApiError, LinqbotError, RuleBroken
from linqbot.ops.explanations import first_sentence, of_error


class CalledWrongly(LinqbotError):
    """A command was called in a way it does not know. Nothing was done.

    Why: An option or argument is missing, misspelt, or does not go with another.
    To do: Every command and every group of them has --help, such as `linqbot inbox retry --help`.
    """

    lqb = "LQB1002"


class Interrupted(LinqbotError):
    """A command was stopped before it was done, with Ctrl-C or by answering no.

    Why: Somebody, or a script without a terminal to answer from, did not confirm.
    To do: Call it again; `--yes` confirms without a question, where there is one.
    """

    lqb = "LQB1003"


class NotTaken(LinqbotError):
    """A bot did not take an event that `linqbot trigger` sent.

    Why: Nobody listens at that address, or the bot refused the event: 401 another secret, 404 another path, 503 it
        cannot now.
    To do: Read the bot's log, which says why. The address is usually http://127.0.0.1:8000/webhooks/linq.
    """

    lqb = "LQB2004"


class ReplayFailed(LinqbotError):
    """A handler raised while `linqbot inbox replay` ran it on what was received before. Nothing was sent.

    Why: The handler fails on this delivery, as it may have done when it came; or it asks Linq, which needs `--reads`.
    To do: Read the traceback above, change the handler, and replay again.
    """

    lqb = "LQB5003"


@dataclass(frozen=True, slots=True)
class CommandFailure:
    """What is told of an error.

    Attributes:
        code: Ours, `LQB1001`.
        look_up: What `linqbot explain` knows most about: the code, or Linq's number or rule behind it.
        usage: How the command is called, when it was called wrongly.
    """

    code: str
    what: str
    fix: str
    look_up: str
    exit_code: int
    usage: str = ""


def of(error: LinqbotError | click.ClickException | click.Abort) -> CommandFailure:
    """What to tell of an error that ended a command."""
    if isinstance(error, LinqbotError):
        return _ours(error)
    if isinstance(error, click.Abort):
        gone = of_error(Interrupted)
        # At a question nothing is done yet; a Ctrl-C elsewhere is the cause click keeps.
        what = "Aborted; nothing was done." if error.__cause__ is None else "Aborted; it may be half done."
        return CommandFailure(gone.code, what, gone.to_do, gone.code, 1)
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    if ctx and isinstance(error, click.exceptions.NoArgsIsHelpError):
        what = f"{ctx.command_path} is a group of commands, and none was named."
        return CommandFailure(
            CalledWrongly.lqb, what, f"Such as: {ctx.command_path} --help", CalledWrongly.lqb, 2, ctx.get_help() + "\n"
        )
    what, fix = first_sentence(" ".join(error.format_message().split()))
    path = ctx.command_path if ctx else "linqbot"
    usage = ctx.get_usage() if ctx else ""
    code = CalledWrongly.lqb
    return CommandFailure(code, _whole(what), fix or f"See: {path} --help", code, error.exit_code, usage)


def _ours(error: LinqbotError) -> CommandFailure:
    said = str(error)
    # A traceback or a paste has lines of its own, and is all of it the what.
    what, fix = (said, "") if "\n" in said else first_sentence(said)
    look_up = _particular(error)
    return CommandFailure(
        error.lqb, _whole(what), fix or _advice(error, look_up), look_up, 2 if isinstance(error, ConfigError) else 1
    )


def _particular(error: LinqbotError) -> str:
    if isinstance(error, RuleBroken):
        return error.rule
    if isinstance(error, LinqApiError) and error.code is not None:
        from linqbot.rules.codes import CODES

        return str(error.code) if error.code in CODES else error.lqb
    return error.lqb


def _advice(error: LinqbotError, look_up: str) -> str:
    if look_up.isdecimal():
        from linqbot.rules.codes import CODES

        return CODES[int(look_up)].to_do
    return of_error(type(error)).to_do


def _whole(sentence: str) -> str:
    return sentence if sentence.endswith((".", "?", "!", "…")) or "\n" in sentence else f"{sentence}."


def tell(failure: CommandFailure, *, as_json: bool) -> None:
    """Print it to standard error: JSON for programs, sentences for people."""
    if as_json:
        error = {"code": failure.code, "what": failure.what, "fix": failure.fix}
        # On a line of its own, also after a question that nobody answered.
        head = "\n" if failure.code == Interrupted.lqb else ""
        click.echo(head + json.dumps({"error": error}, ensure_ascii=False), err=True)
        return
    if failure.usage:
        click.echo(failure.usage, err=True)
    between = "\n" if "\n" in failure.what else " "
    click.secho(f"Error: {failure.what}{between}{failure.fix}", fg="red", err=True)
    click.secho(f"[{failure.code}] More: linqbot explain {failure.look_up}", dim=True, err=True)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON. Asked before it is understood, since it may not be."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in own
