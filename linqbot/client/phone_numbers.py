"""The lines of the account."""

from __future__ import annotations

from linqbot.client.noun import Noun, read
from linqbot.types.line import PhoneNumber
from linqbot.types.line import PhoneNumbers as Lines


class PhoneNumbers(Noun):
    """`client.phone_numbers`."""

    __slots__ = ()

    async def list(self) -> tuple[PhoneNumber, ...]:
        """List the lines of the account with their reputation. Linq does not page this list.

        Source: https://docs.linqapp.com/api/resources/phone_numbers/methods/list
        """
        return read(Lines, await self._call("phone_numbers.list"), "phone_numbers.list").phone_numbers
