"""The pytest plugin, in separate pytest runs, as users have them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.process


ROOT = Path(__file__).parent.parent.parent

BOT = """
    import asyncio
    import pytest
    from linqbot import Bot, Context, MessageReceived

    bot = Bot()

    @bot.on_message("hi")
    async def hello(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("hello")

    @bot.on_message("boom")
    async def boom(message: MessageReceived, ctx: Context) -> None:
        raise ZeroDivisionError("in the handler")
"""

ASYNC_TEST = """
    async def test_hello(phone_for):
        async with phone_for(bot) as phone:
            await phone.text("hi")
            assert await phone.next_reply() == "hello"
"""


def run(folder: Path, test: str, *options: str, code: str = BOT) -> subprocess.CompletedProcess[str]:
    """Run pytest on a test file, with warnings as errors and no plugins except ours and those of `options`."""
    lines = (code + test).splitlines()
    (folder / "test_it.py").write_text("\n".join(line.removeprefix("    ") for line in lines) + "\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "--strict-markers",
         "-p", "linqbot.testing.plugin", *options],
        cwd=folder,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_an_async_test_needs_no_marker_and_no_other_plugin(tmp_path: Path) -> None:
    done = run(tmp_path, ASYNC_TEST)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.slow
def test_parameters_and_other_fixtures_are_given_too(tmp_path: Path) -> None:
    test = ASYNC_TEST.replace("(phone_for)", "(phone_for, tmp_path, n)").replace(
        "async def", "@pytest.mark.parametrize('n', [1, 2])\n    async def"
    )
    done = run(tmp_path, test)
    assert "2 passed" in done.stdout, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("argument", ["phone_for", ""])
def test_a_test_that_kills_the_bot_runs_with_the_fixture_also_if_the_file_asks_for_it(
    tmp_path: Path, argument: str
) -> None:
    test = f"""
    from linqbot.testing import killed_between_calls

    {"" if argument else 'pytestmark = pytest.mark.usefixtures("phone_for")'}

    async def talk(phone):
        await phone.text("hi")
        assert await phone.next_reply() == "hello"

    async def test_hello({argument}):
        async for phone in killed_between_calls(bot, talk):
            assert phone.messages == ["hi", "hello"]

    def test_plain():
        pass
    """
    done = run(tmp_path, test)
    assert "2 passed" in done.stdout, done.stdout


def test_hypothesis_makes_up_what_people_write(tmp_path: Path) -> None:
    test = """
    from hypothesis import given, settings, strategies

    @settings(max_examples=3, deadline=None, database=None)
    @given(text=strategies.sampled_from(["hi", "hi "]))
    async def test_it(phone_for, text):
        async with phone_for(bot) as phone:
            await phone.text(text)
            assert await phone.next_reply() == "hello"
            print("has answered")
    """
    done = run(tmp_path, test, "-s", "-p", "_hypothesis_pytestplugin")
    assert "1 passed" in done.stdout, done.stdout
    assert done.stdout.count("has answered") == 2


def test_fixtures_of_every_scope_may_use_it(tmp_path: Path) -> None:
    test = """
    @pytest.fixture(scope="session")
    def on_sms(phone_for):
        return lambda: phone_for(bot, service="SMS")

    async def test_it(on_sms, phone_for):
        async with on_sms() as phone:
            await phone.text("hi")
            assert await phone.next_reply() == "hello"
            assert phone.chat.service == "SMS"
    """
    done = run(tmp_path, test)
    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.slow
def test_it_works_under_anyio(tmp_path: Path) -> None:
    test = """
    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.fixture
    async def phone(phone_for):
        async with phone_for(bot) as phone:
            yield phone

    async def test_fixture(phone):
        await phone.text("hi")
        assert await phone.next_reply() == "hello"
    """
    done = run(tmp_path, test + ASYNC_TEST, "-p", "anyio.pytest_plugin")
    assert "2 passed" in done.stdout, done.stdout


@pytest.mark.slow
def test_a_plain_test_runs_the_loop_itself(tmp_path: Path) -> None:
    test = """
    def test_hello(phone_for):
        async def talk():
            async with phone_for(bot) as phone:
                await phone.text("hi")
                return await phone.next_reply()

        assert asyncio.run(talk()) == "hello"
    """
    done = run(tmp_path, test)
    assert "1 passed" in done.stdout, done.stdout


@pytest.mark.slow
def test_a_failed_handler_fails_the_test_and_shows_where(tmp_path: Path) -> None:
    done = run(tmp_path, ASYNC_TEST.replace('"hi"', '"boom"'))
    assert done.returncode == 1
    assert "ZeroDivisionError: in the handler" in done.stdout
    assert "HandlerFailed: message.received: ZeroDivisionError in" in done.stdout
    # The frames of the wait do not help the author of a test.
    assert "stage.py" not in done.stdout.rpartition("direct cause")[2]


def test_no_wait_shows_frames_of_ours_when_a_handler_fails(tmp_path: Path) -> None:
    waits = ("replies()", "quiet()", "advance(0)", "read()")
    tests = "".join(ASYNC_TEST.replace("_hello", f"_{at}").replace('"hi"', '"boom"') for at in range(len(waits)))
    for wait in waits:
        tests = tests.replace("assert await phone.next_reply() ==", f"await phone.{wait} #", 1)
    done = run(tmp_path, tests, "--tb=short")
    assert done.stdout.count("direct cause") == len(waits), done.stdout
    assert "stage.py" not in done.stdout, done.stdout


@pytest.mark.slow
def test_a_wrong_text_is_shown_next_to_the_right_one(tmp_path: Path) -> None:
    done = run(tmp_path, ASYNC_TEST.replace('"hello"', '"hallo"'))
    assert "assert 'hello' == 'hallo'" in done.stdout


def test_other_async_tests_are_left_to_others(tmp_path: Path) -> None:
    done = run(tmp_path, "\n    async def test_it():\n        pass\n", code="")
    assert done.returncode == 1
    assert "async def functions are not natively supported" in done.stdout


@pytest.mark.parametrize("room", ["emulator", "server", "worker", "testing.talk"])
def test_a_run_without_phones_does_not_import_what_they_need(room: str) -> None:
    code = f"import sys, linqbot.testing.plugin; sys.exit('linqbot.{room}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pytest_finds_the_plugin_by_itself() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"linqbot": "linqbot.testing.plugin"}


def test_the_front_door_lists_what_there_is() -> None:
    import linqbot.testing

    for name in linqbot.testing.__all__:
        assert getattr(linqbot.testing, name).__name__ == name
    with pytest.raises(AttributeError, match=r"linqbot\.testing has no phone_book"):
        _ = linqbot.testing.phone_book
