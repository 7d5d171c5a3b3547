"""Faults on request: the next calls, deliveries or messages that match go wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from linqbot.emulator.model.records import new_id

Place: TypeAlias = Literal["api", "delivery", "message", "chat"]
Lost: TypeAlias = Literal["request", "answer"]


@dataclass(slots=True)
class Fault:
    """A fault for the next `times` calls, deliveries, messages or chat changes that match.

    Attributes:
        on: `api` changes the answer to a call, `delivery` a webhook, `message` the fate of a sent message, `chat` the
            change of a chat: its `*_update_failed` event comes.
        match: Substring of `METHOD /v3/path`; of subscription id, event type, chat id or handle; for `chat` of
            `group_name`, `group_icon`, `background` or the chat id; empty matches all.
        status: The HTTP status that the emulator answers to the call, or that counts as the receiver's answer to a
            delivery.
        code: Linq's error code; for a message or a chat, the code in its event.
        retry_after: Seconds, in the answer.
        delay_ms: Milliseconds on the emulator's clock. Without other fields, the operation succeeds after the delay.
        drop: No answer. For a call, `answer` executes the call and loses the answer, `request` does nothing at all;
            a delivery is lost and not repeated.
        duplicate, reorder: A delivery is sent twice; or after the next delivery of its chat.
    """

    on: Place
    match: str = ""
    status: int | None = None
    code: int | None = None
    retry_after: int | None = None
    delay_ms: int = 0
    drop: Lost | None = None
    duplicate: bool = False
    reorder: bool = False
    times: int = 1
    id: str = field(default_factory=new_id)


class Faults:
    """The faults that have not been used up, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Add a fault after the others, and return it."""
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def take(self, on: Place, *subjects: str, fits: Callable[[Fault], bool] = lambda _: True) -> Fault | None:
        """Return the oldest fault that matches, and count it as used once; None if no fault matches.

        Args:
            subjects: The texts that the fault's `match` may be a part of.
            fits: A further condition.
        """
        for fault in self._faults:
            if fault.on == on and fits(fault) and any(fault.match in subject for subject in subjects):
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None
