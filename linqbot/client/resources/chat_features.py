"""The parts of a chat beyond messages: polls, shared locations, its background, and the cards that Linq offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from linqbot.client.resources.resource import ApiResource, Listing
from linqbot.linq.types.chat_features import ChatLocation, LocationAccepted, OfferedExperience, PollEnvelope


class Polls(ApiResource):
    """`client.chats.polls`: create polls."""

    async def create(
        self, chat_id: str, *, poll: Mapping[str, Any], extra_body: Mapping[str, Any] | None = None
    ) -> PollEnvelope:
        """Create a poll in an existing iMessage chat. Safe to repeat: equal `poll.idempotency_key`s create one poll.

        Args:
            poll: `{"options": [{"text": …}, …]}`, two or more options; a poll has no title. A missing `idempotency_key`
                is generated.
        Returns:
            The poll, from now on identified by its `message_id`. `poll.*` events report its delivery and votes.
        Raises:
            LinqApiError: 400/1005 the chat is on SMS or RCS, 403/2024 the person opted out, 409 your line left the
                chat.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/polls/methods/create
        """
        return await self._read(PollEnvelope, "chats.polls.create", locals(), known={"chat_id": chat_id})


class MessagePoll(ApiResource):
    """`client.messages.poll`: read a poll, add options to it, and vote."""

    async def retrieve(self, message_id: str, *, extra_body: Mapping[str, Any] | None = None) -> PollEnvelope:
        """Get a poll by the id of its message, a UUID: its options and their voters.

        Raises:
            LinqApiError: 404/2002 no message with this id, or the message is not a poll.
        Source: https://docs.linqapp.com/api/resources/messages/subresources/poll/methods/retrieve
        """
        return await self._read(PollEnvelope, "messages.poll.retrieve", locals())

    async def add_options(
        self, message_id: str, *, options: Sequence[Mapping[str, Any]], extra_body: Mapping[str, Any] | None = None
    ) -> PollEnvelope:
        """Add options to a poll. Options cannot be removed. Not retried after a lost response.

        Args:
            options: `[{"text": …}, …]`, one or more. On a zero-retention line, list all existing options first, in
                their order: Linq keeps no copy of them.
        Raises:
            LinqApiError: 404/2002 no message with this id, or the message is not a poll.
        Source: https://docs.linqapp.com/api/resources/messages/subresources/poll/methods/add_options
        """
        return await self._read(PollEnvelope, "messages.poll.add_options", locals())

    async def vote(
        self,
        message_id: str,
        *,
        operation: Literal["add", "remove"] | str,
        option_id: str,
        extra_body: Mapping[str, Any] | None = None,
    ) -> PollEnvelope:
        """Vote for an option, or take the vote back.

        Args:
            option_id: The id of the option: `PollOption.option_id`.
        Raises:
            LinqApiError: 404 the poll has no such option, or the message is not a poll.
        Source: https://docs.linqapp.com/api/resources/messages/subresources/poll/methods/vote
        """
        return await self._read(PollEnvelope, "messages.poll.vote", locals())


class LocationResource(ApiResource):
    """`client.chats.location`: read, request and stop the sharing of locations."""

    async def retrieve(self, chat_id: str, *, extra_body: Mapping[str, Any] | None = None) -> ChatLocation:
        """Get the locations that participants of this chat share. No event reports movements: call again for news.

        Returns:
            GeoJSON with one feature per person; coordinates are longitude and latitude in degrees. Empty while no
            participant shares a location, or none was located yet.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/location/methods/retrieve
        """
        return await self._read(ChatLocation, "chats.location.retrieve", locals())

    async def request(self, chat_id: str, *, extra_body: Mapping[str, Any] | None = None) -> LocationAccepted:
        """Ask the person of a direct iMessage chat to share their location. Not retried after a lost response.

        If the person agrees, `location.sharing.started` follows.

        Raises:
            LinqApiError: 409/2016 the chat is a group, 409/2017 it is on SMS or RCS, 409 the person shares already.
            RateLimited: Too many requests in this chat. Linq does not publish the limit; `retry_after_s` says how long
                to wait.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/location/methods/request
        """
        return await self._read(LocationAccepted, "chats.location.request", locals())

    async def stop(self, chat_id: str, *, handle: str, extra_body: Mapping[str, Any] | None = None) -> LocationAccepted:
        """Stop receiving a person's location, in all chats with this line. `location.sharing.stopped` follows.

        Args:
            handle: The person: E.164 phone number or e-mail address.
        Raises:
            LinqApiError: 404 the person shares no location.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/location/methods/stop
        """
        return await self._read(LocationAccepted, "chats.location.stop", locals())


class Background(ApiResource):
    """`client.chats.background`: set or remove the background of a chat.

    Only iMessage shows it. On other services Linq accepts the call and ignores it; no event follows.
    """

    async def set(
        self,
        chat_id: str,
        *,
        type: Literal["color", "dynamic", "photo"] | str,  # noqa: A002 - Linq's name for it, and the official client's
        image_url: str | None = None,
        shades: Sequence[str] | None = None,
        style: str | None = None,
        variant: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        """Set the background of a chat. `chat.background_updated` or `chat.background_update_failed` follows.

        Args:
            type: `color` with a `variant` or with two `shades`; `dynamic` with `style` and `variant`; `photo` with
                `image_url`.
            image_url: The https URL of a JPEG, PNG, HEIC or WebP image.
            shades: Two colors such as `#1A2B3C`, for a `color` without a variant or with the variant `custom`.
            style: `sky`, `water` or `aurora`.
            variant: For a color: mango, ice, plum, deep_sea, green_apple, cherry, bubblegum, tangerine, magenta, lime,
                silver, carbon, stone, custom. For sky: dusk, haze, sunset, clear, sunrise, dawn. For water: light,
                dark. For aurora: green, purple, pink.
        Raises:
            LinqApiError: 400/5006 the URL is not an image, 400/5007 the URL cannot be fetched, 404/2001 no chat with
                this id.
        Source: https://docs.linqapp.com/api/resources/chats/subresources/background/methods/set
        """
        await self._call("chats.background.set", locals())

    async def remove(self, chat_id: str, *, extra_body: Mapping[str, Any] | None = None) -> None:
        """Remove the background of a chat. `chat.background_updated` follows.

        Source: https://docs.linqapp.com/api/resources/chats/subresources/background/methods/remove
        """
        await self._call("chats.background.remove", locals())


class Experiences(ApiResource):
    """`client.experiences`: list the experiences that Linq offers, with their actions and fields."""

    def list(self, *, extra_body: Mapping[str, Any] | None = None) -> Listing[OfferedExperience]:
        """List all experiences with their actions and fields. The list has a single page.

        Source: https://docs.linqapp.com/api/resources/experiences/methods/list
        """
        return self._list(OfferedExperience, "experiences.list", "experiences", locals())

    async def retrieve(self, experience: str, *, extra_body: Mapping[str, Any] | None = None) -> OfferedExperience:
        """Get an experience by its name, such as `link`.

        Raises:
            LinqApiError: 404 no experience has this name.
        Source: https://docs.linqapp.com/api/resources/experiences/methods/retrieve
        """
        return await self._read(OfferedExperience, "experiences.retrieve", locals())
