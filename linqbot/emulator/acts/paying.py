"""Acts of a payer: paying, declining, connecting to a provider, disconnecting."""

from __future__ import annotations

from pydantic import Field

from linqbot.emulator.acts.act import Body, ByPerson
from linqbot.emulator.endpoints.payments import payment_requests, payments
from linqbot.emulator.engine.world import World


class Pay(Body):
    """Pay a payment request, or approve a payment."""

    id: str = Field(description="The id of the payment request or the payment.")

    def perform(self, world: World) -> None:
        """Pay or approve.

        Raises:
            ApiError: 404, there is no such payment or request; 409, it does not wait for the payer.
        """
        if self.id in world.state.payments:
            payments.approve(world, payments.found(world, self.id))
        else:
            payment_requests.pay(world, payment_requests.found(world, self.id))


class Decline(Body):
    """Refuse a payment request or a payment, as the payer or the payer's bank."""

    id: str = Field(description="The id of the payment request or the payment.")

    def perform(self, world: World) -> None:
        """Decline.

        Raises:
            ApiError: 404, there is no such payment or request; 409, it does not wait for the payer.
        """
        if self.id in world.state.payments:
            payments.decline(world, payments.found(world, self.id))
        else:
            payment_requests.decline(world, payment_requests.found(world, self.id))


class Connect(ByPerson):
    """Complete the connection to the payment provider, so that the customer can be charged."""

    def perform(self, world: World) -> None:
        """Complete the connection."""
        payments.complete(world, self.from_)


class Disconnect(ByPerson):
    """End the connection to the payment provider, as the customer."""

    def perform(self, world: World) -> None:
        """End the connection."""
        payments.disconnect(world, self.from_)
