"""The bot's process under `linqbot dev`: served as `linqbot serve` does it, and watched for what its author should know.

Not a command of its own. It says nothing while all is well, tells a traceback once, and names the handler that holds
the event loop up.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from linqbot.bot import handlers
from linqbot.cli import failure, http, logs
from linqbot.cli.load import load_bot
from linqbot.errors import LinqbotError
from linqbot.settings import from_env

log = structlog.get_logger("linqbot.dev")

BLOCKED_S: Final = 0.2
"""How long the event loop may stand still before that is told: people notice a pause from about here."""

LOOK_EVERY_S: Final = 0.1
_INSTALLED = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
_OTHERS: Final = ("<", *(f"{Path(folder)}{os.sep}" for folder in (str(Path(__file__).parent.parent), *_INSTALLED)))
"""How the names of files begin whose code is not the author's."""


def main(arguments: Sequence[str]) -> None:
    """Serve the bot in the file `arguments` begin with; `--json` as everywhere."""
    try:
        _serve(arguments[0], as_json=failure.wants_json(arguments))
    except LinqbotError as error:
        failed = failure.of(error)
        failure.tell(failed, as_json=failure.wants_json(arguments))
        sys.exit(failed.exit_code)


def _serve(file: str, *, as_json: bool) -> None:
    settings = from_env()
    threading.Thread(target=_end_with, args=(os.getppid(),), name="parent-watch", daemon=True).start()
    logs.configure(settings.log_level, "json" if as_json else settings.log_format, for_author=True, for_good=True)
    app = settings.create_app(load_bot(file))
    with http.listen(settings.host, settings.port) as bound:
        http.run(_watched(app), bound, trusted_proxies=settings.trusted_proxies, drain_s=settings.drain_s)


def _end_with(parent: int) -> None:
    """End as asked to when `linqbot dev` is gone without having asked: a bot left behind would hold the port."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _watched(app: ASGIApp) -> ASGIApp:
    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            with watching(asyncio.get_running_loop()):
                await app(scope, receive, send)
        else:
            await app(scope, receive, send)

    return served


@contextmanager
def watching(loop: asyncio.AbstractEventLoop, *, blocked_s: float = BLOCKED_S) -> Iterator[None]:
    """Log `loop.blocked` whenever the author's code keeps the loop of this thread from running for so long."""
    done = threading.Event()
    watch = threading.Thread(
        target=_watch, args=(loop, threading.get_ident(), blocked_s, done), name="loop-watch", daemon=True
    )
    watch.start()
    try:
        yield
    finally:
        done.set()


def _watch(loop: asyncio.AbstractEventLoop, thread: int, blocked_s: float, done: threading.Event) -> None:
    told: set[tuple[str, str]] = set()
    while not done.wait(LOOK_EVERY_S):
        answered = threading.Event()
        try:
            loop.call_soon_threadsafe(answered.set)
        except RuntimeError:  # the loop is closed
            return
        if answered.wait(blocked_s):
            continue
        # What stands on its stack now is what holds it up; later it would be something innocent.
        frame = sys._current_frames().get(thread)  # noqa: SLF001 - the one way to see another thread's stack
        if frame is not None and (found := culprit(traceback.extract_stack(frame))):
            _tell(*found, blocked_s, told)
        while not answered.wait(1.0) and not done.is_set():
            pass


def culprit(stack: traceback.StackSummary) -> tuple[str, str] | None:
    """Of a stack, the author's function that linqbot called, and the place in the author's code it stands at.

    None when no code of the author's is on it: a machine that is busy elsewhere is nobody's mistake.
    """
    own = [number for number, frame in enumerate(stack) if not frame.filename.startswith(_OTHERS)]
    if not own:
        return None
    called = (n for n in own if n and stack[n - 1].filename == handlers.__file__)
    handler, at = stack[next(called, own[0])], stack[own[-1]]
    return f"{Path(handler.filename).stem}:{handler.name}", f"{Path(at.filename).name}:{at.lineno}"


def _tell(handler: str, at: str, blocked_s: float, told: set[tuple[str, str]]) -> None:
    advice = (
        "Meanwhile the bot answers nobody. Await what waits (asyncio.sleep, httpx.AsyncClient), or write the handler "
        "with def instead of async def: then it runs in a thread, and returns what to say."
    )
    more = {} if (handler, at) in told else {"to_mend_it": advice}
    told.add((handler, at))
    log.warning("loop.blocked", handler=handler, at=at, longer_than_ms=round(blocked_s * 1000), **more)


if __name__ == "__main__":
    main(sys.argv[1:])
