"""Web addresses and phone numbers in texts: cuts those that a model was not shown. Nothing here knows a framework."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

_END: Final = r"\s<>\"“”«»`。，、！？；：（）「」『』【】《》"
"""The characters that end an address, as a part of a character class. Models quote addresses, also as code. Chinese has no spaces:
for the same reason, only an ASCII letter in front of `www.`, of `tel:` or of a number keeps it from being found."""
_ADDRESS: Final = re.compile(
    rf"(?:https?://|(?<![a-z0-9_])www\.)[^{_END}]{{1,2048}}"
    # Without a scheme: a name with a known ending, as phones make links of it.
    r"|(?<![\w@./-])(?:[\w-]+\.)+(?:com|net|org|info|biz|io|co|app|dev|ai|me|ly|gg|shop|site|online|xyz|top|link|click"
    rf"|eu|uk|us|de|fr|es|it|nl|ch|at|be|pl|ru|cn|in|jp|br|ca|au)\b(?:[/?#:][^{_END}]{{0,2000}})?",
    re.IGNORECASE,
)
_AFTER_ADDRESS: Final = ".,;:!?…'’*_~)]}"
_BETWEEN_ADDRESSES: Final = re.compile(r"[,;|'()\[\]]+")
"""What may be a part of an address, or stand between two: `1.jpg,https://shop.example/2.jpg`, `[1](https://…)[2](https://…)`."""
_OTHER_SCHEME: Final = re.compile(rf"(?<![a-z0-9_])(?:tel|sms|facetime):[^{_END})\]]{{1,2000}}", re.IGNORECASE)
_PHONE: Final = re.compile(r"(?<![A-Za-z0-9_+])[+(]?\d[\d\s()./\u00a0\u2011-]{5,22}\d(?![A-Za-z0-9_])")
_DATE: Final = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4}")
_MARKDOWN_LINK: Final = re.compile(r"!?\[([^\[\]]{0,500})\]\(\s*<?([^()>\s]{1,2000})[^()]{0,200}\)")
_LEAST_DIGITS: Final = 9
"""The fewest digits of a phone number without a `+`. Shorter numbers are prices, codes and dates."""
_SUFFIX: Final = 7
"""The fewest digits that two forms of one phone number share at their end."""

ADDRESS_CUT: Final = "[address removed]"
NUMBER_CUT: Final = "[number removed]"


@dataclass(frozen=True, slots=True)
class Shown:
    """The addresses and the phone numbers that a model was shown."""

    exact: frozenset[str]  # the addresses as they were written
    addresses: frozenset[str]  # the addresses, as `_plain` writes them
    hosts: frozenset[str]  # the hosts of these addresses
    numbers: frozenset[str]  # the digits of phone numbers

    @classmethod
    def of(cls, texts: Iterable[str]) -> Shown:
        # One long text is read faster than many short ones. No address and no number goes on behind a null character.
        text = "\n\0\n".join(texts)
        exact = set[str]()
        for found in _ADDRESS.finditer(text):
            every = found[0], *filter(_ADDRESS.match, _BETWEEN_ADDRESSES.split(found[0]))
            exact.update(every, map(_without_punctuation, every))
        numbers = {_digits(each[0]) for each in _PHONE.finditer(text)} | {*re.findall(r"\d{7,15}", text)}
        addresses = frozenset(map(_plain, exact))
        hosts = frozenset(re.split(r"[/?#]", address, maxsplit=1)[0] for address in addresses)
        return cls(frozenset(exact), addresses, hosts, frozenset(numbers))

    def __or__(self, other: Shown) -> Shown:
        return Shown(
            self.exact | other.exact,
            self.addresses | other.addresses,
            self.hosts | other.hosts,
            self.numbers | other.numbers,
        )

    def __sub__(self, other: Shown) -> Shown:
        """Return what the other has in no form: a bare host is in an address of it, and numbers are the same by their ends."""
        ends = {number[-_SUFFIX:] for number in other.numbers}

        def is_in_other(address: str) -> bool:
            parts = address, *_BETWEEN_ADDRESSES.split(address)
            return any(other.has_address(_without_punctuation(part)) for part in parts)

        exact = frozenset(itertools.filterfalse(is_in_other, self.exact))
        numbers = frozenset(number for number in self.numbers if number[-_SUFFIX:] not in ends)
        return Shown(exact, frozenset(map(_plain, exact)), self.hosts - other.hosts, numbers)

    def has_address(self, address: str) -> bool:
        """Return True if an address was shown, or is the bare host of one that was."""
        plain = _plain(address)
        return plain in self.addresses or plain in self.hosts

    def has_number(self, number: str) -> bool:
        """Return True if a phone number was shown, with or without its country code."""
        digits = _digits(number)
        return any(
            known == digits
            or (min(len(known), len(digits)) >= _SUFFIX and (known.endswith(digits) or digits.endswith(known)))
            for known in self.numbers
        )


def without_invented(text: str, shown: Shown) -> str:
    """Return a text without the addresses and the phone numbers that were not shown. Of a Markdown link, its text stays."""

    def address(found: re.Match[str]) -> str:
        given = _without_punctuation(found[0])
        return found[0] if shown.has_address(given) else f"{ADDRESS_CUT}{found[0][len(given) :]}"

    text = _MARKDOWN_LINK.sub(lambda found: found[0] if _is_known(found[2], shown) else found[1] or ADDRESS_CUT, text)
    text = _OTHER_SCHEME.sub(lambda found: found[0] if _is_known(found[0], shown) else NUMBER_CUT, text)
    text = _ADDRESS.sub(address, text)
    return _PHONE.sub(
        lambda found: NUMBER_CUT if _is_phone(found[0]) and not shown.has_number(found[0]) else found[0], text
    )


def strings_in(value: object) -> Iterator[str]:
    """Yield the texts in JSON data, the names of fields and the numbers included."""
    if isinstance(value, dict):
        value = [each for field in value.items() for each in field]
    if isinstance(value, list):
        for each in value:
            yield from strings_in(each)
    elif isinstance(value, str | int | float):
        yield str(value)


def _is_known(target: str, shown: Shown) -> bool:
    scheme, colon, rest = target.partition(":")
    if colon and scheme.casefold() in ("tel", "sms", "facetime"):
        return shown.has_number(rest)
    if colon and scheme.casefold() == "mailto":
        return True  # An e-mail address is no web address and no phone number.
    return shown.has_address(target)


def _without_punctuation(address: str) -> str:
    while address and address[-1] in _AFTER_ADDRESS:
        opening = {")": "(", "]": "[", "}": "{"}.get(address[-1])
        if opening and address.count(opening) >= address.count(address[-1]):
            break
        address = address[:-1]
    return address


def _plain(address: str) -> str:
    """Return an address without scheme, `www.` and a last slash, in the form in which two are compared."""
    if "://" not in address:
        address = f"//{address}"
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").removeprefix("www.")
        port = f":{parts.port}" if parts.port not in (None, 80, 443) else ""
    except ValueError:
        return address.casefold()
    # With the name and the password in front of the host: `https://shop.example@evil.example` is another place than it looks,
    # and a password can carry a secret.
    user, at, _ = parts.netloc.rpartition("@")
    rest = unquote(parts.path).rstrip("/") + (f"?{parts.query}" if parts.query else "")
    return f"{user}{at}{host}{port}{rest}{f'#{parts.fragment}' if parts.fragment else ''}"


def _is_phone(found: str) -> bool:
    if _DATE.search(found):
        return False
    return found.startswith("+") or len(_digits(found)) >= _LEAST_DIGITS


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)
