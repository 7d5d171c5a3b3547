"""Experiences Linq offers: ready-made cards, their actions, and the fields of those. Sending one: `types/message.py`."""

from __future__ import annotations

from linqbot.types.data import Data


class ExperienceField(Data):
    """One field of an action.

    Attributes:
        type: `string`, `cents`, `int` or `url` (absolute https).
        max: Longest string, in characters.
    """

    type: str | None = None
    required: bool | None = None
    max: int | None = None


class ExperienceAction(Data):
    """Something an experience can do."""

    name: str | None = None
    summary: str | None = None
    fields: dict[str, ExperienceField] | None = None


class OfferedExperience(Data):
    """An experience and its actions.

    Attributes:
        experience: Its name, to be given as `name` when sending.
    """

    experience: str | None = None
    display_name: str | None = None
    actions: tuple[ExperienceAction, ...] | None = None


class OfferedExperiences(Data):
    """Answer of `experiences.list`."""

    experiences: tuple[OfferedExperience, ...] = ()
