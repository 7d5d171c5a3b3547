"""R91-R94: uploads, attachments, contact cards."""

from __future__ import annotations

from typing import Any, cast

import httpx
import pytest
from linqbot_dev.emulator.acts.chat_acts import ChangeLine
from linqbot_dev.emulator.acts.conversation import Write
from linqbot_dev.emulator.declared_world import LINES
from linqbot_dev.emulator.emulator import Emulator
from linqbot_dev.emulator.model.message_content import MediaPartRecord

from emulator.conftest import LINE, PERSON, Api, Ids, Receiver, passes, refused

ASKED = {"filename": "pic.png", "content_type": "image/png", "size_bytes": 4}


async def announce(api: Api, **more: Any) -> dict[str, Any]:
    answer = await api.post("/v3/attachments", json=ASKED | more)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def put(api: Api, upload: dict[str, Any], content: bytes = b"\x89PNG", **headers: str) -> int:
    answer = await api.put(upload["upload_url"], content=content, headers=upload["required_headers"] | headers)
    return answer.status_code


async def test_r91_an_upload_must_be_as_announced_and_in_time(emulator: Emulator, api: Api) -> None:
    upload = await announce(api)
    assert await put(api, upload, b"too long") == 403
    assert await put(api, upload, **cast("Any", {"Content-Type": "image/jpeg"})) == 403
    assert await put(api, upload | {"upload_url": upload["upload_url"] + "x"}) == 403
    path = f"/v3/attachments/{upload['attachment_id']}"
    assert (await api.get(path)).json()["status"] == "pending"
    assert (await api.get(upload["download_url"])).status_code == 404
    assert await put(api, upload) == 200
    assert (await api.get(path)).json()["status"] == "complete"
    late = await announce(api)
    emulator.advance(901)
    assert await put(api, late) == 403


async def test_an_attachment_may_be_sent_before_its_bytes_have_arrived(emulator: Emulator, api: Api, chat: Ids) -> None:
    upload = await announce(api, filename="song.mp3", content_type="audio/mp3")
    message = await api.sent(chat, {"type": "media", "attachment_id": upload["attachment_id"]})
    (part,) = message["parts"]
    assert (part["id"], part["mime_type"], part["size_bytes"]) == (upload["attachment_id"], "audio/mpeg", 4)
    assert part["url"] == upload["download_url"]
    assert await put(api, upload) == 200
    emulator.advance(1)
    assert emulator.state.messages[message["id"]].status == "delivered"


@pytest.mark.parametrize("is_sticker", [False, True])
async def test_a_message_with_a_file_that_was_announced_and_not_uploaded_fails(
    emulator: Emulator, api: Api, receiver: Receiver, chat: Ids, is_sticker: bool
) -> None:
    emulator.subscribe("https://bot.example/hook", ["message.sent", "message.delivered", "message.failed"])
    image = {"attachment_id": (await announce(api))["attachment_id"]}
    text = {"type": "text", "value": "hi", "inline_stickers": [image | {"range": [0, 2]}]}
    message = await api.sent(chat, text if is_sticker else {"type": "media"} | image)
    await passes(emulator, 1)
    assert emulator.state.messages[message["id"]].status == "failed"
    (heard,) = receiver.events
    assert (heard["event_type"], heard["data"]["message_id"]) == ("message.failed", message["id"])
    assert heard["data"]["code"] == 4001


async def test_an_own_download_url_is_the_same_attachment(api: Api, chat: Ids) -> None:
    upload = await announce(api)
    part = (await api.sent(chat, {"type": "media", "url": upload["download_url"]}))["parts"][0]
    assert part["id"] == upload["attachment_id"]


async def test_r93_a_deleted_attachment_cannot_be_used_or_downloaded(api: Api, chat: Ids) -> None:
    upload = await announce(api)
    await put(api, upload)
    message = (await api.sent(chat, {"type": "media", "attachment_id": upload["attachment_id"]}))["id"]
    path = f"/v3/attachments/{upload['attachment_id']}"
    assert (await api.delete(path)).status_code == 204
    refused(await api.delete(path), 404, 2003)
    assert (await api.get(upload["download_url"])).status_code == 404
    assert (await api.get(f"/v3/messages/{message}")).json()["parts"][0]["filename"] == "pic.png"


async def served_as(kind: str, emulator: Emulator, api: Api) -> httpx.Response:
    """Download a file that a person sent with the type `kind`."""
    part = {"type": "media", "filename": "x.html", "mime_type": kind, "data_base64": "PGI+"}
    emulator.do(Write(from_=PERSON, to=LINE, parts=[part]))
    media = list(emulator.state.messages.values())[-1].parts[0]
    assert isinstance(media, MediaPartRecord)
    return await api.get(media.url)


async def test_a_type_with_scripts_is_served_as_bytes(emulator: Emulator, api: Api, subtests: pytest.Subtests) -> None:
    types = "text/html text/HTML text/html;charset=utf-8 text/html, text/javascript */* text ü"
    types += " application/xhtml+xml text/xml application/xml image/x+xml text/xsl"
    odd = ["text/html; charset=utf-8", " text/html ", "application/xhtml+xml; x", "text/plain, text/html", ""]
    injected = ["a\r\nset-cookie: x", "image/png\r\nx: y"]
    for kind in [*types.split(), *odd, *injected]:
        with subtests.test(kind=kind):
            answer = await served_as(kind, emulator, api)
            assert answer.headers["content-type"] == "application/octet-stream"
            assert "sandbox" in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert not {"set-cookie", "x"} & set(answer.headers)


async def test_a_file_type_that_is_only_shown_is_kept_without_parameters(
    emulator: Emulator, api: Api, subtests: pytest.Subtests
) -> None:
    for kind, served in [
        ("image/png", "image/png"),
        ("Image/JPEG; q=1", "image/jpeg"),
        ("text/plain; x, text/html", "text/plain"),
        ("audio/webm;codecs=opus", "audio/webm"),
        ("image/svg+xml", "image/svg+xml"),
    ]:
        with subtests.test(kind=kind):
            assert (await served_as(kind, emulator, api)).headers["content-type"] == served


async def test_an_available_number_comes_with_its_vcard(api: Api) -> None:
    await api.post("/v3/contact_card", json={"phone_number": LINE, "first_name": "Acme; Co", "last_name": "A\nB"})
    found = (await api.get("/v3/available_number")).json()
    card = (await api.get(found["vcf_url"])).text
    assert card.split("\r\n")[2:5] == [r"N:A B;Acme\; Co;;;", r"FN:Acme\; Co A B", f"TEL:{LINE}"]
    assert (await api.get("/vcards/nobody.vcf")).status_code == 404


async def test_r94_a_line_has_one_contact_card_with_few_changes_in_ten_minutes(emulator: Emulator, api: Api) -> None:
    query = {"phone_number": LINE}
    emulator.do(ChangeLine(phone_number=LINE, card="deleted"))
    refused(await api.patch("/v3/contact_card", params=query, json={"last_name": "x"}), 404, 2012)
    foreign = {"phone_number": "+12025550999", "first_name": "A"}
    refused(await api.post("/v3/contact_card", json=foreign), 403, 2005)
    card = {"phone_number": LINE, "first_name": "Acme"}
    assert (await api.post("/v3/contact_card", json=card)).status_code == 201
    refused(await api.post("/v3/contact_card", json=card), 409, 2014)
    for name in ("Support", "Sales"):
        merged = (await api.patch("/v3/contact_card", params=query, json={"last_name": name})).json()
        assert (merged["first_name"], merged["last_name"]) == ("Acme", name)
    limited = await api.patch("/v3/contact_card", params=query, json={"last_name": "x"})
    assert refused(limited, 429, 1007)["retry_after"] == 600
    emulator.advance(600)
    assert (await api.patch("/v3/contact_card", params=query, json={"last_name": "x"})).status_code == 200
    assert len((await api.get("/v3/contact_card", params=query)).json()["contact_cards"]) == 1


async def test_a_new_line_has_a_card_which_the_bots_own_replaces(emulator: Emulator, api: Api, chat: Ids) -> None:
    async def shown() -> list[str]:
        found = (await api.get("/v3/contact_card")).json()["contact_cards"]
        return [f"{one['phone_number']} {one['first_name']}" for one in found]

    assert await shown() == [f"{line} Your bot" for line in LINES]
    assert (await api.post(f"/v3/chats/{chat['chat_id']}/share_contact_card")).status_code == 204
    emulator.reset(emulator.save_state())
    card = {"phone_number": LINE, "first_name": "Acme"}
    assert (await api.post("/v3/contact_card", json=card)).status_code == 201
    refused(await api.post("/v3/contact_card", json=card), 409, 2014)
    # A card that the bot has changed is its own.
    other = {"phone_number": LINES[1], "first_name": "Acme"}
    await api.patch("/v3/contact_card", params={"phone_number": LINES[1]}, json={"last_name": "Support"})
    refused(await api.post("/v3/contact_card", json=other), 409, 2014)
    assert set(await shown()) == {f"{LINE} Acme", f"{LINES[1]} Your bot"}


async def test_a_file_whose_name_is_no_path_is_fetched(emulator: Emulator, api: Api, subtests: pytest.Subtests) -> None:
    for name in (".", "..", "two\nlines.png"):
        with subtests.test(name=name):
            upload = await announce(api, filename=name)
            assert await put(api, upload) == 200
            assert (await api.get(upload["download_url"])).content == b"\x89PNG"
            part = {"type": "media", "filename": name, "data_base64": "AAAA"}
            heard = emulator.do(Write(from_=PERSON, to=LINE, parts=[part]))
            (shown,) = (await api.get(f"/v3/messages/{heard['message_id']}")).json()["parts"]
            assert (shown["filename"], (await api.get(shown["url"])).content) == (name, b"\0\0\0")


async def test_a_file_whose_name_has_half_an_emoji_can_be_fetched(api: Api) -> None:
    headers = {"content-type": "application/json"}
    asked = b'{"filename": "\\ud83d.png", "content_type": "image/png", "size_bytes": 4}'
    answer = await api.post("/v3/attachments", content=asked, headers=headers)
    assert answer.status_code == 201, answer.text
    assert await put(api, answer.json()) == 200
    assert (await api.get(answer.json()["download_url"])).content == b"\x89PNG"


async def test_a_person_may_send_a_file_by_an_address_on_linqs_servers(emulator: Emulator) -> None:
    address = "https://cdn.linqapp.com/attachments/partners/p/a/menu.pdf"
    heard = emulator.do(Write(from_=PERSON, to=LINE, parts=[{"type": "media", "url": address}]))
    (part,) = emulator.state.messages[str(heard["message_id"])].parts
    assert isinstance(part, MediaPartRecord)
    assert part.url == address
