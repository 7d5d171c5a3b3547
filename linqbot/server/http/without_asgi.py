"""Requests that linqbot's own server answers without ASGI: the genuine deliveries of Linq.

In ASGI each request has a task of its own, an app that reads the body message by message, and an answer in two messages.
Without them, a whole turn takes about a tenth less CPU time. So an app may name an endpoint in the state of its lifespan,
under `ENDPOINT`. `ClientConnection` hands each complete request for the endpoint's paths to `take`. What `take` leaves, such
as a forgery, goes ASGI's way, as every request does on another server.

Middleware between the server and the app does not see these requests. `linqbot serve` has none, and an app that has
middleware of its own names no endpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, TypeAlias

from starlette.types import Scope

ENDPOINT: Final = "linqbot.endpoint"
"""The key of the `DirectEndpoint` in the state of the lifespan."""

Answer: TypeAlias = tuple[int, list[tuple[bytes, bytes]]]
"""The status and the headers of an answer without a body."""

Taken: TypeAlias = tuple[asyncio.Future[bool], Callable[[asyncio.Future[bool]], Answer]]
"""Work that has begun, and the function that turns it into the answer once it is done."""


@dataclass(frozen=True, slots=True)
class DirectEndpoint:
    """The part of an app that answers some requests without ASGI.

    Attributes:
        paths: The paths of its requests; all are POST.
        take: Begins the work of a request, given its ASGI scope and its body. None leaves the request to ASGI.
    """

    paths: Collection[str]
    take: Callable[[Scope, bytes], Taken | None]
