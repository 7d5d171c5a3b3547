"""The event of a post: what a program outside the bot has put into a chat's lane, such as a web shop or a cron job.

`features/posts.py` stores posts, and `@bot.on_post` handles them. Linq knows nothing of posts.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from linqbot.errors import PostNotUnderstood
from linqbot.linq.events.delivery import POST_ID, POST_TYPE, Delivery
from linqbot.linq.events.event import Event, as_object
from linqbot.linq.types.data import unfitting_fields

M = TypeVar("M", bound=BaseModel)


class Posted(Event):
    """A program outside the bot has posted something.

    Attributes:
        name: The name of the post, such as `order.shipped`.
        post_id: The id that the program gave to the post.
        data: The data of the post, a JSON object. `read` gives it a type.
        actor: The person that the post was addressed to; None if it was addressed to a chat, or to nothing.
        chat_id: The chat that it was addressed to, or the direct chat with the person. None if there is none: write with
            `ctx.bot.send(…, to=…)`.
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


def posted(delivery: Delivery, body: Any) -> Posted | None:
    """Return the event of a post's delivery; None for any other delivery."""
    if not delivery.id.startswith(POST_ID):
        return None
    data = as_object(as_object(body).get("data"))
    return Posted.model_validate(
        {
            "event_id": delivery.id,
            "event_type": POST_TYPE,
            "created_at": datetime.fromtimestamp(delivery.received_at, UTC),
            "name": data.get("name"),
            "post_id": data.get("id"),
            "data": data.get("data"),
            "chat_id": data.get("chat_id"),
            "actor": data.get("person"),
        }
    )
