"""`linqbot mcp` with the official client of the protocol, over standard input and output."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emulator_control import replies
from mcp import Client, StdioServerParameters
from patience import PATIENCE_S
from plugin_packages import install_plugin
from ports import free_port

pytestmark = [pytest.mark.process, pytest.mark.slow]

BOT = """
from linqbot import Bot, Context, MessageReceived
bot = Bot(typing=False)

@bot.on_message("menu")
async def menu(message: MessageReceived, ctx: Context) -> None:
    await ctx.reply("Soup.")

@bot.on_message("boom", attempts=1)
async def boom(message: MessageReceived, ctx: Context) -> None:
    raise ValueError
"""


async def test_an_agent_finds_the_reason_of_a_silence_in_few_calls(tmp_path: Path, command: Callable[..., Any]) -> None:
    (tmp_path / "bot.py").write_text(BOT)
    page = f"http://127.0.0.1:{free_port()}"
    dev = command("dev", "bot.py", "--port", page.rpartition(":")[2])
    dev.until(lambda: "Text your bot" in dev.said())
    line = ["-m", "linqbot", "mcp", "--dev", "--allow-writes", "--page", page]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LINQ_", "LINQBOT_"))}
    server = StdioServerParameters(
        command=sys.executable, args=line, env=environ | {"LINQBOT_OPERATOR": "Ann"}, cwd=tmp_path
    )
    async with Client(server) as agent:

        async def call(tool: str, **arguments: Any) -> Any:
            result = await agent.call_tool(tool, arguments)
            assert not result.is_error, result
            return result.structured_content

        for text in ("menu", "what", "boom"):
            await call("text", text=text)
        dev.until(lambda: "given up after attempt 1" in dev.said())
        assert replies(page) == ["Soup."]
        async with asyncio.timeout(PATIENCE_S):  # the report of a turn follows its line
            while '__name__ == "ValueError"' not in (source := (await call("copy_test"))["source"]):
                await asyncio.sleep(0.05)
        assert [line in source for line in ('phone.text("menu")', 'reply == "Soup."')] == [True, True]
        turns = (await call("conversation"))["turns"]
        assert [turn["reason"] for turn in turns if turn["outcome"] == "not_handled"] == ["no filter fits"]
        found = await call("why", who="+14155550142")
        said = [case["answer"] for case in found["cases"] if case["type"] == "message.received"]
        assert "No handler took it: no filter fits." in said
        (letter,) = (await call("waiting", kind="dead"))["rows"]
        assert await call("retry", delivery=letter["id"], reason="repaired") == {"retried": 1}
        for tool, wrong, what in (
            ("retry", {"delivery": "w.unknown", "reason": ""}, "is not a dead letter"),
            ("mute", {"who": "--all", "reason": ""}, "nor the id of a chat"),
            ("copy_test", {"person": "+14155550199"}, "Chat not found"),
            ("text", {"text": "hi", "person": "Dana"}, "must be an E.164 number"),
            ("move_clock", {"seconds": -5}, "greater than or equal to 0"),
        ):
            result = await agent.call_tool(tool, wrong)
            assert (result.is_error, what in str(result.content)) == (True, True), result
        assert (await call("mute", who="all", for_time="1h", reason="dinner"))["rows"][0]["reason"] == "dinner"
        assert len((await call("mutes"))["rows"]) == 1
        await call("unmute", who="all", reason="back")
        await call("send", to="+14155550142", text="Closed today.", reason="holiday")
        assert replies(page)[-1] == "Closed today."
        rows = (await call("waiting", kind="log"))["rows"]
        assert [(row["what"], row["reason"]) for row in rows] == [
            ("send", "holiday"),
            ("unmute", "back"),
            ("mute", "dinner"),
            ("retry", "repaired"),
        ]
        assert {row["who"] for row in rows} == {"Ann, by linqbot mcp"}
        (told,) = [
            each
            for each in (await call("conversation"))["messages_with_text_of_people"]
            if each["id"] == rows[0]["target"]
        ]
        assert told["chat_id"] == rows[0]["about"]
        assert (await call("explain", code="LQB4001"))["code"] == "LQB4001"
        before = (await call("move_clock", seconds=0))["now"]
        assert (await call("move_clock", seconds=3600))["now"] > before


async def test_without_a_page_a_tool_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    page = f"http://127.0.0.1:{free_port()}"
    line = ["-m", "linqbot", "mcp", "--dev", "--page", page]
    async with Client(
        StdioServerParameters(command=sys.executable, args=line, env=dict(os.environ), cwd=tmp_path)
    ) as agent:
        for tool, arguments in (
            ("text", {"text": "hi"}),
            ("conversation", {}),
            ("copy_test", {}),
            ("move_clock", {"seconds": 1}),
        ):
            result = await agent.call_tool(tool, arguments)
            assert result.is_error
            assert f"No page of linqbot dev answers at {page}. Start linqbot dev" in str(result.content)


async def test_a_client_learns_of_each_tool_whether_it_changes_something_and_can_be_taken_back(tmp_path: Path) -> None:
    line = ["-m", "linqbot", "mcp", "--dev", "--allow-writes"]
    server = StdioServerParameters(command=sys.executable, args=line, env=dict(os.environ), cwd=tmp_path)
    async with Client(server) as agent:
        tools = (await agent.list_tools()).tools
    hints = {each.name: each.annotations for each in tools if each.title and each.annotations}
    assert len(hints) == len(tools) == 13
    reading = {name for name, hint in hints.items() if hint.read_only_hint}
    assert reading == {"why", "waiting", "mutes", "explain", "conversation", "copy_test"}
    assert {name for name, hint in hints.items() if hint.destructive_hint} == {"unmute", "retry", "answer", "send"}
    assert {name for name, hint in hints.items() if hint.idempotent_hint} == {*reading, "mute", "unmute"}


SHOP = """
from linqbot import hookimpl
from linqbot.errors import LinqbotError
from linqbot.hookspecs import AgentTool

@hookimpl
def register_tools(allow_writes):
    async def order(number: int) -> dict[str, str]:
        \"\"\"Return an order of the shop.\"\"\"
        if number < 0:
            raise ValueError("a secret")
        if number == 0:
            raise LinqbotError("There is no order 0.")
        return {"order": str(number)}

    async def cancel(number: int) -> None:
        \"\"\"Cancel an order.\"\"\"

    reads = [AgentTool(order, "Look an order up", read_only=True)]
    return [*reads, AgentTool(cancel, "Cancel an order", destructive=True)] if allow_writes else reads
"""


async def test_a_plugin_adds_tools_and_its_errors_of_linqbot_are_shown(tmp_path: Path) -> None:
    install_plugin(tmp_path, "shop", SHOP)
    install_plugin(
        tmp_path, "broken", "from linqbot import hookimpl\n@hookimpl\ndef register_tools(): raise ValueError"
    )
    environ = os.environ | {"PYTHONPATH": str(tmp_path), "LINQBOT_PLUGINS": "shop,broken"}
    line = ["-m", "linqbot", "mcp"]
    async with Client(StdioServerParameters(command=sys.executable, args=line, env=environ, cwd=tmp_path)) as agent:
        tools = {each.name: each for each in (await agent.list_tools()).tools}
        assert set(tools) == {"why", "waiting", "mutes", "explain", "order"}, "those that write are not asked for"
        assert tools["order"].description == "Return an order of the shop."
        found = await agent.call_tool("order", {"number": 7})
        assert found.structured_content == {"order": "7"}
        refused = await agent.call_tool("order", {"number": 0})
        assert (refused.is_error, "There is no order 0." in str(refused.content)) == (True, True)
        failed = await agent.call_tool("order", {"number": -1})
        assert (failed.is_error, "a secret" in str(failed.content)) == (True, False)
