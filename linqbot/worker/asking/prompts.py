"""Prompts: the messages by which a question is shown to the person.

Choices are shown as a poll on iMessage, and as a numbered list where there are no polls.
"""

from __future__ import annotations

from typing import Literal

import structlog

from linqbot.bot.asking.question import OpenQuestion, Question, as_prompt, cancel_words, text_to_show
from linqbot.bot.content.chat_sender import with_standing_refusal
from linqbot.bot.content.drafts import numbered_list
from linqbot.bot.context import Context
from linqbot.bot.sent import Sent
from linqbot.errors import LinqApiError
from linqbot.events.event import Event
from linqbot.types.message import TextPart
from linqbot.worker.asking.records import PROMPT, cancelled_for

log = structlog.get_logger("linqbot.worker")


async def send_question(question: Question, n: int, ctx: Context) -> OpenQuestion:
    """Send the messages of a question, and its poll. Return its stored form.

    Args:
        n: The number of the question in its conversation.
    Raises:
        AskCancelled: the person has opted out, or a plugin refused it.
    """
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
    )


async def send_again(question: OpenQuestion, ctx: Context) -> list[str]:
    """Send the messages of an open question again, and return their ids."""
    sent = [await ctx.client.chats.messages.send(ctx.chat_id, message=message) for message in question.prompt]
    return [each.message.id for each in sent]


async def send_choices(
    question: Question, root: Event, label: str, ctx: Context
) -> tuple[list[Sent], str | None, dict[str, str]]:
    """Send a question with its choices.

    Args:
        root: The event whose service decides.
        label: The name of the calls in the journal.
    Returns:
        What was sent as text; the id of the message with the poll, and its choices by option. Without a poll None, and
        an empty dict.
    Raises:
        LinqApiError: Linq refused a message, or did not answer.
    """
    has_poll = question.fits_poll and root.service in (None, "iMessage")
    messages = question.messages(numbered=bool(question.choices) and not has_poll, service=root.service)
    texts = [await ctx.reply(*messages, key=label)] if messages else []
    if not has_poll or any(sent.status in ("opted_out", "refused") for sent in texts):
        return texts, None, {}
    made = await _poll(question, label, ctx)
    if made is None:
        texts.append(await ctx.reply(TextPart(value=numbered_list(question.choices)), key=f"{label}l"))
        return texts, None, {}
    return texts, *made


async def _poll(question: Question, label: str, ctx: Context) -> tuple[str, dict[str, str]] | None:
    """Send the choices as a poll. Return the id of its message and the choices by option; None if Linq refused it."""
    options = [{"text": choice} for choice in question.choices]
    client = with_standing_refusal(ctx.client.named(f"{label}p"))
    try:
        made = await client.chats.polls.create(ctx.chat_id, poll={"options": options})
    except LinqApiError as error:
        if error.status is None or error.status == 401 or not 400 <= error.status < 500:
            raise  # a wrong API key refuses no poll: the turn waits for the operator, and then sends it
        log.info("ask.no_poll", status=error.status, code=error.code, chat_id=ctx.chat_id)
        return None
    ids = (option.option_id for option in made.poll.options)
    return made.message_id, dict(zip(ids, question.choices, strict=False))


def refusal_of(sent: Sent) -> Literal["opted_out", "refused"] | None:
    """Return why a message was not sent; None if it was."""
    if sent.status == "opted_out":
        return "opted_out"
    return "refused" if sent.status == "refused" else None


def _ids(sent: Sent) -> tuple[str, ...]:
    if (refused := refusal_of(sent)) is not None:
        raise cancelled_for(refused)
    return tuple(message.id for message in sent.messages)
