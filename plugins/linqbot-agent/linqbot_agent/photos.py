"""The photos of iPhones, in Apple's HEIC format, as JPEG: no model reads HEIC. The package pillow-heif is an extra.

A stranger has made the file, so its size in pixels is known before it is decoded. What a photo says besides its picture, such as
where it was taken, is left out.
"""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import Final

MOST_PIXELS: Final = 50_000_000
"""The largest photo to decode: the cameras of iPhones have up to 48 million pixels. It takes three bytes for each."""
_LONGEST_SIDE: Final = 2048
"""Models read no larger pictures: their providers make them smaller."""
_QUALITY: Final = 85
_BRANDS: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class TooLarge(Exception):
    """A photo has more pixels than may be decoded."""


def can_convert() -> bool:
    """Return True if pillow-heif is installed."""
    return find_spec("pillow_heif") is not None


def is_heic(content: bytes) -> bool:
    return content[4:8] == b"ftyp" and content[8:12] in _BRANDS


def as_jpeg(content: bytes) -> bytes:
    """Return a HEIC photo as JPEG, as it is seen on the phone, made smaller if it is large. Call it in a thread.

    Raises TooLarge, and any error of a file that is broken.
    """
    from pillow_heif import open_heif  # an extra

    photo = open_heif(io.BytesIO(content))
    width, height = photo.size
    if width * height > MOST_PIXELS:
        raise TooLarge
    # The decoder turns it as the phone was held, and nothing of its Exif data is written.
    picture = photo.to_pillow().convert("RGB")
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), reducing_gap=2.0)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=_QUALITY)
    return written.getvalue()
