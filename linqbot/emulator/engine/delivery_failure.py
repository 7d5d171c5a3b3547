"""The reason of a failed attempt to deliver a webhook, in words for the author of the bot.

The sentences name the address, the status and the certificate's fault. They hold nothing that the receiver wrote, so
that they may be logged.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from http import HTTPStatus

import httpx

ANSWER_SHOWN = 300
"""The characters of a refused delivery's answer that are kept."""

_EXPIRED, _NOT_YET_VALID, _OTHER_NAME = 10, 9, {62, 64}
_PRIVATE_AUTHORITY = {2, 19, 20, 21}
_SELF_SIGNED = 18
_HINTS = {
    401: " It did not accept the signature: does it have this subscription's secret?",
    404: " There is no webhook at this path.",
    405: " There is no webhook at this path.",
}


def origin(url: httpx.URL) -> str:
    """Return the scheme, host and port of an address. Its path and query may hold a secret."""
    port = f":{url.port}" if url.port else ""
    return f"{url.scheme}://{f'[{url.host}]' if ':' in url.host else url.host}{port}"


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
        return _of_certificate(cause, url)
    if isinstance(cause, ssl.SSLError):
        return f"No TLS connection could be made to {origin(url)}: {cause.reason or type(cause).__name__}."
    if isinstance(cause, socket.gaierror):
        return f"The name {url.host} was not found."
    if isinstance(cause, ConnectionRefusedError) or getattr(cause, "errno", None) == errno.ECONNREFUSED:
        return f"Connection refused: nothing listens at {origin(url)}."
    return None


def _of_certificate(error: ssl.SSLCertVerificationError, url: httpx.URL) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        return f"The certificate of {url.host} has expired."
    if code == _NOT_YET_VALID:
        return f"The certificate of {url.host} is not valid yet."
    if code in _OTHER_NAME:
        return f"The certificate is not for the name {url.host}."
    if code == _SELF_SIGNED:
        signer = "is self-signed"
    elif code in _PRIVATE_AUTHORITY:
        signer = "is from a private certificate authority"
    else:
        return f"The certificate of {url.host} is not valid: {error.verify_message}."
    return (
        f"The certificate of {url.host} {signer}. Linq does not trust it. "
        "To let the emulator trust it, set SSL_CERT_FILE to the authority's certificate."
    )


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
