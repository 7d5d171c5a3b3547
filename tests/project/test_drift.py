"""Linqbot knows every event, endpoint, parameter, field and value of the official client's version that the tests are pinned to.

`.ci/drift.py` makes the comparison; run by hand, it takes the newest version. If the pinned version is raised, the first test
fails for what linqbot lacks, and names it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import drift
import linq
import pytest
from linq.types.message import Message as OfficialMessage
from typing_extensions import TypedDict  # as the official client

from linqbot.linq.endpoints import ENDPOINTS
from linqbot.settings import from_env

OFFICIAL = Path(linq.__file__).parent
ROOT = Path(__file__).parent.parent.parent


class Look(TypedDict, total=False):
    wobble: float


def test_the_official_client_has_nothing_that_linqbot_lacks() -> None:
    assert drift.client_differences() == []


def test_the_official_client_was_compared_in_all_its_parts() -> None:
    assert len(drift.event_models()) > 60
    assert len(drift.event_types()) >= 75
    assert len(drift.official_methods()) >= 70


def test_each_variable_of_the_official_client_may_be_set() -> None:
    sources = "".join(path.read_text() for path in OFFICIAL.rglob("*.py"))
    variables = set(re.findall(r"\bLINQ_[A-Z0-9_]+\b", sources))
    assert {"LINQ_API_V3_API_KEY", "LINQ_API_V3_LOG"} <= variables
    from_env(dict.fromkeys(variables, "x"))


def test_the_official_client_has_each_of_our_methods() -> None:
    unknown = ENDPOINTS.keys() - drift.official_methods().keys() - {"v2.list_chats"}
    assert not unknown, "Linq's client has none of these. Raise its lowest version if a newer one has."


def test_what_a_newer_client_has_is_named(monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests) -> None:
    methods, models = drift.official_methods(), drift.event_models()

    async def send_voicememo(self: Any, *, chat_id: str, whisper: bool) -> None: ...

    async def add_reaction(self: Any, message_id: str, *, type: Literal["love", "image"]) -> None: ...  # noqa: A002

    async def send(self: Any, chat_id: str, *, message: Look) -> None: ...

    class Newer(OfficialMessage):
        mood: Literal["gloomy"]

    changed = {
        "chats.send_voicememo": send_voicememo,
        "messages.add_reaction": add_reaction,
        "chats.messages.send": send,
        "calls.transfer": send_voicememo,
    }
    monkeypatch.setattr(drift, "official_methods", lambda: {**methods, **changed})
    monkeypatch.setattr(drift, "event_models", lambda: {**models, "message.translated": Newer})
    found = drift.client_differences()
    for line in (
        "event type that linqbot does not know: message.translated",
        "endpoint that linqbot does not know: calls.transfer",
        "parameter that linqbot does not know: chats.send_voicememo(whisper=…)",
        "value that linqbot does not know: messages.add_reaction(type) = 'image'",
        "field that linqbot does not know: Look.wobble",
        "field that linqbot does not know: Newer.mood",
        "value that linqbot does not know: Newer.mood = 'gloomy'",
    ):
        with subtests.test(line=line):
            assert line in found


@pytest.mark.process
def test_an_openapi_file_is_compared_as_well(tmp_path: Path) -> None:
    file = tmp_path / "linq-api-v3.yaml"
    file.write_text("paths: {/v3/holograms: {get: {}}}\n")
    found = subprocess.run(
        [sys.executable, ".ci/drift.py", str(file)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert found.returncode == 1
    assert "endpoint that linqbot does not know: GET /v3/holograms" in found.stdout
