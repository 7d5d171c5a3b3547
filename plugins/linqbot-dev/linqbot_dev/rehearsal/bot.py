"""The process that serves the bot for `linqbot rehearse`, as `linqbot serve` does.

It is not a command: `linqbot rehearse` starts it, with the settings in its environment, and kills it now and then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from linqbot import Context, hookimpl
from linqbot.cli import failure, logs
from linqbot.cli.logs import log_uncaught
from linqbot.errors import LinqbotError
from linqbot.linq.types.files import running_turn
from linqbot.ops.bot_file import load_bot
from linqbot.server import loop_watch, uvicorn_server
from linqbot.settings import from_env
from linqbot.turn_events import Observers, StepEnded
from linqbot_dev.dev.processes import NeededEvents, end_with_parent, end_without_traceback, inherited
from linqbot_dev.testing.ledger import FILE as LEDGER
from linqbot_dev.testing.ledger import add_line

REQUESTS: Final = "requests"
"""The file with the requests to models, next to the record of the ledger."""


class Requests:
    """A built-in plugin that notes each request to a model, in a file because this process is killed."""

    name = "linqbot-rehearsal"

    def __init__(self) -> None:
        self._file = Path(os.environ[LEDGER]).with_name(REQUESTS)

    @hookimpl
    def register_observers(self) -> Observers:
        return {StepEnded: self._step_ended}

    def _step_ended(self, step: StepEnded) -> None:
        ctx = running_turn.get()
        if step.usage and not step.from_journal and isinstance(ctx, Context):
            add_line(self._file, {"chat_id": ctx.event.chat_id, **step.usage})


def main(arguments: Sequence[str]) -> None:
    """Serve the bot in a file.

    Args:
        arguments: The file; the URL of the emulator; the file descriptor of the socket to listen on, empty to bind the port
            of the settings.
    """
    end_without_traceback()
    end_with_parent()
    try:
        settings = from_env().without_telling()
        logs.configure_server(settings, as_json=True)
        app = settings.create_app(load_bot(arguments[0]), built_in=[Requests(), NeededEvents()])
        log_uncaught(with_tracebacks=settings.log_tracebacks)
        given = arguments[2]
        with inherited(given) if given else uvicorn_server.listen(settings.host, settings.port) as bound:
            uvicorn_server.run(app, bound, drain_s=settings.drain_s, around=loop_watch.watching)
    except LinqbotError as error:
        failed = failure.of(error)
        failure.print_failure(failed, as_json=False)
        sys.exit(failed.exit_code)


if __name__ == "__main__":
    main(sys.argv[1:])
