"""Values in forms that Linq does not document, put into JSON, and what of the parsed object is lost by them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeAlias

from pydantic import BaseModel

Path: TypeAlias = tuple[str | int, ...]

NEW = "of tomorrow"
ODD: list[Any] = [None, "?", 7, -0.5, [], ["?"], [None], {}, {NEW: None}, {NEW: {NEW: [1]}}]
"""Null, a text, numbers, lists, objects."""


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of all values in JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from paths(item, (*path, key))


def with_value(whole: Any, path: Path, odd: Any) -> Any:
    """Return JSON with another value at a path."""
    if not path:
        return odd
    copy = whole.copy()
    copy[path[0]] = with_value(whole[path[0]], path[1:], odd)
    return copy


def without(whole: Any, path: Path) -> Any:
    """Return JSON without the value at a path."""
    copy = whole.copy()
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = without(whole[path[0]], path[1:])
    return copy


def with_new_members(whole: Any, odd: Any) -> Any:
    """Return JSON with a member that linqbot does not know in each of its objects."""
    if isinstance(whole, dict):
        return {**{key: with_new_members(each, odd) for key, each in whole.items()}, NEW: odd}
    return [with_new_members(each, odd) for each in whole] if isinstance(whole, list) else whole


def flat(value: Any, path: Path = ()) -> dict[Path, Any]:
    """Return all plain values of parsed data by their paths, with the class of each object and the length of each list."""
    if isinstance(value, BaseModel):
        found: dict[Path, Any] = {(*path, "class"): type(value).__name__}
        fields = {name: each for name, each in dict(value).items() if name not in ("dropped_fields", "body")}
        value = {**fields, **(value.model_extra or {})}
    elif isinstance(value, dict | list | tuple):
        found = {(*path, "size"): len(value)} if isinstance(value, list | tuple) else {}
    else:
        return {path: value}
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        found |= flat(item, (*path, key))
    return found


def lost(shown: Any, before: list[Any], path: Path, odd: Any) -> list[Path]:
    """Return the paths at which an object with an odd value lost something else.

    Args:
        before: The undisturbed object, and the one without the odd value, or one of the two.
        path: Where the odd value is.
    """
    now = flat(shown)
    key = next((each for each in reversed(path) if isinstance(each, str)), NEW)
    return min((_differences(now, flat(each), key, odd) for each in before), key=len)


_MISSING = object()


def _differences(now: dict[Path, Any], before: dict[Path, Any], key: str, odd: Any) -> list[Path]:
    paths = [path for path in now.keys() | before.keys() if key not in path and NEW not in path]
    return [
        path
        for path in paths
        if (value := now.get(path, _MISSING)) != before.get(path, _MISSING) and not _is(value, odd)
    ]


def _is(value: Any, odd: Any) -> bool:
    """Return True for what an odd value is read as where it fits, such as a number as a time."""
    return value in (odd, str(odd)) or (isinstance(value, datetime) and isinstance(odd, int | float))
