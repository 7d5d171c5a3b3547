"""Linq's rules that need no state, as pure checks of what goes over the wire: the client asks before it sends, the
emulator refuses after it received. The same sentence stands behind both.

`check(endpoint, body, query, path)` gives the first rule broken, or None. Rules that need to know chats, lines, limits or
time (R12-R15, R54-R65, R69-R75, …) are the emulator's alone. So is `first_message` (R52, R53): whether a chat is new is
known only to Linq, and a client that refused a link because the chat *might* be new would refuse allowed messages.

Messages here name positions, lengths and allowed values, never what was written: they end up in logs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, TypeAlias, get_args

from linqbot.types.handle import ServiceType
from linqbot.types.message import (
    BUBBLE_EFFECTS,
    SCREEN_EFFECTS,
    ReactionType,
    TextAnimation,
    TextStyle,
    utf16_length,
)

Wire: TypeAlias = Mapping[str, Any]
"""A JSON object as it goes over the wire."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a request breaks.

    Attributes:
        rule: `R1` to `R96`.
        status, code: What Linq answers to it.
        message: What is wrong and what to do; never the text itself.
    """

    rule: str
    status: int
    code: int
    message: str


Check: TypeAlias = Callable[[Any, str], Broken | None]
"""Checks a value; the second argument is its position, such as `message.parts[2].url`."""
Across: TypeAlias = Callable[[Wire], Broken | None]
"""Checks several fields of one object."""

_NOTHING: Final[Wire] = {}


def check(
    endpoint: str, body: Wire | None, query: Wire = _NOTHING, path: Mapping[str, str] = _NOTHING
) -> Broken | None:
    """The first rule a request breaks, or None.

    Args:
        endpoint: `noun.verb`, such as `chats.create`; one without rules is always fine.
        body: The JSON object, None when there is none.
        query: Values as they stand in the address; of a repeated one, a list.
        path: What fills the path, by the names in `client/endpoints.py`.
    """
    for name, value in path.items():
        if (rule := _PATH.get(name)) is not None and (broken := rule(value, name)):
            return broken
    if (fields := _QUERIES.get(endpoint)) is not None and (broken := fields.broken(query)):
        return broken
    if (fields := _BODIES.get(endpoint)) is not None:
        return fields.broken(_NOTHING if body is None else body)
    return None


def first_message(message: Wire) -> Broken | None:
    """R52, R53: the first message of a new chat opened by `chats.create` holds no link, reply or effect."""
    for i, part in enumerate(message.get("parts") or ()):
        if part.get("type") == "link" or (part.get("type") == "text" and _URL_IN_TEXT.search(part.get("value") or "")):
            return _broken(
                "R52", f"message.parts[{i}] has a link, and the first message of a chat may not. Send it next."
            )
    for name in ("reply_to", "effect"):
        if message.get(name) is not None:
            return _broken("R53", f"message.{name} does not go with the first message of a chat. Leave it out.")
    return None


def _broken(rule: str, message: str, *, code: int = 1005) -> Broken:
    return Broken(rule, 400, code, message)


def _bad_content(rule: str, message: str) -> Broken:
    return Broken(rule, 400, 1004, message)


def _missing(at: str) -> Broken:
    return Broken("R3", 400, 1001, f"{at} is missing. It is required.")


@dataclass(frozen=True, slots=True)
class _Fields:
    """What an object may hold: required fields first, then each value, then what holds between them."""

    required: tuple[str, ...] = ()
    values: Mapping[str, Check] = field(default_factory=dict)
    across: tuple[Across, ...] = ()
    at: str = ""

    def broken(self, given: Wire) -> Broken | None:
        for name in self.required:
            if given.get(name) is None:
                return _missing(self.at + name)
        for name, rule in self.values.items():
            if (value := given.get(name)) is not None and (broken := rule(value, self.at + name)):
                return broken
        for between in self.across:
            if broken := between(given):
                return broken
        return None


def _object(fields: _Fields) -> Check:
    def is_object(value: Any, at: str) -> Broken | None:
        if not isinstance(value, Mapping):
            return _broken("R4", f"{at} must be an object.")
        return _Fields(fields.required, fields.values, fields.across, f"{at}.").broken(value)

    return is_object


# --- values ---------------------------------------------------------------------------------------------------------

_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_SENDER_ID = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 ]{0,10}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_HTTPS = re.compile(r"https://[^\s/?#]+\S*", re.IGNORECASE)
# Linq itself reaches no loopback address; the emulator does, and there https would only be in the way.
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?([/?#]\S*)?", re.IGNORECASE)
_WEB = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)
_LINQ_HOSTED = re.compile(r"https://([\w-]+\.)*linqapp\.com[/:?]|.*[?&][\w-]*signature=", re.IGNORECASE)
_URL_IN_TEXT = re.compile(r"\bhttps?://\S|\bwww\.\w", re.IGNORECASE)
_EVENT_NAME = re.compile(r"[a-z_]+(\.[a-z_]+)+")
_HEX_COLOUR = re.compile(r"#?[0-9A-Fa-f]{6}")


def _text(value: Any, at: str) -> Broken | None:
    """R4."""
    return None if isinstance(value, str) else _broken("R4", f"{at} must be a string.")


def _filled_text(value: Any, at: str) -> Broken | None:
    """R4."""
    return None if isinstance(value, str) and value else _broken("R4", f"{at} must be a string that is not empty.")


def _flag(value: Any, at: str) -> Broken | None:
    """R4."""
    return None if isinstance(value, bool) else _broken("R4", f"{at} must be true or false.")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(least: int, rule: str = "R4") -> Check:
    def is_whole(value: Any, at: str) -> Broken | None:
        fits = _is_whole(value) and value >= least
        return None if fits else _broken(rule, f"{at} must be a whole number, {least} or more.")

    return is_whole


def _one_of(rule: str, allowed: Collection[str]) -> Check:
    def is_one_of(value: Any, at: str) -> Broken | None:
        if isinstance(value, str) and value in allowed:
            return None
        near = get_close_matches(value, allowed, 1) if isinstance(value, str) else []
        hint = f"Did you mean {near[0]}?" if near else f"Use one of: {', '.join(sorted(allowed))}."
        return _broken(rule, f"{at} is not a value Linq knows. {hint}")

    return is_one_of


def _list_of(item: Check, *, least: int = 0, most: int | None = None, rule: str = "R4") -> Check:
    def is_list(value: Any, at: str) -> Broken | None:
        if not isinstance(value, list | tuple):
            return _broken("R4", f"{at} must be a list.")
        if not least <= len(value) <= (len(value) if most is None else most):
            wanted = f"{least} or more" if most is None else f"{least} to {most}"
            return _broken(rule, f"{at} has {len(value)} entries. Linq takes {wanted}.")
        for i, each in enumerate(value):
            if broken := item(each, f"{at}[{i}]"):
                return broken
        return None

    return is_list


def _uuid(value: Any, at: str) -> Broken | None:
    """R5."""
    if isinstance(value, str) and _UUID.fullmatch(value):
        return None
    return _broken("R5", f"{at} is not a UUID. Give the id Linq answered with.")


def _phone(value: Any, at: str) -> Broken | None:
    """R7."""
    if isinstance(value, str) and _E164.fullmatch(value):
        return None
    return _broken("R7", f"{at} is not E.164: a plus and 2 to 15 digits, without spaces or brackets.", code=1002)


def _is_handle(value: Any) -> bool:
    return isinstance(value, str) and (_E164.fullmatch(value) or _EMAIL.fullmatch(value)) is not None


def _handle(value: Any, at: str) -> Broken | None:
    """R8."""
    if _is_handle(value):
        return None
    return _broken("R8", f"{at} is neither an E.164 phone number nor an e-mail address.", code=1002)


def _page_limit(value: Any, at: str) -> Broken | None:
    """R9."""
    if str(value).isascii() and str(value).isdigit() and 1 <= int(value) <= 100:
        return None
    return _broken("R9", f"{at} must be 1 to 100.")


def _own_lines(value: Any, at: str) -> Broken | None:
    """R16."""
    if not isinstance(value, list | tuple):
        return _broken("R4", f"{at} must be a list.")
    for i, each in enumerate(value):
        if not (isinstance(each, str) and _E164.fullmatch(each)):
            return _broken("R16", f"{at}[{i}] is not E.164, as lines are written.", code=1002)
    return None


def _line_kind(value: Any, at: str) -> Broken | None:
    """R17."""
    if isinstance(value, str) and value.lower() in {"rcs", "imessage"}:
        return None
    return _broken("R17", f"{at} must be RCS or iMessage.")


def _forwarding(body: Wire) -> Broken | None:
    """R18."""
    if "forwarding_number" not in body:
        return _missing("forwarding_number")
    value = body["forwarding_number"]
    if value is None or value == "" or (isinstance(value, str) and _E164.fullmatch(value)):
        return None
    return _broken("R18", "forwarding_number must be E.164, or null to stop forwarding.", code=1002)


def _is_https(value: Any) -> bool:
    return isinstance(value, str) and (_HTTPS.fullmatch(value) or _LOOPBACK.fullmatch(value)) is not None


def _https(rule: str, code: int = 1005) -> Check:
    def is_https(value: Any, at: str) -> Broken | None:
        return None if _is_https(value) else _broken(rule, f"{at} must be a public https address.", code=code)

    return is_https


# --- what a message holds -------------------------------------------------------------------------------------------

MOST_PARTS: Final = 100
MOST_URL_MEDIA: Final = 40
MOST_LINK_CHARACTERS: Final = 2048
MOST_DATA_CHARACTERS: Final = 16384
MOST_STICKERS: Final = 100
MOST_STICKER_IMAGES: Final = 10


def message_content(message: Any, at: str = "message") -> Broken | None:
    """R19-R48, R50: everything that can be said about a message by looking at it."""
    if not isinstance(message, Mapping):
        return _broken("R4", f"{at} must be an object.")
    for rule in _CONTENT:
        if broken := rule(message):
            return broken
    return None


def _either_parts_or_experience(message: Wire) -> Broken | None:
    """R19."""
    if (message.get("parts") is None) != (message.get("experience") is None):
        return None
    return _bad_content("R19", "message needs either parts or an experience, and not both.")


def _number_of_parts(message: Wire) -> Broken | None:
    """R20."""
    parts = message.get("parts")
    if parts is None:
        return None
    if not isinstance(parts, list | tuple):
        return _broken("R4", "message.parts must be a list.")
    if 1 <= len(parts) <= MOST_PARTS:
        return None
    return _bad_content("R20", f"message has {len(parts)} parts. Linq takes 1 to {MOST_PARTS}.")


def _every_part(message: Wire) -> Broken | None:
    """R26-R29, R35-R39, R43-R50, each part by itself."""
    for i, part in enumerate(message.get("parts") or ()):
        at = f"message.parts[{i}]"
        if not isinstance(part, Mapping):
            return _broken("R4", f"{at} must be an object.")
        kind = part.get("type")
        if kind is None:
            return _missing(f"{at}.type")
        rule = _PARTS.get(kind) if isinstance(kind, str) else None
        broken = rule(part, at) if rule else _one_of("R4", _PARTS)(kind, f"{at}.type")
        if broken:
            return broken
    return None


def _few_media_by_url(message: Wire) -> Broken | None:
    """R21. What Linq holds already, or can fetch by a signed address, does not count."""
    parts = message.get("parts") or ()
    if len(parts) <= MOST_URL_MEDIA:
        return None
    urls = [part["url"] for part in parts if part["type"] == "media" and part.get("url")]
    count = sum(not _LINQ_HOSTED.match(url) for url in urls)
    if count <= MOST_URL_MEDIA:
        return None
    said = f"message has {count} media parts by url. Linq takes {MOST_URL_MEDIA}; upload the others first."
    return _bad_content("R21", said)


def _no_two_texts_in_a_row(message: Wire) -> Broken | None:
    """R22."""
    last = None
    for i, part in enumerate(message.get("parts") or ()):
        if part["type"] == last == "text":
            return _bad_content(
                "R22", f"message.parts[{i - 1}] and [{i}] are both text. Join them, or send two messages."
            )
        last = part["type"]
    return None


_ALONE: Final = {"link": "R23", "imessage_app": "R24", "app_clip": "R25"}


def _cards_stand_alone(message: Wire) -> Broken | None:
    """R23, R24, R25."""
    parts = message.get("parts") or ()
    if len(parts) < 2:
        return None
    for i, part in enumerate(parts):
        if rule := _ALONE.get(part["type"]):
            said = f"message.parts[{i}] is a {part['type']} part, which must be alone in its message. Send it apart."
            return _bad_content(rule, said)
    return None


def _service(message: Wire) -> Broken | None:
    """R32."""
    service = message.get("preferred_service")
    return None if service is None else _one_of("R32", get_args(ServiceType))(service, "message.preferred_service")


def _only_on_imessage(message: Wire) -> Broken | None:
    """R40, R41, R42."""
    if message.get("preferred_service") in {None, "iMessage"}:
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


def _effect(message: Wire) -> Broken | None:
    """R33."""
    effect = message.get("effect")
    if effect is None:
        return None
    if not isinstance(effect, Mapping):
        return _broken("R4", "message.effect must be an object.")
    name, kind = effect.get("name"), effect.get("type")
    if kind is not None and (broken := _one_of("R33", ("screen", "bubble"))(kind, "message.effect.type")):
        return broken
    allowed = {"screen": SCREEN_EFFECTS, "bubble": BUBBLE_EFFECTS}.get(kind or "", SCREEN_EFFECTS | BUBBLE_EFFECTS)
    if name is None or (isinstance(name, str) and name in allowed):
        return None
    if isinstance(name, str) and name in SCREEN_EFFECTS | BUBBLE_EFFECTS:
        return _broken("R33", f"message.effect.name is not a {kind} effect. Use the other type.")
    return _one_of("R33", allowed)(name, "message.effect.name")


def _reply_to(message: Wire) -> Broken | None:
    """R3, R4, R5 for what R34 is about."""
    reply_to = message.get("reply_to")
    return None if reply_to is None else _REPLY_TO(reply_to, "message.reply_to")


_REPLY_TO = _object(_Fields(("message_id",), {"message_id": _uuid, "part_index": _whole(0)}))


def _experience(message: Wire) -> Broken | None:
    """R42, as far as it needs no catalogue."""
    experience = message.get("experience")
    if experience is None:
        return None
    if not isinstance(experience, Mapping):
        return _broken("R4", "message.experience must be an object.")
    for name in ("name", "action"):
        if not isinstance(experience.get(name), str) or not experience[name]:
            return _broken("R42", f"message.experience.{name} is missing. See experiences.list.")
    params = experience.get("params")
    if params is not None and not isinstance(params, Mapping):
        return _broken("R42", "message.experience.params must be an object.")
    url = (params or {}).get("checkout_url")
    if url is not None and not _is_https(url):
        return _broken("R42", "message.experience.params.checkout_url must be an absolute https address.")
    return None


def _key(message: Wire) -> Broken | None:
    """R4."""
    key = message.get("idempotency_key")
    return None if key is None else _filled_text(key, "message.idempotency_key")


_CONTENT: tuple[Across, ...] = (
    _either_parts_or_experience,
    _number_of_parts,
    _every_part,
    _cards_stand_alone,
    _no_two_texts_in_a_row,
    _few_media_by_url,
    _experience,
    _service,
    _only_on_imessage,
    _effect,
    _reply_to,
    _key,
)


# --- parts ----------------------------------------------------------------------------------------------------------


def _text_part(part: Wire, at: str) -> Broken | None:
    """R27, and R43-R50 when there is more to it than text."""
    value = part.get("value")
    if value is None:
        return _missing(f"{at}.value")
    if not isinstance(value, str):
        return _broken("R4", f"{at}.value must be a string.")
    if not value:
        return _bad_content("R27", f"{at}.value is empty. Leave the part out.")
    return None if len(part) == 2 else _dressed_text(part, value, at)


def _dressed_text(part: Wire, value: str, at: str) -> Broken | None:
    for name in ("text_decorations", "inline_stickers"):
        items = part.get(name)
        if items is not None and not (isinstance(items, list | tuple) and all(isinstance(i, Mapping) for i in items)):
            return _broken("R4", f"{at}.{name} must be a list of objects.")
    decorations, stickers = part.get("text_decorations") or (), part.get("inline_stickers") or ()
    length = utf16_length(value)
    return (
        _decorations(decorations, length, at)
        or _stickers(stickers, length, at)
        or _sticker_places(stickers, decorations, value, at)
        or _mention(part, length, at)
    )


def _range(value: Any, length: int, at: str) -> Broken | None:
    """R44."""
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(_is_whole, value)):
        return _bad_content("R44", f"{at}.range must be two whole numbers, [start, end).")
    start, end = value
    if 0 <= start < end <= length:
        return None
    return _bad_content(
        "R44",
        f"{at}.range [{start}, {end}) does not lie in the text, which has {length} UTF-16 units. "
        "Most characters count 1, most emoji 2.",
    )


def _decorations(decorations: Sequence[Wire], length: int, at: str) -> Broken | None:
    """R43, R44, R45."""
    for i, each in enumerate(decorations):
        here = f"{at}.text_decorations[{i}]"
        if broken := _range(each.get("range"), length, here):
            return broken
        style, animation = each.get("style"), each.get("animation")
        if (style is None) == (animation is None):
            return _bad_content("R43", f"{here} needs either a style or an animation, and not both.")
        name, allowed = ("style", TextStyle) if animation is None else ("animation", TextAnimation)
        if broken := _one_of("R43", get_args(allowed))(each[name], f"{here}.{name}"):
            return _bad_content("R43", broken.message)
    return _animations_overlap_nothing(decorations, at)


def _animations_overlap_nothing(decorations: Sequence[Wire], at: str) -> Broken | None:
    """R45. Styles may overlap styles; ranges that only touch do not overlap."""
    last_end = last_animation_end = 0
    for i, each in sorted(enumerate(decorations), key=lambda found: found[1]["range"][0]):
        (start, end), moves = each["range"], each.get("animation") is not None
        if start < (last_end if moves else last_animation_end):
            return _bad_content(
                "R45", f"{at}.text_decorations[{i}]: an animation overlaps it. Make the ranges touch at most."
            )
        last_end = max(last_end, end)
        last_animation_end = max(last_animation_end, end) if moves else last_animation_end
    return None


def _stickers(stickers: Sequence[Wire], length: int, at: str) -> Broken | None:
    """R44, R46, R47."""
    for i, each in enumerate(stickers):
        here = f"{at}.inline_stickers[{i}]"
        if broken := _range(each.get("range"), length, here):
            return broken
        images = [each[name] for name in ("url", "attachment_id") if each.get(name) is not None]
        if len(images) != 1 or not isinstance(images[0], str):
            return _bad_content("R46", f"{here} needs either a url or an attachment_id, and not both.")
    if len(stickers) > MOST_STICKERS:
        return _bad_content("R47", f"{at} has {len(stickers)} stickers. Linq takes {MOST_STICKERS}.")
    different = len({each.get("url") or each.get("attachment_id") for each in stickers})
    if different > MOST_STICKER_IMAGES:
        return _bad_content("R47", f"{at} has {different} different sticker images. Linq takes {MOST_STICKER_IMAGES}.")
    return None


def _sticker_places(stickers: Sequence[Wire], decorations: Sequence[Wire], value: str, at: str) -> Broken | None:
    """R48. A character that is two UTF-16 units may not be split; one of several code points may, as far as we know."""
    if not stickers:
        return None
    units = value.encode("utf-16-le", "surrogatepass")
    for i, each in enumerate(stickers):
        if any(_splits_character(units, edge) for edge in each["range"]):
            return _bad_content("R48", f"{at}.inline_stickers[{i}] splits a character of two UTF-16 units.")
    placed = [(*each["range"], True, i) for i, each in enumerate(stickers)]
    placed += [(*each["range"], False, 0) for each in decorations]
    last_end = last_sticker_end = 0
    for start, end, is_sticker, i in sorted(placed):
        if start < (last_end if is_sticker else last_sticker_end):
            which = f"inline_stickers[{i}]" if is_sticker else "text_decorations"
            return _bad_content("R48", f"{at}.{which}: a sticker overlaps it. Make the ranges touch at most.")
        last_end = max(last_end, end)
        last_sticker_end = max(last_sticker_end, end) if is_sticker else last_sticker_end
    return None


def _splits_character(units: bytes, edge: int) -> bool:
    if not 0 < edge < len(units) // 2:
        return False
    before, after = units[2 * edge - 1], units[2 * edge + 1]
    return 0xD8 <= before <= 0xDB and 0xDC <= after <= 0xDF


def _mention(part: Wire, length: int, at: str) -> Broken | None:
    """R50, and R48 for its stickers. R49 needs to know the chat."""
    mention, where = part.get("mention"), part.get("mention_range")
    if mention is None:
        if where is None:
            return None
        return _bad_content("R50", f"{at}.mention_range needs a mention. Say who is named.")
    if not _is_handle(mention):
        return _bad_content("R50", f"{at}.mention is neither an E.164 phone number nor an e-mail address.")
    if part.get("inline_stickers"):
        return _bad_content("R48", f"{at} has stickers and a mention. Send them apart.")
    return None if where is None else _range(where, length, f"{at}.mention_range")


def _media_part(part: Wire, at: str) -> Broken | None:
    """R28, R29."""
    url, attachment = part.get("url"), part.get("attachment_id")
    if (url is None) == (attachment is None):
        return _bad_content("R28", f"{at} needs either a url or an attachment_id, and not both.")
    if url is not None and not _is_https(url):
        return _bad_content("R29", f"{at}.url must be a public https address. Upload the file to send it otherwise.")
    if attachment is not None and (broken := _uuid(attachment, f"{at}.attachment_id")):
        return broken
    sticker = part.get("sticker")
    return None if sticker is None else _flag(sticker, f"{at}.sticker")


def _link_part(part: Wire, at: str) -> Broken | None:
    """R26."""
    value = part.get("value")
    if value is None:
        return _missing(f"{at}.value")
    if not isinstance(value, str) or not _WEB.fullmatch(value):
        return _broken("R4", f"{at}.value must be an http(s) address.")
    if len(value) <= MOST_LINK_CHARACTERS:
        return None
    said = f"{at}.value has {len(value)} characters. Linq takes {MOST_LINK_CHARACTERS}; shorten the address."
    return _bad_content("R26", said)


def _app_part(part: Wire, at: str) -> Broken | None:
    """R35-R37, R39."""
    for name in ("app", "layout"):
        if part.get(name) is None:
            return _missing(f"{at}.{name}")
        if not isinstance(part[name], Mapping):
            return _broken("R4", f"{at}.{name} must be an object.")
    broken = _app_identity(part["app"], f"{at}.app") or _layout(part["layout"], f"{at}.layout")
    return broken or _app_url(part.get("url"), f"{at}.url")


def _app_identity(app: Wire, at: str) -> Broken | None:
    """R35."""
    team, bundle, name = app.get("team_id"), app.get("bundle_id"), app.get("name")
    if not isinstance(team, str) or not re.fullmatch(r"[A-Z0-9]{10}", team):
        return _bad_content("R35", f"{at}.team_id must be 10 upper-case letters and digits, as Apple gives it.")
    if not isinstance(bundle, str) or not bundle or ":" in bundle:
        return _bad_content("R35", f"{at}.bundle_id must be the bundle id alone, without a colon.")
    if not isinstance(name, str) or not name:
        return _bad_content("R35", f"{at}.name is missing.")
    return None


def _layout(layout: Any, at: str) -> Broken | None:
    """R36, R37."""
    if not isinstance(layout, Mapping):
        return _broken("R4", f"{at} must be an object.")
    shown = ("caption", "subcaption", "trailing_caption", "trailing_subcaption", "image_url")
    if not any(layout.get(name) for name in shown):
        return _bad_content("R36", f"{at} shows nothing. Give one of {', '.join(shown)}.")
    for name in ("image_title", "image_subtitle"):
        if layout.get(name) and not layout.get("image_url"):
            return _bad_content("R37", f"{at}.{name} needs an image_url.")
    return None


def _app_url(url: Any, at: str) -> Broken | None:
    """R39."""
    if url is None:
        return None
    if isinstance(url, str) and url.startswith("data:"):
        fits = len(url) <= MOST_DATA_CHARACTERS
    else:
        fits = _is_https(url) and len(url) <= MOST_LINK_CHARACTERS
    if fits:
        return None
    return _bad_content(
        "R39", f"{at} must be https with up to {MOST_LINK_CHARACTERS} characters, or data: with {MOST_DATA_CHARACTERS}."
    )


def _app_clip_part(part: Wire, at: str) -> Broken | None:
    """R25."""
    if part.get("value") is None:
        return _missing(f"{at}.value")
    if _is_https(part["value"]):
        return None
    return _bad_content("R25", f"{at}.value must be the https address of an App Clip page.")


_PARTS: Final[Mapping[str, Callable[[Wire, str], Broken | None]]] = {
    "text": _text_part,
    "media": _media_part,
    "link": _link_part,
    "imessage_app": _app_part,
    "app_clip": _app_clip_part,
}


# --- what else is sent ----------------------------------------------------------------------------------------------


MOST_RECIPIENTS: Final = 31


def _recipients(value: Any, at: str) -> Broken | None:
    """R51, R8."""
    if isinstance(value, list | tuple) and not value:
        return _broken("R51", f"{at} is empty. Give 1 to {MOST_RECIPIENTS} handles.", code=1001)
    return _list_of(_handle, most=MOST_RECIPIENTS, rule="R51")(value, at)


def _one_recipient_for_experience(body: Wire) -> Broken | None:
    """R42."""
    if body["message"].get("experience") is None or len(body["to"]) == 1:
        return None
    return _broken("R42", f"an experience goes to exactly one recipient, not {len(body['to'])}.")


def _voice_memo(body: Wire) -> Broken | None:
    """R68."""
    if (body.get("voice_memo_url") is None) != (body.get("attachment_id") is None):
        return None
    return _broken("R68", "a voice memo needs either voice_memo_url or attachment_id, and not both.")


_COLOURS: Final = frozenset({
    "mango", "ice", "plum", "deep_sea", "green_apple", "cherry", "bubblegum", "tangerine", "magenta", "lime", "silver",
    "carbon", "stone", "custom",
})  # fmt: skip
_MOVING: Final[Mapping[str, tuple[str, ...]]] = {
    "sky": ("dusk", "haze", "sunset", "clear", "sunrise", "dawn"),
    "water": ("light", "dark"),
    "aurora": ("green", "purple", "pink"),
}


def _background(body: Wire) -> Broken | None:
    """R66."""
    kind, variant, style = body["type"], body.get("variant"), body.get("style")
    if kind == "photo":
        return None if _is_https(body.get("image_url")) else _broken("R66", "a photo needs an https image_url.")
    if kind == "color":
        if variant is not None and (broken := _one_of("R66", _COLOURS)(variant, "variant")):
            return broken
        return _shades(body.get("shades")) if variant in {None, "custom"} else None
    if broken := _one_of("R66", _MOVING)(style, "style"):
        return broken
    return _one_of("R66", _MOVING[str(style)])(variant, "variant")


def _shades(shades: Any) -> Broken | None:
    """R66."""
    are_two = isinstance(shades, list | tuple) and len(shades) == 2
    if are_two and all(isinstance(shade, str) and _HEX_COLOUR.fullmatch(shade) for shade in shades):
        return None
    return _broken("R66", "shades must be two colours such as #1A2B3C, or name a variant.")


def _blockable(value: Any, at: str) -> Broken | None:
    """R76."""
    if _is_handle(value) or (isinstance(value, str) and (_SHORT_CODE.fullmatch(value) or _SENDER_ID.fullmatch(value))):
        return None
    return _broken("R76", f"{at} is no E.164 number, e-mail address, short code of 3 to 8 digits, or sender id.")


def _reaction(body: Wire) -> Broken | None:
    """R80, R81, R82."""
    kind = body["type"]
    if kind == "custom" and not body.get("custom_emoji"):
        return _broken("R80", "a custom reaction needs custom_emoji.")
    images = [name for name in ("emoji", "url", "attachment_id") if body.get(name) is not None]
    if kind != "sticker":
        extra = [*images, "placement"] if body.get("placement") is not None else images
        return _broken("R81", f"{extra[0]} goes with type sticker only. Leave it out.") if extra else None
    if body["operation"] == "remove":
        return _broken("R82", "stickers cannot be removed.")
    if len(images) != 1:
        return _broken("R81", f"a sticker needs one of emoji, url and attachment_id, not {len(images)}.")
    return None


def _single_emoji(value: Any, at: str) -> Broken | None:
    """R81, roughly: no letters, no spaces, one emoji's length."""
    if isinstance(value, str) and not value.isascii() and not re.search(r"\s", value) and utf16_length(value) <= 32:
        return None
    return _broken("R81", f"{at} must be a single emoji.")


def _unit_place(value: Any, at: str) -> Broken | None:
    """R83."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and -1 <= value <= 1
    return None if fits else _broken("R83", f"{at} must be a number from -1 to 1.")


def _number(value: Any, at: str) -> Broken | None:
    """R83. Linq clamps `scale` to 0.05-2.5 by itself."""
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    return None if fits else _broken("R83", f"{at} must be a number.")


def _update_url_or_experience(body: Wire) -> Broken | None:
    """R85."""
    if body.get("url") is None or body.get("experience") is None:
        return None
    return _broken("R85", "an app card is updated with a url or an experience, not both.")


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
"""What may be uploaded (R91, R92): Linq's list of types, where its prose disagrees with it."""

MOST_UPLOAD_BYTES: Final = 100 * 2**20
"""Linq says 100 MB; the larger reading, so that nothing is refused here that Linq would take."""


def _upload_size(value: Any, at: str) -> Broken | None:
    """R91."""
    if _is_whole(value) and 1 <= value <= MOST_UPLOAD_BYTES:
        return None
    return _broken("R91", f"{at} must be 1 to {MOST_UPLOAD_BYTES} bytes.")


def _upload_type(value: Any, at: str) -> Broken | None:
    """R92."""
    if isinstance(value, str) and value in CONTENT_TYPES:
        return None
    return _broken("R92", f"{at} is not a type Linq takes. See CONTENT_TYPES.")


def _event_name(value: Any, at: str) -> Broken | None:
    """R95, as far as it needs no list: Linq adds events before we know them."""
    if isinstance(value, str) and _EVENT_NAME.fullmatch(value):
        return None
    return _broken("R95", f"{at} is not the name of an event, such as message.received.")


def _payment_mode(body: Wire) -> Broken | None:
    """R96."""
    subscription = body.get("mode") == "subscription"
    for name in ("amount", "currency"):
        if subscription and body.get(name) is not None:
            return _broken("R96", f"{name} comes from the price in subscription mode. Leave it out.")
        if not subscription and body.get(name) is None:
            return _missing(name)
    if subscription and body.get("price_id") is None:
        return _missing("price_id")
    return None


def _payment_choices(body: Wire) -> Broken | None:
    """R96."""
    discount = body.get("discount") or _NOTHING
    for one, other, given in (("trial_end", "trial_period_days", body), ("coupon", "promotion_code", discount)):
        if given.get(one) is not None and given.get(other) is not None:
            return _broken("R96", f"{one} and {other} exclude each other.")
    if body.get("rail") == "natural":
        for name in ("from", "payer_handle"):
            if body.get(name) is None:
                return _broken("R96", f"{name} is needed when rail is natural.")
    return None


def _metadata(value: Any, at: str) -> Broken | None:
    """R96."""
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value.values()):
        return _broken("R4", f"{at} must be an object of strings.")
    if len(value) > 49:
        return _broken("R96", f"{at} has {len(value)} keys. Linq takes 49.")
    if any(name.startswith("linq_") for name in value):
        return _broken("R96", f"{at} has a key that begins with linq_, which Linq keeps for itself.")
    return None


def _phone_only(value: Any, at: str) -> Broken | None:
    """R96: RCS knows no e-mail addresses."""
    if isinstance(value, str) and _EMAIL.fullmatch(value):
        return _broken("R96", f"{at} is an e-mail address. RCS reaches phone numbers only.")
    return _phone(value, at)


# --- which rules hold where -----------------------------------------------------------------------------------------

_OPERATION = _one_of("R80", ("add", "remove"))
_CARD: Mapping[str, Check] = {
    "phone_number": _phone,
    "first_name": _filled_text,
    "last_name": _text,
    "image_url": _text,
}
_OPTION = _object(_Fields(("text",), {"text": _filled_text}))
_PLACEMENT = _object(
    _Fields(values={"x": _unit_place, "y": _unit_place, "scale": _number, "rotation": _number}),
)
_SUBSCRIPTION: Mapping[str, Check] = {
    "target_url": _https("R95"),
    "subscribed_events": _list_of(_event_name, least=1, rule="R95"),
    "phone_numbers": _list_of(_phone),
    "routing_id_header": _text,
    "routing_key_header": _text,
    "is_active": _flag,
}
_PAGE: Mapping[str, Check] = {"limit": _page_limit}


def _only_handle(rule: Check = _handle) -> _Fields:
    return _Fields(("handle",), {"handle": rule})


_BODIES: Final[Mapping[str, _Fields]] = {
    "chats.create": _Fields(
        ("from", "to", "message"),
        {"from": _phone, "to": _recipients, "message": message_content, "override_optout": _flag},
        (_one_recipient_for_experience,),
    ),
    "chats.messages.send": _Fields(("message",), {"message": message_content, "override_optout": _flag}),
    "messages.create": _Fields(
        ("to", "message"),
        {
            "to": _recipients,
            "message": message_content,
            "continuation_message": _object(_Fields(("text",), {"text": _filled_text})),
            "exclude_from": _own_lines,
            "override_optout": _flag,
        },
        (_one_recipient_for_experience,),
    ),
    "chats.update": _Fields(values={"display_name": _text, "group_chat_icon": _https("R4")}),
    "chats.send_voicememo": _Fields(
        values={"voice_memo_url": _https("R68"), "attachment_id": _uuid, "override_optout": _flag},
        across=(_voice_memo,),
    ),
    "chats.participants.add": _only_handle(),
    "chats.participants.remove": _only_handle(),
    "chats.location.stop": _only_handle(),
    "chats.polls.create": _Fields(
        ("poll",),
        {
            "poll": _object(
                _Fields(
                    ("options",),
                    {"options": _list_of(_OPTION, least=2, rule="R86"), "idempotency_key": _filled_text},
                )
            )
        },
    ),
    "chats.background.set": _Fields(("type",), {"type": _one_of("R66", ("color", "dynamic", "photo"))}, (_background,)),
    "messages.update": _Fields(("text",), {"text": _filled_text, "part_index": _whole(0)}),
    "messages.add_reaction": _Fields(
        ("operation", "type"),
        {
            "operation": _OPERATION,
            "type": _one_of("R80", get_args(ReactionType)),
            "part_index": _whole(0),
            "custom_emoji": _text,
            "emoji": _single_emoji,
            "attachment_id": _uuid,
            "url": _https("R81"),
            "placement": _PLACEMENT,
        },
        (_reaction,),
    ),
    "messages.update_sticker_placement": _Fields(("placement",), {"placement": _PLACEMENT}),
    "messages.update_app_card": _Fields(
        ("layout",),
        {"layout": _layout, "url": _app_url, "fallback_text": _text, "interactive": _flag},
        (_update_url_or_experience,),
    ),
    "messages.poll.add_options": _Fields(("options",), {"options": _list_of(_OPTION, least=1, rule="R86")}),
    "messages.poll.vote": _Fields(
        ("operation", "option_id"), {"operation": _one_of("R88", ("add", "remove")), "option_id": _filled_text}
    ),
    "attachments.create": _Fields(
        ("filename", "content_type", "size_bytes"),
        {"filename": _filled_text, "content_type": _upload_type, "size_bytes": _upload_size},
    ),
    "phone_numbers.update": _Fields(across=(_forwarding,)),
    "capability.check_i_message": _Fields(("address",), {"address": _handle, "from": _phone}),
    "capability.check_RCS": _Fields(("address",), {"address": _phone_only, "from": _phone}),
    "contact_card.create": _Fields(("phone_number", "first_name"), _CARD),
    "contact_card.update": _Fields(values=_CARD),
    "blocked_handles.block": _Fields(("handle",), {"handle": _blockable, "reason": _text}),
    "blocked_handles.unblock": _only_handle(_blockable),
    "webhook_subscriptions.create": _Fields(("target_url", "subscribed_events"), _SUBSCRIPTION),
    "webhook_subscriptions.update": _Fields(values=_SUBSCRIPTION),
    "payment_requests.create": _Fields(
        values={
            "mode": _one_of("R96", ("payment", "subscription")),
            "amount": _whole(50, "R96"),
            "currency": _one_of("R96", ("usd",)),
            "rail": _one_of("R96", ("stripe", "natural")),
            "quantity": _whole(1),
            "metadata": _metadata,
            "discount": _object(_Fields()),
            "from": _phone,
            "payer_handle": _handle,
        },
        across=(_payment_mode, _payment_choices),
    ),
    "payments.create": _Fields(
        ("handle", "amount_cents", "currency"),
        {"handle": _handle, "amount_cents": _whole(1), "currency": _filled_text, "metadata": _metadata},
    ),
    "payment_providers.connect": _Fields(("return_url",), {"return_url": _https("R4")}),
    "payment_handles.verify": _Fields(("code", "connect_id"), {"code": _filled_text, "connect_id": _filled_text}),
}

_QUERIES: Final[Mapping[str, _Fields]] = {
    "chats.list_chats": _Fields(values={**_PAGE, "from": _phone, "to": _handle}),
    "chats.messages.list": _Fields(values=_PAGE),
    "messages.list_messages_thread": _Fields(values={**_PAGE, "order": _one_of("R79", ("asc", "desc"))}),
    "payment_requests.list": _Fields(values=_PAGE),
    "available_number.retrieve": _Fields(values={"type": _line_kind}),
    "contact_card.retrieve": _Fields(values={"phone_number": _phone}),
    "contact_card.update": _Fields(("phone_number",), {"phone_number": _phone}),
    "v2.list_chats": _Fields(("phone_number",), {"per_page": _page_limit}),
}

# Ids of payments are Linq's partners' own and have no stated form.
_PATH: Final[Mapping[str, Check]] = {
    **dict.fromkeys(
        ("chat_id", "message_id", "reaction_id", "attachment_id", "phone_number_id", "subscription_id", "audit_id"),
        _uuid,
    ),
    "phone_number": _phone,
    "handle": _handle,
}
