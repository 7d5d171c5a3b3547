"""Rules of uploads (R91, R92)."""

from __future__ import annotations

from typing import Any, Final

from linqbot.rules.broken import Broken, breaks
from linqbot.rules.values import is_whole

CONTENT_TYPES: Final[frozenset[str]] = frozenset(
    f"{family}/{kind}"
    for family, kinds in {
        "image": "jpeg png gif heic heif tiff bmp svg+xml webp x-icon",
        "video": "mp4 quicktime mpeg mpeg2 x-m4v x-msvideo 3gpp",
        "audio": "mpeg mp3 x-m4a mp4 x-caf x-wav x-aiff aiff aac midi amr",
        "application": (
            "pdf vnd.apple.pkpass msword vnd.openxmlformats-officedocument.wordprocessingml.document vnd.ms-excel "
            "vnd.openxmlformats-officedocument.spreadsheetml.sheet vnd.ms-powerpoint "
            "vnd.openxmlformats-officedocument.presentationml.presentation x-iwork-pages-sffpages "
            "x-iwork-numbers-sffnumbers x-iwork-keynote-sffkey epub+zip json zip x-gzip"
        ),
        "text": "plain markdown vcard rtf csv html calendar xml",
    }.items()
    for kind in kinds.split()
)
"""The content types that Linq accepts (R92): Linq's list, which takes precedence where Linq's prose disagrees."""
MAX_UPLOAD_BYTES: Final = 100 * 2**20
"""The size limit of an upload (R91). Linq says 100 MB. This is the larger interpretation, 100 MiB, so that the client
refuses no file that Linq would accept."""


def upload_size(value: Any, at: str) -> Broken | None:
    """Check R91: the size of an upload."""
    if is_whole(value) and 1 <= value <= MAX_UPLOAD_BYTES:
        return None
    return breaks("R91", f"{at} must be 1 to {MAX_UPLOAD_BYTES} bytes.")


def upload_type(value: Any, at: str) -> Broken | None:
    """Check R92: the content type of an upload."""
    if isinstance(value, str) and value in CONTENT_TYPES:
        return None
    return breaks(
        "R92",
        f"{at} is not a type that Linq accepts, such as image/jpeg. linqbot explain R92 names Linq's page with all types.",
    )
