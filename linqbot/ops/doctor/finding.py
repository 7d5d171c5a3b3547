"""The findings of checks, and the function that runs all checks at once.

Each check has a time limit, and its failure does not affect the others. The checks themselves are in `account.py`,
`machine.py` and `public.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from linqbot.errors import LinqbotError
from linqbot.ops.doctor.codes import CODES

Status: TypeAlias = Literal["ok", "warning", "failure", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of looking at one thing.

    Attributes:
        check: The thing, in a word or two.
        what: The state of the thing, with the values.
        code: The problem, one of `CODES`; None if there is no problem.
        fix: What to do; empty if there is nothing to do.
    """

    check: str
    status: Status
    what: str
    code: str | None = None
    fix: str = ""


class Skip(Exception):
    """A check cannot be made, because something that it needs is missing. The message names what is missing."""


Check: TypeAlias = Callable[[], Awaitable[Sequence[Finding]]]


class Findings:
    """Makes findings, and fills facts into the fixes of their codes.

    Args:
        facts: Values for the names in braces in the texts of `CODES`, such as `file` and `url`.
    """

    def __init__(self, **facts: str) -> None:
        self._facts = facts

    def ok(self, check: str, what: str) -> Finding:
        return Finding(check, "ok", what)

    def warning(self, check: str, code: str, what: str, **facts: str) -> Finding:
        return Finding(check, "warning", what, code, self._fix(code, facts))

    def failure(self, check: str, code: str, what: str, **facts: str) -> Finding:
        return Finding(check, "failure", what, code, self._fix(code, facts))

    def _fix(self, code: str, facts: dict[str, str]) -> str:
        return CODES[code].fix(**self._facts | facts)


async def examine(checks: dict[str, Check], *, within_s: float) -> AsyncIterator[Sequence[Finding]]:
    """Run all checks at once, and yield their findings in the order of `checks`.

    A check that fails or takes too long becomes a finding.

    Args:
        within_s: Seconds that each check may take.
    """
    tasks = [asyncio.create_task(_run_check(name, check, within_s)) for name, check in checks.items()]
    try:
        for task in tasks:
            yield await task
    finally:
        for task in tasks:
            task.cancel()


async def _run_check(name: str, check: Check, within_s: float) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(within_s):
            return await check()
    except Skip as reason:
        return [Finding(name, "skipped", str(reason))]
    except TimeoutError:
        return [Findings().failure(name, "LQB6000", f"The check did not end within {within_s:g} s.")]
    except LinqbotError as error:
        return [Findings().failure(name, "LQB6000", f"{error} [{error.lqb}]")]
    except Exception as error:  # noqa: BLE001 - a check with a bug must not hide the findings of the others
        return [Findings().failure(name, "LQB6000", f"The check itself failed with {type(error).__name__}.")]
