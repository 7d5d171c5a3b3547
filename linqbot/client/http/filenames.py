"""Sanitise file names that other people chose: no folders, no control characters."""

from __future__ import annotations

import re

_LONGEST_DISPOSITION = 2048
_LONGEST_NAME = 255

_UNPRINTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, including those that change the direction of text: with one of them, gpj.exe reads as exe.jpg.

Half a surrogate pair is removed too: no system and no JSON takes a name with one. The character set utf-7 makes it.
"""


def disposed_name(disposition: str) -> str:
    """Return the file name in a `Content-Disposition` header; empty if it has none that can be read, or is too long."""
    from email.message import Message

    if not disposition or len(disposition) > _LONGEST_DISPOSITION:
        return ""
    message = Message()
    message["Content-Disposition"] = disposition
    try:
        return message.get_filename() or ""
    except (ValueError, LookupError, TypeError):
        # A character set that Python does not decode, such as `idna`; or pieces of a name with and without a number.
        return ""


def bare_name(name: str) -> str | None:
    """Return a name without folders and control characters; None if nothing is left of it."""
    bare = _UNPRINTED.sub("", name.replace("\\", "/")).rpartition("/")[2].strip()
    return bare[:_LONGEST_NAME] if bare.strip(".") else None
