"""A scene with an agent of pydantic-ai, whose model is a script: it calls one tool, and says what has become of it.

Imported only if linqbot-agent and pydantic-ai are installed.
"""

from __future__ import annotations

# Its run imports this in a thread, the first time: the first schedule would have other steps than the same one later.
import linqbot_agent.answering  # noqa: F401
from linqbot_agent import idempotency_key, run
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from linqbot.bot.context import Context
from linqbot_dev.simulation.scenes.person import Scene, SimulatedPerson, comes, shows, work
from linqbot_dev.simulation.schedule import LONGEST_PAUSE_S
from linqbot_dev.simulation.world import SimulatedWorld


class ErrandScene(Scene):
    """An agent with one tool, which acts in an outside system that takes each key once."""

    word = "errand"

    async def play(self, person: SimulatedPerson, number: int) -> None:
        acts = {"kind": "acts", "what": f"errand {number}"}
        # linqbot-agent says the latter to a person who waits for long.
        person.say(f"errand {number}", shows(f"errand {number} is done"), acts, comes("One moment …", optional=True))

    async def answer(self, world: SimulatedWorld, ctx: Context, number: str, generation: int) -> None:
        async def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            await work(world)
            last = messages[-1].parts[-1]
            if isinstance(last, ToolReturnPart):
                return ModelResponse(parts=[TextPart(f"errand {number} is {last.content}")])
            return ModelResponse(parts=[ToolCallPart("do_it", {}, f"call {number}")])

        agent = Agent(FunctionModel(model))

        @agent.tool_plain
        async def do_it() -> str:
            """Do the errand."""
            world.ledger.append({"at": world.loop.now, "key": idempotency_key(), "what": f"errand {number}"})
            return "done"

        # A person whose model does not answer in the time for a request hears an apology. Here the machine may sleep meanwhile.
        await run(agent, ctx, timeout_s=LONGEST_PAUSE_S)
