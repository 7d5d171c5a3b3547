"""Handles: phone numbers and e-mail addresses, told apart and written one way (R7, R8)."""

from __future__ import annotations

import re

_PHONE = re.compile(r"\+[1-9][0-9]{1,14}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def is_phone(text: str) -> bool:
    return _PHONE.fullmatch(text) is not None


def is_handle(text: str) -> bool:
    return is_phone(text) or (len(text) <= 254 and _EMAIL.fullmatch(text) is not None)


def normal(handle: str) -> str:
    """E-mail addresses are the same in any case."""
    return handle.lower() if "@" in handle else handle
