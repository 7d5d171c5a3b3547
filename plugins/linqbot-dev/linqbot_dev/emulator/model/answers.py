"""The answers of the API, which endpoints and acts return or raise: an `EndpointResponse`, or an `ApiError` in Linq's envelope."""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from linqbot.linq.rules.values import Broken

JsonObject: TypeAlias = dict[str, Any]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EndpointResponse:
    """A successful answer. `body` None is an empty answer, such as a 204."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def accepted(message: str) -> EndpointResponse:
    """Return the 202 answer for operations that Linq queues: participants, leaving, reactions."""
    return EndpointResponse(202, {"message": message, "status": "accepted", "trace_id": trace_id()})


class ApiError(Exception):
    """A refused request, with the status and the code that Linq documents for it.

    Args:
        retry_after: Whole seconds; sent as the header and inside the body.
    """

    def __init__(self, status: int, code: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after

    def answer(self) -> EndpointResponse:
        error: JsonObject = {
            "status": self.status,
            "code": self.code,
            "message": self.message,
            "doc_url": f"https://docs.linqapp.com/error/codes/{str(self.code)[0]}xxx/{self.code}/",
        }
        headers = {}
        if self.retry_after is not None:
            error["retry_after"] = self.retry_after
            headers["retry-after"] = str(self.retry_after)
        return EndpointResponse(self.status, {"success": False, "error": error, "trace_id": trace_id()}, headers)


def check_rule(broken: Broken | None) -> None:
    """Refuse a request that breaks one of Linq's rules."""
    if broken is not None:
        raise ApiError(broken.status, broken.code, broken.message)


def invalid(message: str) -> ApiError:
    return ApiError(400, 1005, message)


def conflict(message: str, code: int = 1006) -> ApiError:
    return ApiError(409, code, message)


def too_many(message: str, wait_s: float) -> ApiError:
    return ApiError(429, 1007, message, retry_after=max(1, math.ceil(wait_s)))


def not_found(noun: str) -> ApiError:
    """Return a 404 error with the code of the kind of object (R6)."""
    return ApiError(404, {"message": 2002, "attachment": 2003}.get(noun, 2001), f"{noun.capitalize()} not found")


def existing(record: T | None, noun: str) -> T:
    """Return a record that was looked up; without one raise 404 (R6)."""
    if record is None:
        raise not_found(noun)
    return record


def trace_id() -> str:
    return uuid.uuid4().hex


def encode(data: Any) -> bytes:
    """Return data as JSON in UTF-8.

    Half of a surrogate pair, which JSON can express and UTF-8 cannot, stays an escape.
    """
    try:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(data, separators=(",", ":")).encode()
