"""The base of all acts: their models, the types of their fields, and the look-up of the person who acts.

An act is a pydantic model with a method `perform(world)`. The control API reads the model from a request body, tests
build it in Python, and `Emulator.do` performs it. The docstring and the fields of each act are also its entry in
docs/reference/control.md.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from linqbot.emulator.engine.world import World
from linqbot.emulator.model.answers import not_found
from linqbot.emulator.model.handles import is_handle, normal
from linqbot.emulator.model.records import ChatRecord, Member

Result_co = TypeVar("Result_co", covariant=True)


class Act(Protocol[Result_co]):
    """An act of a person, of Linq or of the team."""

    def perform(self, world: World) -> Result_co:
        """Change the world, and return what the caller cannot know, such as the ids of a new message.

        Raises:
            ApiError: the act is not possible now.
        """


def _checked_handle(text: str) -> str:
    if not is_handle(text):
        raise ValueError("must be an E.164 number or an e-mail address")
    return normal(text)


Handle: TypeAlias = Annotated[
    str, AfterValidator(_checked_handle), WithJsonSchema({"type": "string", "format": "handle"})
]
Service: TypeAlias = Literal["iMessage", "RCS", "SMS"]
Index: TypeAlias = Annotated[int, Field(ge=0)]
Emoji: TypeAlias = Annotated[str, Field(min_length=1, max_length=64)]
NotEmpty: TypeAlias = Annotated[str, Field(min_length=1)]


class Body(BaseModel):
    """A JSON object of the control API. Unknown keys are refused, so that a misspelled key does not look like success."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, hide_input_in_errors=True)


class ByPerson(Body):
    """An act of one person. In JSON the key of `from_` is `from`."""

    from_: Handle = Field(alias="from", description="The person who acts.")


def active_member(chat: ChatRecord, handle: str) -> Member:
    """Return the person `handle` as a member of the chat.

    Raises:
        ApiError: 404, the handle is not an active participant, or it is our line.
    """
    member = chat.member(handle)
    if member is None or member.is_me or member.status != "active":
        raise not_found("participant")
    return member
