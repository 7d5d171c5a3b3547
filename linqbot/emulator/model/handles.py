"""Handles are phone numbers or e-mail addresses: telling them apart, and their normal form (R7, R8)."""

from __future__ import annotations

from linqbot.rules.values import E164, EMAIL


def is_phone(text: str) -> bool:
    """Return True if the text is a phone number in E.164 form."""
    return E164.fullmatch(text) is not None


def is_handle(text: str) -> bool:
    """Return True if the text is a phone number in E.164 form or an e-mail address."""
    return is_phone(text) or (len(text) <= 254 and EMAIL.fullmatch(text) is not None)


def normal(handle: str) -> str:
    """Return the normal form of a handle: an e-mail address in lower case, because its case has no meaning."""
    return handle.lower() if "@" in handle else handle
