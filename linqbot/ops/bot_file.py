"""Load the Bot from a file or module: `bot.py`, `bot.py:name` or `package.module:name`.

A line that waits or repeats at the top level of the file keeps the bot from starting, and Python says nothing about it.
So the line that still runs after some seconds is logged. A bot that offers words by which people opt out (R69) is warned: a
message of such a word reaches no message handler, and `features/optout.py` ends what the bot still wanted to say in the chat.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from stat import S_ISDIR
from types import ModuleType
from typing import Final

import structlog

from linqbot import tracebacks
from linqbot.bot.bot import Bot
from linqbot.bot.router import Router
from linqbot.bot.wrong_calls import with_cause
from linqbot.engine.filters import TextFilter, in_group
from linqbot.errors import LinqbotError, NoBot
from linqbot.frames import authors_frame, authors_place_of_thread, file_name
from linqbot.language.reading import plain, plain_words
from linqbot.linq.events.message import MessageReceived
from linqbot.linq.rules.message import OFFER_OTHERS, OPT_OUT_WORDS
from linqbot.ops.explanations import with_full_stop

log = structlog.get_logger("linqbot.ops")

LONG_S: Final = 10.0
"""Seconds of loading after which the running line is logged. Large libraries take some seconds to import."""

_WHAT_TO_DO: Final = (
    "The bot starts once its file is loaded. What waits or repeats belongs in a handler, in @bot.on_start or in "
    '@bot.every; what only a program does belongs below: if __name__ == "__main__":'
)


class BotFileError(LinqbotError):
    """Importing a bot's file raised an error. The message is its traceback, which starts in that file.

    Why: The file has a syntax error, its top-level code failed, or a package is not installed where linqbot runs.
    To do: Correct the line with which the traceback ends. To see the traceback without linqbot, run the file with `python`.
    """

    lqb = "LQB5002"
    brief: str
    """The same in a few words, without the traceback: the error, the line at which it was raised, and what helps."""

    def __init__(self, file: str, error: Exception | SystemExit) -> None:
        if isinstance(error, TypeError):
            error = with_cause(error)
        # The traceback ends at a line of the author, also if linqbot raised the error.
        tracebacks.trim(error)
        shown = traceback.TracebackException.from_exception(error)
        # The frames of linqbot and of the import system come first, and do not help the author.
        own = next((n for n, frame in enumerate(shown.stack) if not _imports(frame.filename)), len(shown.stack))
        shown.stack = traceback.StackSummary.from_list(shown.stack[own:])
        text = "".join(shown.format(chain=False)).rstrip()
        hint = _hint(file, error)
        super().__init__(f"{file} cannot be imported.\n{text}{hint}")
        said = with_full_stop(text.splitlines()[-1])
        self.brief = " ".join(f"{file} cannot be imported. {said}{hint} {_line_of(error)}".split())


def own_opt_outs(bot: Router) -> list[str]:
    """Return a sentence about each whole text that a handler takes and by which people opt out instead."""
    places = {
        word.strip(): route.at
        for route, _ in bot.walk()
        if issubclass(route.event, MessageReceived) and in_group not in route.filters
        for each in route.filters
        if isinstance(each, TextFilter)
        for word in each.words
    }
    return [
        f"The bot uses the word {word!r} (the handler at {at}). In a direct chat, a person who writes {word.upper()} opts out: no "
        "message handler runs, and Linq refuses the bot's messages."
        for word, at in places.items()
        if plain(word) in plain_words(OPT_OUT_WORDS)
    ]


def log_opt_outs(bot: Bot) -> None:
    """Log a warning for each word that the bot offers to people and by which they opt out instead."""
    for found in own_opt_outs(bot):
        log.warning("bot.opt_out_word", why=found, what_to_do=OFFER_OTHERS)


def load_bot(spec: str, *, still_loading: Callable[[str], None] = lambda _: None, long_s: float = LONG_S) -> Bot:
    """Import a file or module and return its Bot.

    Args:
        still_loading: Called once, from another thread, if the import takes longer than `long_s` seconds, with the line of
            the author's code that runs then, as `file:line`. That line is also logged.
    """
    require_file(spec)
    target, _, name = spec.partition(":")
    with _watched(still_loading, long_s):
        module = _from_file(Path(target)) if _is_path(target) else _from_name(target)
    bots = {key: value for key, value in vars(module).items() if isinstance(value, Bot)}
    if name:
        if name not in bots:
            raise NoBot(f"{target} has no Bot called {name!r}. {_available(bots, name, vars(module).get(name))}")
        return bots[name]
    if len({id(bot) for bot in bots.values()}) == 1:
        return next(iter(bots.values()))
    if not bots:
        raise NoBot(f"{target} has no Bot at its top level. Add: bot = Bot()")
    raise NoBot(f"{target} has several Bots. Name one: {target}:{next(iter(bots))}")


def load_quietly(spec: str) -> Bot:
    """Import a bot for a command whose output may be JSON: what its file prints goes to standard error."""
    with redirect_stdout(sys.stderr):
        return load_bot(spec)


@contextmanager
def _watched(still_loading: Callable[[str], None], long_s: float) -> Iterator[None]:
    """Log the line of the author's code that this thread runs, if the block takes longer than `long_s` seconds."""
    done = threading.Event()
    thread = threading.get_ident()

    def watch() -> None:
        while not done.wait(long_s):
            if (at := authors_place_of_thread(thread)) is not None:
                log.warning("bot.still_loading", at=at, longer_than_s=long_s, what_to_do=_WHAT_TO_DO)
                still_loading(at)
                return

    threading.Thread(target=watch, name="load-watch", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _imports(filename: str) -> bool:
    return filename.startswith(("<frozen ", importlib.__file__, str(Path(tracebacks.__file__).parent) + os.sep))


def _line_of(error: BaseException) -> str:
    """Return the place of an error in the author's code, with the line as it is written; empty if there is none."""
    if isinstance(error, SyntaxError) and error.filename and error.text:
        return f"In {file_name(error.filename)}:{error.lineno}: {error.text.strip()}"
    frame = authors_frame(error)
    if frame is None:
        return ""
    return f"In {file_name(frame.filename)}:{frame.lineno}: {(frame.line or '').strip()}"


def _hint(file: str, error: Exception | SystemExit) -> str:
    if isinstance(error, SystemExit):
        return '\nThe file ends the process. What only a program does belongs below: if __name__ == "__main__":'
    if isinstance(error, ImportError) and error.msg.startswith("attempted relative import with no known parent"):
        path = Path(file).resolve()
        return (
            f"\nA file is imported without its package. Write the import without the dot, or give the module to "
            f"linqbot serve, from the folder {path.parents[1]}: {path.parent.name}.{path.stem}"
        )
    if _is_circular(Path(file).stem, error):
        return (
            f"\nThis is most likely due to a circular import: {Path(file).stem} is imported while it is still being loaded. Put "
            "what both files need into a third one, which imports neither."
        )
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (
            f"\nNo package of {sys.prefix} has a module {(module := error.name.partition('.')[0])}. {_way_to(module)}"
        )
    return ""


def _is_circular(module: str, error: Exception | SystemExit) -> bool:
    """Return True if a name was missing in the module that is being loaded: Python says so of modules that it loads itself."""
    if isinstance(error, ImportError):
        return not isinstance(error, ModuleNotFoundError) and error.name == module
    missing_in = error.obj if isinstance(error, AttributeError) else None
    return isinstance(missing_in, ModuleType) and missing_in.__name__ == module


def _way_to(module: str) -> str:
    """Return what to do about a module that no installed package has."""
    from linqbot.installing import install_command, plugin_command

    name = module.replace("_", "-")
    if not name.startswith("linqbot-"):
        to_do = install_command(name)
        return f"If it is not a file of yours, install its package, which may have another name: {to_do}"
    # The name may be anybody's on an index.
    command = plugin_command(name)
    return f"Install it: {command}" if command else f"If it is a plugin, install it from its own folder, {name}."


def no_file(path: Path) -> NoBot:
    """Return the error for a path that is not the file of a bot: a folder, or nothing.

    Raises PermissionError for a path in a folder that this user may not enter.
    """
    try:
        is_folder = S_ISDIR(path.stat().st_mode)  # from Python 3.14 on, `is_file` and `is_dir` hide a PermissionError
    except PermissionError:
        raise
    except OSError:  # nothing, or a link that leads to itself
        is_folder = False
    if is_folder:
        return NoBot(f"{path} is a folder. Give the path of the Python file with your bot, such as {path / 'bot.py'}.")
    return NoBot(f"There is no file {path}. Give the path of the Python file with your bot, such as bot.py.")


def require_file(spec: str) -> None:
    """Raise NoBot if a bot is named by its file, and there is no such file."""
    target = spec.partition(":")[0]
    if _is_path(target) and not Path(target).is_file():
        raise no_file(Path(target))


def _is_path(target: str) -> bool:
    if target.endswith(".py") or "/" in target or target.startswith(".") or not target:
        return True
    # A folder is a module too, as a package. Without this file it has no Bot, and its name was meant as a path.
    return Path(target).is_dir() and not Path(target, "__init__.py").is_file()


def _available(bots: dict[str, Bot], name: str, found: object) -> str:
    if inspect.isfunction(found):
        return f"{name} is a function. Call it at the top level: bot = {name}()"
    return f"It has: {', '.join(bots)}." if bots else "It has none; add: bot = Bot()"


def _from_file(path: Path) -> ModuleType:
    if path.stem == "linqbot":
        raise NoBot(f"{path} cannot import linqbot: the file itself has this name. Call it bot.py.")
    # As `python bot.py` does: modules in the same folder can be imported.
    sys.path.insert(0, str(path.resolve().parent))
    # And those of the current folder, for a bot in a folder of a project.
    sys.path.append("")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise NoBot(f"{path} cannot be imported as Python. Its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except LinqbotError:
        raise
    except (Exception, SystemExit) as error:
        raise BotFileError(str(path), error) from error
    return module


def _from_name(name: str) -> ModuleType:
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except LinqbotError:
        raise
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is None or not f"{name}.".startswith(f"{missing}."):
            raise BotFileError(name, error) from error
        raise NoBot(f"There is no module {name}. Give a path such as bot.py, or a module:name.") from error
