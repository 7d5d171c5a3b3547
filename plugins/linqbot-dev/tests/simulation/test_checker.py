"""A record that keeps a rule has no finding, and a record that breaks it is named by that rule and by no other."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from linqbot_dev.simulation import checker
from linqbot_dev.simulation.checker import RULES, Breach, check, main

ANN, BOB = "+14155550101", "+14155550102"
NEVER: Any = None


class Story:
    """A record that is written line by line; each line happens a second after the last one, unless it says when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.record: dict[str, Any] = {name: [] for name in ("texts", "accepted", "shown", "calls", "ledger", "muted")}
        self.record["ended"] = 4000.0

    def _at(self, at: float | None) -> float:
        self.now = self.now + 1 if at is None else at
        return self.now

    def text(
        self,
        words: str,
        *due: Mapping[str, Any],
        chat: str | None = "c1",
        by: str = ANN,
        at: float | None = None,
        **more: Any,
    ) -> str:
        """Someone writes; the bot accepts the webhook within a tenth of a second, or `accepted` says when it does."""
        at, name = self._at(at), f"m{len(self.record['texts']) + 1}"
        accepted = more.pop("accepted", at + 0.1)
        self.record["texts"].append(
            {"id": name, "chat": chat, "from": by, "at": at, "text": words, "due": list(due), **more}
        )
        if accepted is not NEVER:
            self.webhook(name, accepted - 0.05, accepted)
        return name

    def webhook(self, text: str, begun: float, at: float | None) -> None:
        self.record["accepted"].append({"text": text, "begun": begun, "at": at})

    def bot(self, *bubbles: str, chat: str = "c1", at: float | None = None) -> None:
        """Bubbles of the bot come to a phone."""
        for words in bubbles:
            name = f"b{len(self.record['shown']) + 1}"
            self.record["shown"].append({"id": name, "chat": chat, "at": self._at(at), "text": words})

    def send(
        self,
        words: str,
        *,
        key: str | None = "k1",
        chat: str = "c1",
        begun: float | None = None,
        status: int | None = 202,
    ) -> None:
        """A request of the bot reaches Linq."""
        begun = self._at(begun)
        call = {
            "begun": begun,
            "at": begun + 0.2,
            "chat": chat,
            "key": key,
            "text": words,
            "status": status,
            "process": "p1",
        }
        self.record["calls"].append(call)

    def act(self, what: str, key: str | None = "k1") -> None:
        self.record["ledger"].append({"at": self._at(None), "key": key, "what": what})

    def mute(self, since: float, until: float | None, chat: str | None = "c1", **more: float) -> None:
        self.record["muted"].append({"chat": chat, "since": since, "until": until, **more})

    def found(self) -> list[Breach]:
        return check(self.record)

    def broken(self) -> set[str]:
        return {finding.rule for finding in self.found()}


@pytest.fixture
def story() -> Story:
    return Story()


def shows(*texts: str, **more: Any) -> dict[str, Any]:
    return {"kind": "shows", "texts": list(texts), **more}


def buys(n: int) -> dict[str, Any]:
    place = {"name": "slot", "wins": f"won {n}", "holder": str(n)}
    return {"kind": "one_of", "texts": [f"won {n}", f"sold out {n}"], "place": place}


def asks(*questions: Any, prefix: str = "got ", **more: Any) -> dict[str, Any]:
    return {"kind": "asks", "questions": list(questions), "prefix": prefix, "between": " and ", **more}


def counts(n: int) -> dict[str, Any]:
    return {"kind": "counts", "name": "visits", "prefix": f"count {n} is "}


def holder(n: int) -> dict[str, Any]:
    return {"kind": "holder", "place": "slot", "prefix": f"holder {n} is "}


def acts(what: str) -> dict[str, Any]:
    return {"kind": "acts", "what": what}


def news(*chats: str) -> dict[str, Any]:
    return {"kind": "broadcast", "text": "news", "chats": list(chats)}


# lost, cut short, doubled


def test_what_is_due_and_shown_is_no_finding(story: Story) -> None:
    story.text("two", shows("one", "two"))
    story.bot("one", "two")
    assert story.found() == []


def test_an_empty_record_has_no_finding(story: Story) -> None:
    assert story.found() == check({}) == []


def test_an_accepted_text_without_an_answer_is_lost(story: Story) -> None:
    story.text("echo 5", shows("echo 5"))
    says = "Lost: “echo 5” of +14155550101 was accepted at 1.1 s and has no answer; due was “echo 5”."
    assert story.found() == [Breach("lost", says, ["m1"], "c1")]


def test_a_text_that_was_never_accepted_is_not_due_and_may_be_answered(story: Story) -> None:
    story.text("echo 1", shows("echo 1"), accepted=NEVER)
    killed = story.text("echo 2", shows("echo 2"), accepted=NEVER)
    story.webhook(killed, 2.1, NEVER)
    story.bot("echo 2")
    assert story.found() == []


def test_half_an_answer_is_cut_short(story: Story) -> None:
    story.text("two", shows("one", "two"))
    story.bot("one")
    assert story.broken() == {"cut short"}


def test_one_due_of_a_text_may_be_lost_while_another_is_shown(story: Story) -> None:
    story.text("later", shows("planned"), shows("later", after_s=90))
    story.bot("planned")
    assert story.broken() == {"lost"}


def test_a_webhook_that_is_accepted_twice_makes_nothing_due_twice(story: Story) -> None:
    name = story.text("echo", shows("echo"))
    story.bot("echo")
    story.webhook(name, 9.0, 9.1)
    assert story.found() == []


def test_an_answer_that_is_shown_twice_is_doubled(story: Story) -> None:
    story.text("echo", shows("echo"))
    story.bot("echo", "echo")
    assert story.broken() == {"doubled"}


def test_two_answers_where_one_of_them_is_due_are_doubled(story: Story) -> None:
    story.text("flip", {"kind": "one_of", "texts": ["heads", "tails"]})
    story.bot("heads", "tails")
    assert story.broken() == {"doubled"}


def test_a_text_written_twice_is_answered_twice(story: Story) -> None:
    story.text("hi", shows("hi"))
    story.text("hi", shows("hi"))
    story.bot("hi", "hi")
    assert story.found() == []


def test_equal_words_for_several_texts_are_counted(story: Story) -> None:
    story.text("hi", shows("hi"))
    story.bot("hi", "hi")
    story.text("hi", shows("hi"))
    assert [(finding.rule, finding.texts) for finding in story.found()] == [("doubled", ["m1"]), ("lost", ["m2"])][::-1]


def test_one_answer_for_equal_texts_is_for_the_text_that_was_accepted(story: Story) -> None:
    story.text("hi", shows("hi"), accepted=NEVER)
    story.text("hi", shows("hi"))
    story.bot("hi")
    assert story.found() == []


def test_words_that_two_texts_may_get_go_to_the_text_that_can_have_no_others(story: Story) -> None:
    story.text("buy 1", {"kind": "one_of", "texts": ["won 1", "sold out"]})
    story.text("buy 2", {"kind": "one_of", "texts": ["won 2", "sold out"]})
    story.bot("sold out", "won 1")
    assert story.found() == []


def test_what_is_optional_may_be_missing_but_not_doubled(story: Story) -> None:
    story.text("hi", shows("welcome", optional=True))
    assert story.found() == []
    story.bot("welcome", "welcome")
    assert story.broken() == {"doubled"}


def test_what_is_due_after_the_end_of_the_record_may_be_missing(story: Story) -> None:
    story.text("later", shows("later", after_s=90), at=3950)
    assert story.found() == []


def test_a_post_is_due_in_the_chat_that_it_names(story: Story) -> None:
    story.text("order 7", shows("shipped 7", chat="c2"), chat=None, by="shop")
    assert story.broken() == {"lost"}
    story.bot("shipped 7", chat="c2")
    assert story.found() == []


# out of order


def test_texts_of_one_person_are_answered_in_their_order(story: Story) -> None:
    story.text("echo 1", shows("echo 1"))
    story.text("echo 2", shows("echo 2"))
    story.bot("echo 2", "echo 1")
    assert [(finding.rule, finding.texts) for finding in story.found()] == [("out of order", ["m1", "m2"])]


def test_an_answer_has_its_own_order(story: Story) -> None:
    story.text("two", shows("one", "two"))
    story.bot("two", "one")
    assert story.broken() == {"out of order"}


def test_a_text_whose_webhook_comes_later_may_be_answered_later(story: Story) -> None:
    story.text("echo 1", shows("echo 1"), accepted=8.0)
    story.text("echo 2", shows("echo 2"))
    story.bot("echo 2", "echo 1", at=9.0)
    assert story.found() == []


def test_the_order_of_texts_whose_webhooks_overlap_is_not_known(story: Story) -> None:
    story.text("echo 1", shows("echo 1"), accepted=5.0)
    story.text("echo 2", shows("echo 2"), accepted=5.05)  # begun at 5.0: equal times are no order
    story.bot("echo 2", "echo 1", at=6.0)
    assert story.found() == []


def test_the_order_of_texts_written_at_the_same_time_is_not_known(story: Story) -> None:
    story.text("echo 1", shows("echo 1"), at=1.0)
    story.text("echo 2", shows("echo 2"), at=1.0, accepted=3.0)
    story.bot("echo 2", "echo 1", at=6.0)
    assert story.found() == []


def test_a_text_may_be_stored_by_a_webhook_that_was_not_answered(story: Story) -> None:
    story.text("echo 1", shows("echo 1"), accepted=5.0)
    name = story.text("echo 2", shows("echo 2"), accepted=8.0)
    story.webhook(name, 3.0, NEVER)  # stored, then the process was killed
    story.bot("echo 2", "echo 1", at=9.0)
    assert story.found() == []


def test_the_order_of_two_people_in_a_group_is_free(story: Story) -> None:
    story.text("echo 1", shows("echo 1"))
    story.text("echo 2", shows("echo 2"), by=BOB)
    story.bot("echo 2", "echo 1")
    assert story.found() == []


def test_what_is_due_after_a_time_or_in_a_broadcast_has_no_order(story: Story) -> None:
    story.text("later", shows("later", after_s=5))
    story.text("cast", news("c1"))
    story.text("echo", shows("echo"))
    story.bot("echo", "news", "later", at=20.0)
    assert story.found() == []


def test_posts_have_no_order(story: Story) -> None:
    story.text("order 1", shows("shipped 1", chat="c1"), chat=None, by="shop")
    story.text("order 2", shows("shipped 2", chat="c1"), chat=None, by="shop")
    story.bot("shipped 2", "shipped 1")
    assert story.found() == []


def test_the_answer_to_an_answer_has_no_order(story: Story) -> None:
    story.text("ask", asks("which?"))
    story.bot("which?")
    story.text("a", shows("noted"), answers="which?")
    story.text("echo", shows("echo"))
    story.bot("echo", "noted", "got a")
    assert story.found() == []


def test_a_question_in_another_chat_may_wait_there(story: Story) -> None:
    for n in (1, 2):
        story.text(f"ask {n}", asks({"chat": "c2", "text": f"allow {n}?"}, prefix=f"{n} got "))
    story.bot("allow 2?", "allow 1?", chat="c2")
    assert story.found() == []


def test_what_was_shown_before_stop_has_its_order(story: Story) -> None:
    story.text("echo 1", shows("echo 1"))
    story.text("echo 2", shows("echo 2"))
    story.bot("echo 2", "echo 1")
    story.text("STOP", stops=True)
    assert story.broken() == {"out of order"}


def test_relayed_texts_keep_their_order(story: Story) -> None:
    story.text("hello", shows("Owner: hello", chat="c2"))
    story.text("bye", shows("Owner: bye", chat="c2"))
    story.bot("Owner: bye", "Owner: hello", chat="c2")
    assert story.broken() == {"out of order"}


# counts and places


def test_counts_go_on_in_the_order_of_the_texts(story: Story) -> None:
    story.text("count 1", counts(1))
    story.text("count 2", counts(2))
    story.bot("count 1 is 1", "count 2 is 2")
    assert story.found() == []


@pytest.mark.parametrize("numbers", ["1 1", "2 1", "1 3", "0 1", "1 none"])
def test_a_count_that_does_not_go_on_was_not_stored(story: Story, numbers: str) -> None:
    for n, number in enumerate(numbers.split()):
        story.text(f"count {n}", counts(n))
        story.bot(f"count {n} is {number}")
    assert story.broken() == {"told, not stored"}


def test_counts_in_another_order_than_the_texts_were_not_stored(story: Story) -> None:
    story.text("count 1", counts(1))
    story.text("count 2", counts(2))
    story.bot("count 1 is 2", "count 2 is 1")
    assert story.broken() == {"told, not stored"}


def test_a_lost_count_is_only_lost(story: Story) -> None:
    for n in (1, 2, 3):
        story.text(f"count {n}", counts(n))
    story.bot("count 1 is 1", "count 3 is 3")
    assert story.broken() == {"lost"}


def test_counts_of_texts_in_another_order_of_webhooks_are_free(story: Story) -> None:
    story.text("count 1", counts(1), accepted=5.0)
    story.text("count 2", counts(2))
    story.bot("count 2 is 1", "count 1 is 2", at=6.0)
    assert story.found() == []


def test_chats_count_for_themselves(story: Story) -> None:
    for n, chat in enumerate(("c1", "c2")):
        story.text(f"count {n}", counts(n), chat=chat)
        story.bot(f"count {n} is 1", chat=chat)
    assert story.found() == []


def test_a_place_that_was_won_stays_with_its_holder(story: Story) -> None:
    story.text("holder 1", holder(1), chat="c3")
    story.text("buy 2", buys(2))
    story.text("buy 3", buys(3), chat="c2", by=BOB)
    story.bot("won 2")
    story.bot("sold out 3", chat="c2")
    story.bot("holder 1 is nobody", chat="c3")  # asked before the place was won
    story.text("holder 4", holder(4), chat="c3")
    story.bot("holder 4 is 2", chat="c3")
    assert story.found() == []


def test_a_place_that_was_won_and_has_another_holder_was_not_stored(story: Story) -> None:
    story.text("buy 1", buys(1))
    story.bot("won 1")
    story.text("holder 2", holder(2))
    story.bot("holder 2 is nobody")
    assert story.broken() == {"told, not stored"}


def test_a_place_that_is_taken_has_an_owner(story: Story) -> None:
    story.text("buy 1", buys(1))
    story.bot("sold out 1")
    assert story.broken() == {"told, not stored"}


def test_the_owner_of_a_place_may_be_a_text_whose_answer_is_missing(story: Story) -> None:
    story.text("buy 1", buys(1))
    story.text("buy 2", buys(2), chat="c2", by=BOB)
    story.bot("sold out 2", chat="c2")
    assert story.broken() == {"lost"}
    story.text("STOP", stops=True)
    assert story.found() == []


def test_a_place_has_one_owner(story: Story) -> None:
    story.text("buy 1", buys(1))
    story.text("buy 2", buys(2), chat="c2", by=BOB)
    story.bot("won 1")
    story.bot("won 2", chat="c2")
    assert [(finding.rule, finding.texts) for finding in story.found()] == [("two owners of one place", ["m1", "m2"])]


# after STOP


def test_no_send_begins_after_stop_is_accepted(story: Story) -> None:
    story.text("slow", shows("slow 1", "slow 2"))
    story.send("slow 1", key="k1")
    story.bot("slow 1")
    story.text("STOP", stops=True)
    story.send("slow 2", key="k2")
    assert story.broken() == {"after STOP"}


def test_a_send_that_began_before_stop_is_retried_and_shown_after_it(story: Story) -> None:
    story.text("slow", shows("slow"))
    story.send("slow", status=NEVER)
    story.text("STOP", stops=True)
    story.send("slow", status=503)
    story.send("slow")
    story.bot("slow")
    assert story.found() == []


def test_a_retry_without_a_key_is_known_by_its_words(story: Story) -> None:
    story.text("slow", shows("slow"))
    story.send("slow", key=None, status=503)
    story.text("STOP", stops=True)
    story.send("slow", key=None)
    assert story.found() == []


def test_other_words_without_a_key_are_no_retry(story: Story) -> None:
    story.text("slow", shows("slow 1", "slow 2"))
    story.send("slow 1", key=None)
    story.bot("slow 1")
    story.text("STOP", stops=True)
    story.send("slow 2", key=None)
    assert story.broken() == {"after STOP"}


def test_retries_of_one_send_after_stop_are_one_finding(story: Story) -> None:
    story.text("STOP", stops=True)
    story.text("echo", shows("echo"))
    story.send("echo", status=503)
    story.send("echo")
    assert [(finding.rule, finding.texts) for finding in story.found()] == [("after STOP", ["m2"])]


def test_a_send_may_begin_until_stop_is_accepted_for_the_first_time(story: Story) -> None:
    story.text("echo 1", shows("echo 1"))
    name = story.text("STOP", stops=True, accepted=9.0)
    story.webhook(name, 2.1, NEVER)
    story.webhook(name, 20.0, 20.1)
    story.send("echo 1", begun=9.0)
    assert story.found() == []
    story.send("echo 1", key="k2", begun=9.1)
    assert story.broken() == {"after STOP"}


def test_a_text_that_is_accepted_while_stop_is_under_way_may_be_answered_or_not(story: Story) -> None:
    story.text("STOP", stops=True, accepted=5.0)
    story.text("echo 1", shows("echo 1"), accepted=4.99)
    story.text("echo 2", shows("echo 2"), accepted=5.01)
    story.send("echo 2", begun=5.0)
    story.bot("echo 2", at=6.0)
    assert story.found() == []


def test_stop_excuses_what_was_not_yet_answered(story: Story) -> None:
    story.text("two", shows("one", "two"))
    story.text("later", shows("later", after_s=90))
    story.text("once", acts("once"))
    story.bot("one")
    story.text("STOP", stops=True)
    assert story.found() == []


def test_a_text_that_starts_ends_the_silence_and_is_answered(story: Story) -> None:
    story.text("STOP", stops=True)
    story.text("echo 1", shows("echo 1"))
    story.text("START", shows("welcome"), starts=True)
    story.send("welcome", key="k1")
    story.text("echo 2", shows("echo 2"))
    story.send("echo 2", key="k2")
    assert [finding.texts for finding in story.found()] == [["m3"], ["m4"]]
    story.bot("welcome", "echo 2")
    assert story.found() == []


def test_a_start_that_was_written_before_stop_does_not_end_the_silence(story: Story) -> None:
    story.text("START", starts=True, accepted=9.0)
    story.text("STOP", stops=True)
    story.text("echo", shows("echo"), at=10.0)
    assert story.found() == []
    story.send("echo", begun=11.0)
    assert story.broken() == {"after STOP"}


def test_a_stop_whose_webhook_comes_after_that_of_start_silences_nothing(story: Story) -> None:
    story.text("STOP", stops=True, accepted=9.0)
    story.text("START", shows("welcome"), starts=True)
    story.send("welcome", begun=10.0)
    story.text("echo", shows("echo"), at=11.0)
    assert [finding.texts for finding in story.found()] == [["m3"]]
    story.bot("echo")
    assert story.found() == []


def test_what_was_written_before_start_was_accepted_may_be_left_out(story: Story) -> None:
    story.text("STOP", stops=True)
    story.text("START", starts=True, accepted=5.0)
    story.text("echo", shows("echo"), at=4.0, accepted=9.0)
    assert story.found() == []


def test_what_was_written_before_a_late_stop_was_accepted_may_be_left_out(story: Story) -> None:
    story.text("STOP", stops=True, accepted=9.0)
    story.text("START", starts=True)
    story.text("echo", shows("echo"))
    assert story.found() == []


def test_start_may_still_wait_in_its_chat_when_another_chat_sends_there(story: Story) -> None:
    story.text("STOP", stops=True, chat="c2", by=BOB)
    story.text("START", starts=True, chat="c2", by=BOB)
    story.text("hello", shows("Owner: hello", chat="c2"))
    assert story.found() == []


def test_stop_itself_may_be_confirmed(story: Story) -> None:
    story.text("STOP", shows("bye"), stops=True)
    assert story.found() == []
    story.send("bye")
    story.bot("bye")
    assert story.found() == []


def test_stop_is_of_its_chat(story: Story) -> None:
    story.text("STOP", stops=True)
    story.text("echo", shows("echo"), chat="c2", by=BOB)
    story.send("echo", chat="c2")
    assert story.broken() == {"lost"}
    story.bot("echo", chat="c2")
    assert story.found() == []


def test_a_broadcast_leaves_out_who_wrote_stop_and_no_one_else(story: Story) -> None:
    story.text("STOP", stops=True, chat="c3")
    story.text("cast", news("c1", "c2", "c3"))
    story.bot("news", chat="c1")
    assert [(finding.rule, finding.says) for finding in story.found()] == [
        ("cut short", "Cut short: the answer to “cast” of +14155550101 was begun; “news” in c2 is missing.")
    ]
    story.bot("news", chat="c2")
    assert story.found() == []


# while muted


def test_no_send_begins_while_a_chat_is_muted(story: Story) -> None:
    story.text("echo 1", shows("echo 1"))
    story.mute(2.0, 20.0)
    story.send("echo 1", begun=2.0)
    assert story.found() == []
    story.send("echo 1", key="k2", begun=3.0)
    assert story.broken() == {"while muted"}


@pytest.mark.parametrize("chat", ["c1", None])
def test_a_text_in_a_muted_chat_is_not_due_and_a_later_text_is(story: Story, chat: str | None) -> None:
    story.mute(2.0, 20.0, chat=chat, lifted=21.0)
    story.text("echo 1", shows("echo 1"), at=10.0)
    story.text("echo 2", shows("echo 2"), at=20.5)  # the mute may end at any time until it is confirmed
    story.text("echo 3", shows("echo 3"), at=22.0)
    assert [(finding.rule, finding.texts) for finding in story.found()] == [("lost", ["m3"])]


def test_what_came_in_a_mute_may_be_answered_after_it_and_after_newer_texts(story: Story) -> None:
    story.mute(2.0, 20.0)
    story.text("echo 1", shows("echo 1"), at=10.0)
    story.text("echo 2", shows("echo 2"), at=21.0)
    story.bot("echo 2", "echo 1", at=22.0)
    assert story.found() == []


def test_a_relayed_text_is_sent_into_a_muted_chat_and_a_broadcast_is_not(story: Story) -> None:
    story.mute(0.5, NEVER, chat="c2")
    story.text("hello", shows("Owner: hello", chat="c2"))
    story.send("Owner: hello", chat="c2")
    story.bot("Owner: hello", chat="c2")
    assert story.found() == []
    story.text("cast", news("c2"))
    story.send("news", chat="c2", key="k2")
    assert story.broken() == {"while muted"}


def test_a_post_is_not_sent_into_a_muted_chat(story: Story) -> None:
    story.mute(0.5, NEVER)
    story.text("order 7", shows("shipped 7", chat="c1"), chat=None, by="shop")
    assert story.found() == []
    story.send("shipped 7")
    assert story.broken() == {"while muted"}


def test_the_answer_to_a_command_that_works_in_a_muted_chat_is_due(story: Story) -> None:
    story.mute(0.5, NEVER)
    story.text("HELP", shows("help", though_muted=True))
    assert story.broken() == {"lost"}
    story.send("help")
    story.bot("help")
    assert story.found() == []


# questions


def test_two_questions_in_one_chat_are_answered_one_after_the_other(story: Story) -> None:
    for n in (1, 2):
        story.text(f"ask {n}", asks("which?", prefix=f"{n} got "))
        story.bot("which?")
        story.text(f"answer {n}", answers="which?")
        story.bot(f"{n} got answer {n}")
    assert story.found() == []


def test_a_form_gets_its_answers_in_several_chats(story: Story) -> None:
    story.text("form", asks("first?", {"chat": "c2", "text": "allow?"}))
    story.bot("first?")
    story.text("a", answers="first?")
    story.bot("allow?", chat="c2")
    story.text("yes", answers="allow?", chat="c2", by=BOB)
    story.bot("got a and yes")
    assert story.found() == []


def test_a_question_that_is_not_shown_is_lost(story: Story) -> None:
    story.text("ask", asks("which?"))
    assert story.broken() == {"lost"}


def test_an_open_question_owes_nothing(story: Story) -> None:
    story.text("ask", asks("which?", "and?"))
    story.bot("which?")
    assert story.found() == []


def test_a_question_that_is_shown_twice_is_doubled(story: Story) -> None:
    story.text("ask", asks("which?"))
    story.bot("which?", "which?")
    assert story.broken() == {"doubled"}


def test_a_question_may_be_asked_again_if_its_answer_came_before_another_question() -> None:
    for between in (True, False):
        story = Story()
        story.text("order", asks("first?", "second?"), shows("name?", optional=True))
        story.bot("first?")
        if between:
            story.text("a", answers="first?")
        story.bot("name?")
        if not between:
            story.text("a", answers="first?")
        story.text("Ada", answers="name?")
        story.bot("first?")
        story.text("b", answers="first?")
        story.bot("second?")
        story.text("c", answers="second?")
        story.bot("got b and c")
        assert story.broken() == (set() if between else {"doubled", "two answers to one question"})


def test_silence_after_an_answer_is_named(story: Story) -> None:
    story.text("form", asks("first?", "second?"))
    story.bot("first?")
    story.text("a", answers="first?")
    assert story.broken() == {"silence"}
    story.bot("second?")
    story.text("b", answers="second?")
    assert [(finding.rule, finding.texts) for finding in story.found()] == [("silence", ["m3"])]


def test_an_answer_that_was_never_accepted_or_came_in_silence_needs_nothing_to_follow(story: Story) -> None:
    story.text("ask", asks("which?"))
    story.bot("which?")
    story.text("a", answers="which?", accepted=NEVER)
    assert story.found() == []
    story.text("b", answers="which?")
    story.text("STOP", stops=True)
    assert story.found() == []


def test_two_endings_are_two_answers_to_one_question(story: Story) -> None:
    story.text("ask", asks("which?"))
    story.bot("which?")
    story.text("a", answers="which?")
    story.text("b", answers="which?")
    story.bot("got a", "got b")
    assert story.broken() == {"two answers to one question"}


def test_the_answer_that_was_accepted_first_counts(story: Story) -> None:
    story.text("ask", asks("which?"))
    story.bot("which?")
    story.text("a", answers="which?")
    story.text("b", answers="which?")
    story.bot("got b")
    assert [(finding.rule, finding.texts) for finding in story.found()] == [
        ("two answers to one question", ["m2", "m3"])
    ]


def test_an_answer_whose_webhook_was_late_need_not_count(story: Story) -> None:
    story.text("ask", asks("which?"))
    story.bot("which?")
    story.text("a", answers="which?", accepted=9.0)
    story.text("b", answers="which?")
    story.bot("got b")
    assert story.found() == []


def test_an_answer_in_a_mute_need_not_count(story: Story) -> None:
    story.text("ask", asks("which?"))
    story.bot("which?")
    story.mute(2.5, 3.5)
    story.text("a", answers="which?")
    story.text("b", answers="which?")
    story.bot("got b")
    assert story.found() == []


def test_what_is_optional_need_not_go_on_after_an_answer(story: Story) -> None:
    story.text("ask", asks("which?", optional=True))
    story.bot("which?")
    story.text("a", answers="which?")
    assert story.found() == []


def test_a_text_that_was_written_before_a_question_needs_nothing_to_follow(story: Story) -> None:
    story.text("a", answers="which?", accepted=8.0)
    story.text("ask", asks("which?"))
    story.bot("which?")
    assert story.found() == []


def test_the_same_word_may_answer_two_questions(story: Story) -> None:
    story.text("form", asks("first?", "second?"))
    for question in ("first?", "second?"):
        story.bot(question)
        story.text("yes", answers=question)
    story.bot("got yes and yes")
    assert story.found() == []


def test_a_text_that_was_written_before_a_question_does_not_answer_it(story: Story) -> None:
    story.text("hello", accepted=8.0)
    story.text("ask", asks("which?"))
    story.bot("which?")
    story.bot("got hello", at=9.0)
    assert [(finding.rule, finding.texts) for finding in story.found()] == [("answered by an earlier text", ["m1"])]


def test_a_text_of_the_same_time_as_a_question_may_answer_it(story: Story) -> None:
    story.text("ask", asks("which?"))
    story.bot("which?", at=3.0)
    story.text("a", answers="which?", at=3.0)
    story.bot("got a")
    assert story.found() == []


def test_a_text_for_another_question_does_not_answer_this_one(story: Story) -> None:
    story.text("form", asks("first?", "second?"))
    story.bot("first?")
    story.text("a", answers="first?")
    story.bot("second?")
    story.text("b", answers="second?")
    story.bot("got b and b")
    assert [(finding.rule, finding.texts) for finding in story.found()] == [
        ("answered by another question's text", ["m3"])
    ]


def test_a_text_for_no_question_does_not_answer_one(story: Story) -> None:
    story.text("ask", asks("which?"))
    story.bot("which?")
    story.text("aside", by=BOB)
    story.bot("got aside")
    assert story.broken() == {"answered by another question's text"}


@pytest.mark.parametrize("ending", ["got None", "got a and b"])
def test_an_answer_that_no_one_wrote_was_not_asked_for(story: Story, ending: str) -> None:
    story.text("ask", asks("which?"))
    story.bot("which?")
    story.text("a", answers="which?")
    story.bot(ending)
    assert story.broken() == {"not asked for"}


# the ledger, timers, and what nothing makes due


def test_an_act_is_done_again_under_its_key(story: Story) -> None:
    story.text("once", acts("once"))
    assert story.broken() == {"lost"}
    story.act("once", "k1")
    story.act("once", "k1")
    assert story.found() == []


@pytest.mark.parametrize("keys", [("k1", "k2"), ("k1", None), (None, None)])
def test_an_act_under_two_keys_is_named(story: Story, keys: tuple[str | None, str | None]) -> None:
    story.text("once", acts("once"))
    for key in keys:
        story.act("once", key)
    assert story.broken() == {"two keys"}


def test_two_texts_may_ask_for_equal_acts(story: Story) -> None:
    for key in ("k1", "k2"):
        story.text("pay", acts("pay"))
        story.act("pay", key)
    assert story.found() == []


def test_what_is_due_later_is_not_shown_before(story: Story) -> None:
    story.text("later", shows("later", after_s=90), at=1.0)
    story.bot("later", at=91.0)
    assert story.found() == []
    story.record["shown"][0]["at"] = 90.9
    assert story.broken() == {"too early"}


def test_a_bubble_that_nothing_makes_due_was_not_asked_for(story: Story) -> None:
    story.text("echo", shows("echo"))
    story.bot("echo")
    story.bot("echo", chat="c2")  # the words of one person on the phone of another
    says = "Not asked for: “echo” was shown at 3 s, and nothing makes it due there."
    assert story.found() == [Breach("not asked for", says, [], "c2")]


# the command line


def test_the_command_prints_findings_and_fails(
    story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "record.json"
    story.text("echo 5", shows("echo 5"))
    file.write_text(json.dumps(story.record))
    assert main([str(file)]) == 1
    assert capsys.readouterr().out == story.found()[0].says + "\n"
    assert main([str(file), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == [
        {"rule": "lost", "says": story.found()[0].says, "texts": ["m1"], "chat": "c1"}
    ]


def test_the_command_says_nothing_about_a_record_that_keeps_the_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "record.json"
    file.write_text("{}")
    assert main([str(file)]) == 0
    assert capsys.readouterr().out == ""
    assert main([str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_command_lists_the_rules_with_a_sentence_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == list(RULES)
    assert all(line.endswith(".") for line in lines)
    assert "lost: A text that was accepted is answered" in lines[0]


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ("[", "JSONDecodeError"),
        ('{"text": []}', "muted and ended, and no text"),
        ('{"accepted": [{"text": "m1", "begun": 1, "at": 1}]}', "KeyError: 'm1'"),
        (
            '{"texts": [{"id": "m1", "chat": "c", "from": "+1", "at": 1, "text": "a", "due": [{"kind": "show"}]}]}',
            "use shows, one_of",
        ),
    ],
)
def test_the_command_refuses_what_is_no_record(
    record: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "record.json"
    file.write_text(record)
    with pytest.raises(SystemExit) as ended:
        main([str(file)])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_the_command_needs_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "name the file with the record" in capsys.readouterr().err


@pytest.mark.process
def test_the_file_runs_alone_and_reads_the_standard_input(story: Story) -> None:
    story.text("echo", shows("echo"))
    command = [sys.executable, "-I", "-S", checker.__file__, "-"]
    ended = subprocess.run(
        command, input=json.dumps(story.record), capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, story.found()[0].says + "\n")


def test_the_file_imports_only_the_standard_library() -> None:
    tree = ast.parse(Path(checker.__file__).read_text("utf-8"))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module.partition(".")[0] for module in modules} <= sys.stdlib_module_names
