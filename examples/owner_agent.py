"""An agent whose owner approves: Dana is asked about each refund in her own chat with the bot, and the guest cannot answer.

Try it: uv run --all-packages linqbot dev examples/owner_agent.py, write "I want a refund", and answer as +14155550199 on a
second phone. Without ANTHROPIC_API_KEY the model is a script. With it, install pydantic-ai-slim[anthropic].
"""

import os

from linqbot_agent import LinqAgent, idempotency_key, run
from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from linqbot import AskEnded, Bot, Context, MessageReceived

DANA = "+14155550199"


def script(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Stand in for a model: give a refund to a guest who writes of one, and say what has become of it."""
    last = messages[-1].parts[-1]
    if isinstance(last, ToolReturnPart):
        return ModelResponse(parts=[TextPart("I am sorry." if last.outcome == "denied" else str(last.content))])
    return ModelResponse(parts=[ToolCallPart("refund", {"dollars": 80}) if "refund" in str(last) else TextPart("Hi!")])


model = "anthropic:claude-sonnet-4-6" if "ANTHROPIC_API_KEY" in os.environ else FunctionModel(script)
agent = Agent(model, instructions="You answer the guests of a hotel. Be brief.")
bot = Bot(plugins=[LinqAgent(other_topic="postpone", meanwhile="I have asked Dana.")])
refunds: dict[str, int] = {}  # another system, which recognizes a repeated key


@agent.tool_plain(requires_approval=True)
def refund(dollars: int) -> str:
    """Give money back to the guest."""
    refunds.setdefault(idempotency_key(), dollars)
    return f"You get ${dollars} back."


@bot.on_message
async def chat(message: MessageReceived, ctx: Context) -> None:
    try:
        await run(agent, ctx, approver=DANA)
    except AskEnded:  # no answer within a day, or Dana has opted out
        await ctx.reply("Dana could not decide. Please call us.")
