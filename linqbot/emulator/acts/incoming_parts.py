"""The parts of a message that a person writes: the models of the request, and the parts made from them."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field

from linqbot.emulator.acts.act import Body, Handle, Index, NotEmpty
from linqbot.emulator.endpoints import attachments
from linqbot.emulator.engine import content
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import content_shapes
from linqbot.emulator.model.answers import invalid
from linqbot.emulator.model.message_content import LinkPartRecord, MediaPartRecord, TextPartRecord

Range: TypeAlias = Annotated[list[Index], Field(min_length=2, max_length=2)]


class Mentioned(Body):
    """One mention in a text."""

    handle: Handle
    range: Range | None = Field(None, description="Start and end in UTF-16 units; the whole text if left out.")


class Text(Body):
    """A text part."""

    type: Literal["text"] = "text"
    value: NotEmpty
    text_decorations: list[dict[str, Any]] | None = None
    mention: Handle | None = Field(None, description="The handle that the text mentions; a line mentions the bot.")
    mention_range: Range | None = Field(None, description="Start and end in UTF-16 units; the whole text if left out.")
    mentions: list[Mentioned] | None = Field(None, description="Further mentions.")

    def shown(self, world: World) -> TextPartRecord:
        """Return the part of the message."""
        asked = [Mentioned(handle=self.mention, range=self.mention_range)] if self.mention else []
        asked += self.mentions or ()
        mentions = tuple(content.mention_of(world, one.handle, one.range, self.value) for one in asked)
        return TextPartRecord(self.value, text_decorations=self.text_decorations or None, mentions=mentions)


class Link(Body):
    """A link, which phones show as a preview card."""

    type: Literal["link"] = "link"
    value: NotEmpty

    def shown(self, world: World) -> LinkPartRecord:
        """Return the part of the message."""
        return LinkPartRecord(self.value)


class Media(Body):
    """A file, given by one of `data_base64`, `url` and `attachment_id`."""

    type: Literal["media"] = "media"
    filename: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    mime_type: str | None = Field(None, description="Guessed from `filename` if left out.")
    data_base64: str | None = Field(None, description="The content.")
    url: str | None = Field(None, description="An address; the emulator does not fetch foreign ones.")
    attachment_id: str | None = Field(None, description="An attachment that the emulator has.")

    def check(self) -> None:
        """Check that the file has a content.

        Raises:
            ApiError: 400, none of the three fields is there.
        """
        if not (self.data_base64 is not None or self.url or self.attachment_id):
            raise invalid("media needs data_base64, url or attachment_id")

    def shown(self, world: World) -> MediaPartRecord:
        """Store content given as bytes, and return the part of the message.

        Raises:
            ApiError: the base64 or the URL cannot be read, or there is no such attachment.
        """
        if self.data_base64 is None:
            return content.media_part(world, {"attachment_id": self.attachment_id, "url": self.url})
        try:
            data = base64.b64decode(self.data_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid("data_base64 is not base64") from error
        filename = self.filename or "file"
        kind = self.mime_type or content_shapes.mime_type_of(filename)
        return content.of_attachment(world, attachments.add(world, filename, kind, data))


Part: TypeAlias = Annotated[Text | Link | Media, Discriminator("type")]
