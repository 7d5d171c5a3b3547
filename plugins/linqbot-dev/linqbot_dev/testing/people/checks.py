"""Checks of what simulated people received: the rules that hold for every bot, whatever it says.

They look at the messages that the emulated Linq has taken, and at the acts of the people. No message of a bot may
contain another person's texts, secrets, tracebacks, or raw data of a program. docs/testing.md says when each rule
applies, so that a violation is always a real one.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from linqbot.characters import cut
from linqbot.linq.events.lane import chat_of
from linqbot.linq.rules.message import is_opt_out
from linqbot.storage.inbox import DeadDelivery
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model.message_content import LinkPartRecord, MediaPartRecord, TextPartRecord
from linqbot_dev.emulator.model.records import MessageRecord
from linqbot_dev.testing.ledger import Ledger, LedgerEntry
from linqbot_dev.testing.people.persona import Correct, Performed, Say, Stretch, Visit, records_of

Rule: TypeAlias = Literal[
    "unanswered", "unexpected", "doubled", "order", "leak", "opted-out", "given-up", "effect-twice", "effect-unsaid",
    "criterion",
]  # fmt: skip
RULES: Final[tuple[Rule, ...]] = get_args(Rule)
ANY_ANSWER: Final = "an answer"
"""What is expected of a message that the bot left without an answer."""
OF_EFFECTS: Final[tuple[Rule, ...]] = ("effect-twice", "effect-unsaid")
SLACK_S: Final = 0.0001
"""The time of an effect is rounded to microseconds."""

SHOWN: Final = 90
"""The most characters of a text that a report shows."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that the bot has broken.

    Attributes:
        rule: One of `RULES`, such as `unanswered`.
        person: The name of the persona.
        message: The message that the violation is about, shortened.
        expected: The behaviour that the rule calls for.
        happened: What happened instead.
        stretch: The position of the stretch in the person's conversation.
        other: The name of the other persona of a leak.
    """

    rule: Rule
    person: str
    message: str
    expected: str
    happened: str
    stretch: int = field(default=0, repr=False, compare=False)
    other: str | None = field(default=None, repr=False, compare=False)

    @property
    def cause(self) -> tuple[Rule, str]:
        """The rule and what was broken about it: violations that probably have one cause have the same."""
        if self.rule == "given-up":
            return self.rule, ":".join(self.happened.split(":")[:2])  # the class of the error, and not what it says
        return self.rule, self.expected if self.rule in {"leak", "unanswered", "criterion"} else ""

    def __str__(self) -> str:
        return (
            f"{self.rule}: {self.person}, at {self.message}\n  expected: {self.expected}\n  happened: {self.happened}"
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of a judge about a conversation and one criterion.

    Attributes:
        passed: True if the criterion is met.
        reason: The reason, for the report.
        usd: What the judge's request has cost, for the limit.
    """

    passed: bool
    reason: str = ""
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Heard:
    visit: Visit
    index: int
    stretch: Stretch
    records: Sequence[MessageRecord]  # the records of the whole conversation
    bubbles: Sequence[MessageRecord]
    end_seq: float  # the number at which the next stretch begins
    effects: Sequence[LedgerEntry] = ()  # the effects in this stretch
    all_effects: Sequence[LedgerEntry] = ()  # the effects in the whole conversation

    def broken(self, rule: Rule, message: str, *, expected: str, happened: str, other: str | None = None) -> Violation:
        return Violation(rule, self.visit.persona.name, message, expected, happened, self.index, other)


def violations(
    visits: Sequence[Visit],
    emulator: Emulator,
    *,
    secrets: Collection[str] = (),
    given_up: Sequence[DeadDelivery] = (),
    unfinished: bool = True,
    ledger: Ledger | None = None,
) -> list[Violation]:
    """Return the rules that were broken, by person and in the order of the conversations.

    The rules about effects need the `ledger`. No message may contain one of the `secrets`. With `unfinished`, a stretch
    in which the bot has not finished is judged too; else it is left out, because people were interrupted.
    """
    secrets = [secret for secret in secrets if len(secret) >= LEAST]
    private = _private_texts(visits)
    entries, said = (ledger.entries, ledger.said) if ledger else ([], {})
    found: list[Violation] = []
    for visit in visits:
        for heard in stretches_of(visit, emulator, entries):
            if heard.stretch.is_settled or unfinished:
                found += _unanswered(heard)
                found += _doubled(heard)
                found += _in_wrong_order(heard)
                found += _done_twice(heard)
                found += _unsaid(heard, said)
            found += _after_opting_out(heard)
            found += _leaked(heard, secrets, private)
        found += _given_up(visit, emulator, given_up)
    return found


def stretches_of(visit: Visit, emulator: Emulator, effects: Sequence[LedgerEntry] = ()) -> Iterator[Heard]:
    records = records_of(emulator, visit.handle, *visit.friends)
    chats = {record.chat_id for record in records}
    mine = [one for one in effects if one.chat_id in chats]
    for index, stretch in enumerate(visit.stretches):
        later = visit.stretches[index + 1 :]
        end = later[0].after_seq if later else float("inf")
        bubbles = [one for one in records if one.is_from_me and stretch.after_seq < one.seq <= end]
        until = later[0].performed[0].at if later else float("inf")
        done = [one for one in mine if stretch.performed[0].at - SLACK_S <= one.at < until - SLACK_S]
        yield Heard(visit, index, stretch, records, bubbles, end + 1, done, mine)


def seconds_to_answers(visit: Visit, emulator: Emulator) -> list[float]:
    """Return the seconds from each message that was answered to the first message of the bot after it."""
    found = []
    for heard in stretches_of(visit, emulator):
        for said in heard.stretch.said:
            first = next((one for one in heard.bubbles if one.seq > said.seq), None)
            if first is not None and said.message_id is not None:
                found.append(max(0.0, first.created_at - said.at))
    return found


def shown(text: str) -> str:
    """Return a text for a report: on one line, shortened and in quotes."""
    line = " ".join(text.split())
    return repr(line if len(line) <= SHOWN else f"{cut(line, SHOWN)}…")


def text_of(record: MessageRecord) -> str:
    """Return what a message says, for a report and for comparing: texts, links, names of files, options of a poll."""
    if record.poll:
        return "\n".join(option.text for option in record.poll.options)
    return "\n".join(
        part.value
        if isinstance(part, TextPartRecord | LinkPartRecord)
        else f"[{part.filename}]"
        if isinstance(part, MediaPartRecord)
        else f"[{part.type}]"
        for part in record.parts
    )


def _about(done: Performed) -> str:
    return shown(done.act.text or "a photo") if isinstance(done.act, Say | Correct) else type(done.act).__name__


# The rules


def answers_to(said: Performed, records: Sequence[MessageRecord], *, before_seq: float = float("inf")) -> bool:
    """Return True if a message was answered: by a message of the bot after it, or by a tapback of the bot on it.

    Messages written after it may have been joined with it, so a tapback on one of them counts too. Only records before
    `before_seq` count.
    """
    later = [one for one in records if said.seq <= one.seq < before_seq]
    return any(one.is_from_me or any(tapback.by.is_me for tapback in one.reactions) for one in later)


def _unanswered(heard: Heard) -> Iterator[Violation]:
    stretch = heard.stretch
    for done in stretch.causes:
        if done.expects == "answer" and not answers_to(done, heard.records, before_seq=heard.end_seq):
            happened = "no message" if stretch.is_settled else "no message, and the bot has not finished"
            yield heard.broken("unanswered", _about(done), expected=ANY_ANSWER, happened=happened)
        act = done.act
        if isinstance(act, Say) and act.contains is not None and done.message_id is not None:
            answers = [text_of(one) for one in heard.bubbles if one.seq > done.seq]
            if answers and not any(act.contains.casefold() in text.casefold() for text in answers):
                said, wanted = ", ".join(map(shown, answers)), f"an answer that contains {act.contains!r}"
                yield heard.broken("unanswered", _about(done), expected=wanted, happened=said)
        if isinstance(act, Say) and act.does is not None:
            had = ", ".join(shown(str(one)) for one in heard.effects)
            if act.does and not any(one.kind == act.does for one in heard.effects):
                wanted = f"{act.does!r} is done"
                yield heard.broken("unanswered", _about(done), expected=wanted, happened=had or "nothing was done")
            elif not act.does and had:
                yield heard.broken("unexpected", _about(done), expected="nothing is done", happened=had)
    silent = [done for done in stretch.causes if done.expects == "silence"]
    if silent and len(silent) == len(stretch.causes) and heard.bubbles and not _has_opted_out(silent):
        said = ", ".join(shown(text_of(one)) for one in heard.bubbles)
        yield heard.broken("unexpected", _about(silent[0]), expected="no message", happened=said)


def _doubled(heard: Heard) -> Iterator[Violation]:
    """Find messages that the bot said more often than the person gave a cause for.

    One act may cause one message of the same content. If the message quotes one message of the person, only that one
    may have caused it, or a text that no other message can have answered: a help text may hold words that the person wrote.
    """
    stretch, causes = heard.stretch, len(heard.stretch.causes)
    if not causes:
        return
    texts = Counter(one.act.text for one in stretch.causes if isinstance(one.act, Say | Correct) and one.act.text)
    for text, times in Counter(map(text_of, heard.bubbles)).items():
        quoted = [own for own in texts if _quotes(text, own)]
        others = len(heard.bubbles) - times
        open_causes = sum(isinstance(one.act, Say) and one.expects != "silence" for one in stretch.causes) - others
        allowed = max(texts[quoted[0]], open_causes) if len(quoted) == 1 else causes
        if times > allowed:
            about = quoted[0] if len(quoted) == 1 else _last_text(stretch)
            expected = f"{shown(text)} at most {_times(allowed)}"
            yield heard.broken("doubled", shown(about), expected=expected, happened=_times(times))


def _in_wrong_order(heard: Heard) -> Iterator[Violation]:
    """Find answers in another order than the messages that they quote or whose thread they are in."""
    said = heard.stretch.said
    if len(said) < 2 or len(heard.stretch.causes) != len(said):
        return
    latest, answered = -1, None
    for bubble in heard.bubbles:
        which = _answered_by(bubble, said)
        if which is None:
            continue
        if which < latest:
            happened = f"{shown(text_of(bubble))} came after {shown(answered or '')}"
            wanted = "answers in the order of the messages"
            yield heard.broken("order", _about(said[which]), expected=wanted, happened=happened)
            return
        latest, answered = which, text_of(bubble)


def _after_opting_out(heard: Heard) -> Iterator[Violation]:
    out: Performed | None = None
    for record in heard.records:
        if not heard.stretch.after_seq < record.seq < heard.end_seq:
            continue
        if not record.is_from_me:
            mine = (one for one in heard.stretch.said if one.message_id == record.id)
            done = next(mine, None)
            out = done if done is not None and _has_opted_out([done]) else None
        elif out is not None:
            wanted = "no message until the person writes again"
            yield heard.broken("opted-out", _about(out), expected=wanted, happened=shown(text_of(record)))


def _leaked(heard: Heard, secrets: Collection[str], private: Mapping[str, Visit]) -> Iterator[Violation]:
    for text in map(text_of, heard.bubbles):
        owners = [owner for own, owner in private.items() if owner is not heard.visit and own in text]
        happened, other = text, None
        if any(secret in text for secret in secrets):
            what, happened = "secret", "a message with a secret of the configuration in it"
        elif owners:
            what, other = "text of another person", owners[0].persona.name
        else:
            what = _internal(text, heard.visit.written)
        if what:
            about, wanted = shown(_last_text(heard.stretch)), f"no {what} in a message"
            yield heard.broken("leak", about, expected=wanted, happened=shown(happened), other=other)


def _done_twice(heard: Heard) -> Iterator[Violation]:
    """Find effects that one event had more than once, or that came more often than the person acted."""
    same: defaultdict[str, list[LedgerEntry]] = defaultdict(list)
    for one in heard.effects:
        same[str(one)].append(one)
    for effect, done in same.items():
        events = {one.event_id for one in done}
        # A handler that goes on after a question belongs to the event before it.
        times = [
            one for one in heard.all_effects if str(one) == effect and one.event_id in events and one.at <= done[-1].at
        ]
        if len(times) > len(events) or len(done) > len(heard.stretch.causes):
            keys = ", ".join(dict.fromkeys(shown(one.key) if one.key else "none" for one in times))
            about, wanted = shown(_last_text(heard.stretch)), f"{shown(effect)} once"
            happened = f"{_times(len(times))}, with the keys {keys}"
            yield heard.broken("effect-twice", about, expected=wanted, happened=happened)


def _unsaid(heard: Heard, said: Mapping[str, str]) -> Iterator[Violation]:
    """Find effects that no later message confirms, and messages that confirm what was not done."""
    about = shown(_last_text(heard.stretch))
    patterns = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in said.items()}
    for one in heard.effects:
        later = [text_of(each) for each in heard.bubbles if each.created_at >= one.at - SLACK_S]
        pattern = patterns.get(one.kind)
        has_tapback = pattern is None and any(by.by.is_me for each in heard.records for by in each.reactions)
        if not has_tapback and not any(pattern is None or pattern.search(text) for text in later):
            happened = ", ".join(map(shown, later)) or "no message after it"
            yield heard.broken("effect-unsaid", about, expected=f"{shown(str(one))} is confirmed", happened=happened)
    for kind, pattern in patterns.items():
        first = next((one for one in heard.bubbles if pattern.search(text_of(one))), None)
        if first is None or pattern.search(heard.visit.written):  # the bot may repeat the person's own words
            continue
        if not any(one.kind == kind and one.at - SLACK_S <= first.created_at for one in heard.all_effects):
            happened = f"{shown(text_of(first))} without it"
            yield heard.broken("effect-unsaid", about, expected=f"{kind!r} is done first", happened=happened)


def _given_up(visit: Visit, emulator: Emulator, given_up: Sequence[DeadDelivery]) -> Iterator[Violation]:
    chats = {record.chat_id for record in records_of(emulator, visit.handle, *visit.friends)}
    for dead in given_up:
        delivery = dead.delivery
        if chat_of(delivery.lane) not in chats:
            continue
        begun = [
            n for n, one in enumerate(visit.stretches) if one.performed and one.performed[0].at <= delivery.received_at
        ]
        index = begun[-1] if begun else 0
        about, wanted = shown(_last_text(visit.stretches[index])), f"{delivery.type} is handled"
        reason = (dead.error.strip().splitlines() or ["no reason"])[-1]  # of a traceback, the error
        happened = f"dead letter: {reason}" + (f" in {dead.handler}" if dead.handler else "")
        yield Violation("given-up", visit.persona.name, about, wanted, happened, index)


def _has_opted_out(done: Sequence[Performed]) -> bool:
    return any(isinstance(one.act, Say) and not one.act.photos and is_opt_out(one.act.text) for one in done)


def _answered_by(bubble: MessageRecord, said: Sequence[Performed]) -> int | None:
    """Return the position of the one message that a bubble answers for certain; None if it is not certain."""
    if bubble.reply_to is not None:
        return next((n for n, one in enumerate(said) if one.message_id == bubble.reply_to.message_id), None)
    texts = [one.act.text for one in said if isinstance(one.act, Say)]
    quoted = [n for n, text in enumerate(texts) if texts.count(text) == 1 and _quotes(text_of(bubble), text)]
    return quoted[0] if len(quoted) == 1 else None


def _quotes(text: str, own: str) -> bool:
    """Return True if a text of the bot holds a text of the person that is long enough to be no coincidence."""
    return len(own) >= 8 and own in text


def _last_text(stretch: Stretch) -> str:
    texts = [one.act.text for one in stretch.causes if isinstance(one.act, Say | Correct)]
    return texts[-1] if texts else "a tapback"


def _times(number: int) -> str:
    return "once" if number == 1 else "twice" if number == 2 else f"{number} times"


LEAST: Final = 12
"""The least characters of a text that counts as private: shorter ones may be said to anyone."""

_TOOL_CALL: Final = (
    "<tool_call", "</tool_call", "<function_call", "</function_call", "<tool_use", '"tool_calls"', '"tool_call_id"',
)  # fmt: skip
_INTERNAL: Final = {
    "traceback": ("Traceback (most recent call last)", '.py", line '),
    "narration of a tool call": _TOOL_CALL,
    "JSON": ("```json",),
}
"""Pieces of text by which something internal is recognised."""


def _private_texts(visits: Sequence[Visit]) -> dict[str, Visit]:
    """Return the texts that one person alone has written, and the handles, each with its person."""
    writers: defaultdict[str, set[str]] = defaultdict(set)
    owners: dict[str, Visit] = {}
    for visit in visits:
        acts = [act for stretch in visit.stretches for act in stretch.acts if isinstance(act, Say | Correct)]
        for text in (visit.handle, *(act.text.strip() for act in acts)):
            writers[text].add(visit.handle)
            owners[text] = visit
    return {
        text: owners[text]
        for text, handles in writers.items()
        if len(handles) == 1 and (len(text) >= LEAST or text == owners[text].handle)
    }


def _internal(text: str, written: str) -> str:
    """Return the kind of text of a program that a message has; empty if none. The person's own words are none."""
    for what, pieces in _INTERNAL.items():
        if any(piece in text and piece not in written for piece in pieces):
            return what
    return "JSON" if _is_json(text) and text.strip() not in written else ""


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict) for one in value))
