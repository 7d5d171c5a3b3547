"""Attachments: announced, uploaded to an address of the emulator, used, downloaded (R91-R93)."""

from __future__ import annotations

import secrets

from linqbot_dev.emulator.endpoints.endpoint import ApiRequest
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import shapes
from linqbot_dev.emulator.model.answers import ApiError, EndpointResponse, JsonObject
from linqbot_dev.emulator.model.documents import iso, new_id
from linqbot_dev.emulator.model.records import AttachmentRecord

UPLOAD_WINDOW_S = 900.0


def attachments_create(world: World, request: ApiRequest) -> EndpointResponse:
    body, now = request.body, world.now()
    attachment = AttachmentRecord(
        id=new_id(),
        filename=body["filename"],
        content_type=body["content_type"],
        size_bytes=body["size_bytes"],
        created_at=now,
        upload_token=secrets.token_urlsafe(24),
        expires_at=now + UPLOAD_WINDOW_S,
    )
    world.state.attachments[attachment.id] = attachment
    answer = {
        "attachment_id": attachment.id,
        "upload_url": f"{world.public_url}/uploads/{attachment.id}?token={attachment.upload_token}",
        "download_url": shapes.attachment_url(world.public_url, attachment),
        "http_method": "PUT",
        "required_headers": {"Content-Type": attachment.content_type, "Content-Length": str(attachment.size_bytes)},
        "expires_at": iso(attachment.expires_at),
    }
    return EndpointResponse(201, answer)


def store(world: World, attachment_id: str, *, token: str, content_type: str, content: bytes) -> None:
    attachment = world.state.attachments.get(attachment_id)
    if (
        attachment is None
        or not secrets.compare_digest(token.encode(), (attachment.upload_token or "").encode())
        or world.now() > attachment.expires_at
        or content_type != attachment.content_type
        or len(content) != attachment.size_bytes
    ):
        raise ApiError(403, 2005, "The upload is not as announced, or too late")
    attachment.content = content


def add(world: World, filename: str, content_type: str, content: bytes) -> AttachmentRecord:
    attachment = AttachmentRecord(new_id(), filename, content_type, len(content), world.now(), content=content)
    world.state.attachments[attachment.id] = attachment
    return attachment


def attachments_retrieve(world: World, request: ApiRequest) -> JsonObject:
    attachment = world.state.attachment(request.path["attachment_id"])
    return shapes.attachment(attachment, world.public_url)


def attachments_delete(world: World, request: ApiRequest) -> None:
    """Delete an attachment (R93). Parts that show it stay, and their address answers 404."""
    attachment = world.state.attachment(request.path["attachment_id"])
    del world.state.attachments[attachment.id]
