"""Manners: decide about each call before it is made, whatever part of the bot makes it.

`Bot(allow_to=…)` asks for them; other bots do not load this module. A call that is forbidden raises Withheld, and a row of
`storage/decisions.py` says why: `linqbot waiting list --withheld`. `engine/turn_journal.py` asks the gate before each attempt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from pydantic_core import from_json

from linqbot.client.call import ApiResponse, Call, Run, prepare
from linqbot.errors import Withheld
from linqbot.storage.decisions import Decision

if TYPE_CHECKING:
    from linqbot.engine.turn import Turns
    from linqbot.engine.turn_journal import TurnJournal

_PAYERS: Final = "/v3/payments/handles/"
_NAMED: Final = ("handle", "payer_handle")
"""The fields of a body that name a person whom a call reaches."""


class Gate:
    """Decides about the calls of a bot.

    Args:
        allow_to: The handles that may get something, in lower case.
    """

    def __init__(self, turns: Turns, allow_to: frozenset[str]) -> None:
        self._turns = turns
        self._allow_to = allow_to

    def guarded(self, journal: TurnJournal, run: Run, key: str = "") -> Run:
        """Return `run`, which asks the gate before each attempt of a call.

        Args:
            key: The idempotency key of the call; empty for a hint, which is left out without a word.
        """

        async def ask(call: Call) -> ApiResponse:
            people = await self._people(call, journal, run)
            if all(each.casefold() in self._allow_to for each in people):
                return await run(call)
            if not key:
                return ApiResponse(204)
            person = people[0].casefold() if len(people) == 1 else None
            raise await self._withheld(call, journal, key, person, "Bot(allow_to=…) does not name the person.")

        return ask

    async def _withheld(self, call: Call, journal: TurnJournal, key: str, person: str | None, reason: str) -> Withheld:
        """Store a refusal, and return its error."""
        line = (call.body or {}).get("from")
        now = self._turns.clock.now()
        made = Decision(key, now, "refused", "reply", reason, journal.turn, person, line)
        await self._turns.storage.decide(made)
        return Withheld(reason)

    async def _people(self, call: Call, journal: TurnJournal, run: Run) -> list[str]:
        """Return the handles of the people whom a call reaches; none if it reaches no person, such as a change of a line.

        Raises:
            LinqApiError: Linq did not say who is in the chat.
        """
        if call.name.startswith("blocked_handles."):
            return []
        body = call.body or {}
        people = [str(each) for each in body.get("to") or ()]
        people += [str(body[name]) for name in _NAMED if body.get(name)]
        if call.path.startswith(_PAYERS):
            people.append(unquote(call.path.removeprefix(_PAYERS).partition("/")[0]))
        if (chat := await journal.chat_of(call)) is not None:
            people += await self._members(chat, journal, run)
        return people

    async def _members(self, chat_id: str, journal: TurnJournal, run: Run) -> list[str]:
        """Return the people in a chat: those of the event in a direct chat, otherwise those that Linq names now."""
        origin = {} if journal.origin is None else from_json(journal.origin)
        if origin.get("chat_id") == chat_id and origin.get("is_group") is False:
            return [str(each) for each in origin["handles"]]
        chat = (await run(prepare("chats.retrieve", path={"chat_id": chat_id}))).data
        return [str(each["handle"]) for each in chat.get("handles") or () if not each.get("is_me")]
