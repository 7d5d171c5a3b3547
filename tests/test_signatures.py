"""Webhook verification: the worked example, the reference library as an oracle, and no flipped bit ever passes."""

from __future__ import annotations

import base64
import itertools
from datetime import UTC, datetime

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from linqbot.errors import ConfigError, InvalidSignature, StaleSignature
from linqbot.linq.signatures import Secret, sign, sign_legacy, verify

SECRET = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
OTHER = "whsec_" + base64.b64encode(b"another secret of 32 bytes long!").decode()
ID = "0b7f7c1e-5d3a-4c58-9f7e-2f6f3f0c9a11"
AT = 1793900000
BODY = (
    b'{"api_version":"v3","webhook_version":"2026-02-03","event_type":"chat.typing_indicator.started",'
    b'"event_id":"0b7f7c1e-5d3a-4c58-9f7e-2f6f3f0c9a11","created_at":"2026-11-05T17:30:00.120Z",'
    b'"trace_id":"8af9171a45022df2eb74ba4e4c83be0f","partner_id":"partner_7d2c41",'
    b'"data":{"chat_id":"550e8400-e29b-41d4-a716-446655440000"}}'
)
SIGNATURE = "v1,VlLbAzeI9X0AmEfv25/YDhejyxPs7bMQyske3g8UX8o="
LEGACY = "bb8f894e4ecb2f85a5ff4fff02036a1a13fabec19ad50d61b631ffedf9138962"
LEGACY_DECODED_KEY = "086cc7b0df7648b1ce646fc492ca476f30d9f54439ac1ee679e9c0d9dc989b55"
HEADERS = {"webhook-id": ID, "webhook-timestamp": str(AT), "webhook-signature": SIGNATURE}
OLD_HEADERS = {"x-webhook-timestamp": str(AT), "x-webhook-signature": LEGACY}
SECRETS = [Secret.parse(SECRET)]


def test_the_worked_example_is_signed_as_linq_signs_it_and_verified() -> None:
    assert sign(BODY, webhook_id=ID, timestamp=AT, secret=SECRET) == SIGNATURE
    assert sign_legacy(BODY, timestamp=AT, secret=SECRET) == LEGACY
    verified = verify(HEADERS, BODY, SECRETS, now=AT)
    assert (verified.webhook_id, verified.signed_id) == (ID, True)


@given(st.binary(max_size=2000), st.binary(min_size=24, max_size=64))
def test_the_reference_library_accepts_what_we_sign(body: bytes, key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    now = int(datetime.now(UTC).timestamp())
    text = body.decode("latin-1")
    signature = sign(text.encode(), webhook_id="msg_1", timestamp=now, secret=secret)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": signature}
    standardwebhooks.Webhook(secret).verify(text, headers, json_parse=False)


@given(st.text(max_size=2000), st.binary(min_size=24, max_size=64))
def test_we_accept_what_the_reference_library_signs(text: str, key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    signature = standardwebhooks.Webhook(secret).sign("msg_1", datetime.fromtimestamp(AT, UTC), text)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(AT), "webhook-signature": signature}
    assert verify(headers, text.encode(), [Secret.parse(secret)], now=AT).webhook_id == "msg_1"


@given(st.integers(0, len(BODY) * 8 - 1))
def test_no_flipped_bit_of_the_body_passes(bit: int) -> None:
    body = bytearray(BODY)
    body[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidSignature):
        verify(HEADERS, bytes(body), SECRETS, now=AT)


@given(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.data())
def test_no_flipped_bit_of_a_header_passes(name: str, data: st.DataObject) -> None:
    value = bytearray(HEADERS[name].encode())
    bit = data.draw(st.integers(0, len(value) * 8 - 1))
    value[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidSignature):
        verify(HEADERS | {name: value.decode("latin-1")}, BODY, SECRETS, now=AT)


def test_another_spelling_of_the_same_signature_does_not_pass() -> None:
    # The last character before the padding has two bits that base64 does not use.
    assert base64.b64decode(SIGNATURE[3:].replace("o=", "p=")) == base64.b64decode(SIGNATURE[3:])
    with pytest.raises(InvalidSignature):
        verify(HEADERS | {"webhook-signature": SIGNATURE.replace("o=", "p=")}, BODY, SECRETS, now=AT)


@given(st.dictionaries(st.sampled_from(sorted(HEADERS | OLD_HEADERS)), st.text()), st.binary(), st.booleans())
def test_random_headers_are_refused_and_never_crash(headers: dict[str, str], body: bytes, allow: bool) -> None:
    with pytest.raises(InvalidSignature):
        verify(headers, body, SECRETS, now=AT, allow_legacy=allow)


@pytest.mark.parametrize(
    ("now", "passes"), [(AT - 301, False), (AT - 300, True), (AT + 300.9, True), (AT + 301, False)]
)
def test_a_signed_time_may_be_three_hundred_seconds_off_and_no_more(now: float, passes: bool) -> None:
    if passes:
        verify(HEADERS, BODY, SECRETS, now=now)
    else:
        with pytest.raises(StaleSignature) as caught:
            verify(HEADERS, BODY, SECRETS, now=now)
        assert caught.value.age_s == pytest.approx(now - AT)


def test_a_forged_signature_is_not_called_stale() -> None:
    with pytest.raises(InvalidSignature) as caught:
        verify(HEADERS, BODY + b" ", SECRETS, now=AT + 9999)
    assert not isinstance(caught.value, StaleSignature)


def test_any_of_several_secrets_and_signatures_may_fit() -> None:
    headers = HEADERS | {"webhook-signature": f"v1a,AAAA v2,BBBB v1,zzzz {SIGNATURE}"}
    verify(headers, BODY, [Secret.parse(OTHER), Secret.parse(SECRET)], now=AT)


def test_without_secrets_and_with_a_signature_of_another_version_nothing_passes() -> None:
    of_another_version = HEADERS | {"webhook-signature": SIGNATURE.replace("v1,", "v2,")}
    for headers, secrets in ((HEADERS, []), (of_another_version, SECRETS)):
        with pytest.raises(InvalidSignature):
            verify(headers, BODY, secrets, now=AT)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (["webhook-id", "webhook-timestamp"], "no webhook-id and no webhook-timestamp header"),
        (["webhook-id"], "no webhook-id header"),
        (["webhook-timestamp"], "no webhook-timestamp header"),
        (["webhook-signature"], "no webhook-signature header"),
    ],
)
def test_missing_headers_are_named(missing: list[str], named: str) -> None:
    headers = {name: value for name, value in HEADERS.items() if name not in missing}
    with pytest.raises(InvalidSignature, match=f"The POST has {named},"):
        verify(headers, BODY, SECRETS, now=AT)


@pytest.mark.parametrize("timestamp", ["soon", f"{AT}.5", f"-{AT}", "\u00b9\u00b2", "9" * 5000])
def test_a_genuine_signature_over_a_time_that_is_no_number_is_stale_and_no_forgery(timestamp: str) -> None:
    content = f"{ID}.{timestamp}.".encode("latin-1") + BODY
    signature = "v1," + SECRETS[0].signature(content).decode()
    with pytest.raises(StaleSignature):
        verify(HEADERS | {"webhook-timestamp": timestamp, "webhook-signature": signature}, BODY, SECRETS, now=AT)


def test_the_older_headers_pass_when_allowed_and_are_held_to_the_same_time() -> None:
    for signature in (LEGACY, "sha256=" + LEGACY, LEGACY_DECODED_KEY):
        headers = OLD_HEADERS | {"x-webhook-signature": signature}
        assert not verify(headers, BODY, SECRETS, now=AT, allow_legacy=True).signed_id
        with pytest.raises(StaleSignature):
            verify(headers, BODY, SECRETS, now=AT + 301, allow_legacy=True)
        with pytest.raises(InvalidSignature):
            verify(headers, BODY, SECRETS, now=AT)


def test_a_present_new_signature_alone_decides(subtests: pytest.Subtests) -> None:
    states = ["good", "bad", "absent"]
    for new, id_, old, allow in itertools.product(states, [True, False], states, [True, False]):
        with subtests.test(new=new):
            headers = {"webhook-timestamp": str(AT), "x-webhook-timestamp": str(AT)}
            if id_:
                headers["webhook-id"] = ID
            if new != "absent":
                headers["webhook-signature"] = SIGNATURE if new == "good" else "v1,AAAA"
            if old != "absent":
                headers["x-webhook-signature"] = LEGACY if old == "good" else "00"
            by_new = new == "good" and id_
            by_old = new == "absent" and allow and old == "good"
            if by_new or by_old:
                assert verify(headers, BODY, SECRETS, now=AT, allow_legacy=allow).signed_id == by_new
            else:
                with pytest.raises(InvalidSignature):
                    verify(headers, BODY, SECRETS, now=AT, allow_legacy=allow)


def test_padding_and_prefix_of_a_secret_may_be_missing() -> None:
    assert (
        Secret.parse(SECRET.rstrip("=")).key == Secret.parse(SECRET.removeprefix("whsec_")).key == bytes(range(1, 33))
    )


def test_a_bad_secret_is_a_config_error_that_does_not_show_it(subtests: pytest.Subtests) -> None:
    rows = ["", "   ", "whsec_", "whsec_not base64!", "garbage", "whsec_AQIDBAUG"]
    for text in rows:
        with subtests.test(text=text):
            with pytest.raises(ConfigError) as caught:
                Secret.parse(text)
            assert "not base64!" not in str(caught.value)


def test_a_secret_never_shows_itself() -> None:
    assert "AQID" not in repr(SECRETS[0])
