"""The schema of a JSON object, as data: required fields, checks of values, checks across fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from linqbot.rules.broken import Across, Broken, Check, JsonObject, breaks, missing


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a JSON object: required fields are checked first, then each value, then rules across fields."""

    required: tuple[str, ...] = ()
    values: Mapping[str, Check] = field(default_factory=dict)
    across: tuple[Across, ...] = ()

    def broken(self, given: JsonObject, at: str = "") -> Broken | None:
        """Return the first rule that an object breaks, or None.

        Args:
            at: The position of the object with a dot, such as `message.effect.`; empty for the body itself.
        """
        for name in self.required:
            if given.get(name) is None:
                return missing(at + name)
        for name, rule in self.values.items():
            if (value := given.get(name)) is not None and (broken := rule(value, at + name)):
                return broken
        for between in self.across:
            if broken := between(given):
                return broken
        return None


def an_object(fields: Schema) -> Check:
    """Return a check that a value is an object with these fields."""

    def is_object(value: Any, at: str) -> Broken | None:
        if not isinstance(value, Mapping):
            return breaks("R4", f"{at} must be an object.")
        return fields.broken(value, f"{at}.")

    return is_object
