"""The skill for coding agents: built from llms.txt, and every name in it exists."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from project.test_docs import call, command_lines
from project.test_reference import generator

import linqbot
import linqbot.events
import linqbot.testing
from linqbot import Bot, Context, MessageReceived
from linqbot.settings import Settings, variable
from linqbot.testing import Phone

ROOT = Path(__file__).parents[2]
SKILL = (ROOT / "docs" / "skill" / "SKILL.md").read_text()
PROSE = re.sub(r"```.*?```", "", SKILL, flags=re.DOTALL)
OWNERS: dict[str, Any] = {"ctx": Context, "phone": Phone, "bot": Bot, "event": MessageReceived}
PLAIN = {"ctx", "event_id", "Exception", "BaseException", "linqbot", "on_message", "pytest", "phone_for"}
"""Names of Python and of other programs, a decorator without its `@bot.`, and the fixture."""


def test_the_skill_is_built_from_llms_txt() -> None:
    assert generator().skill() == SKILL, "Run: python docs/generate.py --skill"


def test_its_head_says_its_name_and_when_to_use_it() -> None:
    head = re.match(r"---\nname: ([a-z0-9-]{1,64})\ndescription: ([^\n]{1,1024})\n---\n", SKILL)
    assert head is not None
    assert head[1] == "linqbot"
    assert "Use it to" in head[2]
    assert ": " not in head[2], "YAML would read a second key"


def test_it_has_ten_rules() -> None:
    assert [int(n) for n in re.findall(r"^(\d+)\. ", SKILL, re.MULTILINE)] == [*range(1, 11)]


def test_every_name_in_it_exists(subtests: pytest.Subtests) -> None:
    known = {*linqbot.__all__, *linqbot.events.__all__, *linqbot.testing.__all__, *PLAIN}
    known |= {variable(name) for name in Settings.model_fields}
    for code in sorted(set(re.findall(r"`([^`\n]+)`", PROSE))):
        with subtests.test(code=code):
            if code.startswith("linqbot "):
                call(shlex.split(code), whole=False)
            elif code.startswith("linqbot.") and code != "linqbot.toml":
                importlib.import_module(code)
            elif (name := re.match(r"@?(\w+)\.(\w+)", code)) and name[1] in OWNERS:
                fields = getattr(OWNERS[name[1]], "model_fields", {})
                assert hasattr(OWNERS[name[1]], name[2]) or name[2] in fields, code
            elif word := re.fullmatch(r"(\w+)(\(.*\))?", code):
                assert word[1] in known, code
    for line in command_lines(SKILL):
        call(shlex.split(line, comments=True), whole=True)
    for path in re.findall(rf"\]\({re.escape(generator().RAW)}/([^)#]+)", SKILL):
        assert (ROOT / path).exists(), path


@pytest.mark.slow
@pytest.mark.process
def test_its_bot_passes_its_tests(tmp_path: Path) -> None:
    for name, content in re.findall(r"```python (\S+)\n(.*?)```", SKILL, re.DOTALL):
        (tmp_path / name).write_text(content)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
