"""Photos of iPhones, in Apple's HEIC format, reach models as JPEG."""

from __future__ import annotations

import io
import sys
import threading
from typing import Any

import pytest
from answers import answers
from frameworks import Answer, Outside, bot_of, each_framework, with_pydantic_ai  # noqa: F401 - a fixture
from linqbot_agent import LinqAgent, files, photos
from structlog.testing import capture_logs

from linqbot.testing import talking

pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")

from PIL import Image
from pillow_heif import from_pillow

RED, BLUE = (220, 30, 30), (30, 30, 220)
ORIENTATION, PLACE = 0x0112, 0x8825


def photo(width: int = 640, height: int = 480, orientation: int = 1, mode: str = "RGB") -> bytes:
    """Return a HEIC photo whose upper left quarter is red and whose rest is blue, with the place where it was taken."""
    picture = Image.new("RGB", (width, height), BLUE)
    picture.paste(RED, (0, 0, width // 2, height // 2))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif.get_ifd(PLACE)[1] = "N"
    written = io.BytesIO()
    from_pillow(picture.convert(mode)).save(written, exif=exif.tobytes())
    return written.getvalue()


def opened(content: bytes) -> Any:
    picture = Image.open(io.BytesIO(content))
    assert picture.format == "JPEG"
    return picture


def is_like(color: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return all(abs(one - two) < 60 for one, two in zip(color, other, strict=True))


async def test_each_framework_is_shown_a_photo_of_an_iphone_as_jpeg(framework: Answer) -> None:
    outside = Outside(names=(), paragraphs=["Nice."])
    async with talking(bot_of(outside, framework(outside), LinqAgent(images=1))) as phone:
        await phone.media(photo(), "IMG_0001.HEIC", text="Look")
        assert len(await phone.replies()) == 1
        assert await phone.errors() == []
    (shown,) = outside.files[-1]
    assert opened(shown).size == (640, 480)
    assert "[The picture IMG_0001.HEIC:]" in str(outside.requests[-1])


async def test_a_photo_is_converted_once_while_it_is_shown_with_each_message(
    framework: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = list[threading.Thread]()

    def counted(content: bytes) -> bytes:
        converted.append(threading.current_thread())
        return photos_as_jpeg(content)

    photos_as_jpeg = photos.as_jpeg
    monkeypatch.setattr(photos, "as_jpeg", counted)
    outside = Outside(names=(), paragraphs=["Nice."])
    async with talking(bot_of(outside, framework(outside), LinqAgent(images=2))) as phone:
        await phone.media(photo(), "IMG_0001.HEIC")
        await phone.replies()
        for text in ("And?", "Well?"):
            await answers(phone, text)
        assert len(converted) == 1
        assert threading.current_thread() not in converted
        assert len(outside.files[-1]) == 1
        phone.emulator.state.lines[phone.line].zero_retention = True
        await answers(phone, "And now?")
        await answers(phone, "And again?")
    assert len(converted) == 2  # nothing is remembered on a line that keeps nothing


def test_a_photo_is_seen_as_the_phone_was_held_and_says_no_place(subtests: pytest.Subtests) -> None:
    # By the orientation of Exif: the size of the picture, and where its red quarter is.
    cases = {1: ((640, 480), (0, 0)), 3: ((640, 480), (1, 1)), 6: ((480, 640), (1, 0)), 8: ((480, 640), (0, 1))}
    for orientation, (size, (right, lower)) in cases.items():
        with subtests.test(orientation=orientation):
            picture = opened(photos.as_jpeg(photo(orientation=orientation)))
            assert picture.size == size
            width, height = size
            for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
                color = picture.getpixel((width // 4 + x * width // 2, height // 4 + y * height // 2))
                assert is_like(color, RED if (x, y) == (right, lower) else BLUE), (x, y, color)
            assert dict(picture.getexif()) == {}
            assert not picture.info.keys() & {"exif", "xmp", "icc_profile", "comment"}


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA"])
def test_a_photo_of_any_mode_is_converted(mode: str) -> None:
    assert opened(photos.as_jpeg(photo(mode=mode))).mode == "RGB"


def test_a_large_photo_becomes_as_large_as_models_read() -> None:
    converted = photos.as_jpeg(photo(4032, 3024))
    assert opened(converted).size == (2048, 1536)
    assert len(converted) < files.PICTURE_BYTES


async def test_a_photo_with_too_many_pixels_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    content = photo()
    monkeypatch.setattr(photos, "MOST_PIXELS", 640 * 480 - 1)
    with pytest.raises(photos.TooLarge):
        photos.as_jpeg(content)


IPHONES = photo()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (IPHONES[:400], "its format cannot be read"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "its format cannot be read"),
        (IPHONES + bytes(4 << 20), "it is too large or no longer available"),
        (b"no picture", "its format cannot be read"),
    ],
)
async def test_a_photo_that_cannot_be_shown_is_named_and_the_message_answered(content: bytes, why: str) -> None:
    outside = Outside(names=(), paragraphs=["Pity."])
    async with talking(bot_of(outside, with_pydantic_ai(outside), LinqAgent(images=1))) as phone:
        await phone.media(content, "IMG_0001.HEIC", text="Look")
        assert len(await phone.replies()) == 1
        assert await phone.errors() == []
    assert outside.files[-1] == []
    assert f"[The picture IMG_0001.HEIC cannot be shown: {why}]" in str(outside.requests[-1])


async def test_a_photo_with_too_many_pixels_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MOST_PIXELS", 1000)
    outside = Outside(names=(), paragraphs=["Pity."])
    async with talking(bot_of(outside, with_pydantic_ai(outside), LinqAgent(images=1))) as phone:
        await phone.media(photo(), "IMG_0001.HEIC", text="Look")
        assert len(await phone.replies()) == 1
    assert "cannot be shown: it is too large" in str(outside.requests[-1])


async def test_a_photo_that_is_named_as_another_kind_is_converted_too() -> None:
    outside = Outside(names=(), paragraphs=["Nice."])
    async with talking(bot_of(outside, with_pydantic_ai(outside), LinqAgent(images=1))) as phone:
        await phone.media(photo(), "holiday.jpg", text="Look")
        await phone.replies()
    assert opened(outside.files[-1][0]).size == (640, 480)


@pytest.mark.parametrize(("images", "says"), [(1, 1), (0, 0)])
async def test_without_the_extra_the_start_says_once_what_to_install(
    images: int, says: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    outside = Outside(names=(), paragraphs=["Pity."])
    with capture_logs() as logs:
        async with talking(bot_of(outside, with_pydantic_ai(outside), LinqAgent(images=images))) as phone:
            for _ in range(2):
                await phone.media(IPHONES, "IMG_0001.HEIC", text="Look")
                await phone.replies()
    found = [each for each in logs if each["event"] == "agent.no_photos_of_iphones"]
    assert [each["to_do"] for each in found] == ["Install linqbot-agent[heic]."] * says
    assert ("in Apple's HEIC format, which models cannot read" in str(outside.requests[-1])) == bool(images)
