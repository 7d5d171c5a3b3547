"""The troubles of a bot, and the messages that its owner gets: one when a trouble begins, and one when it is over.

Nothing here asks or sends. `TroubleWatch` (`telling.py`) looks once a minute, and lets the storage's record follow what it has found:
`follow` begins and ends troubles, and `claim` returns the messages to send now. The record is one row of the storage, so that
several processes, and a process that was restarted, send a message once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from pydantic import BaseModel, ValidationError

from linqbot.options import DAY_S

KEY: Final = "key"
LINE: Final = "line "
"""The name of a trouble with a line is this and its number."""

SILENCE: Final = "silence"

HOUR_S: Final = 3600.0
WEEK_H: Final = 7 * 24
TIMES_LONGEST: Final = 3.0
SHORTEST_SILENCE_S: Final = 900.0
"""A silence is a trouble after this multiple of the longest one of that hour in the last two weeks, at the earliest after so many
seconds: the time of the last webhook is known to a minute."""

AGAIN_S: Final = 300.0
"""Seconds after which a message that may not have been sent is sent again."""


class Sending(BaseModel):
    """The message of a trouble to one target: that it has begun or, once it is over, that it is over."""

    is_done: bool = False
    again_at: float = 0.0


class OpenTrouble(BaseModel):
    """A trouble that has begun, and of which a target has not been sent all messages.

    Attributes:
        what: The trouble in plain words, with what to do. No text of a person and no secret.
        ended_at: Unix seconds; None while it goes on.
        sent: By the id of a target.
    """

    since: float
    what: str
    ended_at: float | None = None
    sent: dict[str, Sending] = {}


class Sign(BaseModel):
    """Events that are a trouble for a day: the time of the last one, and their number."""

    at: float
    count: int = 0


class TroubleRecord(BaseModel):
    """The record of troubles, as the storage keeps it.

    Attributes:
        hours: The longest time without a webhook in each of the last hours, in minutes, by the number of the hour since 1970.
    """

    troubles: dict[str, OpenTrouble] = {}
    signs: dict[str, Sign] = {}
    hours: dict[int, int] = {}


@dataclass(frozen=True, slots=True)
class TroubleFacts:
    """The facts that one look has found. None stands for a fact that is not known.

    Attributes:
        dead: Number of dead letters; 0 if none of them is from the last 24 hours.
        key_refused: True if Linq has refused the API key.
        lines: The trouble of each line of the account in words; None for a line that has none.
        forged, lost: Number of forged deliveries, and of messages that had to be fetched, since the last look of this process.
        heard_at: Time of the last webhook, in Unix seconds.
        watched_since: Time since which this process looks. A silence before is not known.
        silence_s: Seconds of silence that are a trouble while the usual one is not known; 0 for none.
    """

    now: float
    dead: int | None = None
    key_refused: bool | None = None
    lines: Mapping[str, str | None] | None = None
    forged: int = 0
    lost: int = 0
    heard_at: float | None = None
    watched_since: float | None = None
    silence_s: float = 0.0


class TroubleMessage(NamedTuple):
    """A message to one target about one trouble."""

    target: str
    name: str
    since: float
    ended_at: float | None
    what: str

    @property
    def id(self) -> str:
        """The same for each attempt."""
        return f"{self.name}.{self.since:.0f}.{'began' if self.ended_at is None else 'over'}"

    @property
    def text(self) -> str:
        if self.ended_at is None:
            return self.what
        return f"Over after {_shown(self.ended_at - self.since)}: {self.what}"


def read_record(text: str | None) -> TroubleRecord:
    """Return the stored record; an empty one if there is none, or none that this release can read."""
    try:
        return TroubleRecord.model_validate_json(text or "{}")
    except ValidationError:
        return TroubleRecord()


def follow(record: TroubleRecord, found: TroubleFacts) -> None:
    """Begin and end the troubles of a record, as the facts say."""
    for name, what in [*_judged(found), *_events(record, found), *_lines(record, found), *_silence(record, found)]:
        trouble = record.troubles.get(name)
        if what is None:
            if trouble is not None and trouble.ended_at is None:
                trouble.ended_at = found.now
                trouble.sent = {target: Sending() for target in trouble.sent}
        elif trouble is None or trouble.ended_at is not None:
            record.troubles[name] = OpenTrouble(since=found.now, what=what)


def claim(record: TroubleRecord, targets: Mapping[str, bool], now: float) -> list[TroubleMessage]:
    """Return the messages to send now. Each will be returned again after a while, unless `note_sent` is called.

    A target that got no message about a trouble before it was over gets none, but one that may have got it learns the end.

    Args:
        targets: By id: True if the target is reached by way of Linq. It gets no message that a line or the key is broken.
    """
    messages = []
    for name, trouble in list(record.troubles.items()):
        is_open, is_of_linq = trouble.ended_at is None, name.startswith((KEY, LINE))
        reached = [each for each, is_by_linq in targets.items() if not (is_by_linq and is_of_linq)]
        for target in reached:
            if is_open:
                trouble.sent.setdefault(target, Sending())
            sending = trouble.sent.get(target)
            if sending is None or sending.is_done or sending.again_at > now:
                continue
            # Also the lease on the message: no other process sends it before.
            sending.again_at = now + AGAIN_S
            messages.append(TroubleMessage(target, name, trouble.since, trouble.ended_at, trouble.what))
        # Another process may know other targets. A target that is known to none any more is forgotten after a day.
        is_said = all(each.is_done for each in trouble.sent.values())
        if trouble.ended_at is not None and (is_said or trouble.ended_at <= now - DAY_S):
            del record.troubles[name]
    return messages


def note_sent(record: TroubleRecord, message: TroubleMessage) -> None:
    """Note that a message was sent, unless the trouble has changed since."""
    trouble = record.troubles.get(message.name)
    if trouble is None or (trouble.since, trouble.ended_at) != (message.since, message.ended_at):
        return
    if (sending := trouble.sent.get(message.target)) is not None:
        sending.is_done = True


def _judged(found: TroubleFacts) -> Iterator[tuple[str, str | None]]:
    """Yield each trouble of which the facts say something: its name, and the trouble in words; None if there is none."""
    if found.dead is not None:
        count = "A delivery was" if found.dead == 1 else f"{found.dead} deliveries were"
        yield "dead_letters", f"{count} given up. See: linqbot waiting list --dead" if found.dead else None
    if found.key_refused is not None:
        what = "Linq refuses the API key, so the bot answers no message until the key is corrected. See: linqbot check"
        yield KEY, what if found.key_refused else None


def _events(record: TroubleRecord, found: TroubleFacts) -> Iterator[tuple[str, str | None]]:
    """Note events, and yield the troubles that they are until a day has passed without one."""
    for name, count, things, words in (
        (
            "forged",
            found.forged,
            "webhook",
            "without a valid signature of Linq came. If the secret was changed, none is accepted.",
        ),
        ("lost", found.lost, "message", "had to be fetched, because Linq could not deliver the webhook."),
    ):
        sign = record.signs.get(name)
        if count:
            sign = record.signs[name] = Sign(at=found.now, count=count + (sign.count if sign else 0))
        if sign is None or sign.at <= found.now - DAY_S:
            record.signs.pop(name, None)
            yield name, None
        else:
            yield name, f"{sign.count} {things}{'' if sign.count == 1 else 's'} {words} See: linqbot check"


def _lines(record: TroubleRecord, found: TroubleFacts) -> Iterator[tuple[str, str | None]]:
    if found.lines is None:
        return
    for number, what in found.lines.items():
        yield LINE + number, what and f"The line {number} {what}. See: linqbot check"
    for name in record.troubles:
        if name.startswith(LINE) and name.removeprefix(LINE) not in found.lines:
            yield name, None  # the account has it no more


def _silence(record: TroubleRecord, found: TroubleFacts) -> Iterator[tuple[str, str | None]]:
    """Note how long no webhook has come, and yield if that is a trouble."""
    if found.watched_since is None:
        return
    now, hour = found.now, int(found.now // HOUR_S)
    silent_s = now - max(found.heard_at or 0.0, found.watched_since)
    limit_s = silence_limit_s(record, now) or found.silence_s
    # No more than the limit: after an outage, a silence is noticed a week later too.
    minutes = math.ceil((min(silent_s, limit_s) if limit_s else silent_s) / 60)
    record.hours[hour] = max(record.hours.get(hour, 0), minutes)
    record.hours = {each: longest for each, longest in record.hours.items() if each >= hour - 2 * WEEK_H - 24}
    trouble = record.troubles.get(SILENCE)
    if trouble is not None and trouble.ended_at is None:
        # A process that was started since has not been silent for so long.
        if found.heard_at is not None and found.heard_at > trouble.since:
            yield SILENCE, None
    elif limit_s and silent_s >= limit_s:
        yield SILENCE, f"No webhook has come for {_shown(silent_s)}. See: linqbot check"


def silence_limit_s(record: TroubleRecord, now: float) -> float | None:
    """Return the seconds of silence that are a trouble in this hour of the week; None if two weeks of it are not known."""
    hour = int(now // HOUR_S)
    known = [record.hours[each] for each in (hour - WEEK_H, hour - 2 * WEEK_H) if each in record.hours]
    if not known or min(record.hours) > hour - 2 * WEEK_H:
        return None
    return max(TIMES_LONGEST * 60 * max(known), SHORTEST_SILENCE_S)


def _shown(seconds: float) -> str:
    for unit, name in ((DAY_S, "days"), (HOUR_S, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} seconds"
