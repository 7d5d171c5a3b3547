"""The events that linqbot makes itself: a schedule that is due, a broadcast that has ended, and a post.

A post is what a program outside the bot, such as a web shop or a cron job, has put into a chat's lane. `@bot.every`,
`@bot.on_broadcast_done` and `@bot.on_post` handle these events. Linq knows nothing of them.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from linqbot.errors import PostNotUnderstood
from linqbot.linq.events.delivery import BROADCAST_DONE_ID, BROADCAST_DONE_TYPE, POST_ID, POST_TYPE, Delivery
from linqbot.linq.events.event import Event
from linqbot.linq.events.lane import as_object
from linqbot.linq.types.data import unfitting_fields

M = TypeVar("M", bound=BaseModel)


class BroadcastDone(Event):
    """A broadcast has ended: each person has an outcome. It has no person and no chat: use `ctx.bot` and `ctx.client`.

    Attributes:
        name: The broadcast's name.
        line: Your line that it was sent from, E.164.
        was_cancelled: True if an operator cancelled it.
        began_at: The time at which it was stored, in UTC.
        people, sent, opted_out, refused, failed, cancelled: Numbers of people, as in `Broadcast`.
    """

    types = (BROADCAST_DONE_TYPE,)

    name: str
    was_cancelled: bool = False
    began_at: datetime
    people: int = 0
    sent: int = 0
    opted_out: int = 0
    refused: int = 0
    failed: int = 0
    cancelled: int = 0

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield from (("name", self.name), ("people", self.people), ("sent", self.sent))


SCHEDULE_TYPE: Final = "linqbot.schedule"
"""The event type. It is sent only by `linqbot trigger schedule`."""

SCHEDULE_ID: Final = "i.schedule."
"""Prefix of the ids of deliveries that a due schedule became. A webhook cannot have such an id."""

MOST_MISSED: Final = 1000
"""Missed times are counted up to this number."""


class ScheduleDue(Event):
    """A schedule is due. It has no person and no chat: use `ctx.bot.send(…, to=…)` and `ctx.client`.

    Attributes:
        name: The schedule's name: that of its function, or the `name=` of `@bot.every`.
        due: The time at which it was due, in the schedule's time zone. It is earlier than the present if the bot was
            down or busy then.
        missed: The number of due times before `due` that got no event of their own, because the bot was down or busy.
            At most 1,000 are counted.
    """

    types = (SCHEDULE_TYPE,)

    name: str
    due: datetime
    missed: int = 0

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield from (("name", self.name), ("due", self.due.isoformat()), ("missed", self.missed))


class Posted(Event):
    """A program outside the bot has posted something.

    Attributes:
        name: The name of the post, such as `order.shipped`.
        post_id: The id that the program gave to the post.
        data: The data of the post, a JSON object. `read` gives it a type.
        actor: The person that the post was addressed to; None if it was addressed to a chat, or to nothing.
        chat_id: The chat that it was addressed to, or the direct chat with the person. None if there is none. If a person is
            named, the first message or question of the handler opens it.
    """

    types = (POST_TYPE,)

    name: str
    post_id: str
    data: dict[str, Any]

    def read(self, model: builtins.type[M]) -> M:  # `type` is a field of this class
        """Return the data as a pydantic model.

        Raises:
            PostNotUnderstood: a field is missing or has another type. The post becomes a dead letter at once.

        Example: `order = post.read(Order)`
        """
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            fields = ", ".join(unfitting_fields(error))
            raise PostNotUnderstood(
                f"The post {self.name} with the id {self.post_id} does not fit {model.__name__}: {fields} missing or "
                "wrong. It is kept: linqbot waiting retry handles it again."
            ) from None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield from (("name", self.name), ("post_id", self.post_id), ("chat_id", self.chat_id))


def own_event(delivery: Delivery, body: Any) -> Event | None:
    """Return the event of a delivery that linqbot made; None for any other, and for a schedule without a name.

    `linqbot trigger schedule` sends a schedule as a webhook. Every run of the turn gets the same event, because it
    depends only on what is stored.
    """
    envelope = as_object(body)
    data = as_object(envelope.get("data"))
    at = datetime.fromtimestamp(delivery.received_at, UTC)
    own: dict[str, Any] = {"event_id": delivery.id, "event_type": delivery.type, "created_at": at}
    if delivery.type == SCHEDULE_TYPE and isinstance(name := data.get("name"), str) and name:
        due, missed = at, 0
        if delivery.id.startswith(SCHEDULE_ID):
            due, missed = merged(delivery, as_object(data.get("every")))
        if isinstance(event_id := envelope.get("event_id"), str):
            own["event_id"] = event_id
        return ScheduleDue.model_validate({**own, "name": name, "due": due, "missed": missed})
    if delivery.type == BROADCAST_DONE_TYPE and delivery.id.startswith(BROADCAST_DONE_ID):
        return BroadcastDone.model_validate({**data, **own})
    if delivery.type == POST_TYPE and delivery.id.startswith(POST_ID):
        given = {name: data.get(name) for name in ("name", "data", "chat_id")}
        if given["chat_id"] is None:
            given["line"] = data.get("line")  # it writes the first message to the person
        return Posted.model_validate({**own, **given, "post_id": data.get("id"), "actor": data.get("person")})
    return None


def merged(delivery: Delivery, every: dict[str, Any]) -> tuple[datetime, int]:
    """Return the due time that the delivery of a recurring timer stands for, and the number of those merged into it.

    The due time is the last one up to the time at which the timer fired.
    """
    from linqbot.clock import zone
    from linqbot.parse.recurrences import last_until, recurrence

    first = datetime.fromtimestamp(int(delivery.id.rpartition(".")[2]), UTC)
    try:
        rhythm = recurrence(every["spec"], timezone=every["timezone"], language="en")
        fired_at = datetime.fromtimestamp(delivery.received_at, UTC)
        due, missed = last_until(rhythm, first, fired_at, most=MOST_MISSED)
        return due.astimezone(zone(rhythm.timezone)), missed
    except (KeyError, TypeError, ValueError):  # stored by another release, or the time zone is gone from this machine
        return first, 0
