"""A line: a phone number of the account, and how the networks think of it."""

from __future__ import annotations

from linqbot.types.data import Data


class Reputation(Data):
    """How a line stands with the networks: `HEALTHY`, `AT_RISK` or `CRITICAL`."""

    status: str
    doc_url: str | None = None


class PhoneNumber(Data):
    """A line of the account.

    Attributes:
        phone_number: E.164.
        forwarding_number: Where calls to the line go, E.164; None when nowhere.
        line_type: `iMessage` or `RCS`.
    """

    id: str
    phone_number: str
    reputation: Reputation | None = None
    forwarding_number: str | None = None
    line_type: str | None = None


class PhoneNumbers(Data):
    """Answer of `phone_numbers.list`."""

    phone_numbers: tuple[PhoneNumber, ...] = ()
