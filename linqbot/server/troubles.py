"""The troubles of a bot, and the messages that its owner gets: one when a trouble begins, and one when it is over.

Nothing here asks or sends. `TroubleWatch` (`telling.py`) looks once a minute, and lets the storage's record follow what it has found:
`follow` begins and ends troubles, and `claim` returns the messages to send now. The record is one row of the storage, so that
several processes, and a process that was restarted, send a message once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from pydantic import BaseModel, ValidationError

from linqbot.options import DAY_S

KEY: Final = "key"

SHORTEST_WAIT_S: Final = 60.0
LONGEST_WAIT_S: Final = 3600.0
"""Seconds before the second attempt to send a message, and the most between two attempts."""


class Sending(BaseModel):
    """The message of a trouble to one target: that it has begun or, once it is over, that it is over."""

    is_done: bool = False
    tries: int = 0
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


class TroubleRecord(BaseModel):
    """The record of troubles, as the storage keeps it."""

    troubles: dict[str, OpenTrouble] = {}


@dataclass(frozen=True, slots=True)
class TroubleFacts:
    """The facts that one look has found. None stands for a fact that is not known.

    Attributes:
        dead: Number of dead letters; 0 if none of them is from the last 24 hours.
        key_refused: True if Linq has refused the API key.
    """

    now: float
    dead: int | None = None
    key_refused: bool | None = None


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
    for name, what in _judged(found):
        trouble = record.troubles.get(name)
        if what is None:
            if trouble is not None and trouble.ended_at is None:
                trouble.ended_at = found.now
                trouble.sent = {target: Sending() for target in trouble.sent}
        elif trouble is None:
            record.troubles[name] = OpenTrouble(since=found.now, what=what)
        elif trouble.ended_at is not None:
            # A target that has not learned that it was over needs no second message; `claim` sends the first one again.
            trouble.ended_at, trouble.sent = None, {}


def claim(record: TroubleRecord, targets: Mapping[str, bool], now: float) -> list[TroubleMessage]:
    """Return the messages to send now. Each will be returned again after a while, unless `note_sent` is called.

    A target that got no message about a trouble before it was over gets none, but one that may have got it learns the end.

    Args:
        targets: By id: True if the target is reached by way of Linq. It gets no message that a line or the key is broken.
    """
    messages = []
    for name, trouble in list(record.troubles.items()):
        is_open, is_of_linq = trouble.ended_at is None, name == KEY
        reached = [each for each, is_by_linq in targets.items() if not (is_by_linq and is_of_linq)]
        for target in reached:
            if is_open:
                trouble.sent.setdefault(target, Sending())
            sending = trouble.sent.get(target)
            if sending is None or sending.is_done or sending.again_at > now:
                continue
            # Also the lease on the message: no other process sends it before.
            sending.again_at = now + min(SHORTEST_WAIT_S * 2 ** min(sending.tries, 9), LONGEST_WAIT_S)
            sending.tries += 1
            messages.append(TroubleMessage(target, name, trouble.since, trouble.ended_at, trouble.what))
        if not is_open and all(trouble.sent[each].is_done for each in reached if each in trouble.sent):
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


def _shown(seconds: float) -> str:
    for unit, name in ((DAY_S, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} seconds"
