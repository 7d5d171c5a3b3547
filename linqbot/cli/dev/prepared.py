"""The bot's process of `linqbot dev`, started before it is needed: it imports linqbot, and waits for its turn.

Importing linqbot takes most of the time of a start. After the first save of a file, `linqbot dev` keeps such a process
ready, so that the next save is answered sooner. The bot's own file is imported only after the byte, with the code of
that time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from linqbot.cli.dev.processes import end_without_traceback


def main(arguments: Sequence[str]) -> None:
    """Import linqbot, wait for a byte on a pipe, then do what `bot.py` does. Without a byte the process ends.

    Args:
        arguments: The file descriptor of the pipe, and then the arguments of `bot.py`.
    """
    # Ctrl-C in the terminal reaches this process too.
    end_without_traceback()
    from linqbot.cli.dev import bot

    if os.read(int(arguments[0]), 1):
        bot.main(arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
