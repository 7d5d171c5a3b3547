"""The rows that each rule refuses and lets through: messages, their parts, and other requests.

Each rule of Linq has rows here or a test named after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rules.asking import ANN, CARD, CDN, CLIP, ID, IDENTITY, LINE, LINK, MAIL, MEDIA, TEXT, body, broke, send, text

from linqbot.linq.rules import Broken, book, check, first_message
from linqbot.linq.types.files import CONTENT_TYPES
from linqbot.linq.types.message import Effect

Ask = Callable[[Any], Broken | None]


class Rule(NamedTuple):
    """A rule, and what it refuses; no rule refuses what is allowed. `seen_as` is another rule that is broken first."""

    name: str
    ask: Ask
    refused: Sequence[Any]
    allowed: Sequence[Any] = ()
    code: int = 1005
    status: int = 400
    seen_as: str = ""


def by(endpoint: str, name: str) -> Ask:
    """Ask about the values of one field of a request."""
    return lambda value: body(endpoint, **{name: value})


def of(endpoint: str, **good: Any) -> Ask:
    """Ask about the fields of a request, which replace or complete the good ones."""
    return lambda fields: body(endpoint, **{**good, **fields})


def app(**more: Any) -> Broken | None:
    return send({**CARD, **more})


def parts(given: Sequence[Any]) -> Broken | None:
    return send(*given)


def media(url: Any) -> Broken | None:
    return send({"type": "media", "url": url})


def link(length: int) -> Broken | None:
    return send({"type": "link", "value": "https://example.com/".ljust(length, "a")})


def identity(change: Any) -> Broken | None:
    return app(app={**IDENTITY, **change})


def layout(shown: Any) -> Broken | None:
    return app(layout=shown)


def react(fields: Any) -> Broken | None:
    return body("messages.add_reaction", **{"operation": "add", "type": "love", **fields})


def sticker(fields: Any) -> Broken | None:
    return react({"type": "sticker", **fields})


def to_people(message: Any) -> Ask:
    """Ask about pairs of an endpoint and the recipients of a message."""
    return lambda row: body(row[0], from_=LINE, to=row[1], message=message)


def upload(size: Any, kind: Any = "image/png") -> Broken | None:
    return body("attachments.create", filename="a.png", content_type=kind, size_bytes=size)


def poll(options: Any) -> Broken | None:
    return body("chats.polls.create", poll={"options": options})


def first_text(value: Any) -> Broken | None:
    return first_message({"parts": [MEDIA, {"type": "text", "value": value}]})


def image_of_layout(url: Any) -> Broken | None:
    return layout({"image_url": url})


def card_of(query: Any) -> Broken | None:
    return check("contact_card.update", {"first_name": "Ann"}, query)


def excluding(lines: Any) -> Broken | None:
    return body("messages.create", to=[ANN], message={"parts": [LINK]}, exclude_from=lines)


def asking(endpoint: str, name: str) -> Ask:
    """Ask about the values of one field of a query."""
    return lambda value: check(endpoint, None, {name: value})


def in_path(endpoint: str, name: str) -> Ask:
    """Ask about the values of one id in a path."""
    return lambda value: check(endpoint, None, {}, {name: value})


def dressed(name: str, **more: Any) -> Ask:
    """Ask about the fields of one decoration or sticker of a text."""
    return lambda fields: send({**TEXT, name: [{**more, **fields}]})


def both(to: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
    return [("chats.create", to), ("messages.create", to)]


message = by("chats.messages.send", "message")
HELLO, REPLY = {"parts": [TEXT]}, {"reply_to": {"message_id": ID}}
EXPERIENCE = {"name": "link", "action": "open", "params": {}}
PEOPLE = [f"+1205253{n:04}" for n in range(32)]
UPLOAD = {"type": "media", "attachment_id": ID}
HOSTED = [{"type": "media", "url": CDN}, {"type": "media", "url": "https://s3.example.com/x?X-Amz-Signature=abc"}]
LOOKALIKE = {"type": "media", "url": "https://linqapp.com.example.com/x"}
OTHER_SERVICES = [{"preferred_service": "SMS"}, {"preferred_service": "RCS"}]
PLACES = [{"x": 1.1}, {"y": -2}, {"x": "0"}, {"scale": "big"}, {"scale": float("nan")}, {"rotation": True}]
CAPTIONS = ("caption", "subcaption", "trailing_caption", "trailing_subcaption", "image_title")
EMPTY_LAYOUTS = [{}, {"image_title": "x"}, {"caption": ""}, {"subtitle": "x"}]
IMAGE = {"image_url": "https://x.y/z.png"}
HOOK = {"target_url": "https://example.com/hook?version=2026-02-03", "subscribed_events": ["message.received"]}
NO_HOOKS = [
    *({"target_url": "http://example.com/hook"}, {"target_url": "example.com"}, {"subscribed_events": []}),
    *({"subscribed_events": ["message received"]}, {"subscribed_events": ["message.received", "message"]}),
    {"subscribed_events": ["message.recieved"]},
]

NO_IDS = ["", "chat-1", ID[:-1], ID + "0", ID.replace("-", ""), f"{ID}\n", "../v3/messages"]
NO_PHONES = [
    *("12052535597", "+1 205 253 5597", "+1205-2535597", "+0123", "+", "+1", "+1234567890123456", "+١٢٣", f"{LINE}\n"),
]
NO_HANDLES = ["Ann", "ann@", "@x.y", "a b@x.y", "", 5]
NO_LIMITS = ["0", "101", "-1", "x", "1.5", "", "²", 0, 101]
PAGED = ("chats.list_chats", "chats.messages.list", "messages.list_messages_thread", "payment_requests.list")
NO_RANGES = [[0, 6], [5, 5], [6, 5], [-1, 3], [0], [0, 1, 2], [0, True], [0.0, 1.0], "01"]
IN_NO_TEXT = [{"range": one} for one in (*NO_RANGES, None)]
BOLD, SHAKE = {"style": "bold"}, {"animation": "shake"}

NO_CONTENT = [{}, {"parts": [TEXT], "experience": EXPERIENCE}, {"parts": None}]
NO_EFFECTS = [
    *({"name": "confeti", "type": "screen"}, {"name": "slam", "type": "screen"}),
    *({"name": "confetti", "type": "bubble"}, {"name": "confetti", "type": "scren"}),
    *({"name": "Confetti"}, {"name": 5}, {"name": ""}),
]
EFFECTS = [
    *({"name": "confetti", "type": "screen"}, {"name": "slam"}, {"type": "bubble", "name": "loud"}),
    *({"name": "vortex"}, {"name": "vortex", "type": "bubble"}, {"name": "confetti", "type": "haptic"}),
]
NO_EXPERIENCES = [
    *({"action": "open"}, {"name": "link"}, {"name": "", "action": "open"}, {**EXPERIENCE, "params": []}),
    {**EXPERIENCE, "params": {"checkout_url": "http://x.y"}},
]
WITH_ADDRESS = ["see https://example.com", "HTTP://X.Y", "(www.example.com)"]
WITHOUT_ADDRESS = ["hello", "www", "http", "a/b", "see https:// there"]

MESSAGES = [
    Rule("R19", message, NO_CONTENT, [{"experience": EXPERIENCE}], 1004),
    Rule("R20", parts, [[], [UPLOAD] * 101], [[UPLOAD] * 100], 1004),
    Rule("R21", parts, [[MEDIA] * 41, [LOOKALIKE] * 41], [[MEDIA] * 40 + [UPLOAD] * 20 + HOSTED * 20], 1004),
    Rule("R22", parts, [[TEXT, TEXT], [TEXT, MEDIA, MEDIA, TEXT, TEXT]], [[TEXT, MEDIA, TEXT, MEDIA]], 1004),
    Rule("R23", parts, [[LINK, TEXT], [LINK, MEDIA], [LINK, LINK], [TEXT, LINK], [MEDIA, LINK]], [[LINK]], 1004),
    Rule("R24", parts, [[CARD, TEXT], [CARD, MEDIA], [CARD, LINK], [TEXT, CARD], [MEDIA, CARD]], [[CARD]], 1004),
    Rule("R25", parts, [[CLIP, TEXT], [CLIP, MEDIA], [CLIP, LINK], [TEXT, CLIP], [MEDIA, CLIP]], [[CLIP]], 1004),
    Rule(
        "R32",
        lambda one: send(TEXT, preferred_service=one),
        ["imessage", "sms"],
        ["iMessage", "SMS", "RCS", "auto", None],
    ),
    Rule("R33", lambda effect: send(TEXT, effect=effect), NO_EFFECTS, EFFECTS),
    Rule("R40", lambda more: send(CARD, **more), OTHER_SERVICES, [{"preferred_service": "iMessage"}], 2018, 409),
    Rule("R41", lambda more: send(CLIP, **more), OTHER_SERVICES, code=2028),
    Rule("R42", lambda more: message({"experience": EXPERIENCE, **more}), OTHER_SERVICES, code=2018, status=409),
    Rule("R40", lambda more: send(LINK, **more), [], OTHER_SERVICES),
    Rule("R42", lambda experience: message({"experience": experience}), NO_EXPERIENCES),
    Rule("R42", to_people({"experience": EXPERIENCE}), both([ANN, MAIL]), both([ANN])),
    Rule("R49", to_people({"parts": [{**TEXT, "mention": ANN}]}), both([ANN]), both([ANN, MAIL]), 2023, 409),
    Rule("R51", to_people({"parts": [TEXT]}), both(PEOPLE), both(PEOPLE[:31])),
    Rule("R51", to_people({"parts": [TEXT]}), both([]), code=1001),
    Rule("R52", first_text, WITH_ADDRESS, WITHOUT_ADDRESS),
    Rule("R52", first_message, [{"parts": [LINK]}], [{"experience": EXPERIENCE}]),
    # The chat may exist already.
    Rule("R52", to_people({"parts": [{"type": "text", "value": "see https://example.com"}]}), [], both([ANN])[:1]),
    Rule("R53", lambda extra: first_message({"parts": [TEXT], **extra}), [{"effect": {"name": "slam"}}, REPLY]),
]

WRONG_CAPTIONS = [{"caption": "Hi", **IMAGE, name: ["Hi"]} for name in CAPTIONS]
NO_HTTPS = ["http://example.com", "example.com", "https://", 5]
NO_MEDIA = [
    *("http://example.com/a.png", "ftp://x/y", "data:image/png;base64,AA", "https:///a", "https://a b", "", 5),
    *("http://127.0.0.1.example.com/", "http://localhost.evil/", "http://127.0.0.1@evil/", "http://127.0.0.1:80@evil/"),
]
# The emulator's own machine is fine, and no other host passes for it.
MEDIA_URLS = [
    *("HTTPS://example.com", "https://x.y?a=b", "http://127.0.0.1:4010/f.png", "http://localhost/f"),
    "http://[::1]:4010",
]
NO_IDENTITIES = [
    *({"team_id": "abcde12345"}, {"team_id": "ABC"}, {"team_id": None}, {"bundle_id": "a:b"}, {"bundle_id": ""}),
    *({"name": ""}, {"name": None}),
]
TITLES = [{"image_title": "y"}, {"image_subtitle": "y"}]
LONGEST = ["https://x.y/".ljust(2048, "a"), "data:".ljust(16384, "a")]

PARTS = [
    Rule("R4", lambda change: app(**change), [{"fallback_text": 5}, {"interactive": "yes"}]),
    Rule("R4", layout, WRONG_CAPTIONS),
    Rule("R4", by("messages.update_app_card", "layout"), WRONG_CAPTIONS),
    Rule("R4", lambda caption: send({**CLIP, "caption": caption}), [5], ["Order"]),
    Rule("R25", lambda url: send({**CLIP, "value": url}), NO_HTTPS, code=1004),
    Rule("R26", link, [2049], [2048], 1004),
    Rule("R26", lambda url: send({"type": "link", "value": url}), [], ["http://example.com"]),
    Rule(
        "R28", lambda one: send({"type": "media", **one}), [{}, {"url": "https://x.y", "attachment_id": ID}], code=1004
    ),
    Rule("R29", media, NO_MEDIA, MEDIA_URLS, 1004),
    Rule("R35", identity, NO_IDENTITIES, code=1004),
    Rule("R36", layout, EMPTY_LAYOUTS, code=1004),
    Rule("R36", by("messages.update_app_card", "layout"), EMPTY_LAYOUTS, code=1004),
    Rule(
        "R37", layout, [{"caption": "x", **title} for title in TITLES], [{**IMAGE, **title} for title in TITLES], 1004
    ),
    Rule("R38", image_of_layout, ["image.png", "data:image/png;base64,AA", 5], ["http://x.y/z.png"], 5007),
    Rule("R39", lambda url: app(url=url), ["http://x.y", "x", 5, *(url + "a" for url in LONGEST)], LONGEST, 1004),
]

NO_LOOKS = [{}, {**BOLD, **SHAKE}, {"style": "blod"}, {"animation": "explod"}, {"style": 5}]
NO_STICKERS = [{}, {"url": CDN, "attachment_id": ID}, {"url": ["x"]}, {"url": ""}, {"url": "a.png"}]
NO_MENTIONS = [{"mention_range": [0, 2]}, {"mention": "Ann"}]
MENTIONS = [{"mention": ANN}, {"mention": MAIL, "mention_range": [0, 5]}]

TEXTS = [
    Rule("R27", text, [""], [" ", "**as it is**"], 1004),
    Rule("R43", dressed("text_decorations", range=[0, 5]), NO_LOOKS, [BOLD, SHAKE, {"style": "blink"}], 1004),
    Rule("R44", dressed("text_decorations", **BOLD), IN_NO_TEXT, code=1004),
    Rule("R44", dressed("inline_stickers", url=CDN), IN_NO_TEXT, code=1004),
    Rule("R44", lambda where: text(mention=ANN, mention_range=where), NO_RANGES, [[0, 5]], 1004),
    Rule("R46", dressed("inline_stickers", range=[0, 1]), NO_STICKERS, code=1004),
    Rule("R5", dressed("inline_stickers", range=[0, 1]), [{"attachment_id": one} for one in ("", "x", 5)]),
    Rule("R50", lambda mention: text(**mention), NO_MENTIONS, MENTIONS, 1004),
]

NO_BACKGROUNDS = [
    *({"type": "colour"}, {"type": "color"}),
    *({"type": "color", "variant": variant} for variant in ("mangoo", "custom")),
    *({"type": "color", "shades": shades} for shades in (["#fff", "#000000"], ["#ffffff"])),
    *({"type": "dynamic"}, {"type": "dynamic", "style": "sky"}),
    *(
        {"type": "dynamic", "style": "watre", "variant": "dark"},
        {"type": "dynamic", "style": "water", "variant": "lihgt"},
    ),
    *({"type": "photo"}, {"type": "photo", "image_url": "http://x.y/z.png"}),
]
BACKGROUNDS = [
    *({"type": "color", "variant": "mango"}, {"type": "color", "variant": "custom", "shades": ["#ffffff", "000000"]}),
    *({"type": "dynamic", "style": "aurora", "variant": "pink"}, {"type": "photo", **IMAGE}),
    *(
        {"type": "plain"},
        {"type": "color", "variant": "teal"},
        {"type": "dynamic", "style": "forest", "variant": "calm"},
    ),
]
NO_MEMOS = [{}, {"voice_memo_url": "https://x.y/z", "attachment_id": ID}, {"voice_memo_url": "http://x.y/z"}]
SENDERS = [ANN, MAIL, "123", "12345678", "LINQ", "My Bank 1"]
NO_REACTIONS = [{"operation": "ad"}, {"type": "lvoe"}, {"type": "custom"}, {"type": "custom", "custom_emoji": ""}]
REACTIONS = [
    *({}, {"operation": "remove"}, {"type": "custom", "custom_emoji": "🎂", "part_index": 1}),
    *({"operation": "toggle"}, {"type": "image", "url": CDN}, {"type": "image", "attachment_id": ID}),
]
NO_STICKER_REACTIONS = [
    *({}, {"emoji": "🎂", "attachment_id": ID}, {"url": "http://x.y"}),
    *({"emoji": emoji} for emoji in ("cake", "🎂 🎂", "🎂🎂", "cake 🎂", "é", "")),
]
STICKER_REACTIONS = [
    *({"emoji": one} for one in ("1️⃣", "👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🇫🇷", "👍🏽", "❤️")),
    *({"url": CDN}, {"attachment_id": ID, "placement": {"scale": 99}}),
]
NO_TYPES = ["audio/flac", "audio/ogg", "application/x-msdownload", "image/jpg", "image", 5]
NEW_TYPES = ["image/avif", "video/webm", "application/gzip"]
NO_PAYMENTS = [
    *({"amount": 49}, {"currency": "us"}, {"mode": "paymnt"}, {"rail": "Stripe"}, {"rail": "natural", "from_": LINE}),
    *({"mode": "subscription", "amount": 50, "price_id": "p"}, {"price_id": "price_1"}, {"quantity": 2}),
    *({"discount": {"coupon": "a"}}, {"trial_end": "2027-01-01T00:00:00Z"}, {"trial_period_days": 2}),
    *({"metadata": {str(n): "x" for n in range(50)}}, {"metadata": {"linq_id": "x"}}),
]
PAYMENTS = [{}, {"currency": "eur"}, {"mode": "gift"}, {"rail": "cash"}]
NO_SUBSCRIPTIONS = [
    {"trial_end": "2027-01-01T00:00:00Z", "trial_period_days": 2},
    {"discount": {"coupon": "a", "promotion_code": "b"}},
]

REQUESTS = [
    Rule("R5", in_path("chats.retrieve", "chat_id"), NO_IDS, [ID.upper()]),
    # Their form is not stated.
    Rule("R5", in_path("payments.retrieve", "payment_id"), [], NO_IDS),
    Rule("R7", lambda line: body("chats.create", from_=line, to=[ANN], message=HELLO), NO_PHONES, code=1002),
    Rule("R7", asking("chats.list_chats", "from"), NO_PHONES, ["+12"], 1002),
    Rule("R8", by("chats.participants.add", "handle"), NO_HANDLES, code=1002),
    Rule("R8", to_people({"parts": [TEXT]}), [("chats.create", [ANN, one]) for one in NO_HANDLES], code=1002),
    *(Rule("R9", asking(endpoint, "limit"), NO_LIMITS, ["1", 100]) for endpoint in PAGED),
    Rule("R9", lambda size: check("v2.list_chats", None, {"phone_number": "13343284472", "per_page": size}), ["101"]),
    Rule("R9", lambda query: check("v2.list_chats", None, query), [{}], code=1001, seen_as="R3"),
    Rule("R16", excluding, [[LINE, MAIL]], [[LINE]], 1002),
    Rule("R16", excluding, [LINE], seen_as="R4"),
    Rule("R17", asking("available_number.retrieve", "type"), ["iMesage"], ["imessage", "SMS"]),
    Rule("R18", by("phone_numbers.update", "forwarding_number"), ["911"], [None, "", LINE], 1002),
    Rule("R18", of("phone_numbers.update"), [{}], code=1001, seen_as="R3"),
    Rule("R66", of("chats.background.set"), NO_BACKGROUNDS, BACKGROUNDS),
    Rule("R68", of("chats.send_voicememo"), NO_MEMOS, [{"attachment_id": ID}]),
    Rule("R76", by("blocked_handles.block", "handle"), ["12", "123456789", "a-b", "", "Sender Name 12", 5], SENDERS),
    Rule("R76", by("blocked_handles.unblock", "handle"), [], SENDERS),
    Rule("R79", asking("messages.list_messages_thread", "order"), ["DESC"], ["desc", "newest"]),
    Rule("R80", react, NO_REACTIONS, REACTIONS),
    Rule("R81", react, [{"type": "love", "emoji": "🎂"}, {"type": "love", "placement": {"x": 0}}]),
    Rule("R81", sticker, NO_STICKER_REACTIONS, STICKER_REACTIONS),
    Rule("R82", sticker, [{"operation": "remove", "emoji": "🎂"}]),
    Rule("R83", lambda place: sticker({"emoji": "🎂", "placement": place}), PLACES, [{"scale": 10**400}]),
    Rule("R83", by("messages.update_sticker_placement", "placement"), PLACES),
    Rule("R85", of("messages.update_app_card", layout=IMAGE, url="https://x.y"), [{"experience": EXPERIENCE}], [{}]),
    Rule("R86", poll, [[{"text": "a"}]], [[{"text": "a"}, {"text": "b"}]]),
    Rule("R86", poll, [[{"text": "a"}, {}]], code=1001, seen_as="R3"),
    Rule("R86", poll, [[{"text": "a"}, {"text": ""}]], seen_as="R4"),
    Rule("R86", by("messages.poll.add_options", "options"), [[]]),
    Rule("R88", lambda how: body("messages.poll.vote", operation=how, option_id="o1"), ["Add"], ["add", "set"]),
    Rule("R90", of("chats.location.stop"), [{}], [{"handle": ANN}], 1001, seen_as="R3"),
    Rule("R91", upload, [0, -1, 100 * 2**20 + 1, "5", True], [1, 100 * 2**20]),
    Rule("R92", lambda kind: upload(1, kind), NO_TYPES, [*sorted(CONTENT_TYPES), *NEW_TYPES]),
    Rule("R94", of("contact_card.create", phone_number=LINE), [{}], [{"first_name": "Ann"}], 1001, seen_as="R3"),
    Rule("R94", of("contact_card.create", first_name="Ann"), [{"phone_number": "x"}], code=1002, seen_as="R7"),
    Rule("R94", card_of, [{}], [{"phone_number": LINE}], 1001, seen_as="R3"),
    Rule(
        "R95", of("webhook_subscriptions.create", **HOOK), NO_HOOKS, [{}, {"subscribed_events": ["message.scheduled"]}]
    ),
    Rule("R95", of("webhook_subscriptions.update"), NO_HOOKS),
    Rule("R96", by("capability.check_RCS", "address"), [MAIL]),
    Rule("R96", by("capability.check_i_message", "address"), [], [MAIL]),
    Rule("R96", of("payment_requests.create", amount=50, currency="usd"), NO_PAYMENTS, PAYMENTS),
    Rule("R96", of("payment_requests.create", mode="subscription", price_id="p"), NO_SUBSCRIPTIONS, [{}]),
]

RULES = [*MESSAGES, *PARTS, *TEXTS, *REQUESTS]


def test_each_rule_refuses_its_rows_and_no_rule_refuses_the_others(subtests: pytest.Subtests) -> None:
    for rule in RULES:
        for row in rule.refused:
            with subtests.test(rule=rule.name, refused=repr(row)[:200]):
                assert broke(rule.ask(row), rule.seen_as or rule.name, rule.code, rule.status)
        for row in rule.allowed:
            with subtests.test(rule=rule.name, allowed=repr(row)[:200]):
                assert rule.ask(row) is None
    assert len(CONTENT_TYPES) == 51


def test_a_near_miss_is_answered_with_what_to_write() -> None:
    for broken, hint in (
        (send(TEXT, preferred_service="imessage"), "Did you mean iMessage?"),
        (send(TEXT, effect=Effect.named("gentel").to_json_object()), "Did you mean gentle?"),
        (react({"type": "❤️"}), 'react("custom", custom_emoji="❤️")'),
        (body("chats.create", from_=LINE, to=[ANN, "Ann"], message={"parts": [TEXT]}), "to[1] is neither"),
        (body("chats.create", from_=LINE, to=[ANN] * 32, message={"parts": [TEXT]}), "Linq takes 1 to 31."),
    ):
        assert broken is not None
        assert hint in broken.message


# --- every rule has a test ------------------------------------------------------------------------------------------

TESTS = Path(__file__).parent.parent
OF_EMULATOR = TESTS.parent / "plugins" / "linqbot-dev" / "tests" / "emulator"
IN_THE_TABLE = {int(rule.name.removeprefix("R")) for rule in RULES}

ALL = frozenset(int(name.removeprefix("R")) for name in book.RULES)
RULES_FOLDER = Path(book.__file__).parent


def numbers_in(files: Iterable[Path]) -> set[int]:
    """Return the numbers in the names of the tests: `test_r64_r65_sharing_…` tests both rules."""
    names = (name for file in files for name in re.findall(r"def (test_\w+)", file.read_text()))
    return {
        int(number)
        for name in names
        if (found := re.match(r"test((?:_[rR]\d+)+)_", name))
        for number in re.findall(r"\d+", found[1])
    }


def test_every_rule_has_a_test_as_a_rule_or_where_the_emulators_state_decides() -> None:
    tested = numbers_in((TESTS / "rules").glob("test_*.py")) | numbers_in(OF_EMULATOR.rglob("test_*.py"))
    assert ALL - tested - IN_THE_TABLE == set()


def test_a_check_names_only_rules_that_the_book_explains() -> None:
    checks = "".join(file.read_text() for file in RULES_FOLDER.glob("*.py") if file.name != "book.py")
    assert set(re.findall(r'"(R\d+)"', checks)) - set(book.RULES) == set()
