"""A run whose output is not the model's last text, but the result of a tool or a text of a node: it is said, once."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pytest
from frameworks import Outside, bot_of

from linqbot.testing import killed_between_calls, talking


@pytest.mark.parametrize("approved", [None, True, False])
async def test_the_result_of_the_last_tool_of_the_openai_sdk_is_said(approved: bool | None) -> None:
    pytest.importorskip("agents", reason="openai-agents is not installed")
    from agents import Agent, function_tool
    from agents.testing import ScriptedModel, function_call
    from linqbot_agent.openai import run

    @function_tool(needs_approval=approved is not None)
    def hours() -> str:
        """Return the opening hours."""
        return "From **9** to 5."

    script = ScriptedModel([[function_call("hours", {}, call_id="c1")]])
    agent: Agent[Any] = Agent("a", model=script, tools=[hours], tool_use_behavior="stop_on_first_tool")
    async with talking(bot_of(Outside(), lambda ctx: run(agent, ctx))) as phone:
        await phone.text("When do you open?")
        if approved is not None:
            assert await phone.next_reply() == "May I hours? 👍 or yes, 👎 or no"
            await phone.text("yes" if approved else "no")
        assert await phone.replies() == ([] if approved is False else ["From 9 to 5."])


def calling(tool: str, **arguments: Any) -> Any:
    """Return a durable model of LangChain that calls a tool in each response."""
    from langchain_core.messages import AIMessage
    from linqbot_agent.langgraph import durable
    from scripted_langchain import ToolModel

    call = AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": "c1", "type": "tool_call"}])
    return durable(ToolModel(messages=cycle([call])))


async def test_the_text_with_which_a_graph_ends_is_said_once_wherever_the_bot_is_killed() -> None:
    langchain = pytest.importorskip("langchain.agents", reason="langchain is not installed")
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool
    from langgraph.graph import MessagesState, StateGraph
    from linqbot_agent.langgraph import durable, run

    @tool(return_direct=True)
    def hours() -> str:
        """Return the opening hours."""
        return "From 9 to 5."

    model = calling("hours")

    async def answer(state: MessagesState) -> Any:
        found: Any = await model.ainvoke(state["messages"])
        return {"messages": [AIMessage(f"You want the {found.tool_calls[0]['name']}.")]}

    nodes = StateGraph(MessagesState).add_node("answer", answer).set_entry_point("answer").compile()
    direct = langchain.create_agent(model, [durable(hours)])
    for graph, said in ((direct, "From 9 to 5."), (nodes, "You want the hours.")):
        bot = bot_of(Outside(), lambda ctx: run(graph, ctx))  # noqa: B023 - within this round
        async for phone in killed_between_calls(bot, lambda phone: phone.text("When do you open?")):
            assert phone.messages[1:] == [said], phone.killed
