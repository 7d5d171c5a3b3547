"""The base of all data classes: frozen, and tolerant of keys and values that Linq adds before linqbot knows them.

Linq's payloads change while bots run. A field that suddenly has another type is no reason to lose a message, or to fail
after a message was sent. Such a field is left out, at any depth, and the rest is validated again. Only a field that the
type requires, such as the id of a message, is an error. `validated_leniently` decides this for events and for answers of
the API alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from linqbot.nearest import missing

DataT = TypeVar("DataT", bound="Data")


class Data(BaseModel):
    """Frozen data from or for Linq.

    Unknown keys are kept and can be read from `model_extra`. Fields that Linq fills from a fixed list are `str`, not
    enums: Linq adds values before linqbot does, and an unknown value must not cost a message. Times are `AwareDatetime`: a time
    without a zone cannot be compared with others, so it does not fit.
    """

    # Validators are built at first use: a bot uses few of the hundred classes, and building all takes 15 MiB and 0.1 s.
    model_config = ConfigDict(
        frozen=True, extra="allow", populate_by_name=True, protected_namespaces=(), defer_build=True
    )

    entire: ClassVar[str] = ""
    """The field with a list of which no item may be left out: a page without its unreadable items would be taken for the whole."""

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

_MAX_PROBLEMS: Final = 5_000
"""Problems in one object that are worth a look. A page has a hundred messages, and each may have several fields in a new form. A
body with a million wrong values must not keep other deliveries waiting."""

_NOTHING: Final[Mapping[str, Any]] = {}
_LEFT_OUT: Final = object()
_MISFIT: Final = "linqbot_misfit"


def misfit(read: Callable[[Any], tuple[Data, bool]]) -> PydanticCustomError:
    """Return the error of a union for a value that fits no class of the union, but of which `read` keeps what it can.

    Pydantic tries the next class of a union when one does not fit, and so hides the field that is wrong. The last class of a
    union, which takes all the rest, raises this error instead. Lenient validation then asks `read`.

    Args:
        read: Returns the value as one of the classes, and True if fields of it were left out.
    """
    return PydanticCustomError(_MISFIT, "This fits no known kind.", {"read": read})


def validated_leniently(
    kind: type[DataT], fields: Any, *, known: Mapping[str, Any] = _NOTHING
) -> tuple[DataT, tuple[str, ...]]:
    """Return `fields` as an instance of `kind` without the values that do not fit, and the top-level names of those.

    Of a nested object only the value that does not fit is left out; the object itself if it requires the value. A field that
    is left out for the first time is logged. Null is left out without a word: it stands for an absent field.

    Args:
        known: Values of fields that are missing, or do not fit.
    Raises:
        ValidationError: A required field is missing or wrong, or more values do not fit than are worth removing.
    """
    places: set[tuple[str, ...]] = set()
    read_again: set[str] = set()
    for _ in range(_MAX_ROUNDS):
        try:
            found = validated(kind, {**known, **fields} if isinstance(fields, dict) else fields)
        except ValidationError as error:
            failed = error
        else:
            for names in places:
                _note(*_field_at(kind, names))
            return found, tuple(sorted({names[0] for names in places} | read_again))
        if failed.error_count() > _MAX_PROBLEMS:
            break
        changes = _changes(fields, failed)
        wrong = {path for path, change in changes.items() if change is _LEFT_OUT and _at(fields, path) is not None}
        if not changes or any(path[0] == kind.entire and len(path) <= 2 for path in wrong):
            break
        places |= {tuple(key for key in path if isinstance(key, str)) for path in wrong}
        for path in [path for path, change in changes.items() if change is not _LEFT_OUT]:
            changes[path], is_less = changes[path](_at(fields, path))
            read_again |= {str(path[0])} if is_less else set()
        fields = _changed(fields, _tree(changes))
    raise failed


def note_unfitting(kind: type[Data], error: ValidationError) -> None:
    """Log the fields because of which a value cannot be read as `kind`, each for its first time."""
    for place in unfitting_fields(error):
        _note(kind, place.partition(".")[0])


@cache
def _note(kind: type[Data], field: str) -> None:
    """Log a field that is left out, once in the life of the process: after a change at Linq each message may have it."""
    import structlog

    to_do = "Linq sends this in a form that this release cannot read. The rest is read as always. Upgrade linqbot."
    structlog.get_logger("linqbot.linq").warning("linq.field_left_out", field=f"{kind.__name__}.{field}", to_do=to_do)


def _field_at(kind: type[Data], names: tuple[str, ...]) -> tuple[type[Data], str]:
    """Return the innermost class on a way through the fields of objects, and its field there.

    Only names of declared fields are returned: other keys, such as those of `metadata`, may be an author's data.
    """
    inside: type[Data] | None = kind
    found = kind, ""
    for name in names:
        fields = {} if inside is None else inside.model_fields
        field = next((each for key, each in fields.items() if name in (key, each.alias)), None)
        if inside is None or field is None:
            break
        found = inside, name
        inside = _class_in(field.annotation)
    return found


def _class_in(annotation: Any) -> type[Data] | None:
    """Return the class of data that a field holds, alone or in a list; None if it holds none."""
    if isinstance(annotation, type) and issubclass(annotation, Data):
        return annotation
    return next(filter(None, map(_class_in, get_args(annotation))), None)


def _changes(fields: Any, error: ValidationError) -> dict[Path, Any]:
    """Return what is done to the values in `fields` that do not fit, by their paths: left out, or read by a function."""
    changes: dict[Path, Any] = {}
    for problem in error.errors(include_url=False, include_input=False):
        path = _existing(fields, problem["loc"])
        if not path:
            continue  # A required field is missing: no change helps.
        # Numbers in a list are a range or a position, which means nothing, or something else, without one of them.
        is_item = path == problem["loc"] and isinstance(path[-1], int)
        if is_item and problem["type"].startswith(("int", "float", "finite")):
            path = path[:-1]
        if problem["type"] == _MISFIT:
            changes[path] = problem["ctx"]["read"]
        else:
            changes.setdefault(path, _LEFT_OUT)
    return changes


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


def _tree(changes: Mapping[Path, Any]) -> dict[str | int, Any]:
    """Return changes by the keys of their paths, nested as the data is. A change takes the place of those below it."""
    tree: dict[str | int, Any] = {}
    for path in sorted(changes, key=len):
        inside: Any = tree
        for key in path[:-1]:
            inside = inside.setdefault(key, {})
            if not isinstance(inside, dict):
                break
        else:
            inside[path[-1]] = changes[path]
    return tree


def _changed(value: Any, tree: dict[str | int, Any]) -> Any:
    """Return a copy of `value` with changes. The decoded body is shared, so `value` must not change."""
    copy = value.copy()
    for key, change in tree.items():
        copy[key] = _changed(copy[key], change) if isinstance(change, dict) else change
    if isinstance(copy, dict):
        return {key: each for key, each in copy.items() if each is not _LEFT_OUT}
    return [each for each in copy if each is not _LEFT_OUT]
