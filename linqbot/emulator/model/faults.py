"""Trouble on request: the next calls, deliveries or messages that match are spoilt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from linqbot.emulator.model.records import new_id

Place: TypeAlias = Literal["api", "delivery", "message", "chat"]
Lost: TypeAlias = Literal["request", "answer"]


@dataclass(slots=True)
class Fault:
    """One kind of trouble, for the next `times` things that match.

    Attributes:
        on: `api` spoils a call to us, `delivery` a webhook, `message` what becomes of a sent message, `chat` a change
            of a chat: its `*_update_failed` comes.
        match: Substring of `METHOD /v3/path`; of subscription id, event type, chat id or handle; for `chat` of
            `group_name`, `group_icon`, `background` or the chat id; empty fits all.
        status: What is answered instead: by us to a call, or, for a delivery, by the receiver in our play.
        code: Linq's error code; for a message or a chat, the code in its event.
        delay_ms: On the emulator's clock. Alone, the thing happens after all, only late.
        drop: No answer. For a call, `answer` does the work and loses the answer, `request` does nothing at all;
            a delivery is lost for good.
        duplicate, reorder: A delivery comes twice; or after the next one of its chat.
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
    """The faults still to come, oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        self._faults.clear()

    def take(self, on: Place, *subjects: str, fits: Callable[[Fault], bool] = lambda _: True) -> Fault | None:
        """The first fault for this thing, used up by one; None lets it happen as usual."""
        for fault in self._faults:
            if fault.on == on and fits(fault) and any(fault.match in subject for subject in subjects):
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                return fault
        return None
