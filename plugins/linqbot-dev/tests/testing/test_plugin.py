"""The pytest plugin, in separate pytest runs, as users have them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from patience import PATIENCE_S

pytestmark = pytest.mark.process


ROOT = Path(__file__).parents[4]

BOT = """
    import asyncio
    import pytest
    from linqbot import Bot, Context, MessageReceived
    from linqbot.testing import killed_between_calls

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
EVERY_KIND = """
    WAITS = {
        "next_reply": lambda phone: phone.next_reply(),
        "replies": lambda phone: phone.replies(),
        "quiet": lambda phone: phone.quiet(),
        "advance": lambda phone: phone.advance(0),
        "read": lambda phone: phone.read(),
    }

    @pytest.mark.parametrize("n", [1, 2])
    async def test_parameters_and_other_fixtures(phone_for, tmp_path, n):
        async with phone_for(bot) as phone:
            await phone.text("hi")
            assert await phone.next_reply() == "hello"

    @pytest.fixture(scope="session")
    def on_sms(phone_for):
        return lambda: phone_for(bot, service="SMS")

    async def test_fixtures_of_every_scope(on_sms, phone_for):
        async with on_sms() as phone:
            await phone.text("hi")
            assert await phone.next_reply() == "hello"
            assert phone.chat.service == "SMS"

    def test_plain(phone_for):
        async def talk():
            async with phone_for(bot) as phone:
                await phone.text("hi")
                return await phone.next_reply()

        assert asyncio.run(talk()) == "hello"

    @pytest.mark.parametrize("wait", WAITS)
    async def test_a_handler_fails(phone_for, wait):
        async with phone_for(bot) as phone:
            await phone.text("boom")
            await WAITS[wait](phone)

    async def test_a_wrong_text(phone_for):
        async with phone_for(bot) as phone:
            await phone.text("hi")
            assert await phone.next_reply() == "hallo"

    async def test_of_another_plugin():
        pass

    async def talk(phone):
        await phone.text("hi")
        assert await phone.next_reply() == "hello"

    async def test_a_kill(phone_for):
        async for phone in killed_between_calls(bot, talk):
            assert phone.messages == ["hi", "hello"]

    @pytest.mark.usefixtures("phone_for")
    class TestWithAMark:
        async def test_a_kill(self):
            await test_a_kill(None)

        def test_plain(self):
            pass
"""


def run(folder: Path, test: str, *options: str, code: str = BOT) -> subprocess.CompletedProcess[str]:
    """Run pytest on a test file, with warnings as errors and no plugins except ours and those of `options`."""
    lines = (code + test).splitlines()
    (folder / "test_it.py").write_text("\n".join(line.removeprefix("    ") for line in lines) + "\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "--strict-markers",
         "-p", "linqbot_dev.testing.plugin", *options],
        cwd=folder,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_async_tests_need_no_other_plugin_with_the_fixture_or_its_mark_and_failures_show_where(tmp_path: Path) -> None:
    printed = run(tmp_path, ASYNC_TEST + EVERY_KIND, "--tb=short").stdout
    assert "7 failed, 8 passed" in printed, printed
    assert printed.count("direct cause") == 5
    assert printed.count("E   ZeroDivisionError: in the handler") == 5
    assert printed.count("HandlerFailed: message.received: ZeroDivisionError in") >= 5
    # The frames of a wait do not help the author of a test.
    assert "stage.py" not in printed
    assert "assert 'hello' == 'hallo'" in printed
    # Async tests without a phone are left to other plugins.
    assert "async def functions are not natively supported" in printed


@pytest.mark.slow
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


def test_a_run_without_phones_does_not_import_what_they_need() -> None:
    code = "import sys, linqbot_dev.testing.plugin; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "linqbot_dev.testing.plugin" in imported
    unwanted = {f"linqbot.{room}" for room in ("server", "engine.worker", "testing")}
    unwanted |= {f"linqbot_dev.{room}" for room in ("emulator", "testing.talk", "testing.phone")}
    assert unwanted.isdisjoint(imported)


def test_pytest_finds_the_plugin_by_itself() -> None:
    project = tomllib.loads((ROOT / "plugins" / "linqbot-dev" / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"linqbot": "linqbot_dev.testing.plugin"}
