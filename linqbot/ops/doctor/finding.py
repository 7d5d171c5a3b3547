"""What a check finds, and how checks are made: all at once, each within its time, whatever becomes of the others."""

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
    """One thing that was looked at.

    Attributes:
        check: What was looked at, in a word or two.
        what: What was found, with the values.
        code: Of the fault, one of `CODES`; None when there is none.
        fix: What to do; empty when there is nothing.
    """

    check: str
    status: Status
    what: str
    code: str | None = None
    fix: str = ""


class Skip(Exception):
    """A check cannot be made, because of what another one has found. Its message says what is missing."""


Check: TypeAlias = Callable[[], Awaitable[Sequence[Finding]]]


class Findings:
    """Makes findings that know the bot's file and address.

    Args:
        facts: What the fixes of `CODES` name.
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
        return CODES[code].fix(**self._facts, **facts)


async def examine(checks: dict[str, Check], *, within_s: float) -> AsyncIterator[Sequence[Finding]]:
    """Make all checks at once, whatever becomes of any of them, and give what they find in their order.

    Args:
        within_s: How long each may take.
    """
    tasks = [asyncio.create_task(_made(name, check, within_s)) for name, check in checks.items()]
    try:
        for task in tasks:
            yield await task
    finally:
        for task in tasks:
            task.cancel()


async def _made(name: str, check: Check, within_s: float) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(within_s):
            return await check()
    except Skip as reason:
        return [Finding(name, "skipped", str(reason))]
    except TimeoutError:
        return [Findings().failure(name, "LQB6000", f"This could not be told within {within_s:g} s.")]
    except LinqbotError as error:
        return [Findings().failure(name, "LQB6000", f"{error} [{error.lqb}]")]
    except Exception as error:  # noqa: BLE001 - one check that breaks must not hide what the others find
        return [Findings().failure(name, "LQB6000", f"The check itself failed with {type(error).__name__}.")]
