"""`ctx.chat`: the acts of a handler on the event's chat itself, such as renaming a group or adding a person.

The calls are journalled like those of `ctx.reply`. Linq only queues most changes, and an event about each follows. The
events of the bot's own changes reach no handler: `features/own_changes.py` recognises them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Final, overload

from linqbot.client.client import Client
from linqbot.client.resources.attachments import File
from linqbot.content.drafts import media
from linqbot.content.sending import stopped_by
from linqbot.content.uploads import Uploads
from linqbot.errors import BotError, LinqApiError, Refused
from linqbot.linq.handles import person_key, read_handle
from linqbot.linq.types.chat import BackgroundName, Handle
from linqbot.nearest import no_attribute

_NOT_SO: Final = (404, 409)
"""The statuses by which Linq refuses a change that is no change. They have other reasons too."""


class ChatContext:
    """Changes the event's chat. It belongs to one turn, like the context that has it as `ctx.chat`.

    If a plugin refuses a change, or the person has opted out, it is not made, and a line is logged. Handlers do not get
    the events of these changes.

    Args:
        client: The turn's client, whose calls are journalled.
        is_group: None if it is not known.
        uploads: The uploads of the turn.
        log: The logger of the context.

    Attributes:
        id: Linq's id of the chat.
    """

    def __init__(self, client: Client, chat_id: str, is_group: bool | None, uploads: Uploads, log: Any) -> None:
        self.id = chat_id
        self._client = client
        self._is_group = is_group
        self._uploads = uploads
        self._log = log

    if not TYPE_CHECKING:  # a type checker would accept any name

        def __getattr__(self, name: str) -> Any:
            return no_attribute(self, name)

    async def people(self) -> list[Handle]:
        """Return the people who are in the chat now, without your own line. Linq is asked each time.

        Raises:
            LinqUnavailable: Linq did not answer; the turn is deferred.
        """
        chat = await self._client.chats.retrieve(self.id)
        return [each for each in chat.handles if not each.is_me and each.status in (None, "active")]

    async def rename(self, name: str) -> None:
        """Give the group a name. The event `GroupNameUpdateFailed` follows if Linq cannot change it.

        Raises:
            BotError: the chat is not a group, or the name is empty.
            LinqApiError: Linq refused the change.
        """
        self._check_group("rename")
        if not isinstance(name, str) or not name.strip():
            raise BotError(f"ctx.chat.rename({name!r}) has no name. Linq cannot take a name away.")
        await self._make(self._client.chats.update(self.id, display_name=name))

    async def set_icon(self, icon: File, *, filename: str | None = None) -> None:
        """Give the group a picture. The event `GroupIconUpdateFailed` follows if Linq cannot use it.

        Example:
            `await ctx.chat.set_icon("dinner.jpg")`

        Args:
            icon: An image, as for `media`: a path, bytes, a file opened for reading bytes, or an https URL. What is no URL
                is uploaded, once in a turn.
            filename: The name of the file, such as `icon.png`. Required for bytes.
        Raises:
            BotError: the chat is not a group, or bytes were given without a name.
            OSError: the file cannot be read.
            RuleBroken: the URL is not an https URL, or the file is of a type or a size that Linq does not take.
            LinqApiError: Linq refused the change.
        """
        self._check_group("set_icon")
        draft = media(icon, filename=filename)

        async def change() -> None:
            await self._client.chats.update(self.id, group_chat_icon=await self._uploads.address(draft))

        await self._make(change())

    async def add(self, handle: str) -> None:
        """Add a person to the group. A person who is in the group already stays.

        Args:
            handle: An E.164 phone number or an e-mail address. It must support the group's service.
        Raises:
            BotError: the chat is not a group.
            RuleBroken: the handle is neither a phone number nor an e-mail address.
            LinqApiError: Linq refused the change. A group needs three participants, your line included.
        """
        self._check_group("add")
        try:
            await self._make(self._client.chats.participants.add(self.id, handle=read_handle(handle) or handle))
        except LinqApiError as error:
            if error.status not in _NOT_SO or not await self._has(handle):
                raise

    async def remove(self, handle: str) -> None:
        """Remove a person from the group. A person who is not in the group is no error.

        Raises:
            BotError: the chat is not a group.
            RuleBroken: the handle is neither a phone number nor an e-mail address.
            LinqApiError: Linq refused the change. Three participants must remain, your line included.
        """
        self._check_group("remove")
        try:
            await self._make(self._client.chats.participants.remove(self.id, handle=read_handle(handle) or handle))
        except LinqApiError as error:
            if error.status not in _NOT_SO or await self._has(handle):
                raise

    async def leave(self) -> None:
        """Leave the group. After that, the bot can neither write in the chat nor change it.

        Raises:
            BotError: the chat is not a group.
            LinqApiError: Linq refused it. Only an iMessage group of four or more, your line included, can be left.
        """
        self._check_group("leave")
        await self._make(self._client.chats.leave(self.id))

    @overload
    async def set_background(self, background: BackgroundName | str | None) -> None: ...

    @overload
    async def set_background(self, *, photo: str) -> None: ...

    @overload
    async def set_background(self, *, shades: Sequence[str]) -> None: ...

    async def set_background(
        self, background: str | None = None, *, photo: str | None = None, shades: Sequence[str] | None = None
    ) -> None:
        """Give the chat a background, or take it away. Only iMessage shows it; elsewhere nothing happens.

        The event `BackgroundUpdateFailed` follows if Linq cannot use a photo.

        Example:
            `await ctx.chat.set_background("sky sunset")`

        Args:
            background: A color such as `mango`, or a moving scene such as `sky sunset`. None takes the background away.
            photo: The https URL of a JPEG, PNG, HEIC or WebP image, instead.
            shades: Two colors such as `#1A2B3C`, instead.
        Raises:
            BotError: more than one was given.
            RuleBroken: the name is misspelt, the URL is not an https URL, or the shades are not two colors.
            LinqApiError: Linq refused the change.
        """
        if sum(each is not None for each in (background, photo, shades)) > 1:
            raise BotError("ctx.chat.set_background() takes one of a name, photo= and shades=.")
        target = self._client.chats.background
        if photo is not None:
            await self._make(target.set(self.id, type="photo", image_url=photo))
        elif shades is not None:
            await self._make(target.set(self.id, type="color", shades=shades))
        elif background is None:
            await self._make(target.remove(self.id))
        else:
            scene, _, variant = background.partition(" ")
            if variant:
                await self._make(target.set(self.id, type="dynamic", style=scene, variant=variant))
            else:
                await self._make(target.set(self.id, type="color", variant=background))

    async def _make(self, change: Awaitable[object]) -> None:
        try:
            await change
        except (Refused, LinqApiError) as error:
            if stopped_by(error, self._log) is None:
                raise

    async def _has(self, handle: str) -> bool:
        return any(person_key(each.handle) == person_key(handle) for each in await self.people())

    def _check_group(self, verb: str) -> None:
        if self._is_group is False:
            raise BotError(f"ctx.chat.{verb}() is for groups, and this chat is direct. Use the filter in_group.")
