"""Forms: `ctx.form` asks for the fields of a pydantic model one by one, lets the person go back, and shows it all for a review.

A form is a loop of `ctx.ask`, each question with the name of its field as its key. So each answer is stored when it comes,
and a form goes on after a crash, a restart, or a deploy that adds a field.
"""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from linqbot.errors import BotError
from linqbot.features.asking.answers import choice_of, sentence_of, validated
from linqbot.features.later import zone
from linqbot.language.reading import says
from linqbot.language.spoken import sentences, skips, spoken
from linqbot.language.writing import written
from linqbot.options import check_timezone
from linqbot.parse.dates import date_time, day
from linqbot.parse.numbers import number
from linqbot.parse.yes_or_no import yes_no

if TYPE_CHECKING:
    from linqbot.bot.context import AskOptions, Context

M = TypeVar("M", bound=BaseModel)


class Move(Enum):
    """Something that a person says instead of an answer."""

    BACK = "back"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form.

    Attributes:
        label: The name that the review shows, and by which the person changes it.
        choices: The texts to choose from, each with its value; empty if the answer is not one of a list.
        kind: The type of the value, without `None`.
        check: Validates a value, with the constraints of the field.
        default: The value of a skipped field; PydanticUndefined if the field must be answered.
    """

    name: str
    question: str
    label: str
    choices: Mapping[str, Any]
    kind: Any
    check: TypeAdapter[Any]
    default: Any

    @property
    def is_optional(self) -> bool:
        return self.default is not PydanticUndefined


def fields_of(model: type[BaseModel]) -> list[FormField]:
    """Return the fields of a model, in order. Raises BotError for none, and for a nested model or the like."""
    if not isinstance(model, type) or not issubclass(model, BaseModel) or not model.model_fields:
        raise BotError(f"ctx.form() takes a pydantic model with fields, not {model!r}.")
    return [_field(model, name, about) for name, about in model.model_fields.items()]


def _field(model: type[BaseModel], name: str, about: FieldInfo) -> FormField:
    kind: Any = about.annotation
    if get_origin(kind) in {Union, types.UnionType}:
        others = [each for each in get_args(kind) if each is not type(None)]
        kind = others[0] if len(others) == 1 else kind
    whole = get_origin(kind) or kind  # of `list[str]` the list
    if isinstance(whole, type) and issubclass(whole, BaseModel | list | dict | tuple | set):
        raise BotError(
            f"ctx.form({model.__name__}): the field {name} is a {whole.__name__}, for which one answer is not enough. Ask for it "
            "after the form, or give it a form of its own."
        )
    label = about.title or name.replace("_", " ").capitalize()
    return FormField(
        name,
        about.description or f"{label}?",
        label,
        _choices(kind),
        kind,
        TypeAdapter(Annotated[kind, *about.metadata] if about.metadata else kind),
        about.get_default(call_default_factory=True) if not about.is_required() else PydanticUndefined,
    )


def _choices(kind: Any) -> dict[str, Any]:
    if get_origin(kind) is Literal:
        return {str(each): each for each in get_args(kind)}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {str(each.value): each for each in kind}
    return {}


@dataclass(slots=True)
class FilledForm:
    """A form that is being filled in.

    `timezone` is the IANA name for days and times, `prefix` the beginning of the keys of its questions, `options` those
    of each.
    """

    ctx: Context
    fields: Sequence[FormField]
    timezone: str
    prefix: str
    options: AskOptions
    values: dict[str, Any] = field(default_factory=dict)
    _times: Counter[str] = field(default_factory=Counter)

    async def fill_in(self) -> None:
        """Ask for each field in turn. A person who goes back is asked for the field before once more."""
        place = 0
        while place < len(self.fields):
            place = max(place + (1 if await self.ask(self.fields[place]) else -1), 0)

    async def change(self, asked: FormField, why: str = "") -> None:
        """Ask for one field until it is answered: there is nothing to go back to. `why` says what is wrong with its value."""
        while not await self.ask(asked, why):
            pass

    async def ask(self, asked: FormField, why: str = "") -> bool:
        """Ask for a field, and return True if the person has answered or skipped it, False if they went back."""
        question = f"{why} {asked.question}" if why else asked.question
        if asked.is_optional:
            question = f"{question} {sentences().may_skip.format(skip=spoken().skip[0])}"
        listed: dict[str, Any] = {"choices": tuple(asked.choices)} if asked.choices else {}
        answer = await self.ctx.ask(
            question, kind=lambda text: self._read(asked, text), **listed, **self._keyed(asked.name)
        )
        if answer is Move.BACK:
            return False
        self.values[asked.name] = asked.default if answer is Move.SKIP else asked.choices.get(answer, answer)
        return True

    async def review(self, fault: str) -> FormField | None:
        """Show all values, and a fault of them together. Return the field to change; None if all is right."""
        labels = {each.label: each for each in self.fields}
        shown = "\n".join(f"{each.label}: {_shown(self.values[each.name])}" for each in self.fields)
        asks = fault or sentences().is_it_right

        def read(text: str) -> FormField | None:
            if (label := choice_of(text, tuple(labels), numbered=False)) is not None:
                return labels[label]
            try:
                if not fault and yes_no(text):
                    return None
            except ValueError:
                pass
            raise ValueError(sentences().name_what_to_change.format(choices=", ".join(labels)))

        return await self.ctx.ask(f"{shown}\n\n{asks}", kind=read, **self._keyed("review"))

    def _keyed(self, name: str) -> AskOptions:
        self._times[name] += 1
        return {**self.options, "key": f"{self.prefix}{name}.{self._times[name]}"}

    def _read(self, asked: FormField, text: str) -> Any:
        if says(text, spoken().back):
            return Move.BACK
        if asked.is_optional and skips(text, asked.default):
            return Move.SKIP
        if asked.choices:
            raise ValueError(sentences().one_of_these.format(choices=", ".join(asked.choices)))
        try:
            return self._value(asked, text)
        except ValidationError as error:
            raise ValueError(sentence_of(error)) from None

    def _value(self, asked: FormField, text: str) -> Any:
        if asked.kind is bool:
            return yes_no(text)
        if asked.kind is int:
            return asked.check.validate_python(number(text))
        now = self.ctx.now()
        if asked.kind is datetime:
            return asked.check.validate_python(date_time(text, timezone=self.timezone, now=now))
        if asked.kind is date:
            return asked.check.validate_python(day(text, timezone=self.timezone, now=now))
        return validated(asked.check, text)


async def form(ctx: Context, model: type[M], *, review: bool, timezone: str, options: AskOptions) -> M:
    """Ask for the fields of a model, and return it; see `Context.form`."""
    fields = fields_of(model)
    check_timezone("ctx.form", timezone)
    zone(timezone)  # a wrong one is the author's mistake: the person would read its error as one about the answer
    prefix = f"form.{options.pop('key', None) or model.__name__}."
    filled = FilledForm(ctx, fields, timezone, prefix, options)
    by_name = {each.name: each for each in filled.fields}
    await filled.fill_in()
    fault = ""
    while True:
        if (review or fault) and (change := await filled.review(fault)) is not None:
            await filled.change(change)
            fault = ""
            continue
        try:
            return model.model_validate(filled.values)
        except ValidationError as error:
            why, (name, *_) = sentence_of(error), (*error.errors(include_input=False)[0]["loc"], "")
        if name in by_name:
            await filled.change(by_name[str(name)], why)
        else:
            fault = why


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return sentences().yes if value else sentences().no
    if isinstance(value, date):
        return written(value)
    return str(value.value if isinstance(value, Enum) else value)
