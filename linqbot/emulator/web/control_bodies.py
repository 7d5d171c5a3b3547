"""The bodies of the control API that change the emulator: faults, clock, reset. All others are in `emulator/acts`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from linqbot.emulator.acts.act import Body
from linqbot.emulator.model.faults import Fault


class AddFault(Body):
    """Make the next matching calls, deliveries, messages or chat changes go wrong. The answer has the fault's `id`."""

    on: Literal["api", "delivery", "message", "chat"] = Field(
        description="A call to the API, a webhook, the fate of a sent message, or the change of a chat."
    )
    match: str = Field(
        "",
        description="A part of `METHOD /v3/path`; or of the subscription id, event type, chat id or handle; or, for "
        "`chat`, of `group_name`, `group_icon`, `background` or the chat id. Empty matches all.",
    )
    status: Annotated[int, Field(ge=200, le=599)] | None = Field(
        None, description="The HTTP status that answers the call, or the delivery in place of the receiver."
    )
    code: int | None = Field(None, description="Linq's error code, in the answer or in the event.")
    retry_after: Annotated[int, Field(ge=0)] | None = Field(None, description="Seconds, in the answer.")
    delay_ms: Annotated[int, Field(ge=0)] = Field(0, description="Milliseconds on the emulator's clock.")
    drop: Literal["answer", "request"] | bool = Field(
        False,
        description="`request` drops a call before anything is done, `answer` (or true) after it. "
        "A dropped delivery is not repeated.",
    )
    lose: bool = Field(False, description="Short for `drop: answer`.")
    duplicate: bool = Field(False, description="Deliver twice.")
    reorder: bool = Field(False, description="Deliver after the next event of the same chat.")
    kind: Literal["lose", "delay", "duplicate", "reorder"] | None = Field(
        None, description="Short for the field of this meaning; `delay` is a second if `delay_ms` is left out."
    )
    times: Annotated[int, Field(ge=1)] = Field(1, description="How many matches the fault is for.")

    def fault(self) -> Fault:
        """Return the fault that the fields describe."""
        drop = "answer" if self.drop is True or self.lose or self.kind == "lose" else self.drop or None
        return Fault(
            on=self.on,
            match=self.match,
            status=self.status,
            code=self.code,
            retry_after=self.retry_after,
            delay_ms=self.delay_ms or (1000 if self.kind == "delay" else 0),
            drop=drop,
            duplicate=self.duplicate or self.kind == "duplicate",
            reorder=self.reorder or self.kind == "reorder",
            times=self.times,
        )


class SetClock(Body):
    """Stop the clock, let it run, or move it forward. What is due by then happens. The answer has the time as `now`."""

    freeze: bool | None = Field(None, description="true stops the clock, false lets it run.")
    advance_s: Annotated[float, Field(ge=0, le=10**9)] | None = Field(None, description="Seconds to move forward.")


class Reset(Body):
    """Start again with two healthy lines and no chats, or with a saved state. The body may be left out."""

    seed: dict[str, Any] | None = Field(None, description="A state in the shape that the emulator saves.")
