"""The record of a stream: the messages that earlier runs of its turn have sent, and where a new run goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from linqbot.text.pieces import Piece
from linqbot.types.message import LinkPart, MessageContent, TextPart


class StreamRecord(Protocol):
    """The part of a turn's journal that belongs to one stream."""

    @property
    def label(self) -> str:
        """The key of all sends of the stream; see `Client.named`."""
        ...

    @property
    def said(self) -> Sequence[MessageContent]:
        """The messages of earlier runs, in order. Linq has taken them, or may have; planned ones may be still to send."""
        ...

    @property
    def is_complete(self) -> bool:
        """True if an earlier run has said everything."""
        ...

    @property
    def has_pauses(self) -> bool:
        """False in a dry run, whose clock stands still."""
        ...

    async def plan(self, messages: Sequence[MessageContent]) -> None:
        """Record messages that belong together before the first is sent: a run that ends between them leaves none out.

        Raises:
            StorageUnavailable: the record could not be stored.
        """
        ...

    def note(self, messages: Sequence[MessageContent]) -> None:
        """Record messages that were sent in this run."""
        ...

    def complete(self) -> None:
        """Record that everything was said."""
        ...


class Unrecorded:
    """A stream without a journal, such as in a dry run. It implements `StreamRecord`."""

    label = "stream"
    said: Sequence[MessageContent] = ()
    is_complete = False
    has_pauses = False

    async def plan(self, messages: Sequence[MessageContent]) -> None:
        """Record nothing."""

    def note(self, messages: Sequence[MessageContent]) -> None:
        """Record nothing."""

    def complete(self) -> None:
        """Record nothing."""


def seen(messages: Iterable[MessageContent]) -> str:
    """Return the text that a person has seen: a paragraph for each text, with the cards of other addresses below it."""
    paragraphs: list[str] = []
    for message in messages:
        for part in message.parts or ():
            if isinstance(part, TextPart):
                paragraphs.append(part.value)
            elif isinstance(part, LinkPart) and not any(part.value in each for each in paragraphs[-4:]):
                paragraphs[-1:] = ["\n".join([*paragraphs[-1:], part.value])]
    return "\n\n".join(paragraphs)


class Continuation:
    """Leaves out of a text that begins again what was already said.

    The comparison ignores spaces and brackets, which differ where an address became a card. If the new text differs from
    what was said, as a model's second answer does, all of it is new.

    Args:
        said: The text that was already said.
    """

    def __init__(self, said: str) -> None:
        self._said = _compared(said)
        self._at = 0
        self._skipped: list[Piece] = []
        self.is_different = False

    def new(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Return the pieces that are new, in order."""
        found: list[Piece] = []
        for piece in pieces:
            if self._at >= len(self._said):
                found.append(piece)
                continue
            text = _compared(piece.text.text)
            left = self._said[self._at :]
            if left.startswith(text):
                self._skipped.append(piece)
                self._at += len(text)
            elif text.startswith(left):
                found.append(_behind(piece, len(left)))
                self._at = len(self._said)
            else:
                self.is_different = True
                self._at = len(self._said)
                found += [*self._skipped, piece]
        return found


def _compared(text: str) -> str:
    return "".join(text.split()).replace("(", "").replace(")", "")


def _behind(piece: Piece, count: int) -> Piece:
    """Return the part of a piece behind the first `count` characters that are compared."""
    at = 0
    for character in piece.text.text:
        if not count:
            break
        at += 1
        count -= bool(_compared(character))
    return replace(piece, text=piece.text[at:].stripped())
