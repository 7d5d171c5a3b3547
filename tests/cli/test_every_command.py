"""Rules for every command: it has help and JSON output, reports errors in one form, and prints no secret."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cli.practice import ALONE
from click.testing import CliRunner, Result
from signed import SECRET
from sqlite_connections import in_storage

from linqbot.cli import plugin_commands
from linqbot.cli.main import main
from linqbot.cli.table import COMMANDS, GROUPS, PACKAGES
from linqbot.ops.explanations import of_ours
from linqbot.storage.sqlite.storage import SQLiteStorage

TOKEN = "token-that-must-not-show"
SET = ALONE | {"LINQ_API_V3_API_KEY": TOKEN}
BOT = "from linqbot import Bot\nbot = Bot()\n"


def every_command() -> Iterator[tuple[str, ...]]:
    """Yield the words of each command and of each group."""

    def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        if isinstance(command, click.Group):
            with click.Context(command) as ctx:
                for name in set(command.list_commands(ctx)) - set(plugin_commands.missing()):
                    child = command.get_command(ctx, name)
                    assert child is not None
                    yield from walk(child, (*path, name))

    return walk(main, ())


EVERY = list(every_command())


def found(path: tuple[str, ...]) -> click.Command:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        child = command.get_command(click.Context(command), name)
        assert child is not None
        command = child
    return command


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty storage and the files of bots. Each test gets a copy: to make a storage takes far longer."""
    made = tmp_path_factory.mktemp("prepared")
    in_storage(made / "linqbot.db", SQLiteStorage.depth)
    (made / "bot.py").write_text(BOT)
    (made / "broken.py").write_text(BOT + "1 / 0\n")
    (made / "wrong.py").write_text(BOT + "@bot.on_message\nasync def greet(one, two, three): ...\n")
    (made / "broken.json").write_text("{")
    return made


@pytest.fixture(autouse=True)
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("LINQBOT_STORAGE", raising=False)
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return tmp_path


def run(*arguments: str, **environ: str) -> Result:
    result = CliRunner().invoke(main, list(arguments), env=SET | environ)
    assert TOKEN not in result.output
    assert SECRET not in result.output
    assert "Traceback" not in result.output or "broken.py" in arguments
    return result


# --- help -------------------------------------------------------------------------------------------------------------


def test_help_fits_a_terminal_and_begins_with_a_sentence(subtests: pytest.Subtests) -> None:
    for path in EVERY:
        with subtests.test(path=path):
            result = run(*path, "--help")
            assert result.exit_code == 0
            assert max(map(len, result.output.splitlines())) <= 80
            first, _, _ = (found(path).help or "").partition("\n\n")
            assert re.fullmatch(r"[A-Z][^\n].*[.]", first, re.DOTALL), first
            for option in found(path).params:
                if isinstance(option, click.Option):
                    assert (option.help or "").endswith("."), option.name


def test_without_arguments_it_lists_the_commands_in_sections() -> None:
    result = run()
    assert result.exit_code == 0
    listed = [row for lines in main.sections().values() for row in lines.items()]
    assert sorted(name for name, _ in listed) == sorted({*COMMANDS, *PACKAGES} - {*plugin_commands.missing()})
    for name, about in listed:
        assert about.endswith(".")
        assert len(re.findall(rf"^  {name} +{about[:40]}", result.output, re.MULTILINE)) == 1
    assert "Begin with: linqbot new" in result.output


def test_there_are_few_commands_to_know() -> None:
    count = len(COMMANDS) + len(PACKAGES) - len(GROUPS) + sum(map(len, GROUPS.values()))
    # 30 to know, and `judge`, which is for bots of other frameworks too: none of the others starts a bot that is not linqbot's.
    assert count <= 31, "A new command takes the place of another one, or is an option of one."


def test_the_version_is_printed() -> None:
    assert re.search(r"\d+\.\d+\.\d+", run("--version").output)


# --- failures ---------------------------------------------------------------------------------------------------------


def json_failure(result: Result) -> dict[str, str]:
    """Return the failure that is printed as JSON in the last line of standard error."""
    error = json.loads(result.stderr.splitlines()[-1])
    assert set(error) == {"error"}
    assert set(error["error"]) == {"code", "what", "fix"}
    failure: dict[str, str] = error["error"]
    return failure


def check_failure(*arguments: str, exit_code: int, code: str, **environ: str) -> dict[str, str]:
    """Let a command fail without and with --json, compare the outputs, and return the failure from the JSON."""
    for_people = run(*arguments, **environ)
    for_programs = run(*arguments, "--json", **environ)
    assert (for_people.exit_code, for_programs.exit_code) == (exit_code, exit_code), for_people.output
    failure = json_failure(for_programs)
    assert failure["code"] == code
    assert len(failure["what"]) > 10
    assert len(failure["fix"]) > 10
    *_, hint = for_people.stderr.splitlines()
    # Of a wrong call, its code says no more than the fix.
    assert hint == f"[{code}]" if code == "LQB1002" else hint.startswith(f"[{code}] More: linqbot explain ")
    assert failure["what"] in for_people.stderr
    assert failure["fix"] in for_people.stderr
    assert for_people.stderr.count("Error: ") == 1 or "broken.py" in arguments
    return failure


def test_an_unknown_option_is_a_usage_error(subtests: pytest.Subtests) -> None:
    for path in EVERY:
        with subtests.test(path=path):
            result = run(*path, "--no-such-thing")
            assert result.exit_code == 2
            assert "Usage: " in result.stderr
            assert "No such option" in result.stderr
            failure = json_failure(run(*path, "--no-such-thing", "--json"))
            assert failure["code"] == "LQB1002"
            assert "--help" in failure["fix"] or "Did you mean" in failure["fix"]


def test_every_command_has_json_output(subtests: pytest.Subtests) -> None:
    for path in EVERY:
        with subtests.test(path=path):
            command = found(path)
            # The output of `linqbot mcp` is a protocol in JSON.
            if not isinstance(command, click.Group) and path != ("mcp",):
                assert "--json" in {name for param in command.params for name in param.opts}


MEMORY = {"LINQBOT_STORAGE": "memory://"}
USAGE, SETTING = (2, "LQB1002"), (2, "LQB1001")
NO_BOT, NO_KEY, NO_SECRET, NO_STORAGE, WRONG_VALUE = ((2, f"LQB100{number}") for number in (4, 5, 6, 8, 9))
FAILURES: list[tuple[tuple[str, ...], dict[str, str], tuple[int, str]]] = [
    (("srve",), {}, USAGE),
    (("dev", "--port", "many"), {}, USAGE),
    (("dev", "nobot.py"), {}, NO_BOT),
    (("dev", "--no-bot", "--port", "-1"), {}, USAGE),
    (("dev", "--no-bot", "--state", "broken.json", "--port", "0"), {}, SETTING),
    (("dev", "--no-bot", "--public-url", "https://x.example"), {}, USAGE),
    (("dev", "--state", "state.json"), {}, USAGE),
    (("dev", "--no-bot", "--world", "broken.json", "--port", "0"), {}, SETTING),
    (("dev", "--no-bot", "--world", "world.toml", "--state", "state.json"), {}, USAGE),
    (("explain", "LQB9999"), {}, USAGE),
    (("judge",), {}, USAGE),
    (("judge", "--webhook", "http://127.0.0.1:1/", "node"), {}, USAGE),
    (("judge", "--webhook", "http://127.0.0.1:1/"), {"LINQ_WEBHOOK_SECRET": ""}, SETTING),
    (("judge", "--env", "PORT", "node"), {}, USAGE),
    (("judge", "--scene", "broken.json", "node"), {}, SETTING),
    (("person", "forget", "555"), {}, USAGE),
    (("person", "forget", "+1 415 555 0142", "--yes"), {}, USAGE),
    (("person", "forget", "ann@example.com"), {}, (1, "LQB1003")),
    (("person", "forget", "ann@example.com", "--yes"), MEMORY, SETTING),
    (("waiting", "answer", "nothing", "yes"), {}, (1, "LQB4001")),
    (("waiting", "cancel", "nothing"), {}, (1, "LQB4001")),
    (("waiting", "cancel"), {}, USAGE),
    (("waiting", "broadcast", "nothing"), {}, (1, "LQB4001")),
    (("why", "w.nothing"), {}, (1, "LQB4001")),
    (("why", "14155550142"), {}, USAGE),
    (("mute", "14155550142"), {}, USAGE),
    (("mute", "--end", "+1 415 555 0142"), {}, USAGE),
    (("mute", "--for", "1h"), {}, USAGE),
    (("mute", "--only-proactive"), {}, USAGE),
    (("mute", "--all", "--end"), {}, (1, "LQB4001")),
    (("mute", "--end"), {}, USAGE),
    (("mute", "--all", "--end", "--for", "2h"), {}, USAGE),
    (("mute", "--all", "--catch-up"), {}, USAGE),
    (("mute", "--all", "--for", "soon"), {}, USAGE),
    (("waiting", "lst"), {}, USAGE),
    (("waiting", "list"), MEMORY, SETTING),
    (("waiting", "list", "--storage", "mysql://x"), {}, NO_STORAGE),
    (("waiting", "list", "--dead", "--since", "yesterday"), {}, USAGE),
    (("waiting", "list", "--questions", "--type", "message.received"), {}, USAGE),
    (("waiting", "list", "--handler", "bot:book", "--type", "message.received"), {}, USAGE),
    (("waiting", "list", "--scheduled", "--limit", "0"), {}, USAGE),
    (("waiting", "retry", "nothing"), {}, (1, "LQB4001")),
    (("replay", "bot.py", "--chat", "none"), {}, SETTING),
    (("storage", "purge"), {}, USAGE),
    (("storage", "backup", "no/such/folder/x.db"), {}, SETTING),
    (("connect", "list"), {"LINQ_API_V3_API_KEY": ""}, NO_KEY),
    (("check", "--only", "everything"), {}, USAGE),
    (("new",), {}, USAGE),
    (("new", "bot.py/x"), {}, SETTING),
    (("send", "+14155550142"), {}, USAGE),
    (("send", "+14155550142", "-t", "hi"), {"LINQ_API_V3_API_KEY": ""}, NO_KEY),
    (("send", "555", "-t", "hi"), {}, USAGE),
    (("send", "+14155550142", "-t", "hi", "--effect", "confeti"), {}, (2, "LQB3001")),
    (("post", "order.paid"), {}, USAGE),
    (("post", "order paid", "--id", "7", "--data", "{}"), {}, USAGE),
    (("post", "order.paid", "--id", "7", "--data", "{"), {}, USAGE),
    (("post", "order.paid", "--id", "7", "--data", "{}"), MEMORY, SETTING),
    (("rehearse", "--seed", "many"), {}, USAGE),
    (("rehearse", "nobot.py"), {}, NO_BOT),
    (("rehearse", "bot.py", "--faults", "fire"), {}, USAGE),
    (("rehearse", "bot.py", "--may-ignore", "("), {}, USAGE),
    (("rehearse", "bot.py", "--people", "0"), {}, SETTING),
    (("rehearse", "bot.py", "--personas", "bot.py"), {}, SETTING),
    (("rehearse", "broken.py", "--personas", "broken.py"), {}, (1, "LQB5002")),
    (("serve", "--role", "nothing"), {}, USAGE),
    (("serve", "nobot.py"), {}, NO_BOT),
    (("serve", "bot.py", "--port", "many"), {}, USAGE),
    (("serve", "bot.py"), {"LINQ_WEBHOOK_SECRET": ""}, NO_SECRET),
    (("serve", "bot.py"), {"LINQBOT_DRAIN_S": "long"}, WRONG_VALUE),
    (("serve", "wrong.py"), {}, (1, "LQB5001")),
    (("serve", "broken.py"), {}, (1, "LQB5002")),
    (("storage", "migrate"), MEMORY, SETTING),
    (("storage", "copy", "sqlite:///linqbot.db", "sqlite:///linqbot.db"), {}, SETTING),
    (("person", "show", "555"), {}, USAGE),
    (("person", "show", "+1 (415) 555-0142"), {}, USAGE),
    (("person", "show"), MEMORY, SETTING),
    (("person", "edit", "bot", "Menu", "--create", "--value", "{"), {}, USAGE),
    (("trigger", "message.received"), {"LINQ_WEBHOOK_SECRET": ""}, NO_SECRET),
    (("trigger", "message.received", "--url", f"{ALONE['LINQ_API_V3_BASE_URL']}/webhooks/linq"), {}, (1, "LQB2004")),
]


def test_a_failure_has_a_code_a_message_and_a_fix(subtests: pytest.Subtests) -> None:
    for arguments, environ, (exit_code, code) in FAILURES:
        with subtests.test(arguments=arguments, environ=environ):
            check_failure(*arguments, exit_code=exit_code, code=code, **environ)
            assert code in of_ours()


def test_a_group_without_a_command_shows_its_help() -> None:
    result = run("waiting")
    assert result.exit_code == 2
    assert GROUPS["waiting"]["retry"] in result.stderr
    assert "no command was named" in result.stderr


def test_json_after_two_dashes_is_an_argument() -> None:
    result = run("explain", "--", "--json")
    assert result.exit_code == 2
    assert "There is no code --json" in result.stderr


# --- results ----------------------------------------------------------------------------------------------------------

RESULTS: list[tuple[tuple[str, ...], type]] = [
    (("explain",), list),
    (("explain", "2024"), dict),
    (("check", "--only", "rows"), list),
    (("check", "--only", "plugins"), list),
    (("connect", "sync", "bot.py", "--dry-run"), dict),
    (("person", "forget", "ann@example.com", "--yes"), dict),
    (("mute", "--all", "--for", "2h", "--reason", "Dana answers"), list),
    (("mute",), list),
    (("mute", "--all", "--end"), dict),
    (("waiting", "list"), dict),
    (("why", "20000000-0000-4000-8000-000000000000"), dict),
    (("waiting", "list", "--deliveries"), list),
    (("waiting", "list", "--dead"), list),
    (("waiting", "list", "--scheduled"), list),
    (("waiting", "list", "--questions"), list),
    (("waiting", "list", "--broadcasts"), list),
    (("waiting", "list", "--ambiguous"), list),
    (("waiting", "list", "--withheld"), list),
    (("waiting", "list", "--log"), list),
    (("waiting", "retry", "--all"), dict),
    (("storage", "purge", "--before", "30d"), dict),
    (("storage", "backup", "backup.db"), dict),
    (("new", "mybot"), dict),
    (("post", "order.paid", "--id", "7", "--data", "{}"), dict),
    (("person", "show"), list),
    (("person", "show", "+14155550142"), dict),
    (("person", "edit", "bot", "Menu", "--create", "--value", '{"soup": 3}'), dict),
    (("storage", "migrate"), dict),
    (("storage", "copy", "sqlite:///linqbot.db", "sqlite:///copy.db"), dict),
    (("trigger", "--list"), list),
]


def test_a_result_is_json_and_nothing_else(subtests: pytest.Subtests) -> None:
    for arguments, kind in RESULTS:
        with subtests.test(arguments=arguments):
            result = run(*arguments, "--json", LINQ_API_V3_API_KEY="")
            assert result.exit_code == 0, result.output
            assert isinstance(json.loads(result.stdout), kind)
            assert result.stderr == ""
