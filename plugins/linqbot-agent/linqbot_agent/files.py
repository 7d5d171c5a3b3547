"""The files that a model is shown, of any framework: the newest pictures and documents, and what voice memos say.

One that cannot be shown is named. A text file is shown as text; a PDF as a document, and as text if the provider has
refused it. A voice memo is shown as its transcript, which is made once, and kept about the person. This module imports
pydantic-ai, so it is imported at the first run of an agent.
"""

from __future__ import annotations

import asyncio
import io
import mimetypes
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from pydantic import BaseModel, Field
from pydantic_ai.messages import BinaryContent

from linqbot import Context, MediaPart, MessageEdited, MessageReceived, Tally
from linqbot.characters import cut, whole
from linqbot.frames import place_of
from linqbot.speakers import in_mark, said_by
from linqbot_agent import photos
from linqbot_agent.entries import digest_of
from linqbot_agent.run import Settings

UNREADABLE: Final = "linqbot_agent.Unreadable"
_MOST_UNREADABLE: Final = 100

TIMEOUT_S: Final = 15.0
"""The longest time for one file, in seconds."""
PICTURE_BYTES: Final = 4 << 20
DOCUMENT_BYTES: Final = 10 << 20
"""The largest picture and the largest document to show, in bytes."""
_MOST_PHOTOS: Final = 8
"""The converted photos that the process remembers, of all chats: the newest ones."""
MOST_CHARACTERS: Final = 40_000
"""The most characters of a document that are shown as text."""

_PDF: Final = "application/pdf"
_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_GONE: Final = "it is too large or no longer available"
_UNKNOWN: Final = "its format cannot be read"

TRANSCRIPTS: Final = "linqbot_agent.Transcripts"
MEMO_BYTES: Final = 25 << 20
"""The largest voice memo to transcribe, in bytes."""
_MOST_HEARD: Final = 16 << 10
"""The most characters of a transcript. A longer one is cut."""
_MOST_TRANSCRIPTS: Final = 64 << 10
"""The most characters of transcripts that are stored about a person. The oldest are dropped first."""

Content: TypeAlias = "list[str | BinaryContent]"


@dataclass(frozen=True, slots=True)
class Files:
    """The files of some messages as a model is shown them."""

    shown: dict[str, Content]  # by the ids of their parts
    heard: Mapping[str, str]  # what voice memos say, by the same; empty for one that cannot be heard

    def words_of(self, files: Sequence[MediaPart]) -> str:
        """Return the marks of what voice memos among files say."""
        return "".join(
            f" [The voice memo says: {in_mark(text)}]" if text else " [It cannot be heard.]"
            for file in files
            if (text := self.heard.get(file.id or "")) is not None
        )

    def content_of(self, files: Sequence[MediaPart]) -> Content:
        """Return the files that are shown, each after its name, and a sentence for each that cannot be shown."""
        return [item for file in files for item in self.shown.get(file.id or "", ())]


class Transcripts(BaseModel):
    """The transcripts of the voice memos of a person.

    Attributes:
        by_file: By the id of the part of the message, the oldest first.
    """

    by_file: dict[str, str] = Field(default_factory=dict)


async def heard(settings: Settings) -> dict[str, str]:
    """Return what voice memos of the person say, by the ids of their parts: those of the message, and earlier ones.

    Those of the message are transcribed, each once, and stored in the commit that records this. A text is empty if that has
    failed.
    """
    ctx, event, transcribe = settings.ctx, settings.event, settings.turn.options.transcribe
    if transcribe is None or not isinstance(event, MessageReceived | MessageEdited):
        return {}

    async def transcript(memo: MediaPart) -> str:
        await settings.turn.account.check()
        fetched = await memo.fetch(max_bytes=MEMO_BYTES, timeout_s=TIMEOUT_S)
        if fetched.unavailable is not None:
            return ""
        try:
            async with asyncio.timeout(settings.timeout_s):
                return cut(await transcribe(fetched), _MOST_HEARD)
        except Exception as error:  # noqa: BLE001 - the person must be answered all the same
            ctx.log.warning("agent.not_transcribed", error=type(error).__name__, at=place_of(error))
            return ""

    said = {**(await ctx.state.person(Transcripts, name=TRANSCRIPTS)).by_file}
    files = event.media if isinstance(event, MessageReceived) else ()
    is_kept = settings.turn.options.memory is not None
    for memo_id, memo in ((file.id, file) for file in files if file.id and file.is_voice_memo):
        keep = Tally(Transcripts, partial(_keep, memo_id), name=TRANSCRIPTS) if is_kept else None
        step = await settings.entries.step(f"transcript@{memo_id}", partial(transcript, memo), tallies=[keep])
        said[memo_id] = step.result
    return said


def _keep(memo_id: str, kept: Transcripts, text: str) -> None:
    if text:
        kept.by_file[memo_id] = text
    while sum(map(len, kept.by_file.values())) > _MOST_TRANSCRIPTS:
        del kept.by_file[next(iter(kept.by_file))]


class Unreadable(BaseModel):
    """The files of a chat that the provider of the model has refused. They are not sent again."""

    digests: list[str] = Field(default_factory=list)  # See `digest`. The oldest first.


def digest(file: BinaryContent) -> str:
    return digest_of(file.data)


async def keep_unreadable(ctx: Context, digests: Sequence[str]) -> None:
    if digests:
        noted = await ctx.state.chat(Unreadable, name=UNREADABLE)
        noted.digests = [*dict.fromkeys([*noted.digests, *digests])][-_MOST_UNREADABLE:]


async def shown_files(settings: Settings, files: Sequence[MediaPart], said: Mapping[str, str]) -> Files:
    """Fetch the newest pictures and documents. Other files are left out."""
    ctx, options = settings.ctx, settings.turn.options
    pictures, documents = (
        _newest(files, *kind) for kind in ((_may_be_picture, options.images), (_may_be_document, options.documents))
    )
    if not pictures and not documents:
        return Files({}, said)
    unreadable = (await ctx.state.chat(Unreadable, name=UNREADABLE)).digests
    read = await asyncio.gather(
        *(_picture(settings, file, unreadable) for file in pictures),
        *(_document(ctx, file, unreadable) for file in documents),
    )
    return Files(dict(zip((file.id or "" for file in [*pictures, *documents]), read, strict=True)), said)


def _newest(files: Sequence[MediaPart], fits: Callable[[MediaPart], bool], most: int) -> list[MediaPart]:
    return [file for file in files if file.id and fits(file)][-most:] if most else []


async def _picture(settings: Settings, file: MediaPart, unreadable: Collection[str]) -> Content:
    name = in_mark(file.filename or "picture")

    def not_shown(reason: str) -> Content:
        return [f"[The picture {name} cannot be shown: {reason}]"]

    if file.is_heic and not photos.can_convert():
        return not_shown("it is in Apple's HEIC format, which models cannot read")
    fetched = await file.fetch(max_bytes=PICTURE_BYTES, timeout_s=TIMEOUT_S)
    if fetched.unavailable is not None:
        return not_shown(_GONE)
    content = fetched.content
    if photos.is_heic(content) and photos.can_convert():
        try:
            content = await _converted(settings, content)
        except photos.TooLarge:
            return not_shown(_GONE)
        except Exception as error:  # noqa: BLE001 - a stranger has made the file
            settings.ctx.log.warning("agent.file_unreadable", error=type(error).__name__, why=None)
            content = b""
    # A provider refuses a request with a picture that is none, and the picture would come again with each message.
    kind = _kind(content)
    if kind is None:
        return not_shown(_UNKNOWN)
    picture = BinaryContent(content, media_type=kind)
    return (
        not_shown("the model cannot read it") if digest(picture) in unreadable else [f"[The picture {name}:]", picture]
    )


async def _converted(settings: Settings, content: bytes) -> bytes:
    """Return a HEIC photo as JPEG. It is shown with each message for a while, and takes half a second of a processor."""
    shared, key = settings.turn.shared, digest_of(content)
    made = shared.photos
    if (photo := made.pop(key, None)) is None:
        photo = await asyncio.get_running_loop().run_in_executor(shared.converter, photos.as_jpeg, content)
    if not getattr(settings.event, "zero_retention", True):
        made[key] = photo
        while len(made) > _MOST_PHOTOS:
            del made[next(iter(made))]
    return photo


def _may_be_picture(file: MediaPart) -> bool:
    return file.is_heic or (file.mime_type or "").startswith("image/")


def _kind(content: bytes) -> str | None:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES if content.startswith(signature)), None)


async def _document(ctx: Context, file: MediaPart, unreadable: Collection[str]) -> Content:
    name = in_mark(file.filename or "document")
    fetched = await file.fetch(max_bytes=DOCUMENT_BYTES, timeout_s=TIMEOUT_S)
    if fetched.unavailable is not None:
        return [f"[The file {name} cannot be read: {_GONE}]"]
    if fetched.content.startswith(b"%PDF-"):
        document = BinaryContent(fetched.content, media_type=_PDF, identifier=name)
        return [
            f"[The file {name}:]",
            await text_of_file(ctx, document) if digest(document) in unreadable else document,
        ]
    text = _decoded(fetched.content)
    return [
        f"[The file {name} cannot be read: {_UNKNOWN}]" if text is None else f"[The file {name}:]\n\n{_shown(text)}"
    ]


def _may_be_document(file: MediaPart) -> bool:
    kind = file.mime_type or ""
    if kind in ("", "application/octet-stream"):
        kind = mimetypes.guess_type(file.filename or "")[0] or ""
    return kind in (_PDF, "application/json") or kind.startswith("text/")


def _decoded(content: bytes) -> str | None:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content:
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _shown(text: str) -> str:
    """Return the text of a document as a model reads it: no line can be taken for that of a speaker, or for a mark."""
    shown = cut(text, MOST_CHARACTERS)
    left_out = len(text) - len(shown)
    end = f"[The file goes on: {left_out} more characters are not shown.]" if left_out > 0 else "[End of the file.]"
    return f"{said_by('The file', shown, always=False)}\n{end}"


NOT_SHOWN: Final = "[It cannot be shown.]"


async def text_of_file(ctx: Context, file: BinaryContent) -> str:
    """Return what a model is shown of a file that its provider has refused: the text of a PDF, if it can be read."""
    if file.media_type != _PDF:
        return NOT_SHOWN
    try:
        text = await asyncio.to_thread(_extracted, file.data)
    except Exception as error:  # noqa: BLE001 - a stranger has made the file
        why = "Install linqbot-agent[pdf]." if isinstance(error, ImportError) else None
        ctx.log.warning("agent.file_unreadable", error=type(error).__name__, why=why)
        text = ""
    return _shown(text) if text.strip() else "[It cannot be read.]"


def _extracted(content: bytes) -> str:
    from pypdf import PdfReader  # an extra

    text = ""
    for page in PdfReader(io.BytesIO(content)).pages:
        text += f"{page.extract_text()}\n"
        if len(text) > MOST_CHARACTERS:
            break
    return whole(text)
