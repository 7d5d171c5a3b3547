"""Rules of messages: of the whole, of the first one in a chat, of each kind of part, and of texts that opt out.

The whole and the first message: R19-R24, R32, R33, R40-R42, R52, R53. Parts: R25, R26, R28, R29, R35-R39. Text parts
with decorations, stickers and mentions: R27, R43-R48, R50; their ranges are half-open pairs of UTF-16 code units.
Opting out: R69. Next step: `check.py` applies the rules to a call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from linqbot.linq.handles import is_handle
from linqbot.linq.rules.values import (
    Broken,
    Check,
    JsonObject,
    Schema,
    bad_content,
    breaks,
    filled_text,
    flag,
    is_https,
    is_web,
    is_whole,
    missing,
    must,
    name_of,
    text,
    uuid,
    whole,
)
from linqbot.linq.types.chat import ServiceType
from linqbot.linq.types.message import BUBBLE_EFFECTS, SCREEN_EFFECTS, TextAnimation, TextStyle, utf16_length

# A host has at most 127 labels. Without this limit, a long run of dots would cost much memory.
_LINQ_HOSTED = re.compile(r"https://(?:[\w-]+\.){0,126}linqapp\.com[/:?]|.*[?&][\w-]*signature=", re.IGNORECASE)
URL_IN_TEXT = re.compile(r"(?<![a-z0-9])(?:https?://\S|www\.\w)", re.IGNORECASE)
"""A web address, as R52 counts it. See `has_address`."""
MAX_PARTS: Final = 100
MAX_URL_MEDIA: Final = 40


def has_address(text: str) -> bool:
    """Return True if a text has a web address. Most have none, which is seen without the pattern, many times faster."""
    return ("://" in text or "www." in text.lower()) and URL_IN_TEXT.search(text) is not None


def message_content(message: Any, at: str = "message") -> Broken | None:
    """Check R19-R48 and R50: every rule that needs nothing but the message itself."""
    return None if _is_plain_text(message) else _MESSAGE(message, at)


def _is_plain_text(message: Any) -> bool:
    """Return True for one text without options, which keeps every rule. Nearly all messages are such ones."""
    parts = message.get("parts") if isinstance(message, dict) and len(message) == 1 else None
    part = parts[0] if isinstance(parts, list) and len(parts) == 1 else None
    if not isinstance(part, dict) or len(part) != 2 or part.get("type") != "text":
        return False
    value = part.get("value")
    return isinstance(value, str) and bool(value)


def _either_parts_or_experience(message: JsonObject) -> Broken | None:
    """Check R19: either parts or an experience."""
    if (message.get("parts") is None) != (message.get("experience") is None):
        return None
    return bad_content("R19", "message needs either parts or an experience, and not both.")


def _parts(parts: Any, at: str) -> Broken | None:
    """Check R20, the number of parts, and the rules of each part alone."""
    if not isinstance(parts, list | tuple):
        return breaks("R4", f"{at} must be a list.")
    if not 1 <= len(parts) <= MAX_PARTS:
        return bad_content("R20", f"message has {len(parts)} parts. Linq takes 1 to {MAX_PARTS}.")
    for i, part in enumerate(parts):
        if broken := _part(part, f"{at}[{i}]"):
            return broken
    return None


def _part(part: Any, at: str) -> Broken | None:
    """Check R26-R29, R35-R39 and R43-R50."""
    if not isinstance(part, Mapping):
        return breaks("R4", f"{at} must be an object.")
    kind = part.get("type")
    if kind is None:
        return missing(f"{at}.type")
    rule = PARTS.get(kind) if isinstance(kind, str) else None
    return rule(part, at) if rule else _KIND_OF_PART(kind, f"{at}.type")


def _few_media_by_url(message: JsonObject) -> Broken | None:
    """Check R21: the number of media parts by URL. Files at Linq, and files with a signed URL, do not count."""
    parts = message.get("parts") or ()
    if len(parts) <= MAX_URL_MEDIA:
        return None
    urls = [part["url"] for part in parts if part["type"] == "media" and part.get("url")]
    count = sum(not _LINQ_HOSTED.match(url) for url in urls)
    if count <= MAX_URL_MEDIA:
        return None
    said = f"message has {count} media parts by url. Linq takes {MAX_URL_MEDIA}; upload the others first."
    return bad_content("R21", said)


def _no_two_texts_in_a_row(message: JsonObject) -> Broken | None:
    """Check R22: two text parts may not be adjacent."""
    last = None
    for i, part in enumerate(message.get("parts") or ()):
        if part["type"] == last == "text":
            return bad_content(
                "R22", f"message.parts[{i - 1}] and [{i}] are both text. Join them, or send two messages."
            )
        last = part["type"]
    return None


_ALONE: Final = {"link": "R23", "imessage_app": "R24", "app_clip": "R25"}


def _cards_stand_alone(message: JsonObject) -> Broken | None:
    """Check R23, R24 and R25: a link, an app card and an App Clip must be alone."""
    parts = message.get("parts") or ()
    for i, part in enumerate(parts if len(parts) > 1 else ()):
        if rule := _ALONE.get(part["type"]):
            said = (
                f"message.parts[{i}] is a {part['type']} part, which must be alone in its message. Send it separately."
            )
            return bad_content(rule, said)
    return None


def _only_on_imessage(message: JsonObject) -> Broken | None:
    """Check R40, R41 and R42: content that only iMessage supports."""
    if message.get("preferred_service") not in {"SMS", "RCS"}:
        return None
    kind = "experience" if message.get("experience") is not None else message["parts"][0]["type"]
    rule, code, status = _IMESSAGE_ONLY.get(kind, ("", 0, 0))
    if not rule:
        return None
    return Broken(rule, status, code, f"{kind} needs iMessage. Leave preferred_service out.")


_IMESSAGE_ONLY: Final = {
    "experience": ("R42", 2018, 409),
    "imessage_app": ("R40", 2018, 409),
    "app_clip": ("R41", 2028, 400),
}


def _effect(effect: Any, at: str) -> Broken | None:
    """Check R33: the effect and its type."""
    if not isinstance(effect, Mapping):
        return breaks("R4", f"{at} must be an object.")
    name, kind = effect.get("name"), effect.get("type")
    if kind is not None and (broken := _KIND_OF_EFFECT(kind, f"{at}.type")):
        return broken
    if name is None:
        return None
    if kind in _EFFECTS and name in _ALL_EFFECTS - _EFFECTS[kind]:
        return breaks("R33", f"{at}.name is not a {kind} effect. Use the other type.")
    # All names, whatever the type says: an author may give the name alone.
    return _NAME_OF_EFFECT(name, f"{at}.name")


_EFFECTS: Final = {"screen": SCREEN_EFFECTS, "bubble": BUBBLE_EFFECTS}
_ALL_EFFECTS: Final = SCREEN_EFFECTS | BUBBLE_EFFECTS
_KIND_OF_EFFECT: Final = name_of("R33", "effect.type", _EFFECTS)
_NAME_OF_EFFECT: Final = name_of("R33", "effect.name", _ALL_EFFECTS)


def experience(experience: Any, at: str) -> Broken | None:
    """Check R42, as far as it needs no catalogue: the name, the action and the parameters of an experience."""
    if not isinstance(experience, Mapping):
        return breaks("R4", f"{at} must be an object.")
    for name in ("name", "action"):
        if not isinstance(experience.get(name), str) or not experience[name]:
            return breaks("R42", f"{at}.{name} is missing. See experiences.list.")
    params = experience.get("params")
    if params is not None and not isinstance(params, Mapping):
        return breaks("R42", f"{at}.params must be an object.")
    url = (params or {}).get("checkout_url")
    if url is not None and not is_https(url):
        return breaks("R42", f"{at}.params.checkout_url must be an absolute https address.")
    return None


_MESSAGE: Final = Schema(
    values={
        "parts": _parts,
        "experience": experience,
        "preferred_service": name_of("R32", "service", get_args(ServiceType)),
        "effect": _effect,
        # R34, that the message exists, depends on the messages of the chat.
        "reply_to": Schema(("message_id",), {"message_id": uuid, "part_index": whole(0)}),
        "idempotency_key": filled_text,
    },
    across=(
        _either_parts_or_experience,
        _cards_stand_alone,
        _no_two_texts_in_a_row,
        _few_media_by_url,
        _only_on_imessage,
    ),
)


def first_message(message: JsonObject) -> Broken | None:
    """Check R52 and R53: the first message of a chat created by `chats.create` has no link, reply or effect."""
    for i, part in enumerate(message.get("parts") or ()):
        if part.get("type") == "link" or (part.get("type") == "text" and has_address(part.get("value") or "")):
            return breaks(
                "R52",
                f"message.parts[{i}] has a link, which the first message of a chat must not have. "
                "Send a text without a link first, and the link next.",
            )
    for name in ("reply_to", "effect"):
        if message.get(name) is not None:
            return breaks("R53", f"message.{name} is not allowed in the first message of a chat. Leave it out.")
    return None


MAX_STICKERS: Final = 100
MAX_STICKER_IMAGES: Final = 10


def text_part(part: JsonObject, at: str) -> Broken | None:
    """Check R27, and R43-R50 if the part has more fields than its text."""
    value = part.get("value")
    if value is None:
        return missing(f"{at}.value")
    if not isinstance(value, str):
        return breaks("R4", f"{at}.value must be a string.")
    if not value:
        return bad_content("R27", f"{at}.value is empty. Leave the part out.")
    return None if len(part) == 2 else _dressed_text(part, value, at)


def _dressed_text(part: JsonObject, value: str, at: str) -> Broken | None:
    for name in ("text_decorations", "inline_stickers"):
        items = part.get(name)
        if items is not None and not (isinstance(items, list | tuple) and all(isinstance(i, Mapping) for i in items)):
            return breaks("R4", f"{at}.{name} must be a list of objects.")
    decorations, stickers = part.get("text_decorations") or (), part.get("inline_stickers") or ()
    length = utf16_length(value)
    return (
        _decorations(decorations, length, at)
        or _stickers(stickers, length, at)
        or _sticker_places(stickers, decorations, value, at)
        or _mention(part, length, at)
    )


def _range(value: Any, length: int, at: str) -> Broken | None:
    """Check R44: a range inside the text."""
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(is_whole, value)):
        return bad_content("R44", f"{at}.range must be two whole numbers, [start, end).")
    start, end = value
    if 0 <= start < end <= length:
        return None
    return bad_content(
        "R44",
        f"{at}.range [{start}, {end}) does not lie in the text, which has {length} UTF-16 units. "
        "Most characters count 1, most emoji 2.",
    )


def _decorations(decorations: Sequence[JsonObject], length: int, at: str) -> Broken | None:
    """Check R43, R44 and R45: styles and animations."""
    for i, each in enumerate(decorations):
        here = f"{at}.text_decorations[{i}]"
        if broken := _range(each.get("range"), length, here):
            return broken
        style, animation = each.get("style"), each.get("animation")
        if (style is None) == (animation is None):
            return bad_content("R43", f"{here} needs either a style or an animation, and not both.")
        name = "style" if animation is None else "animation"
        if broken := _LOOKS[name](each[name], f"{here}.{name}"):
            return bad_content("R43", broken.message)
    shown = [(*each["range"], each.get("animation") is not None, i) for i, each in enumerate(decorations)]
    if (found := _overlapped(shown)) is None:
        return None
    said = f"{at}.text_decorations[{found[1]}]: an animation overlaps it. Choose ranges that do not overlap."
    return bad_content("R45", said)


_LOOKS: Final = {
    "style": name_of("R43", "text_decoration.style", get_args(TextStyle)),
    "animation": name_of("R43", "text_decoration.animation", get_args(TextAnimation)),
}


def _overlapped(ranges: Iterable[tuple[int, int, bool, int]]) -> tuple[bool, int] | None:
    """Return the first range that overlaps another one, of which at least one may overlap nothing; None if none does.

    Each range has its start, its end, True if it may overlap nothing, and its index. Adjacent ranges do not overlap.
    """
    last_end = last_strict_end = 0
    for start, end, is_strict, i in sorted(ranges):
        if start < (last_end if is_strict else last_strict_end):
            return is_strict, i
        last_end = max(last_end, end)
        last_strict_end = max(last_strict_end, end) if is_strict else last_strict_end
    return None


def _stickers(stickers: Sequence[JsonObject], length: int, at: str) -> Broken | None:
    """Check R44, R46 and R47: the images and the number of stickers."""
    for i, each in enumerate(stickers):
        here = f"{at}.inline_stickers[{i}]"
        if broken := _range(each.get("range"), length, here) or _file(each, here, "R46", "R46", _STICKER):
            return broken
    if len(stickers) > MAX_STICKERS:
        return bad_content("R47", f"{at} has {len(stickers)} stickers. Linq takes {MAX_STICKERS}.")
    different = len({each.get("url") or each.get("attachment_id") for each in stickers})
    if different > MAX_STICKER_IMAGES:
        return bad_content("R47", f"{at} has {different} different sticker images. Linq takes {MAX_STICKER_IMAGES}.")
    return None


def _sticker_places(
    stickers: Sequence[JsonObject], decorations: Sequence[JsonObject], value: str, at: str
) -> Broken | None:
    """Check R48: the positions of stickers.

    A sticker must not split a character of two UTF-16 units. As far as we know, it may split a character of several
    code points.
    """
    if not stickers:
        return None
    units = value.encode("utf-16-le", "surrogatepass")
    for i, each in enumerate(stickers):
        if any(_splits_character(units, edge) for edge in each["range"]):
            return bad_content("R48", f"{at}.inline_stickers[{i}] splits a character of two UTF-16 units.")
    placed = [(*each["range"], True, i) for i, each in enumerate(stickers)]
    placed += [(*each["range"], False, 0) for each in decorations]
    if (found := _overlapped(placed)) is None:
        return None
    which = f"inline_stickers[{found[1]}]" if found[0] else "text_decorations"
    return bad_content("R48", f"{at}.{which}: a sticker overlaps it. Choose ranges that do not overlap.")


def _splits_character(units: bytes, edge: int) -> bool:
    if not 0 < edge < len(units) // 2:
        return False
    before, after = units[2 * edge - 1], units[2 * edge + 1]
    return 0xD8 <= before <= 0xDB and 0xDC <= after <= 0xDF


def _mention(part: JsonObject, length: int, at: str) -> Broken | None:
    """Check R50, and R48 for a part with stickers. R49 depends on the chat."""
    mention, where = part.get("mention"), part.get("mention_range")
    if mention is None:
        if where is None:
            return None
        return bad_content("R50", f"{at}.mention_range needs a mention. Set mention to the person's handle.")
    if not is_handle(mention):
        return bad_content("R50", f"{at}.mention is neither an E.164 phone number nor an e-mail address.")
    if part.get("inline_stickers"):
        return bad_content("R48", f"{at} has stickers and a mention. Send them separately.")
    return None if where is None else _range(where, length, f"{at}.mention_range")


MAX_LINK_CHARACTERS: Final = 2048
MAX_DATA_CHARACTERS: Final = 16384


_STICKER: Final = "the https download_url of an upload."
_MEDIA: Final = "a public https address. Upload the file to send it otherwise."


def _media_part(part: JsonObject, at: str) -> Broken | None:
    """Check R28 and R29: the source of a media part."""
    sticker = part.get("sticker")
    return _file(part, at, "R28", "R29", _MEDIA) or (None if sticker is None else flag(sticker, f"{at}.sticker"))


def _file(given: JsonObject, at: str, choice: str, address: str, wanted: str) -> Broken | None:
    """Check that a file has one source, which is a `wanted` URL or an id (R5), by the rules `choice` and `address`."""
    url, attachment = given.get("url"), given.get("attachment_id")
    if (url is None) == (attachment is None):
        return bad_content(choice, f"{at} needs either a url or an attachment_id, and not both.")
    if url is not None and not is_https(url):
        return bad_content(address, f"{at}.url must be {wanted}")
    return None if attachment is None else uuid(attachment, f"{at}.attachment_id")


def _link_url(value: Any, at: str) -> Broken | None:
    """Check R26: the URL of a link part."""
    if not is_web(value):
        return breaks("R4", f"{at} must be an http(s) address.")
    if len(value) <= MAX_LINK_CHARACTERS:
        return None
    said = f"{at} has {len(value)} characters. Linq takes {MAX_LINK_CHARACTERS}; shorten the address."
    return bad_content("R26", said)


def app_identity(app: Any, at: str) -> Broken | None:
    """Check R35: the app of a card."""
    if not isinstance(app, Mapping):
        return breaks("R4", f"{at} must be an object.")
    team, bundle, name = app.get("team_id"), app.get("bundle_id"), app.get("name")
    if not isinstance(team, str) or not re.fullmatch(r"[A-Z0-9]{10}", team):
        return bad_content("R35", f"{at}.team_id must be 10 upper-case letters and digits, as Apple gives it.")
    if not isinstance(bundle, str) or not bundle or ":" in bundle:
        return bad_content("R35", f"{at}.bundle_id must be the bundle id alone, without a colon.")
    if not isinstance(name, str) or not name:
        return bad_content("R35", f"{at}.name is missing.")
    if (store_id := app.get("app_store_id")) is not None and not is_whole(store_id):
        return breaks("R4", f"{at}.app_store_id must be a whole number.")
    return None


def layout(layout: Any, at: str) -> Broken | None:
    """Check R36 and R37, and the form of the address in R38: the layout of an app card."""
    if broken := _LAYOUT(layout, at):
        return broken
    if not any(layout.get(name) for name in _SHOWN):
        return bad_content("R36", f"{at} shows nothing. Give one of {', '.join(_SHOWN)}.")
    for name in _OVER_IMAGE:
        if layout.get(name) and not layout.get("image_url"):
            return bad_content("R37", f"{at}.{name} needs an image_url.")
    return None


# An empty text is no image.
_image_url = must(
    "R38",
    lambda value: is_web(value) or (isinstance(value, str) and not value),
    "must be a public http(s) address of an image.",
    code=5007,
)
_SHOWN: Final = ("caption", "subcaption", "trailing_caption", "trailing_subcaption", "image_url")
_OVER_IMAGE: Final = ("image_title", "image_subtitle")
_LAYOUT: Final = Schema(values={**dict.fromkeys((*_SHOWN, *_OVER_IMAGE), text), "image_url": _image_url})


def _is_app_url(url: Any) -> bool:
    if isinstance(url, str) and url.startswith("data:"):
        return len(url) <= MAX_DATA_CHARACTERS
    return is_https(url) and len(url) <= MAX_LINK_CHARACTERS


app_url = must(
    "R39",
    _is_app_url,
    f"must be https with up to {MAX_LINK_CHARACTERS} characters, or data: with {MAX_DATA_CHARACTERS}.",
    code=1004,
)
_clip_url = must("R25", is_https, "must be the https address of an App Clip page.", code=1004)


PARTS: Final[Mapping[str, Check]] = {
    "text": text_part,
    "media": _media_part,
    "link": Schema(("value",), {"value": _link_url}),
    "imessage_app": Schema(
        ("app", "layout"),
        {"app": app_identity, "layout": layout, "url": app_url, "fallback_text": text, "interactive": flag},
    ),
    "app_clip": Schema(("value",), {"value": _clip_url, "caption": text}),
}
_KIND_OF_PART: Final = name_of("R4", "part.type", PARTS)


_EXACT: Final = frozenset({"STOP", "UNSUBSCRIBE", "OPTOUT", "CANCEL", "END", "QUIT"})
_ANY_CASE: Final = frozenset({"OPT OUT", "OPT-OUT", "OPTOUT"})

OPT_OUT_WORDS: Final = frozenset(word.casefold() for word in _EXACT | _ANY_CASE)
"""All of these words in lower case. Some of them opt out only in capitals."""
OFFER_OTHERS: Final = (
    'Let people write other words, such as "cancel my table" or "never mind". To record an opt-out, write an @bot.on_opt_out'
    " handler."
)
"""Advice for a bot that offers one of these words."""
_LONGEST: Final = max(map(len, OPT_OUT_WORDS))


_STARTS: Final = frozenset({"START", "UNSTOP"})
_HELPS: Final = frozenset({"HELP", "INFO"})

Keyword: TypeAlias = Literal["stop", "start", "help"]
"""The meaning of a word that people write to any business by text message."""


def keyword(text: str) -> Keyword | None:
    """Return the meaning of a text that is one of Linq's opt-out words (R69), or START, UNSTOP, HELP or INFO; None for others."""
    word = text.strip()
    if len(word) > _LONGEST:
        return None
    if word in _EXACT or word.upper() in _ANY_CASE:
        return "stop"
    if word in _STARTS:
        return "start"
    return "help" if word in _HELPS else None


def is_opt_out(text: str) -> bool:
    """Return True if the whole text is one of Linq's opt-out words (R69)."""
    return keyword(text) == "stop"
