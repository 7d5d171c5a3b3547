"""The statuses of a payment or a payment request: which are open, and the event of each change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import conflict
from linqbot.emulator.model.records import PaymentRecord, PaymentRequestRecord

RecordT = TypeVar("RecordT", PaymentRecord, PaymentRequestRecord)


@dataclass(frozen=True, slots=True)
class Lifecycle(Generic[RecordT]):
    """The life of one kind of record.

    Attributes:
        name: The kind in error messages, such as `payment request`.
        open: The statuses in which the record still waits for someone.
        payload: Builds the data of the webhook that reports a change.
    """

    name: str
    open: frozenset[str]
    payload: Callable[[RecordT], dict[str, Any]]

    def check_open(self, one: RecordT) -> None:
        """Refuse to change a record that is not open.

        Raises:
            ApiError: 409, the record is not open.
        """
        if one.status not in self.open:
            raise conflict(f"This {self.name} is {one.status} already", 1005)

    def set_status(self, world: World, one: RecordT, status: str) -> None:
        """Change the status, and emit the event `payment.<status>`."""
        one.status, one.updated_at = status, world.now()
        world.emit_account(f"payment.{status}", self.payload(one))
        world.show_payment(one)

    def expire(self, world: World, one: RecordT) -> None:
        """Set the status `expired` if the record is still open."""
        if one.status in self.open:
            self.set_status(world, one, "expired")
