"""`ctx.preview`: the messages that content becomes on iMessage, on RCS and on SMS, without sending them.

Under `linqbot dev`, the emulator's page shows the preview of each send.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from linqbot.content.drafts import Act, ActKind, MediaDraft
from linqbot.content.message_split import Sendable, fitted, has_only_acts, steps, without_effect
from linqbot.linq.types.message import AppClipPart, AppPart, Effect, LinkPart, MediaPart, MessageContent, Part, TextPart

Kind: TypeAlias = Literal["message", "link", "app_card", "experience"] | ActKind


@dataclass(frozen=True, slots=True)
class PreviewMessage:
    """A message as the person would see it.

    Attributes:
        kind: `message` for texts and files.
        text: The texts, one on a line; of a link its address, of a poll its options, of an app card its captions.
        files: The names or addresses of the files.
        effect: The name of the effect; None if it has none.
        parts: The parts of a message in their order, with the styles of texts; empty for a poll, a voice memo and what
            else is no message.
    """

    kind: Kind
    text: str = field(default="", repr=False)
    files: tuple[str, ...] = field(default=(), repr=False)
    effect: str | None = None
    parts: tuple[Part, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Form:
    """The form of content on one service.

    Attributes:
        messages: In their order.
        degraded: What the service does not have; see `Sent.degraded`.
    """

    messages: tuple[PreviewMessage, ...]
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """The forms of content on the three services."""

    imessage: Form
    rcs: Form
    sms: Form

    def on(self, service: str | None) -> Form:
        """Return the form on a service, such as `message.service`; that of iMessage if the service is not known."""
        return {"RCS": self.rcs, "SMS": self.sms}.get(service or "", self.imessage)


def preview(content: Iterable[Sendable], *, effect: Effect | None, cards: bool, is_group: bool | None) -> Preview:
    items = tuple(content)
    imessage, rcs, sms = (_form(items, service, effect, cards, is_group) for service in ("iMessage", "RCS", "SMS"))
    return Preview(imessage, rcs, sms)


def _form(items: Iterable[Sendable], service: str, effect: Effect | None, cards: bool, is_group: bool | None) -> Form:
    shown, lost = fitted(items, service=service, is_group=is_group)
    files = [
        MediaPart(filename=item.name, sticker=item.sticker or None) if isinstance(item, MediaDraft) else item
        for item in shown
    ]
    made = steps(files, effect=effect, service=service, cards=cards)
    if effect is not None and has_only_acts(made):
        lost.append("effect")
    found: list[PreviewMessage] = []
    for step in made:
        if isinstance(step, Act):
            found.append(PreviewMessage(step.KIND, *step.shown()))
            continue
        fits = without_effect(step, service)
        if fits is not step:
            lost.append("effect")
        found.append(_message(fits, has_rich_text=service == "iMessage"))
    return Form(tuple(found), tuple(dict.fromkeys(lost)))


def _message(message: MessageContent, *, has_rich_text: bool) -> PreviewMessage:
    effect = message.effect.name if message.effect else None
    parts = message.parts or ()
    if not has_rich_text:
        parts = tuple(_plain(part) for part in parts)
    texts: list[str] = []
    files: list[str] = []
    kind: Kind = "message" if message.experience is None else "experience"
    for part in parts:
        match part:
            case TextPart():
                texts.append(part.value)
            case MediaPart():
                files.append(part.filename or part.url or part.attachment_id or "")
            case LinkPart() | AppClipPart():
                kind = "link"
                texts.append(part.value)
            case AppPart():
                kind = "app_card"
                texts += [text for text in (part.layout.caption, part.layout.subcaption) if text]
    return PreviewMessage(kind, "\n".join(texts), tuple(files), effect, parts)


def _plain(part: Part) -> Part:
    """Return a part as SMS and RCS show it: without styles, and a card as its address."""
    match part:
        case TextPart(text_decorations=decorations) if decorations:
            return part.model_copy(update={"text_decorations": None})
        case LinkPart():
            return TextPart(value=part.value)
        case _:
            return part
