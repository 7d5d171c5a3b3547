"""The verdict of `linqbot rehearse` on the test that it has written for a finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from linqbot.cli.rehearsal import reproducing
from linqbot.testing.people import Persona, Say, Violation
from linqbot.testing.people.persona import Performed, Stretch, Visit


@pytest.mark.process
def test_a_test_that_does_not_end_is_not_said_to_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproducing, "TIMEOUT_S", 0.01)
    (tmp_path / "bot.py").write_text("from linqbot import Bot\n\nbot = Bot()\n")
    visit = Visit(Persona("ann", []), "+14155550142", [Stretch(0, [Performed(Say("hi"), 0.0)], is_settled=True)])
    found = Violation("unanswered", "ann", "'hi'", "an answer", "silence", 0, None)
    written = reproducing.write_reproductions(
        [found], [visit], str(tmp_path / "bot.py"), tmp_path / "out", shows_progress=False
    )
    assert [said.startswith("did not end within") for said in written.values()] == [True]
