"""The whole state as one JSON object in the shapes of the API: for `--state FILE`, seeds and restarts.

The object has the lists `phone_numbers`, `chats`, `messages`, `attachments`, `webhook_subscriptions`, `contact_cards`,
`blocked_handles`, `payment_requests`, `payments` and `connections`; ids stay as they are. In addition to the API's
fields there are a few of the emulator, such as the number of edits, so that a new run continues where another ended. A
seed written by hand may leave out every field with an obvious default. Rate limits, typing and shared locations are not
saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from linqbot.linq.types.message import Sticker
from linqbot_dev.emulator.endpoints import payments
from linqbot_dev.emulator.engine import sending
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import documents, records, shapes
from linqbot_dev.emulator.model.documents import new_id, read, seconds
from linqbot_dev.emulator.model.message_content import mime_type_of, read_part

Json = Mapping[str, Any]


def load(world: World, data: Json) -> None:
    """Fill the empty state of a world.

    Raises:
        ValueError: the data does not have the form that this module describes. The message names the list.
    """
    state, where = world.state, "the top"
    try:
        state.is_sandbox = bool(data.get("sandbox", state.is_sandbox))
        for where in dict.fromkeys(("phone_numbers", "chats", "messages", *_KEPT)):  # each names only earlier ones
            load_one = {"chats": _chat, "messages": _message}.get(where) or partial(_keep, where)
            for item in data.get(where) or ():
                load_one(world, item)
        for where, kept in {
            "providers": state.providers,
            "payment_keys": state.payment_keys,
            "idempotency_keys": state.keys,
        }.items():
            kept.update({str(key): str(value) for key, value in (data.get(where) or {}).items()})
        where = "services"
        state.services.update(
            {str(key): records.checked_service(value) for key, value in (data.get(where) or {}).items()}
        )
        where = "opted_out"
        state.opted_out.update(str(handle) for handle in data.get(where) or ())
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"The state's {where} are not in the API's shapes: {type(error).__name__} {error}") from error


_KEPT: Mapping[str, tuple[type[Any], str, str]] = {
    "phone_numbers": (records.Line, "lines", "phone_number"),
    "attachments": (records.AttachmentRecord, "attachments", "id"),
    "webhook_subscriptions": (records.SubscriptionRecord, "subscriptions", "id"),
    "contact_cards": (records.ContactCardRecord, "cards", "phone_number"),
    "blocked_handles": (records.BlockedHandleRecord, "blocked", "handle"),
    "payment_requests": (records.PaymentRequestRecord, "payment_requests", "id"),
    "payments": (records.PaymentRecord, "payments", "id"),
    "connections": (records.ConnectionRecord, "connections", "handle"),
}
"""The lists of records that need no other: their kind, the attribute of the state that keeps them, and their key there."""


def _keep(where: str, world: World, item: Json) -> None:
    kind, kept, key = _KEPT[where]
    created, now = _created(world, item), world.now()
    one = read(kind, item, id=new_id(), created_at=created, updated_at=created, blocked_at=now, size_bytes=0)
    getattr(world.state, kept)[getattr(one, key)] = one
    if isinstance(one, records.SubscriptionRecord):
        world.deliveries.open(one)
    if isinstance(one, records.PaymentRecord | records.PaymentRequestRecord):
        payments.wait_for_end(world, one)


def _member(world: World, item: Json, joined_at: float) -> records.Member:
    known = world.state.handle_id(str(item["handle"]), item.get("id"))
    return read(records.Member, item, id=known, service="iMessage", joined_at=joined_at)


def _chat(world: World, item: Json) -> None:
    created = _created(world, item)
    members = [_member(world, one, created) for one in item["handles"]]
    line = next((one.handle for one in members if one.is_me), None)
    if line is None or line not in world.state.lines or len(members) < 2:
        raise ValueError("a chat needs a line of the account (is_me) and at least one other handle")
    is_group, health = bool(item.get("is_group", len(members) > 2)), item.get("health_status") or {}
    chat = read(
        records.ChatRecord,
        {**item, "handles": members, "name": _name(item, members) if is_group else None},
        id=new_id(),
        line=line,
        is_group=is_group,
        service="iMessage",
        created_at=created,
        updated_at=created,
        seq=world.state.next_seq(),
        health=health.get("status") or "HEALTHY",
        health_at=seconds(health["updated_at"]) if health.get("updated_at") else created,
    )
    world.state.add_chat(chat)


def _created(world: World, item: Json) -> float:
    return seconds(item["created_at"]) if item.get("created_at") else world.now()


def _name(item: Json, members: list[records.Member]) -> str | None:
    """Return the name of a group that was set; None if there is none.

    In the API's shape a group without a name shows its people as the name.
    """
    if "name" in item:
        return item["name"] or None
    shown = item.get("display_name")
    people = ", ".join(member.handle for member in members if not member.is_me)
    return None if not shown or shown.replace(" ", "") == people.replace(" ", "") else str(shown)


def _message(world: World, item: Json) -> None:
    chat, created, is_from_me = world.state.chats[item["chat_id"]], _created(world, item), bool(item.get("is_from_me"))
    given = item.get("from_handle") or {"handle": item.get("from")}
    parts, poll = item.get("parts") or (), item.get("poll") or {}
    reactions = [_reaction(world, chat, one, index, created) for index, part in enumerate(parts) for one in _in(part)]
    message = read(
        records.MessageRecord,
        {**item, "from_handle": chat.me if is_from_me else _known(world, chat, given, created)},
        parts=[read_part(part, world.state.lines) for part in parts],
        poll=_poll(world, chat, poll, created) if poll else None,
        reactions=reactions + [_reaction(world, chat, one, 0, created) for one in _in(poll)],
        id=new_id(),
        seq=world.state.next_seq(),
        is_from_me=False,
        delivery_status="delivered" if is_from_me else "received",
        service=chat.service,
        created_at=created,
        updated_at=created,
    )
    world.state.add_message(chat, message)
    if is_from_me:
        sending.resume(world, chat, message)


def _in(item: Json) -> Any:
    return item.get("reactions") or ()


def _known(world: World, chat: records.ChatRecord, item: Json, joined_at: float) -> records.Member:
    return chat.member(str(item["handle"])) or _member(world, item, joined_at)


def _reaction(world: World, chat: records.ChatRecord, item: Json, index: int, at: float) -> records.ReactionRecord:
    sticker = item.get("sticker")
    if sticker:
        filename = sticker.get("file_name") or "file"
        sticker = read(Sticker, sticker, file_name=filename, mime_type=mime_type_of(filename), width=160, height=160)
    member = _known(world, chat, item["handle"], at)
    return read(
        records.ReactionRecord, {**item, "handle": member, "sticker": sticker}, id=new_id(), part_index=index, at=at
    )


def _poll(world: World, chat: records.ChatRecord, item: Json, at: float) -> records.PollRecord:
    options = []
    for one in item["poll"]["options"]:
        creator = _known(world, chat, one.get("creator_handle") or {"handle": chat.line}, at)
        voters = {vote["handle"]: vote.get("voted_at") or at for vote in one.get("voters") or ()}
        options.append(
            read(records.PollOptionRecord, {**one, "creator_handle": creator, "voters": voters}, option_id=new_id())
        )
    return read(records.PollRecord, {**item, "options": options}, updated_at=at)


def dump(world: World, *, with_files: bool = True) -> dict[str, Any]:
    """Return the state as a JSON object. It holds signing secrets.

    Args:
        with_files: False leaves out the attachments.
    """
    state = world.state
    files = state.attachments.values() if with_files else ()
    return {
        **{where: list(map(documents.saved, getattr(state, kept).values())) for where, (_, kept, _) in _KEPT.items()},
        "chats": [shapes.saved_chat(one) for one in state.chats.values()],
        "messages": [shapes.saved_message(one) for chat in state.chats.values() for one in chat.messages],
        "attachments": [shapes.attachment(one, world.public_url) | documents.saved(one) for one in files],
        "providers": dict(state.providers),
        "payment_keys": dict(state.payment_keys),
        "sandbox": state.is_sandbox,
        "opted_out": sorted(state.opted_out),
        "services": dict(state.services),
        "idempotency_keys": dict(state.keys),
    }
