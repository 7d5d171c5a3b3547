"""Experiences: ready-made cards of Linq's, and what they can do. One is sent as `message.experience`."""

from __future__ import annotations

from linqbot.client.resources.resource import Listing, Resource, at_once, read
from linqbot.types.experience import OfferedExperience, OfferedExperiences


class Experiences(Resource):
    """`client.experiences`."""

    __slots__ = ()

    def list(self) -> Listing[OfferedExperience]:
        """List the experiences with their actions and fields. Linq gives them all at once.

        Source: https://docs.linqapp.com/api/resources/experiences/methods/list
        """

        async def everything() -> tuple[OfferedExperience, ...]:
            return read(OfferedExperiences, await self._call("experiences.list"), "experiences.list").experiences

        return at_once(everything)

    async def retrieve(self, experience: str) -> OfferedExperience:
        """Get one experience by its name, such as `link`.

        Raises:
            LinqApiError: 404 when there is none of this name.
        Source: https://docs.linqapp.com/api/resources/experiences/methods/retrieve
        """
        answer = await self._call("experiences.retrieve", path={"experience": experience})
        return read(OfferedExperience, answer, "experiences.retrieve")
