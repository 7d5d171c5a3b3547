"""The end of the child processes of `linqbot dev` and `linqbot rehearse`."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from linqbot.cli.dev.processes import end

pytestmark = pytest.mark.anyio


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "waitid"), reason="the test needs a look at a child that leaves its exit code")
@pytest.mark.parametrize("at_once", [False, True])
async def test_the_exit_code_of_a_child_that_has_just_ended_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    waitpid, has_been_signalled = os.waitpid, threading.Event()

    def held(pid: int, options: int) -> tuple[int, int]:
        # Up to Python 3.11 a thread of asyncio waits for the child.
        if threading.current_thread() is not threading.main_thread():
            has_been_signalled.wait()
        return waitpid(pid, options)

    monkeypatch.setattr(os, "waitpid", held)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(3)")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - the loop must not see the end
    end(child, at_once=at_once)
    has_been_signalled.set()
    assert await child.wait() == 3
