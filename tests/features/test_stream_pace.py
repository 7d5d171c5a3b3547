"""`ctx.stream` on a test clock: when messages are sent, what is in them, and how a stream ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
import structlog
from fakes import CHAT, NOW, Linq, settled

from linqbot import BotError, LinkPart, MessageContent, ReplyTo, Sent, StreamStalled, TextPart, markdown
from linqbot.clock import MovableClock
from linqbot.content.message_split import MAX_TEXT_UNITS
from linqbot.content.sent import SentStatus
from linqbot.content.typing import BackgroundTasks, TypingIndicator
from linqbot.features.streams import PaceName, Stream, StreamJournal, StreamSource, pace_of

STEP_S = 0.05


class FirstRun(StreamJournal):
    """A record without earlier runs."""

    def __init__(self) -> None:
        self.said, self.is_complete = [], False

    async def plan(self, messages: Sequence[MessageContent]) -> None:
        pass

    def note(self, messages: Sequence[MessageContent]) -> None:
        pass

    def complete(self) -> None:
        pass


class Stage:
    """A chat and a clock, which moves only as far as the stream waits."""

    def __init__(self, service: str | None = "iMessage") -> None:
        self.clock = MovableClock(NOW, frozen=True)
        self.linq = Linq()
        self.background = BackgroundTasks()
        self.sent: list[tuple[float, MessageContent]] = []
        self.dots: list[tuple[float, bool]] = []
        self.status: SentStatus = "accepted"
        self.typing = TypingIndicator(self.linq.client, CHAT, shown=True, background=self.background)
        self.service = service
        self.step_s = STEP_S
        self.linq.before = self._note

    async def _note(self, call: Any) -> None:
        self.dots.append((self.clock.now() - NOW, "start" in call.name))

    async def _send(self, messages: Sequence[MessageContent]) -> Sent:
        self.typing.sending()
        self.sent += [(self.clock.now() - NOW, message) for message in messages]
        return Sent((), status=self.status)

    async def run(self, source: StreamSource, *, pace: PaceName = "human", **options: Any) -> list[Sent]:
        given = {"markdown": True, "cards": True, "stall_s": 60.0} | options
        stream = Stream(
            send=self._send,
            typing=self.typing,
            clock=self.clock,
            reply_to=ReplyTo(message_id="asked"),
            service=self.service,
            log=structlog.get_logger(),
            record=FirstRun(),
            pace=pace_of(pace, self.service),
            **given,
        )
        task = asyncio.ensure_future(stream.say(source))
        await settled(30)
        while not task.done():
            self.clock.advance(self.step_s)
            await settled(30)
        await self.background.aclose()
        return task.result()

    @property
    def parts(self) -> list[TextPart | LinkPart]:
        parts = (part for _, message in self.sent for part in message.parts or ())
        return [part for part in parts if isinstance(part, TextPart | LinkPart)]

    @property
    def said(self) -> list[str]:
        return [part.value for part in self.parts]

    @property
    def times(self) -> list[float]:
        return [round(at, 2) for at, _ in self.sent]

    def source(self, text: str, *, every_s: float = 0.0, size: int = 4) -> AsyncIterator[str]:
        return self.chunks([text[at : at + size] for at in range(0, len(text), size)], every_s=every_s)

    async def chunks(self, chunks: Sequence[str], *, every_s: float = 0.0) -> AsyncIterator[str]:
        for chunk in chunks:
            yield chunk
            if every_s:
                await self.clock.wait_until(self.clock.now() + every_s)


@pytest.fixture
def stage() -> Stage:
    return Stage()


SENTENCE = "The soup of the day is made of beans and of leek."


async def test_600_tokens_in_20_s_are_said_while_they_come(stage: Stage) -> None:
    more = "It has some more words in it, as they come. " * 5
    text = "\n\n".join(f"Paragraph {n} is **short**. {more}" for n in range(12))
    size = -(-len(text) // 600)
    first_end = text.index("\n\n")
    sent = await stage.run(stage.source(text, every_s=20 / 600, size=size))
    assert len(sent) == len(stage.sent) > 6
    assert stage.times[0] <= 20 * first_end / len(text) + 3
    assert stage.times[0] < 1
    assert stage.times[-1] < 40
    assert all(later - earlier >= 0.8 for earlier, later in zip(stage.times, stage.times[1:], strict=False))
    assert " ".join(" ".join(stage.said).split()) == " ".join(markdown(text).text.split())
    assert all(len(said) <= 600 and said[-1] == "." for said in stage.said)


async def test_the_first_sentence_is_said_at_once_and_later_ones_together(stage: Stage) -> None:
    await stage.run(stage.source(f"Sure! {SENTENCE} {SENTENCE} {SENTENCE}\n\nBye.", every_s=0.1))
    assert stage.said == ["Sure!", f"{SENTENCE} {SENTENCE} {SENTENCE}", "Bye."]
    assert stage.times[0] < 0.5


async def test_dots_show_between_messages_and_not_after_the_last(stage: Stage) -> None:
    await stage.run(stage.source("One.\n\nTwo.\n\nThree.", every_s=0.1))
    starts = [at for at, is_start in stage.dots if is_start]
    assert len(starts) == 3
    assert max(starts) < stage.times[-1]
    assert [is_start for _, is_start in stage.dots] == [True, True, True]


async def test_finished_sentences_are_said_while_the_source_is_quiet(stage: Stage) -> None:
    await stage.run(stage.chunks(["Hm. ", "Let me look. ", "W", "ait.\n\n"], every_s=10))
    assert stage.said == ["Hm.", "Let me look.", "Wait."]
    assert stage.times[1] < 23


async def test_the_fast_pace_sends_paragraphs_without_waiting(stage: Stage) -> None:
    await stage.run(stage.source(f"Menu. {SENTENCE}\n\n- a\n- b\n\nBye."), pace="fast")
    assert stage.said == [f"Menu. {SENTENCE}", "• a\n• b", "Bye."]
    assert set(stage.times) == {0}


async def test_sms_gets_fewer_and_longer_messages_without_styles() -> None:
    text = "\n\n".join(f"Paragraph **{n}**. {SENTENCE} {SENTENCE}" for n in range(20))
    phone, sms = Stage(), Stage("SMS")
    await phone.run(phone.source(text))
    await sms.run(sms.source(text))
    assert len(sms.sent) * 3 < len(phone.sent)
    assert all(len(said) <= 1200 for said in sms.said)
    assert not any(isinstance(part, TextPart) and part.text_decorations for part in sms.parts)
    assert "".join("".join(sms.said).split()) == "".join("".join(phone.said).split())
    fast = Stage("SMS")
    await fast.run(fast.source(text), pace="fast")
    assert fast.said == sms.said
    assert set(fast.times) == {0} < set(sms.times)


async def test_on_sms_no_message_is_short_because_it_is_the_first_or_the_source_is_quiet() -> None:
    sms = Stage("SMS")
    await sms.run(sms.chunks(["Hm. ", "Let me look. ", "Wait.\n\n"], every_s=10))
    assert sms.said == ["Hm. Let me look. Wait."]


async def test_the_card_of_an_address_follows_its_message(stage: Stage) -> None:
    await stage.run(stage.source("See [our menu](https://x.test/menu).\n\nBye."))
    assert stage.said == ["See our menu (https://x.test/menu).", "https://x.test/menu", "Bye."]
    plain = Stage()
    await plain.run(plain.source("See https://x.test/menu"), cards=False, markdown=False)
    assert plain.said == ["See https://x.test/menu"]


async def test_a_source_that_fails_leaves_what_was_said_and_raises_its_error(stage: Stage) -> None:
    async def failing() -> AsyncIterator[str]:
        yield "One.\n\n"
        await stage.clock.wait_until(NOW + 5)
        raise ValueError("overloaded")

    with pytest.raises(ValueError, match="overloaded"):
        await stage.run(failing())
    assert stage.said == ["One."]
    assert [is_start for _, is_start in stage.dots][-1] is False


async def test_a_silent_source_has_stalled(stage: Stage) -> None:
    async def silent() -> AsyncIterator[str]:
        yield "One. Two."
        await asyncio.Event().wait()

    with pytest.raises(StreamStalled, match="gave nothing for 7 s") as stalled:
        await stage.run(silent(), stall_s=7)
    assert stalled.value.stall_s == 7
    assert stage.said == ["One."]
    assert 7 <= stage.clock.now() - NOW < 7.5


async def test_a_source_is_closed_when_a_message_is_refused() -> None:
    stage, closed = Stage(), list[bool]()
    stage.status = "opted_out"

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "One more.\n\n"
                await asyncio.sleep(0)
        finally:
            closed.append(True)

    sent = await stage.run(endless())
    assert [one.status for one in sent] == ["opted_out"]
    assert closed == [True]


async def model(so_far: str) -> AsyncIterator[str]:
    yield f"said {so_far!r}"


async def made(so_far: str) -> AsyncIterator[str]:
    return model(so_far)


@pytest.mark.parametrize("source", [model, made])
async def test_a_source_may_be_a_function_of_what_was_said(stage: Stage, source: Callable[[str], Any]) -> None:
    await stage.run(source)
    assert stage.said == ["said ''"]


async def numbers() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hello", "not str. Send a finished text with ctx.reply"),
        (["hello"], "not list"),
        (lambda so_far: "hello", "not str"),
        (numbers(), "gave an object of type int"),
    ],
)
async def test_a_source_of_another_type_is_refused(source: Any, message: str) -> None:
    with pytest.raises(BotError, match=message):
        await Stage().run(source)


async def test_any_chunks_at_any_speed_say_every_word_once_and_in_order(subtests: pytest.Subtests) -> None:
    for seed in range(20):
        with subtests.test(seed=seed):
            dice = random.Random(seed)
            words = [f"w{n}" for n in range(dice.randint(1, 150))]
            text = "".join(
                dice.choice(["{}", "**{}**", "*{}*", "`{}`", "~~{}~~"]).format(word)
                + dice.choice([" ", " ", " ", ". ", "\n", ".\n\n", "!\n- "])
                for word in words
            )
            chunks, at = [], 0
            while at < len(text):
                chunks.append(text[at : at + dice.randint(1, 30)])
                at += len(chunks[-1])
            stage = Stage(dice.choice(["iMessage", "RCS", "SMS"]))
            stage.step_s = 0.5  # the times are not compared
            await stage.run(stage.chunks(chunks, every_s=dice.choice([0.0, 0.02, 0.3])))
            said = "\n".join(stage.said)
            for mark in ".!•-":
                said = said.replace(mark, " ")
            assert said.split() == words
            assert not set("*~`") & set(said)


async def test_a_limit_ends_the_stream_and_says_that_there_is_more() -> None:
    async def source(text: str) -> AsyncIterator[str]:
        yield text

    for text, most, said in (
        ("One.\n\nTwo.\n\nThree.", 3, ["One.", "Two.", "Three."]),
        ("One.\n\nTwo.\n\nThree.", 2, ["One.", "Two.", "More?"]),
        ("One.", 0, ["More?"]),
        ("", 0, []),
        ("x" * (2 * MAX_TEXT_UNITS + 1), 2, ["x" * MAX_TEXT_UNITS, "x" * MAX_TEXT_UNITS, "More?"]),
        ("x" * (2 * MAX_TEXT_UNITS), 2, ["x" * MAX_TEXT_UNITS, "x" * MAX_TEXT_UNITS]),
    ):
        stage = Stage()
        sent = await stage.run(source(text), max_messages=most, more="More?")
        assert stage.said == said, (text[:20], most)
        assert len(sent) == len(said)
    stage = Stage()
    await stage.run(source("One.\n\nTwo."), max_messages=1)
    assert stage.said == ["One."]
    with pytest.raises(BotError, match="max_messages=-1"):
        await stage.run(source("One."), max_messages=-1)
