"""The author's own personas, from a Python file; and messages that a bot may leave without an answer."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from linqbot.errors import ConfigError
from linqbot.ops.bot_file import BotFileError
from linqbot.testing.people.acts import PersonAct, Say
from linqbot.testing.people.persona import Chooser, Dialogue, Persona


def load_people(file: Path) -> list[Persona]:
    """Return the personas of a file: its list `people`, or else each Persona at its top level.

    Raises:
        BotFileError: importing the file raised an error.
        ConfigError: it has no Persona.
    """
    try:
        names = runpy.run_path(str(file))
    except Exception as error:
        raise BotFileError(str(file), error) from error
    given = names.get("people")
    found = list(given) if isinstance(given, list | tuple) else list(names.values())
    people = [one for one in found if isinstance(one, Persona)]
    if not people:
        raise ConfigError(f'{file} has no Persona at its top level. Add: ann = Persona("Ann", [Say("hi")])')
    return people


def with_silences(persona: Persona, patterns: Sequence[re.Pattern[str]]) -> Persona:
    """Return a persona whose messages that fit one of the patterns expect no answer."""
    if not patterns:
        return persona

    def changed(act: PersonAct) -> PersonAct:
        if isinstance(act, Say) and act.expects == "answer" and any(each.search(act.text) for each in patterns):
            return replace(act, expects="anything")
        return act

    script = persona.script
    if callable(script):
        return replace(persona, script=_chooser(script, changed))
    return replace(persona, script=map(changed, script))


def _chooser(choose: Chooser, changed: Callable[[PersonAct], PersonAct]) -> Chooser:
    async def choose_changed(dialogue: Dialogue) -> PersonAct | None:
        act = await choose(dialogue)
        return None if act is None else changed(act)

    return choose_changed
