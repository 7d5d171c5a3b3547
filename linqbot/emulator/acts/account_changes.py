"""Acts of Linq, or of the account's team on Linq's dashboard, on lines, opt-outs and payment providers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from linqbot.emulator.acts.act import Body, Handle
from linqbot.emulator.endpoints import contact_cards, lines
from linqbot.emulator.endpoints.payments import payments
from linqbot.emulator.engine import send_policy
from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import existing


class ChangeLine(Body):
    """Change a line, as Linq or the team on its dashboard.

    A line is added before the other changes, and removed after them.
    """

    phone_number: Handle
    assigned: bool | None = Field(None, description="true adds the line to the account; false removes line and chats.")
    line_type: Literal["iMessage", "RCS"] = Field("iMessage", description="The type of a line that is added.")
    status: Literal["ACTIVE", "FLAGGED"] | None = Field(None, description="A flagged line cannot send.")
    reputation: Literal["HEALTHY", "AT_RISK", "CRITICAL"] | None = None
    zero_retention: bool | None = Field(None, description="true keeps none of the line's messages from now on.")
    card: Literal["deleted"] | None = Field(None, description="Delete the line's contact card.")

    def perform(self, world: World) -> None:
        """Make the changes and emit an event for each.

        Raises:
            ApiError: 404, the account has no such line, or the line has no contact card.
        """
        if self.assigned and self.phone_number not in world.state.lines:
            lines.assign(world, self.phone_number, line_type=self.line_type)
        line = existing(world.state.lines.get(self.phone_number), "phone number")
        if self.status or self.reputation:
            lines.set_standing(world, line, status=self.status, reputation=self.reputation)
        if self.zero_retention is not None:
            lines.set_zero_retention(world, line, is_on=self.zero_retention)
        if self.card:
            contact_cards.delete(world, self.phone_number)
        if self.assigned is False:
            lines.release(world, line)


class SetOptOut(Body):
    """Record that a person has opted out of messages, or no longer has.

    A person opts out by writing STOP. This act records it without a message, as if the person had done it before. A text
    of the person ends it too.
    """

    handle: Handle
    opted_out: bool = Field(description="While true, Linq refuses messages to the person with 403 and code 2024.")

    def perform(self, world: World) -> None:
        """Record it, and change the health of the person's direct chats."""
        send_policy.set_opt_out(world, self.handle, is_out=self.opted_out)


class SetProvider(Body):
    """Set the status of a payment provider.

    Linq answers 403 to payment requests through a provider that is not `ready`.
    """

    provider: str
    status: Literal["onboarding", "ready", "disabled"]

    def perform(self, world: World) -> None:
        """Set the status.

        Raises:
            ApiError: 404, there is no such provider.
        """
        payments.set_provider(world, self.provider, self.status)
