"""The lines of the account: list them, forward their calls, audit their reputation, and find one to send from."""

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
    """`client.phone_numbers`: the lines of the account, their call forwarding and their reputation audits."""

    __slots__ = ()

    def list(self) -> Listing[PhoneNumber]:
        """List the lines of the account with their reputation. The list has a single page.

        Source: https://docs.linqapp.com/api/resources/phone_numbers/methods/list
        """

        async def everything() -> tuple[PhoneNumber, ...]:
            return read(Lines, await self._call("phone_numbers.list"), "phone_numbers.list").phone_numbers

        return at_once(everything)

    async def update(self, phone_number_id: str, *, forwarding_number: str | None) -> Forwarding:
        """Forward a line's calls to another number, or stop forwarding them.

        Args:
            phone_number_id: The id of the line, a UUID: `PhoneNumber.id`.
            forwarding_number: E.164; None stops forwarding.
        Raises:
            LinqApiError: 404 no line with this id.
        Source: https://docs.linqapp.com/api/resources/phone_numbers/methods/update
        """
        # Linq requires the field even to clear it. `_call` drops fields that are None, and Linq accepts "" instead.
        body = {"forwarding_number": forwarding_number or ""}
        response = await self._call("phone_numbers.update", path={"phone_number_id": phone_number_id}, body=body)
        return read(Forwarding, response, "phone_numbers.update")

    async def start_reputation_audit(self, phone_number: str) -> ReputationAuditStarted:
        """Start an audit of a line's reputation. While an audit is running, return that audit instead of a new one.

        Args:
            phone_number: The line, E.164.
        Returns:
            The id of the audit, for `get_reputation_audit`.
        Raises:
            RateLimited: The previous audit was too recent; `retry_after_s` says how long to wait.
            LinqApiError: 404 the account has no such line.
        Source: https://docs.linqapp.com/api/resources/phone_numbers/methods/start_reputation_audit
        """
        response = await self._call("phone_numbers.start_reputation_audit", path={"phone_number": phone_number})
        return read(ReputationAuditStarted, response, "phone_numbers.start_reputation_audit")

    async def get_reputation_audit(self, audit_id: str, *, phone_number: str) -> ReputationAudit:
        """Get an audit: `pending` at first, then with its report. Linq keeps an audit for 24 hours.

        Args:
            audit_id: A UUID, from `start_reputation_audit`.
            phone_number: The audited line, E.164.
        Raises:
            LinqApiError: 404 the audit is older than 24 hours, or belongs to another line.
        Source: https://docs.linqapp.com/api/resources/phone_numbers/methods/get_reputation_audit
        """
        path = {"phone_number": phone_number, "audit_id": audit_id}
        response = await self._call("phone_numbers.get_reputation_audit", path=path)
        return read(ReputationAudit, response, "phone_numbers.get_reputation_audit")


class LegacyLines(Resource):
    """`client.phonenumbers`: the older list of lines. Deprecated by Linq: use `client.phone_numbers`."""

    __slots__ = ()

    def list(self) -> Listing[LegacyPhoneNumber]:
        """List the lines in the deprecated format, without their reputation. Use `phone_numbers.list`.

        Source: https://docs.linqapp.com/api/resources/phonenumbers/methods/list
        """
        warnings.warn("Linq deprecates phonenumbers.list. Use phone_numbers.list.", DeprecationWarning, stacklevel=2)

        async def everything() -> tuple[LegacyPhoneNumber, ...]:
            return read(LegacyPhoneNumbers, await self._call("phonenumbers.list"), "phonenumbers.list").phone_numbers

        return at_once(everything)


class AvailableNumberResource(Resource):
    """`client.available_number`: find the line to send from."""

    __slots__ = ()

    async def retrieve(
        self,
        *,
        exclude_from: Sequence[str] | None = None,
        to: Sequence[str] | None = None,
        type: Literal["RCS", "iMessage"] | None = None,  # noqa: A002 - Linq's name for it
    ) -> Available:
        """Get the line that Linq recommends to send from.

        Args:
            exclude_from: Lines that Linq must not choose, E.164; numbers that are not yours are ignored.
            to: The recipients. Linq returns the line of your chat with exactly these recipients, else the healthy line
                that was used least recently.
            type: Only lines of this type.
        Returns:
            The line and its vCard.
        Raises:
            LinqApiError: 400 every line is excluded.
            LinqUnavailable: 503 no line of this type can send.
        Source: https://docs.linqapp.com/api/resources/available_number/methods/retrieve
        """
        query = {"exclude_from": many(exclude_from), "to": many(to), "type": type}
        return read(Available, await self._call("available_number.retrieve", query=query), "available_number.retrieve")
