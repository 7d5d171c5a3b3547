"""The results of `ctx.pay`, `ctx.location` and `ctx.vote`: frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment that succeeded. It counts as true, `Declined` and `Expired` as false.

    Attributes:
        request_id: The id of the payment request at Linq, for refunds and questions.
        amount: The amount in the currency's minor unit, such as cents.
        currency: The currency, such as `usd`.
    """

    request_id: str
    amount: int
    currency: str

    def __bool__(self) -> Literal[True]:
        return True


@dataclass(frozen=True, slots=True)
class Declined:
    """A payment that the payer's bank has refused. The request is closed, so it cannot be paid later.

    Attributes:
        request_id: The id of the payment request at Linq.
    """

    request_id: str

    def __bool__(self) -> Literal[False]:
        return False


@dataclass(frozen=True, slots=True)
class Expired:
    """A payment that was not made in time. The request is closed, so it cannot be paid later.

    Attributes:
        request_id: The id of the payment request at Linq.
    """

    request_id: str

    def __bool__(self) -> Literal[False]:
        return False


PaymentResult: TypeAlias = Paid | Declined | Expired
"""A result of `ctx.pay`."""


@dataclass(frozen=True, slots=True)
class Location:
    """The place at which a person is.

    Attributes:
        latitude, longitude: In degrees.
        handle: The handle that shares it: a phone number, or the e-mail address of an Apple ID.
        address: The address, if Linq knows it.
        locality: The town, if Linq knows it.
        updated_at: The time at which the phone was located.
    """

    latitude: float
    longitude: float
    handle: str
    address: str | None = None
    locality: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VoteResult:
    """The result of a vote.

    Attributes:
        votes: The choices of each person who voted, by handle in lower case. A person may vote for several in a poll.
        counts: The number of votes for each choice, in the order of the choices.
        is_complete: True if everyone voted who had to; False if the time was over before.
    """

    votes: Mapping[str, tuple[str, ...]]
    counts: Mapping[str, int]
    is_complete: bool

    @property
    def winners(self) -> tuple[str, ...]:
        """The choices with the most votes; empty if there are no votes."""
        most = max(self.counts.values(), default=0)
        return tuple(choice for choice, count in self.counts.items() if count == most and most > 0)

    @property
    def winner(self) -> str | None:
        """The choice with the most votes; None after a tie, and without votes."""
        winners = self.winners
        return winners[0] if len(winners) == 1 else None
