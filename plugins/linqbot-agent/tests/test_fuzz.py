"""A fuzzer of each boundary of an agent: texts, arguments, results, reasons, HTTP answers, MCP servers and the stored past.

Each case is made of odd data by a seeded chance, and asked of the real client of each framework. Several cases are the messages of
one chat, so that each meets what the earlier ones have left; then a plain message must be answered. No case ends in an error of
the handler, a dead letter, a second call of a tool, a chat that stays silent, or words that are not the model's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import odd_data
import pytest
from fake_mcp_server import OddServer, odd_server
from fake_provider import Asked, Raw, Reply, providing
from frameworks import Call, Outside, bot_of
from linqbot_agent import LinqAgent, idempotency_key
from linqbot_agent.foreign_data import clean
from linqbot_agent.memory import ACTED, TALK, TOOL_WORK, Kept
from real_clients import CLIENTS, SORRY, Client, each_client  # noqa: F401 - a fixture

from linqbot import Context
from linqbot.testing import Phone, talking

OWN: Final = (SORRY, "Done.", "More?", "Booked.")
"""What linqbot says itself: the apology, and that something was done; and what models say at the end."""
LAST: Final = "And you?"


@dataclass
class Case:
    """A case.

    Attributes:
        replies: What the model answers, request by request; then it says "Booked."
        result: What the tool returns.
        of_server: The result of the tool of the MCP server, as JSON text.
        past: What is stored of earlier runs.
        says: What the person writes.
    """

    replies: Sequence[Reply | Raw] = ()
    result: Any = "ok"
    of_server: str = '{"content": []}'
    past: list[Any] | None = None
    says: str = ""


def of_text(chance: Random) -> Case:
    said = odd_data.text(chance)
    calls = [Call("act", "c1")] if chance.random() < 0.2 else []
    return Case([Reply(odd_data.in_pieces(chance, said), calls)])


def of_arguments(chance: Random) -> Case:
    tool = chance.choice(("act", "act", "act", "odd_act", "unknown", ""))
    calls = [Call(tool, f"c{number}", odd_data.arguments(chance)) for number in range(chance.choice((1, 1, 2)))]
    return Case([Reply(calls=calls)])


def of_result(chance: Random) -> Case:
    return Case([Reply(calls=[Call("act", "c1")])], result=odd_data.result(chance))


def of_reason(chance: Random) -> Case:
    stops = (
        "max_tokens",
        "refusal",
        "pause",
        "model_context_window_exceeded",
        "length",
        "other",
        "tool_use",
        "end_turn",
    )
    said = chance.choice(((), ("Half ", "of it."), ("",), (" \n",)))
    calls = [Call("act", "c1")] if chance.random() < 0.5 else []
    return Case([Reply(said, calls, stop=chance.choice(stops)), *[Reply()] * chance.randint(0, 2)])


def of_http(chance: Random) -> Case:
    call = [Reply(calls=[Call("act", "c1")])] if chance.random() < 0.3 else []
    return Case([*call, *(odd_data.http_answer(chance) for _ in range(chance.choice((1, 1, 3))))])


def of_spoiled(chance: Random) -> Case:
    calls = [Call("act", "c1", '{"note": "x"}')] if chance.random() < 0.5 else []
    spoiled = odd_data.spoiling(chance, likely=chance.choice((0.2, 1.0)))
    return Case([Reply(("Half ", "of ", "it."), calls, spoiled=spoiled)])


def of_server(chance: Random) -> Case:
    return Case([Reply(calls=[Call("odd_act", "c1")])], of_server=odd_data.server_result(chance))


def of_past(chance: Random) -> Case:
    says = re.sub("[\ud800-\udfff\0]", "", odd_data.text(chance))
    return Case(past=odd_data.stored(chance), says=says)


BOUNDARIES: Final[Sequence[Callable[[Random], Case]]] = (
    *(of_text, of_arguments, of_result, of_reason, of_http, of_spoiled, of_server, of_past),
)


@dataclass
class Fuzzed:
    """The model, the tools and the stored past of the case that runs.

    Attributes:
        acts: How often the tool has acted, by key.
        calls: The calls of tools in the responses so far.
        written: The texts of the responses so far.
    """

    server: OddServer
    case: Case = field(default_factory=Case)
    acts: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    written: str = ""
    _replies: Iterator[Reply | Raw] = field(default_factory=lambda: iter(()))

    def begin(self, case: Case) -> None:
        self.case, self._replies = case, iter(case.replies)
        self.acts.clear()
        self.calls, self.written = 0, "".join(OWN)
        self.server.result, self.server.acts = case.of_server, 0

    def answer(self, asked: Asked) -> Reply | Raw:
        last = next((text for role, text in reversed(asked.said) if role == "user"), "")
        if last.endswith(LAST):
            return Reply(["Fine."])
        found = next(self._replies, Reply(["Booked."]))
        if isinstance(found, Reply):
            assert not callable(found.pieces)
            self.calls += len(found.calls)
            self.written += "".join(found.pieces)
        return found

    async def act(self, cents: int = 5, note: str = "") -> object:
        """Act."""
        self.acts[idempotency_key()] += 1
        return self.case.result

    async def remember(self, ctx: Context) -> None:
        if self.case.past is not None:
            for name in (ACTED, TALK, TOOL_WORK):
                kept = await ctx.state.person(Kept, name=name)
                kept.by_message["earlier"] = clean(self.case.past)

    def faults(self, said: Sequence[str]) -> list[str]:
        """Return what a case has done that it must not."""
        most, found = 2 * self.calls if any(map(_is_spoiled, self.case.replies)) else self.calls, list[str]()
        if max(self.acts.values(), default=0) > 1 or len(self.acts) + self.server.acts > most:
            found.append(f"{self.acts.total()} and {self.server.acts} acts, and {self.calls} calls")
        if said.count(SORRY) > 1:
            found.append("two apologies")
        letters = _letters(clean(self.written))
        if foreign := [each for each in said if _letters(each) not in letters and not self._is_spoiled_text(each)]:
            found.append(f"words {foreign}")
        return found

    def _is_spoiled_text(self, said: str) -> bool:
        """Return True for words that a spoiled field may have made."""
        words = {*re.findall(r"\w+", clean(self.written)), "other", "Half", "of", "it", "text", "5", "x", "a", "true"}
        return any(map(_is_spoiled, self.case.replies)) and words.issuperset(re.findall(r"\w+", said))


def _is_spoiled(reply: Reply | Raw) -> bool:
    return isinstance(reply, Reply) and "spoiling" in getattr(reply.spoiled, "__qualname__", "")


def _letters(text: str) -> str:
    return re.sub(r"[\W_]|amp", "", text)


async def fuzz(client: Client, seeds: range, *, stream: bool) -> list[str]:
    """Return what the cases of some seeds have done that they must not."""
    found = list[str]()
    async with odd_server() as server:
        fuzzed = Fuzzed(server)
        async with providing(fuzzed.answer) as model:
            servers = servers_of(server)
            inner = client(model, [fuzzed.act], stream=stream, servers=servers)

            async def answer(ctx: Context) -> None:
                await fuzzed.remember(ctx)
                await inner(ctx)

            for memory in ("chat", "person"):
                plugin = LinqAgent(sorry=SORRY, done="Done.", more="More?", memory=memory, history=3)
                async with talking(bot_of(Outside(), answer, plugin)) as ann:
                    for seed in (each for each in seeds if each % 2 == (memory == "person")):
                        found += await chat(fuzzed, ann.person(f"+1415{seed:07}"), seed)
                    found += [f"dead letter {each.error}" for each in await ann.dead_letters()]
    return found


def servers_of(server: OddServer) -> list[Any]:
    from linqbot_agent.mcp import McpServer

    return [McpServer("odd", server.url, timeout_s=20)]


async def chat(fuzzed: Fuzzed, phone: Phone, seed: int) -> list[str]:
    chance, found = Random(seed), list[str]()
    for place, boundary in enumerate(chance.sample(BOUNDARIES, len(BOUNDARIES))):
        case = boundary(chance)
        fuzzed.begin(case)
        await phone.text(f"{case.says}, please {seed}.{place}")
        errors = await phone.errors()
        said = [] if errors else [str(each) for each in await phone.replies()]
        wrong = [*map(repr, errors), *fuzzed.faults(said)]
        found += [f"seed {seed}, {boundary.__name__}: {each} in {_shown(case)}" for each in wrong]
        if errors:
            return found
    fuzzed.begin(Case())
    await phone.text(LAST)
    errors = await phone.errors()
    said = [] if errors else [str(each) for each in await phone.replies()]
    return found if said == ["Fine."] else [*found, f"seed {seed}: then {errors or said}"]


def _shown(case: Case) -> str:
    try:
        return repr(case)[:500]
    except ValueError:
        return "a case with a number that Python does not show"


QUICK: Final = 1
"""The chats of the quick test with each client; the others are in the slow one. Together they are 2,000 cases."""
CHATS: Final = 2000 // (len(BOUNDARIES) * 2 * len(CLIENTS))


@pytest.mark.parametrize("stream", [False, True])
async def test_odd_data_at_any_boundary_does_no_harm(client: Client, stream: bool) -> None:
    pytest.importorskip("mcp", reason="The package mcp is not installed")
    assert await fuzz(client, range(QUICK), stream=stream) == []


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
async def test_odd_data_at_any_boundary_does_no_harm_in_many_chats(client: Client, stream: bool) -> None:
    pytest.importorskip("mcp", reason="The package mcp is not installed")
    assert await fuzz(client, range(QUICK, CHATS), stream=stream) == []
