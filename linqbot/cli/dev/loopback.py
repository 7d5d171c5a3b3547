"""The HTTP clients between the processes of `linqbot dev`: plain HTTP on this machine."""

from __future__ import annotations

import ssl


def no_authorities() -> ssl.SSLContext:
    """Return a context that trusts no certificate, for a client that never uses TLS.

    Without it, httpx reads the certificates of all authorities: 40 ms of each start of a bot.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
