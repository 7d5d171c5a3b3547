"""Runs a command of `linqbot` in the process of the test, and returns what it prints."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from linqbot.cli.main import main


def run(*words: str, input: str | None = None, color: bool = False, **environ: str | None) -> Result:  # noqa: A002 - click's name
    return CliRunner().invoke(main, words, input=input, color=color, env=environ)


def shown(*words: str, code: int = 0, **how: Any) -> str:
    """Run a command that ends with this exit code, and return its output."""
    return _done(words, code, how).output


def data(*words: str, code: int = 0, **how: Any) -> Any:
    """Run a command with --json that ends with this exit code, and return what its standard output means."""
    return json.loads(_done((*words, "--json"), code, how).stdout)


def _done(words: tuple[str, ...], code: int, how: dict[str, Any]) -> Result:
    result = run(*words, **how)
    assert result.exit_code == code, result.output
    return result
