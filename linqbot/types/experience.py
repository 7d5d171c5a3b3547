"""Experiences that Linq offers: ready-made cards, their actions and fields. To send one: `Experience` in `message.py`."""

from __future__ import annotations

from linqbot.types.data import Data


class ExperienceField(Data):
    """A field of an action.

    Attributes:
        type: `string`, `cents`, `int` or `url` (absolute https).
        max: Maximum length of a string, in characters.
    """

    type: str | None = None
    required: bool | None = None
    max: int | None = None


class ExperienceAction(Data):
    """An action of an experience."""

    name: str | None = None
    summary: str | None = None
    fields: dict[str, ExperienceField] | None = None


class OfferedExperience(Data):
    """An experience and its actions.

    Attributes:
        experience: The name, to be passed as `name` when sending the experience.
    """

    experience: str | None = None
    display_name: str | None = None
    actions: tuple[ExperienceAction, ...] | None = None


class OfferedExperiences(Data):
    """Response of `experiences.list`."""

    experiences: tuple[OfferedExperience, ...] = ()
