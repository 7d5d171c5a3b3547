"""The process of an agent is killed with SIGKILL, again and again: nothing on record is repeated, all is said once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import crash
import pytest
from killed_once import DYING, killed_once

BOT = (
    DYING
    + """
import asyncio

from linqbot_agent import LinqAgent, run
from pydantic_ai import Agent, ModelResponse, ModelRetry, TextPart, ToolCallPart
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from linqbot.storage.sqlite.storage import SQLiteStorage

dying(SQLiteStorage, "begin", "settle", "finish")
ACTS = Path("acts")
bot = Bot(read=False, typing=False, max_age_s=None, plugins=[LinqAgent()])


def act(name: str) -> None:
    with ACTS.open("a") as file:
        file.write(name + "\\n")
    reached("act")


def respond(messages, info):
    step = sum(isinstance(message, ModelResponse) for message in messages)
    act(f"request {step}")
    return ModelResponse(parts=[
        [ToolCallPart("book", {"hour": 7}, "c1"), ToolCallPart("weather", {}, "c2")],
        [ToolCallPart("book", {"hour": 8}, "c3")],
        [TextPart("One.\\n\\nTwo.\\n\\nThree.\\n\\nFour.")],
    ][step])


async def write(messages, info):
    \"\"\"Write the response in paragraphs. After it was cut off, go on behind what was said.\"\"\"
    said = ""
    if isinstance(messages[-1].parts[-1].content, str) and "You were cut off" in messages[-1].parts[-1].content:
        said, messages = messages[-2].parts[0].content, messages[:-2]
    for number, part in enumerate(respond(messages, info).parts):
        if isinstance(part, ToolCallPart):
            yield {number: DeltaToolCall(name=part.tool_name, json_args=part.args_as_json_str(), tool_call_id=part.tool_call_id)}
            continue
        for piece in part.content.split("\\n\\n"):
            if piece not in said:
                yield piece + "\\n\\n"
                await asyncio.sleep(0.9)  # longer than the pause between two bubbles


agent = Agent(FunctionModel(respond, stream_function=write))


@agent.tool_plain
async def book(hour: int) -> str:
    act(f"book {hour}")
    if hour == 7:
        raise ModelRetry("Try 8.")
    return "booked"


@agent.tool_plain
async def weather() -> str:
    act("weather")
    return "fine"


@bot.on_message
async def chat(message: MessageReceived, ctx: Context) -> None:
    await run(agent, ctx, stream=STREAM, progress=None)  # a busy machine needs longer than the 5 s after which it is said
"""
)
ACTS = {"request 0", "request 1", "request 2", "book 7", "book 8", "weather"}
KILLS = range(2, 41, 15)
"""The points at which the agent is killed. `test_frameworks` and `test_streaming` kill agents at each one, in their process."""


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
async def test_a_killed_agent_repeats_nothing_on_record_and_says_everything_once(stream: bool, tmp_path: Path) -> None:
    async with crash.house(tmp_path, f"STREAM = {stream}\n{BOT}") as (bot, emulator, http):
        for chat, kill in zip(await crash.chats(http, emulator.url, len(KILLS)), KILLS, strict=True):
            (tmp_path / "acts").write_text("")
            await killed_once(bot, http, tmp_path, chat, f"any {kill}")
            await bot.up(http, "/readyz")
            await crash.settled(http, bot.url)
            acts = Counter((tmp_path / "acts").read_text().split("\n")[:-1])
            assert acts.keys() == ACTS, kill
            repeated = {act for act, count in acts.items() if count > 1}
            assert len(repeated) <= 1 or repeated == {"book 7", "weather"}, kill
            assert max(acts.values()) <= 2, kill
            assert (await crash.replies(http, emulator.url))[chat] == ["One.", "Two.", "Three.", "Four."], kill
