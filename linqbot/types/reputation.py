"""Reputation audits: why a line stands with the networks as it does, and what would help."""

from __future__ import annotations

from datetime import datetime

from linqbot.types.data import Data


class ReputationAuditStarted(Data):
    """Answer of `phone_numbers.start_reputation_audit`. While one runs, a second start answers with that one."""

    audit_id: str
    status: str


class ReputationDriver(Data):
    """One cause. `key` is such as `volume_spike` or `opt_out_handling`."""

    key: str | None = None
    summary: str | None = None
    metric: str | None = None


class ReputationActionItem(Data):
    """Something to do about it.

    Attributes:
        priority: 1 comes first.
        expected_impact: `high`, `medium` or `low`.
    """

    priority: int | None = None
    title: str | None = None
    detail: str | None = None
    expected_impact: str | None = None


class UnhealthyChat(Data):
    """A chat that weighs on the line."""

    chat_id: str | None = None
    status: str | None = None
    driver_keys: tuple[str, ...] | None = None


class OptOutChat(Data):
    """A chat in which you wrote on after an opt-out word."""

    chat_id: str | None = None
    messages_after_stop: int | None = None


class ReputationEvidence(Data):
    """The chats behind a report; of the unhealthy ones 15 at most."""

    unhealthy_chats: tuple[UnhealthyChat, ...] | None = None
    opt_out_chats: tuple[OptOutChat, ...] | None = None


class ReputationReport(Data):
    """What an audit found.

    Attributes:
        severity: `HEALTHY`, `AT_RISK` or `CRITICAL`.
        primary_driver: The key of the weightiest cause; empty when there is none.
    """

    severity: str | None = None
    primary_driver: str | None = None
    summary_markdown: str | None = None
    drivers: tuple[ReputationDriver, ...] | None = None
    action_items: tuple[ReputationActionItem, ...] | None = None
    evidence: ReputationEvidence | None = None


class ReputationAudit(Data):
    """An audit of a line, readable for 24 hours.

    Attributes:
        status: `pending`, then `complete` with a `report`, or `error`.
        phone: The line, E.164.
    """

    audit_id: str
    status: str
    phone: str | None = None
    generated_at: datetime | None = None
    error: str | None = None
    report: ReputationReport | None = None
