"""The table of the commands: each with its line of help, grouped by task.

The module `linqbot.cli.commands.<name>` has the function of a command, which `linqbot.cli.kit` makes a command of, or a
`command` of click, for a command that needs more. The module of a group has a function for each of its commands, such as
`linqbot.cli.commands.waiting.retry`. A module is imported only when one of its commands is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "Write a bot": {
        "new": "Create a folder with a bot, its tests and its settings.",
    },
    "Run it": {
        "connect": "Subscribe a bot to the events it handles; rotate the secret.",
        "check": "Find what keeps a bot from going live, and how to fix it.",
        "serve": "Run a bot in production.",
    },
    "Look after it": {
        "explain": "Explain an error code: its meaning, its causes, what to do.",
        "why": "Say what became of a person's messages, and why.",
        "mute": "Make the bot silent for a person or everywhere; end it; list.",
        "waiting": "List what waits or was given up; retry, answer, cancel.",
        "person": "Show, edit and erase what is stored about a person.",
        "storage": "Back up, migrate and copy the storage; delete dead letters.",
        "send": "Send one message.",
        "post": "Put an event of yours into a chat, for the bot's on_post handler.",
    },
}
"""The commands of each section, with their lines of help."""

PACKAGES: Final[Mapping[str, str]] = {
    "dev": "linqbot-dev",
    "judge": "linqbot-dev",
    "mcp": "linqbot-operator",
    "rehearse": "linqbot-dev",
    "replay": "linqbot-dev",
    "trigger": "linqbot-dev",
}
"""The commands that packages of linqbot's repository bring, each with its package. Their plugins have the packages' names without `linqbot-`."""

COMMANDS: Final = dict(sorted(each for commands in SECTIONS.values() for each in commands.items()))
"""Each command of linqbot with its line of help, by name."""

GROUPS: Final[Mapping[str, Mapping[str, str]]] = {
    "connect": {
        "sync": "Subscribe a bot to exactly the events it handles.",
        "rotate": "Change the signing secret without losing a delivery.",
        "list": "List the subscriptions of the account.",
        "remove": "Delete a subscription and its secret.",
    },
    "waiting": {
        "list": "List deliveries, dead letters, questions, sends, broadcasts.",
        "broadcast": "Show a broadcast; pause or resume it.",
        "retry": "Put dead letters back, so that the server handles them again.",
        "answer": "Answer a question in place of the person.",
        "cancel": "End a question, a scheduled send or a broadcast.",
    },
    "person": {
        "show": "Show or export all that is kept of a person; ctx.state of a chat.",
        "edit": "Edit a stored value in your editor.",
        "consent": "List, export or import who agreed to promotional messages.",
        "forget": "Erase everything that is stored about a person.",
    },
    "storage": {
        "backup": "Copy the storage to a file while it is served.",
        "purge": "Delete old dead letters.",
        "migrate": "Bring the schema up to date, or create the storage.",
        "copy": "Copy everything to another storage, also to PostgreSQL and back.",
    },
}
"""The commands of each group, with their lines of help."""
