"""The process that serves the bot for `linqbot dev`, in the same way as `linqbot serve`.

Unlike `serve`, it logs no starts, stops and failed turns, and names a handler that blocks the event loop. It prints a line
for each turn, with the frames of an error once, and posts a report of each turn and of each start to the emulator. It is
not a command: `linqbot dev` starts it, with the settings in its environment.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import click
import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from linqbot import Running, hookimpl
from linqbot.cli import failure, logs
from linqbot.cli.logs import log_uncaught
from linqbot.cli.output import printable_lines
from linqbot.clock import MovableClock
from linqbot.errors import LinqbotError
from linqbot.frames import authors_frame
from linqbot.ops.bot_file import BotFileError, load_bot, log_opt_outs
from linqbot.server import loop_watch, uvicorn_server
from linqbot.settings import from_env
from linqbot_dev.dev import processes
from linqbot_dev.dev.processes import (
    INSIDE,
    NeededEvents,
    end_with_parent,
    end_without_traceback,
    guarded,
    no_authorities,
)
from linqbot_dev.dev.reporting import Observations, TurnLines, TurnReports
from linqbot_dev.dev.turn_report import ObservedTurn, authors_traceback, file_name, message_of, wall_time

BLOCKED_S: Final = 0.2
"""Seconds for which the event loop may be blocked before that is logged. People notice pauses of about this length."""

REPORT_S: Final = 10.0
"""Seconds that a bot that did not start may wait until the emulator has the reason."""


def main(arguments: Sequence[str]) -> None:
    """Serve the bot in the file that is the first argument.

    Args:
        arguments: The file; the URL of the emulator, empty for a real account; the file descriptor of the socket to listen
            on, empty to bind the port of the settings; the file descriptor of a pipe, empty to serve at once: otherwise
            the process waits for a byte on it, and ends if it is closed; and `--json` to print turns and errors as JSON.
    """
    end_without_traceback()
    # A crash in a compiled library shows the author's line that called it. The other threads are linqbot's.
    faulthandler.enable(all_threads=False)
    file, emulator, inherited, waits = arguments[:4]
    if waits and not os.read(int(waits), 1):
        return
    as_json = failure.wants_json(arguments)
    observations = Observations(emulator) if emulator else None
    try:
        _serve(file, emulator, inherited, observations, as_json=as_json)
    except LinqbotError as error:
        failed = failure.of(error)
        cause = error.__cause__
        # The message of a BotFileError is the traceback.
        if cause is not None and authors_frame(cause) and not isinstance(error, BotFileError) and not as_json:
            click.echo(printable_lines(authors_traceback(cause)).rstrip(), err=True)
        failure.print_failure(failed, as_json=as_json)
        if observations is not None:
            report = start_failure(error)
            observations.post(lambda: report)
            # Without the reason, the page shows an exit code. No bot runs here that this could hold up.
            observations.close(REPORT_S)
        sys.exit(failed.exit_code)
    finally:
        if observations is not None:
            observations.close()


def _serve(file: str, emulator: str, inherited: str, observations: Observations | None, *, as_json: bool) -> None:
    def show(turn: ObservedTurn) -> None:
        if as_json:
            click.echo(json.dumps({"turn": turn.to_json()}), err=True)
        else:
            lines.print(turn)
        if observations is not None:
            observations.post(turn.for_page)

    def show_on_page(report: dict[str, Any]) -> None:
        if observations is not None:
            observations.post(lambda: report)

    settings = from_env().without_telling()
    lines = TurnLines(has_page=bool(emulator), full_tracebacks=settings.full_tracebacks)
    end_with_parent()
    logs.configure_server(settings, as_json=as_json, without=logs.LINES_OF_DEV)
    # With a real account there is no page that moves the clock or looks into the storage.
    clock = MovableClock() if emulator else None
    inside = [] if clock is None else [Inside(clock, emulator, settings.api_key or "")]
    turns = TurnReports(show, show_on_page)
    bot = load_bot(file, still_loading=lambda at: show_on_page(still_loading(at)))
    log_opt_outs(bot)
    app = settings.create_app(bot, built_in=[turns, NeededEvents(), *inside], clock=clock)
    log_uncaught(with_tracebacks=settings.log_tracebacks)
    listening = processes.inherited(inherited) if inherited else uvicorn_server.listen(settings.host, settings.port)
    with listening as bound:
        uvicorn_server.run(
            app,
            bound,
            trusted_proxies=settings.trusted_proxies,
            drain_s=settings.drain_s,
            around=partial(loop_watch.watching, BLOCKED_S, turns.blocked),
        )


class Inside:
    """A built-in plugin by which the emulator's process moves the clock of the bot and lets it handle a delivery again.

    Each request must carry the API key that `linqbot dev` made up for this run, because a page in the browser can reach
    the port too. The clock is set before the bot leases a delivery, and whenever the emulator's is moved.
    """

    name = INSIDE

    def __init__(self, clock: MovableClock, emulator: str, key: str) -> None:
        self._clock = clock
        self._emulator = emulator
        self._key = key

    @hookimpl(tryfirst=True)
    async def started(self) -> None:
        """Set the clock to the emulator's, which may have been moved before this process began.

        First, because the report that the bot has started has a time of this clock.
        """
        async with httpx.AsyncClient(trust_env=False, verify=no_authorities(), timeout=None) as client:  # noqa: S113
            with suppress(httpx.TransportError):  # before the emulator listens, its clock has not been moved
                self._set_clock((await client.get(f"{self._emulator}/emulator/clock")).json())

    @hookimpl
    def register_routes(self, running: Running) -> list[BaseRoute]:
        async def put_clock(request: Request) -> Response:
            self._set_clock(await request.json())
            return Response(status_code=204)

        async def run_again(request: Request) -> Response:
            ids = [(await request.json())["delivery_id"]]
            return JSONResponse({"count": await running.storage.replay_live(ids)})

        return [
            Route("/clock", guarded(put_clock, self._key), methods=["PUT"]),
            Route("/run-again", guarded(run_again, self._key), methods=["POST"]),
        ]

    def _set_clock(self, clock: dict[str, Any]) -> None:
        if clock["is_frozen"]:
            self._clock.stop_at(clock["at"])
        else:
            self._clock.run_ahead(clock["ahead_s"])


def start_failure(error: BaseException) -> dict[str, Any]:
    """Return the report of an error that kept a bot from starting.

    An error of the author's code is shown as such, and not as the error that linqbot makes of it.
    """
    cause = error.__cause__
    if isinstance(cause, Exception) and (isinstance(error, BotFileError) or authors_frame(cause) is not None):
        error = cause
    code = f" [{error.lqb}]" if isinstance(error, LinqbotError) else ""
    message = f"{type(error).__name__}: {message_of(error)}{code}"
    return _failed(message, *_place(error)) | {"traceback": authors_traceback(error)}


def still_loading(at: str) -> dict[str, Any]:
    """Return the report of a bot whose file takes long to load, at `file:line`, and may never end."""
    file, _, line = at.rpartition(":")
    return _failed("The file is still loading: this line waits, repeats or takes long.", file, int(line))


def _failed(message: str, file: str | None, line: int | None) -> dict[str, Any]:
    at = wall_time(datetime.now(UTC))
    return {"kind": "bot", "status": "failed", "file": file, "line": line, "message": message, "at": at}


def _place(error: BaseException) -> tuple[str | None, int | None]:
    if isinstance(error, SyntaxError) and error.filename is not None:
        return file_name(error.filename), error.lineno
    frame = authors_frame(error)
    return (file_name(frame.filename), frame.lineno) if frame is not None else (None, None)


if __name__ == "__main__":
    main(sys.argv[1:])
