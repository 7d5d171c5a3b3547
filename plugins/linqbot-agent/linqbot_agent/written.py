"""The prompts of an agent: the message to answer, and what a model is shown after an interruption. Nothing here knows a framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from linqbot import BotError, Event, LinkPart, MessageEdited, MessageReceived
from linqbot.speakers import EDITED, in_mark, name_of, said_by

GO_ON: Final = (
    "[You were cut off here, and the person has read what you wrote. Go on behind it. Repeat nothing, and do not mention "
    "the interruption.]"
)

BYTES_PER_TOKEN: Final = 4
"""An estimate: tokens of English have about four letters. Other languages have more tokens."""


def prompt_of(message: MessageReceived) -> str:
    """Return the text of a message for a model, with its links and the names of its files, in groups with its speaker."""
    links = (part.value for part in message.parts if isinstance(part, LinkPart))
    text = " ".join(filter(None, [message.text_to_me, *links]))
    marks = [*map(name_of, message.media), *([EDITED] if message.edited else [])]
    return said_by(message.sender.handle, text, marks, always=bool(message.is_group))


def prompt_of_edit(edit: MessageEdited) -> str:
    """Return the new text of an edited message for a model."""
    by = edit.sender.handle if edit.is_group else "The person"
    return f"[{in_mark(by)} has edited a message. It says now: {in_mark(edit.text)}]"


def prompt_for(event: Event, already_sent: Sequence[str], heard: str = "") -> str:
    """Return the text of the event's message, in groups with its speaker; of an edit, the new text.

    `heard` is what its voice memos say, as marks; `already_sent` is what the person has got of an answer that a newer
    message has interrupted.
    """
    if isinstance(event, MessageEdited):
        return prompt_of_edit(event)
    if not isinstance(event, MessageReceived):
        raise BotError(f"{event.type} has no text for an agent. Give one: run(agent, ctx, prompt).")
    if not already_sent:
        return f"{prompt_of(event)}{heard}"
    read = "\n".join(said_by("You", text, always=False) for text in already_sent)
    return (
        f"{prompt_of(event)}{heard}\n\n[The last message interrupted your answer. The person has already read:\n{read}]"
    )


Change: TypeAlias = Callable[[str], str]
"""Changes a line of what a model has written before it is said."""


def changed(text: str, change: Change | None) -> str:
    return text if change is None else "\n".join(map(change, text.split("\n")))


class Lines:
    """Changes a text that grows, line by line: an address may come in several pieces. Without a change it is passed on."""

    def __init__(self, change: Change | None, write: Callable[[str], object]) -> None:
        self._change = change
        self._write = write
        self._line = ""

    def take(self, text: str) -> None:
        if self._change is not None:
            *ended, self._line = (self._line + text).split("\n")
            text = "".join(f"{changed(each, self._change)}\n" for each in ended)
        self._write(text)

    def end(self) -> None:
        self._write(changed(self._line, self._change))
