"""What the API answers: an `EndpointResponse`, or an `ApiError` in Linq's envelope.

The nouns raise and return these; `api.py` turns them into HTTP. Every error carries a fresh trace id, and the
page about its code.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class EndpointResponse:
    """A success. `body` None is an empty answer (204 and the like)."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def accepted(message: str) -> EndpointResponse:
    """202 for what Linq queues: participants, leaving, reactions."""
    return EndpointResponse(202, {"message": message, "status": "accepted", "trace_id": trace_id()})


class ApiError(Exception):
    """A refusal, with the status and code Linq documents for it.

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
        error: dict[str, Any] = {
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


def invalid(message: str) -> ApiError:
    """400/1005: a value that cannot be."""
    return ApiError(400, 1005, message)


def conflict(message: str, code: int = 1006) -> ApiError:
    """409: the thing is in a state that does not allow this."""
    return ApiError(409, code, message)


def not_found(noun: str) -> ApiError:
    """404 with the noun's own code (R6)."""
    return ApiError(404, {"message": 2002, "attachment": 2003}.get(noun, 2001), f"{noun.capitalize()} not found")


def trace_id() -> str:
    return uuid.uuid4().hex


def encode(data: Any) -> bytes:
    """JSON in UTF-8. Half of a surrogate pair, which JSON can say and UTF-8 cannot, stays an escape."""
    try:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(data, separators=(",", ":")).encode()
