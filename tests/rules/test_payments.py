"""Payment requests (R96)."""

from __future__ import annotations

from typing import Any

import pytest
from rules.asking import LINE, body, broke


def test_R96_a_payment_request_fits_its_mode(subtests: pytest.Subtests) -> None:
    rows: list[Any] = [
        {"amount": 49},
        {"currency": "eur"},
        {"mode": "gift"},
        {"rail": "cash"},
        {"mode": "subscription", "amount": 50, "price_id": "p"},
        {"price_id": "price_1"},
        {"quantity": 2},
        {"discount": {"coupon": "a"}},
        {"trial_end": "2027-01-01T00:00:00Z"},
        {"trial_period_days": 2},
        {"rail": "natural", "from_": LINE},
        {"metadata": {str(n): "x" for n in range(50)}},
        {"metadata": {"linq_id": "x"}},
    ]
    for fields in rows:
        with subtests.test(fields=fields):
            good = {"amount": 50, "currency": "usd"}
            assert body("payment_requests.create", **good) is None
            assert body("payment_requests.create", mode="subscription", price_id="p") is None
            assert broke(body("payment_requests.create", **{**good, **fields}), "R96")


@pytest.mark.parametrize(
    "fields",
    [
        {"trial_end": "2027-01-01T00:00:00Z", "trial_period_days": 2},
        {"discount": {"coupon": "a", "promotion_code": "b"}},
    ],
)
def test_R96_a_subscription_has_one_trial_and_one_discount(fields: Any) -> None:
    assert broke(body("payment_requests.create", mode="subscription", price_id="p", **fields), "R96")
