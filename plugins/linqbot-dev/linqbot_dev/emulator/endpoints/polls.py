"""Polls: made by the bot or by a person, extended, voted on (R86-R88)."""

from __future__ import annotations

from collections.abc import Sequence

from linqbot_dev.emulator.endpoints.chats import present
from linqbot_dev.emulator.endpoints.endpoint import ApiRequest
from linqbot_dev.emulator.engine import sending
from linqbot_dev.emulator.engine.sending import repeated, send
from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model import payloads, shapes
from linqbot_dev.emulator.model.answers import EndpointResponse, JsonObject, conflict, existing, invalid
from linqbot_dev.emulator.model.documents import new_id
from linqbot_dev.emulator.model.records import ChatRecord, Member, MessageRecord, PollOptionRecord, PollRecord


def chats_polls_create(world: World, request: ApiRequest) -> EndpointResponse:
    chat, asked = present(world, request), request.body["poll"]
    message = repeated(world, asked.get("idempotency_key"))
    if message is None:
        if chat.service != "iMessage":
            raise invalid("Polls need an iMessage chat")
        sending.check_send(world, world.line_of(chat), chat.people, override_optout=False)
        poll = new_poll(world, chat.me, [option["text"] for option in asked["options"]])
        message = send(world, chat, {"idempotency_key": asked.get("idempotency_key")}, parts=[], poll=poll)
    return EndpointResponse(202, _envelope(message))


def new_poll(world: World, creator: Member, texts: Sequence[str]) -> PollRecord:
    return PollRecord([PollOptionRecord(new_id(), text, creator) for text in texts], world.now())


def messages_poll_retrieve(world: World, request: ApiRequest) -> JsonObject:
    _, message, _ = world.state.poll(request.path["message_id"])
    return shapes.kept_poll(message)


def messages_poll_add_options(world: World, request: ApiRequest) -> EndpointResponse:
    """Add options to a poll. With zero retention the request also lists the present options first (R87)."""
    chat, message, poll = world.state.poll(request.path["message_id"])
    sending.check_able(world, chat)
    texts = [option["text"] for option in request.body["options"]]
    if world.line_of(chat).zero_retention:
        known = [option.text for option in poll.options]
        if texts[: len(known)] != known:
            raise invalid("On this line, list the options there are, in order, and then the new ones")
        texts = texts[len(known) :]
    extend(world, chat, message, chat.me, texts)
    return EndpointResponse(202, _envelope(message))


def messages_poll_vote(world: World, request: ApiRequest) -> EndpointResponse:
    body = request.body
    chat, message, _ = world.state.poll(request.path["message_id"])
    sending.check_able(world, chat)
    if body["operation"] in {"add", "remove"}:  # another operation is not known, and changes nothing
        toggle(world, chat, message, chat.me, body["option_id"], is_on=body["operation"] == "add")
    return EndpointResponse(202, _envelope(message))


def extend(world: World, chat: ChatRecord, message: MessageRecord, by: Member, texts: Sequence[str]) -> None:
    assert message.poll is not None
    first, poll = len(message.poll.options), message.poll
    poll.options += new_poll(world, by, texts).options
    poll.updated_at = world.now()
    if first < len(poll.options):
        world.emit("poll.updated", payloads.poll_updated(chat, message, first), chat)
    world.show_message(message)


def toggle(
    world: World, chat: ChatRecord, message: MessageRecord, voter: Member, option_id: str, *, is_on: bool
) -> None:
    """Vote for one option, or take the vote back. If the vote is as wanted already, no event is emitted."""
    assert message.poll is not None
    option = existing(next((one for one in message.poll.options if one.id == option_id), None), "poll option")
    if is_on == (voter.handle in option.voters):
        return
    now = world.now()
    if is_on:
        option.voters[voter.handle] = now
    else:
        del option.voters[voter.handle]
    message.poll.updated_at = now
    event = "poll.vote.added" if is_on else "poll.vote.removed"
    world.emit(event, payloads.poll_vote(chat, message, voter, option_id), chat)
    world.show_message(message)


def _envelope(message: MessageRecord) -> dict[str, object]:
    if message.poll is None:
        raise conflict("This idempotency key was used for a message that is no poll")
    return shapes.poll_envelope(message)
