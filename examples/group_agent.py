"""An agent in a group: it plans dinners, and is silent if it has nothing to add.

Try it: uv run --all-packages linqbot dev examples/group_agent.py, and write in a group with the bot. Without
ANTHROPIC_API_KEY the model is a script. With it, install pydantic-ai-slim[anthropic].
"""

import os

from linqbot_agent import LinqAgent, run
from pydantic_ai import Agent, ModelMessage, ModelResponse, RunContext, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from linqbot import Bot, Context, MessageReceived, in_direct, in_group, mentions_bot, replies_to_bot


def script(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Stand in for a model: add the speaker as a guest, and say the tool's result."""
    last = messages[-1].parts[-1]
    return ModelResponse(
        parts=[TextPart(str(last.content)) if isinstance(last, ToolReturnPart) else ToolCallPart("add_guest")]
    )


async def concerns_dinner(message: MessageReceived, ctx: Context) -> bool:
    """Return True if the agent may have something to say. A small model could decide this."""
    return "dinner" in message.text.lower()


model = "anthropic:claude-sonnet-4-6" if "ANTHROPIC_API_KEY" in os.environ else FunctionModel(script)
agent = Agent(model, deps_type=Context, instructions="You plan dinners of a group of friends. Be brief.")
bot = Bot(groups="all", plugins=[LinqAgent()])


@agent.tool
def add_guest(ctx: RunContext[Context]) -> str:
    """Add the person who speaks to the guests."""
    return f"{ctx.deps.sender} is coming."


@bot.on_message(in_direct | mentions_bot | replies_to_bot)
@bot.on_message(in_group, when=concerns_dinner)
async def chat(message: MessageReceived, ctx: Context) -> None:
    await run(agent, ctx)
