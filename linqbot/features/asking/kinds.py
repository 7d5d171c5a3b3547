"""Kinds: the one reader of answers in words, for `kind=` of `ctx.ask` and for each field of a form.

A function of the author gets the text. For a type, pydantic's own schema says which simple types stand in it, whatever
`Annotated`, `None`, aliases and constraints are around them. In front of each of them, a reader of people's words is put into
the schema: `four`, `tomorrow at 10`, `90 min`. So validators and constraints work as ever. Two things are taken out of it:
the wall clock of `FutureDate` and the like, because the time of the answer counts, and aliases, because a form knows its
fields by their names.

A person reads a sentence of `Sentences`, or that of a ValueError of the author's own function; never one of pydantic.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any, Final, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import SchemaValidator, core_schema

from linqbot.clock import WrongCall, zone
from linqbot.errors import BotError
from linqbot.language.reading import chosen
from linqbot.language.spoken import sentences, spoken
from linqbot.language.writing import written
from linqbot.parse.numbers import decimal, is_bare, number
from linqbot.parse.yes_or_no import yes_no

M = TypeVar("M", bound=BaseModel)

_SENTENCE_OF: Final = {
    "int_parsing": "number",
    "int_from_float": "number",
    "float_parsing": "any_number",
    "decimal_parsing": "any_number",
    "finite_number": "any_number",
    "bool_parsing": "yes_or_no",
    "date_parsing": "day",
    "datetime_parsing": "day_and_time",
    "time_parsing": "clock_time",
    "time_delta_parsing": "duration",
    **dict.fromkeys(("url_parsing", "url_scheme", "url_syntax_violation", "url_too_long"), "web_address"),
    "greater_than": "more_than",
    "greater_than_equal": "at_least",
    "less_than": "less_than",
    "less_than_equal": "at_most",
    "multiple_of": "multiple_of",
    "decimal_max_places": "decimal_places",
    "decimal_max_digits": "shorter",
    "decimal_whole_digits": "less_than",
    "string_too_short": "longer",
    "string_too_long": "shorter",
}
"""The sentence that a person is shown about an invalid answer, by the type of pydantic's error."""
_OF_TIMES: Final = {
    "greater_than": "later_than",
    "greater_than_equal": "from_then",
    "less_than": "earlier_than",
    "less_than_equal": "until_then",
}
"""The same, for the limits of days and times."""
_LISTS_OF_VALUES: Final = ("list", "tuple", "set", "frozenset", "deque", "generator")
_DICTS: Final = ("dict", "counter", "ordered-dict", "frozen-dict", "default-dict", "mapping", "typed-dict")
_MODELS: Final = ("model", "dataclass", "named-tuple", "tagged-union", "call", "arguments")
_UNREADABLE: Final = {
    **{name: name for name in _LISTS_OF_VALUES},
    **dict.fromkeys(_DICTS, "dict"),
    **dict.fromkeys(_MODELS, "model"),
    **dict.fromkeys(("is-instance", "is-subclass", "callable", "none"), "class"),
}
"""What a schema is to its author, by the name of the schemas that no text can be read as."""
_INNER: Final = ("schema", "lax_schema", "strict_schema", "json_schema", "python_schema")
_SEVERAL: Final = ("choices", "steps", "definitions")
"""Where a schema has the schemas of what it is made of."""
_TAKEN_OUT: Final = frozenset({"validation_alias", "now_op", "now_utc_offset", "ref"})
_TYPING: Final = ("typing", "typing_extensions")
_ON_OR_OFF: Final = re.compile(r"(on|t|1)|off|f|0", re.IGNORECASE)
_ISO_LENGTH: Final = re.compile(r"P[\dTDHMSWYP.]+|\d+:\d\d:\d\d", re.IGNORECASE)


class Unreadable(Exception):
    """No answer in words can be read as a type: the author must ask for it in another way. The text names the type."""


@dataclass(frozen=True, slots=True)
class AnswerReader:
    """The reader of the answers to a question.

    Attributes:
        read: Converts a text that was written at a time. Raises ValueError with a sentence for the person.
        takes_yes_or_no: True if yes and no are answers, so that a tapback is one, too.
        choices: The texts that a Literal or an Enum names, with their values.
        is_choice: True if nothing but these texts is an answer.
        keeps_text: True if a function of the author's gets the text first, so that a model needs the text again.
    """

    read: Callable[[str, datetime], Any]
    takes_yes_or_no: bool = False
    choices: Mapping[str, Any] = field(default_factory=dict)
    is_choice: bool = False
    keeps_text: bool = False


def reader_of(kind: Any, timezone: str) -> AnswerReader:
    """Return the reader of a type or of a function, for a person in a time zone. Raises Unreadable, PydanticUserError."""
    if isinstance(kind, AnswerReader):
        return kind
    try:
        readable = _readable(kind, repr(kind))
    except TypeError:  # a kind that cannot be hashed
        readable = _readable.__wrapped__(kind, "")
    if readable is None:
        function = kind.func if isinstance(kind, partial) else kind
        return AnswerReader(lambda text, now: _called(kind, text), takes_yes_or_no=function is yes_no)
    return replace(readable.reader, read=lambda text, now: _validated(readable.validator, text, timezone, now))


@dataclass(frozen=True, slots=True)
class _Readable:
    """A type that can be read from words: its validator, and what its readers have in common."""

    validator: SchemaValidator
    reader: AnswerReader


@lru_cache
def _readable(kind: Any, _shown: str) -> _Readable | None:
    """Return what reads a type; None for a function, which converts the text itself. Raises as `reader_of` does.

    Its text tells two types apart that are equal to Python, such as `int | str` and `str | int`.
    """
    is_type = isinstance(kind, type) or hasattr(kind, "__origin__") or type(kind).__module__ in _TYPING
    if callable(kind) and not is_type:
        return None
    try:
        schema = TypeAdapter(kind).core_schema
    except PydanticSchemaGenerationError:
        if isinstance(kind, type):  # a class of the author's, which is called with the text
            return None
        raise
    leaves = list(_leaves(schema))
    if all(each["type"] in _UNREADABLE for each in leaves):
        raise Unreadable(_UNREADABLE[leaves[0]["type"]] if leaves else "class")
    choices: dict[str, Any] = {}
    for each in leaves:
        choices |= _choices(each)
    found = {each["type"] for each in leaves}
    is_choice = found <= {"literal", "enum"}
    # A day is not read twice: `tomorrow` is another one by then.
    keeps_text = _asks_author(schema) and not found & {"date", "datetime"}
    reader = AnswerReader(_unread, "bool" in found, choices, is_choice, keeps_text)
    return _Readable(SchemaValidator(_adapted(schema, is_whole=False)), reader)


def _unread(text: str, now: datetime) -> Any:
    raise AssertionError("A type is read in a time zone.")


class _Unbuilt:
    """The class in the adapted schema of a model. For the model's own, pydantic would take the validator that it has built."""


def model_maker(model: type[M]) -> Callable[[Mapping[str, Any]], M]:
    """Return a function that makes a model of the values of its fields by their names, inside of `answered`.

    It raises ValidationError. A model with an `__init__` of its own is validated as pydantic does it.
    """
    if model.__init__ is not BaseModel.__init__:
        return model.model_validate
    validator = SchemaValidator(_adapted(TypeAdapter(model).core_schema, is_whole=True))
    return lambda values: cast("M", validator.validate_python(values, self_instance=model.__new__(model)))


def _leaves(schema: Any) -> Iterator[Any]:
    """Yield the schemas of the simple types that a schema is made of, and those of what no text can be read as."""
    if schema["type"] in _UNREADABLE or schema["type"] == "json":
        yield schema
    elif schema["type"] != "definition-ref":
        inner = list(_inner(schema))
        leaves = [leaf for each in inner for leaf in _leaves(each)]
        takes_text = _is_of_author(schema) and all(each["type"] in _UNREADABLE for each in leaves)
        yield from [schema] if takes_text or not inner else leaves


def _inner(schema: Any) -> Iterator[Any]:
    yield from (schema[key] for key in _INNER if key in schema)
    for key in _SEVERAL:
        yield from (each[0] if isinstance(each, tuple) else each for each in schema.get(key, ()))


def _is_of_author(schema: Any) -> bool:
    """Return True if a function of the author's gets the text first, such as one that splits it into a list."""
    if schema["type"] not in ("function-before", "function-wrap", "function-plain"):
        return False
    function = schema["function"]["function"]
    function = function.func if isinstance(function, partial) else function
    return not getattr(function, "__module__", "").startswith("pydantic")


def _asks_author(schema: Any) -> bool:
    is_end = schema["type"] in _UNREADABLE or schema["type"] == "json"
    return _is_of_author(schema) or (not is_end and any(map(_asks_author, _inner(schema))))


def _choices(leaf: Any) -> dict[str, Any]:
    if leaf["type"] == "literal":
        return {str(each): each for each in leaf["expected"] if each is not None}
    return {str(each.value): each for each in leaf["members"]} if leaf["type"] == "enum" else {}


def _adapted(schema: Any, *, is_whole: bool, is_beside_text: bool = False) -> Any:
    """Return a schema of pydantic that reads people's words, has no aliases, and judges times by that of the answer.

    Args:
        is_whole: True for a model of values that were read before.
        is_beside_text: True in a union in which any text is an answer, too. There a number stands alone: `12 Main Street`
            is a text.
    """
    if isinstance(schema, list | tuple):
        return type(schema)(_adapted(each, is_whole=is_whole, is_beside_text=is_beside_text) for each in schema)
    if not isinstance(schema, dict):
        return schema
    if not isinstance(kind := schema.get("type"), str):  # the fields of a model, by name
        return {name: _adapted(each, is_whole=is_whole) for name, each in schema.items()}
    if kind == "json":
        return schema
    changed: Any = {name: each for name, each in schema.items() if name not in _TAKEN_OUT}
    if kind == "model":
        changed["cls"] = _Unbuilt
    if kind == "union":
        is_beside_text = is_beside_text or any(each["type"] in ("str", "any") for each in _leaves(schema))
        changed |= {} if is_whole else {"mode": "left_to_right"}  # the first type that fits the words
    for key in (*_INNER, *_SEVERAL, "fields"):
        if key in changed:
            changed[key] = _adapted(changed[key], is_whole=is_whole, is_beside_text=is_beside_text)
    if "now_op" in schema:
        changed = core_schema.no_info_after_validator_function(_TIMELY[schema["now_op"]], changed)
    changed = _with_reader(schema, changed, is_beside_text=is_beside_text)
    return (
        {**changed, "ref": schema["ref"]} if "ref" in schema else changed
    )  # other schemas name it, with all around it


def _with_reader(schema: Any, adapted: Any, *, is_beside_text: bool) -> Any:
    """Return an adapted schema behind the reader of its type, if that is a simple one."""
    if schema["type"] in _WRAPPED:
        return core_schema.no_info_wrap_validator_function(_WRAPPED[schema["type"]], adapted)
    read = _reader_of_leaf(schema, is_beside_text=is_beside_text)
    return adapted if read is None else core_schema.no_info_before_validator_function(_of_words(read), adapted)


def _of_words(read: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Return a function that reads a text and leaves other values alone, such as those that a validator has made."""
    return lambda value: read(value) if isinstance(value, str) else value


def _reader_of_leaf(schema: Any, *, is_beside_text: bool) -> Callable[[str], Any] | None:
    kind = schema["type"]
    if kind in ("literal", "enum"):
        return partial(_chosen, _choices(schema))
    if kind in ("date", "datetime"):
        is_past = schema.get("now_op") == "past"
        if kind == "date":
            return partial(_day, is_past=is_past)
        return partial(_date_time, is_past=is_past, is_naive=schema.get("tz_constraint") == "naive")
    read = _READERS.get(kind)
    return partial(_alone, read) if read is not None and is_beside_text and kind != "time" else read


@dataclass(frozen=True, slots=True)
class _Written:
    """The time at which an answer was written, and the time zone of the person."""

    now: datetime
    timezone: str

    @property
    def here(self) -> datetime:
        return self.now.astimezone(zone(self.timezone))


_written: ContextVar[_Written] = ContextVar("linqbot_answer_written")


@contextmanager
def answered(now: datetime, timezone: str) -> Iterator[None]:
    """Judge the days and times of an answer in the block by the time at which it was given, in a time zone."""
    token = _written.set(_Written(now, timezone))
    try:
        yield
    finally:
        _written.reset(token)


def _validated(validator: SchemaValidator, text: str, timezone: str, now: datetime) -> Any:
    with answered(now, timezone):
        try:
            return validator.validate_strings(cast("Any", text))
        except ValidationError as error:
            raise ValueError(sentence_of(error)) from None


def _called(function: Callable[[str], Any], text: str) -> Any:
    try:
        return function(text)
    except ValidationError as error:
        raise ValueError(sentence_of(error)) from None
    except WrongCall as error:
        raise ValueError(_of_wrong_call(error)) from None


def _of_wrong_call(error: WrongCall) -> str:
    """Return the sentence for the person whose text has caused an author's error. Raises BotError if the author's call did."""
    if error.sentence:
        return str(getattr(sentences(), error.sentence))
    raise BotError(f"The answer to ctx.ask or ctx.form could not be read: {error}") from error


def sentence_of(error: ValidationError) -> str:
    """Return what is wrong, as a sentence for the person, in the language of the turn. Raises BotError for a mistake of the author."""
    first = error.errors(include_url=False, include_input=False)[0]
    kind, context = first["type"], first.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, ValidationError):  # an author's validator has called pydantic
        return sentence_of(cause)
    if isinstance(cause, WrongCall):
        return _of_wrong_call(cause)
    if kind == "value_error" and isinstance(cause, ValueError) and str(cause):
        return str(cause)
    try:
        return _of_limit(kind, context)
    except KeyError:  # an author's error of this name does not say its limit
        return sentences().other_form


def _of_limit(kind: str, context: Mapping[str, Any]) -> str:
    """Return the sentence about an error of pydantic's, with the limit that it names."""
    if kind in _OF_TIMES:
        context = {name: _limit(value) for name, value in context.items()}
    elif kind == "decimal_max_digits":
        context = {"max_length": context["max_digits"]}
    elif kind == "decimal_whole_digits":
        context = {"lt": 10 ** context["whole_digits"]}
    is_of_time = any(isinstance(value, date | time) for value in context.values())
    name = _OF_TIMES[kind] if kind in _OF_TIMES and is_of_time else _SENTENCE_OF.get(kind, "other_form")
    sentence: str = getattr(sentences(), name)
    return sentence.format_map({name: shown(value) for name, value in context.items()})


def _limit(value: Any) -> Any:
    """Return a limit from a text of pydantic's: days and times are in ISO 8601, lengths of time in English words."""
    from linqbot.parse.dates import duration

    readers = (date.fromisoformat, time.fromisoformat, datetime.fromisoformat, partial(duration, language="en"))
    for read in readers if isinstance(value, str) else ():
        with contextlib.suppress(ValueError):
            return read(value)
    return value


def shown(value: Any) -> str:
    """Return a value as a person of the language of the turn reads it: a number, a day, a time or a length of time."""
    if isinstance(value, datetime):
        answer = _written.get(None)
        return written(value if value.tzinfo is None or answer is None else value.astimezone(answer.here.tzinfo))
    if isinstance(value, date):
        return written(value)
    if isinstance(value, time):
        return written(value)
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        pieces = ((minutes // 60, "h"), (minutes % 60, "min"), (seconds, "s"))
        return " ".join(f"{count} {unit}" for count, unit in pieces if count) or "0 min"
    if isinstance(value, float | Decimal):
        digits = f"{value:f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
        return digits.replace(".", ",") if (words := spoken().words) is not None and words.has_decimal_comma else digits
    return str(value)


# Readers of simple types


def _alone(read: Callable[[str], Any], text: str) -> Any:
    if not is_bare(text):
        raise ValueError(sentences().any_number)
    return read(text)


def _day(text: str, *, is_past: bool) -> date:
    from linqbot.parse.dates import any_day  # most bots ask for no dates

    return any_day(text, timezone=_written.get().timezone, now=_written.get().now, is_past=is_past)


def _date_time(text: str, *, is_past: bool, is_naive: bool) -> datetime:
    from linqbot.parse.dates import any_date_time

    at = any_date_time(text, timezone=_written.get().timezone, now=_written.get().now, is_past=is_past)
    return at.replace(tzinfo=None) if is_naive else at


def _time(text: str) -> time:
    from linqbot.parse.dates import clock_time

    try:
        return clock_time(text)
    except ValueError:
        if re.fullmatch(r"\d\d:\d\d:\d\d(?:\.\d+)?", text):
            with contextlib.suppress(ValueError):
                return time.fromisoformat(text)
        raise


def _chosen(choices: Mapping[str, Any], text: str) -> Any:
    """Return the value of a choice by its text; a number also as people write it, such as `two`."""
    if (name := chosen(text, tuple(choices))) is not None:
        return choices[name]
    with contextlib.suppress(ValueError, KeyError):
        return choices[str(number(text))]
    raise ValueError(sentences().one_of_these.format(choices=", ".join(choices)))


def _bool(value: Any, validate: Callable[[Any], bool]) -> bool:
    if not isinstance(value, str):
        return validate(value)
    try:
        return validate(yes_no(value))
    except ValueError:
        if found := _ON_OR_OFF.fullmatch(value):
            return validate(found[1] is not None)
        raise


def _length(value: Any, validate: Callable[[Any], timedelta]) -> timedelta:
    if not isinstance(value, str) or _ISO_LENGTH.fullmatch(value):
        return validate(value)
    from linqbot.parse.dates import duration

    return validate(duration(value))


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "int": number,
    "float": lambda text: float(decimal(text)),
    "decimal": decimal,
    "time": _time,
}
_WRAPPED: Final[dict[str, Callable[..., Any]]] = {"bool": _bool, "timedelta": _length}
"""The readers of the types for which pydantic understands texts that are no words, such as `off` or `PT90M`."""


# Times that must lie ahead, or have passed: by the time of the answer


def _ahead(value: Any) -> Any:
    if isinstance(value, datetime):
        if _in_zone(value) <= _written.get().now:
            raise ValueError(sentences().time_passed)
    elif value <= (today := _written.get().here.date()):
        raise ValueError(sentences().after_today if value == today else sentences().day_passed)
    return value


def _passed(value: Any) -> Any:
    if isinstance(value, datetime):
        if _in_zone(value) >= _written.get().now:
            raise ValueError(sentences().past_time)
    elif value >= _written.get().here.date():
        raise ValueError(sentences().past_day)
    return value


def _in_zone(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=zone(_written.get().timezone))


_TIMELY: Final[dict[str, Callable[[Any], Any]]] = {"future": _ahead, "past": _passed}
