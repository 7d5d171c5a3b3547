"""Locations: what `ctx.location` sends, and where the person is once they share it.

No event of Linq's holds a location, so it is read when sharing has started. A phone that just began may not be located
yet. Then the wait stays open, and a timer looks again, a few times a minute at most.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from linqbot.bot.asking.question import OpenQuestion
from linqbot.bot.asking.results import Location
from linqbot.bot.content.sending import NO_LOCATION
from linqbot.bot.context import Context
from linqbot.bot.sent import OPTED_OUT
from linqbot.client.client import Client
from linqbot.errors import LinqApiError
from linqbot.events.event import Event
from linqbot.types.location import LocationFeature
from linqbot.worker.asking.records import AskRefused, QuestionEnd

_FIRST_LOOK_S: Final = 5.0
_LONGEST_LOOK_S: Final = 60.0


async def request_location(root: Event, label: str, ctx: Context) -> bool:
    """Ask the person of a direct iMessage chat to share their location. Return True if they share it already.

    Args:
        root: The event with which the handler began.
        label: The name of the call in the journal.
    Raises:
        AskRefused: the chat has no location sharing, or the person has opted out.
        LinqApiError: Linq refused it for another reason.
    """
    if root.is_group or root.service not in (None, "iMessage"):
        raise AskRefused("unsupported")
    try:
        await ctx.client.named(label).chats.location.request(ctx.chat_id)
    except LinqApiError as error:
        if error.code == OPTED_OUT:
            raise AskRefused("opted_out") from None
        if error.status != 409:
            raise
        if error.code in NO_LOCATION:
            raise AskRefused("unsupported") from None
        return True
    return False


async def end_of_location(
    question: OpenQuestion, outcome: QuestionEnd, chat_id: str, client: Client
) -> QuestionEnd | None:
    """Return the end of the wait with the location; None if the person shares it but was not located yet.

    Raises:
        LinqApiError: Linq refused to say where the person is.
    """
    if outcome["outcome"] != "answered":
        return outcome
    body: Any = outcome.get("body")
    data = body["data"] if body else {}
    handles = {str(data.get("shared_by") or "").casefold(), question.asked}
    features = (await client.chats.location.retrieve(chat_id)).data.features
    # An Apple ID may share under its e-mail address, and a direct chat has no other person.
    fitting = [each for each in features if each.properties.handle.casefold() in handles] or features
    return {**outcome, "result": _as_json(fitting[0])} if fitting else None


def look_again_after_s(looks: int) -> float:
    """Return the seconds until the next look, after a number of looks."""
    # The exponent is limited, because a wait of a day has over a thousand looks, and floats end at 2 to the 1024.
    return min(_FIRST_LOOK_S * 2.0 ** min(looks, 10), _LONGEST_LOOK_S)


def location_result(result: Any) -> Location:
    """Return a stored result as `ctx.location` returns it."""
    updated_at = result["updated_at"]
    return Location(**{**result, "updated_at": updated_at and datetime.fromisoformat(updated_at)})


def _as_json(feature: LocationFeature) -> dict[str, Any]:
    at, person = feature.geometry, feature.properties
    return {
        "latitude": at.latitude,
        "longitude": at.longitude,
        "handle": person.handle,
        "address": person.address,
        "locality": person.locality,
        "updated_at": person.updated_at and person.updated_at.isoformat(),
    }
