"""Stored deliveries, as commands choose them and put them back for the server to handle."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, TypeAlias

import click

from linqbot.cli.kit import Opt, time_option
from linqbot.cli.output import progress_bar, warn
from linqbot.errors import StorageError
from linqbot.linq.events.lane import chat_of_lane
from linqbot.linq.events.parse import EVENT_TYPES
from linqbot.linq.handles import is_handle, plain_handle
from linqbot.linq.rules.values import uuid
from linqbot.nearest import nearest_name


def advice_on(unknown: str) -> str:
    """Return the event type that is nearest to an unknown one, or where all are listed, as a sentence."""
    near = nearest_name(unknown, EVENT_TYPES)
    return f"Did you mean {near}?" if near else "See: linqbot trigger --list"


def _doubted(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Warn of a type that is probably misspelt. It is not refused: Linq may have types that linqbot does not know."""
    if value is not None and value not in EVENT_TYPES and not value.startswith("linqbot."):
        warn(f"linqbot knows no event type {value}. {advice_on(value)}")
    return value


def who_of(value: str) -> str:
    """Return WHO, a handle or an id; of the lane of a chat, the id. A phone number must be written as Linq writes it."""
    number = plain_handle(value)
    # A longer one is an id: a UUID may have digits only.
    if re.fullmatch(r"\+?[\d\s().-]{1,25}", number) and not re.fullmatch(r"\+\d+", number):
        raise click.BadParameter(
            f"{value} is not a handle. Write a phone number with its country code, and nothing else between the digits: +1…."
        )
    return chat_of(number)


def person_or_chat(value: str) -> str:
    """Return WHO, a handle or the id of a chat."""
    who = who_of(value)
    if not is_handle(who) and uuid(who, "WHO") is not None:
        raise click.BadParameter(f"{value!r} is neither a handle, such as +14155550142, nor the id of a chat.")
    return who


def chat_of(value: str) -> str:
    """Return the id of a chat that is given by its id, or by its lane, which tables show."""
    return chat_of_lane(value) or value


Chat: TypeAlias = Annotated[str | None, Opt("Only this chat.", metavar="CHAT", type=chat_of)]
EventType: TypeAlias = Annotated[
    str | None,
    Opt("Only this event type, such as message.received.", "--type", check=_doubted),
]
Since: TypeAlias = Annotated[
    float | None,
    time_option("Accepted, or given up, at this time or later: 2026-11-05T17:30, or 2h for two hours ago."),
]
Until: TypeAlias = Annotated[float | None, time_option("Accepted, or given up, before this time.")]

_BATCH_SIZE = 200


def deliveries(count: int) -> str:
    return f"{count} deliver{'y' if count == 1 else 'ies'}"


def refuse_missing(ids: Collection[str], found: Collection[str], problem: str) -> None:
    missing = sorted(set(ids) - set(found))
    if missing:
        more = f" The same is true of {len(missing) - 1} more." if len(missing) > 1 else ""
        raise StorageError(f"{missing[0]} {problem}{more} Nothing was done.")


async def put_back(act: Callable[[Sequence[str]], Any], ids: Sequence[str], label: str) -> int:
    """Act on the ids in batches. The transactions stay short, so a running server can write in between."""
    count = 0
    with progress_bar(label) as progress:
        for start in range(0, len(ids), _BATCH_SIZE):
            batch = ids[start : start + _BATCH_SIZE]
            count += await act(batch)
            progress(start + len(batch), len(ids))
    return count
