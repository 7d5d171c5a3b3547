"""Rules of each kind of part (R25, R26, R28, R29, R35-R39). Text parts, which have the most rules: `text.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from linqbot.rules.broken import Broken, JsonObject, bad_content, breaks, missing
from linqbot.rules.fields import Schema
from linqbot.rules.text import text_part
from linqbot.rules.values import WEB, flag, is_https, is_whole, text, uuid

MAX_LINK_CHARACTERS: Final = 2048
MAX_DATA_CHARACTERS: Final = 16384


def _media_part(part: JsonObject, at: str) -> Broken | None:
    """Check R28 and R29: the source of a media part."""
    url, attachment = part.get("url"), part.get("attachment_id")
    if (url is None) == (attachment is None):
        return bad_content("R28", f"{at} needs either a url or an attachment_id, and not both.")
    if url is not None and not is_https(url):
        return bad_content("R29", f"{at}.url must be a public https address. Upload the file to send it otherwise.")
    if attachment is not None and (broken := uuid(attachment, f"{at}.attachment_id")):
        return broken
    sticker = part.get("sticker")
    return None if sticker is None else flag(sticker, f"{at}.sticker")


def _link_part(part: JsonObject, at: str) -> Broken | None:
    """Check R26: the URL of a link part."""
    value = part.get("value")
    if value is None:
        return missing(f"{at}.value")
    if not isinstance(value, str) or not WEB.fullmatch(value):
        return breaks("R4", f"{at}.value must be an http(s) address.")
    if len(value) <= MAX_LINK_CHARACTERS:
        return None
    said = f"{at}.value has {len(value)} characters. Linq takes {MAX_LINK_CHARACTERS}; shorten the address."
    return bad_content("R26", said)


def _app_part(part: JsonObject, at: str) -> Broken | None:
    """Check R35-R39: an app card."""
    return _APP_PART.broken(part, f"{at}.")


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
    if not isinstance(layout, Mapping):
        return breaks("R4", f"{at} must be an object.")
    if broken := _LAYOUT.broken(layout, f"{at}."):
        return broken
    if not any(layout.get(name) for name in _SHOWN):
        return bad_content("R36", f"{at} shows nothing. Give one of {', '.join(_SHOWN)}.")
    for name in _OVER_IMAGE:
        if layout.get(name) and not layout.get("image_url"):
            return bad_content("R37", f"{at}.{name} needs an image_url.")
    return None


def _image_url(value: Any, at: str) -> Broken | None:
    """Check R38: the address of an image can be one. An empty text is no image."""
    if isinstance(value, str) and (not value or WEB.fullmatch(value)):
        return None
    return breaks("R38", f"{at} must be a public http(s) address of an image.", code=5007)


_SHOWN: Final = ("caption", "subcaption", "trailing_caption", "trailing_subcaption", "image_url")
_OVER_IMAGE: Final = ("image_title", "image_subtitle")
_LAYOUT: Final = Schema(values={**dict.fromkeys((*_SHOWN, *_OVER_IMAGE), text), "image_url": _image_url})


def app_url(url: Any, at: str) -> Broken | None:
    """Check R39: the URL of an app card."""
    if isinstance(url, str) and url.startswith("data:"):
        fits = len(url) <= MAX_DATA_CHARACTERS
    else:
        fits = is_https(url) and len(url) <= MAX_LINK_CHARACTERS
    if fits:
        return None
    return bad_content(
        "R39", f"{at} must be https with up to {MAX_LINK_CHARACTERS} characters, or data: with {MAX_DATA_CHARACTERS}."
    )


_APP_PART: Final = Schema(
    ("app", "layout"),
    {"app": app_identity, "layout": layout, "url": app_url, "fallback_text": text, "interactive": flag},
)


def _app_clip_part(part: JsonObject, at: str) -> Broken | None:
    """Check R25: the URL of an App Clip."""
    if part.get("value") is None:
        return missing(f"{at}.value")
    if not is_https(part["value"]):
        return bad_content("R25", f"{at}.value must be the https address of an App Clip page.")
    caption = part.get("caption")
    return None if caption is None else text(caption, f"{at}.caption")


PARTS: Final[Mapping[str, Callable[[JsonObject, str], Broken | None]]] = {
    "text": text_part,
    "media": _media_part,
    "link": _link_part,
    "imessage_app": _app_part,
    "app_clip": _app_clip_part,
}
