"""Output types: what an agent can do in a chat, as data that a model fills in. Nothing here knows pydantic-ai.

The docstrings and the descriptions of the fields are part of the schema that the model sees. Next step: `saying.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from pydantic.dataclasses import dataclass

from linqbot import BotError
from linqbot.linq.types.message import EffectName
from linqbot_agent.written import visible

TapbackName: TypeAlias = Literal["love", "like", "dislike", "laugh", "emphasize", "question"]
Text: TypeAlias = Annotated[str, AfterValidator(visible), AfterValidator(str.strip), StringConstraints(min_length=1)]
Address: TypeAlias = Annotated[str, StringConstraints(pattern=r"^https://\S+$", max_length=2048)]

MOST_OPTIONS: Final = 12
_STRICT: Final = ConfigDict(extra="forbid")
"""Tells the types of a list apart, also the one without fields."""


@dataclass(frozen=True, config=_STRICT)
class Say:
    """Say a text, perhaps with an effect that plays when it arrives."""

    text: Text = Field(repr=False, description="The text, in Markdown.")
    effect: EffectName | None = Field(default=None, description="The effect of the screen or of the bubble.")


@dataclass(frozen=True, config=_STRICT)
class Tapback:
    """React to the person's message with a tapback, without words."""

    name: TapbackName


@dataclass(frozen=True, config=_STRICT)
class Poll:
    """Let the people of the chat vote. A poll has no title, so say the question before it."""

    options: tuple[Text, ...] = Field(repr=False, min_length=2, max_length=MOST_OPTIONS)


@dataclass(frozen=True, config=_STRICT)
class Media:
    """Send a photo, a film or another file."""

    url: Address = Field(
        repr=False, description="The https address of the file, as a tool, the person or the instructions gave it."
    )


@dataclass(frozen=True, config=_STRICT)
class Silence:
    """Say nothing, because the message needs no answer."""


Output: TypeAlias = Say | Tapback | Poll | Media | Silence


def outputs_of(value: object) -> list[Output]:
    """Return the output of an agent as a list of things to say.

    Args:
        value: A text, an output type, None, or a list of these.
    Raises:
        BotError: it is of another type.
    """
    return list(_flat(value))


def _flat(value: object) -> Iterator[Output]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _flat(each)
    elif isinstance(value, str):
        if visible(value).strip():
            yield Say(value)
    elif isinstance(value, Output):
        yield value
    elif value is not None:
        raise BotError(
            f"The agent's output is of type {type(value).__name__}, and run() says texts. Use an agent whose output_type "
            "is str, or one of Say, Tapback, Poll, Media and Silence, or a list of these."
        )


def text_of(outputs: list[Output]) -> str:
    """Return the texts of outputs, a paragraph for each."""
    return "\n\n".join(output.text for output in outputs if isinstance(output, Say))
