"""Load the Bot from a file or module: `bot.py`, `bot.py:name` or `package.module:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from linqbot import tracebacks
from linqbot.bot.bot import Bot
from linqbot.errors import ConfigError, LinqbotError


class BotFileError(LinqbotError):
    """Importing a bot's file raised an error. The message is its traceback, which starts in that file.

    Why: The file has a syntax error, or its top-level code failed.
    To do: Correct the line with which the traceback ends. To see the error without linqbot, run the file
        with `python`.
    """

    lqb = "LQB5002"

    def __init__(self, file: str, error: Exception) -> None:
        # The traceback ends at a line of the author, also if linqbot raised the error.
        tracebacks.trim(error)
        shown = traceback.TracebackException.from_exception(error)
        # The frames of linqbot and of the import system come first, and do not help the author.
        here = Path(file).resolve()
        own = next(
            (n for n, frame in enumerate(shown.stack) if Path(frame.filename).resolve() == here), len(shown.stack)
        )
        shown.stack = traceback.StackSummary.from_list(shown.stack[own:])
        super().__init__(f"{file} cannot be imported.\n" + "".join(shown.format(chain=False)).rstrip())


def load_bot(spec: str) -> Bot:
    """Import a file or module and return its Bot.

    Raises:
        BotFileError: importing the file raised an error.
        ConfigError: there is no such file, it has no Bot, or it has several and no name was given.
    """
    target, _, name = spec.partition(":")
    module = _from_file(Path(target)) if _is_path(target) else _from_name(target)
    bots = {key: value for key, value in vars(module).items() if isinstance(value, Bot)}
    if name:
        if name not in bots:
            raise ConfigError(f"{target} has no Bot called {name!r}. {_available(bots)}")
        return bots[name]
    if len({id(bot) for bot in bots.values()}) == 1:
        return next(iter(bots.values()))
    if not bots:
        raise ConfigError(f"{target} has no Bot at its top level. Add: bot = Bot()")
    raise ConfigError(f"{target} has several Bots. Name one: {target}:{next(iter(bots))}")


def no_file(path: Path) -> ConfigError:
    """Return the error for a path that is not the file of a bot: a folder, or nothing."""
    if path.is_dir():
        return ConfigError(
            f"{path} is a folder. Give the path of the Python file with your bot, such as {path / 'bot.py'}."
        )
    return ConfigError(f"There is no file {path}. Give the path of the Python file with your bot, such as bot.py.")


def _is_path(target: str) -> bool:
    if target.endswith(".py") or "/" in target or target.startswith(".") or not target:
        return True
    # A folder is a module too, as a package. Without this file it has no Bot, and its name was meant as a path.
    return Path(target).is_dir() and not Path(target, "__init__.py").is_file()


def _available(bots: dict[str, Bot]) -> str:
    return f"It has: {', '.join(bots)}." if bots else "It has none; add: bot = Bot()"


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise no_file(path)
    # As `python bot.py` does: modules in the same folder can be imported.
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} cannot be imported as Python. Its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except LinqbotError:
        raise
    except Exception as error:
        raise BotFileError(str(path), error) from error
    return module


def _from_name(name: str) -> ModuleType:
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # a module that the bot itself imports is missing: its author needs the traceback
        raise ConfigError(f"There is no module {name}. Give a path such as bot.py, or a module:name.") from error
