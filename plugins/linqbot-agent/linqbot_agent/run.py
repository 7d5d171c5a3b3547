"""`run`: answers a message with an agent. A run that is cut off goes on where it was, and says everything once."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib import import_module
from types import EllipsisType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from linqbot import Context
from linqbot.errors import TurnDeferred
from linqbot_agent.budget import BudgetUsedUp
from linqbot_agent.outputs import text_of
from linqbot_agent.progress import PROGRESS, Progress
from linqbot_agent.saying import Speech, say
from linqbot_agent.turn import Answer, Outage, Prompt, Settings, turn_of

if TYPE_CHECKING:
    from pydantic_ai.agent import AbstractAgent

TROUBLE: Final = "linqbot_agent.Trouble"
"""The name of the state, next to the states of the bot's author."""
_PAUSE_S: Final = 3600.0
"""The time between two apologies to one person."""
_ANSWERING: Final = "linqbot_agent.answering"


class Trouble(BaseModel):
    """The state of a person whom an agent could not answer.

    Attributes:
        said_at: The time of the last apology, in Unix seconds; None since an agent has answered again.
    """

    said_at: float | None = None


async def run(
    agent: AbstractAgent[Any, Any],
    ctx: Context,
    prompt: Prompt | None = None,
    *,
    deps: object = None,
    stream: bool = False,
    timeout_s: float = 60.0,
    progress: str | None = PROGRESS,
    progress_after_s: float = 5.0,
    sorry: str | EllipsisType | None = ...,
    outage: Outage | None = None,
    approver: str = "asker",
) -> str | None:
    """Answer the event's message with an agent, in the event's chat.

    Each request to the model and each tool call is recorded before the next one begins. If the turn runs again, after a
    crash, a failure or a question, recorded ones are not repeated. A request or a tool call that was cut off is made
    again: see `idempotency_key`. The answer is read as Markdown and said in messages, each of them once.

    Only the agent's output is said, unless `stream` is True: a text, a `Say`, `Tapback`, `Poll` or `Media`, or a list
    of these. An empty text, `Silence` and None say nothing. If the model fails, the turn ends with an
    apology, or waits for the model: see `outage` of `LinqAgent`.

    Args:
        agent: A pydantic-ai agent. Its output type is `str`, or one or several of the output types of this package.
        prompt: The prompt: a text, or texts and files as pydantic-ai takes them. None is the text of the event's message.
        deps: The dependencies of the agent's tools; None is `ctx`.
        stream: True says texts while the model writes them, and also those that it writes before it calls a tool.
        timeout_s: The longest time of one request to the model, in seconds.
        progress: The text to say, once, if nothing was said for a while; None says nothing.
        progress_after_s: The seconds after which it is said.
        sorry: The text to say when the model fails; None says nothing. Without it, that of `LinqAgent`.
        outage: What becomes of the message when the model's provider is away; None is as `LinqAgent` says.
        approver: Who must approve calls of tools that need approval: the person who caused the event, or a handle in the
            chat.
    Returns:
        The text that was said, a paragraph for each `Say`; empty if there was none. None if the model failed, or the
        person has used up the budget.
    Raises:
        BotError: the bot has no plugin LinqAgent, another agent of this turn is running, there is no prompt, a toolset
            of the agent has no id, the agent's output is none of these types, `progress_after_s` is not a number of
            seconds, or `stream` is True for a model that writes JSON.
        AskTimeout: a call needed approval, and no answer came within a day.
        AskCancelled: the question for approval was ended, or could not be sent.
        ResultNotRecorded: the result of a tool cannot be written as JSON.

    Example: `await run(agent, ctx)`
    """
    turn = turn_of(ctx)
    with turn.next_run() as name:
        await _import_answering()
        from linqbot_agent.answering import ModelFailed, answered, cut, repeated

        soon = Progress(progress, progress_after_s, turn.clock)
        speech = Speech(ctx, turn.options.max_messages, turn.options.more)
        settings = Settings(ctx, ctx.event, name, turn, timeout_s, approver, soon, speech, stream)
        given = ctx if deps is None else deps
        try:
            if (answer := ctx.recall(f"{name}/answer", kind=Answer)) is None:
                found = await answered(agent, settings, prompt, deps=given)
                # From here on the answer stands, whatever today's code would say: a part of it may have been said.
                answer = await ctx.once(f"{name}/answer", lambda _: found, kind=Answer, retry=True, restartable=True)
                turn.counts.runs += 1
            else:
                await repeated(answer, agent, settings, prompt, deps=given)
        except ModelFailed as error:
            ctx.log.warning("agent.model_failed", **error.facts)
            turn.counts.outages += 1
            if error.is_away and (outage or turn.options.outage) == "defer":
                raise TurnDeferred("The provider of the agent's model is away.", after_s=error.after_s) from None
            await apologise(ctx, turn.options.sorry if isinstance(sorry, EllipsisType) else sorry, key=f"{name}/sorry")
            return None
        except BudgetUsedUp:
            # Not the key of the apology: a run that was killed behind it may find that the budget is used up by now.
            if (notice := await turn.account.notice()) is not None:
                await ctx.reply(notice, key=f"{name}/notice")
            return None
        (await _trouble(ctx)).said_at = None
        await say(answer.outputs, speech, ctx, settings.event, key=name)
        text = answer.said or text_of(answer.outputs)
        if not speech.is_cut or not text:
            return text
        return await cut(answer, settings)


async def _import_answering() -> None:
    """Import what runs an agent. pydantic-ai takes half a second to import, which other chats must not wait for."""
    # A module is in `sys.modules` from the beginning of its import. Importing it then would block until the end.
    if hasattr(sys.modules.get(_ANSWERING), "answered"):
        return
    importing = _importing()
    try:
        # Shielded: a run that is cancelled does not take the import from the others.
        await asyncio.shield(asyncio.wrap_future(importing))
    finally:
        if importing.done():
            _importing.cache_clear()  # an import that has failed is tried again


@cache
def _importing() -> Future[ModuleType]:
    """Begin the import in a thread of its own, once for all runs."""
    with_one_thread = ThreadPoolExecutor(1)
    try:
        return with_one_thread.submit(import_module, _ANSWERING)
    finally:
        with_one_thread.shutdown(wait=False)


async def apologise(ctx: Context, text: str | None, *, key: str) -> None:
    """Say that the person gets no answer, at most once an hour until an agent answers this person again."""
    trouble, now = await _trouble(ctx), ctx.now("UTC").timestamp()
    if text is not None and (trouble.said_at is None or now >= trouble.said_at + _PAUSE_S):
        trouble.said_at = now
        await ctx.reply(text, key=key)


async def _trouble(ctx: Context) -> Trouble:
    # An event without a person, such as a schedule, is one of its chat.
    about = ctx.state.person if ctx.event.actor and not ctx.event.is_own else ctx.state.chat
    return await about(Trouble, name=TROUBLE)
