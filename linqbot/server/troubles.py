"""The troubles of a bot, and the messages that its owner gets: when a trouble begins, when it has grown tenfold, and when it is over.

| trouble | its size |
| --- | --- |
| `refused`: messages of people are refused, and Linq does not deliver them again | deliveries that were refused |
| `storage`: messages cannot be stored, so Linq has to deliver them again | deliveries that were refused |
| `waiting`: messages wait for longer than some minutes | those that wait so long |
| `blocked`: the event loop is blocked, so no message is accepted or answered | the time, as a multiple of these minutes |
| `dead_letters`: messages were given up | those of the last 24 hours |
| `key`, `line +1…`: Linq refuses the API key; a line is flagged | all messages that wait |
| `lost`: messages had to be fetched | these |
| `silence`: no webhook comes | 0 |

Nothing here asks or sends. `TroubleWatch` (`telling.py`) looks once a minute, and lets a record follow what it has found:
`follow` begins and ends troubles, and `claim` returns the messages to send now. The record is one row of the storage, so that
several processes, and a process that was restarted, send a message once. While the storage cannot be written, a process goes
on with a record in its memory, and `adopt` takes that into the stored one later.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ValidationError

from linqbot.options import DAY_S
from linqbot.turn_events import Reason

REFUSED: Final = "refused"
STORAGE: Final = "storage"
WAITING: Final = "waiting"
BLOCKED: Final = "blocked"
DEAD_LETTERS: Final = "dead_letters"
KEY: Final = "key"
LINE: Final = "line "
"""The name of a trouble with a line is this and its number."""
LOST: Final = "lost"
SILENCE: Final = "silence"

UNANSWERED: Final = frozenset({REFUSED, STORAGE, WAITING, KEY})
"""The troubles in which people get no answer: while one of them is open, no heartbeat is sent."""

NOT_AGAIN: Final[Mapping[Reason, str]] = {
    "forged": (
        "their signature fits no secret of the bot. If they are from Linq, people get no answer: Linq does not deliver them "
        "again. See: linqbot check"
    ),
    "out_of_time": "they were signed at another time than the clock of this machine shows. Set the clock",
    "closed": "this process only handles deliveries (LINQBOT_ROLE=work). Send webhooks to one with the role receive or all",
}
"""The refusals that do not heal by themselves, and why: what follows *because*."""

UNSTORED: Final[frozenset[Reason]] = frozenset({"busy", "unavailable"})

TENFOLD: Final = 10
"""A trouble is sent again when its size is this multiple of the size that was last sent."""

HOUR_S: Final = 3600.0
WEEK_H: Final = 7 * 24
TIMES_LONGEST: Final = 3.0
SHORTEST_SILENCE_S: Final = 900.0
"""A silence is a trouble after this multiple of the longest one of that hour in the last two weeks, at the earliest after so many
seconds: the time of the last webhook is known to a minute."""

BLIP_S: Final = 45.0
"""Seconds for which the storage may fail before that is a trouble: a server that restarts. Two looks are farther apart."""

STORED_AGAIN_S: Final = 90.0
"""Seconds without a look of any process that found the storage failing, after which that is over."""

AGAIN_S: Final = 300.0
"""Seconds after which a message that may not have been sent is sent again."""

State: TypeAlias = Literal["began", "grew", "over"]


class UnsentMessage(BaseModel):
    """A message that may not have been sent. It is sent again, as it was, at `again_at`; until then no other process sends it."""

    state: State
    what: str
    size: int
    again_at: float


class Notified(BaseModel):
    """The messages about a trouble to one target.

    Attributes:
        size: The size in the last one; None if none was sent.
    """

    size: int | None = None
    attempt: UnsentMessage | None = None


class OpenTrouble(BaseModel):
    """A trouble that has begun, and of which a target has not been sent all messages.

    Attributes:
        what: The trouble in plain words, with what to do. No text of a person and no secret.
        size: See the table above.
        ended_at: Unix seconds; None while it goes on.
        notified: By the id of a target.
    """

    since: float
    what: str
    size: int = 0
    ended_at: float | None = None
    notified: dict[str, Notified] = {}


class Sign(BaseModel):
    """Events that are a trouble until some time has passed without one: the times of the first and the last, their number and cause."""

    since: float
    at: float
    count: int = 0
    why: str = ""


class TroubleRecord(BaseModel):
    """The record of troubles, as the storage keeps it.

    Attributes:
        hours: The longest time without a webhook in each of the last hours, in minutes, by the number of the hour since 1970.
    """

    troubles: dict[str, OpenTrouble] = {}
    signs: dict[str, Sign] = {}
    hours: dict[int, int] = {}

    def is_open(self, name: str) -> bool:
        """Return True while a trouble goes on."""
        trouble = self.troubles.get(name)
        return trouble is not None and trouble.ended_at is None


@dataclass(frozen=True, slots=True)
class TroubleFacts:
    """The facts that one look has found. None stands for a fact that is not known.

    Attributes:
        limit_s: Seconds for which a message may wait, and after which refusals that have stopped are over.
        refused: Deliveries that looked like Linq's and were refused since the last look of this process, by reason.
        refused_at: Time of the last of them.
        storage_trouble: The reason why this process cannot store or handle deliveries, as a sentence.
        waiting: The times of receipt of the webhooks that wait longest, the oldest first.
        dead: Number of deliveries that were given up in the last 24 hours.
        key_refused: True if Linq has refused the API key.
        lines: The trouble of each line of the account in words; None for a line that has none.
        lost: Number of messages that had to be fetched since the last look of this process.
        heard_at: Time of the last webhook, in Unix seconds.
        watched_since: Time since which this process looks. A silence before is not known.
        silence_s: Seconds of silence that are a trouble while the usual one is not known; 0 for none.
    """

    now: float
    limit_s: float = 300.0
    refused: Mapping[Reason, int] = field(default_factory=dict)
    refused_at: float = 0.0
    storage_trouble: str | None = None
    waiting: Sequence[float] | None = None
    dead: int | None = None
    key_refused: bool | None = None
    lines: Mapping[str, str | None] | None = None
    lost: int = 0
    heard_at: float | None = None
    watched_since: float | None = None
    silence_s: float = 0.0


class Judged(NamedTuple):
    """A trouble of which the facts say something: in words, with its size; None if there is no such trouble."""

    name: str
    what: str | None
    size: int = 0


class TroubleMessage(NamedTuple):
    """A message to one target about one trouble."""

    target: str
    name: str
    state: State
    since: float
    ended_at: float | None
    what: str
    size: int

    @property
    def id(self) -> str:
        """The same for each attempt."""
        grown = f".{self.size}" if self.state == "grew" else ""
        return f"{self.name}.{self.since:.0f}.{self.state}{grown}"

    @property
    def text(self) -> str:
        if self.ended_at is not None:
            return f"Over after {shown(self.ended_at - self.since)}: {self.what}"
        return f"It has grown: {self.what}" if self.state == "grew" else self.what


def read_record(text: str | None) -> TroubleRecord:
    """Return the stored record; an empty one if there is none, or none that this release can read."""
    try:
        return TroubleRecord.model_validate_json(text or "{}")
    except ValidationError:
        return TroubleRecord()


def follow(record: TroubleRecord, found: TroubleFacts) -> None:
    """Begin, size and end the troubles of a record, as the facts say."""
    for judged in (_refused, _storage, _waiting, _blocked, _given_up, _of_linq, _lost, _silence):
        for name, what, size in list(judged(record, found)):
            trouble = record.troubles.get(name)
            if what is None:
                if trouble is not None and trouble.ended_at is None:
                    trouble.ended_at = found.now
            elif trouble is None or trouble.ended_at is not None:
                record.troubles[name] = OpenTrouble(since=found.now, what=what, size=size)
            else:
                trouble.what, trouble.size = what, size


def blocked(since: float, now: float, limit_s: float) -> OpenTrouble:
    """Return the trouble of an event loop that has been blocked since a time."""
    what = (
        f"The bot has done nothing for {shown(now - since)}, because a function blocks the event loop. No message is accepted or "
        "answered. The log names the function (loop.blocked); a restart helps until it blocks again."
    )
    return OpenTrouble(since=since, what=what, size=int((now - since) // limit_s))


def claim(
    record: TroubleRecord, targets: Mapping[str, bool], now: float, *, one_each: bool = False, keep: bool = False
) -> list[TroubleMessage]:
    """Return the messages to send now. Each will be returned again after a while, unless `note_sent` is called.

    A target that got no message about a trouble before it was over gets none, but one that may have got it learns the end.

    Args:
        targets: By id: True if the target is reached by way of Linq. It gets no message that a line or the key is broken.
        one_each: True for at most one message to each target.
        keep: True keeps a trouble whose end was sent, so that `adopt` ends it in the stored record too.
    """
    messages: list[TroubleMessage] = []
    for name, trouble in list(record.troubles.items()):
        for target, is_by_linq in targets.items():
            if is_by_linq and name.startswith((KEY, LINE)):
                continue
            if one_each and any(each.target == target for each in messages):
                continue
            attempt = _attempt(trouble, target, now)
            if attempt is not None:
                content = attempt.state, trouble.since, trouble.ended_at, attempt.what, attempt.size
                messages.append(TroubleMessage(target, name, *content))
        # Another process may know other targets. A target that is known to none any more is forgotten after a day.
        ended_at = trouble.ended_at
        if ended_at is not None and not keep and (not trouble.notified or ended_at <= now - DAY_S):
            del record.troubles[name]
    return messages


def _attempt(trouble: OpenTrouble, target: str, now: float) -> UnsentMessage | None:
    """Return the message that is due to a target now, and note that it is being sent; None if none is due."""
    notified = trouble.notified.get(target)
    state = state_to_send(trouble, notified)
    if state is None:
        return None
    notified = trouble.notified.setdefault(target, Notified())
    attempt = notified.attempt
    if attempt is None or attempt.state != state:
        attempt = notified.attempt = UnsentMessage(state=state, what=trouble.what, size=trouble.size, again_at=0.0)
    if attempt.again_at > now:
        return None
    attempt.again_at = now + AGAIN_S
    return attempt


def state_to_send(trouble: OpenTrouble, notified: Notified | None) -> State | None:
    """Return what a target is to be sent about a trouble, if anything, after what it was sent."""
    if trouble.ended_at is not None:
        return None if notified is None else "over"
    if notified is None or notified.size is None:
        return "began"
    return "grew" if trouble.size >= TENFOLD * max(notified.size, 1) else None


def note_sent(record: TroubleRecord, message: TroubleMessage) -> None:
    """Note that a message was sent, unless the trouble has begun again since."""
    trouble = record.troubles.get(message.name)
    notified = trouble.notified.get(message.target) if trouble is not None and trouble.since == message.since else None
    if trouble is None or notified is None:
        return
    if message.state == "over":
        del trouble.notified[message.target]
        return
    notified.size = message.size
    if notified.attempt is not None and notified.attempt.state == message.state:
        notified.attempt = None


def adopt(record: TroubleRecord, own: TroubleRecord) -> None:
    """Take into the stored record what a process has found and sent while it could not store it."""
    for name, trouble in own.troubles.items():
        stored = record.troubles.get(name)
        if stored is None or stored.ended_at is not None or stored.since == trouble.since:
            record.troubles[name] = trouble.model_copy(deep=True)
        else:
            stored.notified = {**trouble.model_copy(deep=True).notified, **stored.notified}
    for name, sign in own.signs.items():
        known = record.signs.get(name)
        if known is None or known.at < sign.at:
            record.signs[name] = sign.model_copy()
    for hour, minutes in own.hours.items():
        record.hours[hour] = max(record.hours.get(hour, 0), minutes)


def _refused(record: TroubleRecord, found: TroubleFacts) -> Iterator[Judged]:
    """Judge the refusals that do not heal: over when there was none for a while, and since then a delivery was accepted."""
    counts = {reason: found.refused.get(reason, 0) for reason in NOT_AGAIN}
    if any(counts.values()):
        most = max(counts, key=lambda reason: counts[reason])
        _note(record, REFUSED, found.refused_at, sum(counts.values()), NOT_AGAIN[most])
    sign = record.signs.get(REFUSED)
    if sign is not None:
        is_heard = sign.at <= found.now - found.limit_s and found.heard_at is not None and found.heard_at >= sign.at
        if is_heard or sign.at <= found.now - DAY_S:
            del record.signs[REFUSED]
            sign = None
    if sign is None:
        yield Judged(REFUSED, None)
    else:
        was = f"{_number(sign.count, 'webhook', 'webhooks')} {'was' if sign.count == 1 else 'were'} refused"
        yield Judged(REFUSED, f"{was}, because {sign.why}.", sign.count)


def _storage(record: TroubleRecord, found: TroubleFacts) -> Iterator[Judged]:
    """Judge a storage that fails, longer than a server takes to restart."""
    if found.storage_trouble is not None:
        refused = sum(found.refused.get(reason, 0) for reason in UNSTORED)
        _note(record, STORAGE, found.now, refused, found.storage_trouble)
    sign = record.signs.get(STORAGE)
    if sign is None or sign.at <= found.now - STORED_AGAIN_S:
        record.signs.pop(STORAGE, None)
        yield Judged(STORAGE, None)
    elif sign.at - sign.since >= BLIP_S:
        why = sign.why.rstrip(".")
        were = _number(sign.count, "webhook was", "webhooks were")
        what = f"No message can be stored: {why}. {were} refused so far; Linq delivers each again for half an hour."
        yield Judged(STORAGE, what, sign.count)


def _waiting(record: TroubleRecord, found: TroubleFacts) -> Iterator[Judged]:
    """Judge the messages that wait. The trouble is over once none waits for half of the time, so that it does not come and go."""
    if found.waiting is None:
        return
    limit_s = found.limit_s / 2 if record.is_open(WAITING) else found.limit_s
    late = [at for at in found.waiting if at <= found.now - limit_s]
    if not late:
        yield Judged(WAITING, None)
        return
    wait = "A message waits" if len(late) == 1 else f"{len(late)} messages wait"
    longest = f"the oldest for {shown(found.now - min(late))}"
    yield Judged(WAITING, f"{wait} for an answer, {longest}. See: linqbot waiting list", len(late))


def _blocked(_: TroubleRecord, __: TroubleFacts) -> Iterator[Judged]:
    yield Judged(BLOCKED, None)  # a look runs in the event loop


def _given_up(_: TroubleRecord, found: TroubleFacts) -> Iterator[Judged]:
    if found.dead is not None:
        were = _number(found.dead, "delivery was", "deliveries were")
        what = f"{were} given up. See: linqbot waiting list --dead"
        yield Judged(DEAD_LETTERS, what if found.dead else None, found.dead)


def _of_linq(record: TroubleRecord, found: TroubleFacts) -> Iterator[Judged]:
    """Judge the key and the lines, as Linq has answered. What Linq did not answer changes nothing but the size."""
    size = len(found.waiting or ())
    waits = f" {_number(size, 'message waits', 'messages wait')}." if size else ""
    if found.key_refused is not None:
        what = "Linq refuses the API key, so the bot answers no message until the key is corrected."
        yield Judged(KEY, f"{what}{waits} See: linqbot check" if found.key_refused else None, size)
    if found.lines is None:
        return
    for number, problem in found.lines.items():
        yield Judged(LINE + number, problem and f"The line {number} {problem}.{waits} See: linqbot check", size)
    for name in record.troubles:
        if name.startswith(LINE) and name.removeprefix(LINE) not in found.lines:
            yield Judged(name, None)  # the account has it no more


def _lost(record: TroubleRecord, found: TroubleFacts) -> Iterator[Judged]:
    """Judge the messages that Linq could not deliver, until a day has passed without one."""
    if found.lost:
        _note(record, LOST, found.now, found.lost, "Linq could not deliver the webhook")
    sign = record.signs.get(LOST)
    if sign is None or sign.at <= found.now - DAY_S:
        record.signs.pop(LOST, None)
        yield Judged(LOST, None)
    else:
        messages = _number(sign.count, "message", "messages")
        yield Judged(LOST, f"{messages} had to be fetched, because {sign.why}. See: linqbot check", sign.count)


def _note(record: TroubleRecord, name: str, at: float, count: int, why: str) -> None:
    sign = record.signs.setdefault(name, Sign(since=at, at=at))
    sign.at, sign.count, sign.why = max(sign.at, at), sign.count + count, why


def _silence(record: TroubleRecord, found: TroubleFacts) -> Iterator[Judged]:
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
    if record.is_open(SILENCE):
        # A process that was started since has not been silent for so long.
        if found.heard_at is not None and found.heard_at > record.troubles[SILENCE].since:
            yield Judged(SILENCE, None)
    elif limit_s and silent_s >= limit_s:
        yield Judged(SILENCE, f"No webhook has come for {shown(silent_s)}. See: linqbot check")


def silence_limit_s(record: TroubleRecord, now: float) -> float | None:
    """Return the seconds of silence that are a trouble in this hour of the week; None if two weeks of it are not known."""
    hour = int(now // HOUR_S)
    known = [record.hours[each] for each in (hour - WEEK_H, hour - 2 * WEEK_H) if each in record.hours]
    if not known or min(record.hours) > hour - 2 * WEEK_H:
        return None
    return max(TIMES_LONGEST * 60 * max(known), SHORTEST_SILENCE_S)


def _number(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def shown(seconds: float) -> str:
    """Return a duration as people read it, such as `5 minutes`."""
    for unit, name in ((DAY_S, "days"), (HOUR_S, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} seconds"
