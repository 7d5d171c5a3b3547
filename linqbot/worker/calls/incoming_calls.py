"""The calls of `ctx.incoming()` that a run of a handler has made, with those of the steps that it has from the record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_in_step: ContextVar[list[int] | None] = ContextVar("linqbot_incoming_in_step", default=None)


class IncomingCalls:
    """The calls of `ctx.incoming()` of one run, by number. The first run of the turn numbers them from 0.

    A step (`ctx.once`) that calls `incoming` is not made again by the next run, whose handler has the messages from the
    result of the step. So the step's journal entry has the numbers of its calls, and these are not given to others.
    """

    def __init__(self) -> None:
        self._made: set[int] = set()

    def __contains__(self, number: int) -> bool:
        return number in self._made

    @property
    def next(self) -> int:
        """The number of the next call: the smallest one that is free."""
        return next(number for number in range(len(self._made) + 1) if number not in self._made)

    def make(self, number: int) -> None:
        """Note a call that has got its messages."""
        self.recall((number,))

    def recall(self, numbers: Sequence[int]) -> None:
        """Note the calls of a step on record."""
        self._made.update(numbers)
        if (in_step := _in_step.get()) is not None:
            in_step.extend(numbers)

    @contextmanager
    def of_step(self) -> Iterator[list[int]]:
        """Collect the numbers of the calls that a step makes, with those of the steps inside of it."""
        around = _in_step.get()
        token = _in_step.set(made := list[int]())
        try:
            yield made
        finally:
            _in_step.reset(token)
            if around is not None:
                around += made
