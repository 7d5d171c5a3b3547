"""kill -9 of a real `linqbot serve` while signed deliveries arrive: nothing lost, nothing twice, every chat in order."""

from __future__ import annotations

from pathlib import Path

import crash
import pytest

pytestmark = [pytest.mark.process, pytest.mark.slow]


async def test_every_delivery_is_answered_once_and_in_order_despite_many_kills(tmp_path: Path) -> None:
    report = await crash.run(deliveries=300, kills=5, folder=tmp_path, direct=True)
    assert report.kills >= 3, f"{report}: too few kills to tell anything"
    assert (report.lost, report.doubled, report.disordered) == ([], [], []), str(report)


async def test_retried_deliveries_are_answered_once_and_in_order_after_each_kill(tmp_path: Path) -> None:
    report = await crash.run(deliveries=120, kills=4, folder=tmp_path)
    assert report.kills >= 3, f"{report}: too few kills to tell anything"
    assert (report.lost, report.doubled, report.disordered) == ([], [], []), str(report)
