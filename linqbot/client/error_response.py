"""Errors read from answers: Linq's bodies of V3 and V2, and answers that something on the way gave in Linq's place.

Nothing here raises and nothing here knows HTTP libraries. Linq's own sentences may quote what was sent, so they are
freed of handles, addresses and texts before they become an error message, which ends up in logs. An answer that is not
Linq's comes from a proxy, a firewall or a captive portal. It says nothing about the call, so the call is repeated where
that is safe, as after no answer at all, and the body is never quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from pydantic_core import from_json

from linqbot.client.call import Call
from linqbot.errors import LinqApiError, LinqUnavailable, RateLimited

# Linear in any text: a word is read once, as an address or not, and a number has an upper length, so that a long run of
# digits and brackets is not read again to its end from each digit.
_WORD = re.compile(r"[\w.%+-]++(@[\w.-]+\.\w++)?")
_PRIVATE = re.compile(r"https?://\S++|(?<![\w-])\+?\d[\d ().-]{5,40}\d(?![\w-])")
_OURS = re.compile(r"https://docs\.linqapp\.com/[\w./#-]*")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,32}/[a-z0-9.+-]{1,64}")
_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_LONGEST_MESSAGE = 500
_LONGEST_CODE = 9

LONGEST_READ: Final = 1 << 15
"""Characters of a sentence that are read. A longer one is left out as a whole: what was sent is taken out of complete
sentences only, because half a text that a cut leaves standing would not be found."""
_LONGEST_ID: Final = 200
"""Characters of a trace id or an address. Longer ones are left out: they end up in logs."""


LONGEST_RETRY_AFTER_S: Final = 3600.0
"""Upper bound of a wait that an answer asks for. Milliseconds written as seconds, or a date decades away, would
otherwise defer a chat for years. After an hour the call is made again, and a limit that still holds says so again."""

_LONGEST_RETRY_AFTER: Final = 64
"""Characters of a `Retry-After` that are read. An HTTP date has 29."""


def error_for(
    call: Call, status: int, headers: Mapping[str, str], body: bytes, *, now: float, secret: str
) -> LinqApiError:
    """Return the error that an answer of Linq's API other than 2xx means.

    401 and 429 mean what they say whatever their body is, and 408 and 5xx are LinqUnavailable in any case. Every other
    answer needs an error body of Linq's, else it is not Linq's.

    Args:
        now: Unix seconds, for a `Retry-After` given as a date.
        secret: The API key, which no message may show even if Linq should quote it.
    """
    document = _decoded(body)
    if _kind(status) is LinqApiError and status != 401 and not _is_linqs(document):
        wait_s = _retry_after_s(headers.get("retry-after"), now)
        return not_linqs(call, status, headers, "an error body of Linq's", retry_after_s=wait_s)
    return _error(call, status, headers, document, now=now, secret=secret)


def storage_error(
    call: Call, status: int, headers: Mapping[str, str], body: bytes, *, now: float, secret: str
) -> LinqApiError:
    """Return the error that an answer to an upload means. Storage has error bodies of its own, such as XML."""
    return _error(call, status, headers, _decoded(body), now=now, secret=secret)


def not_linqs(
    call: Call, status: int, headers: Mapping[str, str], lacking: str, *, retry_after_s: float | None = None
) -> LinqUnavailable:
    """Return the error for an answer that something else than Linq gave.

    Args:
        lacking: What shows that it is not Linq's.
    """
    said = (
        f"the answer is not Linq's: HTTP {status} with {_content_type(headers)}, without {lacking}. "
        "Look at the base URL, and at the proxies and firewalls between this machine and Linq."
    )
    return LinqUnavailable(said, status=status, retry_after_s=retry_after_s, call=call.name)


def is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """Return True if a body is HTML, which Linq's API never answers with."""
    return _content_type(headers) in _PAGES or body[:64].lstrip().startswith(b"<")


def _error(
    call: Call, status: int, headers: Mapping[str, str], document: Mapping[str, Any], *, now: float, secret: str
) -> LinqApiError:
    inner = _inner(document)
    return _kind(status)(
        _sentence(inner, call, secret) or f"HTTP {status} without an error body of Linq's",
        status=status,
        code=_whole(inner.get("code")),
        doc_url=_text(inner.get("doc_url")),
        trace_id=_text(document.get("trace_id")) or _text(inner.get("trace_id")),
        retry_after_s=_retry_after_s(headers.get("retry-after"), now) or _retry_after_s(inner.get("retry_after"), now),
        call=call.name,
    )


def _kind(status: int) -> type[LinqApiError]:
    if status == 429:
        return RateLimited
    return LinqUnavailable if status >= 500 or status == 408 else LinqApiError


def _is_linqs(document: Mapping[str, Any]) -> bool:
    """V3 has a code in `error`, or a trace id; V2 has a list of `errors`."""
    inner, errors = _inner(document), document.get("errors")
    is_v2 = isinstance(errors, list) and bool(inner)
    has_trace = _text(document.get("trace_id")) or _text(inner.get("trace_id"))
    return is_v2 or bool(has_trace) or _whole(inner.get("code")) is not None


def _content_type(headers: Mapping[str, str]) -> str:
    """The media type, for an error message: what is no media type is not repeated."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind if _MEDIA_TYPE.fullmatch(kind) else "no content type"


def _decoded(body: bytes) -> Mapping[str, Any]:
    try:
        document = from_json(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _inner(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """V3 has one `error`, V2 a list of `errors`."""
    errors = document.get("errors")
    inner = errors[0] if isinstance(errors, list) and errors else document.get("error")
    return inner if isinstance(inner, dict) else {}


def _sentence(inner: Mapping[str, Any], call: Call, secret: str) -> str:
    said = next((said for name in ("message", "detail", "title") if (said := _text(inner.get(name), LONGEST_READ))), "")
    # Longest first: a text that holds another one must not be left half standing.
    for own in sorted({secret, *_words(call.body)}, key=len, reverse=True):
        said = said.replace(own, "…")
    said = _WORD.sub(lambda word: "…" if word[1] else word[0], said)
    return _PRIVATE.sub(lambda found: found[0] if _OURS.fullmatch(found[0]) else "…", said)[:_LONGEST_MESSAGE]


def _words(body: Any, name: str = "") -> Iterator[str]:
    """The free texts of a body. Names from fixed lists, such as an effect's, may stand in a message."""
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
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_LONGEST_CODE else None


def _retry_after_s(value: Any, now: float) -> float | None:
    """A wait as a number, as text, or as a date in text. None for one that is over, and for anything else."""
    if isinstance(value, str):
        value = _number_or_date(value.strip()[:_LONGEST_RETRY_AFTER], now)
    # Compared before it is converted: Python's integers have no bound, and float() refuses the largest ones.
    is_wait = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
    return float(min(value, LONGEST_RETRY_AFTER_S)) if is_wait else None


def _number_or_date(text: str, now: float) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(text)
        # A date without a zone is meant as UTC, as RFC 9110 has it; Python would take it for this machine's.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
