"""The request that the handler of an endpoint reads, and pages of lists.

`emulator/api.py` finds the handler of an endpoint by its name, and checks Linq's rules before the handler runs. A handler raises
`ApiError` for what only the state can tell: 404 for an id in the path that is not known, and what the functions that it
calls raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from starlette.datastructures import Headers, QueryParams

from linqbot_dev.emulator.engine.world import World
from linqbot_dev.emulator.model.answers import EndpointResponse, JsonObject, invalid
from linqbot_dev.emulator.model.records import ChatRecord, MessageRecord


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A call to the API whose form was checked.

    Attributes:
        path: The ids in the path, by name.
        body: The JSON object; empty for endpoints without a body.
    """

    path: Mapping[str, str]
    query: QueryParams
    headers: Headers
    body: Mapping[str, Any] = field(default_factory=dict)

    def query_list(self, name: str) -> list[str]:
        """Return a list in the query, in both forms: a repeated key, or values joined by commas."""
        return [item for value in self.query.getlist(name) for item in value.split(",") if item]


Answer: TypeAlias = EndpointResponse | JsonObject | None
"""JSON is answered with 200, and None with 204. An `EndpointResponse` has its own status."""
Handler: TypeAlias = Callable[[World, ApiRequest], Answer]
"""Answers the calls of one endpoint: it changes the world and returns the answer."""

_Item = TypeVar("_Item", ChatRecord, MessageRecord)

LONGEST_POSITION = 15  # digits


def page(
    name: str,
    items: Sequence[_Item],
    request: ApiRequest,
    scope: str,
    shape: Callable[[_Item], JsonObject],
    *,
    newest_first: bool = True,
) -> JsonObject:
    """Return one page of `items` as `name`, and the cursor of the next page; None at the end (R9, R10).

    Args:
        items: Oldest first, in either order of the answer. The sequence number of an item is its position: pages neither
            repeat nor skip an item when other items are added or removed between two calls.
        scope: The list that the cursor belongs to; a cursor of another list is refused.
    """
    limit, cursor = int(request.query.get("limit") or 20), request.query.get("cursor")
    ordered = list(reversed(items)) if newest_first else list(items)
    if cursor:
        found, _, position = cursor.rpartition(":")
        if found != scope or not position.isdecimal() or len(position) > LONGEST_POSITION:
            raise invalid("Unknown cursor")
        after = int(position)
        ordered = [item for item in ordered if (item.seq < after if newest_first else item.seq > after)]
    shown = ordered[:limit]
    following = f"{scope}:{shown[-1].seq}" if len(ordered) > limit else None
    return {name: [shape(one) for one in shown], "next_cursor": following}
