"""Handles of people: their forms, and the one form under which a person is compared and stored.

A handle is a phone number in E.164 form (R7) or an e-mail address (R8). A message may also come from the short code or the name
of a sender (R76). People and programs write more around a handle, such as `mailto:`: `plain_handle` removes that, and
`person_key` also folds the case. Next step: `rules/values.py` checks the fields of requests.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final

E164: Final = re.compile(r"\+[1-9][0-9]{1,14}")
# Possessive quantifiers, and a lookahead for the dot: linear time in any text, also in a long run of dots. The characters that
# stand around an address in a header or a link, as in `<ann@example.com>;`, are in no address.
EMAIL: Final = re.compile(r'[^@\s<>()\[\]:;,"\\]++@(?=[^@\s]+\.[^@\s])[^@\s<>()\[\]:;,"\\/?#]++')
_SENDER: Final = re.compile(r"[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 ]{0,10}")
_SCHEMES: Final = re.compile(r"(?:(?:mailto|tel):\s*)+", re.IGNORECASE)


def is_phone(value: Any) -> bool:
    return isinstance(value, str) and E164.fullmatch(value) is not None


def is_handle(value: Any) -> bool:
    return isinstance(value, str) and (E164.fullmatch(value) or EMAIL.fullmatch(value)) is not None


def is_sender(value: Any) -> bool:
    """Return True for a short code of 3 to 8 digits, or the name of a sender: people get texts from them, such as banks."""
    return isinstance(value, str) and _SENDER.fullmatch(value) is not None


def plain_handle(handle: str) -> str:
    """Return a handle in the form in which Linq takes it, its case as it is written.

    Without `mailto:` or `tel:`, spaces around it and invisible marks, such as those that come with a number that is copied from a
    contact; and with plain letters and digits for those of full width. An address that has other letters stays as it is.
    """
    if not handle.isascii():
        visible = "".join(each for each in handle if unicodedata.category(each) != "Cf")
        plain = unicodedata.normalize("NFKC", visible)
        handle = plain if plain.isascii() else handle
    handle = handle.strip()
    scheme = _SCHEMES.match(handle)
    return handle[scheme.end() :] if scheme is not None and is_handle(handle[scheme.end() :]) else handle


def person_key(handle: str) -> str:
    """Return the form of a handle under which a person is compared and stored: plain, and with its case folded.

    Of a handle as Linq sends it, this is `casefold`, under which all rows are stored.
    """
    folded = handle.casefold()
    if folded.isascii() and ":" not in folded:  # nearly every one
        return folded.strip()
    return plain_handle(folded).casefold()


def read_handle(value: Any) -> str | None:
    """Return the plain form of what an author or an operator gives as the handle of a person; None if it is none."""
    plain = plain_handle(value) if isinstance(value, str) else None
    return plain if is_handle(plain) else None
