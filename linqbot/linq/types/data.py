"""The base of all data classes: frozen, and tolerant of keys and values that Linq adds before linqbot knows them.

Linq's payloads change while bots run. A field that suddenly has another type is no reason to lose a message, or to fail
after a message was sent. Such a field is left out, and the rest is validated again. Only a field that the type
requires, such as the id of a message, is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from linqbot.nearest import missing

DataT = TypeVar("DataT", bound="Data")


class Data(BaseModel):
    """Frozen data from or for Linq.

    Unknown keys are kept and can be read from `model_extra`. Fields that Linq fills from a fixed list are `str`, not
    enums: Linq adds values before linqbot does, and an unknown value must not cost a message.
    """

    # Validators are built at first use: a bot uses few of the hundred classes, and building all takes 15 MiB and 0.1 s.
    model_config = ConfigDict(
        frozen=True, extra="allow", populate_by_name=True, protected_namespaces=(), defer_build=True
    )

    if not TYPE_CHECKING:  # a type checker would accept any name

        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                if name.startswith("_") or hasattr(type(self), name):
                    raise
            raise AttributeError(missing(type(self), tuple(vars(self)), name), name="")

    def to_json_object(self) -> dict[str, Any]:
        """Return the JSON object that Linq expects: with Linq's field names, and without fields that are None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def validated(kind: type[DataT], fields: Any) -> DataT:
    """Return `fields` as an instance of `kind`, or raise ValidationError.

    It does what `kind.model_validate` does, without the options, which take as long to look for as some fields.
    """
    data: DataT = kind.__pydantic_validator__.validate_python(fields)
    return data


Path: TypeAlias = tuple[str | int, ...]

_MAX_ROUNDS: Final = 10
"""Validations of one object. Leaving out a value can make its parent invalid in the next round; no payload of Linq's
is nested this deep."""

_MAX_UNFITTING: Final = 200
"""Values left out in one round. Each one costs a copy of its parent: a body with a million wrong values must not keep
other deliveries waiting."""

_NOTHING: Final[Mapping[str, Any]] = {}


def validated_leniently(
    kind: type[DataT], fields: Any, *, known: Mapping[str, Any] = _NOTHING, only_null: bool = False
) -> tuple[DataT, tuple[str, ...]]:
    """Return `fields` as an instance of `kind` without the values that do not fit, and the top-level names of those.

    Args:
        known: Values of fields that are missing, or do not fit.
        only_null: True leaves out null only.
    Raises:
        ValidationError: A required field is missing or wrong, or more values do not fit than are worth removing.
    """
    left_out: set[str] = set()
    for _ in range(_MAX_ROUNDS):
        try:
            found = kind.model_validate({**known, **fields} if isinstance(fields, dict) else fields)
        except ValidationError as error:
            failed = error
        else:
            return found, tuple(sorted(left_out))
        if failed.error_count() > _MAX_UNFITTING:
            break
        paths = {_existing(fields, problem["loc"]) for problem in failed.errors(include_url=False, include_input=False)}
        if () in paths:
            break
        wrong = {str(path[0]) for path in paths if _at(fields, path) is not None}
        if wrong and only_null:
            break
        left_out |= wrong
        # In reverse order, so that removing one item of a list does not shift the others that must be removed.
        for path in sorted(paths, key=_position, reverse=True):
            fields = _without(fields, path)
    raise failed


def unfitting_fields(error: ValidationError) -> list[str]:
    """Return the paths of the fields that `error` complains about, such as `message.parts.0`."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return [".".join(map(str, problem["loc"])) or "everything" for problem in problems]


def _existing(fields: Any, loc: Path) -> Path:
    """Return the part of pydantic's `loc` that exists in `fields`: `loc` also names missing keys and union branches."""
    path: list[str | int] = []
    for key in loc:
        inside: Any = fields if isinstance(fields, dict | list) else ()
        try:
            fields = inside[key]
        except (LookupError, TypeError):
            break
        path.append(key)
    return tuple(path)


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _position(path: Path) -> list[int]:
    return [key if isinstance(key, int) else -1 for key in path]


def _without(value: Any, path: Path) -> Any:
    """Return a copy of `value` without the value at `path`. The decoded body is shared, so `value` must not change."""
    copy = value.copy()
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = _without(value[path[0]], path[1:])
    return copy
