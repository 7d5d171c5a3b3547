"""Bags of values: what features keep for one turn, and what the author of a bot has chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, TypeVar

D = TypeVar("D")


class Option:
    """A small frozen value for a feature, which the author of a bot has chosen for the bot or for a handler."""

    __slots__ = ()

    @property
    def needs(self) -> Sequence[str]:
        """The types of events that the bot needs because of the option, although no handler takes them."""
        return ()


class Bag(dict[type, Any]):
    """A bag of values, one of each class."""

    @classmethod
    def holding(cls, *values: object) -> Self:
        """Return a bag of these values."""
        return cls({type(value): value for value in values})

    def of(self, kind: type[D]) -> D:
        """Return the value of a class. Without one, make it with the class's defaults, and keep it."""
        found: D | None = self.get(kind)
        if found is None:
            found = self[kind] = kind()
        return found

    def find(self, kind: type[D]) -> D | None:
        """Return the value of a class; None if there is none."""
        return self.get(kind)

    def put(self, value: object) -> None:
        """Keep a value in place of another one of its class."""
        self[type(value)] = value
