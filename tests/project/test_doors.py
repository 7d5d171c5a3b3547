"""One place decides: what is decided at a single door of the house is decided nowhere else in its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def modules(*left_out: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield the modules of linqbot and its plugins, without those whose path begins with one of these."""
    for path in sorted([*ROOT.glob("linqbot/**/*.py"), *ROOT.glob("plugins/*/linqbot_*/**/*.py")]):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(left_out):
            yield name, ast.parse(path.read_text("utf-8"))


FOLDS = frozenset({"casefold", "lower", "normalize", "isdigit", "isdecimal", "isnumeric"})
"""What compares texts in another form than the one in which they were written."""

READS_NO_WORDS = (
    "linqbot/cli/",  # arguments of commands
    "plugins/linqbot-dev/linqbot_dev/commands/",  # the same
    "plugins/linqbot-dev/linqbot_dev/dev/",  # the same
    "plugins/linqbot-dev/linqbot_dev/rehearsal/",  # the same
    "linqbot/client/",  # headers, addresses
    "plugins/linqbot-dev/linqbot_dev/emulator/",  # Linq's end of the wire
    "linqbot/ops/",  # arguments of operators
    "linqbot/server/",  # headers
    "linqbot/storage/",  # handles, names of SQL files
    "plugins/linqbot-operator/",  # arguments of operators, cookies
    "plugins/linqbot-postgres/",  # addresses of databases
)
"""Rooms in which no text of a person is compared with anything."""

OF_NO_PERSON = {
    "linqbot/language/reading.py": None,  # the one place
    "linqbot/engine/filters.py": ("str",),  # spellings of an author's words, to compare filters when a bot is loaded
    "linqbot/bot/hours.py": ("text[-1]",),  # a time of day that was written here
    "linqbot/content/drafts.py": ("self.file",),  # an address or a path
    "linqbot/content/message_split.py": ("mark[:-1]",),  # the number of an item in the bot's own list
    "linqbot/features/asking/elsewhere.py": ("answer",),  # a word of linqbot's own, in the middle of a sentence
    "linqbot/features/asking/records.py": ("question", "tries"),  # names of journal entries
    "linqbot/features/later.py": ("clock_text", "length"),  # `before=` of an author
    "linqbot/language/spoken.py": ("code.replace('_', '-')",),  # a language
    "linqbot/linq/events/lane.py": ("line",),  # a line of ours
    "linqbot/linq/handles.py": None,  # handles
    "linqbot/linq/rules/check.py": ("value",),  # a field of a request
    "linqbot/linq/rules/message.py": ("word", "text"),  # Linq's own words (R69); an address in a text
    "linqbot/linq/rules/values.py": ("digits",),  # a field of a request
    "linqbot/linq/signatures.py": ("timestamp",),  # a header
    "linqbot/linq/text/markdown.py": ("state.src[max(0, state.pos - len('https')):state.pos]", "url"),  # addresses
    "linqbot/linq/text/sentences.py": ("word",),  # the number of an item in the bot's own text
    "linqbot/linq/types/names.py": ("name", "given"),  # names of Linq's, as authors write them
    "linqbot/linq/types/files.py": ("filename.rpartition('.')[2]",),  # a suffix
    "linqbot/linq/types/message.py": ("(self.filename or '').rpartition('.')[2]",),  # a suffix
    "linqbot/settings.py": ("str",),  # names of environment variables
    "linqbot/speakers.py": ("unicodedata",),  # finds marks of speakers that a text imitates; no words
    "plugins/linqbot-dev/linqbot_dev/testing/people/checks.py": ("act.contains", "text"),  # answers of the bot
    "plugins/linqbot-dev/linqbot_dev/testing/people/persona.py": ("text",),  # questions of the bot
    "plugins/linqbot-dev/linqbot_dev/testing/samples.py": ("name",),  # a place in JSON
    "plugins/linqbot-agent/linqbot_agent/langgraph.py": (
        "str(facts.get('finish_reason') or facts.get('stop_reason') or '')",  # of a model
    ),
    "plugins/linqbot-agent/linqbot_agent/outputs.py": ("kind.__name__",),  # the name of a class
    "plugins/linqbot-agent/linqbot_agent/links.py": ("mail", "address", "unicodedata"),  # addresses that a model writes
    "plugins/linqbot-agent/linqbot_agent/phone_links.py": None,  # the same
    "plugins/linqbot-agent/linqbot_agent/server_messages.py": (
        "response.headers.get('content-type', '').partition(';')[0].strip()",  # a header
    ),
}
"""What else is folded: by module the expressions, None for all of them, and what they are."""


def test_words_of_people_are_compared_in_the_form_of_the_reader_only() -> None:
    found = []
    for name, module in modules(*READS_NO_WORDS):
        for node in ast.walk(module):
            if not (isinstance(node, ast.Attribute) and node.attr in FOLDS):
                continue
            expression = ast.unparse(node.value)
            listed = OF_NO_PERSON.get(name, ())
            if listed is None or expression in listed:
                continue
            found.append(f"{name}:{node.lineno}: {expression}.{node.attr}")
    assert found == [], "Words of people are read by linqbot/language/reading.py; for other texts, add the expression."


HANDLES = frozenset({"actor", "handle", "handles", "of", "owner", "people", "person", "shared_by", "to", "who", "whom"})
"""The last name in an expression that is a handle: a phone number or an e-mail address, in any case."""


def test_people_are_compared_under_their_key_only() -> None:
    found = []
    for name, module in modules(
        "linqbot/linq/handles.py", "plugins/linqbot-dev/linqbot_dev/rehearsal/"
    ):  # names of people in tests
        for node in ast.walk(module):
            if not (isinstance(node, ast.Attribute) and node.attr in FOLDS):
                continue
            expression = ast.unparse(node.value)
            names = [each for each in re.findall(r"[A-Za-z_]+", expression) if each not in ("or", "str", "strip")]
            # The emulator, which stands for Linq, keeps the case of a sender's name.
            if names and names[-1] in HANDLES and expression != "plain_handle(handle)":
                found.append(f"{name}:{node.lineno}: {expression}.{node.attr}")
    assert found == [], "Call linqbot.linq.handles.person_key."


WORDS_AT = {
    "linqbot/engine/handling.py": {"words_among"},  # START and HELP, unless a handler takes them
    "linqbot/engine/filters.py": {"says", "unaccented"},  # on_message("word"), exact; contains
    "linqbot/bot/hours.py": {"without_emoji"},  # the owner's `closed tomorrow`
    "linqbot/bot/owner_words.py": {"exact"},  # mute_word=, unmute_word=
    "linqbot/engine/routing.py": {"chosen", "readings"},  # the handler for exactly what was written
    "linqbot/features/asking/answers.py": {
        "chosen",
        "readings",
        "says",
        "yes_no",
    },  # choices, votes, cancel words, approvals
    "linqbot/bot/forms.py": {"says", "skips", "choice_of", "yes_no"},  # back, skip, the review
    "linqbot/features/addressed.py": {"says", "plain", "folded"},  # #done; names and numbers of people
    "linqbot/features/loops.py": {"folded"},  # messages of two bots
    "linqbot/parse/translation.py": {"folded", "without_emoji"},  # all parsers
    "linqbot/parse/yes_or_no.py": {"readings", "emoji_in"},
}
"""The doors at which words of people are compared, and what they call for it."""


def test_each_door_of_words_calls_the_reader() -> None:
    known = dict(modules())
    called = {name: {each.id for each in ast.walk(known[name]) if isinstance(each, ast.Name)} for name in WORDS_AT}
    assert {name: missing for name, words in WORDS_AT.items() if (missing := words - called[name])} == {}


RAW_PARTS = {
    "linqbot/engine/call_lookup.py": "calls of our own, and answers in which such a call is looked for",
    "linqbot/features/asking/elsewhere.py": "a question of our own",
    "linqbot/features/manners/gate.py": "a call of our own",
    "plugins/linqbot-dev/linqbot_dev/dev/reporting.py": "a call of our own",
    "plugins/linqbot-dev/linqbot_dev/dev/runner.py": "a send of our own that waits",
    "plugins/linqbot-dev/linqbot_dev/dev/terminal.py": "what the emulator shows",
    "plugins/linqbot-dev/linqbot_dev/judge/wire.py": "a send of the judged bot",
    "plugins/linqbot-dev/linqbot_dev/simulation/world.py": "a call of the simulated bot",
    "plugins/linqbot-dev/linqbot_dev/testing/samples.py": "the samples of events",
}
"""The modules that look into the parts of a message as JSON, and what they look into. None reads a message of a person."""


def test_the_parts_of_a_message_of_linqs_are_read_by_the_reader_of_events_only() -> None:
    # The reader; Linq's end; messages of models.
    left_out = ("linqbot/linq/", "plugins/linqbot-dev/linqbot_dev/emulator/", "plugins/linqbot-agent/")
    found = set()
    for name, module in modules(*left_out):
        for node in ast.walk(module):
            match node:
                case ast.Subscript(slice=ast.Constant(value="parts"), ctx=ast.Load()):
                    found.add(name)
                case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value="parts"), *_]):
                    found.add(name)
                case _:
                    pass
    assert found == RAW_PARTS.keys()
