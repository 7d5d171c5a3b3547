"""Calls of chats and messages, each as it is written with our client and with the official client."""

from __future__ import annotations

from client.call_table import (
    ANN,
    CHAT,
    CHAT_ANSWER,
    CONTENT,
    HANDLES,
    LINE,
    MESSAGE_ANSWER,
    POLL_ANSWER,
    QUEUED,
    REACTION,
    SENT,
    SENT_MESSAGE,
    Row,
)

from linqbot.linq.types.chat import Accepted, Chat, ChatUpdate, Placed
from linqbot.linq.types.chat_features import ChatLocation, LocationAccepted, PollEnvelope
from linqbot.linq.types.message import (
    AppPart,
    ChatCreatedResponse,
    Message,
    MessageCreated,
    MessageSentResponse,
    VoiceMemoSent,
)

APP_PART = {
    "type": "imessage_app",
    "app": {"team_id": "ABCDE12345", "bundle_id": "com.example.app", "name": "App", "app_store_id": 1234},
    "layout": {"caption": "Table for two", "subcaption": None},
    "url": "https://example.com/card",
    "fallback_text": "Booked",
    "reactions": None,
}

ROWS = [
    Row(
        "chats.create",
        lambda c: c.chats.create(from_=LINE, to=[ANN], message=CONTENT, override_optout=True),
        status=201,
        answer={"chat": {**CHAT_ANSWER, "message": SENT_MESSAGE}},
        read=lambda got: isinstance(got, ChatCreatedResponse) and got.chat.message.id == SENT,
    ),
    Row(
        "chats.list_chats",
        lambda c: c.chats.list_chats(cursor="20", from_=LINE, limit=50, to="ann+b@example.com"),
        answer={"chats": [CHAT_ANSWER], "next_cursor": "70"},
        read=lambda got: isinstance(got.items[0], Chat) and got.next_cursor == "70",
    ),
    Row(
        "chats.retrieve",
        lambda c: c.chats.retrieve(CHAT),
        answer=CHAT_ANSWER,
        read=lambda got: isinstance(got, Chat) and got.handles[0].is_me is True and got.is_group,
    ),
    Row(
        "chats.update",
        lambda c: c.chats.update(CHAT, display_name="Team", group_chat_icon="https://example.com/i.png"),
        answer={"chat_id": CHAT, "status": "pending"},
        read=lambda got: got == ChatUpdate(chat_id=CHAT, status="pending"),
    ),
    Row(
        "chats.leave_chat",
        lambda c: c.chats.leave_chat(CHAT),
        status=202,
        answer=QUEUED,
        read=lambda got: isinstance(got, Accepted) and got.status == "accepted",
    ),
    Row("chats.mark_as_read", lambda c: c.chats.mark_as_read(CHAT), status=204),
    Row("chats.share_contact_card", lambda c: c.chats.share_contact_card(CHAT), status=204),
    Row(
        "chats.send_voicememo",
        lambda c: c.chats.send_voicememo(CHAT, voice_memo_url="https://example.com/memo.m4a"),
        status=202,
        answer={
            "voice_memo": {
                "id": SENT,
                "from": LINE,
                "to": [ANN],
                "status": "queued",
                "created_at": "2024-01-15T10:30:00Z",
                "chat": {"id": CHAT, "handles": HANDLES, "is_active": True, "is_group": False, "service": "iMessage"},
                "voice_memo": {
                    "id": CHAT,
                    "filename": "m.m4a",
                    "mime_type": "audio/x-m4a",
                    "size_bytes": 9,
                    "url": "u",
                },
            }
        },
        read=lambda got: isinstance(got, VoiceMemoSent) and got.voice_memo.from_ == LINE,
    ),
    Row(
        "chats.participants.add",
        lambda c: c.chats.participants.add(CHAT, handle="+12052499136"),
        status=202,
        answer=QUEUED,
        read=lambda got: isinstance(got, Accepted) and got.trace_id == "trace_id",
    ),
    Row(
        "chats.participants.remove",
        lambda c: c.chats.participants.remove(CHAT, handle="+12052499136"),
        status=202,
        answer=QUEUED,
        read=lambda got: isinstance(got, Accepted),
    ),
    Row("chats.typing.start", lambda c: c.chats.typing.start(CHAT), status=204),
    Row("chats.typing.stop", lambda c: c.chats.typing.stop(CHAT), status=204),
    Row(
        "chats.messages.send",
        lambda c: c.chats.messages.send(CHAT, message=CONTENT),
        status=202,
        answer={"chat_id": CHAT, "message": SENT_MESSAGE},
        read=lambda got: isinstance(got, MessageSentResponse) and got.message.delivery_status == "pending",
    ),
    Row(
        "chats.messages.list",
        lambda c: c.chats.messages.list(CHAT, limit=2),
        answer={"messages": [MESSAGE_ANSWER, {**MESSAGE_ANSWER, "parts": None}], "next_cursor": None},
        read=lambda got: [each.text for each in got.items] == ["Hello!", ""] and got.next_cursor is None,
    ),
    Row(
        "messages.create",
        lambda c: c.messages.create(
            to=[ANN],
            message=CONTENT,
            continuation_message={"text": "It is us, from a new number."},
            exclude_from=[LINE],
            override_optout=False,
            idempotency_key="key-1",
        ),
        status=202,
        answer={
            "chat_id": CHAT,
            "created_new_chat": True,
            "from": LINE,
            "from_selection": {"reason": "new_best_number", "reused_existing_chat": False},
            "handles": HANDLES,
            "is_group": False,
            "message": SENT_MESSAGE,
            "service": "iMessage",
        },
        read=lambda got: isinstance(got, MessageCreated) and got.from_ == LINE and got.from_selection is not None,
    ),
    Row(
        "messages.retrieve",
        lambda c: c.messages.retrieve(SENT),
        answer=MESSAGE_ANSWER,
        read=lambda got: isinstance(got, Message) and got.text == "Hello!",
    ),
    Row(
        "messages.update",
        lambda c: c.messages.update(SENT, text="Hello?", part_index=0),
        answer=MESSAGE_ANSWER,
        read=lambda got: isinstance(got, Message),
    ),
    Row("messages.delete", lambda c: c.messages.delete(SENT), status=204),
    Row(
        "messages.add_reaction",
        lambda c: c.messages.add_reaction(
            SENT, operation="add", type="sticker", emoji="🎂", placement={"x": 0.5, "y": -1, "scale": 2}
        ),
        status=202,
        answer=QUEUED,
        read=lambda got: isinstance(got, Accepted),
    ),
    Row(
        "chats.location.retrieve",
        lambda c: c.chats.location.retrieve(CHAT),
        answer={
            "success": True,
            "data": {
                "type": "FeatureCollection",
                "features": [
                    {
                        "type": "Feature",
                        "geometry": {"type": "Point", "coordinates": [13.4, 52.5]},
                        "properties": {
                            "handle": "ann@example.com",
                            "updated_at": "2026-11-05T17:30:00.120Z",
                            "address": "Unter den Linden 1",
                            "locality": "Berlin",
                        },
                    }
                ],
            },
        },
        read=lambda got: (
            isinstance(got, ChatLocation)
            and (got.data.features[0].geometry.latitude, got.data.features[0].geometry.longitude) == (52.5, 13.4)
        ),
    ),
    Row(
        "chats.location.request",
        lambda c: c.chats.location.request(CHAT),
        answer={"success": True, "message": "Location request sent"},
        read=lambda got: got == LocationAccepted(success=True, message="Location request sent"),
    ),
    Row(
        "chats.location.stop",
        lambda c: c.chats.location.stop(CHAT, handle=ANN),
        status=202,
        answer={"success": True, "message": "Location sharing stop queued"},
        read=lambda got: isinstance(got, LocationAccepted) and got.success is True,
    ),
    Row(
        "chats.polls.create",
        lambda c: c.chats.polls.create(
            CHAT, poll={"options": [{"text": "Friday"}, {"text": "Sunday"}], "idempotency_key": "key-1"}
        ),
        status=202,
        answer=POLL_ANSWER,
        read=lambda got: isinstance(got, PollEnvelope) and got.poll.options[0].voters[0].handle == "+14155559876",
    ),
    Row(
        "chats.background.set",
        lambda c: c.chats.background.set(CHAT, type="color", shades=["#112233", "#445566"]),
        status=202,
    ),
    Row("chats.background.remove", lambda c: c.chats.background.remove(CHAT), status=202),
    Row(
        "messages.update_sticker_placement",
        lambda c: c.messages.update_sticker_placement(
            REACTION, message_id=SENT, placement={"x": 0.5, "y": -0.5, "rotation": 45}
        ),
        answer={"success": True, "status": "accepted", "trace_id": "trace_id"},
        read=lambda got: got == Placed(success=True, status="accepted", trace_id="trace_id"),
    ),
    Row(
        "messages.list_messages_thread",
        lambda c: c.messages.list_messages_thread(SENT, cursor="1", limit=5, order="desc"),
        answer={"messages": [MESSAGE_ANSWER], "next_cursor": None},
        read=lambda got: [each.id for each in got] == [SENT],
    ),
    Row(
        "messages.update_app_card",
        lambda c: c.messages.update_app_card(
            SENT,
            layout={"caption": "Table for two", "image_url": "https://example.com/i.png", "image_title": "8 pm"},
            url="https://example.com/card",
            fallback_text="Booked",
            interactive=False,
        ),
        status=202,
        answer={"chat_id": CHAT, "message": {**SENT_MESSAGE, "parts": [APP_PART]}},
        read=lambda got: isinstance(got, MessageSentResponse) and isinstance(got.message.parts[0], AppPart),
    ),
    Row(
        "messages.poll.retrieve",
        lambda c: c.messages.poll.retrieve(SENT),
        answer=POLL_ANSWER,
        read=lambda got: isinstance(got, PollEnvelope) and got.reactions[0].custom_emoji == "🎂",
    ),
    Row(
        "messages.poll.add_options",
        lambda c: c.messages.poll.add_options(SENT, options=[{"text": "Monday"}]),
        answer=POLL_ANSWER,
        read=lambda got: isinstance(got, PollEnvelope) and got.poll.options[1].creator_handle is None,
    ),
    Row(
        "messages.poll.vote",
        lambda c: c.messages.poll.vote(SENT, operation="add", option_id="opt_1"),
        answer=POLL_ANSWER,
        read=lambda got: isinstance(got, PollEnvelope) and got.poll.total_voters == 1,
    ),
]
