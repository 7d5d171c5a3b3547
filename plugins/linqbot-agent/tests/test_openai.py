"""Agents of the OpenAI Agents SDK: those that hand over are recorded too, and what cannot be recorded is refused."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any, cast

import pytest
from answers import answers
from frameworks import Outside, bot_of
from linqbot_agent import Budget, LinqAgent
from linqbot_agent.budget import USED, Used
from structlog.testing import capture_logs

from linqbot import BotError
from linqbot.testing import talking


@pytest.fixture(autouse=True)
def _sdk() -> None:
    """Import the SDK late, as the tests do: it takes seconds, also of processes that only collect tests."""
    pytest.importorskip("agents", reason="openai-agents is not installed")


@pytest.mark.parametrize("explicit", [False, True])
async def test_an_agent_to_which_another_hands_over_is_recorded(explicit: bool) -> None:
    from agents import Agent, function_tool, handoff
    from agents.testing import ScriptedModel, assistant_message, function_call
    from linqbot_agent.openai import run

    outside, failures = Outside(), [OSError()]

    @function_tool
    async def reserve() -> str:
        """Reserve a table."""
        return await outside.act("reserve")

    @function_tool(failure_error_function=None)
    def notify() -> str:
        """Notify the cook."""
        if failures:
            raise failures.pop()
        return outside.note("notify")

    scripts = [
        ScriptedModel(
            [
                [function_call("reserve", {}, call_id="c1")],
                [function_call("notify", {}, call_id="c2")],
                [assistant_message("Done.")],
            ]
        ),
        ScriptedModel([[function_call("transfer_to_cook", {}, call_id="h1")]]),
    ]
    cook: Agent[Any] = Agent("cook", model=scripts[0], tools=[reserve, notify])
    host: Agent[Any] = Agent("host", model=scripts[1], handoffs=[handoff(cook) if explicit else cook])
    cook.handoffs = [host]
    async with talking(bot_of(outside, lambda ctx: run(host, ctx))) as phone:
        await phone.text("A table for two, please")
        assert len(await phone.errors()) == 1
        await phone.advance(60)  # what is on record is not asked for again
        assert await phone.replies() == ["Done."]
    assert sorted(tool for tool, _ in outside.effects.elements()) == ["notify", "reserve"]
    assert [script.remaining_steps for script in scripts] == [0, 0]


def kitchen(*, explicit: bool = False) -> Any:
    """Return a host that hands over to a cook, who hands back at "bill". Each says its name."""
    from agents import Agent, Model, ModelResponse, Usage, handoff
    from agents.testing import assistant_message, function_call

    class Named(Model):
        def __init__(self, name: str, other: str, word: str) -> None:
            self.name, self.other, self.word = name, other, word

        async def get_response(self, system_instructions: str | None, input: Any, *rest: Any, **how: Any) -> Any:  # noqa: A002
            is_moved = "type" in input[-1]
            asked = next(item["content"] for item in reversed(input) if item.get("role") == "user")
            if self.word in asked and not is_moved:
                output: Any = function_call(f"transfer_to_{self.other}", {}, call_id="h1")
            else:
                output = assistant_message(f"{self.name} here.")
            return ModelResponse([output], Usage(), None)

        def stream_response(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    cook: Agent[Any] = Agent("cook", model=Named("cook", "host", "bill"))
    host: Agent[Any] = Agent(
        "host", model=Named("host", "cook", "soup"), handoffs=[handoff(cook) if explicit else cook]
    )
    cook.handoffs = [host]
    return host


@pytest.mark.parametrize("memory", ["chat", "person"])
async def test_the_agent_to_which_another_has_handed_over_answers_the_next_messages(memory: Any) -> None:
    from linqbot_agent.openai import run

    host = kitchen()
    async with talking(bot_of(Outside(), lambda ctx: run(host, ctx), LinqAgent(memory=memory))) as phone:
        bob = phone.person("+14155550143")
        group = phone.group(bob)
        assert await answers(phone, "Hi") == ["host here."]
        assert await answers(phone, "How is the soup?") == ["cook here."]
        await phone.restart()
        assert await answers(phone, "Salty?") == ["cook here."]
        assert await answers(group, "Hi") == ["host here."]  # also with the memory of a person: that chat is private
        await group.by(bob).text("Hi")
        assert await group.replies() == ["host here."]
        assert await answers(phone, "The bill, please") == ["host here."]
        assert await answers(phone, "Thanks") == ["host here."]
        # A deploy has taken the cook away.
        await answers(phone, "How is the soup?")
        alone = host.clone(handoffs=[])
        await phone.restart(bot=bot_of(Outside(), lambda ctx: run(alone, ctx), LinqAgent(memory=memory)))
        assert await answers(phone, "Salty?") == ["host here."]


async def test_a_turn_that_waits_for_an_approval_goes_on_with_its_own_agent() -> None:
    from agents import function_tool
    from linqbot_agent.openai import run

    host, plugin = kitchen(), LinqAgent(needs_approval=["pay"], other_topic="postpone")
    (cook,) = host.handoffs
    says = cook.model.get_response

    @function_tool
    def pay() -> str:
        """Pay."""
        return "paid"

    async def pays(system: Any, given: Any, *rest: Any, **how: Any) -> Any:
        from agents import ModelResponse, Usage
        from agents.testing import function_call

        asked = next(item["content"] for item in reversed(given) if item.get("role") == "user")
        if "pay" in asked and given[-1].get("type") != "function_call_output":
            return ModelResponse([function_call("pay", {}, call_id="p1")], Usage(), None)
        return await says(system, given, *rest, **how)

    cook.tools, cook.model.get_response = [pay], pays
    async with talking(bot_of(Outside(), lambda ctx: run(host, ctx), plugin)) as phone:
        assert await answers(phone, "How is the soup?") == ["cook here."]
        assert await answers(phone, "I pay") == ["May I pay? 👍 or yes, 👎 or no"]
        assert (await answers(phone, "The bill, please"))[0] == "host here."
        assert await answers(phone, "yes") == ["cook here."]


async def test_an_agent_that_cannot_be_found_again_is_logged_and_nothing_is_kept_without_memory() -> None:
    from linqbot_agent.openai import run

    host, other = kitchen(explicit=True), kitchen()
    with capture_logs() as log:
        async with talking(bot_of(Outside(), lambda ctx: run(host, ctx))) as phone:
            assert await answers(phone, "How is the soup?") == ["cook here."]
            assert await answers(phone, "Salty?") == ["host here."]
    (line,) = (line for line in log if line["event"] == "agent.handoff_not_kept")
    assert line["agent"] == "cook"
    async with talking(bot_of(Outside(), lambda ctx: run(other, ctx), LinqAgent(memory=None))) as phone:
        assert await answers(phone, "How is the soup?") == ["cook here."]
        assert await answers(phone, "Salty?") == ["host here."]


async def test_a_picture_that_a_tool_has_returned_is_not_shown_as_text_later() -> None:
    from agents import Agent, ToolOutputImage, ToolOutputText, function_tool
    from agents.testing import ScriptedModel, assistant_message, function_call
    from linqbot_agent.openai import run

    def look() -> Any:
        """Look at the street."""
        return [ToolOutputImage(image_url="data:image/png;base64,iVBORw"), ToolOutputText(text="Main Street")]

    steps = [[function_call("look", {}, call_id="c1")], [assistant_message("A street.")], [assistant_message("Yes.")]]
    model = ScriptedModel(steps)
    agent: Agent[Any] = Agent("a", model=model, tools=[function_tool(look)])
    async with talking(bot_of(Outside(), lambda ctx: run(agent, ctx))) as phone:
        assert await answers(phone, "What do you see?") == ["A street."]
        assert await answers(phone, "Really?") == ["Yes."]
    assert model.last_call is not None
    shown = str(model.last_call.input)
    assert "Main Street" in shown
    assert "iVBORw" not in shown


async def test_after_a_deploy_without_a_tool_the_model_is_asked_again() -> None:
    from agents import Agent, function_tool
    from agents.testing import ScriptedModel, assistant_message, function_call
    from linqbot_agent.openai import run

    @function_tool(needs_approval=True)
    def pay() -> str:
        """Pay."""
        return "paid"

    model = ScriptedModel([[function_call("pay", {}, call_id="c1")], [assistant_message("I cannot pay any more.")]])
    old: Agent[Any] = Agent("a", model=model, tools=[pay])
    new: Agent[Any] = Agent("a", model=model)
    async with talking(bot_of(Outside(), lambda ctx: run(old, ctx))) as phone:
        await phone.text("Pay")
        await phone.replies()
        await phone.restart(bot=bot_of(Outside(), lambda ctx: run(new, ctx)))
        await phone.text("yes")
        assert await phone.replies() == ["I cannot pay any more."]


@pytest.mark.parametrize("asks", [True, False])
async def test_the_sdk_may_say_that_a_tool_needs_approval(asks: bool) -> None:
    from agents import Agent, function_tool
    from agents.testing import ScriptedModel, assistant_message, function_call
    from linqbot_agent.openai import run

    async def is_much(_: object, arguments: dict[str, Any], __: str) -> bool:
        return bool(arguments["cents"] > 1000)

    @function_tool(needs_approval=is_much)
    def pay(cents: int) -> str:
        """Pay."""
        return "paid"

    call = function_call("pay", {"cents": 5000 if asks else 500}, call_id="c1")
    agent = Agent("a", model=ScriptedModel([[call], [assistant_message("Done.")]]), tools=[pay])
    async with talking(bot_of(Outside(), lambda ctx: run(agent, ctx))) as phone:
        await phone.text("Pay")
        if asks:
            assert await phone.next_reply() == "May I pay (cents 5000)? 👍 or yes, 👎 or no"
            await phone.text("yes")
        assert await phone.replies() == ["Done."]


async def test_the_model_reads_its_own_response_as_the_sdk_alone_would_show_it() -> None:
    from agents import Agent, RunConfig, Runner, function_tool
    from agents.testing import ScriptedModel, assistant_message, function_call
    from linqbot_agent.openai import run
    from openai.types.responses import ResponseReasoningItem

    shown: list[Any] = []

    class Noting(ScriptedModel):
        async def get_response(self, system_instructions: str | None, input: Any, *rest: Any, **how: Any) -> Any:  # noqa: A002
            shown.append([item for item in input if "type" in item])
            return await super().get_response(system_instructions, input, *rest, **how)

    @function_tool
    def pay(cents: int) -> str:
        """Pay."""
        return "paid"

    def host() -> Agent[Any]:
        thought = ResponseReasoningItem(id="r1", type="reasoning", summary=[])
        call = function_call("pay", {"cents": 5}, call_id="c1")
        return Agent("a", model=Noting([[thought, call], [assistant_message("Done.")]]), tools=[pay])

    await Runner.run(host(), "Pay", run_config=RunConfig(tracing_disabled=True))
    agent = host()
    async with talking(bot_of(Outside(), lambda ctx: run(agent, ctx))) as phone:
        await phone.text("Pay")
        assert await phone.replies() == ["Done."]
    assert shown[:2] == shown[2:]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_an_agent_answers_to_another_is_not_said(stream: bool) -> None:
    from agents import Agent, Model, ModelProvider, RunConfig
    from agents.testing import ScriptedModel, assistant_message, function_call
    from linqbot_agent.openai import run

    models = {
        "small": ScriptedModel([[assistant_message("They are a bore. Table 4.")]]),
        "large": ScriptedModel([[function_call("ask", {"input": "?"}, call_id="c1")], [assistant_message("Table 4.")]]),
    }

    class Provider(ModelProvider):
        def get_model(self, model_name: str | None) -> Model:
            return models[model_name or ""]

    expert: Agent[Any] = Agent("expert", model="small")
    host: Agent[Any] = Agent("host", model="large", tools=[expert.as_tool("ask", "Ask the expert.")])
    config = RunConfig(model_provider=Provider(), tracing_disabled=True)
    async with talking(bot_of(Outside(), lambda ctx: run(host, ctx, stream=stream, run_config=config))) as phone:
        await phone.text("Which table?")
        assert await phone.replies() == ["Table 4."]


async def test_an_approval_inside_of_a_tool_is_refused() -> None:
    from agents import Agent, function_tool
    from agents.testing import ScriptedModel, function_call
    from linqbot_agent.openai import run

    @function_tool(needs_approval=True)
    def pay() -> str:
        """Pay."""
        return "paid"

    cashier: Agent[Any] = Agent("cashier", model=ScriptedModel([[function_call("pay", {}, call_id="c2")]]), tools=[pay])
    script = ScriptedModel([[function_call("ask", {"input": "Pay"}, call_id="c1")]])
    host: Agent[Any] = Agent("host", model=script, tools=[cashier.as_tool("ask", "Ask the cashier.")])
    async with talking(bot_of(Outside(), lambda ctx: run(host, ctx))) as phone:
        await phone.text("Pay")
        (error,) = await phone.errors()
        assert isinstance(error, BotError)
        assert "wants to be approved: pay." in str(error)


async def test_what_cannot_be_recorded_is_refused() -> None:
    from agents import Agent, ComputerTool
    from linqbot_agent.openai import run

    unusable = cast("Any", None)
    for agent in (
        Agent[Any]("a", output_type=int),
        Agent[Any]("a", tools=[ComputerTool(unusable)]),
        Agent[Any]("a", mcp_servers=[unusable]),
    ):
        async with talking(bot_of(Outside(), partial(run, agent))) as phone:
            await phone.text("Hi")
            (error,) = await phone.errors()
            assert isinstance(error, BotError), agent


@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_that_the_provider_had_cached_cost_less(stream: bool) -> None:
    from agents import Agent, Usage
    from agents.testing import ModelStep, ScriptedModel, assistant_message
    from linqbot_agent.openai import run

    usage = Usage(1, input_tokens=1000, output_tokens=10)
    usage.input_tokens_details.cached_tokens = 1000
    model: Any = ScriptedModel([ModelStep([assistant_message("Hi!")], usage)])
    model.model = "gpt-5"
    agent: Agent[Any] = Agent("host", model=model)
    bot = bot_of(Outside(), lambda ctx: run(agent, ctx, stream=stream), LinqAgent(budget=Budget(cost=1)))
    async with talking(bot) as phone:
        await phone.text("Hi")
        assert await phone.replies() == ["Hi!"]
        assert (await phone.state(Used, name=USED)).cost == Decimal("0.000225")
