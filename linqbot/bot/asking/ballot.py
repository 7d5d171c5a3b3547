"""The ballot of `ctx.vote`: the votes so far, and what an event changes in them.

Classes of events that only votes need are imported where they are used: most bots start without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linqbot.events.event import Event
from linqbot.events.message import MessageReceived
from linqbot.types.data import Data

if TYPE_CHECKING:
    from linqbot.bot.asking.results import VoteResult


class Ballot(Data):
    """The votes of an open `ctx.vote`, as they are stored.

    Attributes:
        choices: The choices, those included that people have added to the poll.
        poll: The id of the message with the poll; None if people vote by text.
        options: The id of each option of the poll, and its text.
        votes: The handle, in lower case, and the choice of each vote, the oldest first.
        members: The handles that all must vote; empty if a number of people must, or if all have left.
        until: The number of people who must vote; None if all members must.
    """

    choices: tuple[str, ...]
    poll: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    votes: tuple[tuple[str, str], ...] = ()
    members: tuple[str, ...] = ()
    until: int | None = None

    @property
    def is_complete(self) -> bool:
        """True if everyone has voted who must."""
        voters = {handle for handle, _ in self.votes}
        if self.until is not None:
            return len(voters) >= self.until
        return voters.issuperset(self.members)

    def result(self) -> dict[str, Any]:
        """Return the result as JSON data: see `vote_result`."""
        return {"choices": self.choices, "votes": self.votes, "is_complete": self.is_complete}


def vote_result(result: Any) -> VoteResult:
    """Return a stored result as `ctx.vote` returns it."""
    votes: dict[str, tuple[str, ...]] = {}
    counts = dict.fromkeys(result["choices"], 0)
    for handle, choice in result["votes"]:
        votes[handle] = (*votes.get(handle, ()), choice)
        counts[choice] += 1
    from linqbot.bot.asking.results import VoteResult

    return VoteResult(votes, counts, result["is_complete"])


def counted(ballot: Ballot, event: Event) -> Ballot | None:
    """Return the ballot with what an event changes; None if the event has nothing to do with the vote."""
    person = (event.actor or "").casefold()
    if isinstance(event, MessageReceived):
        # Next to a poll, a text is only a text: people talk about the choices.
        choice = None if ballot.poll is not None else choice_of(event.text_to_me, ballot.choices)
        return None if choice is None else _with_vote(ballot, person, choice, instead=True)
    return None if ballot.poll is None or event.message_id != ballot.poll else _of_poll(ballot, event, person)


def _of_poll(ballot: Ballot, event: Event, person: str) -> Ballot | None:
    from linqbot.events.poll import PollUpdated, PollVoteAdded, PollVoteRemoved

    if isinstance(event, PollUpdated):
        added = tuple((option.option_id, option.text) for option in event.added_options if option.text)
        new = tuple(text for _, text in added if text not in ballot.choices)
        return ballot.model_copy(update={"options": (*ballot.options, *added), "choices": (*ballot.choices, *new)})
    if isinstance(event, PollVoteAdded | PollVoteRemoved):
        choice = dict(ballot.options).get(event.option_id or "")
        if choice is None or not person:
            return None
        if isinstance(event, PollVoteAdded):
            return _with_vote(ballot, person, choice)
        return ballot.model_copy(update={"votes": tuple(vote for vote in ballot.votes if vote != (person, choice))})
    return None


def with_members(ballot: Ballot, event: Event) -> Ballot | None:
    """Return the ballot after a person came or left; None if this changes nothing."""
    from linqbot.events.chat import ParticipantAdded, ParticipantRemoved

    if not isinstance(event, ParticipantAdded | ParticipantRemoved):
        return None
    handle = event.participant.handle.casefold()
    if ballot.until is not None or not handle or event.participant.is_me or handle == (event.line or "").casefold():
        return None
    others = tuple(member for member in ballot.members if member != handle)
    return ballot.model_copy(update={"members": (*others, handle) if isinstance(event, ParticipantAdded) else others})


def choice_of(text: str, choices: tuple[str, ...]) -> str | None:
    """Return the choice that a text names, by its words or by its number from 1; None if it names none."""
    number = text.strip().casefold().rstrip(".)!")
    # The text of a choice comes first: among the choices "2" and "4", the answers 2 and 2. are the first one.
    for wanted in (text, number):
        if (choice := choice_of_words(wanted, choices)) is not None:
            return choice
    # Compared as text: Python refuses to convert more than 4,300 digits to a number.
    numbered = {str(n): choice for n, choice in enumerate(choices, start=1)}
    return numbered.get(number.lstrip("0"))


def choice_of_words(words: str, choices: tuple[str, ...]) -> str | None:
    """Return the choice with these words, in any case; None if there is none."""
    said = words.strip().casefold()
    return next((choice for choice in choices if choice.strip().casefold() == said), None)


def _with_vote(ballot: Ballot, person: str, choice: str, *, instead: bool = False) -> Ballot:
    """Return the ballot with a vote.

    Args:
        instead: True removes the person's other votes.
    """
    others = tuple(vote for vote in ballot.votes if not (vote[0] == person and (instead or vote[1] == choice)))
    return ballot.model_copy(update={"votes": (*others, (person, choice))})
