"""The bot's process under `linqbot dev`: served as `linqbot serve` does it, and watched for what its author should know.

Not a command of its own. It says nothing while all is well, shows a traceback once, and names a handler that blocks the
event loop.
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
"""Seconds that the event loop may stand still before that is logged: people notice a pause from about here."""

LOOK_EVERY_S: Final = 0.1


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
    with uvicorn_server.listen(settings.host, settings.port) as bound:
        uvicorn_server.run(
            loop_watch.watched(app, blocked_s=BLOCKED_S),
            bound,
            trusted_proxies=settings.trusted_proxies,
            drain_s=settings.drain_s,
        )


def _end_with(parent: int) -> None:
    """End as asked to when `linqbot dev` is gone without having asked: a bot left behind would hold the port."""
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
