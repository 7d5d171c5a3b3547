"""One scene that fresh people play on the wire, what they saw, and what of it breaks a promise.

A play knows when all that is due is on the phones, by asking the checker; so a trial waits for facts, and for a time only when
something is missing, or when what must not happen could still happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any, Final

from linqbot_dev.judge import promises
from linqbot_dev.judge.judged_bot import JudgedBot, NotStarted
from linqbot_dev.judge.scene import JudgedScene, SceneLine, ScenePerson
from linqbot_dev.judge.wire import HeldSends, Wire
from linqbot_dev.simulation import checker

LOOK_EVERY_S: Final = 0.04
QUIET_S: Final = 1.0
"""Seconds in which nothing passes the wire, until nothing more is expected of a bot that has answered all."""
READS_S: Final = 0.3
"""Seconds in which people read a question before they answer it."""
MISSING: Final = ("lost", "cut short", "silence")
"""The rules that say that something is still due."""
REFUSED: Final = "refused"
"""The rule that a webhook of Linq is accepted in the end; the checker owes nothing for a text that was not."""


class NotTried(Exception):
    """A trial cannot be made with this bot; the text says why."""


@dataclass(frozen=True)
class BrokenRule:
    """A rule that a play has found broken, the sentence about it, and the people concerned; none are all."""

    rule: str
    says: str
    people: Sequence[str] = ()


@dataclass(frozen=True)
class StoryLine:
    """An event of a story: a text of a person, a bubble of the bot, or, without a chat, what the judge did."""

    at: float
    chat: str | None
    by_bot: bool
    text: str


@dataclass(frozen=True)
class PlayedText:
    """A text that a person has written in a play."""

    id: str
    person: str
    message_id: str
    at: float
    line: SceneLine
    counts: bool


class Play:
    """A scene with fresh people.

    Args:
        size: The most texts of each person.
        run: The word for `{run}`.
        patience_s: Seconds that people wait for what is due.
    Attributes:
        broken: What the trial itself has found, which a record cannot say.
    """

    def __init__(
        self, scene: JudgedScene, *, size: int, run: str, wire: Wire, bot: JudgedBot, patience_s: float
    ) -> None:
        self.wire = wire
        self.bot = bot
        self.patience_s = patience_s
        self._scene = scene
        self._size = size
        self._run = run
        self.people = {person.name: self._lines(person, size, run) for person in scene.people}
        self.handles = {name: wire.new_handle() for name in self.people}
        self.broken: list[BrokenRule] = []
        self._starting = asyncio.Lock()
        self._begun = wire.now
        self._texts: list[PlayedText] = []
        self._notes: list[StoryLine] = []

    def another(self) -> str:
        """Let one more person come who says the same as the first one, and return the name."""
        first = self._scene.people[0]
        name = f"{first.name} {len(self.people) + 1}"
        self.people[name] = self._lines(ScenePerson(name, first.lines), self._size, self._run)
        self.handles[name] = self.wire.new_handle()
        return name

    @staticmethod
    def _lines(person: ScenePerson, size: int, run: str) -> list[SceneLine]:
        return [line.filled(run=run, person=person.name) for line in person.lines[:size]]

    # Acts

    async def write(self, person: str, line: SceneLine, *, counts: bool = True) -> PlayedText:
        """Let a person write; if the text answers a question, when the question is on the phone.

        Args:
            counts: False if Linq does not deliver the text as usual, so that nothing is due for it.
        """
        if line.answers is not None:
            handle = self.handles[person]
            await self.until(lambda: any(words == line.answers for _, words in self.wire.bubbles(handle)))
            await asyncio.sleep(READS_S)
        at = self.wire.now
        message_id = self.wire.write(self.handles[person], line.text)
        text = PlayedText(f"{person} {len(self._texts) + 1}", person, message_id, at, line, counts)
        self._texts.append(text)
        return text

    def note(self, what: str) -> None:
        """Note what the judge does, for the story."""
        self._notes.append(StoryLine(self.wire.now, None, by_bot=False, text=what))

    async def each_in_turn(
        self,
        before: Callable[[str, int], object] = lambda *_: None,
        after: Callable[[PlayedText], Awaitable[object]] | None = None,
    ) -> None:
        """Let all people talk at the same time; each waits for what is due for a text before the next one.

        Args:
            before: Called before each text, with the person and the number of the text, from 0.
            after: Awaited for each text before its answer is.
        """

        async def talk(person: str) -> None:
            for number, line in enumerate(self.people[person]):
                before(person, number)
                text = await self.write(person, line)
                if after is not None:
                    await after(text)
                if not await self.met():
                    return  # the story is long enough

        await self._all(talk)

    async def all_at_once(self) -> None:
        """Let all people write all that they have to say, without waiting, except for questions that they answer."""

        async def talk(person: str) -> None:
            for line in self.people[person]:
                await self.write(person, line)

        await self._all(talk)

    async def _all(self, talk: Callable[[str], Awaitable[object]]) -> None:
        """Let all people talk, and raise an error only when all have ended."""
        ended = await asyncio.gather(*map(talk, self.people), return_exceptions=True)
        for each in ended:
            if isinstance(each, BaseException):
                raise each

    async def start_again(self) -> None:
        """Start the bot after its end, and let Linq deliver what it missed. A bot that does not start is a broken promise.

        Raises:
            NotStarted: It does not listen.
        """
        try:
            await self.bot.stop()
            await self.bot.start()
        except NotStarted as error:
            self.broken.append(BrokenRule("not started", f"Not started: the bot does not start again. {error}"))
            raise
        self.wire.retry_now()

    async def restart(self) -> None:
        """Stop the bot with SIGTERM, and start it."""
        self.note("the bot is stopped with SIGTERM, and started again")
        await self.start_again()

    def hold_sends(self, person: str, *, limit_s: float) -> HeldSends:
        """Let the sends to a person wait until the hold is ended."""
        hold = HeldSends(self.handles[person], limit_s)
        self.wire.holds.append(hold)
        return hold

    # Waiting

    async def until(self, is_so: Callable[[], object], *, at_most_s: float | None = None) -> bool:
        """Wait until something is so, or for the patience of people. Return True if it is."""
        try:
            async with asyncio.timeout(self.patience_s if at_most_s is None else at_most_s):
                while not is_so():
                    if self.bot.has_crashed:
                        await self._note_end()
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            return False
        return True

    def further_sends(self, person: str, count: int = 1) -> Callable[[], bool]:
        """Return a function that returns True once the bot has begun so many more sends to a person."""
        handle = self.handles[person]
        wanted = len(self.wire.sends_to(handle)) + count
        return lambda: len(self.wire.sends_to(handle)) >= wanted

    async def _note_end(self) -> None:
        """Start a bot that has ended by itself, as a supervisor would. A trial that ends the bot starts it before it waits."""
        async with self._starting:
            if self.bot.has_crashed:  # another person may have noticed
                self.note("the bot's process has ended by itself, and is started again")
                self.broken.append(BrokenRule("ended", "Ended: the process of the bot ended by itself."))
                await self.start_again()

    async def met(self) -> bool:
        """Wait until all that is due is on the phones."""
        return await self.until(lambda: not self.missing())

    async def quiet(self, seconds: float = QUIET_S) -> None:
        """Wait until nothing has passed the wire for some time."""
        begun = self.wire.now
        await self.until(lambda: self.wire.now - max(begun, self.wire.last_at) >= seconds, at_most_s=4 * seconds)

    # The verdict

    def missing(self) -> list[BrokenRule]:
        """Return what people still wait for."""
        return [each for each in self.found() if each.rule in (*MISSING, REFUSED)]

    def record(self) -> dict[str, Any]:
        """Return what people and Linq saw, in the form of `simulation/checker.py`, from the begin of the play on.

        Chats have the names of their people.
        """
        names = {handle: name for name, handle in self.handles.items()}
        ids = {text.message_id: text.id for text in self._texts if text.counts}
        begun = self._begun
        return {
            "texts": [
                {"id": text.id, "chat": text.person, "from": text.person, "at": text.at - begun, "text": text.line.text}
                | {"due": [dict(due) for due in text.line.due], "answers": text.line.answers}
                for text in self._texts
            ],
            "accepted": [
                {
                    "text": ids[each.message_id],
                    "begun": each.begun - begun,
                    "at": each.at - begun if each.at and each.is_accepted else None,
                }
                for each in self.wire.webhooks
                if each.message_id in ids
            ],
            "shown": [
                {"id": f"{name} bubble {number}", "chat": name, "at": at - begun, "text": words}
                for name, handle in self.handles.items()
                for number, (at, words) in enumerate(self.wire.bubbles(handle))
            ],
            "calls": [
                {
                    "begun": each.begun - begun,
                    "at": each.begun - begun,
                    "chat": names[each.handle],
                    "key": each.key,
                    "text": each.text,
                }
                | {"status": each.answered, "process": f"process {each.life}"}
                for each in self.wire.sends
                if each.handle in names
            ],
            "ended": inf,
        }

    def found(self) -> list[BrokenRule]:
        """Return all that is broken, found by the checker, by Linq and by the trial."""
        texts = {text.id: text for text in self._texts}
        by_checker = [
            BrokenRule(
                breach.rule,
                breach.says,
                list({texts[each].person: None for each in breach.texts} or [breach.chat or ""]),
            )
            for breach in checker.check(self.record())
        ]
        return [*self._refused(), *self.broken, *by_checker]

    def _refused(self) -> list[BrokenRule]:
        found = []
        for text in self._texts:
            posts = [each for each in self.wire.webhooks if each.message_id == text.message_id]
            if text.counts and not any(each.is_accepted for each in posts):
                answers = ", ".join(str(each.status or "no answer") for each in posts) or "no answer"
                says = f"Refused: the webhook of “{text.line.text}” was never accepted: {answers}."
                found.append(BrokenRule(REFUSED, says, [text.person]))
        return found

    def unseen(self) -> dict[str, str]:
        """Return promises that nothing in this play was about, each with the reason."""
        sends = [[(each.handle, each.text) for each in self.wire.sends_to(handle)] for handle in self.handles.values()]
        is_repeated = any(len(set(each)) < len(each) for each in sends)
        has_waited = any(self.tried_again_after(handle, status=429) for handle in self.handles.values())
        return ({} if is_repeated else {promises.KEY: "it repeats no send"}) | (
            {} if has_waited else {promises.WAITS: "it tries no send again that was refused with 429"}
        )

    def tried_again_after(self, handle: str, *, status: int) -> list[float]:
        """Return the seconds from each refusal of a send with a status to the next send to the person."""
        sends = self.wire.sends_to(handle)
        return [after.begun - refused.begun for refused, after in pairwise(sends) if refused.answered == status]

    def story(self, people: Sequence[str] = ()) -> list[StoryLine]:
        """Return what happened in the chats of some people, in the order of its times, as their phones show it."""
        wanted = [person for person in people if person in self.people] or list(self.people)
        said = [StoryLine(each.at, each.person, by_bot=False, text=each.line.text) for each in self._texts]
        shown = [
            StoryLine(at, name, by_bot=True, text=words)
            for name in wanted
            for at, words in self.wire.bubbles(self.handles[name])
        ]
        lines = [*[each for each in said if each.chat in wanted], *self._notes, *shown]
        return sorted(lines, key=lambda each: each.at)
