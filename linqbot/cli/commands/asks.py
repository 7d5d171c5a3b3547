"""`linqbot asks`: list the open questions of `ctx.ask`, answer one in place of the person, or end it.

An answer or an end waits in the lane of the chat like a message, so it never runs at the same time as a handler of the
chat. The server notices it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Literal

import click

from linqbot.cli.output import iso_time, json_option, print_facts, print_table
from linqbot.cli.storage_option import open_configured_storage, storage_option
from linqbot.errors import StorageError
from linqbot.storage.conversations import Conversation

if TYPE_CHECKING:
    from linqbot.features.asking.records import QuestionEnd

_MOST = 10_000
_CANCELLED: QuestionEnd = {"outcome": "cancelled", "reason": "operator"}


@click.group("asks")
def command() -> None:
    """List open questions of ctx.ask; answer or end one. Works next to a running server."""


@command.command("list")
@click.option("--chat", help="Only this chat.")
@click.option("--handler", help="Only questions of this handler, such as bot:book.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="List at most this many.")
@storage_option
@json_option
def list_(*, chat: str | None, handler: str | None, limit: int, storage: str | None, as_json: bool) -> None:
    """List the questions that wait for an answer, the oldest first. It shows the questions, but no answer."""

    async def work() -> list[dict[str, Any]]:
        async with open_configured_storage(storage) as inbox:
            found = await inbox.conversations(chat_id=chat, limit=_MOST)
        return [_row(each) for each in found if handler in (None, each.handler) and each.status != "timed_out"][:limit]

    print_table(asyncio.run(work()), as_json=as_json, empty="No question is open.")


@command.command("answer")
@click.argument("conversation", metavar="ID")
@click.argument("text")
@storage_option
@json_option
def answer(conversation: str, text: str, storage: str | None, as_json: bool) -> None:
    """Answer the question of conversation ID with TEXT, as if the person had written it."""
    asyncio.run(_order(storage, conversation, "answer", text))
    print_facts({"answered": conversation}, as_json=as_json)


@command.command("cancel")
@click.argument("conversation", metavar="[ID]", required=False)
@click.option("--chat", help="End all questions of this chat that a text would answer, instead of one.")
@storage_option
@json_option
def cancel(*, conversation: str | None, chat: str | None, storage: str | None, as_json: bool) -> None:
    """End the question of conversation ID. Its handler gets AskCancelled with the reason "operator"."""
    if (conversation is None) == (chat is None):
        raise click.UsageError("Give the ID of a conversation, or --chat. See: linqbot asks list")
    if chat is None:
        asyncio.run(_order(storage, str(conversation), "cancel", ""))
        print_facts({"cancelled": conversation}, as_json=as_json)
    else:
        ended = asyncio.run(_cancel_in(storage, chat))
        print_facts({"cancelled": ended if as_json else ", ".join(ended) or "no question"}, as_json=as_json)


def _row(conversation: Conversation) -> dict[str, Any]:
    from linqbot.features.asking.question import OpenQuestion

    question = OpenQuestion.read(conversation.question)
    return {
        "id": conversation.id,
        "status": conversation.status,
        "handler": conversation.handler,
        "chat": conversation.chat_id,
        "person": conversation.person.partition(" ")[0],
        "waits_for": question.waits_for if question else "unreadable",
        "asked_at": iso_time(conversation.asked_at),
        "until": iso_time(conversation.until),
        "invalid_answers": question.tries if question else None,
        "question": question.text if question else None,
    }


async def _cancel_in(url: str | None, chat: str) -> list[str]:
    """End the questions of a chat that a text would answer, and return the ids of their conversations."""
    from linqbot.features.asking.question import OpenQuestion
    from linqbot.features.asking.records import order

    ended, now = [], time.time()
    async with open_configured_storage(url) as inbox:
        for each in await inbox.conversations(chat_id=chat, limit=_MOST):
            question = OpenQuestion.read(each.question)
            if each.status == "waiting" and question is not None and question.takes_words:
                await inbox.put(order(each, question.n, _CANCELLED, name=f"cancel.{now:.3f}", now=now))
                ended.append(each.id)
    return ended


async def _order(url: str | None, conversation_id: str, kind: Literal["answer", "cancel"], text: str) -> None:
    # Imported here: the worker takes a while to import, and `asks list` does not need it.
    from linqbot.features.asking.question import OpenQuestion
    from linqbot.features.asking.records import order

    outcome: QuestionEnd = {"outcome": "answered", "text": text} if kind == "answer" else _CANCELLED
    async with open_configured_storage(url) as inbox:
        found = await inbox.conversation(conversation_id)
        if found is None or found[0].status != "waiting":
            raise StorageError(f"No question of a conversation {conversation_id} is open. See: linqbot asks list")
        conversation, _ = found
        question = OpenQuestion.read(conversation.question)
        if question is None:
            raise StorageError(
                f"The question of conversation {conversation_id} cannot be read: another release of linqbot may have "
                "stored it. Upgrade linqbot, or leave it: the next message of its chat ends it."
            )
        if kind == "answer" and not question.takes_words:
            raise StorageError(
                f"Conversation {conversation_id} waits for {question.waits_for}, which no text can stand for. It can be "
                "ended: linqbot asks cancel"
            )
        now = time.time()
        await inbox.put(order(conversation, question.n, outcome, name=f"{kind}.{now:.3f}", now=now))
