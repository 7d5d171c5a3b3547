"""A fake outside system for tests and rehearsals, which records what the bot does there, such as bookings and charges.

    ledger = Ledger(said={"book": r"\\bbooked\\b"})

    await ctx.once("book", lambda key: ledger.do("book", key, guest="Ada"), retry=True)

Give it to the bot in place of the real system. `rehearse(phone, …, ledger=ledger)` and `linqbot rehearse` judge the effects
with the rules `effect-twice` and `effect-unsaid`. `linqbot rehearse` kills the bot's process, so there the record is a file.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from linqbot.bot.context import Context
from linqbot.linq.types.files import running_turn

FILE: Final = "REHEARSAL_LEDGER"
"""The environment variable with the path of the record, which `linqbot rehearse` sets for the bot's process."""
TAKES_S: Final = 0.1
"""Seconds that an effect takes in a rehearsal, as in a real system, so that a kill can come between it and its answer."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """An effect that a bot has had on an outside system.

    Attributes:
        kind: The name of what was done, such as `book`.
        key: The idempotency key; None if the bot gave none.
        arguments: The arguments, as JSON.
        at: Unix seconds, on the bot's clock.
        chat_id, event_id: The chat and the event that was handled; None outside of a handler.
    """

    kind: str
    key: str | None
    arguments: Mapping[str, Any]
    at: float
    chat_id: str | None
    event_id: str | None

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(f'{name}={value!r}' for name, value in sorted(self.arguments.items()))})"


class Ledger:
    """A fake outside system that knows idempotency keys, as payment providers do.

    Args:
        said: For a kind of effect, a regular expression, in any case, that fits the bot's messages which confirm it. With it
            the rules also find a confirmation without an effect. Without it, any message after the effect confirms it.
        file: A file for the record; None is the one of `linqbot rehearse`, if it runs.
    Raises:
        re.error: a pattern is no regular expression.
    """

    def __init__(self, said: Mapping[str, str] | None = None, *, file: Path | None = None) -> None:
        self._effects: list[LedgerEntry] = []
        self._said = {kind: re.compile(pattern).pattern for kind, pattern in (said or {}).items()}
        self._file = file or (Path(os.environ[FILE]) if FILE in os.environ else None)
        if self._file is not None:
            add_line(self._file, {"said": self._said})

    @property
    def entries(self) -> list[LedgerEntry]:
        """The effects so far, oldest first. In a file, those of all processes that had it."""
        if self._file is None:
            return list(self._effects)
        return [LedgerEntry(**line) for line in lines_of(self._file) if "kind" in line]

    @property
    def said(self) -> dict[str, str]:
        """The regular expressions of confirmations."""
        lines = [] if self._file is None else lines_of(self._file)
        return {
            kind: pattern for line in [{"said": self._said}, *lines] for kind, pattern in line.get("said", {}).items()
        }

    async def do(self, kind: str, key: str | None = None, /, **arguments: Any) -> str:
        """Do something once for each key, and return its id. With a known key nothing is done, and the id is the same.

        Args:
            kind: The name of what is done, such as `book`.
            key: The idempotency key. Without one, each call does it again.
            arguments: What is done and for whom, as JSON data. Two effects with equal arguments are the same effect twice.
        Raises:
            TypeError: the arguments have no JSON form.
        """
        done = self.entries
        known = (n for n, one in enumerate(done) if key is not None and (one.kind, one.key) == (kind, key))
        if (number := next(known, None)) is None:
            number = len(done)
            ctx = running_turn.get()
            where: tuple[float, str | None, str | None] = (time.time(), None, None)
            if isinstance(ctx, Context):
                where = (ctx.now().timestamp(), ctx.event.chat_id, ctx.event.event_id)
            effect = LedgerEntry(kind, key, json.loads(json.dumps(arguments)), *where)
            if self._file is None:
                self._effects.append(effect)
            else:
                add_line(self._file, asdict(effect))
        await asyncio.sleep(0 if self._file is None else TAKES_S)
        return f"{kind}-{number + 1}"


def add_line(file: Path, line: Mapping[str, Any]) -> None:
    """Add JSON to a file of lines, which another process reads."""
    # The line break comes first, because a kill may have cut the last line off.
    with file.open("a", encoding="utf-8") as out:
        out.write("\n" + json.dumps(line))


def lines_of(file: Path) -> list[dict[str, Any]]:
    """Return the lines of such a file, without one that was cut off; none if there is no file."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
