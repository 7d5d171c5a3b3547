"""Reading an object that does not quite fit its type: leave out what does not fit, as long as nothing needed is missing.

Linq's payloads change while bots run. A field that suddenly has another type is no reason to lose a message, or to
fail after a message was sent. Such a field is left out, and the rest is validated again. Only a field that the type
cannot do without, such as the id of a message, is an error. Objects that fit never come here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from pydantic import ValidationError

T = TypeVar("T")
Path: TypeAlias = tuple[str | int, ...]

_MOST_ROUNDS = 10
"""Each round leaves out at least one value, the next one may find its parent wanting; payloads are not this deep."""

_MOST_MISFITS: Final = 200
"""Each one left out costs a copy of what it was in: a body of a million wrong values must not stop the others."""

_MOST_NAMED: Final = 10_000
"""Naming a misfit takes longer than finding it."""


def without_misfits(
    validate: Callable[[dict[str, Any], tuple[str, ...]], T], fields: dict[str, Any], error: ValidationError
) -> T:
    """Validate `fields` without the values that `error` complains about.

    Args:
        validate: Takes the fields that are left, and the names of those that were left out.
    Raises:
        ValidationError: something that the type cannot do without is missing or wrong.
    """
    left_out: set[str] = set()
    for _ in range(_MOST_ROUNDS):
        if error.error_count() > _MOST_MISFITS:
            break
        paths = {_existing(fields, problem["loc"]) for problem in error.errors(include_url=False, include_input=False)}
        if () in paths:
            break
        left_out.update(str(path[0]) for path in paths if _at(fields, path) is not None)
        # From the end, so that leaving out one item of a list moves no other that must go.
        for path in sorted(paths, key=_position, reverse=True):
            fields = _without(fields, path)
        try:
            return validate(fields, tuple(sorted(left_out)))
        except ValidationError as again:
            error = again
    raise error


def misfits(error: ValidationError) -> list[str]:
    """Name the places that `error` complains about, as `message.parts.0`; of very many places, only their number."""
    if error.error_count() > _MOST_NAMED:
        return [f"{error.error_count()} places"]
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return [".".join(map(str, problem["loc"])) or "everything" for problem in problems]


def _existing(fields: Any, loc: Path) -> Path:
    """How much of pydantic's `loc` leads anywhere: it also names what is missing, and branches of unions."""
    path: list[str | int] = []
    for key in loc:
        known = isinstance(key, str) and key in fields if isinstance(fields, dict) else _has_item(fields, key)
        if not known:
            break
        path.append(key)
        fields = fields[key]
    return tuple(path)


def _has_item(items: Any, index: str | int) -> bool:
    return isinstance(items, list) and isinstance(index, int) and index < len(items)


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _position(path: Path) -> list[int]:
    return [key if isinstance(key, int) else -1 for key in path]


def _without(value: Any, path: Path) -> Any:
    """A copy of `value` that lacks what `path` leads to. The decoded body is shared, so nothing in it may change."""
    copy = value.copy()
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = _without(value[path[0]], path[1:])
    return copy
