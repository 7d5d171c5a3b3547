"""Acts that are no messages: of a person on a group, a poll, a payment or a share, and of Linq or the account's team."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from linqbot_dev.emulator.acts.conversation import (
    Body,
    ByPerson,
    Handle,
    InChat,
    NotEmpty,
    active_member,
    check_group,
    known_name,
)
from linqbot_dev.emulator.endpoints import contacts, locations, payments, polls
from linqbot_dev.emulator.engine import chat_state, sending
from linqbot_dev.emulator.engine.sending import line_of_account
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import payloads
from linqbot_dev.emulator.model.answers import conflict, existing, not_found
from linqbot_dev.emulator.model.documents import iso
from linqbot_dev.emulator.model.faults import Fault, NewFault
from linqbot_dev.emulator.model.records import Line


class Leave(InChat):
    """Leave a group, or remove another participant from it."""

    handle: Handle | None = Field(None, description="The participant to remove; a line removes the bot.")

    def perform(self, world: World) -> None:
        chat, _ = self.group(world)
        gone = chat.member(self.handle or self.from_)
        if gone is None or gone.status != "active":
            raise not_found("participant")
        chat_state.depart(world, chat, gone, by=self.from_)


class Join(ByPerson):
    """Join a group, also again after leaving, or add another person to it."""

    chat_id: str
    handle: Handle | None = Field(None, description="The person to add.")

    def perform(self, world: World) -> None:
        chat = world.state.chat(self.chat_id)
        check_group(chat)
        newcomer = self.handle or self.from_
        member = chat.member(newcomer)
        if member is not None and member.status == "active":
            raise conflict("This handle is a participant already")
        chat_state.join(world, chat, newcomer, by=self.from_)


class Pay(Body):
    """Pay a payment request, or approve a payment."""

    id: str = Field(description="The id of the payment request or the payment.")

    def perform(self, world: World) -> None:
        payments.pay(world, self.id)


class Decline(Body):
    """Refuse a payment request or a payment, as the payer or the payer's bank."""

    id: str = Field(description="The id of the payment request or the payment.")

    def perform(self, world: World) -> None:
        payments.decline(world, self.id)


class Connect(ByPerson):
    """Complete the connection to the payment provider, so that the customer can be charged."""

    def perform(self, world: World) -> None:
        payments.complete(world, self.from_)


class Disconnect(ByPerson):
    """End the connection to the payment provider, as the customer."""

    def perform(self, world: World) -> None:
        payments.disconnect(world, self.from_)


@dataclass(frozen=True, slots=True)
class Report:
    """Deliver an event of a line with these data, which are not checked. It changes nothing else."""

    event_type: str
    data: Mapping[str, Any]
    line: str

    def perform(self, world: World) -> None:
        world.emit_account(self.event_type, dict(self.data), line=self.line)


class ShareLocation(InChat):
    """Share a location, move to another one, or stop sharing."""

    state: Literal["started", "stopped"] = "started"
    latitude: Annotated[float, Field(ge=-90, le=90)] = Field(0.0, description="Degrees.")
    longitude: Annotated[float, Field(ge=-180, le=180)] = Field(0.0, description="Degrees.")
    for_s: Annotated[float, Field(gt=0, le=10**8)] | None = Field(
        None, description="Seconds until sharing ends; null shares until the person stops."
    )

    def perform(self, world: World) -> None:
        chat, _ = self.place(world)
        if self.state == "stopped":
            locations.end(world, chat, self.from_)
            return
        sending.check_present(chat)
        locations.begin(world, chat, self.from_, self.latitude, self.longitude, for_s=self.for_s)


class ShareCard(ByPerson):
    """Share name and photo with the line `to`. Linq reports a card once, and again when the card has changed."""

    to: Handle = Field(description="A line of the account.")
    first_name: Annotated[str, Field(max_length=100)]
    last_name: Annotated[str, Field(max_length=100)] = ""
    media_url: str | None = Field(None, description="The address of the photo.")

    def perform(self, world: World) -> None:
        line_of_account(world, self.to)
        card, shared = (self.first_name, self.last_name, self.media_url), world.state.received_cards
        if self.from_ not in world.state.blocked and shared.get((self.from_, self.to)) != card:
            shared[self.from_, self.to] = card
            data = payloads.contact_received(self.from_, self.to, *card)
            world.emit_account("contact_card.received", data, line=self.to)


class MakePoll(InChat):
    """Make a poll in an iMessage chat. The answer has `chat_id` and `message_id`."""

    options: Annotated[list[NotEmpty], Field(min_length=2)] = Field(description="The texts of the options.")

    def perform(self, world: World) -> dict[str, str]:
        chat, by = self.place(world)
        sending.check_present(chat)
        if chat.service != "iMessage":
            raise conflict("Polls need an iMessage chat")
        message = chat_state.store(world, chat, by, [], poll=polls.new_poll(world, by, self.options))
        world.emit("poll.received", payloads.poll_received(chat, message), chat)
        world.show_chat(chat)
        world.show_message(message)
        return {"chat_id": self.chat_id, "message_id": message.id}


class AddOptions(ByPerson):
    """Add options to a poll."""

    message_id: str
    options: Annotated[list[NotEmpty], Field(min_length=1)] = Field(description="The texts of the options.")

    def perform(self, world: World) -> None:
        chat, message, _ = world.state.poll(self.message_id)
        polls.extend(world, chat, message, active_member(chat, self.from_), self.options)


class Vote(ByPerson):
    """Vote for an option of a poll, or take the vote back."""

    message_id: str
    option_id: str
    operation: Literal["add", "remove"] = "add"

    def perform(self, world: World) -> None:
        chat, message, _ = world.state.poll(self.message_id)
        member = active_member(chat, self.from_)
        polls.toggle(world, chat, message, member, self.option_id, is_on=self.operation == "add")


class ChangeLine(Body):
    """Change a line, as Linq or the team on its dashboard.

    A line is added before the other changes, and removed after them.
    """

    phone_number: Handle
    assigned: bool | None = Field(None, description="true adds the line to the account; false removes line and chats.")
    line_type: Annotated[str, known_name("line.type", ("iMessage", "RCS"))] = Field(
        "iMessage", description="The type of a line that is added."
    )
    status: Annotated[str, known_name("line.status", ("ACTIVE", "FLAGGED"))] | None = Field(
        None, description="A flagged line cannot send."
    )
    reputation: Annotated[str, known_name("line.reputation", ("HEALTHY", "AT_RISK", "CRITICAL"))] | None = None
    zero_retention: bool | None = Field(None, description="true keeps none of the line's messages from now on.")
    card: Literal["deleted"] | None = Field(None, description="Delete the line's contact card.")

    def perform(self, world: World) -> None:
        number, lines = self.phone_number, world.state.lines
        if self.assigned and number not in lines:
            world.state.released.pop(number, None)
            lines[number] = Line(number, line_type=self.line_type)
            self._report(world, "phone_number.assigned")
            world.show_all()
        line = existing(lines.get(number), "phone number")
        if self.status or self.reputation:
            before = {"previous_status": line.status, "previous_reputation": line.reputation}
            line.status, line.reputation = self.status or line.status, self.reputation or line.reputation
            after = {"new_status": line.status, "new_reputation": line.reputation}
            self._report(world, "phone_number.status_updated", **before, **after)
            world.show_conditions()
        if self.zero_retention is not None and self.zero_retention != line.zero_retention:
            summary = f"Turned {'on' if self.zero_retention else 'off'} zero-day retention"
            change = {"from": line.zero_retention, "to": self.zero_retention}
            line.zero_retention = self.zero_retention
            data = payloads.by_team(summary, world.now(), phone_number=number, change=change)
            world.emit_account("zero_day_retention.updated", data, line=number)
        if self.card:
            contacts.delete_card(world, number)
        if self.assigned is False:
            world.state.remove_line(line)
            self._report(world, "phone_number.released")
            world.show_all()

    def _report(self, world: World, event_type: str, **what_changed: str) -> None:
        data = {"phone_number": self.phone_number, **what_changed, "changed_at": iso(world.now())}
        world.emit_account(event_type, data, line=self.phone_number)


class SetOptOut(Body):
    """Record that a person has opted out of messages, or no longer has.

    A person opts out by writing STOP. This act records it without a message, as if the person had done it before. A text
    of the person ends it too.
    """

    handle: Handle
    opted_out: bool = Field(description="While true, Linq refuses messages to the person with 403 and code 2024.")

    def perform(self, world: World) -> None:
        sending.set_opt_out(world, self.handle, is_out=self.opted_out)


class SetProvider(Body):
    """Set the status of a payment provider.

    Linq answers 403 to payment requests through a provider that is not `ready`.
    """

    provider: str
    status: Annotated[str, known_name("provider.status", ("onboarding", "ready", "disabled"))]

    def perform(self, world: World) -> None:
        if self.provider not in world.state.providers:
            raise not_found("payment provider")
        world.state.providers[self.provider] = self.status


class AddFault(NewFault, Body):
    """Make the next matching calls, deliveries, messages or chat changes go wrong. The answer has the fault's `id`."""

    def perform(self, world: World) -> dict[str, str]:
        return {"id": world.faults.add(Fault(**self.model_dump())).id}


class DeliverAgain(Body):
    """Deliver the webhook of a person's message again, as Linq does when an answer was lost.

    It has the same bytes and the same id, so a bot that has stored it recognises a duplicate and does nothing.
    """

    message_id: str

    def perform(self, world: World) -> None:
        world.deliveries.replay(event_of(world, self.message_id))


def event_of(world: World, message_id: str) -> str:
    """Return the id of the event that reported a person's message."""
    # Events about the message that came later, such as `message.edited`, have other types.
    wanted = ("message.received", world.state.message(message_id).id)
    for one in world.deliveries.history:
        if (one.event_type, one.message_id) == wanted:
            return one.event_id
    raise conflict("The emulator does not know a webhook of this message. Write the message again.")
