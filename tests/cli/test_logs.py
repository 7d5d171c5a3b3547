"""The lines of a log in production: JSON, whatever they hold; and of errors that no code can catch."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import select
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import pytest
import structlog
from fakes import delivery, text_body
from pydantic import BaseModel
from structlog.testing import capture_logs

from linqbot.cli import logs
from linqbot.client.call import ApiResponse, prepare
from linqbot.linq.events.parse import parse
from linqbot.linq.signatures import Secret
from linqbot.settings import Settings


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:], logging.root.level = before[0], before[1]


def test_a_log_line_is_one_line_of_json_in_printable_ascii(
    capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    logs.configure("info", "json")
    same: list[object] = [*"ü\x7f\x9b\u2028\u202e😀", "Grüße\n\x1b[31m", "half an emoji \ud83d", {"of": [1, None]}]
    for value, shown in [*zip(same, same, strict=True), (Path("/data"), repr(Path("/data"))), (b"\xff", "b'\\xff'")]:
        with subtests.test(value=value):
            structlog.get_logger("test").info("turn.acked", value=value)
            line = capsys.readouterr().err
            assert line.isascii()
            assert line[:-1].isprintable()
            found = json.loads(line)
            assert (found["event"], found["level"], found["value"]) == ("turn.acked", "info", shown)
            assert found["timestamp"].endswith("Z")


def test_each_line_has_the_time_at_which_it_was_logged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.configure("info", "json")
    begin = datetime(2026, 12, 31, 23, 59, 59, 250_000, tzinfo=UTC)
    times = [begin + timedelta(seconds=after_s) for after_s in (0, 0.5, 1, 1.25, 0)]  # a clock may be set back
    for now in times:
        monkeypatch.setattr("time.time", now.timestamp)
        structlog.get_logger("test").info("turn.acked")
    logged = [json.loads(line)["timestamp"] for line in capsys.readouterr().err.splitlines()]
    assert [datetime.fromisoformat(each) for each in logged] == times
    assert logged[0] == "2026-12-31T23:59:59.250000Z"


def test_the_console_shows_the_handler_to_paste_for_an_event_and_for_a_post(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "console")
    log = structlog.get_logger("linqbot.test")
    log.info("event.unhandled", type="reaction.added", event_id="e1", to_handle_it="@bot.on_reaction")
    log.error("post.unhandled", delivery="i.post.order:17", to_handle_it="@bot.on_post('order')")
    lines = capsys.readouterr().err.splitlines()
    assert "No handler took reaction.added. To handle it:" in "".join(lines)
    assert "No handler took i.post.order:17. To handle it:" in "".join(lines)
    assert "    @bot.on_post('order')" in lines


def test_the_console_has_no_colors_if_the_environment_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("", "1"):
        monkeypatch.setenv("NO_COLOR", value)
        logs.configure("info", "console")
        structlog.get_logger("test").info("turn.acked")
        assert ("\x1b[" in capsys.readouterr().err) is (value == "")


@pytest.mark.parametrize("full_tracebacks", [False, True])
def test_a_traceback_in_a_terminal_escapes_what_the_terminal_would_obey(
    capsys: pytest.CaptureFixture[str], *, full_tracebacks: bool
) -> None:
    logs.configure("info", "console", log_tracebacks=True, full_tracebacks=full_tracebacks)
    structlog.get_logger("test").error("turn.failed", exc_info=ValueError("hello \x1b]0;owned\x07\x9b2J\r\u202e"))
    assert capsys.readouterr().err.endswith("\nValueError: hello \\x1b]0;owned\\x07\\x9b2J\\r\\u202e\n")


def test_a_log_line_shows_of_an_object_what_its_repr_shows(
    capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    logs.configure("info", "json")
    rows: list[object] = [
        parse(delivery(text_body("hidden words"))),
        [parse(delivery(text_body("hidden words")))],
        delivery(text_body("hidden words")),
        prepare("chats.messages.send", path={"chat_id": "c"}, body={"message": {"value": "hidden words"}}),
        ApiResponse(200, {"value": "hidden words"}, content=b"hidden words"),
        Settings(api_key="hidden words", webhook_secrets=("hidden words",)),
        Secret.parse("whsec_aGlkZGVuIHdvcmRzLCBtYW55IG9mIHRoZW0="),
    ]
    for value in rows:
        with subtests.test(value=value):
            structlog.get_logger("test").info("order.taken", value=value)
            line = capsys.readouterr().err
            assert "hidden words" not in line
            assert json.loads(line)["value"] == (
                [repr(each) for each in value] if isinstance(value, list) else repr(value)
            )


class Full(io.StringIO):
    """A log on a disk that is full at times."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_a_log_that_cannot_be_written_costs_lines_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Full()
    monkeypatch.setattr("sys.stderr", disk)
    logs.configure("info", "json")
    structlog.get_logger("test").info("first")
    logging.getLogger("test").warning("second")
    disk.is_full = False
    structlog.get_logger("test").info("third")
    assert [json.loads(line)["event"] for line in disk.getvalue().splitlines()] == ["third"]


class UnreadPipe:
    """A pipe that the log is written to, and that nothing reads until `read`."""

    def __init__(self, reading: int, log: TextIO) -> None:
        os.set_blocking(reading, False)
        self._reading = reading
        self._log = log

    def configure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Write the log to the pipe. pytest sets `sys.stderr` after the fixtures, so this is done in the test."""
        monkeypatch.setattr("sys.stderr", self._log)
        logs.configure("info", "json")

    def read(self) -> list[bytes]:
        found = b""
        with suppress(BlockingIOError):
            while more := os.read(self._reading, 65536):
                found += more
        return found.splitlines()


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[UnreadPipe]:
    if not hasattr(select, "poll"):
        pytest.skip("this system has no poll()")
    monkeypatch.setattr(logs, "PATIENCE_MS", 0)
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", buffering=1, encoding="utf-8") as log:
        yield UnreadPipe(reading, log)
    os.close(reading)


def test_a_log_that_nothing_reads_costs_lines_and_stops_nothing(
    pipe: UnreadPipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.configure(monkeypatch)
    for n in range(1000):
        structlog.get_logger("test").info("turn.acked", n=n, value="x" * 200)
    before = [json.loads(line)["n"] for line in pipe.read()]
    assert 0 < len(before) < 1000
    assert before == list(range(len(before)))
    structlog.get_logger("test").info("turn.acked", n=1000)
    lost, after = map(json.loads, pipe.read())
    assert (lost["event"], lost["level"], lost["lines"]) == ("log.lines_lost", "warning", 1000 - len(before))
    assert after["n"] == 1000


def test_a_line_that_is_longer_than_the_pipe_does_not_block_either(
    pipe: UnreadPipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.configure(monkeypatch)
    structlog.get_logger("test").info("turn.failed", exception="x" * 2_000_000)
    (torn,) = pipe.read()
    assert torn.startswith(b'{"exception')
    structlog.get_logger("test").info("turn.acked")
    rest, lost, after = pipe.read()
    assert (rest, json.loads(lost)["lines"], json.loads(after)["event"]) == (b"", 1, "turn.acked")


class Collecting(io.StringIO):
    """A log during whose first line the garbage collector runs a `__del__` that logs another line."""

    def write(self, text: str) -> int:
        if "first" in text:
            structlog.get_logger("test").info("second")
        return super().write(text)


def test_a_line_that_is_logged_while_another_is_written_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Collecting()
    monkeypatch.setattr("sys.stderr", log)
    logs.configure("info", "json")
    structlog.get_logger("test").info("first")
    assert {json.loads(line)["event"] for line in log.getvalue().splitlines()} == {"first", "second"}


def log_error_of_a_library(folder: Path) -> None:
    """Log, as asyncio does, an error that a library raised in the author's file `shop.py`, whose second line called it."""
    source = "import json\nmenu = json.loads('soup')\n"
    try:
        exec(compile(source, str(folder / "shop.py"), "exec"), {})
    except ValueError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved\nfuture: <Task exception='soup'>")


@pytest.mark.parametrize("style", ["json", "console"])
def test_an_error_that_a_handler_logs_shows_its_type_and_line_only(
    capsys: pytest.CaptureFixture[str], style: str
) -> None:
    logs.configure("info", style)
    log = structlog.get_logger("linqbot.bot")
    try:
        int("two soups, please")
    except ValueError as error:
        log.exception("order.lost")
        log.error("order.lost", exc_info=error)
        log.error("order.lost", exc_info=sys.exc_info())
        log.error("order.lost", error=error)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all("order.lost" in line and "ValueError" in line and "test_logs.py:" in line for line in lines)
    assert "soups" not in "".join(lines)


def test_an_error_that_another_library_logs_keeps_its_traceback_if_tracebacks_are_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    logs.configure("info", "console", without=logs.LINES_OF_DEV, log_tracebacks=True)
    log_error_of_a_library(tmp_path)
    written = capsys.readouterr().err
    assert "at=shop.py:2" in written
    assert "JSONDecodeError: Expecting value" in written
    assert "<Task" not in written


# --- errors that no code can catch; `tests/acceptance/test_logs.py` plants texts of people in them ----------------------


@pytest.fixture(autouse=True)
def hooks_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the hooks, which are pytest's, after the test."""
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


class OwnExit(SystemExit):
    pass


def in_a_thread(raise_it: Callable[[], object]) -> list[Any]:
    """Let a thread fail, and return what was logged."""
    with capture_logs() as lines:
        thread = threading.Thread(target=raise_it)
        thread.start()
        thread.join()
    return lines


def fail(error: BaseException) -> None:
    raise error


def test_a_thread_can_end_itself_by_system_exit_in_silence() -> None:
    logs.log_uncaught()
    assert in_a_thread(sys.exit) == []
    (line,) = in_a_thread(lambda: fail(OwnExit()))
    assert (line["error"], line["exc_info"]) == ("OwnExit", None)


def test_a_warning_is_logged_with_its_class_and_place_because_it_may_quote_a_person(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Order(BaseModel):
        count: int = 1

    with warnings.catch_warnings(), capture_logs() as lines:
        warnings.simplefilter("always")
        logs.log_uncaught()
        Order.model_construct(count="words of a person").model_dump_json()  # type: ignore[arg-type]
    (line,) = lines
    assert (line["event"], line["warning"]) == ("python.warned", "UserWarning")
    assert line["at"].startswith("test_logs.py:")
    assert "words" not in repr(lines) + capfd.readouterr().err


def test_tracebacks_are_logged_where_they_are_wanted() -> None:
    logs.log_uncaught(with_tracebacks=True)
    error = ValueError("words of a person")
    (line,) = in_a_thread(lambda: fail(error))
    assert line["exc_info"] is error


def test_an_error_without_an_exception_is_logged_too() -> None:
    logs.log_uncaught()
    with capture_logs() as lines:
        threading.excepthook(threading.ExceptHookArgs((ValueError, None, None, None)))
    assert [(line["error"], line["at"]) for line in lines] == [("ValueError", "?")]
