"""Faults on request: the next calls, deliveries or messages that match go wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from linqbot.emulator.model.documents import new_id

Place: TypeAlias = Literal["api", "delivery", "message", "chat"]
Lost: TypeAlias = Literal["request", "answer", "connection"]


@dataclass(slots=True)
class Fault:
    """A fault for the next `times` calls, deliveries, messages or chat changes that match.

    `AddFault` of `web/control_bodies.py` describes the fields. The uploads and downloads of files count as calls, except
    those of a browser: `GET /attachments`, `PUT /uploads`. With a delay and without other fields, the operation succeeds
    after it.

    Attributes:
        times: The number of matches left; None lasts until the fault is removed.
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
    times: int | None = 1
    id: str = field(default_factory=new_id)

    def shape(self) -> dict[str, Any]:
        """Return the fault as JSON, without the fields that have no effect."""
        every = asdict(self)
        return {name: value for name, value in every.items() if name in _ALWAYS or value not in (None, 0, False)}


_ALWAYS = frozenset({"id", "on", "match", "times"})


class Faults:
    """The faults that have not been used up, oldest first.

    Args:
        on_change: Called after a fault was added, used or removed.
    """

    def __init__(self, on_change: Callable[[], object] = lambda: None) -> None:
        self._faults: list[Fault] = []
        self._on_change = on_change

    @property
    def active(self) -> tuple[Fault, ...]:
        return tuple(self._faults)

    def add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        self._on_change()
        return fault

    def remove(self, fault_id: str) -> bool:
        """Remove a fault. Return False if there is none with this id, for example because it was used up."""
        kept = [fault for fault in self._faults if fault.id != fault_id]
        found = len(kept) < len(self._faults)
        self._faults = kept
        self._on_change()
        return found

    def clear(self) -> None:
        if self._faults:
            self._faults.clear()
            self._on_change()

    def take(self, on: Place, *subjects: str, fits: Callable[[Fault], bool] = lambda _: True) -> Fault | None:
        """Return the oldest fault that matches, and count it as used once; None if no fault matches.

        Args:
            subjects: The texts that the fault's `match` may be a part of.
            fits: A further condition.
        """
        for fault in self._faults:
            if fault.on == on and fits(fault) and any(fault.match in subject for subject in subjects):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                    self._on_change()
                return fault
        return None
