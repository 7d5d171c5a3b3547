"""An agent that books tables, each of them once. Try it: uv run --all-packages linqbot dev examples/agent.py

Without ANTHROPIC_API_KEY the model is a script. With it, install pydantic-ai-slim[anthropic].
"""

import os

from linqbot_agent import LinqAgent, idempotency_key, run
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from linqbot import Bot, Context, MessageReceived


def script(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Stand in for a model: book a table, and say the tool's result."""
    last = messages[-1].parts[-1]
    if isinstance(last, ToolReturnPart):
        return ModelResponse(parts=[TextPart(f"**{last.content}**\n\nCan I do anything else for you?")])
    return ModelResponse(parts=[ToolCallPart("book_table", {"hour": 20, "people": 2})])


model = "anthropic:claude-sonnet-4-6" if "ANTHROPIC_API_KEY" in os.environ else FunctionModel(script)
agent = Agent(model, instructions="You take bookings for a restaurant. Answer in short paragraphs.")
bookings: dict[str, str] = {}  # another system, which recognizes a repeated key
bot = Bot(plugins=[LinqAgent()])


@agent.tool_plain(requires_approval=True)
def book_table(hour: int, people: int) -> str:
    """Book a table for today."""
    bookings.setdefault(idempotency_key(), f"{people} at {hour}:00")
    return f"Booked for {people} at {hour}:00."


@bot.on_message
async def chat(message: MessageReceived, ctx: Context) -> None:
    await run(agent, ctx)
