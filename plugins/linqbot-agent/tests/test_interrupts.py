"""Graphs of LangGraph that ask people: an `interrupt` is a question in the chat, and an approval is that of every framework.

The models are langchain-core's own, and graphs, middleware and checkpointers are those of LangGraph and LangChain.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Annotated, Any, Literal, TypedDict

import pytest
from answers import answers
from frameworks import Call, Outside, bot_of
from linqbot_agent import LinqAgent, idempotency_key
from linqbot_agent.memory import TOOL_WORK, Kept
from pydantic import BaseModel

from linqbot import Bot, BotError, Context, MessageReceived
from linqbot.testing import Phone, killed_between_calls, talking

ASKED = "May I book (name Ann)? 👍 or yes, 👎 or no"
ANN = Call("book", "c1", '{"name": "Ann"}')
BOB = Call("book", "c2", '{"name": "Bob"}')


@pytest.fixture(autouse=True)
def _langchain() -> None:
    """Import LangChain late, as the tests do: it takes seconds, also of processes that only collect tests."""
    pytest.importorskip("langchain.agents", reason="langchain is not installed")


def added(before: Any, new: Any) -> Any:
    from langgraph.graph import add_messages

    return add_messages(before, new)


class Talk(TypedDict):
    messages: Annotated[list[Any], added]


Node = Callable[[Talk], Awaitable[str]]
"""A node that says something."""


def as_node(act: Node) -> Any:
    from langchain_core.messages import AIMessage

    async def node(state: Talk) -> Any:
        return {"messages": [AIMessage(await act(state))]}

    return node


def sequence_of(*nodes: Node, **how: Any) -> Any:
    """Return a graph that runs nodes one after the other, and ends with the text of the last one."""
    from langgraph.graph import START, StateGraph

    graph = StateGraph(Talk)
    names = [f"node{number}" for number in range(len(nodes))]
    for name, node in zip(names, nodes, strict=True):
        graph.add_node(name, as_node(node))
    for before, after in zip([START, *names], names, strict=False):
        graph.add_edge(before, after)
    return graph.compile(**how)


async def asks_name(state: Talk) -> str:
    from langgraph.types import interrupt

    return f"Hello {interrupt('Your name?')}"


def model_saying(text: str) -> Any:
    """Return a durable model, and the number of its requests by their last message."""
    from linqbot_agent.langgraph import durable
    from scripted_langchain import Scripted

    requests = Counter[str]()

    def respond(messages: Sequence[Any]) -> str:
        requests[messages[-1].text] += 1
        return text

    return durable(Scripted(respond=respond)), requests


def agent_of(tool: Any, *calls: Call, **how: Any) -> Any:
    """Return an agent that calls a tool, and then says the results."""
    from langchain.agents import create_agent
    from linqbot_agent.langgraph import durable
    from scripted_langchain import Scripted, calling

    def respond(messages: Sequence[Any]) -> Any:
        said = [each for each in messages if each.type != "system"]
        last = next(place for place in reversed(range(len(said))) if said[place].type == "human")
        results = [each.text for each in said[last:] if each.type == "tool"]
        return f"Results: {', '.join(results)}" if results else calling(*calls)

    return create_agent(durable(Scripted(respond=respond)), [durable(tool)], **how)


def bot_with(graph: Any, plugin: LinqAgent | None = None, *, attempts: int = 5) -> Bot:
    from linqbot_agent.langgraph import run

    return bot_of(Outside(), lambda ctx: run(graph, ctx), plugin, attempts=attempts)


async def test_an_interrupt_of_a_node_is_a_question_and_the_answer_comes_back_and_the_next_message_is_answered() -> (
    None
):
    async with talking(bot_with(sequence_of(asks_name))) as phone:
        for name in ("Ann", "Bob"):
            assert await answers(phone, "Hi") == ["Your name?"]
            await phone.restart()
            assert await answers(phone, name) == [f"Hello {name}"]
        assert await phone.dead_letters() == []


@pytest.mark.slow
@pytest.mark.slow
async def test_what_a_node_did_before_its_question_is_said_once_and_not_asked_of_the_model_again_wherever_it_is_killed() -> (
    None
):
    from langgraph.types import interrupt

    model, requests = model_saying("We have two tables.")

    async def offer(state: Talk) -> str:
        found = await model.ainvoke(state["messages"])
        table = interrupt("Which one?")
        people = interrupt("For how many?", response_schema=int)
        return f"{found.text[:7]}, {table}, {people + 1}"

    graph, points = sequence_of(offer), 0

    async def scenario(phone: Phone) -> None:
        requests.clear()
        await phone.text("A table")
        await phone.next_reply()
        assert await phone.next_reply() == "Which one?"
        await phone.text("The first")
        await phone.next_reply()
        await phone.text("two")

    async for phone in killed_between_calls(bot_with(graph), scenario):
        points += 1
        said = ["We have two tables.", "Which one?", "The first", "For how many?", "two", "We have, The first, 3"]
        assert phone.messages == ["A table", *said], phone.killed
        assert requests["A table"] <= 2, phone.killed  # a kill between a response and its record repeats the request
    assert points > 12


async def test_a_tool_goes_on_behind_its_question_with_the_key_of_its_call_wherever_it_is_killed() -> None:
    from langgraph.types import interrupt

    before, after, points = Counter[str](), Counter[str](), 0

    async def book(name: str) -> str:
        """Book a table."""
        before[idempotency_key()] += 1
        hour = interrupt("At which hour?")
        people = interrupt({"question": "For how many?", "at": hour})
        after[idempotency_key()] += 1
        return f"{name} at {hour} for {people}"

    plugin = LinqAgent(needs_approval=["book"])

    async def scenario(phone: Phone) -> None:
        before.clear()
        after.clear()
        await phone.text("A table for Ann")
        for answer in ("yes", "8", "two"):
            await phone.next_reply()
            await phone.text(answer)

    async for phone in killed_between_calls(bot_with(agent_of(book, ANN), plugin), scenario):
        points += 1
        asked = [ASKED, "yes", "At which hour?", "8", "For how many?\nat: 8", "two"]
        assert phone.messages == ["A table for Ann", *asked, "Results: Ann at 8 for two"], phone.killed
        assert before.keys() == after.keys(), phone.killed
        assert len(before) == 1, phone.killed
        assert after.total() <= 2, phone.killed  # a kill between an act and its record repeats that act, with its key
        kept = await phone.state(Kept, name=TOOL_WORK)
        work = [message["parts"][0] for each in kept.by_message.values() for message in each]
        assert [each.get("content") for each in work] == [None, "Ann at 8 for two"], phone.killed
    assert points > 15


async def test_questions_of_tools_that_run_side_by_side_are_asked_one_after_the_other() -> None:
    from langgraph.types import interrupt

    def book(name: str) -> str:  # in a thread
        """Book a table."""
        return f"{name}: {interrupt('At which hour?')}"

    async with talking(bot_with(agent_of(book, ANN, BOB))) as phone:
        assert await answers(phone, "Two tables") == ["At which hour?"]
        assert await answers(phone, "8") == ["At which hour?"]
        await phone.restart()
        assert await answers(phone, "9") == ["Results: Ann: 8, Bob: 9"]


@pytest.mark.slow
async def test_questions_of_nodes_that_run_side_by_side_keep_their_answers_wherever_the_bot_is_killed() -> None:
    from langgraph.graph import START, StateGraph
    from langgraph.types import interrupt

    def asking(name: str, question: str) -> Any:
        async def act(state: Talk) -> str:
            return f"{name}: {interrupt(question)}"

        return as_node(act)

    async def summary(state: Talk) -> str:
        return ", ".join(sorted(each.text for each in state["messages"] if each.type == "ai"))

    names = {"a": "Same?", "b": "Same?", "c": "Other?"}
    nodes: Any = StateGraph(Talk)
    for name, question in names.items():
        nodes.add_node(name, asking(name, question)).add_edge(START, name)
    graph = nodes.add_node("end", as_node(summary)).add_edge([*names], "end").compile()
    given = dict[str, Iterator[str]]()

    async def scenario(phone: Phone) -> None:
        given.update({"Same?": iter(["1", "2"]), "Other?": iter(["3"])})
        await phone.text("Hi")
        for _ in names:
            await phone.text(next(given[await phone.next_reply()]))

    async for phone in killed_between_calls(bot_with(graph), scenario):
        assert phone.messages[-1] == "a: 1, b: 2, c: 3", phone.killed
        assert Counter(phone.messages[1:-1]) == Counter(["Same?", "Same?", "Other?", "1", "2", "3"]), phone.killed


@pytest.mark.parametrize("place", ["node", "function"])
async def test_a_graph_inside_of_a_graph_may_ask(place: str) -> None:
    from langgraph.graph import START, StateGraph
    from langgraph.types import interrupt

    model, requests = model_saying("Hm.")

    async def thinks(state: Talk) -> str:
        return str((await model.ainvoke(state["messages"])).text)

    async def asks(state: Talk) -> str:
        await model.ainvoke([("user", "inside")])
        return f"{interrupt('Your name?')}, {interrupt('Your town?')}"

    inner = sequence_of(thinks, asks)

    async def call(state: Talk) -> str:
        return str((await inner.ainvoke(state))["messages"][-1].text)

    node = inner if place == "node" else as_node(call)
    graph = StateGraph(Talk).add_node("inner", node).add_edge(START, "inner").compile()
    async with talking(bot_with(graph)) as phone:
        assert await answers(phone, "Hi") == ["Hm.", "Hm.", "Your name?"]
        assert await answers(phone, "Ann") == ["Your town?"]
        assert await answers(phone, "Paris") == ["Ann, Paris"]
    assert requests == {"Hi": 1, "inside": 1}


@pytest.mark.slow
async def test_a_node_gets_the_answers_to_its_own_questions_behind_those_of_tools_that_it_calls() -> None:
    from langgraph.types import interrupt
    from linqbot_agent.langgraph import durable

    async def book(name: str) -> str:
        """Book a table."""
        return f"{name}: {interrupt(f'When, {name}?')}"

    booked = durable(book)

    async def node(state: Talk) -> str:
        found = [
            (await booked.ainvoke({"name": "book", "args": {"name": name}, "id": name, "type": "tool_call"})).text
            for name in ("Ann", "Bob")
        ]
        return f"{', '.join(found)}: {interrupt('All right?', response_schema=bool)}"

    bot = bot_with(sequence_of(asks_name, node))

    async def scenario(phone: Phone) -> None:
        await phone.text("Hi")
        for answer in ("Cleo", "8", "9", "yes"):
            await phone.next_reply()
            await phone.text(answer)

    async for phone in killed_between_calls(bot, scenario):
        assert phone.messages[-1] == "Ann: 8, Bob: 9: True", phone.killed


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["batched", "per_call"])
async def test_the_middleware_that_asks_is_an_approval_of_each_call_and_the_model_reads_why_one_was_not_made(
    mode: Any,
) -> None:
    from langchain.agents.middleware import HumanInTheLoopMiddleware

    booked = Counter[str]()

    async def book(name: str) -> str:
        """Book a table."""
        booked[name] += 1
        return f"booked for {name}"

    asking = HumanInTheLoopMiddleware({"book": True}, interrupt_mode=mode)
    # The policy asks about the same calls, and an approved call is not asked about again.
    bot = bot_with(agent_of(book, ANN, BOB, middleware=[asking]), LinqAgent(needs_approval=["book"]))

    async def scenario(phone: Phone) -> None:
        booked.clear()
        await phone.text("Two tables")
        assert await phone.next_reply() == ASKED
        await phone.text("yes")
        assert await phone.next_reply() == ASKED.replace("Ann", "Bob")
        await phone.text("At eight, please")

    async for phone in killed_between_calls(bot, scenario):
        assert booked.keys() == {"Ann"}, phone.killed
        last = phone.messages[-1]
        assert "booked for Ann" in last, phone.killed
        assert "The person has not approved this, and wrote instead: At eight, please" in last, phone.killed


async def test_calls_side_by_side_are_asked_about_in_their_order_though_the_first_one_asks_last() -> None:
    from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware

    bobs = asyncio.Event()

    class AnnWaits(AgentMiddleware):
        async def awrap_tool_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
            if request.tool_call["args"]["name"] == "Ann":
                await bobs.wait()
            try:
                return await handler(request)
            finally:
                bobs.set()

    async def book(name: str) -> str:
        """Book a table."""
        return f"booked for {name}"

    asking = HumanInTheLoopMiddleware({"book": True}, interrupt_mode="per_call")
    async with talking(bot_with(agent_of(book, ANN, BOB, middleware=[AnnWaits(), asking]))) as phone:
        await phone.text("Two tables")
        assert await phone.next_reply() == ASKED
        await phone.text("yes")
        assert await phone.next_reply() == ASKED.replace("Ann", "Bob")


async def test_odd_data_of_nodes_tools_and_models_is_asked_and_decided_once() -> None:
    from langchain.agents.middleware import HumanInTheLoopMiddleware
    from langgraph.types import interrupt

    odd = {"question": "Cut \ud83d here?", "wind": float("inf")}
    booked = Counter[str]()

    async def asks(_: Talk) -> str:
        return f"You said {interrupt(odd)}"

    async def book(name: str) -> str:
        """Book a table."""
        booked[name] += 1
        return f"{interrupt(odd)}"

    call = Call("book", "c1", '{"name": "A\\ud83d"}')
    asking = HumanInTheLoopMiddleware({"book": True})
    async with talking(bot_with(sequence_of(asks))) as phone:
        assert await answers(phone, "Hi") == ["Cut \ufffd here?\nwind: Infinity"]
        assert await answers(phone, "yes") == ["You said yes"]
        assert await phone.errors() == []
    bot = bot_with(agent_of(book, call, middleware=[asking]), LinqAgent(needs_approval=["book"]))
    async with talking(bot) as phone:
        assert await answers(phone, "Hi") == ["May I book? 👍 or yes, 👎 or no\n\n▸ name: A\ufffd"]
        assert await answers(phone, "yes") == ["Cut \ufffd here?\nwind: Infinity"]
        assert await answers(phone, "At eight") == ["Results: At eight"]
        assert await phone.errors() == []
    assert booked == {"A\ufffd": 2}  # up to the question, and to the end


async def test_a_tool_that_a_node_calls_before_its_question_acts_once() -> None:
    from langgraph.types import interrupt
    from linqbot_agent.langgraph import durable

    acted = Counter[str]()

    async def look_up(city: str) -> dict[str, str]:
        """Look up the weather."""
        acted[city] += 1
        return {"wind": f"in {city}"}

    tool = durable(look_up)

    async def asks(_: Talk) -> str:
        found = [await tool.ainvoke({"city": city}) for city in ("Rome", "Rome")]
        sure, hour = interrupt("Are you sure?"), interrupt("When?")
        return f"{found[1]['wind']}: {sure}, {hour}"

    async with talking(bot_with(sequence_of(asks))) as phone:
        assert await answers(phone, "Hi") == ["Are you sure?"]
        assert await answers(phone, "Yes") == ["When?"]
        assert await answers(phone, "At eight") == ["in Rome: Yes, At eight"]
    assert acted == {"Rome": 2}


async def test_an_owner_approves_a_call_of_the_middleware_in_their_own_chat_and_it_may_act_elsewhere() -> None:
    from langchain.agents.middleware import HumanInTheLoopMiddleware
    from linqbot_agent.langgraph import run

    owner, turns = "+14155550199", list[Context]()

    async def book(name: str) -> str:
        """Book a table."""
        await turns[-1].bot.send("A guest", to="+14155550177")
        return "booked"

    graph = agent_of(book, ANN, middleware=[HumanInTheLoopMiddleware({"book": True})])

    async def answer(ctx: Context) -> None:
        turns.append(ctx)
        await run(graph, ctx)

    async with talking(bot_of(Outside(), answer, LinqAgent(approvers=[owner]))) as phone:
        await phone.text("A table")
        await phone.replies()
        dana = phone.person(owner)
        assert ASKED in dana.messages[-1]
        await dana.text("yes")
        await phone.quiet()
        assert phone.messages[-1] == "Results: booked"
        assert phone.person("+14155550177").messages == ["A guest"]


async def test_a_tool_whose_result_is_the_answer_of_the_person_asks_with_its_description() -> None:
    from langchain.agents.middleware import HumanInTheLoopMiddleware

    async def book(name: str) -> str:
        """Book a table."""
        raise AssertionError

    config: Any = {"allowed_decisions": ["respond"], "description": "Which hour?"}
    for mode in ("batched", "per_call"):
        asking = HumanInTheLoopMiddleware({"book": config}, interrupt_mode=mode)
        async with talking(bot_with(agent_of(book, ANN, middleware=[asking]))) as phone:
            assert await answers(phone, "A table") == ["Which hour?"], mode
            assert await answers(phone, "Eight") == ["Results: Eight"], mode


async def test_a_question_that_the_person_ends_ends_the_run_and_the_next_message_is_answered() -> None:
    async with talking(bot_with(sequence_of(asks_name))) as phone:
        assert await answers(phone, "Hi") == ["Your name?"]
        assert await answers(phone, "never mind") == ["OK, I have stopped here."]
        assert await answers(phone, "Hi") == ["Your name?"]
        assert await phone.errors() == []


async def test_an_answer_has_the_type_that_the_graph_wants() -> None:
    from langgraph.types import interrupt

    sizes: Any = Literal["S", "M"]

    async def asks(state: Talk) -> str:
        sure = interrupt("Sure?", response_schema=bool)
        size = interrupt("Which size?", response_schema=sizes)
        price = interrupt("How much?", response_schema={"type": "number"})
        name = interrupt({"query": "Your name?"}, response_schema=str)
        return repr((sure, size, price, name))

    async with talking(bot_with(sequence_of(asks))) as phone:
        assert await answers(phone, "Hi") == ["Sure?"]
        assert await answers(phone, "nope") == ["Which size?", ""]  # a poll
        assert await answers(phone, "m") == ["How much?"]
        assert await answers(phone, "1.5") == ["Your name?"]
        assert await answers(phone, "Ann") == ["(False, 'M', 1.5, 'Ann')"]


async def test_what_a_graph_shows_is_all_shown_and_has_a_plain_form() -> None:
    from langgraph.types import interrupt

    long = "word " * 3000

    async def asks(state: Talk) -> str:
        return str(interrupt({"question": "Send it?", "to": ["ann", "bob"], "text": long, "cents": 500}))

    async with talking(bot_with(sequence_of(asks))) as phone:
        shown = "\n".join(await answers(phone, "Hi"))
        assert shown.startswith("Send it?\nto: ann, bob\ntext: word word")
        assert shown.count("word") == 3000
        assert shown.endswith("cents: 500")
        assert await answers(phone, "Yes, please") == ["Yes, please"]


class Booking(BaseModel):
    hour: int


async def _fails(graph: Any, words: str) -> None:
    """Check that messages end in an error that says what to use, and that the person hears an apology."""
    bot = bot_with(graph, LinqAgent(sorry="Sorry."), attempts=1)
    async with talking(bot) as phone:
        for said in (["Sorry."], []):  # at most once an hour
            await phone.text("Hi")
            (error,) = await phone.errors()
            assert isinstance(error, BotError), words
            assert words in str(error)
            assert await phone.replies() == said, words


async def test_an_answer_that_no_person_can_write_is_an_error_that_says_what_to_use() -> None:
    from langgraph.types import interrupt

    async def asks(state: Talk) -> str:
        return str(interrupt("When?", response_schema=Booking))

    await _fails(sequence_of(asks), "Use bool, int, float, str or a Literal of texts")


async def test_an_approval_that_nobody_can_refuse_is_an_error_that_says_what_to_use() -> None:
    from langchain.agents.middleware import HumanInTheLoopMiddleware

    config: Any = {"allowed_decisions": ["approve", "edit"]}
    asking = HumanInTheLoopMiddleware({"book": config})
    await _fails(agent_of(_never, ANN, middleware=[asking]), "allowed_decisions=['approve', 'reject']")


async def _never(name: str) -> str:
    """Book a table."""
    raise AssertionError


async def test_breakpoints_and_checkpointers_are_errors_that_say_what_to_use() -> None:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph import START, StateGraph

    class Saver(BaseCheckpointSaver[Any]):
        """A checkpointer of a database."""

    inner = sequence_of(asks_name, interrupt_after=["node0"])
    outer = StateGraph(Talk).add_node("inner", inner).add_edge(START, "inner").compile()
    for graph in (sequence_of(asks_name, interrupt_before=["node0"]), inner, outer):
        await _fails(graph, "interrupt_before= or interrupt_after=")
    await _fails(sequence_of(asks_name, checkpointer=Saver()), "a Saver as its checkpointer")


async def test_the_checkpointer_of_memory_that_the_docs_of_langgraph_show_is_not_in_the_way() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    async with talking(bot_with(sequence_of(asks_name, checkpointer=InMemorySaver()))) as phone:
        assert await answers(phone, "Hi") == ["Your name?"]
        assert await answers(phone, "Ann") == ["Hello Ann"]


async def test_a_graph_that_a_durable_tool_runs_cannot_ask_and_the_error_says_what_to_do() -> None:
    inner = sequence_of(asks_name)

    async def book(name: str) -> str:
        """Book a table."""
        return str(await inner.ainvoke({"messages": []}))

    await _fails(agent_of(book, ANN), "make the graph a node")


async def test_a_tool_that_another_tool_calls_cannot_ask_and_the_error_says_what_to_do() -> None:
    from langgraph.types import interrupt
    from linqbot_agent.langgraph import durable

    async def charge() -> str:
        """Charge."""
        return str(interrupt("Which card?"))

    charging = durable(charge)

    async def book(name: str) -> str:
        """Book a table."""
        return str(await charging.ainvoke({"name": "charge", "args": {}, "id": "n1", "type": "tool_call"}))

    await _fails(agent_of(book, ANN), "Let the agent of the run call the tool")


async def test_while_another_question_is_open_a_call_is_not_approved_and_the_model_knows_why() -> None:
    from langchain.agents.middleware import HumanInTheLoopMiddleware
    from linqbot_agent.langgraph import run

    graph = agent_of(_never, ANN, middleware=[HumanInTheLoopMiddleware({"book": True})])
    bot = Bot(plugins=[LinqAgent()])

    @bot.on_message("table", during_ask=True)
    async def aside(message: MessageReceived, ctx: Context) -> None:
        await run(graph, ctx)

    @bot.on_message
    async def chat(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply(await ctx.ask("Your name?"))

    async with talking(bot) as phone:
        assert await answers(phone, "Hi") == ["Your name?"]
        said = (await answers(phone, "table"))[0]
        assert "Not now: the person has not answered another question yet. Nothing was done." in said
        assert await answers(phone, "Ann") == ["Ann"]
