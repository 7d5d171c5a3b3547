"""Judge a bot by what the world saw of it: the texts of people, the webhooks it accepted, its bubbles on their phones.

`check` reads one record, a JSON object, and returns a finding for each broken promise. This file imports nothing but the
standard library and knows no bot from inside, so it judges any bot: `python checker.py record.json`. All times of a record are
seconds on one clock. Its lists, each of which may be missing:

texts     What people wrote and outside systems posted, in the order of writing: {id, chat, from, at, text}. A post has the chat
          null. Optional: `due`, what the bot owes for the text (below); `stops` and `starts`, true for a text that forbids
          the bot to write in this chat, or allows it again; `answers`, the question that the text answers: the last one in
          the chat when the text was written.
accepted  The webhooks about the texts: {text, begun, at}. `at` is the time of the bot's 2xx answer; null if the webhook reached
          the bot and got none. Without the latter the checker cannot know that a text was stored before another one.
shown     The bot's bubbles on the phones, within a chat from top to bottom: {id, chat, at, text}.
calls     The sends: {begun, at, chat, key, text, status, process}. `begun` is the time at which the bot began the request, `key`
          its idempotency key or null. A request that was lost on its way belongs here too, or its retry looks like a new send.
ledger    What an outside system was asked to do: {at, key, what}.
muted     {chat, since, until}: a chat, or null for all, in which the bot must be silent after `since`, when the mute was confirmed,
          and before `until`, when its end was asked for; null: never. Optional: `lifted`, when the end was confirmed.
ended     The time at which the record ends, when the bot has had the time to do all that it owes.

An entry of `due` has a `kind`. Each may have `chat`, where the bubbles are shown; `optional`: true, if they may be missing; and
`though_muted`: true for the answer to a command that works in a muted chat.

shows      texts: each once, in this order; with `after_s`, not earlier than so many seconds after the text was written.
one_of     texts: one of them, once. With place {name, wins, holder}: only one text of all with this name gets its `wins`.
holder     place, prefix: a bubble with this prefix; the rest is the `holder` of the text that has won the place.
counts     name, prefix: the rests of such bubbles of a chat are 1, 2, 3 …, in the order of the texts.
asks       questions, prefix, between: each question, and when all are answered a bubble with the prefix and the words of the
           answers, joined by `between`. A question is a text, or {chat, text}. It may be shown again if its answer came when the
           bot could not tell what it answers: before another bubble for the text was shown, of a new release of the bot.
acts       what: the ledger has this, always under one key.
broadcast  text, chats: the text in each chat, except chats in which a person wrote STOP.

The same words may be due for several texts of a chat; prefixes must differ, and no answer may contain `between`.

The bot may leave out what is due for a text that was never accepted, and what was not yet shown when the chat was stopped or
muted. If it is shown all the same, it keeps the rules.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations, pairwise
from math import inf
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

Key = TypeVar("Key")

TOLERANCE_S: Final = 0.001
"""A phone may cut its times to milliseconds."""

LISTS: Final = ("texts", "accepted", "shown", "calls", "ledger", "muted")
AFTER_STOP: Final = "after STOP"
WHILE_MUTED: Final = "while muted"


@dataclass(frozen=True)
class Breach:
    """A broken promise: the name of the rule, a sentence for a person, the ids of the texts concerned, and the chat."""

    rule: str
    says: str
    texts: list[str]
    chat: str | None


@dataclass(eq=False)
class WrittenText:
    """A text of a person or a post of an outside system, with what became of its webhooks.

    Attributes:
        accepted: When a webhook about the text was first answered with 2xx; infinite if never.
        reached: When the first webhook about the text arrived, answered or not; infinite if never.
    """

    id: str
    chat: str | None
    author: str
    at: float
    words: str
    given: Mapping[str, Any]
    accepted: float = inf
    reached: float = inf

    def __str__(self) -> str:
        return f"“{self.words}” of {self.author}"

    def is_before(self, other: WrittenText) -> bool:
        """Return True if every bot must know this text before the other: written first, and stored first."""
        return self.at < other.at and self.accepted < other.reached < inf


@dataclass(frozen=True)
class ShownBubble:
    """A bubble on a phone. `position` counts the bubbles of all chats, and so orders those of one."""

    chat: str
    at: float
    words: str
    position: int


@dataclass(eq=False)
class DueBubble:
    """A bubble that is due: its chat, the words it may have, and what was shown for it.

    Attributes:
        owed: False if the bot may leave the bubble out.
        is_ambiguous: True if what was shown for this bubble may be another one that is due.
    """

    chat: str
    words: tuple[str, ...]
    is_prefix: bool = False
    owed: bool = False
    is_ambiguous: bool = False
    shown: list[ShownBubble] = field(default_factory=list)

    def __str__(self) -> str:
        return " or ".join(f"“{words}{'…' if self.is_prefix else ''}”" for words in self.words)

    def fits(self, chat: str, words: str) -> bool:
        has_words = words.startswith(self.words) if self.is_prefix else words in self.words
        return chat == self.chat and has_words

    def is_after(self, text: WrittenText) -> bool:
        """Return True if the text was written before this was shown."""
        return text.at < self.shown_at - TOLERANCE_S

    @property
    def shown_at(self) -> float:
        return self.shown[0].at if self.shown else inf

    @property
    def position(self) -> float:
        return self.shown[0].position if self.shown else inf

    @property
    def rest(self) -> str:
        """The words of the first bubble after the prefix."""
        return self.shown[0].words.removeprefix(self.words[0])


@dataclass(eq=False)
class Due:
    """An entry of `due` of one text, as bubbles. Only `acts` has none."""

    text: WrittenText
    given: Mapping[str, Any]
    bubbles: list[DueBubble]
    owed: bool = False

    @property
    def kind(self) -> str:
        return str(self.given["kind"])


def _bubbles(given: Mapping[str, Any], chat: str) -> list[DueBubble]:
    """Return the bubbles that are due by an entry of `due`.

    Raises:
        ValueError: There is no such kind.
    """
    match given["kind"]:
        case "shows":
            return [DueBubble(chat, (words,)) for words in given["texts"]]
        case "one_of":
            return [DueBubble(chat, tuple(given["texts"]))]
        case "holder" | "counts":
            return [DueBubble(chat, (given["prefix"],), is_prefix=True)]
        case "asks":
            places = [q if isinstance(q, Mapping) else {"chat": chat, "text": q} for q in given["questions"]]
            questions = [DueBubble(place["chat"], (place["text"],)) for place in places]
            return [*questions, DueBubble(chat, (given["prefix"],), is_prefix=True)]
        case "broadcast":
            return [DueBubble(each, (given["text"],)) for each in given["chats"]]
        case "acts":
            return []
        case other:
            raise ValueError(f"{other!r} is no kind of due: use shows, one_of, holder, counts, asks, acts or broadcast")


@dataclass(eq=False)
class SilentTime:
    """A time in which the bot begins no send in a chat, or in any if `chat` is None: after STOP, or while muted.

    Attributes:
        lifted: From here on texts are answered again, without doubt.
        lifters: The texts that end this silence. They are answered, unless they came before it began.
    """

    rule: str
    chat: str | None
    begins: float
    ends: float
    lifted: float
    lifters: Sequence[WrittenText] = ()

    def covers(self, chat: str | None) -> bool:
        return self.chat is None or self.chat == chat

    def excuses(self, text: WrittenText) -> bool:
        """Return True if the silence is a reason to leave out an answer to the text in this chat."""
        if text in self.lifters:
            return text.reached <= self.begins
        # START waits its turn in its own chat: a text of another chat may come between.
        is_elsewhere = self.rule == AFTER_STOP and text.chat != self.chat
        return is_elsewhere or text.at < self.lifted


class IndexedRecord:
    """A record, indexed: each text has its webhooks, and each bubble that is due has what was shown for it."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.ended: float = record.get("ended", inf)
        self.texts = [
            WrittenText(t["id"], t["chat"], t["from"], t["at"], t["text"], t) for t in record.get("texts", ())
        ]
        self.calls: list[Mapping[str, Any]] = sorted(record.get("calls", ()), key=lambda call: float(call["begun"]))
        self.keys: dict[str, list[str | None]] = defaultdict(list)
        for act in record.get("ledger", ()):
            self.keys[act["what"]].append(act["key"])
        self._note_webhooks(record.get("accepted", ()))
        self.silences = [self._stopped(place) for place, text in enumerate(self.texts) if text.given.get("stops")]
        for mute in record.get("muted", ()):
            ends = inf if mute["until"] is None else mute["until"]
            self.silences.append(SilentTime(WHILE_MUTED, mute["chat"], mute["since"], ends, mute.get("lifted", ends)))
        self.dues = [self._due(text, given) for text in self.texts for given in text.given.get("due", ())]
        self.not_due = self._deal(record.get("shown", ()))
        self.question_of = {text: self._question_of(text) for text in self.texts}

    def _note_webhooks(self, webhooks: Sequence[Mapping[str, Any]]) -> None:
        by_id = {text.id: text for text in self.texts}
        for webhook in webhooks:
            text = by_id[webhook["text"]]
            text.reached = min(text.reached, webhook["begun"])
            text.accepted = min(text.accepted, inf if webhook["at"] is None else webhook["at"])

    def _stopped(self, place: int) -> SilentTime:
        """Return the silence after the STOP at a place of the texts. It begins when the bot has accepted the STOP."""
        stop = self.texts[place]
        lifters = [text for text in self.texts[place + 1 :] if text.chat == stop.chat and text.given.get("starts")]
        ends = min((text.at for text in lifters), default=inf)
        lifted = max(stop.accepted, min((text.accepted for text in lifters), default=inf))
        return SilentTime(AFTER_STOP, stop.chat, stop.accepted, ends, lifted, lifters)

    def _due(self, text: WrittenText, given: Mapping[str, Any]) -> Due:
        due = Due(text, given, _bubbles(given, given.get("chat", text.chat)))
        chats = {text.chat, *(bubble.chat for bubble in due.bubbles)}
        due.owed = self._owes(due, chats)
        for bubble in due.bubbles:
            bubble.owed = self._owes(due, {text.chat, bubble.chat}) if due.kind == "broadcast" else due.owed
        return due

    def _owes(self, due: Due, chats: set[str | None]) -> bool:
        begins = max(due.text.at, due.text.accepted) + due.given.get("after_s", 0)
        return begins < self.ended and not due.given.get("optional") and not self.excuses(due, due.text, chats)

    def excuses(self, due: Due, text: WrittenText, chats: set[str | None]) -> list[SilentTime]:
        """Return the silences because of which a text of a due need have no answer in these chats."""
        is_heard = bool(due.given.get("though_muted"))
        found = [each for each in self.silences if any(each.covers(chat) for chat in chats) and each.excuses(text)]
        return [each for each in found if not (is_heard and each.rule == WHILE_MUTED)]

    def _deal(self, shown: Sequence[Mapping[str, Any]]) -> list[ShownBubble]:
        """Give each bubble on a phone to one that is due, and return those that nothing makes due.

        Equal words may be due several times. What fits few is dealt first, each to one that has none yet.
        """
        all_shown = [ShownBubble(each["chat"], each["at"], each["text"], n) for n, each in enumerate(shown)]
        fitting = {each: self._fitting(each) for each in all_shown}
        for each in sorted(all_shown, key=lambda each: len(fitting[each])):
            for bubble in (bubbles := fitting[each]):
                bubble.is_ambiguous |= len(bubbles) > 1
            if bubbles:
                min(bubbles, key=lambda bubble: (len(bubble.shown), not bubble.owed)).shown.append(each)
        return [each for each in all_shown if not fitting[each]]

    def _fitting(self, shown: ShownBubble) -> list[DueBubble]:
        """Return what a bubble on a phone may be: due in its chat, with its words, for a text that was written by then."""
        written = ((due, bubble) for due, bubble in self.due_bubbles() if due.text.at <= shown.at + TOLERANCE_S)
        return [bubble for _, bubble in written if bubble.fits(shown.chat, shown.words)]

    def due_bubbles(self) -> Iterator[tuple[Due, DueBubble]]:
        return ((due, bubble) for due in self.dues for bubble in due.bubbles)

    def of_kind(self, *kinds: str) -> list[Due]:
        return [due for due in self.dues if due.kind in kinds]

    def _question_of(self, text: WrittenText) -> DueBubble | None:
        """Return the question that a text answers: of those with its words, the last one that its author had seen."""
        questions = [bubble for due in self.of_kind("asks") for bubble in due.bubbles[:-1] if bubble.chat == text.chat]
        seen = [q for q in questions if q.words == (text.given.get("answers"),) and not q.is_after(text)]
        return max(seen, key=lambda q: (q.shown_at <= text.at, q.shown_at), default=None)

    def answers_to(self, question: DueBubble) -> list[WrittenText]:
        return [text for text in self.texts if self.question_of[text] is question]

    def asked_again_at(self, due: Due, question: DueBubble) -> float:
        """Return when a question was shown again, as it may be; minus infinity if it was not, or without such a reason."""
        if due.kind != "asks" or question is due.bubbles[-1] or len(question.shown) != 2:
            return -inf
        shown, again = question.shown
        others = (
            each
            for of, other in self.due_bubbles()
            if of.text is due.text and other is not question
            for each in other.shown
        )
        between = [
            each for each in others if each.chat == shown.chat and shown.position < each.position < again.position
        ]
        has_reason = any(text.at < each.at for text in self.answers_to(question) for each in between)
        return again.at if has_reason else -inf

    def taken_answers(self) -> Iterator[tuple[Due, DueBubble, str, WrittenText | None]]:
        """Yield each question of which a bubble quotes the answer: the words, and the text that has them, if there is one."""
        for due in self.of_kind("asks"):
            *questions, ending = due.bubbles
            parts = ending.rest.split(due.given.get("between", " and "), len(questions) - 1) if ending.shown else []
            parts += [""] * (len(questions) - len(parts)) if parts else []
            for question, part in zip(questions, parts, strict=False):
                yield due, question, part, self._author_of(part, question)

    def _author_of(self, words: str, question: DueBubble) -> WrittenText | None:
        """Return the text that gave an answer its words; of several, the one that does most for the bot."""
        texts = [text for text in self.texts if text.words == words]
        return min(texts, key=lambda t: (self.question_of[t] is not question, t.chat != question.chat), default=None)


def _grouped(dues: Iterable[tuple[Key, Due]]) -> dict[Key, list[Due]]:
    groups: dict[Key, list[Due]] = defaultdict(list)
    for key, due in dues:
        groups[key].append(due)
    return groups


Found: TypeAlias = tuple[str, Sequence[WrittenText], str | None]
"""A finding of a rule: the end of a sentence that begins with its name, the texts concerned, and the chat."""


def _lost(record: IndexedRecord) -> Iterator[Found]:
    """A text that was accepted is answered: something of what is due is shown, and what the bot shall do is done."""
    for due in record.dues:
        is_met = any(bubble.shown for bubble in due.bubbles) or due.given.get("what") in record.keys
        if (missing := _missing(due)) and not is_met:
            accepted = f"{due.text} was accepted at {_s(due.text.accepted)}"
            yield f"{accepted} and has no answer; due was {missing}.", [due.text], due.text.chat


def _cut_short(record: IndexedRecord) -> Iterator[Found]:
    """An answer that has begun is shown to its end."""
    for due in record.dues:
        if (missing := _missing(due)) and any(bubble.shown for bubble in due.bubbles):
            yield f"the answer to {due.text} was begun; {missing} is missing.", [due.text], due.text.chat


def _missing(due: Due) -> str:
    """Return what is owed and was not shown, in words. Of questions only the first is owed for the text alone."""
    if due.kind == "acts":
        return f"“{due.given['what']}” in the ledger" if due.owed else ""
    bubbles = due.bubbles[:1] if due.kind == "asks" else due.bubbles
    several = len({bubble.chat for bubble in due.bubbles}) > 1
    missing = [bubble for bubble in bubbles if bubble.owed and not bubble.shown]
    return ", ".join(f"{bubble} in {bubble.chat}" if several else str(bubble) for bubble in missing)


def _doubled(record: IndexedRecord) -> Iterator[Found]:
    """Each answer is shown once, and each question, unless it has a reason to be shown again."""
    for due, bubble in record.due_bubbles():
        words = [each.words for each in bubble.shown]
        is_ending = due.kind == "asks" and bubble is due.bubbles[-1]
        most = len(set(words)) if is_ending else 2 if record.asked_again_at(due, bubble) > -inf else 1
        if len(words) > most:
            shown = ", ".join(f"“{each}”" for each in words)
            yield f"{due.text} got {bubble} {len(words)} times: {shown}.", [due.text], bubble.chat


def _out_of_order(record: IndexedRecord) -> Iterator[Found]:
    """Texts of one person are answered in the order in which they were written and accepted, and each answer in its own order."""
    for due in record.of_kind("shows"):
        for first, second in pairwise(bubble for bubble in due.bubbles if bubble.shown and not bubble.is_ambiguous):
            if first.position > second.position:
                yield f"for {due.text}, {second} was shown before {first}.", [due.text], first.chat
    for (one, first), (other, second) in combinations(_heads(record), 2):
        is_comparable = (one.author, one.chat, first.chat) == (other.author, other.chat, second.chat)
        if is_comparable and one.is_before(other) and first.position > second.position:
            accepted = f"{one} was accepted at {_s(one.accepted)}, before {other} at {_s(other.accepted)}"
            yield f"{accepted}, but {second} was shown before {first}.", [one, other], first.chat


def _heads(record: IndexedRecord) -> Iterator[tuple[WrittenText, DueBubble]]:
    """Yield each text whose answers come in order, with the first bubble that was shown for the text in a chat."""
    heads: dict[tuple[WrittenText, str], DueBubble] = {}
    for due, bubble in record.due_bubbles():
        if bubble is due.bubbles[0] and bubble.shown and _has_order(record, due, bubble):
            head = heads.setdefault((due.text, bubble.chat), bubble)
            heads[due.text, bubble.chat] = min(head, bubble, key=lambda each: each.position)
    return ((text, bubble) for (text, _), bubble in heads.items())


def _has_order(record: IndexedRecord, due: Due, bubble: DueBubble) -> bool:
    """Return False for what may wait: until a mute ends, or until another question in the chat of the question is answered."""
    if due.text.chat is None or due.text.given.get("answers") or due.kind == "broadcast" or "after_s" in due.given:
        return False
    is_asked_elsewhere = due.kind == "asks" and bubble.chat != due.text.chat
    excuses = record.excuses(due, due.text, {due.text.chat, bubble.chat})
    return not (bubble.is_ambiguous or is_asked_elsewhere or any(each.rule == WHILE_MUTED for each in excuses))


def _told_not_stored(record: IndexedRecord) -> Iterator[Found]:
    """The bot has stored all that it says: counts go on, and a place that was won stays with its holder."""
    counts = _grouped(((due.bubbles[0].chat, due.given["name"]), due) for due in record.of_kind("counts"))
    for (chat, name), dues in counts.items():
        yield from ((f"“{name}”: {says}", texts, chat) for says, texts in _miscounted(dues))
    for name, dues in _places(record).items():
        if all(due.bubbles[0].shown and not _is_won(due) for due in dues):
            yield (
                f"every text has the answer that “{name}” is taken, and none has won it.",
                [due.text for due in dues],
                None,
            )
    for due in record.of_kind("holder"):
        yield from _wrong_holder(due, _places(record).get(due.given["place"], []))


def _miscounted(dues: Sequence[Due]) -> Iterator[tuple[str, list[WrittenText]]]:
    """Yield what is wrong with the numbers of one counter. Numbers may be missing: an answer may be lost, or not owed."""
    numbers: dict[WrittenText, int] = {}
    for due in dues:
        if (bubble := due.bubbles[0]).shown:
            written = sum(other.text.at <= bubble.shown_at + TOLERANCE_S for other in dues)
            possible = {str(number): number for number in range(1, written + 1)}
            if bubble.rest in possible:
                numbers[due.text] = possible[bubble.rest]
            else:
                yield f"{due.text} is “{bubble.rest}” of {written}.", [due.text]
    for (one, first), (other, second) in combinations(numbers.items(), 2):
        if first == second or (one.is_before(other) and first > second):
            yield f"{one} is {first}, {other} is {second}.", [one, other]


def _places(record: IndexedRecord) -> dict[str, list[Due]]:
    return _grouped((due.given["place"]["name"], due) for due in record.of_kind("one_of") if "place" in due.given)


def _won_at(due: Due) -> float:
    wins = due.given["place"]["wins"]
    return min((each.at for each in due.bubbles[0].shown if each.words == wins), default=inf)


def _is_won(due: Due) -> bool:
    return _won_at(due) < inf


def _wrong_holder(due: Due, buys: Sequence[Due]) -> Iterator[Found]:
    holders = [buy.given["place"]["holder"] for buy in buys if _won_at(buy) < due.text.at - TOLERANCE_S]
    bubble = due.bubbles[0]
    if bubble.shown and holders and bubble.rest not in holders:
        won = f"the place was won for {holders[0]} before {due.text} was written"
        yield f"{won}, whose answer is “{bubble.shown[0].words}”.", [due.text], bubble.chat


def _two_owners(record: IndexedRecord) -> Iterator[Found]:
    """A place has one owner: only one text has the answer that it has won."""
    for name, dues in _places(record).items():
        won = [due.text for due in dues if _is_won(due)]
        if len(won) > 1:
            yield f"“{name}” was won by {' and by '.join(map(str, won))}.", won, None


def _after_stop(record: IndexedRecord) -> Iterator[Found]:
    """From the acceptance of STOP on, no send begins in its chat until a text allows it. A retry begins nothing."""
    return _sends_in_silence(record, AFTER_STOP)


def _while_muted(record: IndexedRecord) -> Iterator[Found]:
    """While a chat is muted, no send begins there, except answers to commands and what is relayed from another chat."""
    return _sends_in_silence(record, WHILE_MUTED)


def _sends_in_silence(record: IndexedRecord, rule: str) -> Iterator[Found]:
    first_calls: dict[tuple[str, str | None, str], Mapping[str, Any]] = {}
    for call in record.calls:  # in the order in which they began
        identity = (call["chat"], call["key"], "" if call["key"] else call["text"])
        first_calls.setdefault(identity, call)
    for call in first_calls.values():
        chat, words, begun = call["chat"], call["text"], call["begun"]
        broken = [s for s in record.silences if s.rule == rule and s.covers(chat) and s.begins < begun < s.ends]
        dues = [due for due, bubble in record.due_bubbles() if bubble.fits(chat, words)]
        if broken and not any(_is_allowed(due, chat, rule) for due in dues):
            since = f"the chat is silent since {_s(broken[0].begins)}, and “{words}” was begun at {_s(begun)}"
            yield f"{since} by {call.get('process') or 'the bot'}.", [due.text for due in dues], chat


def _is_allowed(due: Due, chat: str, rule: str) -> bool:
    """Return True if what is due may be sent in a silent chat: the answer to STOP itself, to a command, or a relayed text."""
    if rule == AFTER_STOP:
        return bool(due.text.given.get("stops"))
    is_relayed = due.text.chat not in (None, chat) and due.kind != "broadcast"
    return is_relayed or bool(due.given.get("though_muted"))


def _two_answers(record: IndexedRecord) -> Iterator[Found]:
    """A question has one answer, the first that was accepted, and is settled once."""
    for due in record.of_kind("asks"):
        settled = sorted({each.words for each in due.bubbles[-1].shown})
        if len(settled) > 1:
            said = " and ".join(f"“{words}”" for words in settled)
            yield f"{due.text} was settled by {said}.", [due.text], due.bubbles[-1].chat
    for due, question, _, text in record.taken_answers():
        if text and record.question_of[text] is question:
            for first in (other for other in record.answers_to(question) if other.is_before(text)):
                is_excused = record.excuses(due, first, {first.chat, due.text.chat})
                if not is_excused and first.at > record.asked_again_at(due, question):
                    yield f"{question} was answered by {text}, though {first} came first.", [first, text], question.chat


def _answered_by_earlier(record: IndexedRecord) -> Iterator[Found]:
    """A text that was written before a question was shown does not answer it."""
    for _, question, _, text in record.taken_answers():
        if text and question.is_after(text):
            shown = "was never shown" if question.shown_at == inf else f"was shown at {_s(question.shown_at)}"
            yield f"{question} {shown}, and {text} of {_s(text.at)} was taken as its answer.", [text], question.chat


def _answered_by_other(record: IndexedRecord) -> Iterator[Found]:
    """A question is answered by a text that answers it, not by a text for another question or for none."""
    for _, question, _, text in record.taken_answers():
        if text and record.question_of[text] is not question and not question.is_after(text):
            yield f"{question} was answered by {text}, which was no answer to it.", [text], question.chat


def _silence(record: IndexedRecord) -> Iterator[Found]:
    """A question that was answered is followed by the next one, or by the text that the answers are for."""
    for due in record.of_kind("asks"):
        for question, following in pairwise(due.bubbles):
            answers = [text for text in record.answers_to(question) if text.accepted < record.ended]
            if due.owed and answers and not following.shown:
                said = f"{question} was answered by {answers[0]}, and {following} did not follow."
                yield said, answers, question.chat


def _two_keys(record: IndexedRecord) -> Iterator[Found]:
    """An outside system is asked for one thing always under one key."""
    for what, dues in _grouped((due.given["what"], due) for due in record.of_kind("acts")).items():
        keys = record.keys.get(what, [])
        different = len(set(keys) - {None}) + keys.count(None)  # without a key each request is another one
        if different > len(dues):
            said = f"“{what}” was asked for under {different} keys: {', '.join(map(str, keys))}."
            yield said, [due.text for due in dues], dues[0].text.chat


def _too_early(record: IndexedRecord) -> Iterator[Found]:
    """A text that is due after a time is not shown before."""
    for due, bubble in record.due_bubbles():
        begins = due.text.at + due.given.get("after_s", 0)
        if bubble.shown_at < begins - TOLERANCE_S:
            yield f"{bubble} was due at {_s(begins)} and shown at {_s(bubble.shown_at)}.", [due.text], bubble.chat


def _not_asked_for(record: IndexedRecord) -> Iterator[Found]:
    """Only what is due is shown, in the chat in which it is due, and no answer is invented."""
    for bubble in record.not_due:
        yield f"“{bubble.words}” was shown at {_s(bubble.at)}, and nothing makes it due there.", [], bubble.chat
    for due, question, words, text in record.taken_answers():
        if text is None:
            yield f"the answer to {question} is said to be “{words}”, which no one wrote.", [due.text], question.chat


RULES: Final[Mapping[str, Callable[[IndexedRecord], Iterator[Found]]]] = {
    "lost": _lost,
    "cut short": _cut_short,
    "doubled": _doubled,
    "out of order": _out_of_order,
    "told, not stored": _told_not_stored,
    AFTER_STOP: _after_stop,
    WHILE_MUTED: _while_muted,
    "two owners of one place": _two_owners,
    "two answers to one question": _two_answers,
    "answered by an earlier text": _answered_by_earlier,
    "answered by another question's text": _answered_by_other,
    "silence": _silence,
    "two keys": _two_keys,
    "too early": _too_early,
    "not asked for": _not_asked_for,
}


def check(record: Mapping[str, Any]) -> list[Breach]:
    """Return each broken promise in a record, in the order of `RULES`; empty if the bot kept them all.

    Raises:
        KeyError, ValueError: The record is not as the module says.
    """
    if unknown := set(record) - {*LISTS, "ended"}:
        raise ValueError(f"a record has {', '.join(LISTS)} and ended, and no {', '.join(sorted(unknown))}")
    indexed = IndexedRecord(record)
    return [
        Breach(rule, f"{rule[0].upper()}{rule[1:]}: {says}", [text.id for text in texts], chat)
        for rule, broken in RULES.items()
        for says, texts, chat in broken(indexed)
    ]


def _s(at: float) -> str:
    return f"{round(at, 3):.10g} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what a record in a file breaks, and return the exit code: 1 if anything, 2 if it is no record."""
    parser = argparse.ArgumentParser(description="Judge a bot by a record of what the record saw of it.")
    parser.add_argument("record", nargs="?", help="the file with the record, in JSON; - is the standard input")
    parser.add_argument("--json", action="store_true", help="print the findings as a JSON list")
    parser.add_argument("--rules", action="store_true", help="print the rules and end")
    options = parser.parse_args(arguments)
    if options.rules:
        sys.stdout.writelines(f"{name}: {rule.__doc__}\n" for name, rule in RULES.items())
        return 0
    if options.record is None:
        parser.error("name the file with the record, or - for the standard input")
    try:
        found = check(json.loads(_read(options.record)))
    except (OSError, KeyError, ValueError) as error:
        parser.error(f"{options.record} is no record: {type(error).__name__}: {error}")
    if options.json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in found], ensure_ascii=False, indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{finding.says}\n" for finding in found)
    return 1 if found else 0


def _read(name: str) -> str:
    return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")


if __name__ == "__main__":
    sys.exit(main())
