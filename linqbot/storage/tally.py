"""The tally of outcomes: how many turns ended how in each quarter of an hour of the last day, for the graphs of operators.

The outcomes themselves are read once, by the server that deletes old rows each minute; what ended since then is counted when the
tally is read. So a graph costs the same with a thousand outcomes and with a million. The tally is in the table `meta`, without
anything of a person, and stays when a person is forgotten.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final, TypeAlias

from pydantic_core import from_json, to_json

from linqbot.options import DAY_S
from linqbot.storage import facts, outcomes
from linqbot.storage.dialect import Readable, Writable

SPAN_S: Final = 900.0
"""Seconds of a row of the tally."""

Counted: TypeAlias = tuple[int, str, int, float | None]
"""The number of a span, an outcome, the number of turns, and their mean milliseconds."""

_SPAN: Final = "tally."
_COUNTED_TO: Final = "tallied"
_ROWS_AT_ONCE: Final = 20_000
_KEPT_S: Final = 2 * DAY_S
_EXACT_S: Final = 1e-3
_LATE_S: Final = 60.0
"""Seconds within which every transaction is committed, so that no outcome with a smaller number appears later."""

_SUMS: Final = f"""SELECT CAST(round((ended_at - {SPAN_S / 2}) / {SPAN_S}) AS integer), outcome, count(*),
                       coalesce(sum(ms), 0), count(ms)
                   FROM outcome WHERE n > $1 AND n <= $2 GROUP BY 1, 2"""

_Sums: TypeAlias = "Counter[tuple[int, str, str]]"
"""Numbers of turns, their milliseconds, and the turns that were timed, by span, outcome and which of the three."""


async def add(tx: Writable) -> None:
    """Add the outcomes of the last minute to the tally, or some of those that are not yet in it."""
    await tx.lock([_COUNTED_TO])
    first = await _counted_to(tx)
    sql = f"""SELECT max(n) FROM (SELECT n, ended_at FROM outcome WHERE n > $1 ORDER BY n LIMIT {_ROWS_AT_ONCE}) AS next
              WHERE ended_at < $2"""
    last = await tx.value(sql, first, tx.now - _LATE_S)
    if last is None:
        return
    new = await _sums(tx, first, last)
    stored = await _stored(tx)
    for span in {span for span, _, _ in new}:
        sums = new + Counter(stored.get(span, {}))
        of_span: dict[str, dict[str, float]] = defaultdict(dict)
        for (of, outcome, what), number in sums.items():
            if of == span:
                of_span[outcome][what] = number
        await facts.write(tx, f"{_SPAN}{span}", to_json(of_span).decode())
    await facts.write(tx, _COUNTED_TO, str(last))
    over = [f"{_SPAN}{span}" for span in stored if span < (tx.now - _KEPT_S) // SPAN_S]
    await tx.run("DELETE FROM meta WHERE key = ANY($1)", over)


async def counts(db: Readable, since: float, width_s: float) -> list[Counted]:
    """Count the outcomes of spans; see `Storage.outcome_counts`."""
    first, width = round(since / SPAN_S), round(width_s / SPAN_S)
    if abs(width * SPAN_S - width_s) > _EXACT_S or abs(first * SPAN_S - since) > _EXACT_S:
        return await outcomes.counts(db, since, width_s)
    sums = await _sums(db, await _counted_to(db), 2**62)
    for each in (await _stored(db)).values():
        sums.update(each)
    wide: _Sums = Counter()
    for (span, outcome, what), number in sums.items():
        if span >= first:
            wide[(span - first) // width, outcome, what] += number
    spans = sorted((span, outcome) for span, outcome, what in wide if what == "count")
    return [(*each, int(wide[*each, "count"]), _mean(wide, *each)) for each in spans]


_WHAT: Final = ("count", "ms", "timed")


def _mean(sums: _Sums, span: int, outcome: str) -> float | None:
    timed = sums[span, outcome, "timed"]
    return sums[span, outcome, "ms"] / timed if timed else None


async def _sums(db: Readable, after: int, last: int) -> _Sums:
    found: _Sums = Counter()
    for span, outcome, *numbers in await db.fetch(_SUMS, after, last):
        found.update({(span, outcome, what): number for what, number in zip(_WHAT, numbers, strict=True)})
    return found


async def _counted_to(db: Readable) -> int:
    """Return the number of the newest outcome in the tally. Those of an older linqbot are counted as far as they were shown."""
    if (known := await facts.read(db, _COUNTED_TO)) is not None:
        return int(known)
    newest = await db.value("SELECT max(n) FROM outcome")
    return max(0, (newest or 0) - outcomes.MOST_COUNTED)


async def _stored(db: Readable) -> dict[int, _Sums]:
    """Return the tally, by span."""
    found = {}
    for key, value in await db.fetch(f"SELECT key, value FROM meta WHERE key LIKE '{_SPAN}%'"):
        span = int(key.removeprefix(_SPAN))
        sums = from_json(value).items()
        found[span] = Counter({(span, outcome, what): number for outcome, of in sums for what, number in of.items()})
    return found
