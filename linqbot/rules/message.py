"""Rules of a message as a whole (R19-R24, R32, R33, R40-R42) and of the first message of a chat (R52, R53).

Rules of single parts are in `parts.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, get_args

from linqbot.rules.broken import Across, Broken, JsonObject, bad_content, breaks, missing
from linqbot.rules.fields import Schema, an_object
from linqbot.rules.parts import PARTS
from linqbot.rules.values import filled_text, is_https, one_of, uuid, whole
from linqbot.types.handle import ServiceType
from linqbot.types.message import BUBBLE_EFFECTS, SCREEN_EFFECTS

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
    if _is_plain_text(message):
        return None
    if not isinstance(message, Mapping):
        return breaks("R4", f"{at} must be an object.")
    broken = _first_broken(_CONTENT, message)
    if broken is None and len(message.get("parts") or ()) > 1:
        broken = _first_broken(_SEVERAL_PARTS, message)
    return broken or _first_broken(_OPTIONS, message)


def _is_plain_text(message: Any) -> bool:
    """Return True for one text without options, which keeps every rule. Nearly all messages are such ones."""
    parts = message.get("parts") if isinstance(message, dict) and len(message) == 1 else None
    part = parts[0] if isinstance(parts, list) and len(parts) == 1 else None
    if not isinstance(part, dict) or len(part) != 2 or part.get("type") != "text":
        return False
    value = part.get("value")
    return isinstance(value, str) and bool(value)


def _first_broken(rules: tuple[Across, ...], message: JsonObject) -> Broken | None:
    for rule in rules:
        if broken := rule(message):
            return broken
    return None


def _either_parts_or_experience(message: JsonObject) -> Broken | None:
    """Check R19: either parts or an experience."""
    if (message.get("parts") is None) != (message.get("experience") is None):
        return None
    return bad_content("R19", "message needs either parts or an experience, and not both.")


def _number_of_parts(message: JsonObject) -> Broken | None:
    """Check R20: the number of parts."""
    parts = message.get("parts")
    if parts is None:
        return None
    if not isinstance(parts, list | tuple):
        return breaks("R4", "message.parts must be a list.")
    if 1 <= len(parts) <= MAX_PARTS:
        return None
    return bad_content("R20", f"message has {len(parts)} parts. Linq takes 1 to {MAX_PARTS}.")


def _every_part(message: JsonObject) -> Broken | None:
    """Check R26-R29, R35-R39 and R43-R50, for each part alone."""
    for i, part in enumerate(message.get("parts") or ()):
        at = f"message.parts[{i}]"
        if not isinstance(part, Mapping):
            return breaks("R4", f"{at} must be an object.")
        kind = part.get("type")
        if kind is None:
            return missing(f"{at}.type")
        rule = PARTS.get(kind) if isinstance(kind, str) else None
        broken = rule(part, at) if rule else one_of("R4", PARTS)(kind, f"{at}.type")
        if broken:
            return broken
    return None


def _few_media_by_url(message: JsonObject) -> Broken | None:
    """Check R21: the number of media parts by URL. Files at Linq, and files with a signed URL, do not count."""
    parts = message["parts"]
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
    for i, part in enumerate(message["parts"]):
        if part["type"] == last == "text":
            return bad_content(
                "R22", f"message.parts[{i - 1}] and [{i}] are both text. Join them, or send two messages."
            )
        last = part["type"]
    return None


_ALONE: Final = {"link": "R23", "imessage_app": "R24", "app_clip": "R25"}


def _cards_stand_alone(message: JsonObject) -> Broken | None:
    """Check R23, R24 and R25: a link, an app card and an App Clip must be alone."""
    for i, part in enumerate(message["parts"]):
        if rule := _ALONE.get(part["type"]):
            said = (
                f"message.parts[{i}] is a {part['type']} part, which must be alone in its message. Send it separately."
            )
            return bad_content(rule, said)
    return None


def _service(message: JsonObject) -> Broken | None:
    """Check R32: the preferred service."""
    service = message.get("preferred_service")
    return None if service is None else one_of("R32", get_args(ServiceType))(service, "message.preferred_service")


def _only_on_imessage(message: JsonObject) -> Broken | None:
    """Check R40, R41 and R42: content that only iMessage supports."""
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


def _effect(message: JsonObject) -> Broken | None:
    """Check R33: the effect and its type."""
    effect = message.get("effect")
    if effect is None:
        return None
    if not isinstance(effect, Mapping):
        return breaks("R4", "message.effect must be an object.")
    name, kind = effect.get("name"), effect.get("type")
    if kind is not None and (broken := one_of("R33", ("screen", "bubble"))(kind, "message.effect.type")):
        return broken
    allowed = {"screen": SCREEN_EFFECTS, "bubble": BUBBLE_EFFECTS}.get(kind or "", SCREEN_EFFECTS | BUBBLE_EFFECTS)
    if name is None or (isinstance(name, str) and name in allowed):
        return None
    if isinstance(name, str) and name in SCREEN_EFFECTS | BUBBLE_EFFECTS:
        return breaks("R33", f"message.effect.name is not a {kind} effect. Use the other type.")
    return one_of("R33", allowed)(name, "message.effect.name")


def _reply_to(message: JsonObject) -> Broken | None:
    """Check the form of `reply_to` (R3, R4, R5). R34 itself depends on the messages of the chat."""
    reply_to = message.get("reply_to")
    return None if reply_to is None else _REPLY_TO(reply_to, "message.reply_to")


_REPLY_TO = an_object(Schema(("message_id",), {"message_id": uuid, "part_index": whole(0)}))


def _experience(message: JsonObject) -> Broken | None:
    """Check R42, as far as it needs no catalogue."""
    asked = message.get("experience")
    return None if asked is None else experience(asked, "message.experience")


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


def _key(message: JsonObject) -> Broken | None:
    """Check R4: the idempotency key is a string that is not empty."""
    key = message.get("idempotency_key")
    return None if key is None else filled_text(key, "message.idempotency_key")


_CONTENT: tuple[Across, ...] = (
    _either_parts_or_experience,
    _number_of_parts,
    _every_part,
    _experience,
)
_SEVERAL_PARTS: tuple[Across, ...] = (_cards_stand_alone, _no_two_texts_in_a_row, _few_media_by_url)
_OPTIONS: tuple[Across, ...] = (_service, _only_on_imessage, _effect, _reply_to, _key)


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
