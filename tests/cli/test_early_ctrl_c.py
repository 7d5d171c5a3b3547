"""Ctrl-C while the command `linqbot` still imports its modules, which takes most of its start."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from patience import PATIENCE_S

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals. Ctrl-C ends the process there too."),
]

INTERRUPT_THE_IMPORT = """
import signal, sys
from importlib.metadata import entry_points

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, CtrlC())
sys.argv = ["linqbot", "--version"]
(start,) = entry_points(group="console_scripts", name="linqbot")
start.load()()
"""
LOOK_AT_CTRL_C = """
import signal
from importlib.metadata import entry_points
from linqbot.cli import main
main.main = lambda: print(signal.getsignal(signal.SIGINT) is {expected})
(start,) = entry_points(group="console_scripts", name="linqbot")
start.load()()
"""


def run(code: str, *, ignores_ctrl_c: bool = False) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, in place of the installed script `linqbot`."""
    handler = signal.SIG_IGN if ignores_ctrl_c else signal.default_int_handler
    before = signal.signal(signal.SIGINT, handler)  # a process inherits that a signal is ignored
    try:
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_linqbot_is_imported_ends_it_without_a_traceback() -> None:
    ended = run(INTERRUPT_THE_IMPORT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_a_process_in_the_background_that_ignores_ctrl_c_goes_on() -> None:
    ended = run(INTERRUPT_THE_IMPORT, ignores_ctrl_c=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "linqbot, version" in ended.stdout


def test_commands_handle_ctrl_c_themselves_once_they_are_imported() -> None:
    assert run(LOOK_AT_CTRL_C.format(expected="signal.default_int_handler")).stdout == "True\n"
    ignored = run(LOOK_AT_CTRL_C.format(expected="signal.SIG_IGN"), ignores_ctrl_c=True)
    assert ignored.stdout == "True\n"


INTERRUPT_A_COMMAND = """
import sys
from importlib.metadata import entry_points

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "asyncio.base_events":
            raise KeyboardInterrupt

sys.meta_path.insert(0, CtrlC())
sys.argv = ["linqbot", "waiting", "list"]
(start,) = entry_points(group="console_scripts", name="linqbot")
start.load()()
"""


def test_ctrl_c_while_a_command_imports_asyncio_is_reported_without_a_traceback() -> None:
    ended = run(INTERRUPT_A_COMMAND)
    assert ended.returncode == 1
    assert "The command was aborted." in ended.stderr
    assert "Traceback" not in ended.stderr
