"""Handles: phone numbers and e-mail addresses, told apart and written one way (R7, R8)."""

from __future__ import annotations

from linqbot.rules.values import E164, EMAIL


def is_phone(text: str) -> bool:
    return E164.fullmatch(text) is not None


def is_handle(text: str) -> bool:
    return is_phone(text) or (len(text) <= 254 and EMAIL.fullmatch(text) is not None)


def normal(handle: str) -> str:
    """E-mail addresses are the same in any case."""
    return handle.lower() if "@" in handle else handle
