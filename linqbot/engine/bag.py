"""Bags of values: what features keep for one turn, and what the author of a bot has chosen."""

from __future__ import annotations

from typing import Any, TypeVar

D = TypeVar("D")


class Bag(dict[type, Any]):
    """A bag of values, one of each class."""

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
