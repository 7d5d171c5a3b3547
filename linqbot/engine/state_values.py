"""The values of `ctx.state` as JSON: how a pydantic model is checked, stored and read again.

Errors name models and fields but no values, because a value may be about a person. Next: `state.py` keeps the values of a turn.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, from_json
from pydantic_core.core_schema import ErrorType

from linqbot.characters import repaired, to_json
from linqbot.errors import BotError, StateUnreadable
from linqbot.options import check_whole

M = TypeVar("M", bound=BaseModel)

MAX_BYTES: Final = 1 << 18
"""The largest value that is stored, in bytes of JSON."""

# The errors whose messages pydantic writes without the input. The others come from the author's own validators.
_WITHOUT_INPUT: Final = frozenset(get_args(ErrorType)) - {"value_error", "assertion_error", "union_tag_invalid"}


def checked_name(model: type[BaseModel], name: str | None) -> str:
    """Return the name under which values of a model are stored.

    Raises BotError if this is no pydantic model whose fields all have defaults, or the name is empty.
    """
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        kind = model.__name__ if isinstance(model, type) else f"an object of the class {type(model).__name__}"
        raise BotError(
            f"ctx.state takes a pydantic model, not {kind}. Write: class Guest(pydantic.BaseModel): visits: int = 0"
        )
    default = _default_name(model)
    if name is None:
        return default
    if not isinstance(name, str) or not name.strip():
        raise BotError(f"name={name!r} cannot be the name of a state. Give a text, or leave name= out.")
    check_whole("ctx.state(name=…)", name)
    return name


@lru_cache(maxsize=1024)
def _default_name(model: type[BaseModel]) -> str:
    without = [name for name, field in model.model_fields.items() if field.is_required()]
    if without:
        raise BotError(
            f"{model.__qualname__}.{without[0]} has no default, so there is no value for a person or a chat that is "
            f"new. Give every field of {model.__qualname__} a default."
        )
    return model.__qualname__


def read(model: type[M], name: str, stored: bytes) -> M:
    """Return the value of a model from stored JSON. Missing fields get their defaults. Raises StateUnreadable."""
    try:
        return model.model_validate_json(stored)
    except ValidationError as error:
        # Without the error as its cause: that quotes the stored value, which may be about a person.
        raise StateUnreadable(
            f"The stored state {name} does not fit {full_name(model)}: {misfits(model, error)}. It was kept as it is."
        ) from None


def dump(name: str, value: BaseModel) -> bytes:
    """Return a value as JSON, without computed fields. Raises BotError for an object that has no JSON form."""
    try:
        return value.model_dump_json(by_alias=True, round_trip=True, warnings=False).encode()
    except (PydanticSerializationError, UnicodeError):
        pass  # half of a character, or an object that has no JSON form
    try:
        plain = repaired(value).model_dump(mode="json", by_alias=True, round_trip=True, warnings=False)
        return to_json(plain)
    except (PydanticSerializationError, ValueError) as error:
        raise BotError(
            f"The state {name} cannot be stored as JSON: {_unstorable(value)} of {full_name(type(value))} holds an object "
            f"that has no JSON form ({type(error).__name__}). Store texts, numbers, dates, lists, dicts and models."
        ) from None


def _unstorable(value: BaseModel) -> str:
    """Return the name of the first field that has no JSON form; `a field` if only a serializer of the author's knows it."""
    for field, held in value:
        try:
            to_json(held)
        except PydanticSerializationError:
            return f"the field {field}"
    return "a field"


def checked(name: str, value: BaseModel, now: bytes, stored: bytes | None) -> bytes:
    """Return the JSON to store for a changed value. Stored fields that the model does not have are kept.

    They belong to a newer release of the bot, or to another model of the same name. Raises BotError if the model could
    not read the JSON again, or it is larger than `MAX_BYTES`.
    """
    model = type(value)
    try:
        model.model_validate_json(now)
    except ValidationError as error:
        raise BotError(
            f"The state {name} cannot be stored, because {full_name(model)} could not read it again: {misfits(model, error)}."
        ) from None
    if stored is not None and model.model_config.get("extra") != "allow":
        now = _with_unknown_fields(model, now, stored)
    if len(now) > MAX_BYTES:
        raise BotError(
            f"The state {name} has {len(now):,} bytes. At most {MAX_BYTES:,} are stored: keep less, such "
            "as the last entries of a list, or use a database of your own."
        )
    return now


def _with_unknown_fields(model: type[BaseModel], now: bytes, stored: bytes) -> bytes:
    before, after = from_json(stored), from_json(now)
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return now
    known = after.keys() | _names(model)
    unknown = {field: value for field, value in before.items() if field not in known}
    return to_json(after | unknown) if unknown else now


@lru_cache(maxsize=1024)
def _names(model: type[BaseModel]) -> frozenset[str]:
    """Return every name under which the JSON of a model may hold its fields."""
    aliases = [
        alias
        for field in model.model_fields.values()
        for alias in (field.alias, field.serialization_alias, field.validation_alias)
        if isinstance(alias, str)
    ]
    return frozenset([*model.model_fields, *aliases])


def full_name(model: type[BaseModel]) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def misfits(kind: Any, error: ValidationError) -> str:
    """Return the fields that do not fit a type, each with the reason, but nothing of their values.

    Keys inside a field are left out, because a dict may have handles as its keys.
    """
    is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
    found = {}
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        field = each["loc"][0] if each["loc"] else "the whole value"
        if each["loc"] and not is_model:
            field = "a part of the value"
        elif each["loc"] and field not in _names(kind):
            field = "a field that the model does not have"
        found[field] = each["msg"] if each["type"] in _WITHOUT_INPUT else "its validator refuses it"
    return "; ".join(f"{field}: {reason}" for field, reason in list(found.items())[:5])


def encoded(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


def digest_of(value: str | bytes | None) -> str:
    """Return a digest of a stored value, as JSON; of None, an empty text."""
    if value is None:
        return ""
    return hashlib.sha256(value.encode() if isinstance(value, str) else value).hexdigest()[:16]


_FIELDS: Final = ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
"""All that a pydantic model holds."""


def copy_into(value: BaseModel, into: BaseModel) -> None:
    """Copy all that a value holds. A field with the same content keeps its object.

    The handler may hold that object: in `guest.names.append(await ctx.ask("Name?"))`, Python takes the list first.
    """
    held = dict(vars(into))
    for field in _FIELDS:
        object.__setattr__(into, field, getattr(value, field))
    vars(into).update(
        {name: held[name] for name, new in vars(value).items() if name in held and _is_same(held[name], new)}
    )


def _is_same(one: object, other: object) -> bool:
    try:
        return type(one) is type(other) and to_json(one) == to_json(other)
    except (PydanticSerializationError, ValueError):
        return False
