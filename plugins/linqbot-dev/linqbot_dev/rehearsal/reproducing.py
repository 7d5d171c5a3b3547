"""Writes pytest files that show the findings, and runs each of them to see if it does.

A file has the person's acts against the bot in `talking`, and fails as long as the bot does what was found.
"""

from __future__ import annotations

import keyword
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from linqbot.cli.output import progress_bar
from linqbot_dev.testing.people.checks import ANY_ANSWER, OF_EFFECTS, Violation
from linqbot_dev.testing.people.persona import Inject, Pause, PersonAct, Stretch, Visit, code_of

MOST: Final = 5
"""The most tests that are written: further people usually show the same."""
TIMEOUT_S: Final = 60.0
TRYING_S: Final = 120.0
"""Seconds for all tests. Each finding has at least one run, for which a loaded machine needs ten seconds."""

_FAILS: Final = "fails, as it should until the bot is corrected"
_PASSES: Final = "passes here: this needs a real process, or its timing"
_UNTRIED: Final = "was not run: pytest is not installed"
_NOT_ENDED: Final = f"did not end within {TIMEOUT_S:.0f} s here: run it again when the machine is less busy"
_TOO_LATE: Final = "passes here, and longer ones were not tried: running them takes too long"


def write_reproductions(
    violations: Sequence[Violation], visits: Sequence[Visit], bot: str, out: Path
) -> dict[str, str]:
    """Write a test for the first violation of each person, of at most five. Return their paths, and what each did.

    Of several tests that may show a violation, the shortest that fails is kept.
    """
    chosen: dict[str, Violation] = {}
    kinds: set[tuple[str, str]] = set()
    for one in violations:
        # Other rules and other kinds of people first: the same finding of ten people needs no ten tests.
        kind = (one.rule, one.person.rpartition(" ")[0])
        if one.person not in chosen and kind not in kinds and len(chosen) < MOST:
            chosen[one.person] = one
            kinds.add(kind)
    written: dict[str, str] = {}
    until = time.monotonic() + TRYING_S
    with progress_bar("Running tests that may show a finding") as progress:
        for number, (person, one) in enumerate(chosen.items()):
            path = out / f"test_{name_of(person)}.py"
            # A share of the time that is left for each, so that the first ones do not use it up.
            now = time.monotonic()
            written[str(path)] = _write(one, visits, bot, path, now + (until - now) / (len(chosen) - number))
            progress(number + 1, len(chosen))
    return written


def _write(violation: Violation, visits: Sequence[Visit], bot: str, path: Path, until: float) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    is_run = False
    for text in reproductions(violation, visits, bot, path.parent):
        if is_run and time.monotonic() > until:
            return _TOO_LATE
        path.write_text(text, encoding="utf-8")
        if find_spec("pytest") is None:
            return _UNTRIED
        is_run = True
        try:
            if _shows(violation, path):
                return _FAILS
        except subprocess.TimeoutExpired:
            return _NOT_ENDED
    return _PASSES


def _shows(violation: Violation, path: Path) -> bool:
    """Return True if the test fails with a violation of the same rule."""
    # Without the configuration of a project around it, which may ask for plugins or other options, and without the plugins
    # of other packages: some take seconds to import.
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(path.parent), "--noconftest", "-q"]
    ran = subprocess.run(  # noqa: S603 - it runs the file that was just written
        [*command, "-p", "linqbot_dev.testing.plugin", "-p", "no:cacheprovider", "-o", "addopts=", str(path)],
        env=os.environ | {"PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT_S,
        check=False,
    )
    return ran.returncode == 1 and f"rule='{violation.rule}'" in ran.stdout


MOST_ACTS: Final = 80
BEFORE: Final = 3
"""The number of stretches before the violation in the second attempt."""

_HEAD: Final = '''\
"""{about}

`linqbot rehearse` wrote this test. It fails as long as the bot does what is said above.
"""

{imports}

{setting}{bot}'''

_BOT: Final = """\
sys.path[:0] = [f"{{Path(__file__).parent}}/{{each}}" for each in {folders}]
sys.modules.pop({module!r}, None)  # the test of another finding may have imported it
bot = {bot}
"""

_TALKING: Final = """

async def test_{name}(phone_for: PhoneFor) -> None:
    async with phone_for(bot) as phone:
        assert await rehearse(phone, {people}{given}) == []
"""

_KILLED: Final = """

async def conversation(phone: Phone) -> None:
    assert await rehearse(phone, {people}{given}) == [], phone.killed


async def test_{name}(phone_for: PhoneFor) -> None:
    async for _ in killed_between_calls(bot, conversation):
        pass
"""

_SETTING: Final = """\
os.environ["LINQ_API_V3_API_KEY"] = SECRET = "secret-of-this-test"
"""

_LEDGER: Final = """\
os.environ["REHEARSAL_LEDGER"] = str(Path(tempfile.mkdtemp()) / "ledger")
LEDGER = Ledger()  # has what the bot records in its own
"""


def reproductions(violation: Violation, visits: Sequence[Visit], bot: str, folder: Path) -> Iterator[str]:
    """Yield tests that may reproduce a violation, the shortest first. The last one has the whole conversation.

    A person who expects a certain answer, or silence, expects it after all that was said: there every test has all of it.

    Args:
        bot: The bot as commands take it: `bot.py`, `bot.py:name` or `package.module:name`.
        folder: The folder of the test, from which the bot's file is found.
    """
    visit = next(one for one in visits if one.persona.name == violation.person)
    others = [
        (one, _shortened([act for part in one.stretches for act in part.acts], with_faults=False))
        for one in visits
        if one.persona.name == violation.other
    ]
    stretches = visit.stretches[: violation.stretch + 1]
    seen: set[str] = set()
    for part, with_faults, is_killed in _attempts(stretches, needs_all=_depends_on_what_was_said(violation)):
        acts = _shortened([act for stretch in part for act in stretch.acts], with_faults=with_faults and not is_killed)
        text = _test(violation, [(visit, acts), *others], bot=_bot(bot, folder), is_killed=is_killed)
        if text not in seen:
            seen.add(text)
            yield text


def _depends_on_what_was_said(violation: Violation) -> bool:
    """Return True if a person expected more than any answer: a corrected bot gives it only after what was said before."""
    return violation.rule == "unexpected" or (violation.rule == "unanswered" and violation.expected != ANY_ANSWER)


def _attempts(stretches: Sequence[Stretch], *, needs_all: bool) -> Iterator[tuple[Sequence[Stretch], bool, bool]]:
    """Yield parts of a conversation, whether faults are injected, and whether the bot is killed at every point."""
    shortest = stretches if needs_all else stretches[-1:]
    yield shortest, False, False
    yield shortest, True, False
    if any(stretch.has_kill for stretch in shortest):
        yield shortest, False, True
    if not needs_all:
        yield stretches[-BEFORE:], False, False
        yield stretches, True, False


def _shortened(acts: Sequence[PersonAct], *, with_faults: bool) -> list[PersonAct]:
    """Return the last acts, without pauses at the beginning, and without faults unless they are wanted."""
    kept = [act for act in acts if with_faults or not isinstance(act, Inject)][-MOST_ACTS:]
    while kept and isinstance(kept[0], Pause):
        kept.pop(0)
    return kept


def _test(
    violation: Violation, talks: Sequence[tuple[Visit, Sequence[PersonAct]]], *, bot: str, is_killed: bool
) -> str:
    """Return a test. Of `talks`, the person of the violation is the first, and talks last."""
    (visit, _), people = talks[0], [*talks[1:], talks[0]]
    names = sorted({type(act).__name__ for _, given in people for act in given} | {"Persona"})
    is_secret = violation.rule == "leak" and violation.other is None and "secret" in violation.expected
    is_effect = violation.rule in OF_EFFECTS
    imports = [
        *(["import os"] if is_secret or is_effect else []),
        "import sys",
        *(["import tempfile"] if is_effect else []),
        "from importlib import import_module",
        "from pathlib import Path\n",
        *(["from linqbot import Bot"] if "isinstance(each, Bot)" in bot else []),
        f"from linqbot.testing import {'Phone, PhoneFor, killed_between_calls' if is_killed else 'PhoneFor'}",
        *(["from linqbot.testing.ledger import Ledger"] if is_effect else []),
        f"from linqbot.testing.people import {', '.join([*names, 'rehearse'])}",
    ]
    setting = _SETTING if is_secret else _LEDGER if is_effect else ""
    head = _HEAD.format(about=_about(violation), imports="\n".join(imports), setting=setting, bot=bot)
    shown = "".join(_persona(one, given) for one, given in people)
    end = (_KILLED if is_killed else _TALKING).format(
        name=name_of(visit.persona.name),
        people=", ".join(name_of(one.persona.name).upper() for one, _ in people),
        given=", secrets=[SECRET]" if is_secret else ", ledger=LEDGER" if is_effect else "",
    )
    return head + shown + end


def name_of(person: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", person.lower()).strip("_") or "person"
    return f"person_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name


def _persona(visit: Visit, acts: Sequence[PersonAct]) -> str:
    persona = visit.persona
    lines = "".join(f"        {code_of(act)},\n" for act in acts)
    service = "" if persona.service == "iMessage" else f"    service={persona.service!r},\n"
    service += "    in_group=True,\n" if persona.in_group else ""
    return f"\n{name_of(persona.name).upper()} = Persona(\n    {persona.name!r},\n    [\n{lines}    ],\n{service})\n"


def _about(violation: Violation) -> str:
    # The text of a bot may end the docstring.
    text = str(violation).replace("\\", "\\\\").replace('"""', "'''")
    return "\n".join(textwrap.shorten(line, 300) if n == 0 else line for n, line in enumerate(text.splitlines()))


def _bot(bot: str, folder: Path) -> str:
    """Return the code that imports the bot from where commands find it: the folder of its file, and the current folder."""
    target, _, name = bot.partition(":")
    module, folders = target, [Path.cwd()]
    if target.endswith(".py") or "/" in target:
        module, folders = Path(target).stem, [Path(target).resolve().parent, *folders]
    # Relative, so that the folders can be moved together.
    shown = dict.fromkeys(Path(os.path.relpath(each, folder.resolve())).as_posix() for each in folders)
    found = f"vars(import_module({module!r})).values() if isinstance(each, Bot)"
    return _BOT.format(
        folders=list(shown),
        module=module,
        bot=f"import_module({module!r}).{name}" if name else f"next(each for each in {found})",
    )
