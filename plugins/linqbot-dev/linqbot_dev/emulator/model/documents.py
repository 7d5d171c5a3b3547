"""Records as documents: each is one dataclass, whose fields are those of Linq's JSON.

`shown` is the JSON that the API answers, `saved` is that of a state file, and `read` is the way back. A field that Linq
does not show is `Private`, one that a state file does not keep either is `Unsaved`. Times are Unix seconds of the
emulator's clock, and ISO 8601 in JSON. What a record shows under another name has that name as its alias.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar, get_type_hints

from pydantic import BeforeValidator, Field, PlainSerializer, TypeAdapter, ValidationError, model_serializer

from linqbot_dev.emulator.model.answers import JsonObject

T = TypeVar("T")


def new_id() -> str:
    return str(uuid.uuid4())


@lru_cache(maxsize=1000)
def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_or_none(at: float | None) -> str | None:
    return None if at is None else iso(at)


def seconds(text: str) -> float:
    """Return an ISO 8601 time as Unix seconds. A time without an offset is UTC."""
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


Time: TypeAlias = Annotated[
    float, BeforeValidator(lambda value: seconds(value) if isinstance(value, str) else value), PlainSerializer(iso)
]
_PRIVATE, _UNSAVED = "private", "unsaved"
Private: TypeAlias = Annotated[T, _PRIVATE]
Unsaved: TypeAlias = Annotated[T, _UNSAVED, Field(exclude=True)]


class Sparse:
    """A record whose JSON leaves out what is in `SPARSE` and has no value."""

    __slots__ = ()
    SPARSE: ClassVar[frozenset[str]] = frozenset()

    # With its return type: pydantic 2.10 looks for the names of the annotation in the module of a subclass.
    @model_serializer(mode="wrap", return_type=dict[str, Any])
    def _without_empty(self, write: Any) -> JsonObject:
        return {name: value for name, value in write(self).items() if value or name not in self.SPARSE}


class _Form:
    """The reader and writer of a kind of record, and the names of its private and its unsaved fields."""

    def __init__(self, kind: type[Any]) -> None:
        marks = {
            name: getattr(hint, "__metadata__", ()) for name, hint in get_type_hints(kind, include_extras=True).items()
        }
        self.private = {name for name in marks if _PRIVATE in marks[name]}
        self.unsaved = {name for name in marks if _UNSAVED in marks[name]}
        self._adapter = TypeAdapter[Any](kind)
        self.read = self._adapter.validate_python

    def written(self, record: Any, *, without: set[str] | None = None) -> JsonObject:
        return dict(self._adapter.dump_python(record, mode="json", by_alias=True, warnings=False, exclude=without))


_FORMS: dict[type[Any], _Form] = {}


def _form(kind: type[Any]) -> _Form:
    if (form := _FORMS.get(kind)) is None:
        form = _FORMS[kind] = _Form(kind)
    return form


Writer: TypeAlias = Callable[[Any], JsonObject]
"""`shown`, or `saved` for the private fields too."""


def shown(record: Any) -> JsonObject:
    form = _form(type(record))
    return form.written(record, without=form.private)


def shown_or_none(record: Any) -> JsonObject | None:
    return None if record is None else shown(record)


def saved(record: Any) -> JsonObject:
    """Return a record as a state file keeps it: the fields of the API, and the private ones."""
    return _form(type(record)).written(record)


def read(kind: type[T], item: Mapping[str, Any], **defaults: Any) -> T:
    """Return a record that was saved, or that was written by hand and leaves out what has a default.

    Args:
        defaults: The values of fields that the item leaves out, and of those that no item has.
    """
    form = _form(kind)
    given = {name: value for name, value in item.items() if value is not None and name not in form.unsaved}
    try:
        record: T = form.read(defaults | given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return record
