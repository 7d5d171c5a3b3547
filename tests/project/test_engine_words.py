"""Engine and server name no feature: what they call is a drawer of a feature, and what they keep for one lies in a bag."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[2] / "linqbot"
FEATURES: Final = re.compile(
    r"mute|opt(ed)?_?out|manners|withheld|hand_?off|relay|broadcast|overlap|steer|stream|burst|notices?(?![a-z])|new_chat",
    re.IGNORECASE,
)
ALLOWED: Final[Mapping[str, str]] = {
    # Stored words and reasons.
    "engine/failure.py": r"OPTED_OUT|opted_out",
    "engine/reasons.py": r"MUTED|Muted|muted",
    "engine/turn_record.py": r"MUTED|muted",
    "engine/slots.py": r"STREAM|~stream|stream_of|label_of_stream|ctx\.stream\(key=",
    # What a bot says of its own: the options and filters of its handlers, and the texts of its rules.
    "engine/filters.py": r"muted|takes_muted",
    "engine/handling.py": r"BROADCAST_DONE_TYPE|has_notices|in_handoff|muted|takes_muted",
    # A field of a delivery that several webhooks have become.
    "engine/turn.py": r"burst",
    # Checks of plugins, which are asked for at the start.
    "engine/outbound_plugins.py": r".*broadcast.*|BROADCAST_CHECK",
    "server/uvicorn_server.py": r"SOCK_STREAM",
}
"""By module, a pattern of the words that may stand in its code."""


def words_of(path: Path) -> Iterator[str]:
    """Yield the names in the code of a module, and its texts of one word."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.arg(arg=word) | ast.keyword(arg=str(word)):
                yield word
            case ast.ClassDef(name=word) | ast.FunctionDef(name=word) | ast.AsyncFunctionDef(name=word):
                yield word
            case ast.alias(name=word):
                yield word
            case ast.Constant(value=str(word)) if not re.search(
                r"\s", word
            ):  # a sentence may name a feature as an example
                yield word


def test_engine_and_server_name_no_feature() -> None:
    found = {}
    for path in sorted([*(ROOT / "engine").glob("*.py"), *(ROOT / "server").glob("*.py")]):
        module = path.relative_to(ROOT).as_posix()
        allowed = re.compile(ALLOWED.get(module, "(?!)"))
        if named := {word for word in words_of(path) if FEATURES.search(word) and not allowed.fullmatch(word)}:
            found[module] = sorted(named)
    assert found == {}


ENDS: Final = re.compile(r"question|answer|poll|payment|vote|ballot|locat|tapback|reaction|choice", re.IGNORECASE)
"""What ends waits. The engine suspends a turn and finds its waits, whatever they wait for."""
WAITS: Final = ("waits.py", "prompts.py")


def test_waits_of_the_engine_do_not_know_what_ends_them() -> None:
    found = {name: {word for word in words_of(ROOT / "engine" / name) if ENDS.search(word)} for name in WAITS}
    # A field of an entry of the journal, which is what Linq, a step or a person has answered.
    assert found == {"waits.py": {"answer"}, "prompts.py": set()}
