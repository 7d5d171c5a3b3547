"""Attachments: files that are uploaded to Linq before they are sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from linqbot.linq.types.data import Data


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
    expires_at: datetime | None = None


class Attachment(Data):
    """A file stored at Linq.

    Attributes:
        status: `pending` until the bytes are uploaded, then `complete` or `failed`. Linq calls this field deprecated.
    """

    id: str
    filename: str
    content_type: str
    size_bytes: int
    created_at: datetime | None = None
    status: str | None = None
    download_url: str | None = None


# The module `mimetypes` is not used: its table differs from machine to machine, and its names are not always Linq's.
_BY_SUFFIX: Final[Mapping[str, str]] = {
    suffix: content_type
    for content_type, suffixes in {
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
        "video/x-m4v": "m4v",
        "video/x-msvideo": "avi",
        "video/3gpp": "3gp",
        "audio/mpeg": "mp3",
        "audio/x-m4a": "m4a",
        "audio/x-caf": "caf",
        "audio/x-wav": "wav",
        "audio/x-aiff": "aif aiff",
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
    }.items()
    for suffix in suffixes.split()
}


def content_type_of(filename: str) -> str | None:
    """Return the type that Linq uses for a file of this name; None if Linq does not accept files with this suffix."""
    return _BY_SUFFIX.get(filename.rpartition(".")[2].lower())
