"""Experiences: ready-made interactive cards offered by Linq. A bot sends one as `message.experience`."""

from __future__ import annotations

from linqbot.client.resources.resource import Listing, Resource, at_once, read
from linqbot.types.experience import OfferedExperience, OfferedExperiences


class Experiences(Resource):
    """`client.experiences`: list the experiences that Linq offers, with their actions and fields."""

    __slots__ = ()

    def list(self) -> Listing[OfferedExperience]:
        """List all experiences with their actions and fields. The list has a single page.

        Source: https://docs.linqapp.com/api/resources/experiences/methods/list
        """

        async def everything() -> tuple[OfferedExperience, ...]:
            return read(OfferedExperiences, await self._call("experiences.list"), "experiences.list").experiences

        return at_once(everything)

    async def retrieve(self, experience: str) -> OfferedExperience:
        """Get an experience by its name, such as `link`.

        Raises:
            LinqApiError: 404 no experience has this name.
        Source: https://docs.linqapp.com/api/resources/experiences/methods/retrieve
        """
        response = await self._call("experiences.retrieve", path={"experience": experience})
        return read(OfferedExperience, response, "experiences.retrieve")
