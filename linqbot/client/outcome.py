"""The outcome of one attempt, and the retry policy: a response, an error, or a failure that may be retried; and what a refusal means.

Linq's API has one error body for V3 and another one for V2. Linq's messages may quote the request, so handles,
addresses and texts are redacted before a message becomes part of an error, which ends up in logs. A response that is
not Linq's comes from a proxy, a firewall or a captive portal, and says nothing about the call. It is a failure, even
with status 200: no journal records it, the call is retried where that is safe, and the body is never quoted.

Linq's official client also retries 409, and follows a header `x-should-retry`, which Linq does not document. This
client retries no 409: Linq uses it for a state, such as a chat that your line left, and the same call would get the
same response. All functions are pure. Next step: `sender.py` makes the next attempt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from linqbot.client.call import ApiResponse, Call
from linqbot.client.http.http11 import Response
from linqbot.clock import Clock
from linqbot.errors import AmbiguousCall, CallSkipped, LinqApiError, LinqUnavailable, MessageGone, RateLimited
from linqbot.linq.endpoints import ENDPOINTS
from linqbot.linq.events.delivery import decode, repaired
from linqbot.linq.events.lane import as_object
from linqbot.linq.rules.values import is_number, is_whole


def outcome_of_call(call: Call, response: Response, *, clock: Clock, secret: str) -> ApiResponse | AttemptFailure:
    """Interpret a response of Linq's API. For `secret` see `error_for`."""
    if not 200 <= response.status < 300:
        return AttemptFailure(error_for(call, response, now=clock.now(), secret=secret))
    content = response.content
    data, exact = None, None
    if content:
        try:
            data, exact = from_json(content, cache_strings="keys"), content
        except ValueError:
            data = repaired(content)
    lacking = ""
    if (endpoint := ENDPOINTS.get(call.name)) is not None:
        lacking = endpoint.lacks(data)
        if endpoint.needs is None and is_page(response):
            lacking = "the empty body that Linq sends"
    if lacking:
        return AttemptFailure(not_linqs(call, response, lacking, now=clock.now()))
    return ApiResponse(response.status, data, response.headers, exact)


def outcome_of_upload(call: Call, response: Response, *, now: float, secret: str) -> ApiResponse | AttemptFailure:
    """Interpret the response of a storage server to an upload. Storage servers have other error bodies, such as XML.

    An HTML page, a redirect and a 407 are from something in between: they say nothing about the file.
    """
    status = response.status
    is_foreign = _is_html(response) or 300 <= status < 400 or status == 407
    if 200 <= status < 300 and not is_foreign:
        return ApiResponse(status, None, response.headers)
    if _kind(status) is LinqApiError and is_foreign:
        return AttemptFailure(not_linqs(call, response, "the answer of a file storage", now=now))
    return AttemptFailure(_error(call, response, as_object(decode(response.content)), now=now, secret=secret))


# Both run in linear time: a word is matched once, with or without an e-mail address, and a number has a maximum length,
# so that a long run of digits and brackets is not scanned to its end again from each digit.
_WORD = re.compile(r"[\w.%+-]++(@[\w.-]+\.\w++)?")
_PRIVATE = re.compile(r"https?://\S++|(?<![\w-])\+?\d[\d ().-]{5,40}\d(?![\w-])")
_OURS = re.compile(r"https://docs\.linqapp\.com/[\w./#-]*")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,32}/[a-z0-9.+-]{1,64}")
_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_LONGEST_MESSAGE = 500
_LONGEST_CODE = 9

LONGEST_READ: Final = 1 << 15
"""Maximum length of Linq's message, in characters. A longer message is dropped as a whole. Cutting it could leave half
of a text of the request, which the redaction would not recognise."""
_LONGEST_ID: Final = 200
"""Maximum length of a trace id or a URL, in characters. Longer values are dropped, because these values are logged."""


LONGEST_RETRY_AFTER_S: Final = 3600.0
"""Upper bound of the wait that a response asks for. Milliseconds given as seconds, or a date decades away, would
otherwise defer a chat for years. After an hour the call is made again; if the limit still holds, Linq says so again."""


def error_for(call: Call, response: Response, *, now: float, secret: str) -> LinqApiError:
    """Return the error for a non-2xx response of Linq's API.

    401 and 429 keep their meaning whatever the body is, and 408 and 5xx are always LinqUnavailable. Any other response
    must have an error body of Linq's, else it is treated as not Linq's.

    Args:
        now: Unix seconds, to read a `Retry-After` that is a date.
        secret: The API key, which must appear in no message, even if Linq quotes it.
    """
    document = as_object(decode(response.content))
    if _kind(response.status) is LinqApiError and response.status != 401 and not _is_linqs(document):
        return not_linqs(call, response, "an error body of Linq's", now=now)
    return _error(call, response, document, now=now, secret=secret)


def not_linqs(call: Call, response: Response, lacking: str, *, now: float) -> LinqUnavailable:
    """Return the error for a response not from Linq: one of Linq's would have what is `lacking`, such as "a JSON object"."""
    said = (
        f"the response is not Linq's: HTTP {response.status} with {_content_type(response)}, without {lacking}. "
        "Check the base URL, and the proxies and firewalls between this machine and Linq."
    )
    wait_s = _retry_after_s(response.headers.get("retry-after"), now)
    return LinqUnavailable(said, status=response.status, retry_after_s=wait_s, call=call.name)


def is_page(response: Response) -> bool:
    """Return True if a body is HTML, which Linq's API never returns."""
    return _is_html(response) or response.content[:64].lstrip().startswith(b"<")


def _is_html(response: Response) -> bool:
    return _content_type(response) in _PAGES


def _error(call: Call, response: Response, document: Mapping[str, Any], *, now: float, secret: str) -> LinqApiError:
    inner, asked = _inner(document), response.headers.get("retry-after")
    return _kind(response.status)(
        _sentence(inner, call, secret) or f"HTTP {response.status} without an error body of Linq's",
        status=response.status,
        code=_whole(inner.get("code")),
        doc_url=_text(inner.get("doc_url")),
        trace_id=_text(document.get("trace_id")) or _text(inner.get("trace_id")),
        retry_after_s=_retry_after_s(asked, now) or _retry_after_s(inner.get("retry_after"), now),
        call=call.name,
    )


def _kind(status: int) -> type[LinqApiError]:
    if status == 429:
        return RateLimited
    return LinqUnavailable if status >= 500 or status == 408 else LinqApiError


def _is_linqs(document: Mapping[str, Any]) -> bool:
    inner, errors = _inner(document), document.get("errors")
    is_v2 = isinstance(errors, list) and bool(inner)
    has_trace = _text(document.get("trace_id")) or _text(inner.get("trace_id"))
    return is_v2 or bool(has_trace) or _whole(inner.get("code")) is not None


def _content_type(response: Response) -> str:
    """Return the media type for an error message. Text that is not a media type is not repeated."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind if _MEDIA_TYPE.fullmatch(kind) else "no content type"


def _inner(document: Mapping[str, Any]) -> Mapping[str, Any]:
    errors = document.get("errors")
    inner = errors[0] if isinstance(errors, list) and errors else document.get("error")
    return as_object(inner)


def _sentence(inner: Mapping[str, Any], call: Call, secret: str) -> str:
    said = next((said for name in ("message", "detail", "title") if (said := _text(inner.get(name), LONGEST_READ))), "")
    # Longest first: replacing a short text first would leave the rest of a longer text that contains it.
    for own in sorted({secret, *_words(call.body)}, key=len, reverse=True):
        said = said.replace(own, "…")
    said = _WORD.sub(lambda word: "…" if word[1] else word[0], said)
    return _PRIVATE.sub(lambda found: found[0] if _OURS.fullmatch(found[0]) else "…", said)[:_LONGEST_MESSAGE]


def _words(body: Any, name: str = "") -> Iterator[str]:
    """Yield the free texts of a body. Names from fixed lists, such as an effect's, may stay in a message."""
    if isinstance(body, Mapping):
        for key, value in body.items():
            yield from _words(value, key)
    elif isinstance(body, list | tuple):
        for value in body:
            yield from _words(value, name)
    elif isinstance(body, str) and len(body) > 2 and name in _FREE_TEXTS:
        yield body


_FREE_TEXTS = frozenset({
    "value", "text", "from", "to", "exclude_from", "handle", "address", "phone_number", "phone_numbers", "mention",
    "forwarding_number", "first_name", "last_name", "display_name", "caption", "subcaption", "trailing_caption",
    "trailing_subcaption", "fallback_text", "description", "reason", "code", "custom_emoji", "filename",
})  # fmt: skip


def _text(value: Any, longest: int = _LONGEST_ID) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= longest else None


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_CODE:
        return int(value)
    return value if is_whole(value) and abs(value) < 10**_LONGEST_CODE else None


def _retry_after_s(value: Any, now: float) -> float | None:
    if isinstance(value, str):
        value = _number_or_date(value.strip(), now)
    # Compared before the conversion: Python's integers are unbounded, and float() raises for the largest ones.
    is_wait = is_number(value) and 0 < value < float("inf")
    return float(min(value, LONGEST_RETRY_AFTER_S)) if is_wait else None


def _number_or_date(text: str, now: float) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(text)
        # RFC 9110 defines the date as UTC. Python would read a date without a zone as local time.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None


class AttemptFailure(NamedTuple):
    """An attempt that failed.

    Attributes:
        sent: False if it is certain that no byte of the request left this machine.
        is_stale: True if a reused connection returned nothing. Most likely the server closed it while it was idle, so
            there is no reason to wait before the retry.
    """

    error: LinqApiError
    sent: bool = True
    is_stale: bool = False


def pause_s(call: Call, failure: AttemptFailure, attempt: int, *, jitter: float, max_wait_s: float) -> float | None:
    """Return the seconds to wait before the call is repeated, or None to give up.

    Args:
        attempt: 0 after the first attempt.
        max_wait_s: Give up if Linq asks for a longer wait than this. The error then tells the caller how long.
        jitter: 0 to 1; shortens the wait by up to a quarter, so that clients that failed together do not retry
            together.
    """
    if not _may_repeat(call, failure):
        return None
    if failure.is_stale and attempt == 0:
        return 0.0
    asked = failure.error.retry_after_s
    if asked is not None:
        return asked if asked <= max_wait_s else None
    return backoff_s(attempt, jitter=jitter)


def backoff_s(attempt: int, *, jitter: float) -> float:
    """Return the seconds to wait after an attempt whose failure says nothing of a wait: see `pause_s`."""
    return float(min(0.5 * 2**attempt, 8.0) * (1 - 0.25 * jitter))


def extends_a_limit(error: LinqApiError) -> bool:
    """Return True for 503/4004 of a contact card: the limit of a service behind Linq, which each attempt extends (R94)."""
    return error.status == 503 and error.code == 4004 and error.call.startswith("contact_card.")


def is_deleted_before(call: Call, error: LinqApiError) -> bool:
    """Return True if a repeated deletion was refused because an earlier attempt, whose answer was lost, has made it."""
    endpoint = ENDPOINTS.get(call.name)
    return error.status == 404 and endpoint is not None and endpoint.method == "DELETE" and endpoint.needs is None


def _may_repeat(call: Call, failure: AttemptFailure) -> bool:
    if extends_a_limit(failure.error):
        return False
    if call.safety == "hint":
        return failure.is_stale  # best effort: retried only where no wait is needed
    if not failure.sent or failure.error.status == 429:
        return True  # Linq has not executed the call
    if call.safety == "once" or (call.safety == "keyed" and call.key is None):
        return False  # the call may have been executed, and a retry would execute it twice
    return isinstance(failure.error, LinqUnavailable)


class Refusal(Enum):
    """The meaning of an answer of Linq that is an error. Code that makes calls decides by it, and by no status or code.

    Attributes:
        WAIT: Nothing is wrong with the call: Linq is away, the pace is too high, or the API key or the line cannot be used now.
            The call is made again later.
        OPTED_OUT: The person has opted out of messages.
        LEFT: Our line is not in the chat any more.
        GONE: The chat, the message or the file is not there, or not there any more.
        DENIED: The account may not do this, such as to use the line of another account. No other person would be reached either.
        FINAL: Linq refuses this call, for its content, for the person or in this kind of chat.
    """

    WAIT = "wait"
    OPTED_OUT = "opted_out"
    LEFT = "left"
    GONE = "gone"
    DENIED = "denied"
    FINAL = "final"


_OPTED_OUT: Final = 2024
_DENIED: Final = 2005
_LINE_CANNOT_SEND: Final = frozenset({2015, 2027})
_KNOWN_CONFLICTS: Final = frozenset({2014, 2016, 2017, 2018, 2023})
"""The codes of conflicts (409) that leave us in the chat, such as an app card without iMessage, or a mention in a direct chat."""
NO_LOCATION: Final = frozenset({2016, 2017})
"""Linq's error codes for a chat that cannot share a location: a group, or not on iMessage."""


def meaning_of(error: LinqApiError) -> Refusal | None:
    """Return what an answer of Linq means; None for an error that is no refusal: the call was made, may have been, or never was."""
    status = error.status
    if isinstance(error, AmbiguousCall | CallSkipped | MessageGone):
        return None
    if isinstance(error, LinqUnavailable | RateLimited) or status == 401:
        # A wrong API key is corrected by the operator. Until then no person's message may be lost.
        return Refusal.WAIT
    if status is None or not 400 <= status < 500:
        return None
    by_code = {_OPTED_OUT: Refusal.OPTED_OUT, _DENIED: Refusal.DENIED}
    by_code |= dict.fromkeys(_LINE_CANNOT_SEND, Refusal.FINAL if _reads(error.call) else Refusal.WAIT)
    by_code |= dict.fromkeys(_KNOWN_CONFLICTS, Refusal.FINAL)
    # R61: Linq documents the status for a chat that was left, and no code.
    by_status = {404: Refusal.GONE, 409: Refusal.LEFT}
    return by_code.get(error.code or 0) or by_status.get(status, Refusal.FINAL)


def _reads(call: str) -> bool:
    endpoint = ENDPOINTS.get(call)
    return endpoint is not None and endpoint.method == "GET"


def is_refused(error: LinqApiError) -> bool:
    """Return True if Linq has refused a call, so that the same call is useless now; False if a later one may be made."""
    return meaning_of(error) not in (None, Refusal.WAIT)


def refuses_content(error: LinqApiError) -> bool:
    """Return True if Linq refused the content of a call, in distinction from the person, the account, the line or the pace."""
    return meaning_of(error) in (Refusal.FINAL, Refusal.GONE, Refusal.LEFT) and error.status != 403


def shares_location(error: LinqApiError) -> bool:
    """Return True if a request for a location was refused because the person shares it already."""
    return error.status == 409 and error.code not in NO_LOCATION


def opted_out(call: Call) -> LinqApiError:
    """Return the error of Linq for a call to a person who has opted out, which is not made."""
    return LinqApiError("The person has opted out of messages.", status=403, code=_OPTED_OUT, call=call.name)
