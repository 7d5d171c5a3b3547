"""The outcome of one attempt: the HTTP response as an `ApiResponse`, or as a failure that may be retried.

A 2xx response that is not Linq's is a failure here, so that no journal records it as the outcome of the call. The next
step is `retry.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from linqbot.api import ENDPOINTS
from linqbot.client.call import ApiResponse, Call
from linqbot.client.error_response import STORAGE_ANSWER, error_for, is_html, is_page, not_linqs, storage_error
from linqbot.client.http.http11 import Response
from linqbot.client.retry import AttemptFailure
from linqbot.events.delivery import repaired


def outcome_of_call(call: Call, response: Response, *, now: float, secret: str) -> ApiResponse | AttemptFailure:
    """Interpret a response of Linq's API.

    Args:
        now, secret: As in `error_for`.
    """
    status, headers, content = response.status, response.headers, response.content
    if not 200 <= status < 300:
        return AttemptFailure(
            error_for(call, status, headers, content, now=now, secret=secret), advice=_advice(headers)
        )
    data, exact = _decoded(content)
    lacking = _lacking(call, data, response)
    if lacking:
        return AttemptFailure(not_linqs(call, status, headers, lacking))
    return ApiResponse(status, data, headers, exact)


def outcome_of_upload(call: Call, response: Response, *, now: float, secret: str) -> ApiResponse | AttemptFailure:
    """Interpret the response of a storage server to an upload. Any 2xx response that is no HTML page is a success."""
    status, headers, content = response.status, response.headers, response.content
    if 200 <= status < 300:
        if is_html(headers):
            return AttemptFailure(not_linqs(call, status, headers, STORAGE_ANSWER))
        return ApiResponse(status, None, headers)
    return AttemptFailure(
        storage_error(call, status, headers, content, now=now, secret=secret), advice=_advice(headers)
    )


def _decoded(content: bytes) -> tuple[Any, bytes | None]:
    """Return the data of a body, and the body itself; None for it if it is empty, or had to be repaired."""
    if not content:
        return None, None
    try:
        return from_json(content, cache_strings="keys"), content
    except ValueError:
        return repaired(content), None


def _lacking(call: Call, data: Any, response: Response) -> str:
    """Return the thing that a 2xx response lacks to be Linq's; empty if nothing is missing."""
    endpoint = ENDPOINTS.get(call.name)
    if endpoint is None:
        return ""
    if endpoint.needs is None:
        return "the empty body that Linq sends" if is_page(response.headers, response.content) else ""
    return endpoint.lacks(data)


def _advice(headers: Mapping[str, str]) -> bool | None:
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").lower())
