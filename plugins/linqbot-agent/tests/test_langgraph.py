"""Graphs of LangGraph: arguments of tools that the model did not write."""

import re
from typing import Annotated, Any

import pytest
from answers import answers
from frameworks import Call, Outside, bot_of
from linqbot_agent import LinqAgent
from linqbot_agent.memory import TOOL_WORK, Kept

from linqbot import Context, Refused
from linqbot.testing import talking


async def test_what_the_graph_adds_to_the_arguments_of_a_tool_is_not_asked_about_and_not_kept() -> None:
    langchain = pytest.importorskip("langchain.agents", reason="langchain is not installed")
    from langchain.tools import InjectedState, InjectedStore, ToolRuntime, tool
    from langgraph.store.memory import InMemoryStore
    from linqbot_agent.langgraph import durable, run
    from scripted_langchain import model_of

    def reserve(
        hour: int, state: Annotated[Any, InjectedState], store: Annotated[Any, InjectedStore()], runtime: ToolRuntime
    ) -> str:
        """Reserve a table."""
        return f"{hour}, {len(state['messages'])}, {type(store).__name__}, {type(runtime).__name__}"

    outside = Outside(names=())
    outside.calls = lambda results: [] if results else [Call("reserve", "c1", '{"hour": 8}')]  # type: ignore[method-assign]
    graph = langchain.create_agent(durable(model_of(outside)), [durable(tool(reserve))], store=InMemoryStore())
    async with talking(bot_of(outside, lambda ctx: run(graph, ctx), LinqAgent(needs_approval=["reserve"]))) as phone:
        assert await answers(phone, "A table at 8") == ["May I reserve (hour 8)? 👍 or yes, 👎 or no"]
        assert len(await answers(phone, "yes")) == 4
        kept = await phone.state(Kept, name=TOOL_WORK)
    call, result = (message["parts"][0] for work in kept.by_message.values() for message in work)
    assert call["args"] == {"hour": 8}
    assert result["content"] == "8, 2, InMemoryStore, ToolRuntime"


async def test_a_tool_that_a_node_calls_with_an_object_that_has_no_json_form_acts_once() -> None:
    pytest.importorskip("langchain.agents", reason="langchain is not installed")
    from langchain.tools import tool
    from langgraph.graph import END, START, MessagesState, StateGraph
    from linqbot_agent.langgraph import durable, run
    from scripted_langchain import model_of

    def reserve(table: Any) -> str:
        """Reserve a table."""
        return outside.note("reserve")

    async def book(state: MessagesState) -> None:
        await booking.ainvoke({"name": "reserve", "args": {"table": object()}, "id": "n1", "type": "tool_call"})

    async def answer(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    outside = Outside(names=())
    model, booking = durable(model_of(outside)), durable(tool(reserve))
    graph = StateGraph(MessagesState).add_node(book).add_node(answer)
    graph.add_edge(START, "book").add_edge("book", "answer").add_edge("answer", END)
    async with talking(bot_of(outside, lambda ctx: run(graph.compile(), ctx), LinqAgent())) as phone:
        assert len(await answers(phone, "A table at 8")) == 4
        assert list(outside.effects.values()) == [1]
        assert await phone.dead_letters() == []


@pytest.mark.parametrize("end", ["an error", "a refusal", "a message of an error"])
async def test_what_a_tool_did_inside_of_a_tool_that_failed_is_shown_when_the_person_writes_again(end: str) -> None:
    langchain = pytest.importorskip("langchain.agents", reason="langchain is not installed")
    from langchain.tools import tool
    from langchain_core.tools import StructuredTool, ToolException
    from linqbot_agent.langgraph import durable, run
    from scripted_langchain import model_of

    @tool
    def charge() -> str:
        """Charge the card."""
        return outside.note("charge")

    async def reserve() -> str:
        """Reserve a table, and charge for it."""
        await charging.ainvoke({"name": "charge", "args": {}, "id": "n1", "type": "tool_call"})
        if end == "a refusal":
            raise Refused
        raise OSError if end == "an error" else ToolException

    def answer(ctx: Context) -> Any:
        return run(graph, ctx)

    outside = Outside(names=("reserve",), paragraphs=["Hm"])
    charging = durable(charge)
    reserving = durable(StructuredTool.from_function(coroutine=reserve, handle_tool_error="No table."))
    graph = langchain.create_agent(durable(model_of(outside)), [reserving])
    async with talking(bot_of(outside, answer, LinqAgent(sorry=None), attempts=1)) as phone:
        await phone.text("A table at 8")
        assert len(await phone.errors()) == (end == "an error")
        outside.names = ()
        await answers(phone, "A table at 8")
    shown = str(outside.requests[-1])
    assert "[You have called the tool charge with {}. Its result was: charge is done]" in shown
    results = {"an error": [], "a refusal": ["This was refused and not done."], "a message of an error": ["No table."]}
    assert re.findall("the tool reserve with {}. Its result was: ([^]]*)", shown) == results[end]
