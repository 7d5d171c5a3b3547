"""The process that serves the bot for `linqbot dev`, in the same way as `linqbot serve`.

Unlike `serve`, it logs no starts and stops, shows each traceback once, and names a handler that blocks the event loop. It
is not a command: `linqbot dev` starts it, with the settings in its environment.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

from linqbot.cli import failure, logs
from linqbot.errors import LinqbotError
from linqbot.ops.bot_file import load_bot
from linqbot.server import loop_watch, uvicorn_server
from linqbot.settings import from_env

BLOCKED_S: Final = 0.2
"""Seconds for which the event loop may be blocked before that is logged. People notice pauses of about this length."""

LOOK_EVERY_S: Final = 0.1


def main(arguments: Sequence[str]) -> None:
    """Serve the bot in the file that is the first argument. With `--json`, errors are printed as JSON."""
    try:
        _serve(arguments[0], as_json=failure.wants_json(arguments))
    except LinqbotError as error:
        failed = failure.of(error)
        failure.print_failure(failed, as_json=failure.wants_json(arguments))
        sys.exit(failed.exit_code)


def _serve(file: str, *, as_json: bool) -> None:
    settings = from_env()
    threading.Thread(target=_end_with, args=(os.getppid(),), name="parent-watch", daemon=True).start()
    logs.configure(settings.log_level, "json" if as_json else settings.log_format, for_author=True, for_good=True)
    app = settings.create_app(load_bot(file))
    with uvicorn_server.listen(settings.host, settings.port) as bound:
        uvicorn_server.run(
            loop_watch.watched(app, blocked_s=BLOCKED_S),
            bound,
            trusted_proxies=settings.trusted_proxies,
            drain_s=settings.drain_s,
        )


def _end_with(parent: int) -> None:
    """Stop this process when `linqbot dev` has died without stopping it: an orphaned bot would occupy the port."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
