"""The nearest of known names to a misspelt one, and the error for a misspelt attribute, which names it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any


def nearest_name(given: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that is most like `given`; None if none is like it.

    Args:
        cutoff: Least likeness, from 0 to 1.
    """
    # Imported late: a bot without a misspelt name never needs difflib, and it takes a third of a MiB.
    from difflib import get_close_matches

    near = get_close_matches(given, known, n=1, cutoff=cutoff)
    return near[0] if near else None


def suggestion(given: str, known: Collection[str]) -> str:
    """Return the sentence that helps with an unknown name: the known name nearest to it, or all of them."""
    near = nearest_name(given, known)
    return f"Did you mean {near!r}?" if near else f"There are: {', '.join(known)}."


def no_attribute(owner: object, attribute: str, *, of: type | None = None, hint: str = "") -> Any:
    """Raise the error for a missing attribute. Call this function in `__getattr__`.

    Args:
        of: The public class that the message names; None for the class of the owner.
        hint: A sentence to end the message with, in place of the nearest name.
    Raises:
        AttributeError: the object has no such attribute; or it has a property of this name, which raised this error.
    """
    kind: Any = type(owner)
    if hasattr(kind, attribute):
        return object.__getattribute__(owner, attribute)
    # The empty name keeps Python from adding its own suggestion.
    raise AttributeError(missing(of or kind, tuple(vars(owner)), attribute, hint), name="")


@lru_cache(maxsize=256)  # `hasattr` and `getattr` with a default come here too
def missing(kind: Any, own: tuple[str, ...], attribute: str, hint: str = "") -> str:
    """Return the message for an attribute that an object lacks.

    Args:
        kind: The object's type.
        own: The names of the object's own attributes.
        hint: A sentence to end the message with; empty for one with the nearest name.
    """
    if hint:
        return f"{kind.__name__} has no attribute {attribute}. {hint}"
    names = {*dir(kind), *own}
    if fields := getattr(kind, "model_fields", None):
        from pydantic import BaseModel  # imported late, as above

        # What pydantic adds, such as `from_orm`, is not what an author looks for.
        names = (names - {*dir(BaseModel)}) | {*fields}
    # Looked up only if it is shown: libraries ask objects for names such as `__rich_repr__`.
    near = (
        None if attribute.startswith("_") else nearest_name(attribute, sorted(name for name in names if name[0] != "_"))
    )
    suggested = f" Did you mean {near}?" if near else ""
    return f"{kind.__name__} has no attribute {attribute}.{suggested}"
