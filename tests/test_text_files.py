"""Files that people write are read alike, whatever editor and machine they come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from linqbot_dev.emulator.declared_world import read_world
from patience import until
from served_bot import message, noted, post, serving

from linqbot.bot.ready_made import AllowFile
from linqbot.linq.events.event import UnknownEvent
from linqbot.server.secret_file import SecretFile
from linqbot.settings import from_env
from linqbot.text_files import unquoted, written_text

SECRET = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
WINDOWS = b"\xef\xbb\xbf"
"""The byte order mark with which editors on Windows begin a file."""


def key_of_settings(file: Path) -> object:
    return from_env({"LINQ_API_V3_API_KEY_FILE": str(file)}).api_key


def settings(file: Path) -> object:
    file.rename(file.with_name("linqbot.toml"))
    found = from_env({})
    return found.operator, found.drain_s


def secrets(file: Path) -> object:
    return [(entry.secret, entry.subscription_id) for entry in SecretFile(file).read()]


def allows_ann(file: Path) -> object:
    return AllowFile(file)(UnknownEvent(event_id="1", type="new", actor="ann@example.com"))


def test_a_byte_order_mark_and_the_line_ends_of_windows_change_no_file_that_people_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    monkeypatch.chdir(tmp_path)
    rows: dict[str, tuple[str, Callable[[Path], object], object]] = {
        "linqbot.toml": ('operator = "Zoë"\ndrain_s = 5\n', settings, ("Zoë", 5)),
        "token": ("a-token\n", key_of_settings, "a-token"),
        "token in quotes": ('"a-token"\n', key_of_settings, "a-token"),
        "secrets": (f"{SECRET} one\n'{SECRET}'\n", secrets, [(SECRET, "one"), (SECRET, None)]),
        "allow-list": ("# us\nann@example.com\n", allows_ann, True),
        "world": ('{"people": []}\n', lambda file: read_world(file).people, []),
    }
    for name, (text, read, wanted) in rows.items():
        for kind, body in {
            "plain": text.encode(),
            "of Windows": WINDOWS + text.replace("\n", "\r\n").encode(),
        }.items():
            with subtests.test(file=name, kind=kind):
                file = tmp_path / "file.json"
                file.write_bytes(body)
                assert read(file) == wanted
    assert written_text(file) == text


def test_quotes_around_a_value_of_the_environment_are_no_part_of_it() -> None:
    found = from_env({"LINQ_API_V3_API_KEY": ' "a-token" ', "LINQ_WEBHOOK_SECRET": f"'{SECRET}'", "LINQBOT_PORT": '""'})
    assert (found.api_key, found.webhook_secrets, found.port) == ("a-token", (SECRET,), from_env({}).port)
    assert [unquoted(value) for value in ("'", "\"a'", 'a"b', " 'a b' ")] == ["'", "\"a'", 'a"b', "a b"]


PRINTS = """
from linqbot import Bot, Context, MessageReceived

bot = Bot(read=False, typing=False, max_age_s=None)


@bot.on_message
async def note(message: MessageReceived, ctx: Context) -> None:
    print(message.text)
    with open("handled", "a") as file:
        file.write("chat handled\\n")
"""


@pytest.mark.process
@pytest.mark.slow
async def test_a_machine_whose_locale_is_ascii_reads_its_settings_and_handles_a_text_that_is_printed(
    tmp_path: Path,
) -> None:
    (tmp_path / "linqbot.toml").write_bytes(WINDOWS + 'operator = "Zoë"\r\n'.encode())
    async with serving(tmp_path, code=PRINTS, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0") as (served, http):
        await post(http, served.url, message("Zoë \N{BIRTHDAY CAKE}"))
        await until(lambda: noted(tmp_path))
