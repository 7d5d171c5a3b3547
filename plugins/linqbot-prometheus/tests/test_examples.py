"""Dashboard, alerts and docs name only metrics that exist, and the docs name every metric."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest
from linqbot_prometheus.metrics import InboxCollector, Metrics
from prometheus_client import Metric, ProcessCollector

from linqbot import errors
from linqbot.clock import SystemClock
from linqbot.linq.types.proactive import HandoffEnd
from linqbot.storage.sqlite.memory import MemoryStorage
from linqbot.turn_events import End, Reason

README = Path(__file__).parent.parent / "README.md"
PLUGIN = files("linqbot_prometheus")
PANELS = json.loads((PLUGIN / "dashboard.json").read_text())["panels"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]
"""What the panels of the dashboard ask for."""
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"], "info": ["_info"]}


@pytest.fixture
async def families() -> list[Metric]:
    metrics = Metrics(version="1")
    ProcessCollector(registry=metrics.registry)
    inbox = InboxCollector(MemoryStorage(), SystemClock(), lambda: 0)
    metrics.registry.register(inbox)
    await inbox.refresh()
    return list(metrics.registry.collect())


def samples(families: list[Metric]) -> set[str]:
    return {family.name + suffix for family in families for suffix in SUFFIXES[family.type]}


def named(text: str) -> set[str]:
    return set(re.findall(r"\b(?:linqbot|process)_[a-z_]+\b", text))


async def test_every_metric_of_the_dashboard_exists(families: list[Metric]) -> None:
    assert len(EXPRESSIONS) > 20
    for expression in EXPRESSIONS:
        assert named(expression), expression
        assert named(expression) <= samples(families), expression


async def test_the_dashboard_shows_every_metric_and_no_panel_covers_another(families: list[Metric]) -> None:
    shown = named(json.dumps(PANELS))
    for family in families:
        if family.name.startswith("linqbot"):
            assert shown & {family.name + suffix for suffix in SUFFIXES[family.type]}, family.name
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in PANELS):
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells


async def test_every_metric_and_label_of_the_alerts_exists(families: list[Metric]) -> None:
    rules = (PLUGIN / "alerts.yml").read_text()
    expressions = re.findall(r"expr: (?:\|\n((?: {10}.*\n)+)|(.+))", rules)
    assert len(expressions) == rules.count("- alert:")
    for expression in map("".join, expressions):
        assert named(expression) <= samples(families), expression


def test_an_inbox_that_several_processes_report_is_counted_once() -> None:
    alerts = re.findall(r"expr: (.+)", (PLUGIN / "alerts.yml").read_text())
    of_the_inbox = re.compile(r"linqbot_(inbox_(deliveries|oldest_seconds)|dead_letters)")
    shared = [one for one in EXPRESSIONS + alerts if of_the_inbox.search(one)]
    assert len(shared) == 5
    assert all("max by (job) (" in one or one.startswith("max(") for one in shared), shared


def test_every_error_that_an_alert_leaves_out_exists() -> None:
    (left_out,) = re.findall(r'error!~"([\w|]+)"', (PLUGIN / "alerts.yml").read_text())
    assert all(hasattr(errors, name) for name in left_out.split("|"))


async def test_the_table_of_the_docs_is_exact(families: list[Metric]) -> None:
    text = README.read_text()
    rows = re.findall(r"^\| `(linqbot\w+)` \| (\w+) \|", text, re.MULTILINE)
    whole = {"counter": "_total", "info": "_info"}
    ours = {(f.name + whole.get(f.type, ""), f.type) for f in families if f.name.startswith("linqbot")}
    assert set(rows) == ours
    assert len(rows) == len(ours)


def test_the_docs_name_every_reason_and_every_end() -> None:
    text = README.read_text()
    for metric, values in (
        ("linqbot_deliveries_refused_total", Reason),
        ("linqbot_turns_total", End),
        ("linqbot_handoffs_total", HandoffEnd),
    ):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{metric}`"))
        what = row.rpartition(":")[2]
        assert set(re.findall(r"`(\w+)`", what)) == set(get_args(values)), metric
