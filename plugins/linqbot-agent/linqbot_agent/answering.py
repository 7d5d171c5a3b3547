"""From a message to an agent's answer: the prompt and the history, the run, and the questions for approval between.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from typing import Any

from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.run import AgentRunResult

from linqbot import BotError, Event, LinkPart, MessageReceived
from linqbot_agent.approvals import ApprovalNeeded, Approvals, Decision, decision
from linqbot_agent.durability import ModelFailed, Run, completed
from linqbot_agent.entries import Entries
from linqbot_agent.memory.person import exchange_of, keep
from linqbot_agent.memory.summaries import keep_summary
from linqbot_agent.remembering import remember, remembered, summary_key, work_of
from linqbot_agent.safety.known_links import KnownLinks
from linqbot_agent.safety.tool_guard import ToolGuard
from linqbot_agent.turn import Answer, Prompt, Settings

__all__ = ["ModelFailed", "answered", "repeated"]


async def answered(
    agent: AbstractAgent[Any, Any], settings: Settings, prompt: Prompt | None, *, deps: object
) -> Answer:
    """Return the answer of an agent.

    Raises:
        ModelFailed: a model failed.
        BudgetUsedUp: the person may not use the model any more today.
        BotError: the agent cannot run in a turn, or its output is no text.
        AskTimeout, AskCancelled: a call needed approval, and got no answer.
    """
    ctx, turn = settings.ctx, settings.turn
    run = Run(
        ctx=ctx,
        id=f"{settings.event.event_id}/{settings.name}",
        chat_id=settings.event.chat_id,
        entries=Entries(ctx, settings.name),
        account=turn.account,
        elsewhere=turn.elsewhere,
        timeout_s=settings.timeout_s,
        unpriced=turn.unpriced,
        counts=turn.counts,
    )
    past = await remembered(settings, run, with_current=prompt is not None)
    given = _prompt(settings.event) if prompt is None else prompt
    decisions, asked = dict[str, Decision](), list[tuple[str, str]]()
    while True:
        try:
            capabilities = [Approvals(decisions), *_guards(settings)]
            result = await completed(agent, run, given, deps=deps, history=past.messages, capabilities=capabilities)
            break
        except ApprovalNeeded as needed:
            asked.append((needed.call_id, needed.question))
            decisions[needed.call_id] = await decision(*asked[-1], settings)
            run.entries.begin_again()
    if not isinstance(result.output, str | None):
        raise BotError(
            f"The agent's output is of type {type(result.output).__name__}, and run() says texts. Use an agent whose "
            "output_type is str."
        )
    answer = Answer(
        text=result.output or "",
        work=work_of(result.new_messages()) if turn.memory == "chat" else [],
        talk=_talk(settings, result) if turn.memory == "person" else [],
        summary=past.summary,
        asked=asked,
        used=turn.account.in_part,
        cost=turn.account.cost_in_part,
        has_unrecorded=run.entries.has_unrecorded,
    )
    await _keep(answer, settings)
    return answer


async def repeated(
    answer: Answer, agent: AbstractAgent[Any, Any], settings: Settings, prompt: Prompt | None, *, deps: object
) -> None:
    """Do again what belongs to an answer on record, and is not stored before its turn ends.

    Raises:
        AskTimeout, AskCancelled: as for `answered`.
        ModelFailed, BudgetUsedUp, BotError: as for `answered`, if the code has changed since.
    """
    if answer.has_unrecorded:
        await answered(agent, settings, prompt, deps=deps)
        return
    for call_id, question in answer.asked:
        # A conversation goes on behind its last question, so the handler must come to each of them.
        await decision(call_id, question, settings)
    await settings.turn.account.book(*answer.used, answer.cost)
    await _keep(answer, settings)


async def _keep(answer: Answer, settings: Settings) -> None:
    """Note what is remembered of an answer. It is stored with the turn."""
    ctx, event = settings.ctx, settings.event
    await remember(ctx, event, answer.work)
    await keep(ctx, event, answer.talk, limit=settings.turn.history * (2 if settings.turn.summary_model else 1))
    await keep_summary(ctx, event, summary_key(settings), answer.summary)


def _talk(settings: Settings, result: AgentRunResult[Any]) -> list[Any]:
    if not isinstance(settings.event, MessageReceived):
        return []
    return exchange_of(_prompt(settings.event), result.new_messages(), result.output or "")


def _guards(settings: Settings) -> list[AbstractCapability[Any]]:
    """Return what limits the tools and the answer of a run."""
    turn, chat_id = settings.turn, settings.event.chat_id
    guards: list[AbstractCapability[Any]] = [ToolGuard(chat_id, turn.elsewhere, turn.unapproved)]
    return [*guards, KnownLinks()] if turn.known_links else guards


def _prompt(event: Event) -> str:
    """Return the text of the event's message, in groups with its speaker."""
    if not isinstance(event, MessageReceived):
        raise BotError(f"{event.type} has no text for an agent. Give one: run(agent, ctx, prompt).")
    files = [f"[{file.filename or file.mime_type or 'file'}]" for file in event.media]
    links = [part.value for part in event.parts if isinstance(part, LinkPart)]
    text = " ".join(filter(None, [event.text_to_me, *links, *files]))
    return f"{event.sender.handle}: {text}" if event.is_group else text
