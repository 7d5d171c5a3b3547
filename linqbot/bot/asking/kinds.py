"""Kinds: the types that `ctx.ask(kind=…)` reads from a text, and their validators."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError


def adapter_of(kind: Any) -> TypeAdapter[Any] | None:
    """Return the validator of a type; None for a function, which converts the text itself.

    Raises:
        PydanticUserError: pydantic cannot build this type.
    """
    try:
        return _adapter(kind)
    except TypeError:  # a kind that cannot be hashed
        return _adapter.__wrapped__(kind)


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any] | None:
    if callable(kind) and not isinstance(kind, type) and not hasattr(kind, "__origin__"):
        return None
    try:
        return TypeAdapter(kind)
    except PydanticSchemaGenerationError:
        if callable(kind):
            return None
        raise
