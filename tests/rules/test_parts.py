"""Parts of a message: one test per rule, named after it."""

from __future__ import annotations

from typing import Any

import pytest
from rules.asking import CLIP, ID, IDENTITY, app, body, broke, send

from linqbot.linq.rules import Broken


def test_R25_an_app_clip_is_an_https_address() -> None:
    rows: list[Any] = ["http://example.com", "example.com", "https://", 5]
    assert [value for value in rows if not broke(send({**CLIP, "value": value}), "R25", 1004)] == []


def test_R26_a_link_has_at_most_2048_characters() -> None:
    def link(length: int) -> Broken | None:
        return send({"type": "link", "value": "https://example.com/".ljust(length, "a")})

    assert link(2048) is None
    assert broke(link(2049), "R26", 1004)
    assert send({"type": "link", "value": "http://example.com"}) is None


@pytest.mark.parametrize("part", [{}, {"url": "https://x.y/z", "attachment_id": ID}])
def test_R28_media_comes_by_url_or_by_attachment(part: Any) -> None:
    assert broke(send({"type": "media", **part}), "R28", 1004)


def test_R29_media_addresses_are_https() -> None:
    rows: list[Any] = [
        "http://example.com/a.png",
        "ftp://x/y",
        "data:image/png;base64,AA",
        "https:///a",
        "https://a b",
        "",
        5,
    ]
    assert [url for url in rows if not broke(send({"type": "media", "url": url}), "R29", 1004)] == []


def test_R29_https_and_the_emulators_own_machine_are_fine() -> None:
    rows: list[str] = [
        "HTTPS://example.com",
        "https://x.y?a=b",
        "http://127.0.0.1:4010/f.png",
        "http://localhost/f",
        "http://[::1]:4010",
    ]
    assert [url for url in rows if send({"type": "media", "url": url}) is not None] == []


def test_R29_no_other_host_passes_for_this_machine() -> None:
    for url in (
        "http://127.0.0.1.example.com/",
        "http://localhost.evil/",
        "http://127.0.0.1@evil/",
        "http://127.0.0.1:80@evil/",
    ):
        assert broke(send({"type": "media", "url": url}), "R29", 1004)


def test_R35_an_app_card_names_its_app_as_apple_does() -> None:
    rows: list[Any] = [
        {"team_id": "abcde12345"},
        {"team_id": "ABC"},
        {"team_id": None},
        {"bundle_id": "a:b"},
        {"bundle_id": ""},
        {"name": ""},
        {"name": None},
    ]
    assert [change for change in rows if not broke(app(app={**IDENTITY, **change}), "R35", 1004)] == []


@pytest.mark.parametrize("layout", [{}, {"image_title": "x"}, {"caption": ""}, {"subtitle": "x"}])
def test_R36_an_app_card_shows_something(layout: Any) -> None:
    assert broke(app(layout=layout), "R36", 1004)
    assert broke(body("messages.update_app_card", layout=layout), "R36", 1004)


@pytest.mark.parametrize("name", ["caption", "subcaption", "trailing_caption", "trailing_subcaption", "image_title"])
def test_R4_the_texts_of_an_app_card_are_texts(name: str) -> None:
    layout = {"caption": "Hi", "image_url": "https://x.y/z.png", name: ["Hi"]}
    assert broke(app(layout=layout), "R4")
    assert broke(body("messages.update_app_card", layout=layout), "R4")


@pytest.mark.parametrize("change", [{"fallback_text": 5}, {"interactive": "yes"}])
def test_R4_the_options_of_an_app_card_have_their_types(change: Any) -> None:
    assert broke(app(**change), "R4")


def test_R4_the_caption_of_an_app_clip_is_a_text() -> None:
    assert send({**CLIP, "caption": "Order"}) is None
    assert broke(send({**CLIP, "caption": 5}), "R4")


@pytest.mark.parametrize("url", ["image.png", "data:image/png;base64,AA", 5])
def test_R38_the_image_of_an_app_card_has_an_address(url: Any) -> None:
    assert broke(app(layout={"image_url": url}), "R38", 5007)
    assert app(layout={"image_url": "http://x.y/z.png"}) is None


@pytest.mark.parametrize("name", ["image_title", "image_subtitle"])
def test_R37_image_captions_need_an_image(name: str) -> None:
    assert broke(app(layout={"caption": "x", name: "y"}), "R37", 1004)
    assert app(layout={"image_url": "https://x.y/z.png", name: "y"}) is None


def test_R39_an_app_address_is_short_https_or_data() -> None:
    rows: list[Any] = ["http://x.y", "x", "https://x.y/".ljust(2049, "a"), "data:".ljust(16385, "a"), 5]
    assert [url for url in rows if not broke(app(url=url), "R39", 1004)] == []


@pytest.mark.parametrize("url", ["https://x.y/".ljust(2048, "a"), "data:".ljust(16384, "a")])
def test_R39_lets_the_longest_through(url: str) -> None:
    assert app(url=url) is None
