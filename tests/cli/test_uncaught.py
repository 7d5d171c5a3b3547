"""Errors that no code can catch, as a server logs them. `tests/acceptance/test_logs.py` plants texts of people in them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest
from structlog.testing import capture_logs

from linqbot.cli.logs import log_uncaught


@pytest.fixture(autouse=True)
def hooks_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the hooks, which are pytest's, after the test."""
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)


class OwnExit(SystemExit):
    pass


class Unclosable:
    def __del__(self) -> None:
        raise ValueError("words of a person")


def in_a_thread(raise_it: Callable[[], object]) -> list[Any]:
    """Let a thread fail, and return what was logged."""
    with capture_logs() as logs:
        thread = threading.Thread(target=raise_it)
        thread.start()
        thread.join()
    return logs


def leave_a_generator() -> None:
    def generate() -> Generator[None]:
        try:
            yield
        finally:
            raise KeyError("words of a person")

    next(generate())


def fail(error: BaseException) -> None:
    raise error


def test_a_thread_can_end_itself_by_system_exit_in_silence() -> None:
    log_uncaught()
    assert in_a_thread(sys.exit) == []
    (line,) = in_a_thread(lambda: fail(OwnExit()))
    assert line["error"] == "OwnExit"


@pytest.mark.parametrize(("leave", "kind"), [(Unclosable, "ValueError"), (leave_a_generator, "KeyError")])
def test_an_error_that_python_ignores_is_logged_with_its_class_and_place(
    capfd: pytest.CaptureFixture[str], leave: Callable[[], object], kind: str
) -> None:
    log_uncaught()
    with capture_logs() as logs:
        leave()
    (line,) = logs
    assert (line["event"], line["error"], line["exc_info"]) == ("error.ignored", kind, None)
    assert line["at"].startswith("test_uncaught.py:")
    assert capfd.readouterr().err == ""


def test_tracebacks_are_logged_where_they_are_wanted() -> None:
    log_uncaught(with_tracebacks=True)
    error = ValueError("words of a person")
    (line,) = in_a_thread(lambda: fail(error))
    assert line["exc_info"] is error


def test_an_error_without_an_exception_is_logged_too() -> None:
    log_uncaught()
    with capture_logs() as logs:
        threading.excepthook(threading.ExceptHookArgs((ValueError, None, None, None)))
    assert [(line["error"], line["at"]) for line in logs] == [("ValueError", "?")]
