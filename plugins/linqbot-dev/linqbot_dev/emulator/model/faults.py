"""Faults on request: the next calls, deliveries or messages that match go wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field

from linqbot_dev.emulator.model.documents import new_id

Place: TypeAlias = Literal["api", "delivery", "message", "chat"]
Lost: TypeAlias = Literal["request", "answer", "connection"]


class NewFault(BaseModel):
    """A fault for the next `times` calls, deliveries, messages or chat changes that match.

    The uploads and downloads of files count as calls, except those of a browser: `GET /attachments`, `PUT /uploads`. With
    a delay and without other fields, the operation succeeds after it.
    """

    on: Place = Field(description="A call to the API, a webhook, the fate of a sent message, or the change of a chat.")
    match: str = Field(
        "",
        description="A part of `METHOD /v3/path` or of the endpoint's name, such as `chats.messages.send`; or of the "
        "subscription id, event type, chat id or handle; or, for `chat`, of `group_name`, `group_icon`, `background` or "
        "the chat id. Empty matches all.",
    )
    status: Annotated[int, Field(ge=200, le=599)] | None = Field(
        None, description="The HTTP status that answers the call, or the delivery in place of the receiver."
    )
    code: int | None = Field(None, description="Linq's error code, in the answer or in the event.")
    retry_after: Annotated[int, Field(ge=0)] | None = Field(None, description="Seconds, in the answer.")
    delay_ms: Annotated[int, Field(ge=0)] = Field(0, description="Milliseconds on the emulator's clock.")
    drop: Lost | None = Field(
        None,
        description="`request` breaks the connection of a call before anything is done, `answer` after it; both in the "
        "middle of an answer. `connection` does nothing and closes the connection without sending a byte. A delivery "
        "with either is not repeated.",
    )
    duplicate: bool = Field(False, description="Deliver twice.")
    reorder: bool = Field(False, description="Deliver after the next event of the same chat.")
    times: Annotated[int, Field(ge=1)] | None = Field(
        1, description="How many matches the fault is for; null lasts until the fault is removed."
    )


class Fault(NewFault):
    """A fault that is switched on; `times` counts down."""

    id: str = Field(default_factory=new_id)

    def shape(self) -> dict[str, Any]:
        """Return the fault as JSON, without the fields that have no effect."""
        always = {"id": self.id, "match": self.match, "times": self.times}
        return self.model_dump(exclude_defaults=True) | always


class Faults:
    """The faults that have not been used up, oldest first.

    Args:
        on_change: Called after a fault was added, used or removed.
    """

    def __init__(self, on_change: Callable[[], object] = lambda: None) -> None:
        self.active: list[Fault] = []
        self._on_change = on_change

    def add(self, fault: Fault) -> Fault:
        """Make the next matching calls, deliveries, messages or chat changes go wrong."""
        self.active.append(fault)
        self._on_change()
        return fault

    def remove(self, fault_id: str) -> bool:
        """Remove a fault. Return False if there is none with this id, for example because it was used up."""
        kept = [fault for fault in self.active if fault.id != fault_id]
        found = len(kept) < len(self.active)
        self.active = kept
        self._on_change()
        return found

    def clear(self) -> None:
        if self.active:
            self.active.clear()
            self._on_change()

    def take(self, on: Place, *subjects: str, fits: Callable[[Fault], bool] = lambda _: True) -> Fault | None:
        """Return the oldest fault that matches, and count it as used once; None if no fault matches.

        Args:
            subjects: The texts that the fault's `match` may be a part of.
            fits: A further condition.
        """
        for fault in self.active:
            if fault.on == on and fits(fault) and any(fault.match in subject for subject in subjects):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.active.remove(fault)
                    self._on_change()
                return fault
        return None
