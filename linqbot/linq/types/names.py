"""Names of Linq's lists, such as those of effects and tapbacks: what becomes of one that linqbot does not know.

Linq adds names before linqbot does. None of Linq's documents calls a list complete, so every list of linqbot's is only what it
knows: a name beyond it passes in both directions, with one warning. Only a misspelt name is refused, where an author has
written it: it is so like a known one that it is hardly a new one. An author who means it nevertheless gives it in `extra_body`, which
is not checked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

import structlog

from linqbot.nearest import nearest_name

log = structlog.get_logger("linqbot.linq")

LIKE_A_SLIP: Final = 0.75
"""The least likeness of a misspelt name: `lvoe` to `love`. Lower, a new name such as `fire` would count as `fireworks`."""
LIKE_A_SLIP_IN_LONG: Final = 0.9
"""The same for long names that are alike, such as `poll.vote.added` and `poll.vote.removed`, or `image/gif` and `image/avif`."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./+-]{0,63}")
_MOST_FIELDS: Final = 500
_MOST_OF_A_FIELD: Final = 50
warned: dict[str, set[str]] = {}
"""The names that were warned of in this process, by their field. Limited: made-up names must fill neither memory nor logs."""


def misspelt(field: str, given: str, known: Collection[str], *, likeness: float = LIKE_A_SLIP) -> str | None:
    """Return the known name that an author's `given` is a slip of, in any case, such as `imessage`.

    Returns None for a known name, and for one that may be a name of its own: then `passed` warns of it.
    """
    if given in known:
        return None
    if (near := _nearest(given, known, likeness)) is None:
        passed(field, given)
    return near


def _nearest(given: str, known: Iterable[str], likeness: float) -> str | None:
    by_folded = {name.casefold(): name for name in known}
    near = nearest_name(given.casefold(), by_folded, cutoff=likeness)
    return None if near is None else by_folded[near]


def passed(field: str, value: str = "") -> None:
    """Warn of a name, or of a field or an event type, that linqbot does not know and passes on: once in a process.

    Args:
        field: The list that it is not in, such as `effect.name`, by one name at every door; or the field itself.
        value: The name. It is logged only if it has the form of Linq's names: neither a text of a person nor a handle.
    """
    shown = value if _NAME.fullmatch(value) else ""
    names = warned.setdefault(field, set()) if len(warned) < _MOST_FIELDS else warned.get(field)
    if names is None or shown in names or len(names) >= _MOST_OF_A_FIELD:
        return
    names.add(shown)
    log.warning(
        "linq.unknown",
        field=field,
        **({"value": shown} if shown else {}),
        to_do="linqbot passes on what it does not know. If it is new at Linq, an upgrade of linqbot may know it.",
    )
