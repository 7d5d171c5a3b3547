"""The lines of the account: listing them, forwarding their calls, auditing their reputation, choosing one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

from linqbot.client.resources.resource import Listing, Resource, at_once, many, read
from linqbot.types.line import AvailableNumber as Available
from linqbot.types.line import (
    Forwarding,
    LegacyPhoneNumber,
    LegacyPhoneNumbers,
    PhoneNumber,
    ReputationAudit,
    ReputationAuditStarted,
)
from linqbot.types.line import PhoneNumberList as Lines


class PhoneNumbers(Resource):
    """`client.phone_numbers`. An id Linq does not know is `LinqApiError` 404."""

    __slots__ = ()

    def list(self) -> Listing[PhoneNumber]:
        """List the lines of the account with their reputation. Linq gives them all at once.

        Source: https://docs.linqapp.com/api/resources/phone_numbers/methods/list
        """

        async def everything() -> tuple[PhoneNumber, ...]:
            return read(Lines, await self._call("phone_numbers.list"), "phone_numbers.list").phone_numbers

        return at_once(everything)

    async def update(self, phone_number_id: str, *, forwarding_number: str | None) -> Forwarding:
        """Forward a line's calls, or stop doing so.

        Args:
            phone_number_id: The line's id, a UUID: `PhoneNumber.id`.
            forwarding_number: E.164; None stops forwarding.
        Source: https://docs.linqapp.com/api/resources/phone_numbers/methods/update
        """
        # The field must be there even to clear it, and null fields are left out on the way: Linq reads "" alike.
        body = {"forwarding_number": forwarding_number or ""}
        answer = await self._call("phone_numbers.update", path={"phone_number_id": phone_number_id}, body=body)
        return read(Forwarding, answer, "phone_numbers.update")

    async def start_reputation_audit(self, phone_number: str) -> ReputationAuditStarted:
        """Begin an audit of a line's reputation. While one runs, the answer is that one.

        Args:
            phone_number: The line, E.164.
        Returns:
            The audit's id, for `get_reputation_audit`.
        Raises:
            RateLimited: the last audit was not long ago; `retry_after_s` says when the next may begin.
        Source: https://docs.linqapp.com/api/resources/phone_numbers/methods/start_reputation_audit
        """
        answer = await self._call("phone_numbers.start_reputation_audit", path={"phone_number": phone_number})
        return read(ReputationAuditStarted, answer, "phone_numbers.start_reputation_audit")

    async def get_reputation_audit(self, audit_id: str, *, phone_number: str) -> ReputationAudit:
        """Get an audit: `pending`, and then its report, for 24 hours.

        Args:
            audit_id: A UUID, from `start_reputation_audit`.
            phone_number: The line it is about, E.164.
        Raises:
            LinqApiError: 404 after 24 hours, and for another line.
        Source: https://docs.linqapp.com/api/resources/phone_numbers/methods/get_reputation_audit
        """
        path = {"phone_number": phone_number, "audit_id": audit_id}
        answer = await self._call("phone_numbers.get_reputation_audit", path=path)
        return read(ReputationAudit, answer, "phone_numbers.get_reputation_audit")


class LegacyLines(Resource):
    """`client.phonenumbers`, the older list of lines. Linq calls it deprecated: use `client.phone_numbers`."""

    __slots__ = ()

    def list(self) -> Listing[LegacyPhoneNumber]:
        """List the lines as they used to be listed, without their reputation. Use `phone_numbers.list`.

        Source: https://docs.linqapp.com/api/resources/phonenumbers/methods/list
        """
        warnings.warn("Linq deprecates phonenumbers.list. Use phone_numbers.list.", DeprecationWarning, stacklevel=2)

        async def everything() -> tuple[LegacyPhoneNumber, ...]:
            return read(LegacyPhoneNumbers, await self._call("phonenumbers.list"), "phonenumbers.list").phone_numbers

        return at_once(everything)


class AvailableNumberResource(Resource):
    """`client.available_number`."""

    __slots__ = ()

    async def retrieve(
        self,
        *,
        exclude_from: Sequence[str] | None = None,
        to: Sequence[str] | None = None,
        type: Literal["RCS", "iMessage"] | None = None,  # noqa: A002 - Linq's name for it
    ) -> Available:
        """Ask which line to write from.

        Args:
            exclude_from: Lines not to choose, E.164; numbers that are not yours are ignored.
            to: Who will be written to: the line of your chat with exactly them, else the healthy line used least
                recently.
            type: Only lines of this kind.
        Returns:
            The line, and its vCard.
        Raises:
            LinqApiError: 400 when every line is excluded.
            LinqUnavailable: 503 when no line of this kind can send.
        Source: https://docs.linqapp.com/api/resources/available_number/methods/retrieve
        """
        query = {"exclude_from": many(exclude_from), "to": many(to), "type": type}
        return read(Available, await self._call("available_number.retrieve", query=query), "available_number.retrieve")
