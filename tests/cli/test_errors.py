"""Error messages: what happened, what to do, the exit code, and never a secret."""

from __future__ import annotations

import errno
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from signed import SECRET
from typed_command import run, shown

from linqbot.installing import plugin_command

GOOD = {"LINQ_API_V3_API_KEY": "token-that-must-not-show", "LINQ_WEBHOOK_SECRET": SECRET}
ECHO = "from linqbot import Bot\nbot = Bot()\n"


@pytest.fixture(autouse=True)
def folder(command_folder: Path) -> Path:
    (command_folder / "bot.py").write_text(ECHO)
    return command_folder


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({}, ["LINQ_API_V3_API_KEY is not set", "linqbot dev"]),
        ({"LINQ_API_V3_API_KEY": "k"}, ["LINQ_WEBHOOK_SECRET is not set", "when the subscription was created"]),
        (GOOD | {"LINQ_WEBHOOK_SECRET": "whsec_nonsense!"}, ["not base64"]),
        (GOOD | {"LINQBOT_PORT": "many"}, ["LINQBOT_PORT does not fit", "serve --help"]),
        (GOOD | {"LINQBOT_STORGE": "x"}, ["LINQBOT_STORGE is not a setting", "Did you mean LINQBOT_STORAGE"]),
        (GOOD | {"LINQBOT_STORAGE": "mysql://x"}, ["sqlite:///"]),
        (GOOD | {"LINQ_API_V3_BASE_URL": "api.linqapp.com"}, ["LINQ_API_V3_BASE_URL"]),
    ],
)
def test_serve_names_a_missing_setting_and_how_to_get_it(environ: dict[str, str], says: list[str]) -> None:
    said = shown("serve", "bot.py", code=2, **environ)
    for words in says:
        assert words in said
    for hidden in ("nonsense", "token-that-must-not-show", "AQIDBAUG", "many", "Traceback"):
        assert hidden not in said


@pytest.mark.parametrize(
    "arguments",
    [["serve", "bot.py"], ["connect", "list"], ["send", "+14155550142", "--text", "hi"], ["check"], ["dev", "bot.py", "--public-url", "https://x.example"]],
)  # fmt: skip
def test_a_token_that_is_only_in_a_env_file_is_named_with_the_ways_to_read_it(
    folder: Path, arguments: list[str]
) -> None:
    (folder / ".env").write_text("# Linq\nexport LINQ_API_V3_API_KEY=token-that-must-not-show\n")
    said = " ".join(run(*arguments).output.split())
    assert "LINQ_API_V3_API_KEY is not set" in said
    assert "The file .env has it, but linqbot does not read that file." in said
    assert "export UV_ENV_FILE=.env (without uv: set -a; . ./.env; set +a)" in said
    assert "token-that-must-not-show" not in said


@pytest.mark.parametrize("text", ["", "LINQ_API_V3_API_KEY=\n", "# LINQ_API_V3_API_KEY=x\n", "LINQ_WEBHOOK_SECRET=x\n"])
def test_an_env_file_without_the_token_is_not_named(folder: Path, text: str) -> None:
    (folder / ".env").write_text(text)
    said = run("serve", "bot.py").output
    assert "Set it to the API token from your Linq dashboard" in said
    assert ".env" not in said


def test_a_folder_in_place_of_the_bots_file_is_an_error_that_names_a_file(
    folder: Path, subtests: pytest.Subtests
) -> None:
    (folder / "bot.py").unlink()
    (folder / "bots").mkdir()
    for command, spec in itertools.product(["serve", "dev", "check"], [".", "./", "..", "bots", "", ":bot"]):
        with subtests.test(command=command, spec=spec):
            # The check would ask Linq.
            said = shown(
                command, spec, code=1 if command == "check" else 2, **GOOD, LINQ_API_V3_BASE_URL="http://127.0.0.1:9"
            )
            path = Path(spec.partition(":")[0])
            fix = f"Give the path of the Python file with your bot, such as {path / 'bot.py'}."
            assert f"{path} is a folder. " in said
            assert fix in " ".join(said.split())


def test_a_link_that_leads_to_itself_is_no_file(folder: Path) -> None:
    (folder / "loop.py").symlink_to(folder / "loop.py")
    assert "There is no file loop.py" in shown("serve", "loop.py", code=2, **GOOD)


def test_bot_py_is_taken_if_no_file_or_its_folder_is_named(folder: Path) -> None:
    (folder / "bots").mkdir()
    (folder / "bots" / "bot.py").write_text("")
    shown("connect", "sync", "--dry-run")
    shown("connect", "sync", "--dry-run", ".")
    assert "bots/bot.py has no Bot" in run("connect", "sync", "--dry-run", "bots").output
    (folder / "bot.py").unlink()
    for command in (["serve"], ["dev"], ["rehearse"], ["connect", "sync", "--dry-run"], ["connect", "sync"]):
        assert "There is no bot.py in this folder." in shown(*command, code=2, **GOOD), command


WRONG_HANDLER = ECHO + "@bot.on_message(5)\nasync def greet(message, ctx): ...\n"
EXTRA_ARGUMENT = ECHO + "@bot.on_message\nasync def greet(message, ctx, extra): ...\n"
MAKER = "from linqbot import Bot\ndef bot_of(): return Bot()\n"
NO_BOT: list[tuple[str, str, str, int, list[str]]] = [
    # the file with its content, the bot that is named, the exit code, and words of the error
    ("bot.py", ECHO, "nobot.py", 2, ["There is no file nobot.py"]),
    ("bot.py", "x = 1", "bot.py", 2, ["has no Bot at its top level. Add: bot = Bot()"]),
    ("bot.py", ECHO + "other = Bot()", "bot.py", 2, ["has several Bots. Name one: bot.py:bot"]),
    ("bot.py", ECHO, "bot.py:bat", 2, ["has no Bot called 'bat'. It has: bot"]),
    ("bot.py", ECHO, "nothing.there:bot", 2, ["There is no module nothing.there"]),
    ("echo", MAKER, "echo", 2, ["There is no module echo. Give a path such as bot.py"]),
    ("linqbot.py", MAKER, "linqbot.py", 2, ["the file itself has this name. Call it bot.py."]),
    ("make.py", MAKER, "make.py:bot_of", 2, ["bot_of is a function. Call it at the top level: bot = bot_of()"]),
    ("bot.py", EXTRA_ARGUMENT, "bot.py", 1, ["takes 3 arguments", "def greet(event: MessageReceived, ctx: Context)"]),
    ("bot.py", WRONG_HANDLER, "bot.py", 1, ["Error: bot.py, line 3: 5 is not a filter."]),
    ("wrong_bot.py", WRONG_HANDLER, "wrong_bot", 1, ["Error: wrong_bot.py, line 3: 5 is not a filter."]),
    ("bot.py", f"{ECHO}bot = Bot(", "bot.py", 1, ["bot.py cannot be imported", "SyntaxError", "line 3"]),
    ("bot.py", f"{ECHO}@bot.on_mesage", "bot.py", 1, ["bot.py cannot be imported", "SyntaxError", "line 3"]),
    ("bot.py", f"{ECHO}bot.on_mesage", "bot.py", 1, ["Did you mean on_message?", "line 3"]),
    ("bot.py", f"{ECHO}1 / 0", "bot.py", 1, ["ZeroDivisionError", "line 3"]),
    ("shop/bot.py", f"from .words import HELLO\n{ECHO}", "shop/bot.py", 1, ["without the dot", ": shop.bot"]),
    *(
        (
            f"shop/{name}.py",
            ECHO + line,
            f"shop.{name}:bot",
            1,
            [f"shop.{name} cannot be imported.", f'{name}.py", line 3'],
        )
        for name, line in (
            ("divides", "1 / 0"),
            ("unclosed", "bot = Bot("),
            ("imports_nothing", "import shop_that_is_missing"),
            ("imports_bott", "from linqbot import Bott"),
        )
    ),
]


def test_why_no_bot_is_found_is_explained_with_its_own_lines_only(folder: Path, subtests: pytest.Subtests) -> None:
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").write_text(ECHO)
    shown("connect", "sync", "--dry-run", "shop:bot")
    for file, content, spec, exit_code, says in NO_BOT:
        with subtests.test(spec=spec, content=content):
            (folder / file).write_text(content)
            for command in (["serve"], ["connect", "sync", "--dry-run"]):
                said = shown(*command, spec, code=exit_code, **GOOD)
                assert [words for words in says if words not in said] == []
                for of_ours in ("nearest.py", "importlib", "click", "linqbot/ops"):
                    assert of_ours not in said


def test_an_error_of_the_bots_middleware_is_named_with_its_line(folder: Path) -> None:
    (folder / "bot.py").write_text(f"{ECHO}@bot.use\ndef limited(next_): raise ValueError('no limits')\n")
    for command in ("connect", "sync"), ("serve",):
        said = shown(*command, code=1, **GOOD)
        assert "Error: Middleware raised ValueError: no limits (at bot.py:4)." in said


ABOVE = "from linqbot import Bot, Context, MessageReceived, contains\nbot = Bot()\n"
PLAIN = "async def f(message: MessageReceived, ctx: Context) -> None: ..."
DO_NOT_START = {
    "from linqbot import MessageRecieved": "linqbot has no MessageRecieved. Did you mean MessageReceived?",
    "from linqbot import MessageRead": "Write: from linqbot.events import MessageRead",
    f"@bot.on_mesage\n{PLAIN}": "Bot has no attribute on_mesage. Did you mean on_message?",
    f"@bot.on('message.recieved')\n{PLAIN}": "The nearest type is 'message.received'",
    f"@bot.on_reaction('lvoe')\n{PLAIN}": "There is no reaction 'lvoe'",
    "@bot.on_message\nasync def f(message): ...": "bot:f takes 1 argument; it is called with two",
    f"@bot.on_edit\n{PLAIN}": "bot:f is written for MessageReceived but registered for MessageEdited.",
    f"@bot.on_message\n{PLAIN}\n@bot.on_message('hi')\nasync def g(message: MessageReceived, ctx: Context): ...": (
        "bot:g can never run"
    ),
    f"@bot.on_message('hi', repeat=False)\n{PLAIN}": "Handlers have no option repeat=",
    "import pydantic_ai_of_a_test": " pydantic-ai-of-a-test",
    "import linqbot_agnet": "If it is a plugin, install it from its own folder, linqbot-agnet.",
}
"""By a file's mistake, the words that lead to its correction."""


def test_each_mistake_in_a_file_is_named_with_the_way_to_correct_it(folder: Path, subtests: pytest.Subtests) -> None:
    for code, says in DO_NOT_START.items():
        (folder / "bot.py").write_text(f"{ABOVE}{code}\n")
        with subtests.test(code=code):
            assert says in " ".join(shown("serve", "bot.py", code=1, **GOOD).split())


CANNOT_BE_IMPORTED = {
    "x = 1 +": "SyntaxError: invalid syntax. In bot.py:1: x = 1 +",
    "def f():\n    return 1 / 0\nf()": "ZeroDivisionError: division by zero. In bot.py:2: return 1 / 0",
    "import missing_of_a_test": "In bot.py:1: import missing_of_a_test",
    "from linqbot import Bot\nbot = Bot(group='all')": "'group'. Did you mean 'groups'? In bot.py:2: bot = Bot(group='all')",
    "import other": "is most likely due to a circular import: bot is imported while it is still being loaded",
    "import another": "is most likely due to a circular import: bot is imported while it is still being loaded",
}
"""By a file's code, the words of `linqbot check`, which shows no traceback."""


def test_a_check_shows_the_line_at_which_a_file_cannot_be_imported(folder: Path, subtests: pytest.Subtests) -> None:
    (folder / "other.py").write_text("from bot import bot\n")
    (folder / "another.py").write_text("import bot\nx = bot.bot\n")
    for code, says in CANNOT_BE_IMPORTED.items():
        (folder / "bot.py").write_text(f"{code}\n")
        with subtests.test(code=code):
            said = " ".join(shown("check", "bot.py", "--only", "words", code=1, **GOOD).split())
            assert "bot.py cannot be imported" in said
            assert says in said
        for name in ("bot", "other", "another"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize("spec", ["bot.py", "bot_that_ends"])
@pytest.mark.parametrize("ends", ["sys.exit()", "sys.exit(0)", 'sys.exit("Set the shop.")'])
def test_a_file_that_ends_the_process_is_an_error_and_no_success(folder: Path, spec: str, ends: str) -> None:
    (folder / f"{spec.removesuffix('.py')}.py").write_text(f"{ECHO}import sys\n{ends}\n")
    said = shown("connect", "sync", "--dry-run", spec, code=1)
    for words in (f"{spec} cannot be imported", "line 4", 'if __name__ == "__main__":'):
        assert words in said


def test_what_a_bot_prints_is_not_in_the_json(folder: Path) -> None:
    (folder / "bot.py").write_text(
        ECHO + "print('imported')\n@bot.on_message\nasync def greet(message, ctx): print('greeted')\n"
    )
    for command in (["connect", "sync", "--dry-run"], ["check", "--only", "plugins"]):
        result = run(*command, "bot.py", "--json")
        assert (result.exit_code, result.stderr.startswith("imported\n")) == (0, True), result.output
        assert json.loads(result.stdout)


def test_two_options_that_each_name_a_storage_are_a_usage_error() -> None:
    storage = ["--storage", "sqlite:///x.db"]
    for options in (["--dev", *storage], [*storage, "--dev"]):
        said = shown("waiting", "retry", "--all", *options, code=2)
        assert "Give either --storage or --dev: each names a storage." in said


def test_a_name_that_names_nothing_is_a_usage_error_before_the_storage_is_opened(subtests: pytest.Subtests) -> None:
    for command, says in [
        (["person", "forget", " ", "--yes"], "HANDLE is empty."),
        (["person", "show", ""], "'' is neither a handle, such as +14155550142, nor the id of a chat."),
        (["person", "show", "hello"], "'hello' is neither a handle"),
        (["mute", "list"], "'list' is neither a handle"),
        (["send", "hello"], "hello is not a handle."),
        (["send", "hi", "--to", "415"], "TO is an argument, not an option. Write its value without --to."),
        (["trigger", "bot.py", "message.received"], "linqbot trigger takes no file"),
        (["dev", "bot.py", "--port", "abc"], "abc is not a whole number from 0 to 65535."),
        (["dev", "--no-bot", "--allow-host", "mybox:4010"], "Write a name or an IP address alone"),
        (["dev", "--no-bot", "--allow-host", "http://mybox"], "Write a name or an IP address alone"),
        (["waiting", "list", "--limit", "0"], "0 is not a whole number of 1 or more."),
        (["person", "edit", "bot", "", "--value", "{}", "--create"], "NAME is empty."),
        (["explain", ""], "There is no code"),
    ]:
        with subtests.test(command=command):
            assert says in shown(*command, code=2, LINQBOT_STORAGE="sqlite:///made.db")
            assert not Path("made.db").exists()


def test_the_page_and_its_settings_need_a_package_that_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "linqbot_operator", None)
    for options, environ in (
        (("--page",), {}),
        ((), {"LINQBOT_PAGE_PASSWORD": "scrypt$a$b"}),
        ((), {"LINQBOT_PAGE_PORT": "8001"}),
    ):
        said = shown("serve", "bot.py", *options, code=2, **GOOD, **environ)
        wanting = next(iter(environ), "--page")
        install = plugin_command("linqbot-operator")
        assert f"{wanting} needs the package linqbot-operator, which is not installed. Install it: {install}" in said
        assert "Correct" not in said


def test_an_emulator_that_could_not_save_its_state_at_the_end_does_not_start() -> None:
    said = shown("dev", "--no-bot", "--port", "0", "--state", "missing/state.json", code=2)
    assert "The folder of the state missing/state.json does not exist. Create it" in said


def test_no_color_in_the_environment_keeps_colors_away() -> None:
    for command in (["explain", "LQB1001"], ["serve", "missing.py"], ["check"]):
        for value in ("", "1"):
            environ = GOOD | {"LINQ_API_V3_BASE_URL": "http://127.0.0.1:9", "NO_COLOR": value}
            assert ("\x1b[" in run(*command, color=True, **environ).output) is (value == ""), command


def test_an_address_of_another_machine_is_refused_with_what_to_do() -> None:
    for host in ("203.0.113.1", "no-such-host.invalid"):
        assert "or a --host of this machine" in shown("serve", "bot.py", code=2, **GOOD, LINQBOT_HOST=host)


def test_a_settings_file_is_read_and_its_mistakes_are_named(folder: Path) -> None:
    for text, says in [
        ("prot = 1\n", "linqbot.toml sets prot, which is not a setting. Did you mean port?"),
        ("port = \n", "linqbot.toml cannot be read as TOML"),
    ]:
        (folder / "linqbot.toml").write_text(text)
        assert says in shown("serve", "bot.py", code=2, **GOOD)


def test_a_place_that_this_user_may_not_enter_is_named_without_a_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    shown("storage", "migrate")
    stat = os.stat

    def refuse(path: Any, *more: Any, **options: Any) -> os.stat_result:
        # Tests may run as root, whom no folder is closed to.
        if not isinstance(path, int) and "closed" in Path(path).parent.parts:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return stat(path, *more, **options)

    monkeypatch.setattr(os, "stat", refuse)
    (folder / "closed").mkdir()
    for words in [
        ("serve", "closed/bot.py"),
        ("replay", "closed/bot.py", "--since", "1h"),
        ("waiting", "list", "--storage", "sqlite:///closed/linqbot.db"),
        ("storage", "backup", "closed/copy.db"),
    ]:
        with subtests.test(words=words):
            said = shown(*words, code=2, **GOOD)
            assert "Permission denied" in said
            assert "closed" in said
            assert "Traceback" not in said
    environ = GOOD | {"LINQBOT_STORAGE": "sqlite:///closed/sub/linqbot.db"}
    checked = shown("check", "--only", "storage", code=1, **environ)
    assert "Let this user write to the file" in " ".join(checked.split())


def test_a_settings_file_in_a_folder_that_this_user_may_not_enter_is_not_called_wrong_toml(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    said = " ".join(shown("waiting", "list", code=2).split())
    assert f"{folder / 'linqbot.toml'} cannot be read: Permission denied." in said
    assert "change to the folder of the bot" in said
    assert "TOML" not in said


def test_a_chat_is_taken_by_the_lane_that_tables_show() -> None:
    shown("storage", "migrate")
    chat = "20000000-0000-4000-8000-000000000000"
    assert chat in shown("mute", f"c:{chat}")
    assert f"chat {chat} is muted" in shown("why", f"c:{chat}")
    shown("post", "order.paid", "--id", "1", "--chat", f"c:{chat}", "--data", "{}")
    assert f" c:{chat} " in shown("waiting", "list", "--deliveries")
    assert "no question" in shown("waiting", "cancel", "--chat", f"c:{chat}")


def test_the_id_of_a_chat_is_no_person_to_forget() -> None:
    shown("storage", "migrate")
    chat = "20000000-0000-4000-8000-000000000000"
    said = shown("person", "forget", chat, "--yes", code=2)
    assert f"{chat} is not a handle. Write a phone number with its country code, or an e-mail address." in said
    assert "Nothing is kept" in shown("person", "forget", "BANK", "--yes")


def test_the_help_of_serve_lists_the_variable_of_every_setting() -> None:
    output = click.unstyle(shown("serve", "--help"))
    for name in ("LINQ_API_V3_API_KEY", "LINQ_WEBHOOK_SECRET", "LINQBOT_STORAGE", "LINQBOT_TRUSTED_PROXIES"):
        assert name in output
