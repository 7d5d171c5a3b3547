"""`linqbot waiting`: all that waits in the storage or was given up, and what an operator does with it.

That is: deliveries, dead letters, scheduled sends, open questions of `ctx.ask`, and broadcasts. The commands work next to a
running server, which notices what they change. None prints what people wrote; the texts of questions are the bot's. An answer or
the end of a question waits in the lane of its chat like a message, so it never runs at the same time as a handler of the chat.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeAlias

import click

from linqbot.cli.deliveries import (
    Chat,
    EventType,
    Since,
    Until,
    chat_of,
    deliveries,
    put_back,
    refuse_missing,
)
from linqbot.cli.kit import Arg, Confirm, Flags, Limit, Opt, Result
from linqbot.cli.output import call_name, columns, iso_time, print_facts, print_table, printable, progress_bar, warn
from linqbot.cli.stored_rows import act_for_people, act_row, dead_row, question_row, timer_row, waiting_row
from linqbot.errors import StorageError
from linqbot.linq.events.delivery import decode
from linqbot.linq.events.lane import lane_of_chat
from linqbot.linq.types.proactive import Broadcast, Recipient, RecipientOutcome
from linqbot.ops import questions
from linqbot.storage.acts import By
from linqbot.storage.backend import Storage
from linqbot.storage.broadcasts import ALLOWED, Order
from linqbot.storage.journal import JournalEntry
from linqbot.storage.upkeep import Selection

_Row = dict[str, Any]
_MOST: Final = 10_000
_CANCELLABLE: Final = ("send", "repeat", "stopped")
"""The kinds of timers that are scheduled sends. The others belong to linqbot or to the bot's code."""
_COUNTS: Final = ("people", "sent", "opted_out", "refused", "failed", "cancelled", "pending")
_EXPLAINED: Final[tuple[RecipientOutcome, ...]] = ("refused", "failed")
"""The outcomes that have reasons."""
_LOOK_EVERY_S: Final = 0.5


Kind: TypeAlias = Literal["deliveries", "dead", "scheduled", "questions", "broadcasts", "ambiguous", "withheld", "log"]
_FLAGS: Final[dict[str, str]] = {
    "deliveries": "List the deliveries that wait to be handled, in their order.",
    "dead": "List dead letters: deliveries that were given up. The newest is first.",
    "scheduled": "List scheduled sends and other timers, the earliest first.",
    "questions": "List the open questions of ctx.ask, the oldest first.",
    "broadcasts": "List all broadcasts, the newest first.",
    "ambiguous": "List the calls and steps (ctx.once) of which it is unknown if they were done.",
    "withheld": "List the decisions of the bot's manners about sends, the newest first, with their reasons.",
    "log": "List what operators have done, the newest first: who, when and why.",
}
_ORDERS: Final = {
    "pause": "Send to no further person. What is being sent now is still sent.",
    "resume": "Go on at the next person.",
}


# --- list -------------------------------------------------------------------------------------------------------------


async def list_(
    storage: Storage,
    *,
    kind: Annotated[Kind | None, Flags(_FLAGS)] = None,
    chat: Chat = None,
    event_type: EventType = None,
    since: Since = None,
    until: Until = None,
    handler: Annotated[str | None, Opt("Only questions of this handler, such as bot:book.")] = None,
    limit: Limit = 100,
) -> Result:
    """List what waits: the deliveries, and the number of dead letters, timers, questions and broadcasts.

    Timers are scheduled sends, schedules, and the time limits of questions. Name a kind to list it. What people wrote is not shown. Works next to a running server.
    """
    given = {"chat": chat, "type": event_type, "since": since, "until": until, "handler": handler}
    used = {name for name, value in given.items() if value is not None}
    if kind is not None and (wrong := sorted(used - _LISTINGS[kind].takes)):
        raise click.UsageError(f"--{wrong[0]} does not go with --{kind}.")
    wanted = _Wanted(chat, event_type, since, until, handler, limit)
    if kind is not None:
        listing = _LISTINGS[kind]
        rows = await listing.rows(storage, wanted)
        if len(rows) == limit:
            warn(f"At most {limit} are listed. To list more: --limit")
        return Result(rows, [listing.shown(row) for row in rows], listing.empty)
    names = [name for name in _FLAGS if name not in ("ambiguous", "withheld", "log") and used <= _LISTINGS[name].takes]
    if not names:
        raise click.UsageError(f"{' and '.join(f'--{name}' for name in sorted(used))} choose nothing together.")
    found = {name: await _LISTINGS[name].rows(storage, wanted) for name in names}
    if "broadcasts" in found:
        found["broadcasts"] = [row for row in found["broadcasts"] if row["status"] in ("running", "paused")]
    return Result(found, partial(_print_summary, found, limit) if any(found.values()) else "Nothing waits.")


def _print_summary(found: dict[str, list[_Row]], limit: int) -> None:
    if rows := found.get("deliveries"):
        print_table(rows)
        click.echo()
    for name, rows in found.items():
        if rows and name != "deliveries":
            is_other_timer = name == "scheduled" and any(row["kind"] not in _CANCELLABLE for row in rows)
            noun = "timer" if is_other_timer else _LISTINGS[name].noun
            many = f"{len(rows)}{' or more' if len(rows) == limit else ''} {noun}"
            click.echo(f"{many}{'' if len(rows) == 1 else 's'}: linqbot waiting list --{name}")


@dataclass(frozen=True, slots=True)
class _Wanted:
    chat: str | None
    type: str | None
    since: float | None
    until: float | None
    handler: str | None
    limit: int

    @property
    def lane(self) -> str | None:
        return None if self.chat is None else lane_of_chat(self.chat)


async def _deliveries(storage: Storage, of: _Wanted) -> list[_Row]:
    return [waiting_row(each) for each in await storage.waiting(lane=of.lane, type=of.type, limit=of.limit)]


async def _dead(storage: Storage, of: _Wanted) -> list[_Row]:
    letters = await storage.dead_letters(lane=of.lane, type=of.type, since=of.since, until=of.until, limit=of.limit)
    return [dead_row(letter, letter.error) for letter in letters]


async def _scheduled(storage: Storage, of: _Wanted) -> list[_Row]:
    return [timer_row(timer) for timer in await storage.scheduled(lane=of.lane, limit=of.limit)]


async def _questions(storage: Storage, of: _Wanted) -> list[_Row]:
    found = await storage.conversations(chat_id=of.chat, limit=_MOST)
    rows = [question_row(each) for each in found if each.status != "timed_out"]
    return [row for row in rows if of.handler in (None, row["handler"])][: of.limit]


async def _broadcasts(storage: Storage, of: _Wanted) -> list[_Row]:
    return [_broadcast(each) for each in await storage.broadcasts(limit=of.limit)]


async def _ambiguous(storage: Storage, of: _Wanted) -> list[_Row]:
    found = await storage.ambiguous(limit=of.limit)
    return [{"id": entry.turn, **_entry(entry), "key": entry.key} for entry in found]


async def _withheld(storage: Storage, of: _Wanted) -> list[_Row]:
    found = await storage.decisions(limit=of.limit)
    names = "at", "verdict", "purpose", "person", "line", "reason"
    return [columns(each, *names) | {"id": each.turn} for each in found]


async def _log(storage: Storage, of: _Wanted) -> list[_Row]:
    found = await storage.acts(about=of.chat, since=of.since, until=of.until, limit=of.limit)
    return [act_row(each) for each in found]


@dataclass(frozen=True, slots=True)
class _Listing:
    rows: Callable[[Storage, _Wanted], Awaitable[list[_Row]]]
    takes: set[str]  # the options that choose among its rows
    noun: str
    empty: str  # the sentence if there is none
    shown: Callable[[_Row], _Row] = dict  # makes the columns for people of a row


def _timer_for_people(row: _Row) -> _Row:
    # A timer without people, such as one of an older release, is known by its lane.
    people = ", ".join(row["people"]) or row["lane"]
    return {"due": row["due"], "kind": row["kind"], "for": people, "calls": ", ".join(row["calls"]), "id": row["id"]}


_LISTINGS: Final = {
    "deliveries": _Listing(_deliveries, {"chat", "type"}, "delivery", "No delivery waits."),
    "dead": _Listing(_dead, {"chat", "type", "since", "until"}, "dead letter", "There are no dead letters."),
    "scheduled": _Listing(_scheduled, {"chat"}, "scheduled send", "Nothing is scheduled.", _timer_for_people),
    "questions": _Listing(_questions, {"chat", "handler"}, "open question", "No question is open."),
    "broadcasts": _Listing(_broadcasts, set(), "broadcast", "There are no broadcasts."),
    "ambiguous": _Listing(_ambiguous, set(), "call", "Nothing is ambiguous."),
    "withheld": _Listing(_withheld, set(), "decision", "No send was withheld."),
    "log": _Listing(_log, {"chat", "since", "until"}, "act", "No operator has done anything.", act_for_people),
}


# --- rows -------------------------------------------------------------------------------------------------------------


def _entry(entry: JournalEntry) -> _Row:
    made = {"call": call_name(decode(entry.call) or {})}
    shown = "status", "delivery", "message_id", "first_at"
    return columns(entry, "replay", "slot") | made | columns(entry, *shown)


# --- retry, answer, cancel --------------------------------------------------------------------------------------------


async def retry(
    ids: Annotated[tuple[str, ...], Arg("[ID]...", required=False)],
    storage: Storage,
    by: By,
    *,
    everything: Annotated[bool, Opt("All dead letters.", "--all")] = False,
    chat: Chat = None,
    event_type: EventType = None,
    since: Since = None,
    until: Until = None,
) -> Result:
    """Put dead letters back at the end of their lanes. Messages already sent are not sent again."""
    selection = Selection(ids or None, since, until, event_type, None if chat is None else lane_of_chat(chat))
    if (selection == Selection()) is not everything:
        raise click.UsageError("Say which: ids, --chat, --type, --since, --until, or --all.")
    chosen = await storage.replayable(selection, dead_only=True)
    refuse_missing(ids, chosen, "is not a dead letter. See: linqbot waiting list --dead.")
    count = await put_back(partial(storage.retry, by=by), chosen, "Putting back")
    return Result({"retried": count}, f"{deliveries(count)} put back.")


async def answer(id: str, text: str, storage: Storage, by: By) -> Result:  # noqa: A002 - the name of the argument
    """Answer the question with this ID, as if the person had written TEXT."""
    await questions.answer(storage, id, text, by)
    return Result({"answered": id})


async def cancel(
    id: str | None,  # noqa: A002 - the name of the argument
    storage: Storage,
    confirm: Confirm,
    by: By,
    chat: Annotated[
        str | None, Opt("End all questions of this chat that a text would answer, instead of one.", type=chat_of)
    ] = None,
) -> Result:
    """End what has this ID: a question, a scheduled send, or a broadcast, whose ID is its name.

    The handler of a question gets AskCancelled with the reason "operator". No further person gets a broadcast.
    """
    if (id is None) == (chat is None):
        raise click.UsageError("Give an ID, or --chat. See: linqbot waiting list")
    if id is None:
        ended = await questions.cancel_in(storage, str(chat), by)
        return Result({"cancelled": ended}, f"cancelled    {', '.join(ended) or 'no question'}")
    timer = await storage.timer(id)
    if timer is not None and timer.kind in _CANCELLABLE:
        confirm(f"Cancel the scheduled send {id} of {iso_time(timer.due)}?")
        if not await storage.cancel(id, by=by):
            raise StorageError(f"The scheduled send {id} was due meanwhile. Nothing was cancelled.")
        return Result({"cancelled": id})
    if (found := await storage.broadcast(id)) is not None:
        if found.status not in ALLOWED["cancel"][0]:
            raise _not_allowed(found, "cancel")
        confirm(f"Cancel the broadcast {id}? It cannot be resumed")
        row = _broadcast(await _carry_out(storage, id, "cancel", by))
        return Result(row, _without_zeros(row))
    if timer is not None:
        raise StorageError(
            f"{id} is no scheduled send but a timer of the kind {timer.kind}. Change the bot's code instead."
        )
    await questions.cancel(storage, id, by)
    return Result({"cancelled": id})


# --- broadcasts -------------------------------------------------------------------------------------------------------


async def broadcast(
    name: str,
    storage: Storage,
    by: By,
    *,
    order: Annotated[Literal["pause", "resume"] | None, Flags(_ORDERS)] = None,
    watch: Annotated[bool, Opt("Wait until it has ended, with a progress bar.")] = False,
    outcome: Annotated[RecipientOutcome | None, Opt("Also list the people with this outcome.")] = None,
) -> Result:
    """Show the broadcast NAME: how many people it has reached, and why others did not get it. Pause or resume it."""
    if order is not None:
        await _carry_out(storage, name, order, by)
    if watch:
        await _watch(storage, name)
    counts = _broadcast(await _named(storage, name))
    reasons = {kind: await _reasons(storage, name, kind) for kind in _EXPLAINED}
    people = [] if outcome is None else [_person(one) async for one in storage.every_recipient(name, outcome)]
    row = counts | {"reasons": reasons}

    def show_people() -> None:
        print_facts(_without_zeros(counts))
        for title, found in reasons.items():
            for reason, count in found.items():
                click.echo(f"{title:<12} {count} × {printable(reason)}")
        if outcome is not None:
            print_table(people, empty=f"No recipient is {outcome}.")

    return Result(row if outcome is None else row | {"recipients": people}, show_people)


async def _named(storage: Storage, name: str) -> Broadcast:
    found = await storage.broadcast(name)
    if found is None:
        raise StorageError(f"There is no broadcast {name}. See: linqbot waiting list --broadcasts")
    return found


async def _carry_out(storage: Storage, name: str, order: Order, by: By) -> Broadcast:
    if not await storage.order_broadcast(name, order, by=by):
        raise _not_allowed(await _named(storage, name), order)
    return await _named(storage, name)


def _not_allowed(broadcast: Broadcast, order: Order) -> StorageError:
    allowed = " or ".join(sorted(ALLOWED[order][0]))
    return StorageError(
        f"The broadcast {broadcast.name} is {broadcast.status}. Only one that is {allowed} can be changed in this way."
    )


async def _reasons(storage: Storage, name: str, outcome: RecipientOutcome) -> dict[str, int]:
    """Return the reasons of an outcome, the most frequent first, each with the number of people."""
    counts = Counter([recipient.reason or "" async for recipient in storage.every_recipient(name, outcome)])
    return dict(counts.most_common())


async def _watch(storage: Storage, name: str) -> None:
    with progress_bar(name) as progress:
        while (broadcast := await _named(storage, name)).pending:
            progress(broadcast.people - broadcast.pending, broadcast.people)
            await asyncio.sleep(_LOOK_EVERY_S)
        progress(1, 1)


def _broadcast(broadcast: Broadcast) -> _Row:
    created = {"created_at": iso_time(broadcast.created_at.timestamp())}
    return columns(broadcast, "name", "status", "line", "per_minute") | created | columns(broadcast, *_COUNTS)


def _person(recipient: Recipient) -> _Row:
    at = None if recipient.at is None else iso_time(recipient.at.timestamp())
    return columns(recipient, "n", "handle", "outcome") | {"at": at, "reason": recipient.reason}


def _without_zeros(row: _Row) -> _Row:
    return {name: value for name, value in row.items() if value != 0}
