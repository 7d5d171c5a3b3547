"""Questions of tools: a tool that needs to know something raises `CallDeferred`, and the person's answer is its result.

The question is one of `ctx.ask`, so the handler ends and the process keeps nothing, as for approvals.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults

from linqbot import AskCancelled, BotError, TextPart
from linqbot_agent.turn import PersonNeeded, Settings
from linqbot_agent.written import said_by


class QuestionNeeded(PersonNeeded):
    """Ends an agent's run at a call of a tool whose question was not asked yet."""


@dataclass
class Questions(AbstractCapability[Any]):
    """Answers the calls of a run that have a question, by their ids."""

    answers: Mapping[str, str]

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Return the answers as the results of the calls.

        Raises:
            QuestionNeeded: a question was not asked yet.
            BotError: a tool has deferred its call without a question.
        """
        for call in requests.calls:
            if call.tool_call_id in self.answers:
                continue
            question = requests.metadata.get(call.tool_call_id, {}).get("question")
            if not isinstance(question, str) or not question.strip():
                raise BotError(
                    f"The tool {call.tool_name} raised CallDeferred without a question, so its call can have no result. "
                    'Write: raise CallDeferred(metadata={"question": "Which name?"}).'
                )
            raise QuestionNeeded(call.tool_call_id, question)
        return DeferredToolResults(
            calls={call.tool_call_id: self.answers[call.tool_call_id] for call in requests.calls}
        )


async def answer_of(call_id: str, question: str, settings: Settings) -> str:
    """Ask the question of a tool in the chat, and return the answer.

    Raises:
        AskTimeout: no answer came in time.
        AskCancelled: an operator ended the question, or it could not be sent.
    """
    if settings.ctx.side is not None:
        return "Not now: the person has not answered another question yet."
    try:
        said = await settings.ctx.ask(TextPart(value=question), key=f"{settings.name}/ask.{call_id}")
    except AskCancelled as error:
        if error.reason != "word":
            raise
        return "The person does not want to answer."
    return said_by("They", said, always=False)
