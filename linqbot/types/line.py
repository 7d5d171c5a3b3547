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


class PhoneNumberList(Data):
    """Answer of `phone_numbers.list`."""

    phone_numbers: tuple[PhoneNumber, ...] = ()


class Forwarding(Data):
    """Answer of `phone_numbers.update`: where calls to the line go now."""

    id: str
    phone_number: str
    forwarding_number: str | None = None


class LegacyCapabilities(Data):
    """What a line could do, as the deprecated list says."""

    sms: bool | None = None
    mms: bool | None = None
    voice: bool | None = None


class LegacyPhoneNumber(Data):
    """A line as the deprecated `phonenumbers.list` shows it."""

    id: str
    phone_number: str
    capabilities: LegacyCapabilities | None = None
    type: str | None = None
    country_code: str | None = None


class LegacyPhoneNumbers(Data):
    """Answer of `phonenumbers.list`."""

    phone_numbers: tuple[LegacyPhoneNumber, ...] = ()


class AvailableNumber(Data):
    """A line to write from.

    Attributes:
        phone_number: E.164.
        vcf_url: Its vCard, to be saved as a contact; the address is good for a limited time.
    """

    phone_number: str
    vcf_url: str
