"""Forms: `ctx.form` asks for the fields of a pydantic model one by one, lets the person go back, and shows it all for a review.

A form is a loop of `ctx.ask`, each question with the name of its field as its key. So each answer is stored when it comes,
and a form goes on after a crash, a restart, or a deploy that adds a field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from linqbot.errors import BotError
from linqbot.features.asking.answers import choice_of
from linqbot.features.asking.kinds import AnswerReader, Unreadable, answered, model_maker, reader_of, sentence_of, shown
from linqbot.features.later import zone
from linqbot.language.reading import says
from linqbot.language.spoken import sentences, skips, spoken
from linqbot.options import check_timezone
from linqbot.parse.yes_or_no import yes_no

if TYPE_CHECKING:
    from linqbot.bot.context import Context
    from linqbot.features.asking.verbs import AskOptions

M = TypeVar("M", bound=BaseModel)


class Move(Enum):
    """Something that a person says instead of an answer."""

    BACK = "back"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer of which the form keeps the text, next to its value: see `AnswerReader.keeps_text`."""

    text: str
    value: Any


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of a form.

    Attributes:
        label: The name that the review shows, and by which the person changes it.
        reader: The reader of an answer, with the constraints of the field.
        default: The value of a skipped field; PydanticUndefined if the field must be answered.
    """

    name: str
    question: str
    label: str
    reader: AnswerReader
    default: Any

    @property
    def choices(self) -> Mapping[str, Any]:
        """The texts to choose from, each with its value; empty if the answer is not one of a list."""
        return self.reader.choices if self.reader.is_choice else {}

    @property
    def is_optional(self) -> bool:
        return self.default is not PydanticUndefined


def fields_of(model: type[BaseModel], timezone: str) -> list[FormField]:
    """Return the fields of a model, in order. Raises BotError for none, and for one that no text can be read as."""
    if not isinstance(model, type) or not issubclass(model, BaseModel) or not model.model_fields:
        raise BotError(f"ctx.form() takes a pydantic model with fields, not {model!r}.")
    return [_field(model, name, about, timezone) for name, about in model.model_fields.items()]


def _field(model: type[BaseModel], name: str, about: FieldInfo, timezone: str) -> FormField:
    # With its name, because a class alone would be called with the text, as a function is.
    kind: Any = Annotated[about.annotation, *about.metadata, name]
    try:
        reader = reader_of(kind, timezone)
    except (Unreadable, PydanticUserError) as error:
        kind = str(error) if isinstance(error, Unreadable) else "class that pydantic does not know"
        raise BotError(
            f"ctx.form({model.__name__}): the field {name} is a {kind}, and no answer in words can be read as one. Ask for it "
            "after the form, or give it a form of its own."
        ) from error
    label = about.title or name.replace("_", " ").capitalize()
    default = about.get_default(call_default_factory=True) if not about.is_required() else PydanticUndefined
    return FormField(name, about.description or f"{label}?", label, reader, default)


@dataclass(slots=True)
class FilledForm:
    """A form that is being filled in.

    `prefix` is the beginning of the keys of its questions, `options` are those of each. `given` is what the model is made
    of: the values, or the texts of some.
    """

    ctx: Context
    fields: Sequence[FormField]
    prefix: str
    options: AskOptions
    values: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
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
        reader = replace(asked.reader, read=lambda text, now: _read(asked, text, now))
        answer: Any = await self.ctx.ask(question, kind=reader, **listed, **self._keyed(asked.name))
        if answer is Move.BACK:
            return False
        if answer is Move.SKIP:
            answer = asked.default
        elif isinstance(answer, str):
            answer = asked.choices.get(answer, answer)
        is_kept = isinstance(answer, KeptAnswer)
        self.values[asked.name] = answer.value if is_kept else answer
        self.given[asked.name] = answer.text if is_kept else answer
        return True

    async def review(self, fault: str) -> FormField | None:
        """Show all values, and a fault of them together. Return the field to change; None if all is right."""
        labels = {each.label: each for each in self.fields}
        values = "\n".join(f"{each.label}: {_shown(self.values[each.name])}" for each in self.fields)
        asks = fault or sentences().is_it_right

        def read(text: str, now: datetime) -> FormField | None:
            if (label := choice_of(text, tuple(labels), numbered=False)) is not None:
                return labels[label]
            try:
                if not fault and yes_no(text):
                    return None
            except ValueError:
                pass
            raise ValueError(sentences().name_what_to_change.format(choices=", ".join(labels)))

        reader = AnswerReader(read, takes_yes_or_no=not fault)
        change: FormField | None = await self.ctx.ask(f"{values}\n\n{asks}", kind=reader, **self._keyed("review"))
        return change

    def _keyed(self, name: str) -> AskOptions:
        self._times[name] += 1
        return {**self.options, "key": f"{self.prefix}{name}.{self._times[name]}"}


def _read(asked: FormField, text: str, now: datetime) -> Any:
    """Return the value of an answer to a field, or a move. Raises ValueError with a sentence for the person."""
    if says(text, spoken().back):
        return Move.BACK
    if asked.is_optional and skips(text, asked.default):
        return Move.SKIP
    value = asked.reader.read(text, now)
    return KeptAnswer(text, value) if asked.reader.keeps_text else value


async def form(ctx: Context, model: type[M], *, review: bool, timezone: str, options: AskOptions) -> M:
    """Ask for the fields of a model, and return it; see `Context.form`."""
    check_timezone("ctx.form", timezone)
    zone(timezone)  # a wrong one is the author's mistake: the person would read its error as one about the answer
    fields = fields_of(model, timezone)
    prefix = f"form.{options.pop('key', None) or model.__name__}."
    filled = FilledForm(ctx, fields, prefix, options)
    by_name = {each.name: each for each in filled.fields}
    make = model_maker(model)
    await filled.fill_in()
    fault = ""
    while True:
        if (review or fault) and (change := await filled.review(fault)) is not None:
            await filled.change(change)
            fault = ""
            continue
        with answered(ctx.now(), timezone):
            try:
                return make(filled.given)
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
    return shown(value.value if isinstance(value, Enum) else value)
