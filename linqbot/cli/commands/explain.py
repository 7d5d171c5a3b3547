"""`linqbot explain`: print the meaning of a code, its causes, and what to do. The texts are in `ops/explanations.py`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict

import click

from linqbot.cli.kit import Result
from linqbot.ops import explanations
from linqbot.ops.explanations import Explanation

WIDTH = 80


def explain(code: str | None) -> Result:
    """Explain CODE: one of linqbot's (LQB2001), one of Linq's (2024, 403/2024, or a status: 429), or a rule (R14).

    Without CODE, list all codes.
    """
    if code is None:
        return Result([asdict(each) for each in explanations.everything().values()], _list)
    try:
        found = explanations.look_up(code)
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from error
    if len(found) == 1:
        return Result(asdict(found[0]), _page(found[0]))
    rows = {each.code: each for each in found}
    return Result([asdict(each) for each in found], lambda: _section(f"Linq's errors with status {code}", rows))


def _list() -> None:
    _section("linqbot's errors", explanations.of_ours())
    _section("Linq's error codes", explanations.of_linq())
    _section("Linq's rules", explanations.of_rules())


def _section(title: str, rows: Mapping[str, Explanation]) -> None:
    click.secho(title, bold=True)
    formatter = click.HelpFormatter(width=_width())
    formatter.indent()
    formatter.write_dl([(f"{each.code} {each.name}".rstrip(), each.summary) for each in rows.values()], col_max=28)
    click.echo(formatter.getvalue())


def _page(found: Explanation) -> str:
    formatter = click.HelpFormatter(width=_width())
    parts = (("", found.means), ("Why", found.why), ("What to do", found.to_do))
    paragraphs = [click.style(f"{found.code} {found.name}".rstrip(), bold=True)]
    for title, text in parts:
        formatter.write_text(text)
        paragraphs.append((click.style(f"{title}\n", fg="cyan") if title else "") + formatter.getvalue().rstrip())
        formatter.buffer.clear()
    if found.link:
        paragraphs.append(click.style("Linq's page", fg="cyan") + f"\n{found.link}")
    return "\n\n".join(paragraphs)


def _width() -> int:
    return min(WIDTH, shutil.get_terminal_size().columns)
