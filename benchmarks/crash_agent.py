# /// script
# requires-python = ">=3.11"
# dependencies = ["linqbot", "linqbot-agent[anthropic,langgraph,openai]", "linqbot-dev", "langchain"]
#
# [tool.uv.sources]
# linqbot = { path = "..", editable = true }
# linqbot-agent = { path = "../plugins/linqbot-agent", editable = true }
# linqbot-dev = { path = "../plugins/linqbot-dev", editable = true }
# ///
"""Kills `linqbot serve` with SIGKILL at random steps of agents, and counts what was lost, doubled, repeated or misremembered.

    uv run benchmarks/crash_agent.py --kills 20 --hits 10 --save

For each framework, with and without streaming: people write to the emulator, which delivers and retries. An agent whose
scripted model words each response in other words answers each message: it calls three tools that act outside, one of
which needs approval, and says four messages. Every second person approves the call, and for the others the owner of the bot,
who is asked in their own chat. The process is killed after a random number of model requests, tool calls and messages. At
last, one turn alone is killed again and again, of which the owner approves the call.

At the end, every person must have got the questions and the answers, each once and in order, and the owner one question for
each message of those others, shown when the one before was answered. Each call of a tool must have acted under one key. No
model request and no tool call may have been made again after the next step had begun, because then it was on record. Each
request must have shown to the model what the phone shows, and what the tools did for earlier messages. Nothing is a dead letter.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import crash
import forked
import httpx
from results import Conditions, save

SCRIPTED: Final = Path(__file__).parents[1] / "plugins" / "linqbot-agent" / "tests"
"""The folder of the scripted models of each framework."""
BOT: Final = """
import asyncio
import json
import os
import random
import secrets
import sys
import time
from contextvars import ContextVar

sys.path.insert(0, SCRIPTED)

from frameworks import FRAMEWORKS, Call, Outside, bot_of
from linqbot_agent import LinqAgent, idempotency_key

ACTS = os.open("acts", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
turn: ContextVar[str] = ContextVar("turn")  # the text of its message


def act(name, messages=()):
    os.write(ACTS, json.dumps([os.getpid(), turn.get(), name, messages]).encode() + b"\\n")
    time.sleep(random.uniform(0, 0.01))  # a kill may come before the act is on record


class Killed(Outside):
    def note(self, tool):
        act(f"{tool} {idempotency_key()}")
        return "done"

    def response(self, messages, results, files):
        act(f"request {results}", [text for role, text in messages if role != "tool"])
        return super().response(messages, results, files)

    def calls(self, results):
        rounds = ROUNDS if turn.get() == HIT else 1
        return [Call("notify", f"n{results}")] if 2 <= results < 2 + rounds else super().calls(results) if results < 2 else []

    def wording(self):
        return secrets.token_hex(3)

    async def pause(self):
        await asyncio.sleep(0.9)  # longer than the pause between two bubbles


outside = Killed()
answers = {who: FRAMEWORKS[FRAMEWORK](outside, stream=STREAM, approver=who) for who in ("asker", OWNER)}


async def chat(ctx):
    turn.set(ctx.event.text)
    await answers[OWNER if ctx.event.sender.handle.endswith(OF_OWNER) else "asker"](ctx)


bot = bot_of(outside, chat, LinqAgent(needs_approval=["charge"], meanwhile=MEANWHILE), attempts=25)
"""
IMPORTED: Final = {
    "pydantic-ai": "fake_pydantic_ai",
    "anthropic": "linqbot_agent.anthropic",
    "openai": "fake_openai",
    "langgraph": "scripted_langchain",
}
"""Each framework with a module that imports it."""
ASKED: Final = "May I charge? 👍 or yes, 👎 or no"
PARAGRAPHS: Final = ["A table is free at 8", "It is paid for", "The cook knows of it", "Enjoy your meal"]
ANSWER: Final = [ASKED, *PARAGRAPHS]
OWNER: Final = "+14159999999"
OF_OWNER: Final = ("0", "2", "4", "6", "8")
"""The ends of the handles of those for whom the owner approves."""
MEANWHILE: Final = "I have asked the owner"
ANSWER_OF_OWNER: Final = [MEANWHILE, *PARAGRAPHS]
"""What these people are sent. The question is sent to the owner."""
MOMENT: Final = "One moment …"
"""Said to those who wait for long. On a slow machine, many do."""
HIT: Final = "Hit me"
"""The message whose turn is killed again and again."""
HIT_BY: Final = "+14159999998"
"""The person who writes it."""
TOOLS: Final = {"reserve": 1, "charge": 1, "notify": 1}
"""The calls of each tool in a turn, in order."""
DONE: Final = "".join(f"\n\n[You have called the tool {tool} with {{}}. Its result was: done]" for tool in TOOLS)
"""What a model reads behind an earlier message of a person: what the tools did for it."""
AT_ONCE: Final = 6
PATIENCE_S: Final = 900.0
"""Seconds for which people wait after the last kill. Until then they wait without limit: Linq's retries of a webhook may
all come while the process starts."""
FEWEST_ACTS, MOST_ACTS = 4, 30
"""Acts of the bot and messages of people between two kills."""


class Act(NamedTuple):
    """Something that a bot did outside.

    Attributes:
        life: The process.
        turn: The text of the message that it answered.
        name: `request` with the number of results that the model was shown, or a tool with its key.
        messages: The texts of a request.
    """

    life: int
    turn: str
    name: str
    messages: Sequence[str] = ()


class Acts:
    """All that was done, in order, read from the file to which each process appends a line."""

    def __init__(self, file: Path) -> None:
        file.touch()
        self._file = file.open("rb")
        self._rest = b""
        self.all: list[Act] = []

    def read(self) -> list[Act]:
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        self.all += (Act(*json.loads(line)) for line in lines)
        return self.all

    def close(self) -> None:
        self._file.close()


@dataclass
class Report:
    """The result of a run. The lists and `dead_letters` must be empty.

    Attributes:
        hits: The kills of the one turn that is hit alone.
        of_owner: The turns in which the owner approves a call.
        doubled: The messages that a chat has too often, or should not have at all.
        made_again: The acts that a kill cut off, and that were made again.
        acted_twice: The calls of tools that acted under two keys, or not at all.
        misremembered: The requests that have shown to the model another conversation than the phone, or other work of tools.
    """

    framework: str = ""
    stream: bool = False
    kills: int = 0
    hits: int = 0
    people: int = 0
    turns: int = 0
    of_owner: int = 0
    acts: int = 0
    made_again: int = 0
    seconds: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    acted_twice: list[str] = field(default_factory=list)
    misremembered: list[str] = field(default_factory=list)
    dead_letters: int = 0

    def __str__(self) -> str:
        return (
            f"{self.framework}{', stream' if self.stream else ''}: {self.turns} turns, {self.of_owner} of them approved in "
            f"another chat, {self.acts} requests and tool calls, {self.kills} kills and {self.hits} of one turn "
            f"in {self.seconds} s: {len(self.lost)} messages lost, {len(self.doubled)} doubled, {len(self.disordered)} chats "
            f"out of order, {len(self.acted_twice)} effects wrong by key, {len(self.misremembered)} requests with another "
            f"history than the phone's, {len(self.repeated)} acts on record repeated, {self.dead_letters} dead letters; "
            f"{self.made_again} cut-off acts were made again"
        )

    @property
    def findings(self) -> list[str]:
        return [
            *self.lost,
            *self.doubled,
            *self.disordered,
            *self.repeated,
            *self.acted_twice,
            *self.misremembered,
            *(["dead letters"] if self.dead_letters else []),
        ]

    def figures(self) -> dict[str, Any]:
        """Return how many there are of each."""
        return {name: len(value) if isinstance(value, list) else value for name, value in asdict(self).items()}


class Guests:
    """People who write twice, approve what they are asked, and wait for the whole answers; and the owner, who approves too.

    Attributes:
        chats: By handle, the id of the chat.
        written: The number of messages that all have written.
    """

    def __init__(self, linq: str, http: httpx.AsyncClient) -> None:
        self._linq = linq
        self._http = http
        self._number = 0
        self._over_at: float | None = None
        self.chats: dict[str, str] = {}
        self.written = 0

    async def run(self, at_once: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._one_after_another())

    def end(self) -> None:
        """Begin with no more people. Those who wait lose patience after `PATIENCE_S`."""
        self._over_at = time.monotonic()

    async def _one_after_another(self) -> None:
        while self._over_at is None:
            self._number += 1
            handle = f"+1415{self._number:07}"
            await self.order(handle, f"A table for {handle}", f"Another one for {handle}")

    async def order(self, handle: str, *texts: str) -> None:
        """Let a person write each text when the one before has its answer."""
        for number, text in enumerate(texts):
            await self._write(handle, text)
            if not handle.endswith(OF_OWNER):
                if not await self._wait(handle, number * len(ANSWER) + 1):
                    return
                await self._write(handle, "yes")
            if not await self._wait(handle, (number + 1) * len(ANSWER)):
                return

    async def approve(self) -> None:
        """Let the owner say yes to each question, until the task is cancelled. The first question opens the owner's chat."""
        while True:
            if OWNER in self.chats:
                said = await self.read(OWNER)
                if sum(text.endswith(ASKED) for _, text in said) > sum(not is_ours for is_ours, _ in said):
                    await self._write(OWNER, "yes")
            elif found := (await self._get(f"v3/chats?to=%2B{OWNER[1:]}"))["chats"]:
                self.chats[OWNER] = str(found[0]["id"])
            await asyncio.sleep(0.3)

    async def _write(self, handle: str, text: str) -> None:
        self.chats[handle] = await crash.write(self._http, self._linq, handle, text)
        self.written += 1

    async def _wait(self, handle: str, messages: int) -> bool:
        """Wait until a person was sent a number of messages. Return False if the person has lost patience."""
        while sum(is_ours for is_ours, _ in await self.read(handle)) < messages:
            if self._over_at is not None and time.monotonic() > self._over_at + PATIENCE_S:
                return False
            await asyncio.sleep(0.3)
        return True

    async def read(self, handle: str) -> list[tuple[bool, str]]:
        """Return the texts of a chat, each with True if it is of the bot, without what it says to those who wait."""
        messages = (await self._get(f"emulator/chats/{self.chats[handle]}/messages"))["messages"]
        found = [(bool(each["is_from_me"]), str(each["parts"][0]["value"])) for each in messages]
        return [each for each in found if each[1] != MOMENT]

    async def _get(self, path: str) -> Any:
        answer = await self._http.get(f"{self._linq}/{path}", headers={"authorization": "Bearer crash"})
        return answer.raise_for_status().json()


def judge(report: Report, transcripts: Mapping[str, Sequence[tuple[bool, str]]], acts: Sequence[Act]) -> None:
    """Note in the report what is wrong with what people were sent, with what was done for them, and with what models read."""
    people = {handle: transcript for handle, transcript in transcripts.items() if handle != OWNER}
    report.people, report.acts = len(people), len(acts)
    asked = list[str]()  # the questions for the owner
    for handle, transcript in people.items():
        turns = [text for is_ours, text in transcript if not is_ours and text != "yes"]
        said = [text.partition(" (")[0] for is_ours, text in transcript if is_ours]
        report.turns += len(turns)
        expected = (ANSWER_OF_OWNER if handle.endswith(OF_OWNER) else ANSWER) * len(turns)
        if _has_each(report, handle, said, expected) and said != expected:
            report.disordered.append(handle)
        if handle.endswith(OF_OWNER):
            asked += [f"For {handle}: {ASKED}"] * len(turns)
        for turn in turns:
            _judge_turn(report, turn, transcript, [each for each in acts if each.turn == turn])
    report.of_owner = len(asked)
    shown = transcripts.get(OWNER, ())
    is_whole = _has_each(report, OWNER, [text for is_ours, text in shown if is_ours], asked)
    # The order in which the owner is asked about people is open, but a question waits for the answer to the one before.
    if is_whole and [is_ours for is_ours, _ in shown] != [True, False] * len(asked):
        report.disordered.append(OWNER)


def _has_each(report: Report, handle: str, said: Sequence[str], expected: Sequence[str]) -> bool:
    """Return True if a person has all messages that are expected, and no other. Note in the report which are wrong."""
    missing, more = Counter(expected) - Counter(said), Counter(said) - Counter(expected)
    report.lost += [f"{handle}: {each}" for each in missing.elements()]
    report.doubled += [f"{handle}: {each}" for each in more.elements()]
    return not missing and not more


def _judge_turn(report: Report, turn: str, transcript: Sequence[tuple[bool, str]], acts: Sequence[Act]) -> None:
    keys = Counter(name.split()[0] for name in {each.name for each in acts})
    calls = TOOLS | ({"notify": rounds_for(report.hits)} if turn == HIT else {})
    report.acted_twice += [f"{turn}: {tool}" for tool, count in calls.items() if keys[tool] != count]
    places, lives, reached = dict[str, float](), set[tuple[int, str]](), 0.0
    for each in acts:
        kind, _, number = each.name.partition(" ")
        report.made_again += each.name in places
        place = places.setdefault(each.name, float(number) if kind == "request" else int(reached) + 0.5)
        # The calls of one response may run side by side.
        if (each.life, each.name) in lives or place < int(reached):
            report.repeated.append(f"{turn}: {each.name}")
        lives.add((each.life, each.name))
        reached = max(reached, place)
        if kind == "request" and not _is_true(turn, transcript, each.messages, work_of_tools(report.framework)):
            report.misremembered.append(f"{turn}: {each.messages}")


def work_of_tools(framework: str) -> str:
    """Return what the texts of a request say behind each earlier message. The calls of pydantic-ai are calls, and no texts."""
    return "" if framework == "pydantic-ai" else DONE


def _is_true(turn: str, transcript: Sequence[tuple[bool, str]], messages: Sequence[str], work: str) -> bool:
    """Return True if a request has all that the phone showed up to the message, and behind it what was said of the answer.

    Args:
        work: The work of tools, as the texts of a request have it behind each earlier message that the bot has answered.
    """
    at = transcript.index((False, turn))
    said = itertools.takewhile(lambda each: each[0] or each[1] == "yes", transcript[at + 1 :])
    after = [text for _, text in said if text not in (ASKED, MEANWHILE, "yes")]
    before = [text if is_ours or text == "yes" else f"{text}{work}" for is_ours, text in transcript[:at]]
    known = "\n\n".join([*before, turn])
    whole = "\n\n".join([known, *after])
    shown = "\n\n".join(each for each in messages if each and not each.startswith("[You were cut off"))
    shown = shown.replace(f"{MOMENT}\n\n", "")
    return shown.startswith(known) and whole.startswith(shown)


def rounds_for(hits: int) -> int:
    """Return how often the agent calls its last tool in the turn that is hit: each hit must find something new under way.

    A call and its request would do for two hits, but on a busy machine more is done between two hits.
    """
    return hits


async def _kill(bot: crash.Served, dice: random.Random, ready: Callable[[], bool], limit_s: float) -> None:
    """Kill the bot a moment after something was done, or after a time limit."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while not ready():  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.002)
    await asyncio.sleep(dice.uniform(0, 0.02))
    await bot.kill()


async def _hit(bot: crash.Served, guests: Guests, acts: Acts, hits: int, dice: random.Random) -> None:
    """Kill the bot in one turn, each time when it does something new."""

    def done() -> set[str]:
        return {each.name for each in acts.read() if each.turn == HIT}

    seen = set[str]()
    ordering = asyncio.create_task(guests.order(HIT_BY, HIT))
    for _ in range(hits):
        await _kill(bot, dice, lambda: done() > seen or ordering.done(), PATIENCE_S)  # noqa: B023
        assert not ordering.done(), f"The turn has ended before it was hit {hits} times."
        seen = done()  # before the next process goes on with the turn
        await bot.start()
    await ordering


async def run(
    framework: str,
    *,
    stream: bool,
    kills: int,
    hits: int,
    seed: int = 0,
    at_once: int = AT_ONCE,
) -> Report:
    """Kill the bot of an agent while people, `at_once` at a time, write to it, and then `hits` times in one turn."""
    report, started, dice = Report(framework, stream, hits=hits), time.monotonic(), random.Random(seed)
    facts = {
        "SCRIPTED": str(SCRIPTED),
        "FRAMEWORK": framework,
        "STREAM": stream,
        "OWNER": OWNER,
        "OF_OWNER": OF_OWNER,
        "MEANWHILE": MEANWHILE,
        "HIT": HIT,
        "ROUNDS": rounds_for(hits),
    }
    code = "".join(f"{name} = {value!r}\n" for name, value in facts.items()) + BOT
    with tempfile.TemporaryDirectory(prefix="linqbot-crash-agent-") as folder:
        place = Path(folder)
        with contextlib.closing(Acts(place / "acts")) as acts:
            async with crash.house(place, code) as (bot, emulator, http), asyncio.TaskGroup() as group:
                await bot.up(http, "/readyz")
                await crash.subscribe(http, emulator.url, bot.url, place)
                guests = Guests(emulator.url, http)
                approving = group.create_task(guests.approve())
                writing = group.create_task(guests.run(at_once))
                for number in range(kills):
                    until = len(acts.read()) + guests.written + dice.randint(FEWEST_ACTS, MOST_ACTS)
                    await _kill(bot, dice, lambda: len(acts.read()) + guests.written >= until, 20)  # noqa: B023
                    await bot.start()
                    await bot.up(http, "/readyz")
                    report.kills += 1
                    if sys.stderr.isatty():
                        print(f"\r{number + 1}/{kills} kills", end="", file=sys.stderr)
                guests.end()
                await writing
                await _hit(bot, guests, acts, hits, dice)
                await crash.settled(http, bot.url)
                approving.cancel()
                # Read once more: a message may have been sent twice after its person had the whole answer.
                transcripts = {handle: await guests.read(handle) for handle in guests.chats}
                report.dead_letters = await crash.count_dead_letters(bot.environ["LINQBOT_STORAGE"])
            judge(report, transcripts, acts.read())
    report.seconds = round(time.monotonic() - started)
    return report


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--hits", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--framework", nargs="+", choices=IMPORTED, default=[*IMPORTED])
    parser.add_argument("--save", action="store_true", help="keep the figures in results/")
    given = parser.parse_args(arguments)
    sys.path.insert(0, str(SCRIPTED))
    forked.IMPORTED.extend(IMPORTED[each] for each in given.framework)
    conditions = Conditions.now("pydantic-ai-slim", "anthropic", "openai-agents", "langgraph")
    reports = list[Report]()
    for framework, stream in itertools.product(given.framework, (False, True)):
        how: Any = {"stream": stream, "kills": given.kills, "hits": given.hits, "seed": given.seed}
        report = asyncio.run(run(framework, **how))
        print(report, *report.findings[:20], sep="\n", flush=True)
        reports.append(report)
        if given.save:
            save("agents", conditions, [report.figures() for report in reports])
    sys.exit(any(report.findings for report in reports))


if __name__ == "__main__":
    main()
