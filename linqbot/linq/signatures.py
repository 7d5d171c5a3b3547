"""Sign and verify webhook deliveries as the Standard Webhooks specification defines.

Pure functions over raw bytes, without I/O and without a clock. The server verifies with them and the emulator signs
with them. The tests check both against the specification's vectors, so that the two cannot agree on the same mistake.

Linq sends two sets of headers. `webhook-id`, `webhook-timestamp` and `webhook-signature` are the standard's. The older
`X-Webhook-*` pair does not sign the id. The older pair is accepted only if the operator allows it, and only if
`webhook-signature` is absent: otherwise an attacker who can strip a header could choose the weaker check. The next step
for a verified delivery is `linq/events/delivery.py`.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_bytes

from linqbot.errors import InvalidSignature, SecretMissing, StaleSignature

TOLERANCE_S = 300
"""Largest accepted distance between a signed time and our clock, in either direction; exactly 300 s is accepted."""

SIGNED_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")

MIN_KEY_BYTES = 16
"""Fewest bytes of a secret's key. Standard Webhooks wants 24; anything much shorter is a part of a secret, or no secret."""

_PREFIX = "whsec_"
_PROBE = "probe,"


@dataclass(slots=True)
class Secret:
    """A signing secret, decoded once. Its repr shows neither of its fields.

    Attributes:
        key: The decoded bytes, with which Standard Webhooks signs.
        shown: The secret as Linq showed it, in UTF-8, with which the older headers are signed.
    """

    key: bytes = field(repr=False)
    shown: bytes = field(repr=False)
    _keyed: hmac.HMAC = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._keyed = hmac.new(self.key, digestmod="sha256")

    def signature(self, content: bytes) -> bytes:
        # A copy of the keyed state: `hmac.digest` would prepare the key again for each delivery, and let go of the GIL.
        mac = self._keyed.copy()
        mac.update(content)
        return base64.b64encode(mac.digest())

    @classmethod
    def parse(cls, text: str) -> Secret:
        """Parse a secret such as `whsec_AQID…`.

        Raises:
            ConfigError: The secret is empty, not base64, or too short to be a secret of Linq's.
        """
        shown = text.strip()
        encoded = shown.removeprefix(_PREFIX)
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except ValueError:
            key = b""
        if len(key) < MIN_KEY_BYTES:
            raise SecretMissing(
                f"A webhook secret of {len(shown)} characters is not base64 of {MIN_KEY_BYTES} bytes or more. "
                "Copy it again as it was shown when the subscription was created; it begins with whsec_."
            )
        return cls(key=key, shown=shown.encode())


def is_secret(text: str) -> bool:
    """Return True if `Secret.parse` takes a text."""
    try:
        Secret.parse(text)
    except SecretMissing:
        return False
    return True


def random_secret() -> str:
    """Return a new secret of 32 random bytes, in the form in which Linq shows secrets."""
    return _PREFIX + base64.b64encode(token_bytes(32)).decode()


@dataclass(slots=True)  # not frozen: see `JournalEntry`
class Verified:
    """The signed facts of a verified webhook delivery.

    Attributes:
        webhook_id: Linq's id of the delivery; empty if the sender gave none.
        signed_id: True if the signature covers the id. Decide nothing by an unsigned id.
    """

    webhook_id: str
    signed_id: bool


def sign(body: bytes, *, webhook_id: str, timestamp: int, secret: str) -> str:
    """Return the `webhook-signature` value for `body`: `v1,` and base64 of an HMAC-SHA256.

    Raises:
        ConfigError: The secret is empty or not base64.
    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    return "v1," + Secret.parse(secret).signature(_content(webhook_id, str(timestamp), body)).decode()


def sign_legacy(body: bytes, *, timestamp: int, secret: str) -> str:
    """Return the older `X-Webhook-Signature` value for `body`: hex of an HMAC-SHA256 under the secret as shown."""
    return hmac.digest(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hex()


def signed_headers(
    body: bytes, *, event_id: str, event_type: str, subscription_id: str, timestamp: int, secret: str
) -> dict[str, str]:
    """Return the headers of a webhook as Linq sends it, with both signatures. Raises ConfigError, as `sign` does."""
    return {
        "content-type": "application/json",
        "user-agent": "Linq-Webhooks/1.0",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(body, webhook_id=event_id, timestamp=timestamp, secret=secret),
        "x-webhook-event": event_type,
        "x-webhook-subscription-id": subscription_id,
        "x-webhook-timestamp": str(timestamp),
        "x-webhook-signature": sign_legacy(body, timestamp=timestamp, secret=secret),
    }


def sign_probe(body: bytes, *, webhook_id: str, timestamp: int, secret: str) -> str:
    """Return an entry for `webhook-signature` which shows that the sender of `body` knows a secret: `probe,` and base64.

    `linqbot check` adds it to the test events that the bot must refuse, so that the bot does not report them as
    forgeries. It never makes a delivery genuine. The signed content begins with a prefix, so a delivery's own signature
    cannot be used as such an entry.
    """
    return _PROBE + _probe_digest(Secret.parse(secret), webhook_id, str(timestamp), body).decode()


def is_probe(headers: Mapping[str, str], body: bytes, secrets: Sequence[Secret], *, now: float) -> bool:
    """Return True if `sign_probe` signed these headers and this body, with one of our secrets and a moment ago."""
    entries = headers.get("webhook-signature", "").split(" ")
    given = [each.removeprefix(_PROBE).encode("latin-1", "replace") for each in entries if each.startswith(_PROBE)]
    webhook_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not given or not _any_fits((_probe_digest(each, webhook_id, timestamp, body) for each in secrets), given):
        return False
    try:
        _check_time(timestamp, now)
    except StaleSignature:
        return False
    return True


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[Secret],
    *,
    now: float,
    allow_legacy: bool = False,
) -> Verified:
    """Verify that `body` was signed with one of our secrets, at a time close to `now`.

    Args:
        headers: By name in lower case.
        body: The raw bytes as received; a body that was parsed and encoded again has another signature.
        secrets: Several while a secret is being rotated; any of them may match.
        now: Unix seconds of the wall clock.
        allow_legacy: Accept the older pair of headers if `webhook-signature` is absent.
    Raises:
        StaleSignature: The signature is genuine, but was made more than `TOLERANCE_S` from `now`.
        InvalidSignature: A header is missing, or no secret matches.
    """
    signature = headers.get("webhook-signature")
    if signature is None and allow_legacy and "x-webhook-signature" in headers:
        return _verify_legacy(headers, body, secrets, now)
    webhook_id = headers.get("webhook-id")
    timestamp = headers.get("webhook-timestamp")
    if not (signature and webhook_id and timestamp):
        missing = [n for n in SIGNED_HEADERS if not headers.get(n)]
        raise InvalidSignature(f"The POST has no {' and no '.join(missing)} header, so it cannot be from Linq.")
    # Compared as base64 text: several texts decode to the same bytes, and only one of them was sent.
    given = [entry[3:].encode("latin-1", "replace") for entry in signature.split(" ") if entry.startswith("v1,")]
    content = _content(webhook_id, timestamp, body)
    if not _any_fits((secret.signature(content) for secret in secrets), given):
        raise InvalidSignature(
            "The signature matches none of our secrets. If the subscription was created again, "
            "the bot needs its new secret. See: linqbot check"
        )
    _check_time(timestamp, now)
    return Verified(webhook_id, signed_id=True)


def _verify_legacy(headers: Mapping[str, str], body: bytes, secrets: Sequence[Secret], now: float) -> Verified:
    timestamp = headers.get("x-webhook-timestamp", "")
    given = headers["x-webhook-signature"].removeprefix("sha256=").encode("latin-1", "replace")
    content = timestamp.encode("latin-1", "replace") + b"." + body
    # Linq's page says that the key is the secret as shown. The page is older than base64 secrets, so both are tried.
    keys = (key for secret in secrets for key in (secret.shown, secret.key))
    if not _any_fits((hmac.digest(key, content, "sha256").hex().encode() for key in keys), [given]):
        raise InvalidSignature("The X-Webhook-Signature header matches none of our secrets.")
    _check_time(timestamp, now)
    return Verified(headers.get("webhook-id", ""), signed_id=False)


def _content(webhook_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{webhook_id}.{timestamp}.".encode("latin-1", "replace") + body


def _probe_digest(secret: Secret, webhook_id: str, timestamp: str, body: bytes) -> bytes:
    return secret.signature(b"linqbot.probe." + _content(webhook_id, timestamp, body))


def _any_fits(wanted: Iterable[bytes], given: Sequence[bytes]) -> bool:
    # compare_digest, not ==: equality stops at the first wrong byte, so its duration would reveal that byte.
    return any(hmac.compare_digest(signature, candidate) for signature in wanted for candidate in given)


def _check_time(timestamp: str, now: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 15):
        raise StaleSignature("The signed timestamp is not a number of seconds, so its age is unknown.", age_s=0.0)
    at = int(timestamp)
    age_s = now - at
    # Our clock in whole seconds, like the sender's: a difference of exactly 300 s must be accepted.
    if abs(int(now) - at) > TOLERANCE_S:
        raise StaleSignature(
            f"The signature is genuine but was made {abs(age_s):.0f} s {'ago' if age_s > 0 else 'from now'}; "
            f"{TOLERANCE_S} s are allowed. Check this machine's clock.",
            age_s=age_s,
        )
