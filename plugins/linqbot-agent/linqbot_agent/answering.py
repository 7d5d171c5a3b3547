"""From a message to the answer of a pydantic-ai agent: the past and the prompt, the run, and the answer on record in a later run.

This module imports pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.output import NativeOutput, PromptedOutput

from linqbot import BotError, Draft
from linqbot.characters import repaired
from linqbot_agent.approvals import Questions
from linqbot_agent.capabilities import KnownLinks, NoContent, Rules
from linqbot_agent.durability import completed
from linqbot_agent.entries import with_cut_texts
from linqbot_agent.history import past_of
from linqbot_agent.memory import answer_of, keep_answer, keep_work
from linqbot_agent.messages import parted, prompt_for
from linqbot_agent.requests import Requests
from linqbot_agent.run import Answer, Prompt, Settings, done, server_tools
from linqbot_agent.saying import outputs_of, text_of

_PARAGRAPH: Final = "\n\n"


async def answered(
    agent: AbstractAgent[Any, Any], settings: Settings, prompt: Prompt | None, *, deps: object
) -> Answer:
    _check_output(agent, settings)
    requests, entries = Requests(settings), settings.entries
    past = await past_of(settings, _model(agent), has_prompt=prompt is not None)
    given = prompt_for(settings.event, settings.ctx.already_sent, past.words) if prompt is None else repaired(prompt)
    questions = Questions(settings)
    capabilities = [Rules(settings, questions), *_guards(settings)]
    async with settings.progress.watching(settings.ctx, key=f"{settings.name}/progress"):
        tools = await server_tools(settings)
        work = completed(
            agent, requests, given, tools, deps=deps, message_history=past.messages, capabilities=capabilities
        )
        try:
            result = await questions.run(work)
        except Exception:
            _, live = parted(requests.given, settings.run_id)
            await keep_work(requests, past, live)
            raise
    outputs = outputs_of(done(settings) if result.owes_words else result.output)
    text = text_of(outputs)
    answer = answer_of(
        requests,
        past,
        result.messages,
        text,
        outputs=[] if result.is_said else outputs,
        said=text if result.is_said else "",
        bubbles=entries.said,
        steps=entries.steps,
        asked=questions.asked,
        has_unrecorded=entries.runs_again,
    )
    # What is remembered of it repeats a long answer, and both are one record.
    answer = Answer.model_validate(with_cut_texts(answer.model_dump(mode="json")))
    await keep_answer(answer, settings)
    return answer


async def repeated(
    answer: Answer, agent: AbstractAgent[Any, Any], settings: Settings, prompt: Prompt | None, *, deps: object
) -> None:
    """Do again what belongs to an answer on record, and is not stored before its turn ends."""
    if answer.has_unrecorded:
        without_progress = replace(settings.progress, text=None)
        await answered(agent, replace(settings, progress=without_progress), prompt, deps=deps)
        return
    questions = Questions(settings)
    for number in range(len(answer.asked) + 1):
        for step in answer.steps[number] if answer.steps else ():
            # The messages that it has taken, and the sends that it has scheduled, belong to the turn in this run too.
            settings.ctx.recall(step)
        for step in answer.bubbles[number] if answer.bubbles else ():
            # All of it was said, so only its messages are repeated.
            await settings.ctx.model_step(step, _not_asked, say=lambda _: "", stream=settings.speech.stream)
        if number < len(answer.asked):
            # A conversation goes on behind its last question, so the handler must come to each of them.
            await questions.ask(*answer.asked[number])
    await keep_answer(answer, settings)


async def _not_asked(_: Draft) -> None:
    """Stand for the request of a response that is on record."""


async def cut(answer: Answer, settings: Settings) -> str:
    """Return what was said of an answer that was cut. It is remembered in place of the answer."""
    said = _PARAGRAPH.join(settings.speech.said)
    if answer.talk:
        answer.talk[-1]["parts"][-1]["content"] = said
        await keep_answer(answer, settings)
    return said


def _model(agent: AbstractAgent[Any, Any]) -> str | None:
    model = agent.model
    return model.rpartition(":")[2] if isinstance(model, str) else None if model is None else model.model_name


def _guards(settings: Settings) -> list[AbstractCapability[Any]]:
    options, guards = settings.turn.options, list[AbstractCapability[Any]]()
    if options.known_links:
        guards.append(KnownLinks(asks_again=not settings.stream))
    # Events that do not say whether their line has zero retention are treated as if it had.
    if not options.trace_content or getattr(settings.event, "zero_retention", True):
        guards.append(NoContent())
    return guards


def _check_output(agent: AbstractAgent[Any, Any], settings: Settings) -> None:
    """Check that what the model writes may be said as it is."""
    types = agent.output_type if isinstance(agent.output_type, Sequence) else [agent.output_type]
    if settings.stream and any(isinstance(each, NativeOutput | PromptedOutput) for each in types):
        raise BotError(
            "run(stream=True) says what the model writes, and with NativeOutput or PromptedOutput it writes JSON. Give the "
            "types themselves as output_type, or leave out stream=True."
        )
