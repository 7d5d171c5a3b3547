"""Forms: content as a service can show it. What SMS and RCS do not have becomes text, or is left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from linqbot.content.drafts import (
    ACTS,
    Act,
    LocationRequestDraft,
    MediaDraft,
    PollDraft,
    VoiceMemoDraft,
    is_received,
    numbered_list,
)
from linqbot.content.message_split import Content
from linqbot.linq.types.message import AppClipPart, AppPart, MessageContent

Degraded: TypeAlias = Literal[
    "thread", "effect", "voice_memo", "poll", "sticker", "app_card", "contact_card", "location_request"
]
"""What a person did not get as it was written."""

_DRAFTS: Final = (MediaDraft, *ACTS)
_CARDS: Final = (AppPart, AppClipPart)
_WITHOUT_IMESSAGE: Final = frozenset({"SMS", "RCS"})


def has_drafts(content: Iterable[object], service: str | None) -> bool:
    """Return True if content needs more than `bubbles`: an upload, a call of its own, or another form."""
    for item in content:
        if type(item) is str:  # nearly all content
            continue
        if (
            isinstance(item, _DRAFTS)
            or is_received(item)
            or (service in _WITHOUT_IMESSAGE and isinstance(item, _CARDS))
        ):
            return True
    return False


def fitted(
    content: Iterable[Content | Act], *, service: str | None, is_group: bool | None
) -> tuple[list[Content | Act], list[Degraded]]:
    """Replace the content that a service does not have. Return the new content, and the names of what was replaced.

    Args:
        service: The service of the chat; None if it is not known, as for a new chat. Then nothing is replaced, except in
            groups.
    """
    found: list[Content | Act] = []
    degraded: list[Degraded] = []
    for item in content:
        form, lost = _fitted(item, service in _WITHOUT_IMESSAGE, bool(is_group))
        if form is not None:
            found.append(form)
        if lost is not None:
            degraded.append(lost)
    return found, degraded


def fitted_to_messages(content: Iterable[Content | Act], service: str | None) -> list[Content | Act]:
    """Replace the content that a service does not have, where all content must be messages. Calls of their own stay."""
    is_plain = service in _WITHOUT_IMESSAGE
    return [item if isinstance(item, ACTS) else _fitted(item, is_plain, False)[0] or item for item in content]


def _fitted(  # noqa: PLR0911 - one return for each kind of content
    item: Content | Act, is_plain: bool, is_group: bool
) -> tuple[Content | Act | None, Degraded | None]:
    match item:
        case LocationRequestDraft() if is_plain or is_group:
            return None, "location_request"
        case _ if not is_plain:
            return item, None
        case PollDraft():
            return numbered_list(item.options), "poll"
        case VoiceMemoDraft():
            return spoken(item), "voice_memo"
        case MediaDraft(sticker=True):
            return replace(item, sticker=False), "sticker"
        case AppPart():
            return card_text(item), "app_card"
        case AppClipPart():
            return item.value, "app_card"
        case _:
            return item, None


def spoken(memo: VoiceMemoDraft) -> str | MediaDraft:
    return memo.text or memo.audio


def card_text(card: AppPart) -> str:
    """Return an app card as text: its `fallback_text`, or else its captions and its https address."""
    if card.fallback_text:
        return card.fallback_text
    layout = card.layout
    captions = (layout.caption, layout.subcaption, layout.trailing_caption, layout.trailing_subcaption)
    lines = [*captions, layout.image_title, layout.image_subtitle]
    if (card.url or "").startswith("https:"):
        lines.append(card.url)
    return "\n".join(line for line in lines if line) or card.app.name


def without_effect(message: MessageContent, service: str | None) -> MessageContent:
    """Return a message as a service can show it: SMS and RCS have no effects."""
    if message.effect is None or service not in _WITHOUT_IMESSAGE:
        return message
    return message.model_copy(update={"effect": None})


def grouped(items: Iterable[Content | Act]) -> Iterator[list[Content] | Act]:
    group: list[Content] = []
    for item in items:
        if isinstance(item, ACTS):
            if group:
                yield group
            yield item
            group = []
        else:
            group.append(item)
    if group:
        yield group


def places_of_messages(groups: Sequence[list[Content] | Act]) -> list[int]:
    """Return the indexes of the groups that become messages. The first has the thread of a reply, and the last its effect."""
    return [i for i, group in enumerate(groups) if isinstance(group, list)]
