"""The error for a misspelt attribute, which names the nearest attribute that exists."""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import Any


def no_attribute(owner: object, attribute: str) -> Any:
    """Raise the error for a missing attribute. Call this function in `__getattr__`.

    Raises:
        AttributeError: the object has no such attribute; or it has a property of this name, which raised this error.
    """
    kind: Any = type(owner)
    if hasattr(kind, attribute):
        return object.__getattribute__(owner, attribute)
    # The empty name keeps Python from adding its own suggestion.
    raise AttributeError(missing(kind, tuple(vars(owner)), attribute), name="")


@lru_cache(maxsize=256)  # `hasattr` and `getattr` with a default come here too
def missing(kind: Any, own: tuple[str, ...], attribute: str) -> str:
    """Return the message for an attribute that an object lacks.

    Args:
        kind: The object's type.
        own: The names of the object's own attributes.
    """
    names = {*dir(kind), *own, *getattr(kind, "model_fields", ())}
    near = difflib.get_close_matches(attribute, sorted(name for name in names if not name.startswith("_")), n=1)
    hint = f" Did you mean {near[0]}?" if near and not attribute.startswith("_") else ""
    return f"{kind.__name__} has no attribute {attribute}.{hint}"
