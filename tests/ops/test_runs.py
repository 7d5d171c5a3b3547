"""The runs of a turn, as `linqbot why` and the page of `linqbot dev` show them: steps, tokens, and what was remembered."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from linqbot_dev.dev.reporting import TurnReports
from linqbot_dev.dev.turn_report import ObservedTurn
from storages import open_storage
from typed_command import shown

from linqbot import Bot, Context, Draft, MessageReceived
from linqbot.ops import runs
from linqbot.ops.why import look
from linqbot.testing import talking
from linqbot.turn_events import StepEnded

SECRET = "a table at the window"
RESPONSE = {
    "content": [{"type": "tool_use", "id": "c1", "name": "book", "input": {"wish": SECRET}}],
    "usage": {"input_tokens": 7, "output_tokens": 2, "cost": "0.0025"},
}


def host(*plugins: object) -> Bot:
    """Return a bot whose tool fails in the first run."""
    bot, calls = Bot(plugins=plugins, typing=False, read=False), list[int]()

    async def model(draft: Draft) -> dict[str, Any]:
        return RESPONSE

    async def book(key: str) -> str:
        calls.append(1)
        await asyncio.sleep(0)  # as any tool that asks another system
        if len(calls) == 1:
            raise OSError(SECRET)
        return SECRET

    @bot.on_message
    async def chat(message: MessageReceived, ctx: Context) -> None:
        await ctx.model_step("agent/model@ab#0", model)
        await ctx.once("agent/tool:book@c1#0", book)

    return bot


async def test_why_shows_each_run_with_its_steps_without_what_people_wrote(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bot.db"
    async with talking(host(), storage=url) as phone, open_storage(url, serving=False) as storage:
        bubble = await phone.text(SECRET)
        assert len(await phone.errors()) == 1
        await phone.advance(60)
        found = await look(storage, phone.client, bubble.id, now=phone.now)
    (case,) = found.cases
    assert SECRET not in json.dumps(found.to_json())
    first, second = (
        [(step["name"], step["remembered"]) for step in row["steps"]] for row in case.to_json()["outcomes"]
    )
    names = ("agent/model@ab#0", "agent/tool:book@c1#0")
    assert (first, second) == ([(each, False) for each in names], [(names[0], True), (names[1], False)])
    parts = [[part.partition(" ms")[0].rstrip("0123456789") for part in runs.lines_of(row)] for row in case.rows]
    assert parts == [
        ["run 1: retry, ", "model: ", "book: failed after "],
        ["run 2: handled, ", "model: remembered", "book: "],
    ]
    lines = [line for row in case.rows for line in runs.lines_of(row)]
    assert lines[0].endswith(" ms, 0 of 2 steps remembered, 7 + 2 tokens, $0.0025")
    assert lines[1].endswith(" ms, 7 + 2 tokens, $0.0025")
    assert lines[2].endswith(" ms: OSError")
    assert lines[3].endswith(" ms, 1 of 2 steps remembered")
    printed = await asyncio.to_thread(shown, "why", bubble.id, "--storage", url)
    assert [line.strip() for line in printed.splitlines()[2:8]] == lines


async def test_the_page_shows_a_step_at_once_and_each_run_with_arguments_and_results() -> None:
    ended: list[ObservedTurn] = []
    posted: list[dict[str, Any]] = []
    async with talking(host(TurnReports(ended.append, posted.append))) as phone:
        await phone.text("A table")
        assert len(await phone.errors()) == 1
        await phone.advance(60)
    shown = [turn.for_page() for turn in ended if turn.handler]
    assert [[(step["name"], step["failed"], step["remembered"]) for step in turn["steps"]] for turn in shown] == [
        [("model", False, False), ("book", True, False)],
        [("model", False, True), ("book", False, False)],
    ]
    assert [turn["used"] for turn in shown] == ["7 + 2 tokens, $0.0025", ""]
    tool = shown[1]["steps"][1]
    assert (tool["arguments"], tool["result"]) == ({"wish": SECRET}, SECRET)
    running = [(each["outcome"], each["steps"][0]["name"]) for each in posted if each["kind"] == "turn"]
    assert ("running", "model") in running


def test_the_arguments_of_a_tool_are_found_in_the_response_of_each_sdk(subtests: pytest.Subtests) -> None:
    given = {"people": 2}
    for sdk, call in (
        ("pydantic-ai", {"part_kind": "tool-call", "tool_call_id": "c1", "id": None, "args": given}),
        ("Anthropic", {"type": "tool_use", "id": "c1", "input": given}),
        ("OpenAI", {"type": "function_call", "id": "fc_1", "call_id": "c1", "arguments": given}),
        ("LangGraph", {"type": "tool_call", "id": "c1", "args": given}),
    ):
        with subtests.test(sdk):
            response = json.dumps({"parts": [{"type": "text", "text": "…"}, call]}).encode()
            steps = [_step("model@ab#0", response), _step("agent__toolset__<agent>.call_tool:book@c1#0", b'"ok"')]
            model, tool = runs.with_contents(steps)
            assert (model["arguments"], tool["name"], tool["arguments"]) == (None, "book", given)


def test_a_result_that_is_too_long_for_the_page_is_left_out() -> None:
    long = json.dumps("x" * runs.MOST_BYTES).encode()
    assert [step["result"] for step in runs.with_contents([_step("a", b"1"), _step("b", long)])] == [1, runs.TOO_LONG]


def _step(name: str, answer: bytes) -> StepEnded:
    return StepEnded(name, answer, None, 0.01, from_journal=False, usage={})
