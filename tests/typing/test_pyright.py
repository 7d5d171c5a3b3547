"""Pyright, in its strictest mode, knows each verb of the context: `context.py`. It finds the mistakes that `linq/endpoints.py` marks too."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from linqbot import Context
from linqbot.bot.bot_context import BotContext
from linqbot.features.chat_context import ChatContext
from linqbot.features.proactive import BotSpeaker
from linqbot.features.speaking import Speaker

HERE = Path(__file__).parent
OF_THE_PARTS = {
    *(
        "discard_plugins",
        "mutes",
        "opening",
        "overlap",
        "own_line",
        "person_without_chat",
        "received_media",
        "recorded",
    ),
    *("reply_or_else", "send_in", "show_card", "show_typing_when_slow", "stop_typing"),
}
"""Names that linqbot itself and plugins use, and no author."""


def test_each_verb_of_the_context_is_used_in_the_snippets() -> None:
    used = {
        node.attr for node in ast.walk(ast.parse((HERE / "context.py").read_text())) if isinstance(node, ast.Attribute)
    }
    kinds = (Context, Speaker, ChatContext, BotContext, BotSpeaker)
    verbs = {name for kind in kinds for name in vars(kind) if not name.startswith("_")}
    assert not verbs - OF_THE_PARTS - used, "Use these in tests/typing/context.py."
    assert verbs >= OF_THE_PARTS


@pytest.mark.process
@pytest.mark.slow
def test_pyright_finds_no_mistake_in_the_snippets_and_each_marked_one(tmp_path: Path) -> None:
    settings = {
        "include": [str(HERE / "context.py"), str(HERE / "api.py")],
        "typeCheckingMode": "strict",
        "reportUnnecessaryTypeIgnoreComment": "error",
        "pythonVersion": "3.11",
        "extraPaths": [str(HERE.parents[1])],
    }
    config = tmp_path / "pyrightconfig.json"
    config.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(config)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.stdout, checked.stderr
    found = json.loads(checked.stdout)
    assert [
        f"{Path(one['file']).name}:{one['range']['start']['line'] + 1}: {one['message']}"
        for one in found["generalDiagnostics"]
    ] == []
    assert found["summary"]["filesAnalyzed"] == 2
