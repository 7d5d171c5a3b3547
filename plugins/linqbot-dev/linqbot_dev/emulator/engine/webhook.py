"""A webhook as the emulator sends it: the delivery and its attempts, one POST and its answer.

The reason of a failed attempt is a sentence for the author of the bot. It names the address, the status and the
certificate's fault. It holds nothing that the receiver wrote, so that it may be logged.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar, Final

import httpx

from linqbot.errors import ConfigError
from linqbot_dev.emulator.model.documents import Private, Sparse, Time


@dataclass(frozen=True, slots=True)
class Attempt(Sparse):
    """One POST.

    Attributes:
        status: None if no answer came.
        reason: Why the attempt failed, in words, without anything that the receiver wrote; None if it succeeded.
        answer: The beginning of the receiver's answer to a failed attempt.
    """

    SPARSE: ClassVar = frozenset({"reason", "answer"})

    at: Time
    status: int | None
    ms: int
    reason: str | None = None
    answer: str | None = None

    @property
    def is_repeated(self) -> bool:
        """True if Linq delivers the event again after it: without an answer, and after 429 and 5xx."""
        return self.status is None or self.status == 429 or self.status >= 500


@dataclass(slots=True)
class WebhookDelivery:
    """One event for one subscription. The body is encoded once: retries send the same bytes.

    Attributes:
        message_id: The message that the event is about; None if it is about none.
        by_bot: True if the bot caused the event, such as a tapback of its own.
        vote: The voter's handle as `by`, and the `option_id`, if the event is a vote in a poll, or its end.
        repeatable: True if a phone of a test can cause the event, so that a test of it can be copied.
        body, headers: As they were sent in the latest attempt. Earlier headers differ in time and signature only.
    """

    event_id: str
    event_type: str
    subscription_id: str
    chat_id: str | None
    body: Private[bytes]
    created_at: Time
    message_id: str | None = None
    by_bot: bool = False
    vote: dict[str, str] | None = None
    repeatable: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    headers: Private[dict[str, str]] = field(default_factory=dict)


_BY_PHONE: Final = frozenset({
    "message.received", "message.edited", "reaction.added", "reaction.removed", "poll.reaction.added",
    "poll.received", "poll.updated", "poll.vote.added", "poll.vote.removed",
    "payment.succeeded", "payment.declined", "contact_card.received",
    "location.sharing.started", "location.sharing.stopped",
    "participant.added", "participant.removed", "chat.group_name_updated",
})  # fmt: skip
"""The types of events that a phone of a test can cause. `copied_test/source.py` writes how, for each."""


def facts_of(event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return what the page and copied tests need to know of an event, as the fields of its deliveries.

    Args:
        data: The event's data in the current payload version.
    """
    actor = data.get("actor_handle") or data.get("changed_by_handle")
    is_by_line = data.get("is_from_me") or (isinstance(actor, dict) and actor.get("is_me"))
    is_of_charge = event_type.startswith("payment.") and str(data.get("id")).startswith("pay_")
    is_vote = event_type.startswith("poll.vote.")
    return {
        "message_id": data.get("message_id") or (data.get("id") if event_type.startswith("message.") else None),
        "by_bot": data["direction"] == "outbound" if "direction" in data else bool(is_by_line),
        "vote": {"by": data["sender_handle"]["handle"], "option_id": data["option_id"]} if is_vote else None,
        # A phone of a test has no act with which a customer connects for a charge.
        "repeatable": event_type in _BY_PHONE and not is_of_charge,
    }


def over_http() -> httpx.AsyncHTTPTransport:
    """Return a transport that trusts the authorities in SSL_CERT_FILE or SSL_CERT_DIR, if one of the two is set.

    The number of connections is not limited here: each subscription has its own limit, and one subscription must not
    use up the connections of the others.

    Raises:
        ConfigError: SSL_CERT_FILE cannot be read, or holds no certificate.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=30.0)
    try:
        # A transport reads only these two variables. It is the client that reads the variables for proxies.
        return httpx.AsyncHTTPTransport(limits=limits, trust_env=True)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"SSL_CERT_FILE is {os.environ.get('SSL_CERT_FILE')}, and no certificate can be read from it: {error}. "
            "Set it to a PEM file, or unset it."
        ) from error


async def post(
    transport: httpx.AsyncBaseTransport, url: httpx.URL, headers: Mapping[str, str], body: bytes
) -> httpx.Response:
    request = httpx.Request("POST", url, headers=headers, content=body)
    response = await transport.handle_async_request(request)
    try:
        await response.aread()
    finally:
        await response.aclose()
    return response


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that the receiver asks to wait; None if it does not."""
    asked = response.headers.get("retry-after", "")
    return float(asked) if asked.isascii() and asked.isdigit() else None


ANSWER_SHOWN = 300
"""The characters of a refused delivery's answer that are kept."""

_HINTS = {
    401: " It did not accept the signature: does it have this subscription's secret?",
    404: " There is no webhook at this path.",
    405: " There is no webhook at this path.",
}


def origin(url: httpx.URL) -> str:
    """Return the scheme, host and port of an address. Its path and query may hold a secret."""
    return f"{url.scheme}://{url.netloc.decode()}"


def of_status(status: int) -> str | None:
    """Return why a delivery with this answer counts as failed; None for a success."""
    if 200 <= status < 300:
        return None
    try:
        phrase = f" {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = ""
    hint = " Linq does not follow redirects." if 300 <= status < 400 else _HINTS.get(status, "")
    return f"The receiver answered {status}{phrase}.{hint}"


def of_error(error: BaseException, url: httpx.URL, timeout_s: float) -> str:
    """Return why no answer came.

    Args:
        error: The exception of the attempt. Its causes are looked at too.
    """
    causes = list(_causes(error))
    for cause in causes:
        if (found := _of_cause(cause, url)) is not None:
            return found
    if any(isinstance(cause, TimeoutError | httpx.TimeoutException) for cause in causes):
        return f"Timed out: no answer came within {timeout_s:g} s."
    if any(isinstance(cause, httpx.ReadError | httpx.RemoteProtocolError | ConnectionError) for cause in causes):
        return "The receiver closed the connection without an answer."
    system = next((cause for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
    return f"No connection to {origin(url)}: {system.strerror if system else type(error).__name__}."


def _of_cause(cause: BaseException, url: httpx.URL) -> str | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = cause.verify_message.rstrip(".")
        return (
            f"Linq would not trust the certificate of {url.host}: {why}. "
            "To let the emulator trust an authority of your own, set SSL_CERT_FILE to its certificate."
        )
    if isinstance(cause, ssl.SSLError):
        return f"No TLS connection could be made to {origin(url)}: {cause.reason or type(cause).__name__}."
    if isinstance(cause, socket.gaierror):
        return f"The name {url.host} was not found."
    if isinstance(cause, ConnectionRefusedError) or getattr(cause, "errno", None) == errno.ECONNREFUSED:
        return f"Connection refused: nothing listens at {origin(url)}."
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that led to it, the outermost first; also those in groups."""
    found: list[BaseException | None] = [error]
    seen: set[int] = set()
    while found:
        cause = found.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        found += [cause.__cause__, cause.__context__]
        if isinstance(cause, BaseExceptionGroup):
            found += cause.exceptions
