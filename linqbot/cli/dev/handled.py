"""Prints the event types that a bot handles, as JSON. `linqbot dev --public-url` runs this module in a process of its own.

That process imports the bot as it is now. Linq is not asked.
"""

from __future__ import annotations

import json
import sys

from linqbot.cli import failure
from linqbot.errors import LinqbotError
from linqbot.ops.subscriptions import handled_in
from linqbot.settings import from_env

if __name__ == "__main__":
    try:
        found = handled_in(sys.argv[1], from_env())
    except LinqbotError as error:
        failure.print_failure(failure.of(error), as_json=False)
        sys.exit(1)
    sys.stdout.write(json.dumps({"events": found.needed, "everything": found.everything}))
