"""Rules of text parts: text, decorations, stickers, mentions (R27, R43-R48, R50).

All ranges are half-open pairs of UTF-16 code units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from linqbot.rules.broken import Broken, JsonObject, bad_content, breaks, missing
from linqbot.rules.values import is_handle, is_https, is_whole, one_of, uuid
from linqbot.types.message import TextAnimation, TextStyle, utf16_length

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
        name, allowed = ("style", TextStyle) if animation is None else ("animation", TextAnimation)
        if broken := one_of("R43", get_args(allowed))(each[name], f"{here}.{name}"):
            return bad_content("R43", broken.message)
    return _animations_overlap_nothing(decorations, at)


def _animations_overlap_nothing(decorations: Sequence[JsonObject], at: str) -> Broken | None:
    """Check R45. Styles may overlap styles; adjacent ranges do not overlap."""
    last_end = last_animation_end = 0
    for i, each in sorted(enumerate(decorations), key=lambda found: found[1]["range"][0]):
        (start, end), moves = each["range"], each.get("animation") is not None
        if start < (last_end if moves else last_animation_end):
            return bad_content(
                "R45", f"{at}.text_decorations[{i}]: an animation overlaps it. Choose ranges that do not overlap."
            )
        last_end = max(last_end, end)
        last_animation_end = max(last_animation_end, end) if moves else last_animation_end
    return None


def _stickers(stickers: Sequence[JsonObject], length: int, at: str) -> Broken | None:
    """Check R44, R46 and R47: the images and the number of stickers."""
    for i, each in enumerate(stickers):
        here = f"{at}.inline_stickers[{i}]"
        if broken := _range(each.get("range"), length, here) or _sticker_image(each, here):
            return broken
    if len(stickers) > MAX_STICKERS:
        return bad_content("R47", f"{at} has {len(stickers)} stickers. Linq takes {MAX_STICKERS}.")
    different = len({each.get("url") or each.get("attachment_id") for each in stickers})
    if different > MAX_STICKER_IMAGES:
        return bad_content("R47", f"{at} has {different} different sticker images. Linq takes {MAX_STICKER_IMAGES}.")
    return None


def _sticker_image(sticker: JsonObject, at: str) -> Broken | None:
    """Check R46, and the form of an id (R5): the image of a sticker."""
    url, attachment = sticker.get("url"), sticker.get("attachment_id")
    if (url is None) == (attachment is None):
        return bad_content("R46", f"{at} needs either a url or an attachment_id, and not both.")
    if url is not None and not is_https(url):
        return bad_content("R46", f"{at}.url must be the https download_url of an upload.")
    return None if attachment is None else uuid(attachment, f"{at}.attachment_id")


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
    last_end = last_sticker_end = 0
    for start, end, is_sticker, i in sorted(placed):
        if start < (last_end if is_sticker else last_sticker_end):
            which = f"inline_stickers[{i}]" if is_sticker else "text_decorations"
            return bad_content("R48", f"{at}.{which}: a sticker overlaps it. Choose ranges that do not overlap.")
        last_end = max(last_end, end)
        last_sticker_end = max(last_sticker_end, end) if is_sticker else last_sticker_end
    return None


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
