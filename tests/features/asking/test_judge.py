"""The judge of questions as a function, without a bot: tables of a question, an answer, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import pytest
from fakes import (
    CHAT,
    LINE,
    PERSON,
    POLL,
    delivery,
    edit_body,
    envelope,
    handle,
    payment_request,
    poll_vote,
    tapback,
    text_body,
)
from pydantic import Field, TypeAdapter

from linqbot import AskTimeout
from linqbot.events import ContactCardReceived, Event
from linqbot.features.asking.event_waits import LocationWait, PaymentWait, VoteWait
from linqbot.features.asking.judge import Answer, AskAgain, CountedVote, Ends, Late, NotForMe, Value, judge, read
from linqbot.features.asking.question import Ballot, OpenQuestion, Question, QuestionEnd, Wait
from linqbot.features.asking.records import Asked, event_of
from linqbot.language.spoken import ENGLISH, language_of
from linqbot.linq.events.parse import parse
from linqbot.linq.types.chat_features import LocationFeature
from linqbot.linq.types.message import MediaPart
from linqbot.linq.types.payment import PaymentRequest
from linqbot.storage.conversations import ANYONE, Conversation

BOB, EVE = "+14155550143", "eve@example.org"
ASKED, OTHERS = "q-1", "o-1"
"""Messages of the bot: one of the question, and one of another turn."""
WRITTEN = datetime(2026, 11, 5, 17, 33, 20, tzinfo=UTC).timestamp()
"""When the texts of these tests were written, by Linq's clock."""
SIZES = ("S", "M", "L")
YES: dict[str, Any] = {"reactions": ("like", "love", "dislike")}
VOTES: dict[str, Any] = {"waits_for": "votes", "asked": PERSON}


def asked(person: str = PERSON, *, status: Any = "waiting", conversation: str = "w.1", **question: Any) -> Asked:
    """Return a stored question, by the fields that matter."""
    opened = OpenQuestion(**{"n": 1, "messages": (ASKED,), "cancel": ("never mind", "cancel"), **question})
    stored = Conversation(conversation, 0, CHAT, person, "ask", status, 0.0, 9e9, opened.to_json())
    return Asked(stored, OpenQuestion.model_validate_json(opened.to_json()))


def answer(body: bytes, **facts: Any) -> Answer:
    came = delivery(body)
    return Answer(parse(came), came, **facts)


def says(
    text: str, by: str = PERSON, *, replies_to: str | None = None, turn: str | None = None, **facts: Any
) -> Answer:
    changes: dict[str, Any] = {} if replies_to is None else {"reply_to": {"message_id": replies_to}}
    return answer(text_body(text, sender=by, **changes), replied_to=turn, **facts)


def taps(name: str, by: str = PERSON, *, on: str = ASKED, emoji: str | None = None) -> Answer:
    return answer(tapback(name, on, sender=by, emoji=emoji))


def votes(option: str, by: str = PERSON, *, poll: str = POLL, kind: str = "added") -> Answer:
    return answer(poll_vote(option, by, poll=poll, kind=kind))


def members(kind: str, who: str, **changes: Any) -> Answer:
    data = {"chat": {"id": CHAT}, "participant": {**handle(who), **changes}}
    return answer(envelope(f"participant.{kind}", data))


def pays(kind: str, request: str = "pr-1") -> Answer:
    return answer(
        envelope(f"payment.{kind}", payment_request(request, {"metadata": {"linqbot_chat": CHAT}}, status=kind))
    )


CARD = answer(envelope("contact_card.received", {"sender_handle": PERSON, "owner_handle": LINE}))
SHARED = answer(envelope("location.sharing.started", {"chat_id": CHAT, "shared_by": PERSON, "shared_with": LINE}))
PHOTO = answer(text_body("", part={"type": "media", "id": "m-1", "url": "https://x.test/1.jpg", "value": None}))


def meaning(question: Asked, given: Answer) -> str:
    """Return the verdict of the judge as a word or two, such as `answered M`."""
    verdict = judge(question, given)
    match verdict:
        case NotForMe(may_answer_begun=True):
            return "may answer begun"
        case NotForMe():
            return "not for me"
        case Late():
            return "late"
        case CountedVote(ballot, end):
            counted = ", ".join(f"{who[-3:]} {choice}" for who, choice in ballot.votes)
            return f"{counted or 'no votes'}{'' if end is None else '; complete'}"
        case Ends({"outcome": "cancelled"} as end):
            return end["reason"]
        case Ends(end, is_side=is_side):
            said = end.get("choice") or end["text"] or end["type"]
            return f"{'side ' if is_side else ''}answered {said}"
    raise AssertionError(verdict)


def check(subtests: pytest.Subtests, rows: Sequence[tuple[str, Asked, Answer, str]]) -> None:
    for name, question, given, expected in rows:
        with subtests.test(name):
            assert meaning(question, given) == expected


def test_texts(subtests: pytest.Subtests) -> None:
    open_ = asked()
    check(
        subtests,
        [
            ("any text", open_, says("Ann"), "answered Ann"),
            ("another person", open_, says("Bob", BOB), "not for me"),
            ("anyone may answer", asked(ANYONE), says("Bob", BOB), "answered Bob"),
            ("a cancel word", open_, says("Never mind, thanks!"), "word"),
            ("a cancel word of another person", open_, says("cancel", BOB), "not for me"),
            ("in another case", asked(EVE), says("Eve", "Eve@Example.org"), "answered Eve"),
            ("a reply to the question", open_, says("Ann", replies_to=ASKED, turn="w.1"), "answered Ann"),
            (
                "a reply to a message of the same turn",
                open_,
                says("Ann", replies_to=OTHERS, turn="w.1"),
                "answered Ann",
            ),
            ("a reply to another turn", open_, says("Ann", replies_to=OTHERS, turn="w.0"), "not for me"),
            ("a reply to a person", open_, says("Ann", replies_to=OTHERS), "answered Ann"),
            ("a photo", open_, PHOTO, "answered message.received"),
            ("a question that waits in line", asked(status="queued"), says("Ann"), "not for me"),
            ("a question that has failed", asked(status="failed"), says("Ann"), "not for me"),
        ],
    )


def test_choices(subtests: pytest.Subtests) -> None:
    listed = asked(choices=SIZES)
    polled = asked(choices=SIZES, poll=POLL, options={"s": "S", "m": "M", "l": "L"})
    check(
        subtests,
        [
            ("its words", listed, says("m please"), "answered M"),
            ("its number", listed, says("2"), "answered M"),
            ("no number was shown", polled, says("2"), "answered 2"),
            ("none of them", listed, says("XL"), "answered XL"),
            ("a vote", polled, votes("m"), "answered M"),
            ("a vote for an option that a person has added", polled, votes("xl"), "answered poll.vote.added"),
            ("a vote in another poll", polled, votes("m", poll="another"), "not for me"),
            ("a vote that is taken back", polled, votes("m", kind="removed"), "not for me"),
            ("a vote of another person", polled, votes("m", BOB), "not for me"),
        ],
    )


def test_a_text_says_if_it_is_whole_and_if_it_is_exact(subtests: pytest.Subtests) -> None:
    rows = [
        # the question, the text, True if no further text belongs to it, True if it is an answer word for word
        (asked(), "Ann", False, False),
        (asked(), "yes", False, False),
        (asked(choices=SIZES), "2", True, False),
        (asked(choices=SIZES), "m!", True, True),
        (asked(choices=SIZES), "XL", False, False),
        (asked(**YES), "nope", True, True),
        (asked(**YES), "who asks?", False, False),
    ]
    for question, text, is_whole, is_exact in rows:
        with subtests.test(text=text, choices=question.question.choices):
            verdict = judge(question, says(text))
            assert isinstance(verdict, Ends)
            assert (verdict.is_whole, verdict.is_exact) == (is_whole, is_exact)


def test_tapbacks_and_side_questions(subtests: pytest.Subtests) -> None:
    open_, aside = asked(**YES), asked(**YES, side_questions=True)
    check(
        subtests,
        [
            ("yes", open_, taps("like"), "answered reaction.added"),
            ("no", open_, taps("dislike"), "answered reaction.added"),
            ("an emoji that means yes", open_, taps("custom", emoji="✅"), "answered reaction.added"),
            ("the emoji that looks like love", open_, taps("custom", emoji="\u2764\ufe0f"), "answered reaction.added"),
            ("an emoji that means neither", open_, taps("custom", emoji="🎉"), "not for me"),
            ("laughter", open_, taps("laugh"), "not for me"),
            ("on another message", open_, taps("like", on=OTHERS), "not for me"),
            ("of another person", open_, taps("like", BOB), "not for me"),
            ("where yes is no answer", asked(), taps("like"), "not for me"),
            ("a text", open_, says("Who asks?"), "answered Who asks?"),
            ("a text on the side", aside, says("Who asks?"), "side answered Who asks?"),
            ("yes to it", aside, says("yes"), "answered yes"),
            ("in its language", asked(**YES, side_questions=True, language="de"), says("jo"), "answered jo"),
            ("a cancel word", aside, says("cancel"), "word"),
        ],
    )


def test_edits_of_answers_that_were_not_valid(subtests: pytest.Subtests) -> None:
    first = delivery(text_body("fuor"))
    open_ = asked(refused=(first.content,), tries=1)
    of = str(first.content["data"]["id"])

    def edits(text: str, **changes: Any) -> Answer:
        return answer(edit_body(text, **{"of": of, **changes}))

    check(
        subtests,
        [
            ("its new words", open_, edits("four"), "answered four"),
            ("a cancel word", open_, edits("cancel"), "word"),
            ("of another message", open_, edits("four", of="another"), "not for me"),
            ("of another person", open_, edits("four", sender_handle=handle(BOB)), "not for me"),
            ("of a valid answer", asked(), edits("four"), "not for me"),
        ],
    )
    verdict = judge(open_, edits("four"))
    assert isinstance(verdict, Ends)
    assert verdict.end["type"] == "message.received", "the answer is the message, not the edit"


def test_answers_of_those_who_may_decide_too(subtests: pytest.Subtests) -> None:
    open_ = asked(also=(BOB,), **YES)
    elsewhere = asked(f"{EVE} elsewhere:w.1", also=(BOB,), **YES)
    check(
        subtests,
        [
            ("yes", open_, says("yes", BOB), "answered yes"),
            ("a tapback", open_, taps("like", BOB), "answered reaction.added"),
            ("another text", open_, says("Who asks?", BOB), "not for me"),
            ("a cancel word", open_, says("cancel", BOB), "not for me"),
            ("of a third person", open_, says("yes", EVE), "not for me"),
            ("a question that others are asked elsewhere", elsewhere, says("yes", BOB), "answered yes"),
            ("the one who is asked elsewhere answers there", elsewhere, says("yes", EVE), "not for me"),
        ],
    )


def test_the_time_of_an_answer(subtests: pytest.Subtests) -> None:
    later: dict[str, Any] = {"since": WRITTEN + 1}
    check(
        subtests,
        [
            ("at the same time", asked(since=WRITTEN), says("Ann"), "answered Ann"),
            ("written after what led to it, before it was shown", asked(since=WRITTEN - 5), says("Ann"), "answered Ann"),
            ("written before", asked(**later), says("Ann"), "not for me"),
            ("a card from before", asked(events=("contact_card.received",), **later), CARD, "not for me"),
            ("a tapback names what it answers", asked(**YES, **later), taps("like"), "answered reaction.added"),
            ("what an interrupted run has begun", asked(follows_begun=True, **later), says("Ann"), "may answer begun"),
            ("a vote in words", asked(f"{PERSON} vote:w.1", **VOTES, ballot=Ballot(choices=SIZES, until=1), **later), says("M"), "not for me"),
        ],
    )  # fmt: skip


def test_what_an_operator_has_put_back_answers_what_has_failed_with_it(subtests: pytest.Subtests) -> None:
    again = says("Ann", is_put_back=True)
    failed = asked(status="failed", failed_by=again.delivery.id, since=WRITTEN + 1)
    check(
        subtests,
        [
            ("the question that it had answered", failed, again, "answered Ann"),
            ("another one that has failed", asked(status="failed", failed_by="w.9"), again, "not for me"),
            ("one that is open", asked(), again, "not for me"),
            ("one that is over", asked(status="timed_out"), again, "not for me"),
        ],
    )


def test_late_answers(subtests: pytest.Subtests) -> None:
    def over(**question: Any) -> Asked:
        """Return a question of another chat's handler that is over."""
        return asked(f"{PERSON} over:i.ask_in.1", status="timed_out", conversation="i.ask_in.1", **question)

    check(
        subtests,
        [
            ("any text", asked(status="timed_out"), says("Ann"), "late"),
            ("of another person", asked(status="timed_out"), says("Ann", BOB), "not for me"),
            ("a tapback", asked(status="timed_out", **YES), taps("like"), "not for me"),
            ("written before the question", asked(status="timed_out", since=WRITTEN + 1), says("Ann"), "not for me"),
            ("to another chat: any text", over(), says("Ann"), "not for me"),
            ("to another chat: a reply to the question", over(), says("Ann", replies_to=ASKED), "late"),
            ("to another chat: a choice", over(choices=SIZES), says("2"), "late"),
            ("to another chat: no choice", over(choices=SIZES), says("XL"), "not for me"),
            ("to another chat: yes", over(**YES), says("yes"), "late"),
            ("to another chat: neither yes nor no", over(**YES), says("Who asks?"), "not for me"),
            ("to another chat: a tapback", over(**YES), taps("like"), "late"),
            ("to another chat: of another person", over(**YES), says("yes", BOB), "not for me"),
        ],
    )


def test_events(subtests: pytest.Subtests) -> None:
    card = asked(events=("contact_card.received",))
    place = asked(f"{PERSON} location", waits_for="location", asked=PERSON, events=("location.sharing.started",))
    payment = asked(f"{PERSON} pay:w.1", waits_for="payment", asked=PERSON, payment="pr-1")
    check(
        subtests,
        [
            ("a contact card", card, CARD, "answered contact_card.received"),
            ("a text instead", card, says("here"), "answered here"),
            ("a location", place, SHARED, "answered location.sharing.started"),
            ("no location", place, CARD, "not for me"),
            ("a text next to a location", place, says("here"), "not for me"),
            ("a payment", payment, pays("succeeded"), "answered payment.succeeded"),
            ("declined", payment, pays("declined"), "answered payment.declined"),
            ("on its way", payment, pays("authorized"), "not for me"),
            ("another payment", payment, pays("succeeded", "pr-2"), "not for me"),
            ("a text next to a payment", payment, says("paid!"), "not for me"),
            ("a cancel word", payment, says("never mind"), "word"),
            ("a cancel word of another person", payment, says("never mind", BOB), "not for me"),
        ],
    )


def test_votes(subtests: pytest.Subtests) -> None:
    def vote(**ballot: Any) -> Asked:
        made: dict[str, Any] = {"choices": SIZES, "poll": POLL, "options": (("s", "S"), ("m", "M")), **ballot}
        return asked(f"{PERSON} vote:w.1", **VOTES, ballot=Ballot(**made))

    all_, of_two, in_words = vote(members=(PERSON, BOB)), vote(until=2), vote(poll=None, options=(), until=2)
    voted = vote(members=(PERSON, BOB), votes=((BOB, "S"),))
    added = {"message_id": POLL, "chat": {"id": CHAT}, "added_options": [{"option_id": "x", "text": "XL"}]}
    check(
        subtests,
        [
            ("one of all", all_, votes("m"), "142 M"),
            ("the last of all", voted, votes("m"), "143 S, 142 M; complete"),
            ("of one who need not vote", all_, votes("m", EVE), "org M"),
            ("one of two", of_two, votes("m", EVE), "org M"),
            ("the second of two", vote(until=2, votes=((BOB, "S"),)), votes("m", EVE), "143 S, org M; complete"),
            ("taken back", voted, votes("s", BOB, kind="removed"), "no votes"),
            ("for an unknown option", all_, votes("x"), "not for me"),
            ("in another poll", all_, votes("m", poll="another"), "not for me"),
            ("a further option", all_, answer(envelope("poll.updated", added)), "no votes"),
            ("a text next to the poll", of_two, says("M"), "not for me"),
            ("by text", in_words, says("M"), "142 M"),
            ("by number", in_words, says("2", BOB), "143 M"),
            ("another text", in_words, says("Hello"), "not for me"),
            ("another vote of the same person", vote(poll=None, until=2, votes=((PERSON, "S"),)), says("M"), "142 M"),
            ("an edit", in_words, answer(edit_body("M", of="any")), "142 M"),
            ("older than the newest one", vote(poll=None, until=2, votes=((PERSON, "S"),), newest={PERSON: WRITTEN + 1}), says("M"), "142 S"),
            ("a person has left", voted, members("removed", PERSON), "143 S"),
            ("a person has come", voted, members("added", EVE), "143 S"),
            ("the bot has come", voted, members("added", LINE, is_me=True), "not for me"),
            ("who comes need not vote", of_two, members("added", EVE), "not for me"),
            ("a cancel word", all_, says("never mind"), "word"),
            ("a cancel word of another person", all_, says("never mind", BOB), "not for me"),
        ],
    )  # fmt: skip
    left, came = judge(voted, members("removed", PERSON)), judge(voted, members("added", EVE))
    assert isinstance(left, CountedVote)
    assert isinstance(came, CountedVote)
    assert (left.ballot.members, left.ballot.is_complete) == ((BOB,), True)
    assert (came.ballot.members, came.ballot.is_complete) == ((PERSON, BOB, EVE), False)


def value_of(question: Question, given: Answer | str, shown: OpenQuestion | None = None) -> Any:
    """Return the value of an answer, or the sentence with which it is asked for again. A text is that of an operator."""
    at = datetime(2026, 11, 5, 18, 0, tzinfo=UTC)
    if isinstance(given, str):
        found = read(question, {"outcome": "answered", "text": given}, None, at, ENGLISH)
    else:
        fields = {} if shown is None else shown.model_dump()
        verdict = judge(asked(**{**fields, "reactions": question.reactions, "events": question.events}), given)
        assert isinstance(verdict, Ends)
        found = read(question, verdict.end, verdict.event, at, ENGLISH)
    return found.value if isinstance(found, Value) else f"again: {found.why}"


def limited(text: str) -> int:
    if text != "42":
        raise ValueError("Guess again.")
    return 42


def test_values(subtests: pytest.Subtests) -> None:
    sizes, choice = OpenQuestion(n=1, choices=SIZES), {"choices": SIZES}
    rows: list[tuple[Mapping[str, Any], Answer | str, OpenQuestion | None, Any]] = [
        # what is asked, the answer, what was shown, and the value or the sentence
        ({}, says(" Ann "), None, "Ann"),
        ({}, PHOTO, None, "again: Please answer with text."),
        ({}, "of the operator", None, "of the operator"),
        (choice, says("2"), sizes, "M"),
        (choice, says("XL"), sizes, "again: Please answer with one of these: S, M, L."),
        ({"choices": ("L", "M")}, says("2"), sizes, "M"),  # the number counts in the list that was shown
        ({"choices": ("L", "XL")}, says("2"), sizes, "again: Please answer with one of these: L, XL."),
        (choice, "L", None, "L"),
        ({"yes": "like"}, says("sure"), None, True),
        ({"yes": "like"}, taps("dislike"), None, False),
        ({"yes": "like"}, taps("custom", emoji="✅"), None, True),
        ({"yes": "like"}, says("maybe"), None, "again: Please answer yes or no."),
        ({"kind": bool}, taps("love"), None, True),
        ({"kind": int}, says("four"), None, 4),
        ({"kind": int}, says("many"), None, "again: Please give one whole number, such as 2 or twelve."),
        ({"kind": Annotated[int, Field(le=8)]}, says("12"), None, "again: Please answer with 8 or less."),
        ({"kind": Literal["red", "blue"]}, says("Blue!"), None, "blue"),
        ({"kind": datetime}, says("tomorrow at 10am"), None, datetime(2026, 11, 6, 10, tzinfo=UTC)),
        ({"kind": limited}, says("42"), None, 42),
        ({"kind": limited}, says("41"), None, "again: Guess again."),
        ({"kind": ContactCardReceived}, CARD, None, CARD.event),
        (
            {"kind": ContactCardReceived},
            says("here"),
            None,
            "again: Please answer with your contact card: share it with this number.",
        ),
        ({"kind": MediaPart}, says("here"), None, "again: Please answer with a photo or a file."),
    ]
    for options, given, shown, value in rows:
        with subtests.test(options=options, given=given if isinstance(given, str) else given.event):
            assert value_of(Question(("Which?",), **options), given, shown) == value
    (part,) = PHOTO.event.media  # type: ignore[attr-defined]
    assert value_of(Question(("Which?",), kind=MediaPart), PHOTO) == part


def test_an_answer_is_read_in_the_language_of_the_question() -> None:
    question, at = Question(("Ja?",), yes="like"), datetime(2026, 11, 5, tzinfo=UTC)
    ended: QuestionEnd = {"outcome": "answered", "text": "vielleicht"}
    german = language_of("de")
    assert read(question, ended, None, at, german) == AskAgain(german.sentences.yes_or_no)
    assert read(question, ended, None, at, ENGLISH) == AskAgain(ENGLISH.sentences.yes_or_no)


def paid(status: str = "succeeded") -> PaymentRequest:
    return PaymentRequest.model_validate(payment_request("pr-1", {"amount": 900}, status=status))


def located(*handles: str) -> list[LocationFeature]:
    return TypeAdapter(list[LocationFeature]).validate_python(
        [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [2.0, float(place)]},
                "properties": {"handle": each, "updated_at": "2026-11-05T17:34:00Z"},
            }
            for place, each in enumerate(handles)
        ]
    )


def test_results_of_waits(subtests: pytest.Subtests) -> None:
    soup, where, vote = PaymentWait(1250, "2 soups"), LocationWait(), VoteWait()
    asks = {
        soup: asked(f"{PERSON} pay:w.1", waits_for="payment", asked=PERSON, payment="pr-1"),
        where: asked(f"{PERSON} location", waits_for="location", asked=PERSON),
        vote: asked(f"{PERSON} vote:w.1", **VOTES, ballot=Ballot(choices=SIZES, until=2, votes=((BOB, "S"),))),
    }
    timed_out, word, opted_out = {"outcome": "timed_out"}, {"outcome": "cancelled", "reason": "word"}, {"outcome": "cancelled", "reason": "opted_out"}  # fmt: skip
    known = {"outcome": "answered", "text": ""}
    rows: list[tuple[Wait, Answer | Mapping[str, Any], Any, str]] = [
        # what is waited for, what ended it, what Linq says, and the result
        (soup, pays("succeeded"), None, "Paid(request_id='pr-1', amount=1250, currency='usd')"),
        (soup, pays("declined"), None, "Declined(request_id='pr-1')"),
        (soup, pays("declined"), paid(), "Paid(request_id='pr-1', amount=900, currency='usd')"),
        (soup, pays("expired"), None, "Expired(request_id='pr-1')"),
        (soup, pays("canceled"), None, "cancelled: operator"),
        (soup, timed_out, None, "Expired(request_id='pr-1')"),
        (soup, timed_out, paid(), "Paid(request_id='pr-1', amount=900, currency='usd')"),
        (soup, word, None, "cancelled: word"),
        (soup, word, paid(), "Paid(request_id='pr-1', amount=900, currency='usd')"),
        (where, SHARED, located(PERSON), f"0.0 {PERSON}"),
        (where, SHARED, located(BOB, PERSON), f"1.0 {PERSON}"),
        (where, SHARED, located(EVE), f"0.0 {EVE}"),  # an Apple ID
        (where, SHARED, [], "goes on"),
        (where, known, located(PERSON), f"0.0 {PERSON}"),
        (where, timed_out, [], "AskTimeout"),
        (where, opted_out, [], "cancelled: opted_out"),
        (vote, timed_out, None, "S, complete: False"),
        (vote, word, None, "cancelled: word"),
    ]
    for wait, given, found, expected in rows:
        with subtests.test(
            wait=wait.verb, given=given if isinstance(given, Mapping) else given.event.type, found=found
        ):
            question = asks[wait]
            ended: Any = given
            if isinstance(given, Answer):
                verdict = judge(question, given)
                assert isinstance(verdict, Ends)
                ended = verdict.end
            assert result_of(wait, wait.judge(question.question, ended, found)) == expected


def result_of(wait: Wait, ended: QuestionEnd | None) -> str:
    if ended is None:
        return "goes on"
    if ended["outcome"] == "cancelled":
        return f"cancelled: {ended['reason']}"
    try:
        result = wait.result(ended)
    except AskTimeout as error:
        return type(error).__name__
    if isinstance(wait, LocationWait):
        return f"{result.latitude} {result.handle}"
    return f"{result.winner}, complete: {result.is_complete}" if isinstance(wait, VoteWait) else repr(result)


def test_an_answer_of_another_chat_is_stored_as_it_was_judged_there() -> None:
    shown = asked(conversation="i.ask_in.1", choices=SIZES, shown_for={"to": PERSON})
    given = says("2")
    verdict = judge(shown, given)
    assert isinstance(verdict, Ends)
    assert verdict.end == {
        "outcome": "answered", "text": "2", "choice": "M", "type": "message.received", "body": given.delivery.content,
    }  # fmt: skip
    event = event_of(verdict.end, CHAT)
    assert read(Question(("Which?",), choices=SIZES), verdict.end, event, datetime.now(UTC), ENGLISH) == Value("M")


def test_the_judge_changes_nothing_that_it_is_given() -> None:
    question, given = asked(choices=SIZES), says("2")
    before: Event = given.event.model_copy(deep=True)
    verdict = judge(question, given)
    assert judge(question, given) == verdict, "equal questions and answers have equal verdicts"
    assert given.event == before
    with pytest.raises(FrozenInstanceError):
        verdict.end = {}  # type: ignore[union-attr, misc]
    assert replace(question, known=()) == question
