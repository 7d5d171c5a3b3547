"""Web addresses, e-mail addresses and phone numbers in texts: cuts those that a model was not shown. Nothing here knows a framework."""

from __future__ import annotations

import itertools
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Final
from urllib.parse import unquote, urlsplit

from linqbot.speakers import visible
from linqbot_agent.phone_links import (
    CHINESE,
    CHINESE_BEGINNING,
    DIAL_PAD,
    Address,
    Readable,
    addresses,
    digits_of,
    links,
    numbers,
    scheme_of,
    unseen_at,
    without_punctuation,
)

_BETWEEN_ADDRESSES: Final = re.compile(r"[,;|'()\[\]]+")
"""What may be a part of an address, or stand between two: `1.jpg,https://shop.example/2.jpg`, `[1](https://…)[2](https://…)`."""
_SUFFIX: Final = 7
"""The fewest digits that two forms of one phone number share at their end."""
_BEHIND: Final = re.compile(rf"[^\s{CHINESE}]*[^\W_{CHINESE}]")
"""What stands behind an address without a space, to its last letter or digit. Chinese, which has no spaces, goes on behind it."""
_OPEN_ENDS: Final = ("/", "?", "=", "&", "#", "%", "_", "\\")
_NEXT_LINE: Final = re.compile(r"[ \t]*\n[ \t]*\S+")
_NUMBER_SCHEMES: Final = ("callto", "facetime", "mms", "sms", "tel")
_NUMBER: Final = re.compile(r"/{0,2}[+\d\s().-]+")
_ESCAPES: Final = re.compile(r"\\(?=[!-/:-@\[-`{-~])")
_MOST_PASSES: Final = 10

ADDRESS_CUT: Final = "[address removed]"
NUMBER_CUT: Final = "[number removed]"


@dataclass(frozen=True, slots=True)
class Shown:
    """The addresses and the phone numbers that a model was shown."""

    exact: frozenset[str]  # the web addresses as they were written
    addresses: frozenset[str]  # the web addresses, as `_plain` writes them
    hosts: frozenset[str]  # the hosts of these addresses
    numbers: frozenset[str]  # the digits of phone numbers
    mails: frozenset[str]  # the e-mail addresses, in lower case

    @classmethod
    def of(cls, texts: Iterable[str]) -> Shown:
        # One long text is read faster than many short ones. No address and no number goes on behind a null character.
        text = "\n\0\n".join(texts)
        words = (word for word in text.split() if "." in word or ":" in word or "@" in word or not word.isascii())
        written = "\n".join(words)
        # People write full-width letters, and models plain ones.
        read = written if written.isascii() else Readable(written).text.replace("：//", "://")
        exact, mails = set[str](), set[str]()
        for given in (written, *([read] if read != written else [])):
            for found in addresses(given, any_name=True):
                whole = given[found.start : found.end]
                if (mail := _mail_of(without_punctuation(whole.partition("?")[0]))) is not None:
                    mails.add(mail.casefold())
                    continue
                every = whole, *filter(_is_address, _BETWEEN_ADDRESSES.split(whole))
                exact.update(every, map(without_punctuation, every))
        found_numbers = {digits_of(text[start:end]) for start, end in numbers(text)} | {*re.findall(r"\d{5,15}", text)}
        found_numbers |= {digits_of(each) for each in DIAL_PAD.findall(text)}
        plain = frozenset(map(_plain, exact))
        hosts = frozenset(re.split(r"[/?#]", address, maxsplit=1)[0] for address in plain)
        return cls(frozenset(exact), plain, hosts, frozenset(found_numbers), frozenset(mails))

    def __or__(self, other: Shown) -> Shown:
        return Shown(
            self.exact | other.exact,
            self.addresses | other.addresses,
            self.hosts | other.hosts,
            self.numbers | other.numbers,
            self.mails | other.mails,
        )

    def __sub__(self, other: Shown) -> Shown:
        """Return what the other has in no form: a bare host is in an address of it, and numbers are the same by their ends."""
        ends = {number[-_SUFFIX:] for number in other.numbers}

        def is_in_other(address: str) -> bool:
            parts = address, *_BETWEEN_ADDRESSES.split(address)
            return any(other.has_address(without_punctuation(part)) for part in parts)

        exact = frozenset(itertools.filterfalse(is_in_other, self.exact))
        left = frozenset(number for number in self.numbers if number[-_SUFFIX:] not in ends)
        return Shown(exact, frozenset(map(_plain, exact)), self.hosts - other.hosts, left, self.mails - other.mails)

    def has(self, address: str) -> bool:
        """Return True if an address of any kind was shown."""
        scheme, rest = scheme_of(address), address.partition(":")[2]
        if (mail := _mail_of(address)) is not None or scheme == "mailto":
            return mail is not None and self.has_mail(mail)
        if scheme.startswith(_NUMBER_SCHEMES):
            return _NUMBER.fullmatch(rest) is not None and self.has_number(rest)
        return self.has_address(address)

    def has_address(self, address: str) -> bool:
        """Return True if a web address was shown, or is the bare host of one that was."""
        plain = _plain(address)
        return plain in self.addresses or plain in self.hosts

    def has_mail(self, mail: str) -> bool:
        """Return True if an e-mail address was shown, or a web address of its host."""
        return mail.casefold() in self.mails or mail.casefold().rpartition("@")[2] in self.hosts

    def has_number(self, number: str) -> bool:
        """Return True if a phone number was shown, with or without its country code."""
        digits = digits_of(number)
        return any(
            known == digits
            or (min(len(known), len(digits)) >= _SUFFIX and (known.endswith(digits) or digits.endswith(known)))
            for known in self.numbers
        )


def without_invented(text: str, shown: Shown) -> str:
    """Return a text without the addresses and the phone numbers that were not shown. Of a Markdown link, its text stays.

    What stands behind a removed address without a space goes with it; and the next word, if a line ends within an address.
    """
    for _ in range(_MOST_PASSES):
        # What is left of a link may be another address, together with what was around it.
        if (left := _without_addresses(text, shown)) == text:
            return _without_numbers(text, shown)
        text = left
    return ADDRESS_CUT


def goes_on(line: str) -> bool:
    """Return True if the next line may go on with an address at the end of a line, so that both are to be read as one text."""
    return line.rstrip(" \t*~`").endswith(_OPEN_ENDS)


def _without_addresses(text: str, shown: Shown) -> str:
    read = Readable(text)
    pieces, kept_to, read_to = list[str](), 0, 0
    for found in _all_addresses(read.text):
        if found.start < read_to:
            continue  # it stands behind a removed address
        start, end = read.places(found.start, found.end)
        if found.target is not None:
            instead, read_to = _link(text, read, found, shown), found.end
        else:
            length = len(without_punctuation(read.text[found.start : found.end]))
            start, end = read.places(found.start, found.start + length)
            with_unseen = text[start : end + unseen_at(text, end)]
            if _is_known(with_unseen, read.text[found.start : found.start + length], shown):
                continue
            before = CHINESE_BEGINNING.match(text, start, end)
            start = start if before is None else before.end()
            read_to = _end_of_removed(read.text, found.start + length)
            end = read.places(found.start, read_to)[1]
            is_number = scheme_of(read.text[found.start : found.end]).startswith(_NUMBER_SCHEMES)
            instead = NUMBER_CUT if is_number else ADDRESS_CUT
        pieces += text[kept_to:start], instead
        kept_to = end
    return "".join([*pieces, text[kept_to:]])


def _all_addresses(text: str) -> Iterator[Address]:
    """Yield the links of Markdown in a text, and the addresses between them, in their order."""
    at = 0
    for link in links(text):
        yield from addresses(text, at, link.start)
        yield link
        at = link.end
    yield from addresses(text, at)


def _link(text: str, read: Readable, found: Address, shown: Shown) -> str:
    """Return a link of Markdown, whose label has only what was shown; only the label if the address of the link was not."""
    assert found.label is not None
    assert found.target is not None
    label_start, label_end = read.places(*found.label)
    target_start, target_end = read.places(*found.target)
    label = _without_addresses(text[label_start:label_end], shown)
    if not _is_known(text[target_start:target_end], read.text[slice(*found.target)], shown):
        return label or ADDRESS_CUT
    start, end = read.places(found.start, found.end)
    return f"{text[start:label_start]}{label}{text[label_end:end]}"


def _is_known(written: str, read: str, shown: Shown) -> bool:
    """Return True if an address was shown as it is written: in other characters it may carry what the model knows."""
    plain = visible(written)
    return shown.has(plain) or (_ESCAPES.sub("", plain) == read and shown.has(read))


def _end_of_removed(text: str, end: int) -> int:
    """Return the end of what goes with an address that ends at an index."""
    if (behind := _BEHIND.match(text, end)) is not None:
        end = behind.end()
    elif text.endswith(_OPEN_ENDS, 0, end) and (line := _NEXT_LINE.match(text, end)) is not None:
        end = line.end()
    return end


def _without_numbers(text: str, shown: Shown) -> str:
    text = DIAL_PAD.sub(lambda found: found[0] if shown.has_number(found[0]) else NUMBER_CUT, text)
    read = Readable(text)
    known = list(addresses(read.text))
    pieces, kept_to = list[str](), 0
    for first, last in sorted(numbers(read.text)):
        start, end = read.places(first, last)
        before = bisect_left(known, last, key=itemgetter(0))
        is_in_address = before > 0 and known[before - 1].end > first
        if start >= kept_to and not is_in_address and not shown.has_number(read.text[first:last]):
            pieces += text[kept_to:start], NUMBER_CUT
            kept_to = end
    return "".join([*pieces, text[kept_to:]])


def strings_in(value: object) -> Iterator[str]:
    """Yield the texts in JSON data, the names of fields and the numbers included."""
    if isinstance(value, dict):
        value = [each for field in value.items() for each in field]
    if isinstance(value, list):
        for each in value:
            yield from strings_in(each)
    elif isinstance(value, str | int | float):
        yield str(value)


def _is_address(text: str) -> bool:
    found = next(addresses(text, any_name=True), None)
    return found is not None and found.start == 0


def _mail_of(address: str) -> str | None:
    """Return the e-mail address that an address is; None if it is another one, or has a subject or the like."""
    mail = address.partition(":")[2] if scheme_of(address) == "mailto" else address
    return mail if mail.count("@") == 1 and not {*"/?#:"} & {*mail} else None


def _plain(address: str) -> str:
    """Return an address without scheme, `www.` and a last slash, in the form in which two are compared.

    A scheme of no web address stays: another program opens it.
    """
    address = unicodedata.normalize("NFC", address)
    if scheme_of(address) not in ("", "http", "https"):
        return address
    if "://" not in address:
        address = f"//{address.removeprefix('//')}"
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
