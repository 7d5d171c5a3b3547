"""The process that serves the bot for `linqbot rehearse`, as `linqbot serve` does.

It is not a command: `linqbot rehearse` starts it, with the settings in its environment, and kills it now and then.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from linqbot.cli import failure, logs
from linqbot.cli.dev.processes import end_with_parent, inherited
from linqbot.cli.rehearsal.routes import RehearsalRoutes
from linqbot.cli.uncaught import log_uncaught
from linqbot.errors import LinqbotError
from linqbot.ops.bot_file import load_bot
from linqbot.server import loop_watch, uvicorn_server
from linqbot.settings import from_env


def main(arguments: Sequence[str]) -> None:
    """Serve the bot in a file.

    Args:
        arguments: The file; the file descriptor of the socket to listen on, empty to bind the port of the settings.
    """
    end_with_parent()
    try:
        settings = from_env()
        logs.configure(
            settings.log_level,
            "json",
            for_good=True,
            log_tracebacks=settings.log_tracebacks,
            full_tracebacks=settings.full_tracebacks,
        )
        app = settings.create_app(load_bot(arguments[0]), built_in=[RehearsalRoutes(settings.api_key or "")])
        log_uncaught(with_tracebacks=settings.log_tracebacks)
        given = arguments[1]
        with inherited(given) if given else uvicorn_server.listen(settings.host, settings.port) as bound:
            uvicorn_server.run(loop_watch.watched(app), bound, drain_s=settings.drain_s)
    except LinqbotError as error:
        failed = failure.of(error)
        failure.print_failure(failed, as_json=False)
        sys.exit(failed.exit_code)


if __name__ == "__main__":
    main(sys.argv[1:])
