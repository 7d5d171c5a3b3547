"""One module repairs and cuts texts: nothing else looks for half characters (lone surrogates)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import linqbot

ROOT = Path(linqbot.__file__).parents[1]
DOOR = "linqbot/characters.py"

REASONS = {
    # Linq's positions count code units, also in a text that its emulator got with half a character in it.
    "linqbot/linq/types/message.py": "counts UTF-16 code units",
    "linqbot/linq/rules/message.py": "looks where a sticker splits a character",
    # Names are not repaired, since two of them could become equal.
    "linqbot/linq/events/lane.py": "an id of Linq's that is no name gets a digest of its own",
    "plugins/linqbot-postgres/linqbot_postgres/address.py": "the names of locks are digests",
    # What comes in.
    "linqbot/linq/events/delivery.py": "the reader of events repairs JSON that is not Unicode",
    "linqbot/client/http/addresses.py": "a received file name loses what cannot be printed",
    "linqbot/client/resources/attachments.py": "a file name on disk that is no UTF-8 gets question marks, as `ls` shows it",
    # The emulator keeps half a character as Linq would, and a test that is copied from its page escapes it.
    "plugins/linqbot-dev/linqbot_dev/emulator/copied_test/source.py": "escapes it in Python's source",
    "plugins/linqbot-dev/linqbot_dev/emulator/endpoints/reactions.py": "a picture of an emoji",
    "plugins/linqbot-dev/linqbot_dev/emulator/web/app.py": "a contact card",
}
"""The other modules that look at it, and why."""

_HANDLERS = {"surrogatepass", "surrogateescape"}


def looks_at_halves(source: str) -> bool:
    """Return True if a module decodes or encodes halves, catches them, or names them in a text or a pattern."""
    tree = ast.parse(source)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docs:
                if text in _HANDLERS or re.search(r"[\ud800-\udfff]|\\ud[89a-f]", text):
                    return True
            case ast.Call(func=ast.Attribute(attr="encode"), args=args, keywords=keywords):
                given = [
                    each.value for each in [*args, *(each.value for each in keywords)] if isinstance(each, ast.Constant)
                ]
                if "replace" in given and "latin-1" not in given:
                    return True
            case _:
                pass
    return False


def test_half_characters_are_looked_at_in_one_module() -> None:
    modules = [*ROOT.glob("linqbot/**/*.py"), *ROOT.glob("plugins/*/linqbot_*/**/*.py")]
    found = {str(path.relative_to(ROOT)) for path in modules if looks_at_halves(path.read_text("utf-8"))}
    assert found == {DOOR, *REASONS}


def test_the_module_is_found_by_each_way_to_look() -> None:
    for source in (
        'x.encode("utf-8", "surrogatepass")',
        'x.encode(errors="replace")',
        'x > "\\ud800"',
        r'f(r"[\ud83d]")',
    ):
        assert looks_at_halves(source), source
    assert not looks_at_halves('"""Half of a character, such as \\\\ud83d."""\nx.encode("latin-1", "replace")')
