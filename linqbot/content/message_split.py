"""Splitting: the content of one reply becomes the messages (bubbles) that Linq accepts.

A link, an app or an app clip is alone in its message, and no two texts follow each other in one. Long texts are cut. The
card of a web address follows its text. The first message is a threaded reply, and the last one has the effect. What SMS
and RCS do not have becomes text first, or is left out.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from linqbot.characters import repaired, whole
from linqbot.content.cards import card_text
from linqbot.content.drafts import Act, ActKind, ContactCardDraft, LocationRequestDraft, MediaDraft, is_received
from linqbot.errors import BotError
from linqbot.linq.rules.message import MAX_LINK_CHARACTERS, MAX_PARTS, MAX_URL_MEDIA, URL_IN_TEXT, has_address
from linqbot.linq.rules.values import WEB
from linqbot.linq.text.sentences import sentence_ends
from linqbot.linq.text.styled import StyledText, split
from linqbot.linq.types.data import validated
from linqbot.linq.types.message import (
    AppClipPart,
    AppPart,
    Effect,
    LinkPart,
    MediaPart,
    MessageContent,
    Part,
    ReplyTo,
    TextPart,
    UnknownPart,
)

ContentPart: TypeAlias = TextPart | MediaPart | LinkPart | AppPart | AppClipPart | UnknownPart
Content: TypeAlias = str | StyledText | ContentPart | MessageContent | MediaDraft
"""Content of a message: a text, a part, a file, or a whole MessageContent. Parts and MessageContents are kept as they are
set. A file is a part once it is uploaded."""
Sendable: TypeAlias = Content | Act
"""Content of a reply: also what is a call of its own at Linq, such as a poll."""

MAX_TEXT_UNITS: Final = 10_000
"""The longest text of a message, in UTF-16 code units. Linq names no limit; other bots have sent as much."""
MAX_SMS_UNITS: Final = 1_500
"""The same on SMS. Carriers put about ten segments of 153 characters together."""
MAX_CARDS: Final = 3
"""A text with more addresses is a list of links, and gets no cards."""
_BULLETS: Final = frozenset("•-*–")

# Linq has put each kind alone that it has added since the first two.
_ALONE = (LinkPart, AppPart, AppClipPart, UnknownPart)
_SENDABLE = (str, StyledText, TextPart, MediaPart, *_ALONE)


def check_content(content: Sequence[Sendable]) -> None:
    """Raise BotError for a call without content: it would send nothing and report success."""
    if not content:
        raise BotError("There is nothing to send. Give at least one text or other content.")


def bubbles(
    content: Iterable[Sendable],
    *,
    effect: Effect | None = None,
    reply_to: ReplyTo | None = None,
    service: str | None = None,
    cards: bool = True,
    opens_chat: bool = False,
) -> list[MessageContent]:
    """Split content into messages that keep Linq's rules R20 to R25.

    Parts share a message as long as the rules allow. The first message gets `reply_to`, and the last one the effect. A
    MessageContent is kept, except that an effect or `reply_to` that it does not set is filled in.

    Args:
        service: The service of the chat, if it is known. SMS has a shorter limit, and neither SMS nor RCS has cards or
            styles.
        cards: False shows no preview cards of the addresses in texts.
        opens_chat: True if the first message may be the first of its chat. It then has no address, if a text can be cut
            before its first address (R52).
    Raises:
        BotError: the content is of a type that is no message, such as a poll, a file that is not uploaded, or a
            coroutine that was not awaited.
    """
    match content:
        # Nearly every reply, so message and part are validated together.
        case (text,) if isinstance(text, str) and _is_plain(text):
            value = text if text.isascii() else whole(text)
            message = {"parts": ({"type": "text", "value": value},), "effect": effect, "reply_to": reply_to}
            return [validated(MessageContent, message)]
    messages: list[MessageContent] = []
    for step in steps(content, effect=effect, reply_to=reply_to, service=service, cards=cards, opens_chat=opens_chat):
        if isinstance(step, Act):
            raise _not_sendable(step)
        messages.append(step)
    return messages


def steps(
    content: Iterable[Sendable],
    *,
    effect: Effect | None = None,
    reply_to: ReplyTo | None = None,
    service: str | None = None,
    cards: bool = True,
    opens_chat: bool = False,
) -> list[MessageContent | Act]:
    """Split content as `bubbles` does, and return what is a call of its own in its place between the messages."""
    groups = _grouped(content, service, cards, opens_chat)
    messages = [i for i, group in enumerate(groups) if not isinstance(group, Act)]
    found: list[MessageContent | Act] = []
    for i, group in enumerate(groups):
        if isinstance(group, Act):
            found.append(group)
            continue
        shown = effect if i == messages[-1] else None
        answered = reply_to if i == messages[0] else None
        if isinstance(group, MessageContent):
            update = {"effect": group.effect or shown, "reply_to": group.reply_to or answered}
            found.append(group.model_copy(update=update))
        else:
            found.append(MessageContent(parts=tuple(group), effect=shown, reply_to=answered))
    return found


def _grouped(
    content: Iterable[Sendable], service: str | None, cards: bool, opens_chat: bool
) -> list[list[Part] | MessageContent | Act]:
    groups: list[list[Part] | MessageContent | Act] = []
    for item in content:
        if isinstance(item, MessageContent | Act):
            groups.append(repaired(item))
            continue
        if not isinstance(item, _SENDABLE):
            raise _not_sendable(item)
        for part in _parts(item, service, cards, opens_chat and not groups):
            last = groups[-1] if groups else None
            if isinstance(last, list) and _may_follow(last, part):
                last.append(part)
            else:
                groups.append([part])
    return groups


def _parts(
    item: str | StyledText | ContentPart, service: str | None, cards: bool, opens_chat: bool
) -> Iterable[ContentPart]:
    """Return the parts of one item: a text is cut to size, and the cards of its addresses follow it."""
    if isinstance(item, str):
        if _is_plain(item):
            return (TextPart(value=whole(item)),)
        item = StyledText.plain(item)
    elif not isinstance(item, StyledText):
        return (_as_sent(repaired(item)),)
    return _parts_of_text(item, service, cards, opens_chat)


_ONLY_RECEIVED: Final = frozenset({"mentions", "reactions", "title", "description", "image_url"})
_ONLY_RECEIVED_STICKER: Final = {"id": None, "file_name": None, "mime_type": None}


def _as_sent(part: ContentPart) -> ContentPart:
    """Return a part without what only Linq's answers have, such as the tapbacks of a message that is sent on."""
    update: dict[str, object] = dict.fromkeys(_ONLY_RECEIVED & part.model_fields_set)
    if isinstance(part, AppPart) and part.url == "":  # a received card without an address
        update["url"] = None
    if isinstance(part, TextPart) and part.inline_stickers:
        stickers = part.inline_stickers
        update["inline_stickers"] = tuple(one.model_copy(update=_ONLY_RECEIVED_STICKER) for one in stickers)
    return part.model_copy(update=update) if update else part


def _is_plain(text: str) -> bool:
    """Return True if a text is neither cut nor has a card: most texts are short and have no address."""
    # A character has at most two UTF-16 code units.
    return len(text) * 2 <= MAX_SMS_UNITS and not has_address(text)


def _parts_of_text(text: StyledText, service: str | None, cards: bool, opens_chat: bool) -> Iterator[ContentPart]:
    has_neither_cards_nor_styles = service in {"SMS", "RCS"}
    shown: list[str] = []
    if cards and text.cards and not has_neither_cards_nor_styles:
        fitting = (link.url for link in text.links if len(link.url) <= MAX_LINK_CHARACTERS and WEB.fullmatch(link.url))
        urls = dict.fromkeys(fitting)
        if urls and len(urls) <= MAX_CARDS:
            shown = list(urls)
            last = text.links[-1]
            if last.url in urls and not text.text[last.end :].strip() and not _is_list_item(text.text[: last.start]):
                text = text[: last.start]
    pieces = _without_address_first(text, shown) if opens_chat else [text]
    limit = MAX_SMS_UNITS if service == "SMS" else MAX_TEXT_UNITS
    for piece in pieces:
        for cut in split(piece, limit):
            if cut.text or not shown:
                yield cut.part(is_plain=has_neither_cards_nor_styles)
    for url in shown:
        yield LinkPart(value=url)


def _is_list_item(before: str) -> bool:
    """Return True if a text ends with the mark of a list item: an address behind it is the whole item."""
    mark = before.rpartition("\n")[2].strip()
    return mark in _BULLETS or (mark.endswith((".", ")")) and mark[:-1].isdecimal())


def _without_address_first(text: StyledText, shown: Sequence[str]) -> list[StyledText]:
    """Cut a text into a piece without an address and the rest, as far as that is possible.

    After a label, the addresses whose cards follow (`shown`) are left out of the text.
    """
    text = text.without([each for each in text.links if each.is_labelled and each.url in shown])
    found = URL_IN_TEXT.search(text.text)
    if found is None:
        return [text]
    ends = [end for end in sentence_ends(text.text) if end <= found.start()]
    ends += [at for at in [text.text.rfind("\n", 0, found.start())] if text.text[: max(at, 0)].strip()]
    # A sentence that an address begins is no sentence by its letters: "Look at this. https://… is new."
    before = text.text[: found.start()].rstrip()
    ends += [len(before)] if before.endswith((".", "!", "?", ":", "…")) else []
    return [text[: max(ends)], text[max(ends) :]] if ends else [text]


def _not_sendable(item: object) -> BotError:
    if inspect.iscoroutine(item):
        item.close()
        return BotError(f"{item.__qualname__}(…) cannot be sent: it was called without await. Put await before it.")
    if isinstance(item, Act):
        return BotError(f"{item.WRITTEN} is no message. It is sent with ctx.reply and ctx.send only.")
    is_file = isinstance(item, bytes | bytearray | memoryview | os.PathLike) or hasattr(item, "read")
    advice = (
        "Write media(…) around a file to send it."
        if is_file
        else "Give a str, the result of markdown(…), a part such as MediaPart, or a MessageContent."
    )
    return BotError(f"An object of type {type(item).__name__} cannot be sent. {advice}")


def _may_follow(parts: Sequence[Part], part: Part) -> bool:
    if isinstance(part, _ALONE) or isinstance(parts[-1], _ALONE) or len(parts) == MAX_PARTS:
        return False
    if _is_by_url(part):
        return sum(map(_is_by_url, parts)) < MAX_URL_MEDIA
    return not (isinstance(part, TextPart) and isinstance(parts[-1], TextPart))


def _is_by_url(part: Part) -> bool:
    return isinstance(part, MediaPart) and part.url is not None


def files_of(parts: Iterable[Part]) -> str:
    """Return names for the parts that are not text, equal for equal files, links and cards; empty if there are none."""
    match parts:
        # Nearly every message. A class in the pattern would take several times as long as `isinstance`.
        case (part,) if isinstance(part, TextPart):
            return ""
    return "\n".join([_name(part) for part in parts if not isinstance(part, TextPart)])


def _name(part: Part) -> str:
    if not isinstance(part, MediaPart):
        return part.model_dump_json(exclude={"reactions"})
    # The URL of a received file differs each time, so it is the last choice.
    return f"{part.filename} {part.mime_type} {part.size_bytes or part.url or part.attachment_id}"


Degraded: TypeAlias = Literal["thread", "effect", "sticker", "app_card"] | ActKind
"""What a person did not get as it was written."""

CARDS: Final = (AppPart, AppClipPart)
"""The parts that are alone in their message."""
_WITHOUT_IMESSAGE: Final = frozenset({"SMS", "RCS"})


def has_drafts(content: Iterable[object], service: str | None) -> bool:
    """Return True if content needs more than `bubbles`: an upload, a call of its own, or another form."""
    for item in content:
        if type(item) is str:  # nearly all content
            continue
        if (
            isinstance(item, MediaDraft | Act)
            or is_received(item)
            or (service in _WITHOUT_IMESSAGE and isinstance(item, CARDS))
        ):
            return True
    return False


def depends_on_service(content: Iterable[object], effect: Effect | None) -> bool:
    """Return True if content has another form on SMS or RCS than on iMessage. Most texts have none."""
    return effect is not None or not all(isinstance(item, str) and _is_plain(item) for item in content)


def fitted(
    content: Iterable[Content | Act], *, service: str | None, is_group: bool | None
) -> tuple[list[Content | Act], list[Degraded]]:
    """Replace the content that a service does not have. Return the new content, and the names of what was replaced.

    For a chat without a known service, such as a new one, nothing is replaced, except in groups.
    """
    found: list[Content | Act] = []
    degraded: list[Degraded] = []
    for item in content:
        form: Content | Act | None = item
        lost: Degraded | None = None
        if service in _WITHOUT_IMESSAGE or (is_group and isinstance(item, LocationRequestDraft)):
            form, lost = plainer(item)
        if form is not None:
            found.append(form)
        if lost is not None:
            degraded.append(lost)
    return found, degraded


def fitted_to_messages(content: Iterable[Content | Act], service: str | None) -> list[Content | Act]:
    """Replace the content that a service does not have, where all content must be messages. Calls of their own stay."""
    if service not in _WITHOUT_IMESSAGE:
        return list(content)
    return [item if isinstance(item, Act) else plainer(item)[0] or item for item in content]


def plainer(item: Content | Act) -> tuple[Content | Act | None, Degraded | None]:
    """Return the form of content on SMS and RCS, None if it is left out, and the name of what was replaced."""
    match item:
        case ContactCardDraft():
            return item, None
        case Act():
            return item.plainer(), item.KIND
        case MediaDraft(sticker=True):
            return replace(item, sticker=False), "sticker"
        case AppPart():
            return card_text(item), "app_card"
        case AppClipPart():
            return item.value, "app_card"
    return item, None


def without_effect(message: MessageContent, service: str | None) -> MessageContent:
    """Return a message as a service can show it: SMS and RCS have no effects."""
    if message.effect is None or service not in _WITHOUT_IMESSAGE:
        return message
    return message.model_copy(update={"effect": None})


def plainer_message(message: MessageContent) -> tuple[MessageContent, tuple[Degraded, ...]] | None:
    """Return a message as it is sent after Linq has refused it, and what it lacks; None if it cannot be plainer."""
    lost: list[Degraded] = []
    if message.reply_to is not None:
        lost.append("thread")
    if message.effect is not None:
        lost.append("effect")
    if lost:
        return message.model_copy(update={"reply_to": None, "effect": None}), tuple(lost)
    match message.parts:
        case (AppPart() | AppClipPart() as card,):
            text, _ = plainer(card)
            return message.model_copy(update={"parts": (TextPart(value=str(text)),)}), ("app_card",)
    return None


def has_only_acts(made: Sequence[MessageContent | Act]) -> bool:
    """Return True if none of the steps is a message: a poll, a voice memo and the like have no effect."""
    return bool(made) and all(isinstance(step, Act) for step in made)
