"""The open questions that a bot's code would not go on with: compared are what is stored and the source, and no handler runs.

The source is the bot's file and the modules that it imports from its own folder. The words of a question, or its key, are looked for in
the constants there; of an f-string, its constant pieces. Where the code asks with words from elsewhere, such as a data file,
it cannot be known if a question is still there: it is listed as one that is perhaps asked again.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from linqbot.content.drafts import numbered_list
from linqbot.features.asking.question import OpenQuestion
from linqbot.storage.conversations import Conversation

Effect: TypeAlias = Literal["abandoned", "asked again", "perhaps asked again"]

_ASKS: Final = ("ask", "location", "vote")
"""The methods of the context whose words identify the question."""
_VERBS: Final = {"payment": "pay", "location": "location", "votes": "vote"}
_BLANK: Final = object()
"""The place of what is not constant in the pieces of a text."""
_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}|%[\d.]*[sdfr]|%\(\w+\)[sdfr]")
_FEWEST_LETTERS: Final = 2
"""Constant letters of a text with variable pieces: with fewer it would be like any other text."""
_MARKS: Final = re.compile(r"[*_~`#>\\]")
_OF_FORM: Final = re.compile(r"form\.(?P<model>.+)\.(?P<field>[^.]+)\.\d+")


@dataclass(frozen=True, slots=True)
class Lost:
    """An open question that the code does not go on with, or perhaps not.

    Attributes:
        effect: What becomes of it. Of an abandoned one, the next message is handled as if it were not open.
        why: What is not in the code any more.
    """

    conversation: Conversation
    question: OpenQuestion | None
    effect: Effect
    why: str


@dataclass(slots=True)
class Texts:
    """Texts of the source, some with places that are not constant."""

    constant: set[str] = field(default_factory=set)
    templates: list[re.Pattern[str]] = field(default_factory=list)

    def add(self, node: ast.AST) -> None:
        joined = "".join(each if isinstance(each, str) else "{}" for each in _pieces(node))
        for text in (joined, *joined.splitlines()):
            self.constant.add(_plain(text))
            pieces = [_plain(piece) for piece in _PLACEHOLDER.split(text)]
            if len(pieces) > 1 and sum(each.isalpha() for piece in pieces for each in piece) >= _FEWEST_LETTERS:
                self.templates.append(re.compile(".*".join(map(re.escape, pieces)), re.DOTALL))

    def has(self, text: str) -> bool:
        """Return True if a text, or each of its lines, is one of these."""
        lines = [line for line in text.splitlines() if line.strip()]
        return self._has_line(text) or (len(lines) > 1 and all(map(self._has_line, lines)))

    def _has_line(self, text: str) -> bool:
        plain = _plain(text)
        return plain in self.constant or any(each.fullmatch(plain) for each in self.templates)


@dataclass(slots=True)
class BotSource:
    """The texts and names of a bot's own modules."""

    questions: Texts = field(default_factory=Texts)  # the words of its questions
    keys: Texts = field(default_factory=Texts)
    texts: Texts = field(default_factory=Texts)  # all of them
    names: set[str] = field(default_factory=set)  # of classes, of fields and of arguments
    verbs: set[str] = field(default_factory=set)  # the methods that the code calls
    asks_other_words: bool = False  # True if it asks with words that are not written at the call
    has_other_keys: bool = False  # the same for keys
    asks_elsewhere: bool = False  # True if a library gets the context, which may ask with it

    def add(self, tree: ast.AST, foreign: Collection[str]) -> None:
        contexts = {"ctx", *_names_of_contexts(tree)}
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                self.names.add(node.name)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                self.names.add(node.target.id)
            elif isinstance(node, ast.Call):
                self._add_call(node, contexts, foreign)
            elif isinstance(node, ast.Attribute) and node.attr in _ASKS and id(node) not in called:
                self.asks_other_words = self.has_other_keys = True
            elif isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
                self.texts.add(node)

    def _add_call(self, call: ast.Call, contexts: Collection[str], foreign: Collection[str]) -> None:
        keywords = {each.arg: each.value for each in call.keywords}
        self.names.update(name for name in keywords if name is not None)
        if isinstance(call.func, ast.Attribute):
            self.verbs.add(call.func.attr)
            if call.func.attr in _ASKS:
                for each in call.args[1:] if call.func.attr == "vote" else call.args:
                    self.questions.add(each)
                    self.asks_other_words |= not _is_constant(each)
        if "key" in keywords or None in keywords:
            self.keys.add(keywords.get("key", call))
            self.has_other_keys |= not _is_constant(keywords.get("key", call))
        if isinstance(call.func, ast.Attribute) and call.func.attr == "format":
            self.texts.add(call)
        arguments = (*call.args, *keywords.values())
        if any(isinstance(each, ast.Name) and each.id in contexts for each in arguments):
            self.asks_elsewhere |= _root(call.func) in foreign


def _plain(text: str) -> str:
    """Return a text without Markdown and with single spaces: a stored question has its words as they were shown."""
    return " ".join(_MARKS.sub("", text).split())


def _pieces(node: ast.AST) -> list[object]:
    """Return the constant pieces of a text in order, with `_BLANK` for what is not constant."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else [_BLANK]
    if isinstance(node, ast.JoinedStr):
        return [piece for each in node.values for piece in _pieces(each)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_pieces(node.left), *_pieces(node.right)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _pieces(node.left)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _pieces(node.func.value)
    return [_BLANK]


def _is_constant(node: ast.AST) -> bool:
    """Return True if a text has a letter that is constant, so that it can be looked for."""
    return any(isinstance(each, str) and any(map(str.isalpha, _PLACEHOLDER.sub("", each))) for each in _pieces(node))


def _names_of_contexts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation is not None and "Context" in ast.unparse(node.annotation):
            yield node.arg


def _root(node: ast.AST) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def source_of(bot: str) -> BotSource:
    """Return the constants of a bot's file, `bot.py` or `package.module`, and of the modules of its folder that it imports."""
    target = bot.partition(":")[0]
    path = Path(target)
    if not path.is_file():
        spec = find_spec(target)
        path = Path(spec.origin) if spec is not None and spec.origin is not None else path
    source, seen, left = BotSource(), set[Path](), [path.resolve()]
    # A bot of a package imports from the folder of the package, too.
    top = path.resolve().parent
    while (top / "__init__.py").is_file():
        top = top.parent
    while left:
        path = left.pop()
        if path in seen:
            continue
        seen.add(path)
        tree = ast.parse(path.read_bytes())
        foreign = set[str]()
        for names, files in _imports(tree, path, top):
            left += files
            if not files:
                foreign |= names
        source.add(tree, foreign)
    return source


def _imports(tree: ast.AST, path: Path, top: Path) -> Iterator[tuple[set[str], list[Path]]]:
    """Yield the names that each import gives, and the files of the bot's own that it reads; none for another package's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                found = _files(each.name.split("."), (path.parent, top))
                yield _foreign(each.name, [(each.asname or each.name).partition(".")[0]]), found
        elif isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1] if node.level else None
            names = node.module.split(".") if node.module else []
            roots = (path.parent, top) if folder is None else (folder,)
            found = _files(names, roots)
            for each in node.names:
                found += _files([*names, each.name], roots)
            yield _foreign(node.module or ".", [each.asname or each.name for each in node.names]), found


def _foreign(module: str, names: Sequence[str]) -> set[str]:
    """Return the names that come from a package which may ask questions of its own: no part of Python, and not linqbot."""
    package = module.partition(".")[0]
    return set() if package == "linqbot" or package in sys.stdlib_module_names else set(names)


def _files(names: Sequence[str], roots: Iterable[Path]) -> list[Path]:
    for root in roots:
        base = root.joinpath(*names)
        for each in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
            if names and each.is_file():
                return [each.resolve()]
    return []


def lost(conversations: Iterable[Conversation], handlers: Collection[str], source: BotSource) -> list[Lost]:
    """Return the open questions that the code does not go on with, in their order."""
    found = (_lost(each, handlers, source) for each in conversations if each.status == "waiting")
    return [each for each in found if each is not None]


def _lost(conversation: Conversation, handlers: Collection[str], source: BotSource) -> Lost | None:
    question = OpenQuestion.read(conversation.question)
    if question is None:
        return Lost(conversation, None, "abandoned", "It cannot be read: another release of linqbot has stored it.")
    if question.shown_for is not None:
        return None  # it ends with the question of another chat for which it is shown
    if conversation.handler not in handlers:
        return Lost(conversation, question, "abandoned", f"The bot has no handler {conversation.handler}.")
    missing = _missing(question, source)
    if missing is None:
        return None
    why, is_certain = missing
    is_certain = is_certain and not source.asks_elsewhere
    return Lost(conversation, question, "asked again" if is_certain else "perhaps asked again", why)


def _missing(question: OpenQuestion, source: BotSource) -> tuple[str, bool] | None:
    """Return what the code does not have of a question, and False if it may have it in another way; None if it has it."""
    verb = _VERBS.get(question.waits_for, "ask")
    key, words = question.key, _words(question)
    if key is not None and (form := _OF_FORM.fullmatch(key)) is not None:
        return _missing_of_form(form, source)
    if verb != "ask" and verb not in source.verbs:
        return f"The code has no ctx.{verb}.", True
    if key is not None:
        is_there = source.keys.has(key) or (source.has_other_keys and source.texts.has(key))
        return None if is_there else (f"The code has no key {key!r}.", not source.has_other_keys)
    # A payment is found by its amount, and other waits may have been asked without words.
    if verb == "pay" or (verb != "ask" and not question.messages):
        return None
    is_there = source.questions.has(words) or (source.asks_other_words and source.texts.has(words))
    return (
        None
        if is_there
        else ("The code has no question with these words.", bool(words) and not source.asks_other_words)
    )


def _missing_of_form(form: re.Match[str], source: BotSource) -> tuple[str, bool] | None:
    if "form" not in source.verbs:
        return "The code has no ctx.form.", True
    for what, name in (("model or key", form["model"]), ("field", form["field"])):
        if name != "review" and name not in source.names and not source.texts.has(name):
            return f"The code has no form with the {what} {name}.", True
    return None


def _words(question: OpenQuestion) -> str:
    """Return the words of a question without the list of its choices."""
    choices: Sequence[Any] = question.choices if question.ballot is None else question.ballot.choices
    return question.text.removesuffix(numbered_list(tuple(choices))).strip() if choices else question.text.strip()
