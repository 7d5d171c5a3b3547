"""Linq's rules that need no state: one test per rule, named after it. What is allowed is tested beside what is not."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linqbot.rules import CONTENT_TYPES, Broken, check, first_message

LINE, ANN, MAIL = "+12052535597", "+12052532136", "ann@example.com"
ID = "550e8400-e29b-41d4-a716-446655440000"
CDN = "https://cdn.linqapp.com/attachments/a/b/c.png"

TEXT = {"type": "text", "value": "Hello"}
MEDIA = {"type": "media", "url": "https://example.com/a.png"}
LINK = {"type": "link", "value": "https://example.com"}
CLIP = {"type": "app_clip", "value": "https://example.com/clip"}
IDENTITY = {"team_id": "ABCDE12345", "bundle_id": "com.example.app", "name": "App"}
CARD = {"type": "imessage_app", "app": IDENTITY, "layout": {"caption": "Hi"}}
EXPERIENCE = {"name": "link", "action": "open", "params": {}}


def send(*parts: Any, **more: Any) -> Broken | None:
    return check("chats.messages.send", {"message": {"parts": list(parts), **more}}, {}, {"chat_id": ID})


def text(value: str = "Hello", **more: Any) -> Broken | None:
    return send({"type": "text", "value": value, **more})


def app(**more: Any) -> Broken | None:
    return send({**CARD, **more})


def body(endpoint: str, **fields: Any) -> Broken | None:
    return check(endpoint, {name.rstrip("_"): value for name, value in fields.items()})


def react(**fields: Any) -> Broken | None:
    return body("messages.add_reaction", **{"operation": "add", "type": "love", **fields})


def broke(broken: Broken | None, rule: str, code: int = 1005, status: int = 400) -> bool:
    assert broken is not None, f"{rule} was not seen"
    assert (broken.rule, broken.status, broken.code) == (rule, status, code), broken
    return True


# --- general --------------------------------------------------------------------------------------------------------


def test_a_plain_message_breaks_nothing() -> None:
    assert text() is None
    assert send(TEXT, MEDIA, TEXT, effect={"name": "slam", "type": "bubble"}, preferred_service="SMS") is None
    assert body("chats.create", from_=LINE, to=[ANN, MAIL], message={"parts": [TEXT]}) is None
    assert check("chats.typing.start", None, {}, {"chat_id": ID}) is None
    assert check("phone_numbers.list", None) is None
    assert check("something.new", {"a": 1}) is None


@pytest.mark.parametrize(
    ("endpoint", "fields", "missing"),
    [
        ("chats.create", {}, "from"),
        ("chats.create", {"from_": LINE}, "to"),
        ("chats.create", {"from_": LINE, "to": [ANN]}, "message"),
        ("chats.create", {"from_": LINE, "to": [ANN], "message": None}, "message"),
        ("chats.create", {"from_": "wrong", "to": []}, "message"),
        ("chats.messages.send", {}, "message"),
        ("messages.create", {"message": {}}, "to"),
        (
            "messages.create",
            {"to": [ANN], "message": {"parts": [TEXT]}, "continuation_message": {}},
            "continuation_message.text",
        ),
        ("chats.messages.send", {"message": {"parts": [{"value": "x"}]}}, "message.parts[0].type"),
        ("chats.messages.send", {"message": {"parts": [TEXT, MEDIA, {"type": "text"}]}}, "message.parts[2].value"),
        ("chats.messages.send", {"message": {"parts": [{"type": "link"}]}}, "message.parts[0].value"),
        ("chats.messages.send", {"message": {"parts": [TEXT], "reply_to": {}}}, "message.reply_to.message_id"),
        ("chats.participants.add", {}, "handle"),
        ("chats.participants.remove", {}, "handle"),
        ("chats.polls.create", {}, "poll"),
        ("messages.update", {}, "text"),
        ("messages.add_reaction", {"type": "love"}, "operation"),
        ("webhook_subscriptions.create", {"target_url": "https://x.y"}, "subscribed_events"),
        ("payment_requests.create", {"mode": "subscription"}, "price_id"),
        ("payment_requests.create", {"amount": 50}, "currency"),
    ],
)
def test_R3_required_fields_are_asked_for_before_anything_else(endpoint: str, fields: Any, missing: str) -> None:
    broken = body(endpoint, **fields)
    assert broke(broken, "R3", 1001)
    assert broken is not None
    assert broken.message == f"{missing} is missing. It is required."


@pytest.mark.parametrize(
    "broken",
    [
        body("chats.messages.send", message="hi"),
        body("chats.messages.send", message={"parts": [TEXT]}, override_optout="yes"),
        send("hi"),
        send({"type": "audio"}),
        send({"type": ["text"]}),
        text(5),  # type: ignore[arg-type]
        text(text_decorations={}),
        text(inline_stickers=["x"]),
        send({**MEDIA, "sticker": 1}),
        send({**LINK, "value": "example.com"}),
        send(TEXT, effect="confetti"),
        send(TEXT, reply_to="x"),
        send(TEXT, reply_to={"message_id": ID, "part_index": -1}),
        send(TEXT, reply_to={"message_id": ID, "part_index": True}),
        send(TEXT, idempotency_key=""),
        body("chats.messages.send", message={"parts": TEXT}),
        body("chats.create", from_=LINE, to=ANN, message={"parts": [TEXT]}),
        body("chats.update", display_name=5),
        body("chats.update", group_chat_icon="x"),
        body("messages.update", text=""),
        body("messages.update", text="x", part_index="0"),
        body("webhook_subscriptions.update", is_active=0),
    ],
)
def test_R4_types_and_fixed_lists_are_kept(broken: Broken | None) -> None:
    assert broke(broken, "R4")


@pytest.mark.parametrize("value", ["", "chat-1", ID[:-1], ID + "0", ID.replace("-", ""), f"{ID}\n", "../v3/messages"])
def test_R5_ids_in_the_path_are_uuids(value: str) -> None:
    assert broke(check("chats.retrieve", None, {}, {"chat_id": value}), "R5")
    assert check("chats.retrieve", None, {}, {"chat_id": ID.upper()}) is None
    assert check("payments.retrieve", None, {}, {"payment_id": value}) is None, "their form is not stated"


@pytest.mark.parametrize(
    "value",
    ["12052535597", "+1 205 253 5597", "+1205-2535597", "+0123", "+", "+1", "+1234567890123456", "+١٢٣", f"{LINE}\n"],
)
def test_R7_phones_are_E164(value: str) -> None:
    assert broke(body("chats.create", from_=value, to=[ANN], message={"parts": [TEXT]}), "R7", 1002)
    assert broke(check("chats.list_chats", None, {"from": value}), "R7", 1002)
    assert check("chats.list_chats", None, {"from": "+12"}) is None


@pytest.mark.parametrize("value", ["Ann", "ann@", "@x.y", "a b@x.y", "", 5])
def test_R8_handles_are_phones_or_mail_addresses(value: Any) -> None:
    assert broke(body("chats.participants.add", handle=value), "R8", 1002)
    broken = body("chats.create", from_=LINE, to=[ANN, value], message={"parts": [TEXT]})
    assert broke(broken, "R8", 1002)
    assert broken is not None
    assert broken.message.startswith("to[1] ")


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.5", "", "²", 0, 101])
@pytest.mark.parametrize(
    "endpoint", ["chats.list_chats", "chats.messages.list", "messages.list_messages_thread", "payment_requests.list"]
)
def test_R9_a_page_has_1_to_100_entries(endpoint: str, limit: Any) -> None:
    assert broke(check(endpoint, None, {"limit": limit}), "R9")
    assert check(endpoint, None, {"limit": "1"}) is None
    assert check(endpoint, None, {"limit": 100}) is None


def test_R9_holds_for_pages_of_v2_too() -> None:
    assert broke(check("v2.list_chats", None, {"phone_number": "13343284472", "per_page": "101"}), "R9")
    assert broke(check("v2.list_chats", None, {}), "R3", 1001)


def test_R16_lines_not_to_choose_are_E164() -> None:
    def create(exclude: Any) -> Broken | None:
        return body("messages.create", to=[ANN], message={"parts": [LINK]}, exclude_from=exclude)

    assert broke(create([LINE, MAIL]), "R16", 1002)
    assert broke(create(LINE), "R4")
    assert create([LINE]) is None


def test_R17_the_kind_of_line_is_named_in_any_case() -> None:
    assert check("available_number.retrieve", None, {"type": "imessage"}) is None
    assert broke(check("available_number.retrieve", None, {"type": "SMS"}), "R17")


def test_R18_a_forwarding_number_is_E164_or_cleared_and_never_left_out() -> None:
    for cleared in (None, "", LINE):
        assert check("phone_numbers.update", {"forwarding_number": cleared}) is None
    assert broke(check("phone_numbers.update", {"forwarding_number": "911"}), "R18", 1002)
    assert broke(check("phone_numbers.update", {}), "R3", 1001)


# --- what a message holds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [{}, {"parts": [TEXT], "experience": EXPERIENCE}, {"parts": None}])
def test_R19_a_message_has_either_parts_or_an_experience(message: Any) -> None:
    assert broke(body("chats.messages.send", message=message), "R19", 1004)
    assert body("chats.messages.send", message={"experience": EXPERIENCE}) is None


def test_R20_a_message_has_1_to_100_parts() -> None:
    files = [{"type": "media", "attachment_id": ID}] * 101
    assert broke(send(), "R20", 1004)
    assert broke(send(*files), "R20", 1004)
    assert send(*files[:100]) is None


def test_R21_at_most_40_media_parts_come_by_url_uploads_not_counted() -> None:
    uploaded = [{"type": "media", "attachment_id": ID}] * 20
    hosted = [{"type": "media", "url": CDN}] * 20
    signed = [{"type": "media", "url": "https://s3.example.com/x?X-Amz-Signature=abc"}] * 20
    assert send(*[MEDIA] * 40, *uploaded, *hosted, *signed) is None
    assert broke(send(*[MEDIA] * 41, *uploaded), "R21", 1004)
    lookalike = {"type": "media", "url": "https://linqapp.com.example.com/x"}
    assert broke(send(*[lookalike] * 41), "R21", 1004)


def test_R22_two_text_parts_may_not_be_adjacent() -> None:
    assert broke(send(TEXT, TEXT), "R22", 1004)
    assert broke(send(TEXT, MEDIA, MEDIA, TEXT, TEXT), "R22", 1004)
    assert send(TEXT, MEDIA, TEXT, MEDIA) is None


@pytest.mark.parametrize(("card", "rule"), [(LINK, "R23"), (CARD, "R24"), (CLIP, "R25")])
@pytest.mark.parametrize("other", [TEXT, MEDIA, LINK])
def test_R23_R24_R25_links_app_cards_and_app_clips_stand_alone(card: Any, rule: str, other: Any) -> None:
    assert send(card) is None
    assert broke(send(card, other), rule, 1004)
    if other is not LINK:
        assert broke(send(other, card), rule, 1004)


@pytest.mark.parametrize("value", ["http://example.com", "example.com", "https://", 5])
def test_R25_an_app_clip_is_an_https_address(value: Any) -> None:
    assert broke(send({**CLIP, "value": value}), "R25", 1004)


def test_R26_a_link_has_at_most_2048_characters() -> None:
    def link(length: int) -> Broken | None:
        return send({"type": "link", "value": "https://example.com/".ljust(length, "a")})

    assert link(2048) is None
    assert broke(link(2049), "R26", 1004)
    assert send({"type": "link", "value": "http://example.com"}) is None


def test_R27_a_text_is_not_empty() -> None:
    assert broke(text(""), "R27", 1004)
    assert text(" ") is None
    assert text("**as it is**") is None


@pytest.mark.parametrize("part", [{}, {"url": "https://x.y/z", "attachment_id": ID}])
def test_R28_media_comes_by_url_or_by_attachment(part: Any) -> None:
    assert broke(send({"type": "media", **part}), "R28", 1004)


@pytest.mark.parametrize(
    "url", ["http://example.com/a.png", "ftp://x/y", "data:image/png;base64,AA", "https:///a", "https://a b", "", 5]
)
def test_R29_media_addresses_are_https(url: Any) -> None:
    assert broke(send({"type": "media", "url": url}), "R29", 1004)


@pytest.mark.parametrize(
    "url",
    [
        "HTTPS://example.com",
        "https://x.y?a=b",
        "http://127.0.0.1:4010/f.png",
        "http://localhost/f",
        "http://[::1]:4010",
    ],
)
def test_R29_https_and_the_emulators_own_machine_are_fine(url: str) -> None:
    assert send({"type": "media", "url": url}) is None


def test_R29_no_other_host_passes_for_this_machine() -> None:
    for url in (
        "http://127.0.0.1.example.com/",
        "http://localhost.evil/",
        "http://127.0.0.1@evil/",
        "http://127.0.0.1:80@evil/",
    ):
        assert broke(send({"type": "media", "url": url}), "R29", 1004)


def test_R32_the_preferred_service_is_one_of_three() -> None:
    for service in ("iMessage", "SMS", "RCS", None):
        assert send(TEXT, preferred_service=service) is None
    broken = send(TEXT, preferred_service="imessage")
    assert broke(broken, "R32")
    assert broken is not None
    assert "Did you mean iMessage?" in broken.message


@pytest.mark.parametrize(
    "effect",
    [
        {"name": "confeti", "type": "screen"},
        {"name": "slam", "type": "screen"},
        {"name": "confetti", "type": "bubble"},
        {"name": "confetti", "type": "sound"},
        {"name": "unknown"},
        {"name": 5},
    ],
)
def test_R33_effects_are_known_and_of_their_type(effect: Any) -> None:
    assert broke(send(TEXT, effect=effect), "R33")


@pytest.mark.parametrize(
    "effect", [{"name": "confetti", "type": "screen"}, {"name": "slam"}, {"type": "bubble", "name": "loud"}]
)
def test_R33_lets_known_effects_through(effect: Any) -> None:
    assert send(TEXT, effect=effect) is None


@pytest.mark.parametrize(
    "change",
    [
        {"team_id": "abcde12345"},
        {"team_id": "ABC"},
        {"team_id": None},
        {"bundle_id": "a:b"},
        {"bundle_id": ""},
        {"name": ""},
        {"name": None},
    ],
)
def test_R35_an_app_card_names_its_app_as_apple_does(change: Any) -> None:
    assert broke(app(app={**IDENTITY, **change}), "R35", 1004)


@pytest.mark.parametrize("layout", [{}, {"image_title": "x"}, {"caption": ""}, {"subtitle": "x"}])
def test_R36_an_app_card_shows_something(layout: Any) -> None:
    assert broke(app(layout=layout), "R36", 1004)
    assert broke(body("messages.update_app_card", layout=layout), "R36", 1004)


@pytest.mark.parametrize("name", ["image_title", "image_subtitle"])
def test_R37_image_captions_need_an_image(name: str) -> None:
    assert broke(app(layout={"caption": "x", name: "y"}), "R37", 1004)
    assert app(layout={"image_url": "https://x.y/z.png", name: "y"}) is None


@pytest.mark.parametrize("url", ["http://x.y", "x", "https://x.y/".ljust(2049, "a"), "data:".ljust(16385, "a"), 5])
def test_R39_an_app_address_is_short_https_or_data(url: Any) -> None:
    assert broke(app(url=url), "R39", 1004)


@pytest.mark.parametrize("url", ["https://x.y/".ljust(2048, "a"), "data:".ljust(16384, "a")])
def test_R39_lets_the_longest_through(url: str) -> None:
    assert app(url=url) is None


@pytest.mark.parametrize("service", ["SMS", "RCS"])
def test_R40_R41_R42_app_cards_clips_and_experiences_need_imessage(service: str) -> None:
    assert broke(send(CARD, preferred_service=service), "R40", 2018, 409)
    assert broke(send(CLIP, preferred_service=service), "R41", 2028)
    message = {"experience": EXPERIENCE, "preferred_service": service}
    assert broke(body("chats.messages.send", message=message), "R42", 2018, 409)
    assert send(CARD, preferred_service="iMessage") is None
    assert send(LINK, preferred_service=service) is None


@pytest.mark.parametrize(
    "experience",
    [
        {"action": "open"},
        {"name": "link"},
        {"name": "", "action": "open"},
        {**EXPERIENCE, "params": []},
        {**EXPERIENCE, "params": {"checkout_url": "http://x.y"}},
    ],
)
def test_R42_an_experience_is_named_and_its_addresses_are_https(experience: Any) -> None:
    assert broke(body("chats.messages.send", message={"experience": experience}), "R42")


@pytest.mark.parametrize("endpoint", ["chats.create", "messages.create"])
def test_R42_an_experience_goes_to_one_recipient(endpoint: str) -> None:
    assert broke(body(endpoint, from_=LINE, to=[ANN, MAIL], message={"experience": EXPERIENCE}), "R42")
    assert body(endpoint, from_=LINE, to=[ANN], message={"experience": EXPERIENCE}) is None


# --- text ranges ----------------------------------------------------------------------------------------------------


def dressed(*decorations: Any, value: str = "Hello world") -> Broken | None:
    return text(value, text_decorations=[{"range": [a, b], **rest} for a, b, rest in decorations])


def stuck(*ranges: Any, value: str = "Hello world", **more: Any) -> Broken | None:
    return text(value, inline_stickers=[{"range": list(each), "attachment_id": ID} for each in ranges], **more)


BOLD, ITALIC, SHAKE, NOD = {"style": "bold"}, {"style": "italic"}, {"animation": "shake"}, {"animation": "nod"}


@pytest.mark.parametrize("look", [{}, {**BOLD, **SHAKE}, {"style": "blink"}, {"animation": "bold"}, {"style": 5}])
def test_R43_a_decoration_is_one_style_or_one_animation(look: Any) -> None:
    assert broke(dressed((0, 5, look)), "R43", 1004)
    assert dressed((0, 5, BOLD), (6, 11, SHAKE)) is None


@pytest.mark.parametrize("found", [[0, 12], [5, 5], [6, 5], [-1, 3], [0], [0, 1, 2], [0, True], [0.0, 1.0], "01", None])
def test_R44_a_range_lies_inside_the_text(found: Any) -> None:
    assert broke(text("Hello world", text_decorations=[{"range": found, **BOLD}]), "R44", 1004)
    assert broke(text("Hello world", inline_stickers=[{"range": found, "url": CDN}]), "R44", 1004)
    if found is not None:
        assert broke(text("Hello world", mention=ANN, mention_range=found), "R44", 1004)


def test_R44_counts_utf16_units() -> None:
    assert dressed((0, 2, BOLD), value="🎂") is None
    assert broke(dressed((0, 3, BOLD), value="🎂"), "R44", 1004)


def test_R45_an_animation_overlaps_nothing_while_styles_may_overlap() -> None:
    assert dressed((0, 8, BOLD), (3, 11, ITALIC), (3, 5, BOLD)) is None
    assert dressed((0, 5, SHAKE), (5, 6, BOLD), (6, 11, NOD)) is None
    assert broke(dressed((0, 5, SHAKE), (4, 6, BOLD)), "R45", 1004)
    assert broke(dressed((4, 6, SHAKE), (0, 11, BOLD)), "R45", 1004)
    assert broke(dressed((0, 5, SHAKE), (4, 6, NOD)), "R45", 1004)


@pytest.mark.parametrize("image", [{}, {"url": CDN, "attachment_id": ID}, {"url": ["x"]}])
def test_R46_an_inline_sticker_has_one_image(image: Any) -> None:
    assert broke(text("Hello", inline_stickers=[{"range": [0, 1], **image}]), "R46", 1004)


def test_R47_at_most_100_stickers_of_10_images() -> None:
    def many(count: int, images: int) -> Broken | None:
        stickers = [{"range": [i, i + 1], "url": f"{CDN}?{i % images}"} for i in range(count)]
        return text("x" * count, inline_stickers=stickers)

    assert many(100, 10) is None
    assert broke(many(101, 10), "R47", 1004)
    assert broke(many(11, 11), "R47", 1004)


def test_R48_stickers_overlap_nothing_split_nothing_and_go_without_mentions() -> None:
    assert stuck((0, 2), (2, 4)) is None
    assert broke(stuck((0, 3), (2, 4)), "R48", 1004)
    assert broke(stuck((0, 3), text_decorations=[{"range": [2, 4], **BOLD}]), "R48", 1004)
    assert broke(stuck((0, 1), value="🎂!"), "R48", 1004)
    assert broke(stuck((1, 3), value="🎂!"), "R48", 1004)
    assert stuck((0, 2), value="🎂!") is None
    assert broke(stuck((0, 2), mention=ANN), "R48", 1004)


def test_R50_a_mention_range_needs_a_mention() -> None:
    assert broke(text(mention_range=[0, 2]), "R50", 1004)
    assert broke(text(mention="Ann"), "R50", 1004)
    assert text(mention=ANN) is None
    assert text(mention=MAIL, mention_range=[0, 5]) is None


LOOKS = st.sampled_from([BOLD, ITALIC, SHAKE, NOD])
SHORT_TEXT = st.text(alphabet=st.sampled_from("aé🎂👍\u200d\ufe0f中 "), min_size=1, max_size=8)
RANGES = st.tuples(st.integers(-1, 12), st.integers(-1, 12))


def units(value: str) -> list[int]:
    """Which character every UTF-16 unit belongs to, and one past the end."""
    return [i for i, letter in enumerate(value) for _ in range(1 if ord(letter) < 0x10000 else 2)]


def overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return bool(set(range(*one)) & set(range(*other)))


@given(SHORT_TEXT, st.lists(st.tuples(RANGES, LOOKS), max_size=4), st.lists(RANGES, max_size=3))
def test_ranges_are_judged_as_by_colouring_every_unit(
    value: str, decorations: list[tuple[tuple[int, int], Mapping[str, str]]], stickers: list[tuple[int, int]]
) -> None:
    owner = units(value)
    inside = all(a >= 0 and a < b <= len(owner) for a, b in [each for each, _ in decorations] + stickers)
    moving = any(
        overlap(one, other) and ("animation" in look or "animation" in other_look)
        for (one, look), (other, other_look) in combinations(decorations, 2)
    )
    splits = inside and any(0 < at < len(owner) and owner[at - 1] == owner[at] for each in stickers for at in each)
    covered = any(overlap(one, other) for one, other in combinations(stickers, 2)) or any(
        overlap(one, other) for one in stickers for other, _ in decorations
    )
    expected = "R44" if not inside else "R45" if moving else "R48" if splits or covered else None

    broken = text(
        value,
        text_decorations=[{"range": list(each), **look} for each, look in decorations],
        inline_stickers=[{"range": list(each), "attachment_id": ID} for each in stickers],
    )

    # A bad range anywhere may be found after an overlap elsewhere: decorations are judged before stickers.
    decorated = all(a >= 0 and a < b <= len(owner) for (a, b), _ in decorations)
    if expected == "R44" and decorated and moving:
        expected = "R45"
    assert (broken.rule if broken else None) == expected


# --- chats ----------------------------------------------------------------------------------------------------------


def test_R51_a_chat_has_1_to_31_recipients() -> None:
    people = [f"+1205253{n:04}" for n in range(32)]
    for endpoint in ("chats.create", "messages.create"):
        assert broke(body(endpoint, from_=LINE, to=[], message={"parts": [TEXT]}), "R51", 1001)
        assert broke(body(endpoint, from_=LINE, to=people, message={"parts": [TEXT]}), "R51")
        assert body(endpoint, from_=LINE, to=people[:31], message={"parts": [TEXT]}) is None


@pytest.mark.parametrize("value", ["see https://example.com", "HTTP://X.Y", "(www.example.com)"])
def test_R52_the_first_message_of_a_new_chat_has_no_link(value: str) -> None:
    message = {"parts": [MEDIA, {"type": "text", "value": value}]}
    assert broke(first_message(message), "R52")
    assert broke(first_message({"parts": [LINK]}), "R52")
    assert body("chats.create", from_=LINE, to=[ANN], message=message) is None, "the chat may exist already"


@pytest.mark.parametrize("value", ["hello", "www", "http", "a/b", "see https:// there"])
def test_R52_lets_other_texts_through(value: str) -> None:
    assert first_message({"parts": [{"type": "text", "value": value}]}) is None
    assert first_message({"experience": EXPERIENCE}) is None


@pytest.mark.parametrize("extra", [{"effect": {"name": "slam"}}, {"reply_to": {"message_id": ID}}])
def test_R53_the_first_message_of_a_new_chat_has_no_effect_and_answers_nothing(extra: Any) -> None:
    assert broke(first_message({"parts": [TEXT], **extra}), "R53")


@pytest.mark.parametrize(
    "background",
    [
        {"type": "plain"},
        {"type": "color"},
        {"type": "color", "variant": "red"},
        {"type": "color", "variant": "custom"},
        {"type": "color", "shades": ["#fff", "#000000"]},
        {"type": "color", "shades": ["#ffffff"]},
        {"type": "dynamic"},
        {"type": "dynamic", "style": "sky"},
        {"type": "dynamic", "style": "water", "variant": "dusk"},
        {"type": "photo"},
        {"type": "photo", "image_url": "http://x.y/z.png"},
    ],
)
def test_R66_a_background_is_one_linq_can_paint(background: Any) -> None:
    assert broke(check("chats.background.set", background), "R66")


@pytest.mark.parametrize(
    "background",
    [
        {"type": "color", "variant": "mango"},
        {"type": "color", "variant": "custom", "shades": ["#ffffff", "000000"]},
        {"type": "dynamic", "style": "aurora", "variant": "pink"},
        {"type": "photo", "image_url": "https://x.y/z.png"},
    ],
)
def test_R66_lets_known_backgrounds_through(background: Any) -> None:
    assert check("chats.background.set", background) is None


@pytest.mark.parametrize(
    "memo", [{}, {"voice_memo_url": "https://x.y/z", "attachment_id": ID}, {"voice_memo_url": "http://x.y/z"}]
)
def test_R68_a_voice_memo_has_one_source(memo: Any) -> None:
    assert broke(check("chats.send_voicememo", memo), "R68")
    assert check("chats.send_voicememo", {"attachment_id": ID}) is None


# --- the rest -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("handle", ["12", "123456789", "a-b", "", "Sender Name 12", 5])
def test_R76_what_can_be_blocked_has_a_known_form(handle: Any) -> None:
    assert broke(body("blocked_handles.block", handle=handle), "R76")


@pytest.mark.parametrize("handle", [ANN, MAIL, "123", "12345678", "LINQ", "My Bank 1"])
def test_R76_lets_phones_mail_short_codes_and_sender_ids_through(handle: str) -> None:
    assert body("blocked_handles.block", handle=handle) is None
    assert body("blocked_handles.unblock", handle=handle) is None


@pytest.mark.parametrize(
    "fields", [{"operation": "toggle"}, {"type": "heart"}, {"type": "custom"}, {"type": "custom", "custom_emoji": ""}]
)
def test_R80_reactions_are_known_and_custom_ones_have_their_emoji(fields: Any) -> None:
    assert broke(react(**fields), "R80")


@pytest.mark.parametrize(
    "fields", [{}, {"operation": "remove"}, {"type": "custom", "custom_emoji": "🎂", "part_index": 1}]
)
def test_R80_lets_tapbacks_through(fields: Any) -> None:
    assert react(**fields) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "sticker"},
        {"type": "sticker", "emoji": "🎂", "attachment_id": ID},
        {"type": "sticker", "emoji": "cake"},
        {"type": "sticker", "emoji": "🎂 🎂"},
        {"type": "sticker", "url": "http://x.y"},
        {"type": "love", "emoji": "🎂"},
        {"type": "love", "placement": {"x": 0}},
    ],
)
def test_R81_a_sticker_has_one_image_and_other_reactions_have_none(fields: Any) -> None:
    assert broke(react(**fields), "R81")


@pytest.mark.parametrize(
    "fields", [{"emoji": "1️⃣"}, {"emoji": "👩‍👩‍👧‍👦"}, {"url": CDN}, {"attachment_id": ID, "placement": {"scale": 99}}]
)
def test_R81_lets_stickers_through(fields: Any) -> None:
    assert react(type="sticker", **fields) is None


def test_R82_stickers_cannot_be_removed() -> None:
    assert broke(react(operation="remove", type="sticker", emoji="🎂"), "R82")


@pytest.mark.parametrize("placement", [{"x": 1.1}, {"y": -2}, {"x": "0"}, {"scale": "big"}, {"rotation": True}])
def test_R83_a_sticker_is_placed_on_its_message(placement: Any) -> None:
    assert broke(react(type="sticker", emoji="🎂", placement=placement), "R83")
    assert broke(body("messages.update_sticker_placement", placement=placement), "R83")


def test_R85_an_app_card_is_updated_with_an_address_or_an_experience() -> None:
    layout = {"caption": "x"}
    assert body("messages.update_app_card", layout=layout, url="https://x.y") is None
    assert broke(body("messages.update_app_card", layout=layout, url="https://x.y", experience=EXPERIENCE), "R85")


def test_R86_a_poll_has_two_options_with_text() -> None:
    def poll(*options: Any) -> Broken | None:
        return body("chats.polls.create", poll={"options": list(options)})

    assert poll({"text": "a"}, {"text": "b"}) is None
    assert broke(poll({"text": "a"}), "R86")
    assert broke(poll({"text": "a"}, {}), "R3", 1001)
    assert broke(poll({"text": "a"}, {"text": ""}), "R4")
    assert broke(body("messages.poll.add_options", options=[]), "R86")


def test_R88_a_vote_adds_or_removes_one_option() -> None:
    assert body("messages.poll.vote", operation="add", option_id="o1") is None
    assert broke(body("messages.poll.vote", operation="set", option_id="o1"), "R88")


def test_R90_stopping_a_location_share_names_whose() -> None:
    assert broke(body("chats.location.stop"), "R3", 1001)
    assert body("chats.location.stop", handle=ANN) is None


def upload(**fields: Any) -> Broken | None:
    return body("attachments.create", **{"filename": "a.png", "content_type": "image/png", "size_bytes": 1, **fields})


@pytest.mark.parametrize("size", [0, -1, 100 * 2**20 + 1, "5", True])
def test_R91_an_upload_has_1_byte_to_100_megabytes(size: Any) -> None:
    assert broke(upload(size_bytes=size), "R91")
    assert upload(size_bytes=100 * 2**20) is None


@pytest.mark.parametrize("kind", ["audio/flac", "audio/ogg", "application/x-msdownload", "image", 5])
def test_R92_an_upload_is_of_a_type_linq_takes(kind: Any) -> None:
    assert broke(upload(content_type=kind), "R92")
    assert len(CONTENT_TYPES) == 51
    assert all(upload(content_type=each) is None for each in CONTENT_TYPES)


def test_R94_a_contact_card_has_a_first_name_and_a_line() -> None:
    assert broke(body("contact_card.create", phone_number=LINE), "R3", 1001)
    assert broke(body("contact_card.create", phone_number="x", first_name="Ann"), "R7", 1002)
    assert body("contact_card.create", phone_number=LINE, first_name="Ann") is None
    assert broke(check("contact_card.update", {"first_name": "Ann"}), "R3", 1001)
    assert check("contact_card.update", {"first_name": "Ann"}, {"phone_number": LINE}) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"target_url": "http://example.com/hook"},
        {"target_url": "example.com"},
        {"subscribed_events": []},
        {"subscribed_events": ["message received"]},
        {"subscribed_events": ["message.received", "message"]},
    ],
)
def test_R95_a_webhook_has_an_https_target_and_events(fields: Any) -> None:
    good = {"target_url": "https://example.com/hook?version=2026-02-03", "subscribed_events": ["message.received"]}
    assert body("webhook_subscriptions.create", **good) is None
    assert broke(body("webhook_subscriptions.create", **{**good, **fields}), "R95")
    assert broke(body("webhook_subscriptions.update", **fields), "R95")


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": 49},
        {"currency": "eur"},
        {"mode": "gift"},
        {"rail": "cash"},
        {"mode": "subscription", "amount": 50, "price_id": "p"},
        {"trial_end": 1, "trial_period_days": 2},
        {"discount": {"coupon": "a", "promotion_code": "b"}},
        {"rail": "natural", "from_": LINE},
        {"metadata": {str(n): "x" for n in range(50)}},
        {"metadata": {"linq_id": "x"}},
    ],
)
def test_R96_a_payment_request_fits_its_mode(fields: Any) -> None:
    good = {"amount": 50, "currency": "usd"}
    assert body("payment_requests.create", **good) is None
    assert body("payment_requests.create", mode="subscription", price_id="p") is None
    assert broke(body("payment_requests.create", **{**good, **fields}), "R96")


def test_R96_rcs_is_asked_for_phones_only() -> None:
    assert broke(body("capability.check_RCS", address=MAIL), "R96")
    assert body("capability.check_i_message", address=MAIL) is None


def test_R79_a_thread_is_read_upwards_or_downwards() -> None:
    assert check("messages.list_messages_thread", None, {"order": "desc"}) is None
    assert broke(check("messages.list_messages_thread", None, {"order": "down"}), "R79")


# --- what the messages say ------------------------------------------------------------------------------------------

NAMES = """
parts type value url attachment_id text_decorations range style inline_stickers mention mention_range effect name
reply_to message_id part_index preferred_service app layout caption experience action params options poll text message
to from handle placement x discount metadata subscribed_events idempotency_key shades operation variant amount emoji
"""
ANY_NAME = st.sampled_from(sorted(set(NAMES.split())))
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just("secret words"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_NAME, inner, max_size=4),
    max_leaves=12,
)
ENDPOINTS = """
chats.create chats.messages.send messages.create messages.add_reaction messages.update_app_card chats.polls.create
chats.background.set payment_requests.create webhook_subscriptions.update contact_card.create blocked_handles.block
"""
PARTS = st.sampled_from([TEXT, MEDIA, LINK, CARD, CLIP])
ODD_PARTS = st.builds(lambda part, junk: {**part, **junk}, PARTS, st.dictionaries(ANY_NAME, JUNK, max_size=3))


@given(st.sampled_from(ENDPOINTS.split()), st.dictionaries(ANY_NAME, JUNK, max_size=6))
def test_whatever_comes_is_judged_and_never_quoted(endpoint: str, junk: dict[str, Any]) -> None:
    broken = check(endpoint, junk)
    assert broken is None or "secret" not in broken.message


@given(st.lists(PARTS | ODD_PARTS, max_size=4), JUNK, JUNK)
def test_whatever_parts_come_are_judged_and_never_quoted(parts: list[Any], effect: Any, service: Any) -> None:
    broken = send(*parts, effect=effect, preferred_service=service)
    assert broken is None or "secret" not in broken.message
