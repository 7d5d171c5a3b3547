"""Files of received messages that can be fetched, and files that are uploaded before a send.

Data that can act, such as a received file, knows no connection. It acts through the context of the running turn, which
dispatch sets, and names in a class of its own what it needs of this context. The kind of a file follows from its type, its name and its first bytes: iPhones send photos as HEIC and
voice memos as CAF, which few programs read, so bots must recognise them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from pydantic import AwareDatetime

from linqbot.errors import BotError
from linqbot.linq.types.data import Data

T = TypeVar("T")

MAX_BYTES: Final = 25 << 20
"""The largest file that is read, unless `max_bytes` says otherwise."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file in memory.

    Attributes:
        content: Empty if the file is unavailable.
        mime_type: As the server says, lower-case and without parameters: `image/jpeg`. Of HEIC images and CAF audio, as
            the content says.
        filename: A bare name, or None. The sender chose it: do not use it as a path.
        unavailable: The reason why the file could not be fetched, as a sentence for the log; None if it was. Only
            `MediaPart.fetch` returns it: `client.fetch` raises instead.
    """

    content: bytes = field(repr=False)
    mime_type: str
    filename: str | None = field(repr=False)
    unavailable: str | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """A file on disk. `mime_type`, `filename` and `unavailable` are as in `Fetched`.

    Attributes:
        path: If the file is unavailable, nothing was written there.
    """

    path: Path
    size_bytes: int
    mime_type: str
    filename: str | None = field(repr=False)
    unavailable: str | None = None


HEAD_BYTES: Final = 12
"""The number of bytes from the start of a file that `sniffed` looks at."""

_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"heif"})


def sniffed(head: bytes) -> str | None:
    """Return `image/heic` or `audio/x-caf` if a file begins so; None for all other files."""
    if head[:4] == b"caff":
        return "audio/x-caf"
    return "image/heic" if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS else None


running_turn: ContextVar[object | None] = ContextVar("linqbot_turn", default=None)
"""The context of the turn that runs, through which data acts."""


def turn(needed: type[T], what: str) -> T:
    """Return the context of the running turn.

    Args:
        needed: The class of what the data needs of the context, which the context implements.
        what: The act that needs a turn, and what to write instead, for the error message.
    Raises:
        BotError: no turn is running.
    """
    found = running_turn.get()
    if not isinstance(found, needed):
        raise BotError(what)
    return found


class Upload(Data):
    """Response of `attachments.create`: the address to upload the bytes to.

    Attributes:
        attachment_id: May be sent as soon as the bytes are uploaded; Linq needs no further call.
        upload_url: Accepts the bytes for 15 minutes, with exactly `required_headers` and without the API key.
        download_url: The URL of the file after the upload.
    """

    attachment_id: str
    upload_url: str
    download_url: str
    http_method: str = "PUT"
    required_headers: Mapping[str, str] = {}
    expires_at: AwareDatetime | None = None


class Attachment(Data):
    """A file stored at Linq.

    Attributes:
        status: `pending` until the bytes are uploaded, then `complete` or `failed`. Linq calls this field deprecated.
    """

    id: str
    filename: str
    content_type: str
    size_bytes: int
    created_at: AwareDatetime | None = None
    status: str | None = None
    download_url: str | None = None


# The module `mimetypes` is not used: its table differs from machine to machine, and its names are not always Linq's.
_SUFFIXES: Final[Mapping[str, str]] = {
    "image/jpeg": "jpg jpeg",
    "image/png": "png",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/tiff": "tif tiff",
    "image/bmp": "bmp",
    "image/svg+xml": "svg",
    "image/webp": "webp",
    "image/x-icon": "ico",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/mpeg": "mpeg mpg",
    "video/mpeg2": "",
    "video/x-m4v": "m4v",
    "video/x-msvideo": "avi",
    "video/3gpp": "3gp",
    "audio/mpeg": "mp3",
    "audio/mp3": "",
    "audio/x-m4a": "m4a",
    "audio/mp4": "",
    "audio/x-caf": "caf",
    "audio/x-wav": "wav",
    "audio/x-aiff": "aif aiff",
    "audio/aiff": "",
    "audio/aac": "aac",
    "audio/midi": "mid midi",
    "audio/amr": "amr",
    "application/pdf": "pdf",
    "application/vnd.apple.pkpass": "pkpass",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/x-iwork-pages-sffpages": "pages",
    "application/x-iwork-numbers-sffnumbers": "numbers",
    "application/x-iwork-keynote-sffkey": "key",
    "application/epub+zip": "epub",
    "application/json": "json",
    "application/zip": "zip",
    "application/x-gzip": "gz",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/vcard": "vcf",
    "text/rtf": "rtf",
    "text/csv": "csv",
    "text/html": "html htm",
    "text/calendar": "ics",
    "text/xml": "xml",
}
"""The suffixes of files of each type; none where a more common type has them."""
CONTENT_TYPES: Final = frozenset(_SUFFIXES)
"""The content types that Linq accepts (R92): Linq's list, which takes precedence where Linq's prose disagrees."""
_BY_SUFFIX: Final = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


def content_type_of(filename: str) -> str | None:
    """Return the type that Linq uses for a file of this name; None if Linq does not accept files with this suffix."""
    return _BY_SUFFIX.get(filename.rpartition(".")[2].lower())
