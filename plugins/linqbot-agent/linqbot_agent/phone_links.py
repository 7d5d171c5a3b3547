"""Web addresses, e-mail addresses and phone numbers in a text, as phones find them. Nothing here knows an agent.

A text is searched as it is read: without characters that are not seen and without the marks of Markdown, full-width letters as
plain ones, `&#46;` and `[.]` as dots. `Readable` knows the place of each of its characters in the text itself. These are found:

- any scheme with a slash behind it, `//host`, and the schemes that phones know without one, such as `mailto:` and `shortcuts:`;
- a name with a dot, if it ends as names of hosts do (`endings.py`) or a path follows it; and IP addresses;
- e-mail addresses; phone numbers; codes for a dial pad; and short numbers behind words such as *text … to*.

The name of a file is found if it ends as a host may, such as `main.py`, and `index.html` is not: phones do the same.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from linqbot_agent.endings import endings

# The text as it is read

_STOPS: Final = "。，、！？；：（）「」『』【】《》"
"""Punctuation that ends an address, also where its plain form would not. Chinese has no spaces."""
_END: Final = rf"\s<>\"“”«»`{_STOPS}"
"""The characters that end an address, as a part of a character class. Models quote addresses, also as code."""
_UNSEEN: Final = (
    r"\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff"
)
"""Characters without a width, as a part of a character class."""
_UNSEEN_ONES: Final = re.compile(rf"[{_UNSEEN}]+")
_ESCAPE: Final = r"\\(?=[!-/:-@\[-`{-~])"
_IS_READ_OTHERWISE: Final = re.compile(
    rf"(?P<unseen>[{_UNSEEN}]+)|(?P<marks>\*+|~~+|`+|{_ESCAPE})"
    r"|(?P<dot>\[\.\]|\(\.\)|[\[(] ?dot ?[\])]|(?<=[a-zA-Z0-9])(?: \.(?=[a-z]{2,24}/\S)|[。｡](?=[a-z]{2,24}(?:[/?\s]|$))))"
    r"|(?P<entity>&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});)"
    rf"|(?P<others>[^\x00-\x7f{_UNSEEN}{_STOPS}]+)"
)


class Readable:
    """A text as it is read.

    Attributes:
        text: The text in plain characters, without those that are not seen.
    """

    def __init__(self, given: str) -> None:
        pieces, self._places, self._shifts = list[str](), [0], [0]
        last = length = 0
        for start, end, read in _changes(given):
            pieces += given[last:start], read
            length += start - last
            # Each of the characters that one has become is at its place.
            for at in range(1, len(read)):
                self._places.append(length + at)
                self._shifts.append(start - length - at)
            length, last = length + len(read), end
            self._places.append(length)
            self._shifts.append(last - length)
        self.text = "".join([*pieces, given[last:]]) if pieces else given

    def place(self, at: int) -> int:
        """Return the place in the text itself of the character at an index."""
        return at + self._shifts[bisect_right(self._places, at) - 1]

    def places(self, start: int, end: int) -> tuple[int, int]:
        """Return the places in the text itself of the first character of a part, and behind its last one."""
        first = self.place(start)
        return first, self.place(end - 1) + 1 if end > start else first


def unseen_at(text: str, at: int) -> int:
    """Return the number of characters that are not seen from a place on."""
    found = _UNSEEN_ONES.match(text, at)
    return 0 if found is None else found.end() - at


def _changes(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the places of what is read in another form, with this form."""
    for found in _IS_READ_OTHERWISE.finditer(text):
        start, end = found.span()
        match found.lastgroup:
            case "dot":
                yield start, end, "."
            case "entity":
                read = html.unescape(found[0])
                if read != found[0] and read.isprintable():
                    yield start, end, unicodedata.normalize("NFKC", read)
            case "others":
                if not unicodedata.is_normalized("NFKC", found[0]):
                    forms = ((at, unicodedata.normalize("NFKC", text[at])) for at in range(start, end))
                    yield from ((at, at + 1, form) for at, form in forms if form != text[at])
            case _:
                yield start, end, ""


# Addresses

_LABEL: Final = r"[\w\-\u00b7-\u1fff\u2c00-\u2dff\u3040-\ufdff\ufe70-\ufefe\U00010000-\U000dffff]"
"""A character of the name of a host. Accents and vowel signs are some too, although `\\w` has none of them."""
_WITHOUT_SLASH: Final = (
    "app-prefs|bitcoin|callto|cashapp|ethereum|facetime(?:-[a-z]+)?|imessage|itms[a-z-]*|javascript|lightning|magnet|mailto|mms(?:to)?"
    "|otpauth|paypal|prefs|shortcuts|sips?|skype|sms(?:to)?|telprompt|tel|tg|upi|vbscript|venmo|viber|webcal|wechat|weixin|whatsapp"
    "|xmpp|zoommtg|data(?=:[a-z]{1,30}/)"
)
"""The schemes that are one without a slash. Another word with a colon is one if a query follows, such as `app:pay?to=eve`."""
_ADDRESS: Final = re.compile(
    rf"(?P<scheme>(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{{1,30}}[:：](?=[/\\])[^{_END}]{{2,2048}}"
    rf"|(?<![a-z0-9_+.-])(?:{_WITHOUT_SLASH}):[^{_END})\]]{{1,2000}}"
    rf"|(?<![\w+.-])[a-z][a-z0-9+.-]{{1,30}}:(?=[^{_END}?&%]{{0,100}}(?:[?&][\w-]{{1,30}}=|%[0-9a-f]{{2}}))[^{_END}]{{1,2048}})"
    rf"|(?P<mail>(?<![\w.+%-])[\w.+%-]+@(?:{_LABEL}+\.)+{_LABEL}+)"
    rf"|(?<!{_LABEL})(?://)?(?P<host>(?:{_LABEL}+\.)+{_LABEL}+)(?:(?::\d{{1,5}})?[/?#\\][^{_END}]{{0,2000}}|:\d{{1,5}})?"
    rf"|\[(?=[0-9a-f.]{{0,45}}:)[0-9a-f:.]{{3,45}}\](?::\d{{1,5}})?[/?#][^{_END}]{{0,2000}}",
    re.IGNORECASE,
)
_MAY_HAVE_ADDRESS: Final = re.compile(r"(?<!\S)[^\s.:：@]*[.:：@]\S+")
"""A word to search for addresses, as few are. No address has a space."""
_WORD: Final = re.compile(r"\S+")
_LINK: Final = re.compile(
    r"!?\[(?P<label>[^\[\]]{0,500})\]\(\s*<?(?P<target>[^()>\s]{1,2000})[^()]{0,200}\)", re.IGNORECASE
)
CHINESE: Final = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
"""The letters of Chinese, Japanese and Korean, as a part of a character class: words of others stand between them without spaces."""
CHINESE_BEGINNING: Final = re.compile(rf"[{CHINESE}]+(?=[a-z0-9-]+\.)", re.IGNORECASE)
_BEFORE_CHINESE: Final = re.compile(rf"[a-z0-9-]+(?=[{CHINESE}])", re.IGNORECASE)
_BYTE: Final = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IP: Final = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}", re.ASCII)
_FILES: Final = (
    "avi bat bz2 class cpp css csv dll dmg doc docx eml exe gif gz heic hpp htm html ics ini iso jar java jpeg jpg "
    "js json jsx lock log mjs mp3 mp4 odt pdf php png ppt pptx rar rpm scss sql svg tar toml ts tsv tsx txt vcf wav "
    "webp xls xlsx xml yaml yml"
)
_OF_FILES: Final = frozenset(_FILES.split())
"""Endings of names of files that are none of hosts, although something may stand behind a slash."""
_TITLES: Final = frozenset({"B.Com", "B.Sc", "B.Tech", "M.Com", "M.Sc", "M.Tech"})
_ABBREVIATION: Final = re.compile(r"[^\W\d_]\.[^\W\d_]{2}")
"""With a dot behind it, one such as the `m.in.` of Polish and the `p.es.` of Italian."""
_AFTER_ADDRESS: Final = ".,;:!?…'’*_~)]}"
"""What may be a part of an address, or stand behind one."""


class Address(NamedTuple):
    """The place of an address, with punctuation behind it: see `without_punctuation`.

    Attributes:
        label, target: For a link of Markdown, the places of its label and of its address.
    """

    start: int
    end: int
    label: tuple[int, int] | None = None
    target: tuple[int, int] | None = None


def links(text: str) -> Iterator[Address]:
    """Yield the links of Markdown in a text, as it is read."""
    for found in _LINK.finditer(text):
        yield Address(*found.span(), found.span("label"), found.span("target"))


def addresses(text: str, start: int = 0, end: int | None = None, *, any_name: bool = False) -> Iterator[Address]:
    """Yield the addresses in a part of a text, as it is read.

    Args:
        any_name: True takes each name with a dot for an address.
    """
    end = len(text) if end is None else end
    words = _MAY_HAVE_ADDRESS.finditer(text, start, end)
    is_joined = start > 0 and not text[start - 1].isspace()  # it follows a link without a space
    first = _WORD.match(text, start, end) if is_joined else None
    for found in words if first is None else (first, *words):
        yield from _in_word(text, *found.span(), any_name=any_name)


def _in_word(text: str, at: int, end: int, *, any_name: bool) -> Iterator[Address]:
    while (found := _ADDRESS.search(text, at, end)) is not None:
        start, at = found.span()
        if (host := found["host"]) is None:
            yield Address(start, at)
            continue
        behind = text[found.end("host") : at]
        if (last := _BEFORE_CHINESE.match(host, host.rfind(".") + 1)) is not None:
            host, behind, at = host[: last.end()], "", found.start("host") + last.end()
        is_abbreviation = _ABBREVIATION.fullmatch(host) is not None and text.startswith(".", at) and not behind
        if any_name or (_is_linked(host, behind) and not is_abbreviation):
            yield Address(start, at)
        else:
            at = found.start("host") + len(host)


def _is_linked(host: str, behind: str) -> bool:
    """Return True if a phone makes a link of a name with a dot, behind which a port and a path may stand."""
    first, *_, last = host.casefold().split(".")
    ending = last.strip("_~-")
    if ending in endings():
        return bool(behind) or host not in _TITLES
    if first.strip("_~-") == "www" or ending.startswith("xn--") or _IP.fullmatch(host):
        return True
    is_name = len(ending) > 1 and ending.isalpha() and ending not in _OF_FILES
    return is_name and behind[:1] in ("/", "?", "\\") and len(behind) > 1


def scheme_of(address: str) -> str:
    """Return the scheme of an address in lower case; empty if it has none."""
    scheme, colon, _ = address.partition(":")
    return scheme.casefold() if colon and not {*"./@?#"} & {*scheme} else ""


def without_punctuation(address: str) -> str:
    """Return an address without the punctuation at its end that belongs to the sentence around it."""
    end = len(address)
    while end and address[end - 1] in _AFTER_ADDRESS:
        opening = {")": "(", "]": "[", "}": "{"}.get(address[end - 1])
        if opening and address.count(opening, 0, end) >= address.count(address[end - 1], 0, end):
            break
        end -= 1
    return address[:end]


# Numbers

_PHONE: Final = re.compile(r"(?<![A-Za-z0-9_+])[+(]?\d[\d\s()./\u00a0\u2011-]{5,22}\d(?![A-Za-z0-9_])")
_DATE: Final = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4}")
_AMOUNT: Final = re.compile(r"\d{1,2}(?:[.\u00a0]\d{3})+[.\u00a0]000")
"""A round amount, such as a billion, with marks between its thousands."""
_LEAST_DIGITS: Final = 9
"""The fewest digits of a phone number without a `+`. Shorter numbers are prices, codes and dates."""
_SPELLED: Final = "(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|ten|hundred|thousand|double|triple)"
_IN_WORDS: Final = re.compile(
    rf"\+\d{{1,3}}(?:[ -]{_SPELLED})(?:[ -](?:{_SPELLED}|\d{{1,4}})){{1,15}}(?!\w)", re.IGNORECASE
)
_CALLS: Final = (
    "call|dial|phone|ring|ruf(?:en|t)?|rufe|anrufen|wähl(?:en|t)?|wähle|appel(?:er|ez|le)|compose[rz]?|llam(?:a|ar|e)|marc(?:a|ar)|marque"
    "|chiam(?:a|are|i)|componi|lig(?:a|ar|ue)|disque|bel(?:len)?"
)
_SENDS: Final = (
    "text|txt|sms|message|send|reply|write|schick(?:e|en|t)?|send(?:e|en|et)|schreib(?:e|en|t)?|envo(?:ie|yer|yez)|env[ií](?:a|ar|e)"
    "|mand(?:a|ar|e)|invi(?:a|are)|stuur|zend"
)
_TO: Final = "to|at|on|an|unter|auf|au|al|el|para|ao|naar|op|het|le"
_SHORT: Final = re.compile(
    r"(?<![\w.,:/-])(?:\d{5,8}|\d{3}[-. ]\d{4})(?![\w%€$£]|[.,:/-]\d| ?(?:[%€$£]|EUR|USD))"
    r"|(?<!\d)\d{5,8}(?=番?[にへ][^\s\d]{0,20}?(?:電話|送|発信|SMS|メッセージ))"
)
"""A number that is too short to be known as one. It is one behind `_BEFORE_NUMBER`, in Japanese before a verb."""
_BEFORE_NUMBER: Final = re.compile(
    rf"(?<!\w)(?:(?:{_CALLS})|(?:{_CALLS}|{_SENDS})(?:[ :][^\s\d.!?]{{1,30}}){{0,6}}[ ](?:{_TO}))[ :]{{1,2}}[\"'“„«]?$",
    re.IGNORECASE,
)
"""What stands before a number that people call or write to."""
_FAR: Final = 120
"""The most characters that are looked at before a number."""
DIAL_PAD: Final = re.compile(r"[*#]\d[\d*#+]{2,40}#")
"""A code for the dial pad, such as one that forwards calls."""


def numbers(text: str) -> Iterator[tuple[int, int]]:
    """Yield the places of phone numbers in a text, as it is read."""
    for found in _PHONE.finditer(text):
        is_long = found[0].startswith("+") or len(digits_of(found[0])) >= _LEAST_DIGITS
        if is_long and not _DATE.search(found[0]) and not _AMOUNT.fullmatch(found[0]):
            yield found.span()
    for found in _IN_WORDS.finditer(text):
        yield found.span()
    for found in _SHORT.finditer(text):
        before = text[max(0, found.start() - _FAR) : found.start()]
        if text[found.end() : found.end() + 1] in ("番", "に", "へ") or _BEFORE_NUMBER.search(before):
            yield found.span()


def digits_of(text: str) -> str:
    """Return the digits in a text, those of any script as plain ones."""
    return "".join(str(unicodedata.decimal(each)) for each in re.findall(r"\d", text))
