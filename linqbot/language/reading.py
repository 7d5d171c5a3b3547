"""One form of what people write, in which it is compared with words: of filters, choices, questions, owners and languages.

Every place that compares a text of a person asks here, so that a word means the same at each of them:

- `folded` is a text in one case and one width, without characters that no one sees. `unaccented` leaves out accents too.
- `says` finds out if a text is one of some words, and `chosen` which of several choices it names. Marks and emoji around a
  word do not count, and neither does politeness, such as `thanks`.

What a text says exactly comes first: of the choices Lea and Léa, each is named by its own text. A text that could be two of them
names neither. STOP and its like are Linq's own words, which Linq compares as they stand (R69): `linq/rules/message.py` reads them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

LONGEST: Final = 300
"""Characters. A longer text is no word with something around it."""
_MOST_FORMS: Final = 20
"""Forms of one text that are compared: no one means a word with more politeness around it."""

_QUOTES: Final = dict.fromkeys(map(ord, "‘’‚‛ʼʹ′´`＇"), "'") | dict.fromkeys(map(ord, "“”„‟″«»＂"), '"')
_DASHES: Final = dict.fromkeys(map(ord, "‐‑‒–—―−﹘﹣－"), "-")
_FRACTIONS: Final = {
    code: " " + unicodedata.normalize("NFKC", chr(code)).replace("\u2044", "/")
    for code in (0xBC, 0xBD, 0xBE, *range(0x2150, 0x215F), 0x2189)
}
"""One character each, which NFKC joins to a number before it: `1½` would be `11/2`."""
_BEFORE: Final = _QUOTES | _DASHES | _FRACTIONS | {0x1F51F: "10"}  # the keycap ten, which is one character
_EXACTLY: Final = _QUOTES | {ord("ı"): "i", 0x307: None}  # İ, I and ı are one letter where other languages are written
_LIGATURES: Final = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d"})
_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_ACCENTS: Final = re.compile("(?<!и)[\u0300-\u036f]+")
"""The accents of letters taken apart. й is a letter of its own, and the marks of Japanese letters are no accents."""
_JOINED_SIGN: Final = re.compile("\u200d[♀♂]\ufe0f?")
_FILLERS: Final = frozenset("\u034f\u115f\u1160\u3164\uffa0\u180b\u180c\u180d\u180f")


class _Letters(dict[int, str | None]):
    """The character for each character in a folded text, or none. It is filled as characters are met."""

    def __missing__(self, code: int) -> str | None:
        self[code] = found = _letter(chr(code))
        return found


def _letter(letter: str) -> str | None:
    category = unicodedata.category(letter)
    if category in ("Cf", "Me") or letter in _FILLERS or "\ufe00" <= letter <= "\ufe0f" or "🏻" <= letter <= "🏿":
        return None  # unseen, the frame of a keycap, or how an emoji is drawn
    if "\U000e0100" <= letter <= "\U000e01ef" or letter == "\u0307":
        return None  # how a letter is drawn; and the dot that `casefold` keeps of İ
    if category in ("Zs", "Zl", "Zp") or letter == "\u2800":
        return " " if category in ("Zs", "So") else "\n"
    if category == "Cc":
        return letter if letter in "\t\n\r" else " " if letter.isspace() else None
    if category in ("Nd", "No") and (value := unicodedata.numeric(letter, 0.5)) == int(value):
        return str(int(value))
    return "i" if letter == "ı" else letter


_LETTERS: Final = _Letters()


def folded(text: str) -> str:
    """Return a text in one case and width, with plain digits, quotes and hyphens, and without characters that no one sees."""
    if text.isascii():
        return text.lower().replace("`", "'").translate(_LETTERS)
    text = unicodedata.normalize("NFKC", _JOINED_SIGN.sub("", text.translate(_BEFORE))).casefold()
    return unicodedata.normalize("NFC", text.translate(_LETTERS))


@lru_cache(maxsize=64)  # several filters ask about one message
def unaccented(text: str) -> str:
    """Return a text `folded`, and its letters without accents. The marks of Japanese letters are no accents."""
    text = folded(text)
    if text.isascii():
        return text
    text = _ACCENTS.sub("", unicodedata.normalize("NFD", text).translate(_LIGATURES))
    return unicodedata.normalize("NFC", text)


def with_single_spaces(text: str) -> str:
    return " ".join(text.split())


def spelled(words: Iterable[str]) -> Iterator[str]:
    """Yield words as people spell them: as they stand, and with `ue` for `ü`."""
    for each in words:
        yield each.strip()
        if (other := each.strip().lower().translate(_UMLAUTS)) != each.strip().lower():
            yield other


_EMOJI: Final = (
    "[\u00a9\u00ae\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\u303d\U0001f000-\U0001faff]"
)
_EVERY_EMOJI: Final = re.compile(_EMOJI)
_FACE: Final = r"(?:[:;=]['-]?[)(]+|(?<=\s)[:;=]['-]?[dp*3]+|<3+|\^\^)"
_MARKS: Final = r"[\s.!?。,;:、~\"]"
# Each search begins where a run of marks begins, so that a text of marks takes no longer than another. No group is possessive:
# early releases of Python 3.11 read that wrongly.
_END: Final = re.compile(rf"(?<!{_MARKS})(?<!{_EMOJI})(?:{_FACE}|{_MARKS}|{_EMOJI})+\Z")
_END_MARKS: Final = re.compile(rf"(?<!{_MARKS}){_MARKS}++\Z")
_BEGINNING: Final = re.compile(rf"\A(?:[\s¿¡\"]|{_EMOJI})+")
_BEGINNING_MARKS: Final = re.compile(r"\A[\s¿¡\"]+")
_BETWEEN: Final = re.compile(r"(?<=[^\W\d_])[-,;、。!?]+\s*(?=[^\W\d_])|(?<=\w)[.:,;!?。]+\s+(?=\w)")
_APOSTROPHE: Final = re.compile(r"(?<=\w)'(?=\w)")

_POLITENESS: Final = {
    "en": "please,pls,plz,thanks,thank you,thanks a lot,many thanks,thank you very much,thank you so much,thx,ty,cheers",
    "de": "bitte,bitte sehr,danke,danke schön,dankeschön,danke sehr,vielen dank,besten dank,herzlichen dank",
    "es": "por favor,porfavor,porfa,gracias,muchas gracias,mil gracias",
    "fr": "s'il vous plaît,s'il te plaît,svp,stp,merci,merci beaucoup,merci bien,merci d'avance",
    "it": "per favore,per piacere,per cortesia,grazie,grazie mille,mille grazie,molte grazie,tante grazie",
    "nl": "alsjeblieft,alstublieft,aub,dank je,dank u,dankjewel,dank je wel,dank u wel,bedankt,graag",
    "pt": "por favor,faz favor,se faz favor,obrigado,obrigada,muito obrigado,muito obrigada,obg",
    "ja": "でお願いします,お願いします,お願いいたします,お願い致します,おねがいします,ください,下さい,です,で,どうも,ありがとう,"
    "ありがとうございます,どうもありがとう,どうもありがとうございます",
}
"""Politeness that may stand around a word, by language. It counts in all of them: filters know no language."""


def plain(text: str) -> str:
    """Return a text in the form in which words are compared: `unaccented`, and without marks and hyphens between its words."""
    return _spaced(unaccented(text))


def _spaced(text: str) -> str:
    text = with_single_spaces(text)
    if text.replace(" ", "").isalnum():
        return text
    return _BETWEEN.sub(" ", _APOSTROPHE.sub("", text.replace("# ", "#")))


def _phrases(said: Iterable[str]) -> tuple[str, ...]:
    """Return polite phrases in the forms of texts, with accents and without, the longest first."""
    forms = {way(each) for each in said for way in (plain, lambda text: _spaced(folded(text)))}
    return tuple(sorted(forms, key=len, reverse=True))


_POLITE_WORDS: Final = _phrases(each for code, said in _POLITENESS.items() if code != "ja" for each in said.split(","))
_POLITE_ENDINGS: Final = _phrases(_POLITENESS["ja"].split(","))  # there are no spaces between words of Japanese
_POLITE: Final = _POLITE_WORDS + _POLITE_ENDINGS


def _bare(text: str) -> str:
    """Return a text without the marks and emoji around it. Of a text of emoji the emoji stay, and of one of marks the marks."""
    if len(text) > LONGEST or text.replace(" ", "").isalnum():
        return text.strip()
    without_marks = _BEGINNING_MARKS.sub("", _END_MARKS.sub("", text))
    return _BEGINNING.sub("", _END.sub("", text)) or without_marks or text


def _forms(said: str) -> list[str]:
    """Return a text as it stands, without what is around it, and with less and less politeness. Something always stays."""
    found = [said]
    if len(said) > LONGEST:
        return found
    _add(found, (_END.sub("", said), _bare(said)))
    if len(emoji := set(_EVERY_EMOJI.findall(said))) == 1 and not any(map(str.isalnum, said)):
        _add(found, emoji)  # 👍👍 is 👍
    for form in found:  # which grows: a word may be polite itself, such as `no thanks`
        if len(found) < _MOST_FORMS:
            _add(found, map(_bare, _less_polite(form)))
    return found


def _add(found: list[str], forms: Iterable[str]) -> None:
    for form in forms:
        if form and form not in found:
            found.append(form)


def _less_polite(said: str) -> Iterator[str]:
    """Yield a text without one polite phrase at its end or its beginning, the longest first."""
    if said.endswith(_POLITE):  # nearly no text does, and this asks for all phrases at once
        yield from (
            each for phrase in _POLITE_WORDS if (each := said.removesuffix(phrase)) != said and _is_apart(each[-1:])
        )
        yield from (each for phrase in _POLITE_ENDINGS if (each := said.removesuffix(phrase)) != said)
    if said.startswith(_POLITE_WORDS):
        yield from (
            each for phrase in _POLITE_WORDS if (each := said.removeprefix(phrase)) != said and _is_apart(each[:1])
        )


def _is_apart(neighbor: str) -> bool:
    return not neighbor.isalpha()


@lru_cache(maxsize=64)
def readings(text: str) -> tuple[str, ...]:
    """Return the forms of a text, in which it may be a `plain` word: from what was written to what was meant."""
    return tuple(_forms(plain(text)))


def says(text: str, words: tuple[str, ...]) -> bool:
    """Return True if a text is one of these words, whatever marks, emoji or politeness stand around it."""
    return not plain_words(words).isdisjoint(readings(text))


@lru_cache(maxsize=512)
def plain_words(words: tuple[str, ...] | frozenset[str]) -> frozenset[str]:
    """Return words in the form in which they are compared."""
    return frozenset(map(plain, words))


def emoji_in(text: str) -> list[str]:
    """Return the emoji of a text, without the color of their skin."""
    return _EVERY_EMOJI.findall(folded(text))


def without_emoji(text: str) -> str:
    """Return a text `folded`, with spaces in place of emoji, which mean nothing next to a number, a day or a command."""
    return _EVERY_EMOJI.sub(" ", folded(text))


def exactly(text: str) -> str:
    """Return a text as it stands, but for case, quotes and spaces. Two choices that are equal in this form are one."""
    return with_single_spaces(unicodedata.normalize("NFC", text).casefold().translate(_EXACTLY))


def chosen(text: str, choices: Iterable[str]) -> str | None:
    """Return the choice whose words a text says; None if it says none, or if it could be two.

    The nearest form decides: `léa` is Léa although there is also a Lea.
    """
    listed = tuple(choices)
    if (same := next((choice for choice in listed if exactly(choice) == exactly(text)), None)) is not None:
        return same
    for read in (folded, unaccented):
        whole = [_spaced(read(choice)) for choice in listed]
        for of_choices in (whole, [*map(_bare, whole)]):
            for form in _forms(_spaced(read(text))):
                if found := [choice for choice, other in zip(listed, of_choices, strict=True) if other == form]:
                    return found[0] if len(found) == 1 else None
    return None
