"""Kinds of media: what a file is, by its type, its name and its first bytes.

iPhones send photos as HEIC and voice memos as CAF. Few programs read these, so bots must recognise them.
"""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 12
"""The number of bytes from the start of a file that `sniffed` looks at."""

_HEIC_TYPES: Final = frozenset({"image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"heif"})
_CAF_TYPES: Final = frozenset({"audio/x-caf", "audio/caf"})
# Phones record CAF, AMR and MPEG-4 audio. Linq delivers CAF as audio/mp4.
_RECORDED: Final = frozenset({*_CAF_TYPES, "audio/amr", "audio/mp4", "audio/x-m4a", "audio/m4a"})


def is_heic(mime_type: str | None, filename: str | None) -> bool:
    """Return True for a HEIC or HEIF image, by its type or by the suffix of its name."""
    return mime_type in _HEIC_TYPES or _suffix(filename) in {"heic", "heif"}


def is_caf(mime_type: str | None, filename: str | None) -> bool:
    """Return True for audio in Apple's CAF, by its type; without a type, by the suffix of its name."""
    return mime_type in _CAF_TYPES or (not mime_type and _suffix(filename) == "caf")


def is_recorded(mime_type: str | None, filename: str | None) -> bool:
    """Return True for audio as phones record it, in distinction from other audio files, such as MP3."""
    return mime_type in _RECORDED or (not mime_type and _suffix(filename) in {"caf", "amr", "m4a"})


def sniffed(head: bytes) -> str | None:
    """Return `image/heic` or `audio/x-caf` if a file begins so; None for all other files."""
    if head[:4] == b"caff":
        return "audio/x-caf"
    return "image/heic" if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS else None


def _suffix(filename: str | None) -> str:
    return (filename or "").rpartition(".")[2].lower()
