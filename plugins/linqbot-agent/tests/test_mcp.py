"""Agents of each framework call the tools of two MCP servers: one of another process, one that is reached over HTTP."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from answers import answers

pytest.importorskip("mcp", reason="The package mcp is not installed")

import uvicorn
from fake_mcp_server import odd_server
from fake_provider import Reply
from frameworks import FRAMEWORKS, PARAGRAPHS, Answer, Outside, bot_of, each_framework, without_numbers  # noqa: F401 - a fixture
from linqbot_agent import LinqAgent, run
from linqbot_agent.mcp import McpServer, with_key, without_secrets
from mcp import MCPError
from mcp.server.mcpserver import Context as McpContext
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import INVALID_PARAMS, CallToolResult, ImageContent, TextContent, ToolAnnotations
from patience import PATIENCE_S
from pydantic_ai import Agent
from real_clients import CLIENTS, asking, calls_first
from scripted_agents import Script, calls, kinds, says, tool
from structlog.testing import capture_logs

from linqbot import BotError, Context
from linqbot.testing import HandlerFailed, Phone, killed_between_calls, talking

STDIO_SERVER = Path(__file__).with_name("stdio_server.py")


@dataclass
class Shop:
    """An MCP server over HTTP, whose tools take a bearer token.

    Attributes:
        acts: For each call, the tool and its key.
        tokens: The tokens that it knows.
        refuses: The number of calls that are still to be answered with a 502, after they have acted.
        result: What `charge` returns, or raises.
        act: What it does besides.
    """

    port: int = 0
    acts: list[tuple[str, str]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=lambda: {"first"})
    refuses: int = 0
    result: Any = "charge is done"
    act: Callable[[], Awaitable[object]] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def server(self) -> MCPServer:
        server = MCPServer("shop", log_level="CRITICAL")

        @server.tool(annotations=ToolAnnotations(destructive_hint=True, read_only_hint=True))
        async def charge(ctx: McpContext[Any, Any]) -> Any:
            """Charge the card."""
            meta = dict(ctx.request_context.meta or {})
            self.acts.append(("charge", str(meta["idempotency-key"])))
            if self.act is not None:
                await self.act()
            if isinstance(self.result, Exception):
                raise self.result
            return self.result

        return server

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        inner = self.server().streamable_http_app()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await inner(scope, receive, send)
                return
            token = dict(scope["headers"]).get(b"authorization", b"").decode().removeprefix("Bearer ")
            before = len(self.acts)

            async def answer(message: Any) -> None:
                if self.refuses and len(self.acts) > before:
                    return
                await send(message)

            if token in self.tokens:
                await inner(scope, receive, answer)
            if token not in self.tokens or (self.refuses and len(self.acts) > before):
                status = 502 if token in self.tokens else 401
                self.refuses -= status == 502
                await send({"type": "http.response.start", "status": status, "headers": []})
                await send({"type": "http.response.body", "body": b"<html>secret page</html>"})

        bound = socket.create_server(("127.0.0.1", self.port))
        self.port = bound.getsockname()[1]
        # Without WebSockets: older versions of uvicorn import a module for them that warns.
        config = uvicorn.Config(app, ws="none", log_level="critical", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([bound]))
        while not server.started:
            assert not serving.done(), serving
            await asyncio.sleep(0.005)
        try:
            yield
        finally:
            server.should_exit = True
            await serving


async def access_token() -> str:
    return "first"


@dataclass
class Servers:
    folder: Path
    shop: Shop

    def __call__(self) -> list[McpServer]:
        line = [sys.executable, str(STDIO_SERVER), str(self.folder)]
        return [McpServer("ledger", line), McpServer("shop", self.shop.url, token=access_token, timeout_s=PATIENCE_S)]

    @property
    def acts(self) -> Counter[tuple[str, ...]]:
        ledger = self.folder / "acts"
        lines = ledger.read_text().splitlines() if ledger.exists() else []
        return Counter([*self.shop.acts, *(tuple(line.split()) for line in lines)])

    def forget(self) -> None:
        self.shop.acts.clear()
        (self.folder / "acts").unlink(missing_ok=True)


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    shop = Shop()
    async with shop.running():
        yield Servers(tmp_path, shop)


CALLS = ("ledger_reserve", "shop_charge", "ledger_notify")
ASKED = "May I ledger notify? 👍 or yes, 👎 or no"


def without_approval() -> LinqAgent:
    return LinqAgent(unapproved=["ledger_notify"])


@pytest.mark.process
@pytest.mark.slow
async def test_an_agent_that_is_killed_at_any_point_calls_tools_of_servers_once_by_key(servers: Servers) -> None:
    # `test_frameworks` kills an agent of each framework.
    framework, outside, points = FRAMEWORKS["pydantic-ai"], Outside(names=CALLS[:2], paragraphs=PARAGRAPHS[:1]), 0
    bot = bot_of(outside, framework(outside, servers=servers()))

    async def scenario(phone: Phone) -> None:
        outside.reset()
        servers.forget()
        await phone.text("A table for two, please")

    async for phone in killed_between_calls(bot, scenario):
        points += 1
        assert without_numbers(phone.messages[1:]) == PARAGRAPHS[:1], phone.killed
        assert sorted(tool for tool, _ in servers.acts) == ["charge", "reserve"], phone.killed
        # A kill between an act and its record repeats that act, with its key. The tools may run side by side.
        assert sum(servers.acts.values()) <= 4, phone.killed
    assert points >= 20, points


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("said", ["yes", "no"])
async def test_a_tool_that_the_server_marks_as_destructive_needs_approval(
    framework: Answer, servers: Servers, said: str
) -> None:
    outside = Outside(names=CALLS)
    async with talking(bot_of(outside, framework(outside, servers=servers()))) as phone:
        assert await answers(phone, "A table for two, please") == [ASKED]
        await phone.restart()
        assert without_numbers(await answers(phone, said)) == PARAGRAPHS
    notified = ["notify"] if said == "yes" else []
    assert sorted(tool for tool, _ in servers.acts.elements()) == ["charge", *notified, "reserve"]


@pytest.mark.process
@pytest.mark.slow
async def test_a_call_without_an_answer_is_made_again_with_its_key_and_nothing_is_lost(
    framework: Answer, servers: Servers
) -> None:
    """One server dies behind an act, a proxy of the other one answers in its place."""
    outside = Outside(names=CALLS)
    (servers.folder / "die").touch()
    servers.shop.refuses = 1
    async with talking(bot_of(outside, framework(outside, servers=servers()), without_approval())) as phone:
        assert without_numbers(await answers(phone, "A table for two, please")) == PARAGRAPHS
        assert await phone.errors() == []
        assert len(servers.acts) == 3
        assert {tool: count for (tool, _), count in servers.acts.items()} == {"reserve": 2, "charge": 2, "notify": 1}


@pytest.mark.process
async def test_a_server_may_be_away_and_its_token_may_change_while_the_bot_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    framework, shop, token = FRAMEWORKS["pydantic-ai"], Shop(), tmp_path / "token"
    servers, outside = Servers(tmp_path, shop), Outside(names=CALLS)
    token.write_text("first\n")
    async with shop.running():
        given = [servers()[0], McpServer("shop", shop.url, token=token)]
    plugin = LinqAgent(unapproved=["ledger_notify"], outage="defer")
    async with talking(bot_of(outside, framework(outside, servers=given), plugin, attempts=1)) as phone:
        assert await answers(phone, "A table for two, please") == []
        async with shop.running():
            await phone.advance(60)
            assert len(await phone.replies()) == 4
            shop.tokens = {"second"}
            assert await answers(phone, "A table for two, please") == []
            token.write_text("second\n")
            await phone.advance(60)
            assert len(await phone.replies()) == 4
        async with shop.running():  # it was restarted
            assert len(await answers(phone, "A table for two, please")) == 4
        assert await phone.errors() == []
    assert len(servers.acts) == 9
    assert set(servers.acts.values()) == {1}
    assert "Bearer" not in caplog.text + "".join(capfd.readouterr())
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_while_a_server_is_away_the_person_hears_an_apology_at_once(framework: Answer) -> None:
    shop, outside = Shop(), Outside(names=("shop_charge",))
    async with shop.running():
        server = McpServer("shop", shop.url, token=access_token)
    bot = bot_of(outside, framework(outside, servers=[server]), LinqAgent(sorry="Sorry."), attempts=1)
    with capture_logs() as log:
        async with talking(bot) as phone:
            for said in (["Sorry."], []):  # once an hour
                assert await answers(phone, "A table for two, please") == said
            async with shop.running():
                assert without_numbers(await answers(phone, "A table for two, please")) == PARAGRAPHS
            assert await phone.errors() == []
    lines = [line["why"] for line in log if line["event"] == "agent.server_away"]
    assert lines == ["The MCP server shop did not answer: ConnectError"] * 2


async def test_with_defer_a_call_waits_for_its_server_that_has_gone_away_and_has_the_same_key(
    framework: Answer,
) -> None:
    shop, outside = Shop(), Outside(names=("reserve", "charge", "shop_charge"))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(shop.running())
        outside.acts = stack.aclose  # while `reserve` is called
        server = McpServer("shop", shop.url, token=access_token)
        bot = bot_of(outside, framework(outside, servers=[server]), LinqAgent(outage="defer"), attempts=1)
        async with talking(bot) as phone:
            assert await answers(phone, "A table for two, please") == []
            shop.refuses = 1
            async with shop.running():
                await phone.advance(60)
                assert without_numbers(await phone.replies()) == PARAGRAPHS
            assert await phone.errors() == []
    assert len(shop.acts) == len(outside.effects) == 2
    assert len({*shop.acts}) == 1


@pytest.mark.process
async def test_a_call_that_ends_its_server_each_time_is_a_failure_also_with_defer(tmp_path: Path) -> None:
    script = Script(calls(tool("ledger_reserve", "c1")))
    ledger = McpServer("ledger", [sys.executable, str(STDIO_SERVER), str(tmp_path)])
    agent = Agent(script.model)
    (tmp_path / "die").write_text("always")
    bot = bot_of(Outside(), lambda ctx: run(agent, ctx, servers=[ledger]), LinqAgent(outage="defer"), attempts=2)
    async with talking(bot) as phone:
        await phone.text("A table for two, please")
        with pytest.raises(HandlerFailed, match="1 more failed"):
            await phone.advance(60)
        assert len(await phone.dead_letters()) == 1
    acts = (tmp_path / "acts").read_text().splitlines()
    assert len(acts) >= 3
    assert len({*acts}) == 1


async def test_what_a_server_shows_is_known_and_its_tools_act_in_the_chat_only(framework: Answer) -> None:
    known, leak = "https://shop.example/menu", "https://evil.example/leak?q=secret"
    outside = Outside(paragraphs=[f"See {leak} !", f"Or {known} !"], names=("reserve", "shop_charge", "notify"))
    shop = Shop(result=f"The menu: {known}")
    answer = framework(outside, servers=[McpServer("shop", shop.server())])

    async def offering(ctx: Context) -> None:
        shop.act = lambda: ctx.bot.send("Free soup!", to="+14155550199")
        await answer(ctx)

    for elsewhere in ([], ["shop_charge"]):
        plugin = LinqAgent(known_links=True, elsewhere=elsewhere)
        async with talking(bot_of(outside, offering, plugin)) as phone:
            await phone.text("The menu, please")
            menu = known if elsewhere else "[address removed]"  # a result that was refused is not shown
            assert without_numbers(await phone.replies()) == ["See [address removed] !", f"Or {menu} !"]
            assert phone.person("+14155550199").messages == ["Free soup!"] * len(elsewhere)


async def test_the_model_reads_texts() -> None:
    picture = ImageContent(type="image", data="aGk=", mime_type="image/png")
    for result, read in (
        ("Paid.", "Paid."),
        ({"cents": 5}, '{\n  "cents": 5\n}'),
        ([TextContent(type="text", text="See:"), picture], "See:\n\n[image/png, which cannot be shown here]"),
        (CallToolResult(content=[], structured_content={"cents": 5}), '{"cents":5}'),
        (ToolError("No table. See /srv/shop/db.sqlite"), "Error executing tool charge: No table. See [removed]"),
        (MCPError(INVALID_PARAMS, "No password=hunter2"), "No password=[removed]"),
    ):
        script = Script(calls(tool("shop_charge", "c1")), says("Done."))
        agent, shop = Agent(script.model), Shop(result=result)
        bot = bot_of(Outside(), partial(run, agent, servers=[McpServer("shop", shop.server())]))
        async with talking(bot) as phone:
            assert await answers(phone, "Charge") == ["Done."]
        assert kinds(script.requests[-1])[-1] == f"tool-return: {read}"


def test_the_error_of_a_server_is_shown_without_paths_and_secrets() -> None:
    for said, shown in (
        ("No table at 8, and/or at 9", "No table at 8, and/or at 9"),
        ("2026-11-26T10:00:00Z is past, the token expired", "2026-11-26T10:00:00Z is past, the token expired"),
        ("[Errno 2] No such file: '/srv/My Ledger/db.sqlite'", "[Errno 2] No such file: '[removed]'"),
        ("open C:\\Users\\bob\\x.txt failed", "open [removed] failed"),
        ("srv/ledger/db.sqlite, ../x, ~/.ssh/id: missing", "[removed], [removed], [removed]: missing"),
        ("Traceback (most recent call last):\n  File 'a.py', line 3\n    key = x\nValueError: bad", "ValueError: bad"),
        ("connect postgres://u:hunter2@db.internal/x refused", "connect [removed] refused"),
        ("Authorization: Bearer hunter2", "Authorization: [removed]"),
        ("bearer hunter2 is bad", "[removed] is bad"),
        ('{"api_key": "hunter2", "hour": 8}', '{"api_key": "[removed]", "hour": 8}'),
        ("password=hunter2; hour=8", "password=[removed]; hour=8"),
        ("sk-ant-api03-AbCdEf0123456789xyz is unknown", "[removed] is unknown"),
        ("x" * 9000, "x" * 2000),
    ):
        assert without_secrets(said) == shown


@pytest.mark.parametrize(
    ("server_id", "how"),
    [("https://ledger.example/mcp", {}), ("", {}), ("a_b", {}), ("ledger", {"token": "hunter2"})],
)
def test_a_server_without_an_id_or_with_its_token_in_the_code_is_refused(server_id: str, how: Any) -> None:
    with pytest.raises(BotError, match="McpServer") as refused:
        McpServer(server_id, "https://ledger.example/mcp", **how)
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(McpServer("ledger", "https://ledger.example/mcp", token=lambda: "hunter2"))


def test_a_command_that_is_one_text_is_refused_with_its_words() -> None:
    with pytest.raises(BotError, match=r'Give a command as its words: \["python"'):
        McpServer("menu", "python menu_server.py")


async def test_a_server_that_is_made_for_each_message_is_refused() -> None:
    agent, shop = Agent(Script(says("Hi."), says("Hi.")).model), Shop()
    bot = bot_of(Outside(), lambda ctx: run(agent, ctx, servers=[McpServer("shop", shop.server())]), attempts=1)
    async with talking(bot) as phone:
        assert await answers(phone, "Hi") == ["Hi."]
        await phone.text("Hi")
        (error,) = await phone.errors()
        assert isinstance(error, BotError)
        assert "outside of the handler" in str(error)


async def test_a_compiled_graph_takes_no_servers() -> None:
    pytest.importorskip("langchain", reason="langchain is not installed")
    from langchain.agents import create_agent
    from linqbot_agent import langgraph
    from scripted_langchain import model_of

    graph = create_agent(langgraph.durable(model_of(Outside())), [])
    shop = McpServer("shop", Shop().server())
    async with talking(bot_of(Outside(), lambda ctx: langgraph.run(graph, ctx, servers=[shop]))) as phone:
        await phone.text("Hi")
        (error,) = await phone.errors()
        assert "create_agent(durable(model), [durable(book), *tools])" in str(error)


async def test_the_server_of_another_toolset_gets_the_key_of_each_call() -> None:
    given = list[Any]()

    async def call_tool(name: str, arguments: dict[str, Any], *, metadata: dict[str, Any]) -> str:
        given.append((name, arguments, metadata))
        return "booked"

    agent = Agent(Script(calls(tool("book", "c1")), says("Done.")).model)

    @agent.tool_plain
    async def book() -> Any:
        return await with_key(None, call_tool, "book", {"hour": 8})

    async with talking(bot_of(Outside(), lambda ctx: run(agent, ctx))) as phone:
        assert await answers(phone, "Book") == ["Done."]
    ((name, arguments, metadata),) = given
    assert (name, arguments, [*metadata]) == ("book", {"hour": 8}, ["idempotency-key"])


ODD_RESULTS = {
    r'{"content": [{"type": "text", "text": "cut \ud83d here"}]}': "cut \ufffd here",
    r'{"content": [{"type": "text", "text": "\ud83d"}], "isError": true}': "\ufffd",
    '{"content": [{"type": "text", "text": "cut \xed\xa0\xbd here"}]}': "cut ",
    '{"content": [], "structuredContent": {"wind": 1e999}}': "Infinity",
    '{"content": [{"type": "hologram"}]}': "cannot be read",
    '{"content": [{"type": "text", "text": 5}]}': "cannot be read",
    '{"content": ' + "[" * 300 + "]" * 300 + "}": "cannot be read",
    "{}": "cannot be read",
    "null": "cannot be read",
    '"text"': "cannot be read",
}
"""Results that no client reads, or whose text no JSON holds, and what the model reads of each."""


async def test_a_server_whose_answer_cannot_be_read_is_called_once(subtests: pytest.Subtests) -> None:
    pytest.importorskip("anthropic", reason="anthropic is not installed")
    async with odd_server() as odd:
        ledger = McpServer("ledger", odd.url)
        answer = calls_first("ledger_act", "{}", Reply(["Done."]))
        async with asking(CLIENTS["anthropic"], answer, servers=[ledger]) as (phone, model):
            for result, read in ODD_RESULTS.items():
                for odd.as_stream in (False, True):
                    with subtests.test(result, as_stream=odd.as_stream):
                        odd.result, odd.acts = result, 0
                        assert await answers(phone, f"Close it, {len(model.requests)}") == ["Done."]
                        assert read in model.requests[-1].results[0]
                        assert odd.acts == 1
            assert await phone.errors() == []
    assert "A \ufffd tool" in str(model.requests[0].body)


@pytest.mark.process
async def test_a_command_whose_answer_cannot_be_read_is_called_once(tmp_path: Path, subtests: pytest.Subtests) -> None:
    pytest.importorskip("anthropic", reason="anthropic is not installed")
    menu = McpServer("menu", [sys.executable, str(STDIO_SERVER), str(tmp_path)])
    answer = calls_first("menu_reserve", "{}", Reply(["Done."]))
    async with asking(CLIENTS["anthropic"], answer, servers=[menu]) as (phone, model):
        for number, (result, read) in enumerate(ODD_RESULTS.items(), 1):
            with subtests.test(result):
                (tmp_path / "result").write_text(result)
                assert await answers(phone, f"Reserve {number}") == ["Done."]
                assert read in model.requests[-1].results[0]
                assert len((tmp_path / "acts").read_text().splitlines()) == number
        assert await phone.errors() == []
