"""Prompts: the messages, and the poll, by which a question is shown to the person."""

from __future__ import annotations

from linqbot.bot.asking.question import OpenQuestion, Question, as_prompt, cancel_words, text_to_show
from linqbot.bot.context import Context
from linqbot.bot.sent import Sent
from linqbot.bot.turn_context import TurnContext
from linqbot.events.event import Event
from linqbot.worker.asking.polls import send_choices
from linqbot.worker.asking.records import PROMPT, AskRefused, cancelled_for
from linqbot.worker.asking.root_event import looked_up
from linqbot.worker.asking.waits.waiting import begin_wait, refusal_of


async def send_question(question: Question, n: int, root: Event, ctx: TurnContext) -> OpenQuestion:
    """Send the messages of a question and its poll, or what begins a wait. Return its stored form.

    Args:
        n: The number of the question in its conversation.
        root: The event with which the handler began.
    Raises:
        AskCancelled: the person has opted out, or a plugin refused it.
    """
    found = looked_up(root, ctx.after_ask)
    if question.wait is not None:
        try:
            opened = await begin_wait(question.wait, question, n, root, ctx)
        except AskRefused as error:
            raise cancelled_for(error.reason) from None
        return opened.model_copy(update=found)
    texts, poll, options = await send_choices(question, ctx.event, f"{PROMPT}{n}", ctx)
    ids = tuple(message for sent in texts for message in _ids(sent))
    messages = question.messages(numbered=bool(question.choices) and poll is None, service=ctx.event.service)
    return OpenQuestion(
        n=n,
        key=question.key,
        text=text_to_show(messages),
        messages=ids,
        choices=question.choices,
        poll=poll,
        options=options,
        reactions=() if question.yes is None else (question.yes, "dislike"),
        events=question.events,
        cancel=cancel_words(question.cancel, question.choices),
        repeat=question.repeat,
        also=tuple(handle.casefold() for handle in question.also),
        side_questions=question.side_questions,
        prompt=as_prompt(messages),
        next=n + 1,
        **found,
    )


async def send_again(question: OpenQuestion, ctx: Context) -> list[str]:
    """Send the messages of an open question again, and return their ids."""
    sent = [await ctx.client.chats.messages.send(ctx.chat_id, message=message) for message in question.prompt]
    return [each.message.id for each in sent]


def _ids(sent: Sent) -> tuple[str, ...]:
    if (refused := refusal_of(sent)) is not None:
        raise cancelled_for(refused)
    return tuple(message.id for message in sent.messages)
