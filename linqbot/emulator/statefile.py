"""The whole state as one JSON object in the shapes of the API: for `--state FILE`, seeds and restarts.

The object has the lists `phone_numbers`, `chats`, `messages`, `attachments`, `webhook_subscriptions`, `contact_cards`,
`blocked_handles`, `payment_requests`, `payments` and `connections`; ids stay as they are. In addition to the API's
fields there are a few of the emulator, such as the number of edits, so that a new run continues where another ended. A
seed written by hand may leave out every field with an obvious default. Rate limits, typing and shared locations are not
saved.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from linqbot.emulator.endpoints import payment_requests, payments
from linqbot.emulator.engine import sending
from linqbot.emulator.engine.world import World
from linqbot.emulator.model import content_shapes, shapes
from linqbot.emulator.model.records import (
    AttachmentRecord,
    BlockedHandleRecord,
    ChatRecord,
    ConnectionRecord,
    ContactCardRecord,
    EarlierText,
    Line,
    Member,
    MessageRecord,
    NoticeRecord,
    PaymentRecord,
    PaymentRequestRecord,
    PollOptionRecord,
    PollRecord,
    ReactionRecord,
    SubscriptionRecord,
    iso,
    new_id,
    seconds,
)

Json = Mapping[str, Any]


def load(world: World, data: Json) -> None:
    """Fill the empty state of a world.

    Raises:
        ValueError: the data does not have the form that this module describes. The message names the list.
    """
    where = "the top"
    try:
        for where, item in _items(data):
            _LOADERS[where](world, item)
        where = "opted_out"
        world.state.opted_out.update(str(handle) for handle in data.get("opted_out") or ())
        where = "services"
        world.state.services.update({str(key): _service(value) for key, value in (data.get("services") or {}).items()})
        where = "providers"
        world.state.providers.update({str(key): str(value) for key, value in (data.get("providers") or {}).items()})
        world.state.is_sandbox = bool(data.get("sandbox", world.state.is_sandbox))
        world.state.keeps_s = data.get("keeps_s", world.state.keeps_s)
        where = "payment_keys"
        world.state.payment_keys.update({str(key): str(value) for key, value in (data.get(where) or {}).items()})
        where = "idempotency_keys"
        world.state.keys.update({str(key): str(value) for key, value in (data.get("idempotency_keys") or {}).items()})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"The state's {where} are not in the API's shapes: {type(error).__name__} {error}") from error


def _items(data: Json) -> Any:
    for name in _LOADERS:
        for item in data.get(name) or ():
            yield name, item


def _time(value: str | None) -> float | None:
    return None if value is None else seconds(value)


def _service(value: Any) -> str:
    if value not in {"iMessage", "RCS", "SMS"}:
        raise ValueError("service must be iMessage, RCS or SMS")
    return str(value)


def _line(world: World, item: Json) -> None:
    line = Line(
        phone_number=str(item["phone_number"]),
        id=item.get("id") or new_id(),
        line_type=item.get("line_type") or "iMessage",
        reputation=(item.get("reputation") or {}).get("status") or "HEALTHY",
        status=item.get("status") or "ACTIVE",
        forwarding_number=item.get("forwarding_number"),
        zero_retention=bool(item.get("zero_retention")),
    )
    world.state.lines[line.phone_number] = line


def _member(world: World, item: Json, default_at: float) -> Member:
    handle = str(item["handle"])
    member = Member(
        id=item.get("id") or world.state.handle_id(handle),
        handle=handle,
        service=_service(item.get("service") or "iMessage"),
        joined_at=_time(item.get("joined_at")) or default_at,
        is_me=bool(item.get("is_me")),
        status=item.get("status") or "active",
        left_at=_time(item.get("left_at")),
        line_type=item.get("line_type"),
    )
    world.state.remember_handle(member)
    return member


def _chat(world: World, item: Json) -> None:
    created = _time(item.get("created_at")) or world.now()
    members = [_member(world, one, created) for one in item["handles"]]
    line = next((one.handle for one in members if one.is_me), None)
    if line is None or line not in world.state.lines or len(members) < 2:
        raise ValueError("a chat needs a line of the account (is_me) and at least one other handle")
    is_group = bool(item.get("is_group", len(members) > 2))
    health = item.get("health_status") or {}
    chat = ChatRecord(
        id=item.get("id") or new_id(),
        line=line,
        members=members,
        is_group=is_group,
        service=_service(item.get("service") or "iMessage"),
        created_at=created,
        updated_at=_time(item.get("updated_at")) or created,
        seq=world.state.next_seq(),
        name=_name(item, members) if is_group else None,
        icon=item.get("group_chat_icon"),
        health=health.get("status") or "HEALTHY",
        health_at=_time(health.get("updated_at")) or created,
        reusable=bool(item.get("reusable", True)),
        background=content_shapes.read_background(item.get("background")),
        card_shared_at=_time(item.get("card_shared_at")),
        notices=[_notice(one) for one in item.get("notices") or ()],
    )
    world.state.add_chat(chat)


def _notice(item: Json) -> NoticeRecord:
    return NoticeRecord(
        kind=str(item["kind"]),
        at=seconds(item["created_at"]),
        by=str(item["by"]),
        handle=item.get("handle"),
        value=item.get("value"),
        after=item.get("after"),
    )


def _name(item: Json, members: list[Member]) -> str | None:
    """Return the name of a group that was set; None if there is none.

    In the API's shape a group without a name shows its people as the name.
    """
    if "name" in item:
        return item["name"] or None
    shown = item.get("display_name")
    people = ", ".join(member.handle for member in members if not member.is_me)
    return None if not shown or shown.replace(" ", "") == people.replace(" ", "") else str(shown)


def _message(world: World, item: Json) -> None:
    chat = world.state.chats[item["chat_id"]]
    is_from_me = bool(item.get("is_from_me"))
    created = _time(item.get("created_at")) or world.now()
    given = item.get("from_handle") or {"handle": item.get("from")}
    sender = chat.me if is_from_me else chat.member(str(given["handle"])) or _member(world, given, created)
    asked_parts = item.get("parts") or ()
    message = MessageRecord(
        id=item.get("id") or new_id(),
        chat_id=chat.id,
        seq=world.state.next_seq(),
        is_from_me=is_from_me,
        sender=sender,
        parts=[content_shapes.read_part(part, world.state.lines) for part in asked_parts],
        status=item.get("delivery_status") or ("delivered" if is_from_me else "received"),
        service=_service(item.get("service") or chat.service),
        created_at=created,
        updated_at=_time(item.get("updated_at")) or created,
        preferred_service=item.get("preferred_service"),
        effect=content_shapes.read_effect(item.get("effect")),
        reply_to=content_shapes.read_reply(item.get("reply_to")),
        idempotency_key=item.get("idempotency_key"),
        sent_at=_time(item.get("sent_at")),
        delivered_at=_time(item.get("delivered_at")),
        read_at=_time(item.get("read_at")),
        reconciled_at=_time(item.get("reconciled_at")),
        edits=int(item.get("edits") or 0),
        earlier=[
            EarlierText(int(one["part_index"]), str(one["text"]), seconds(one["until"]))
            for one in item.get("earlier") or ()
        ],
        is_voice_memo=bool(item.get("is_voice_memo")),
        zero_retention=bool(item.get("zero_retention")),
    )
    for index, part in enumerate(asked_parts):
        message.reactions += [_reaction(world, chat, one, index, created) for one in part.get("reactions") or ()]
    if item.get("poll"):
        message.poll = _poll(world, chat, item["poll"], created)
        message.reactions += [_reaction(world, chat, one, 0, created) for one in item["poll"].get("reactions") or ()]
    world.remember(chat, message)
    if is_from_me:
        sending.resume(world, chat, message)


def _known(world: World, chat: ChatRecord, item: Json, default_at: float) -> Member:
    return chat.member(str(item["handle"])) or _member(world, item, default_at)


def _reaction(world: World, chat: ChatRecord, item: Json, index: int, default_at: float) -> ReactionRecord:
    return ReactionRecord(
        id=item.get("id") or new_id(),
        type=str(item["type"]),
        by=_known(world, chat, item["handle"], default_at),
        part_index=index,
        at=default_at,
        custom_emoji=item.get("custom_emoji"),
        sticker=content_shapes.read_sticker(item.get("sticker")),
        placement=content_shapes.read_placement(item.get("placement")),
    )


def _poll(world: World, chat: ChatRecord, item: Json, default_at: float) -> PollRecord:
    options = []
    for one in item["poll"]["options"]:
        voters = {str(vote["handle"]): _time(vote.get("voted_at")) or default_at for vote in one.get("voters") or ()}
        creator = _known(world, chat, one.get("creator_handle") or {"handle": chat.line}, default_at)
        options.append(PollOptionRecord(one.get("option_id") or new_id(), str(one["text"]), creator, voters))
    return PollRecord(options, _time(item.get("updated_at")) or default_at)


def _attachment(world: World, item: Json) -> None:
    data = item.get("data_base64")
    attachment = AttachmentRecord(
        id=item.get("id") or new_id(),
        filename=str(item["filename"]),
        content_type=str(item["content_type"]),
        size_bytes=int(item.get("size_bytes") or 0),
        created_at=_time(item.get("created_at")) or world.now(),
        upload_token=item.get("upload_token"),
        expires_at=_time(item.get("expires_at")) or 0.0,
        content=None if data is None else base64.b64decode(data, validate=True),
    )
    world.state.attachments[attachment.id] = attachment


def _subscription(world: World, item: Json) -> None:
    created = _time(item.get("created_at")) or world.now()
    subscription = SubscriptionRecord(
        id=item.get("id") or new_id(),
        target_url=str(item["target_url"]),
        subscribed_events=[str(one) for one in item["subscribed_events"]],
        secret=str(item["signing_secret"]),
        created_at=created,
        updated_at=_time(item.get("updated_at")) or created,
        is_active=bool(item.get("is_active", True)),
        phone_numbers=item.get("phone_numbers") or None,
        routing_id_header=item.get("routing_id_header"),
        routing_key_header=item.get("routing_key_header"),
    )
    world.state.subscriptions[subscription.id] = subscription
    world.deliveries.open(subscription)


def _card(world: World, item: Json) -> None:
    card = ContactCardRecord(
        id=item.get("id") or new_id(),
        phone_number=str(item["phone_number"]),
        first_name=str(item["first_name"]),
        last_name=item.get("last_name"),
        image_url=item.get("image_url"),
        is_active=bool(item.get("is_active", True)),
        is_given=bool(item.get("is_given", False)),
    )
    world.state.cards[card.phone_number] = card


def _blocked(world: World, item: Json) -> None:
    at = _time(item.get("blocked_at")) or world.now()
    world.state.blocked[str(item["handle"])] = BlockedHandleRecord(str(item["handle"]), at, item.get("reason"))


def _request(world: World, item: Json) -> None:
    one = PaymentRequestRecord(**_times(PaymentRequestRecord, item))
    world.state.payment_requests[one.id] = one
    payment_requests.wait_for_end(world, one)


def _payment(world: World, item: Json) -> None:
    one = PaymentRecord(**_times(PaymentRecord, item))
    world.state.payments[one.id] = one
    payments.wait_for_end(world, one)


def _connection(world: World, item: Json) -> None:
    one = ConnectionRecord(**_times(ConnectionRecord, item))
    world.state.connections[one.handle] = one


def _times(kind: type[PaymentRequestRecord | PaymentRecord | ConnectionRecord], item: Json) -> dict[str, Any]:
    """Return the fields of a record, with times as numbers."""
    known = {each.name for each in fields(kind)}
    given = {name: value for name, value in item.items() if name in known}
    return {
        name: seconds(value) if name.endswith("_at") and isinstance(value, str) else value
        for name, value in given.items()
    }


# In this order: what comes later names what came before.
_LOADERS = {
    "phone_numbers": _line,
    "chats": _chat,
    "messages": _message,
    "attachments": _attachment,
    "webhook_subscriptions": _subscription,
    "contact_cards": _card,
    "blocked_handles": _blocked,
    "payment_requests": _request,
    "payments": _payment,
    "connections": _connection,
}


def dump(world: World, *, with_files: bool = True) -> dict[str, Any]:
    """Return the state as a JSON object. It holds signing secrets.

    Args:
        with_files: False leaves out the contents of files.
    """
    state = world.state
    return {
        "phone_numbers": [
            shapes.line(one) | {"status": one.status, "zero_retention": one.zero_retention}
            for one in state.lines.values()
        ],
        "chats": [_dump_chat(one) for one in state.chats.values()],
        "messages": [_dump_message(one) for chat in state.chats.values() for one in chat.messages],
        "attachments": [_dump_attachment(world, one, with_file=with_files) for one in state.attachments.values()],
        "webhook_subscriptions": [
            shapes.subscription(one) | {"signing_secret": one.secret} for one in state.subscriptions.values()
        ],
        "contact_cards": [
            shapes.contact_card(one) | {"id": one.id, "is_given": one.is_given} for one in state.cards.values()
        ],
        "blocked_handles": [shapes.blocked_handle(one) for one in state.blocked.values()],
        "payment_requests": [_plain(one) for one in state.payment_requests.values()],
        "payments": [_plain(one) for one in state.payments.values()],
        "connections": [_plain(one) for one in state.connections.values()],
        "providers": dict(state.providers),
        "payment_keys": dict(state.payment_keys),
        "sandbox": state.is_sandbox,
        "keeps_s": state.keeps_s,
        "opted_out": sorted(state.opted_out),
        "services": dict(state.services),
        "idempotency_keys": dict(state.keys),
    }


def _plain(one: PaymentRequestRecord | PaymentRecord | ConnectionRecord) -> dict[str, Any]:
    """Return a record with all its fields: the API's shapes of payments hide fields that the emulator needs."""
    return {name: iso(value) if name.endswith("_at") and value else value for name, value in asdict(one).items()}


def _dump_chat(chat: ChatRecord) -> dict[str, Any]:
    return shapes.chat(chat) | {
        "name": chat.name,
        "reusable": chat.reusable,
        "background": content_shapes.plain(chat.background),
        "card_shared_at": shapes.time_or_none(chat.card_shared_at),
        "notices": [shapes.watched_notice(one) for one in chat.notices],
    }


def _dump_message(message: MessageRecord) -> dict[str, Any]:
    ours: dict[str, Any] = {
        "edits": message.edits,
        "earlier": shapes.earlier_texts(message),
        "idempotency_key": message.idempotency_key,
        "is_voice_memo": message.is_voice_memo,
        "zero_retention": message.zero_retention,
        "parts": shapes.watched_parts(message),
    }
    if message.poll:
        reactions = [shapes.watched_reaction(one) for one in message.reactions]
        ours["poll"] = shapes.poll_envelope(message) | {"reactions": reactions}
    return shapes.message(message) | ours


def _dump_attachment(world: World, one: AttachmentRecord, *, with_file: bool) -> dict[str, Any]:
    content = None if one.content is None or not with_file else base64.b64encode(one.content).decode()
    return shapes.attachment(one, world.public_url) | {
        "data_base64": content,
        # Without its contents an uploaded file would look as if it were not uploaded yet.
        "upload_token": one.upload_token if with_file or one.is_awaited else None,
        "expires_at": iso(one.expires_at),
    }
