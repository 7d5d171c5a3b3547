"""The loop breaker: people are always answered, and machines are stopped within ten messages."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import pytest
from answers import answers
from hypothesis import assume, given
from hypothesis import strategies as st
from one_handler import bot_of, does, says

from linqbot import Context, MessageReceived, media
from linqbot.features.loops import PAUSE_S, LoopBreaker
from linqbot.testing import HandlerFailed, talking

Answers: TypeAlias = Callable[[str], str | Sequence[str]]
"""A bot: from a message to a reply of one bubble or of several."""

LATENCY_S = 0.1
"""Between a message and its webhook."""
TAKES_S = 0.2
"""For each bubble of a reply."""

SKEWS_S = (0.0, -0.4, 0.4)
"""The difference between Linq's clock and ours."""


class Chat:
    """A chat with a bot that uses a breaker: handles one message after another, and takes its time for each bubble.

    Attributes:
        count: Messages and bubbles that were sent, in both directions.
        unanswered: Texts of the messages that the breaker took for a loop.
        now: Our time. A silence ends no earlier than the message that met it.
    """

    def __init__(self, bot: Answers, *, skew_s: float = 0.0, latency_s: float = LATENCY_S) -> None:
        self.breaker = LoopBreaker()
        self.now = 1000.0
        self.count = 0
        self.unanswered: list[str] = []
        self._bot = bot
        self._skew_s = skew_s
        self._latency_s = latency_s

    def hears(self, text: str, sent_at: float, files: str = "") -> list[str]:
        """Send a message at a time by our clock. It is handled when it has arrived and the previous one is done."""
        self.count += 1
        self.now = max(self.now, sent_at + self._latency_s)
        if self.breaker.judge("chat", text, sent_at + self._skew_s, self.now, files=files):
            self.unanswered.append(text)
            return []
        reply = self._bot(text)
        bubbles = [reply] if isinstance(reply, str) else list(reply)
        for bubble in bubbles:
            self.now += TAKES_S
            self.breaker.note_reply("chat", bubble, self.now)
        self.count += len(bubbles)
        return bubbles

    def writes(self, *texts: str, pause_s: float = 2.0, files: Sequence[str] = ()) -> None:
        """Let a person write each text some seconds after the reply to the one before."""
        for text, file in itertools.zip_longest(texts, files, fillvalue=""):
            self.hears(text, self.now + pause_s, file)

    def writes_at_once(self, *texts: str, every_s: float = 0.3) -> None:
        """Let a person write without waiting for replies."""
        began = self.now + 2
        for n, text in enumerate(texts):
            self.hears(text, began + n * every_s)


def fixed(text: str = "I am a bot.") -> Answers:
    return lambda _: text


def in_turn(*replies: str) -> Answers:
    following = itertools.cycle(replies)
    return lambda _: next(following)


def counting(what: str = "page") -> Callable[[str], str]:
    numbers = itertools.count(1)
    return lambda _: f"{what} {next(numbers)}"


def drawing(*replies: str) -> Answers:
    chance = random.Random(1)
    return lambda _: chance.choice(replies)


def known(replies: dict[str, str]) -> Answers:
    return lambda text: replies[text]


def blackjack() -> Answers:
    chance = random.Random(2)
    total = 0

    def play(text: str) -> str:
        nonlocal total
        total += chance.randint(2, 11)
        if text == "hit" and total <= 21:
            return f"You have {total}. Hit or stand?"
        ended, total = total, 0
        return f"You end with {ended}. Hit to play again."

    return play


def translating() -> Answers:
    """A drill bot: it asks for a word, and confirms the answer in a separate bubble."""
    words = itertools.cycle(["bonjour", "bonsoir", "merci beaucoup", "au revoir", "s'il vous plait"])
    return lambda text: (f"Correct: {text}", next(words))


def echo(text: str) -> str:
    return text


def quoting(text: str) -> str:
    return f"You said: {text}"


def speeds_up(chat: Chat) -> None:
    chat.writes(*["good morning"] * 10, pause_s=11)
    chat.writes(*["good morning"] * 3)


def repeats_after(chat: Chat, first: str) -> None:
    """A person who repeats the word of the last bubble, as a drill bot asks."""
    said = [first]
    for _ in range(20):
        said = chat.hears(said[-1], chat.now + 2)


def quotes_now_and_then(chat: Chat) -> None:
    said = [""]
    for n in range(30):
        said = chat.hears(f"You wrote: {said[-1]}" if n % 3 == 2 else f"and then {n}?", chat.now + 2)


def plays_with_echo(chat: Chat) -> None:
    chat.writes("hi", "hi", "echo", "echo?", "ECHO", "are you an echo", "are you an echo", "stop", "stop!", "stop!!")
    chat.writes("wow!!", *(f"wow{'!' * n}" for n in range(3, 20)))
    chat.writes(*("ha" * n for n in range(2, 20)))
    chat.writes(
        "I", "I am", "I am not", "I am not a", "I am not a robot", "I am not a robot at", "I am not a robot at all"
    )


PEOPLE: dict[str, tuple[Callable[[], Answers], Callable[[Chat], None]]] = {
    "paging with next, and a menu with the same number on each level": (
        counting,
        lambda chat: chat.writes(*["next"] * 40, *["1"] * 40),
    ),
    "a menu whose pages are visited in turn": (
        lambda: known({"0": "Pizza 1, drinks 2, desserts 3", "1": "Pizza", "2": "Drinks", "3": "Desserts"}),
        lambda chat: chat.writes(*["1", "0", "2", "0", "3", "0"] * 7),
    ),
    "choosing from what is offered": (
        lambda: lambda _: ("Noted. What else?", "Pizza", "Pasta", "Salad", "Lemonade", "Ice cream"),
        lambda chat: chat.writes("Pizza", "Pasta", "Salad", "Lemonade", "Ice cream"),
    ),
    "blackjack": (blackjack, lambda chat: chat.writes(*["hit"] * 40)),
    "dice": (lambda: drawing("1", "2", "3", "4", "5", "6"), lambda chat: chat.writes(*["roll"] * 100)),
    "a coin that falls on the same side often": (
        lambda: in_turn("heads", "tails", "heads", *["tails"] * 6, *["heads"] * 6),
        lambda chat: chat.writes(*["flip"] * 40),
    ),
    "flash cards that are known or not": (
        lambda: in_turn("der Hund", "die Katze", "das Pferd"),
        lambda chat: chat.writes(*["again", "good"] * 20),
    ),
    "a drill that confirms each word": (translating, lambda chat: repeats_after(chat, "bonjour")),
    "counting up together": (
        lambda: lambda text: str(int(text) + 1),
        lambda chat: chat.writes(*map(str, range(1, 200, 2)), pause_s=1),
    ),
    "spelling": (lambda: fixed("Next letter?"), lambda chat: chat.writes(*"mississippi", *"banana")),
    "hello? hello? before the bot answers": (fixed, lambda chat: chat.writes_at_once(*["hello?"] * 10, every_s=0.1)),
    "hello? hello? in spite of an answer": (fixed, lambda chat: chat.writes(*["hello?"] * 4)),
    "a burst of six": (fixed, lambda chat: chat.writes_at_once("hi", "so", "I", "wanted", "to", "ask")),
    "a burst of the same word": (fixed, lambda chat: chat.writes_at_once(*["next"] * 6, every_s=0.05)),
    "quoting the bot now and then": (lambda: quoting, quotes_now_and_then),
    "quoting the bot with something to say": (
        fixed,
        lambda chat: chat.writes(
            *(f"I am a bot. -- {why}" for why in ("really?", "no", "prove it", "hm", "so?", "ok"))
        ),
    ),
    "thanks, three times": (lambda: fixed("You're welcome!"), lambda chat: chat.writes("bye", *["thanks"] * 3)),
    "emoji only": (fixed, lambda chat: chat.writes(*"😀😂🎉👍😀😂🎉👍")),
    "photos without text": (fixed, lambda chat: chat.writes(*[""] * 40, files=["IMG_1.HEIC"] * 40)),
    "receipts with the same caption": (
        lambda: fixed("Saved."),
        lambda chat: chat.writes(*["receipt"] * 40, files=[f"IMG_{n}.HEIC" for n in range(40)]),
    ),
    "a slow conversation": (fixed, lambda chat: chat.writes(*["good morning"] * 40, pause_s=11)),
    "a slow conversation that becomes a quick one": (fixed, speeds_up),
    "a command every five seconds whose answer changes": (
        lambda: counting("Degrees:"),
        lambda chat: chat.writes(*["temperature"] * 40, pause_s=5),
    ),
    "an echo bot with a playful person": (lambda: echo, plays_with_echo),
    "small talk that comes back to the same few words": (
        lambda: drawing("Tell me more.", "I see.", "And then?"),
        lambda chat: chat.writes(*["ok", "yes", "hm", "and so on", "ok", "no", "yes", "right"] * 5),
    ),
}


def test_people_are_always_answered(subtests: pytest.Subtests) -> None:
    for pattern in PEOPLE:
        with subtests.test(pattern=pattern):
            bot, writes = PEOPLE[pattern]
            for skew_s in SKEWS_S:
                chat = Chat(bot(), skew_s=skew_s)
                writes(chat)
                assert (chat.unanswered, chat.count >= 6) == ([], True), f"clocks differ by {skew_s} s"


def suffixed(text: str) -> str:
    return f'"{text}", as you say.'


def wrote(text: str) -> str:
    return f"You wrote: {text}"


def of_last(answers: Callable[[str], str]) -> Answers:
    return lambda text: answers(text.splitlines()[-1])


def greeting(answers: Answers) -> Answers:
    return lambda text: ("Hello!", f"{answers(text)}")


def numbered(quote: Answers) -> Answers:
    numbers = itertools.count(1)
    return lambda text: f"{next(numbers)}. {quote(text)}"


OFFICE = "I am out of the office until Monday. Your message will be read then."

MACHINES: dict[str, tuple[Callable[[], Answers], Callable[[], Answers], str]] = {
    # Our bot, their bot, and the message that starts the loop. Theirs answers our whole reply, with a line per bubble.
    "echo against echo": (lambda: echo, lambda: echo, "hi"),
    "growing quotes": (lambda: quoting, lambda: wrote, "hi"),
    "quotes with a suffix": (lambda: suffixed, lambda: suffixed, "hi"),
    "quotes with a prefix against an echo": (lambda: echo, lambda: wrote, "hi"),
    "quotes in capitals": (lambda: quoting, lambda: str.upper, "hi"),
    "numbered quotes": (lambda: quoting, lambda: numbered(wrote), "hi"),
    "a fixed sentence against an echo": (lambda: echo, lambda: fixed("So am I."), "hi"),
    "a fixed sentence against a fixed sentence": (fixed, lambda: fixed("So am I."), "hi"),
    "an auto-reply": (lambda: quoting, lambda: fixed(OFFICE), "Please call me back"),
    "an auto-reply whose first answer is a greeting": (
        lambda: in_turn("Welcome!", *["I am a bot."] * 50),
        lambda: fixed(OFFICE),
        "Please call me back",
    ),
    "two alternating sentences on each side": (
        lambda: in_turn("I am a bot.", "Ask me."),
        lambda: in_turn("Me too.", "So am I."),
        "So am I.",
    ),
    "two bubbles": (lambda: lambda _: ("Hello!", "I am a bot."), lambda: fixed("So am I."), "So am I."),
    "two bubbles that are both quoted": (lambda: greeting(quoting), lambda: wrote, "hi"),
    "two bubbles of which the last one is quoted": (lambda: greeting(quoting), lambda: of_last(wrote), "hi"),
}


def converse(chat: Chat, theirs: Answers, first: str, *, pause_s: float) -> int:
    """Let two bots answer each other. Return the number of messages until ours stopped answering."""
    text = first
    while chat.count < 100 and (said := chat.hears(text, chat.now + pause_s)):
        reply = theirs("\n".join(said))
        assert isinstance(reply, str)
        text = reply
    return chat.count


def test_machines_are_stopped_within_ten_messages(subtests: pytest.Subtests) -> None:
    for pattern in MACHINES:
        with subtests.test(pattern=pattern):
            ours, theirs, first = MACHINES[pattern]
            for pause_s, skew_s in itertools.product([0.1, 0.5, 1.0, 2.0, 5.0, 9.0], SKEWS_S):
                messages = converse(Chat(ours(), skew_s=skew_s), theirs(), first, pause_s=pause_s)
                assert messages <= 10, f"pauses of {pause_s} s, and clocks differ by {skew_s} s"
            assert converse(Chat(ours(), latency_s=15), theirs(), first, pause_s=2) <= 10, "webhooks are late"


FAST_MACHINES: dict[str, tuple[Callable[[], Answers], Callable[[], Answers], str]] = {
    # Our replies are new each time, like those of a language model: only the pace shows that these are machines.
    "an auto-reply": (counting, lambda: fixed(OFFICE), "hi"),
    "a fixed sentence": (counting, lambda: fixed("I am a bot, too."), "I am a bot, too."),
    "two alternating sentences": (
        counting,
        lambda: in_turn("I am a bot, too.", "Ask me anything."),
        "Ask me anything.",
    ),
    "quotes": (counting, lambda: wrote, "hi"),
    "two bubbles": (lambda: greeting(counting()), lambda: fixed(OFFICE), OFFICE),
}


# If the clocks disagree, the slower one counts.
def test_at_a_machines_pace_new_replies_are_stopped_too(subtests: pytest.Subtests) -> None:
    for pattern, pause_s, skew_s in itertools.product(FAST_MACHINES, (0.1, 0.3), (0.0, -0.4, 0.2)):
        with subtests.test(pattern=pattern, pause_s=pause_s, skew_s=skew_s):
            ours, theirs, first = FAST_MACHINES[pattern]
            assert converse(Chat(ours(), skew_s=skew_s), theirs(), first, pause_s=pause_s) <= 10
            assert converse(Chat(ours(), skew_s=skew_s), theirs(), first, pause_s=2) >= 100


@pytest.mark.parametrize(("bot", "pause_s"), [(greeting(fixed()), 2), (greeting(counting()), 0.3)])
def test_a_machine_that_answers_each_bubble_is_stopped_before_it_floods(bot: Answers, pause_s: float) -> None:
    chat = Chat(bot)
    due = len(chat.hears("hi", chat.now + 2))
    rounds = 0
    while due and rounds < 10:
        rounds += 1
        began = chat.now + pause_s
        due = sum(len(chat.hears(OFFICE, began + n * 0.01)) for n in range(due))
    # Each round has twice as many messages as the one before.
    assert rounds <= 4


@pytest.mark.parametrize(("names", "answered"), [(["cat.gif"] * 40, 4), ([f"{n}.gif" for n in range(40)], 40)])
def test_an_equal_file_of_ours_is_a_loop_and_another_one_is_new(names: list[str], answered: int) -> None:
    breaker = LoopBreaker()
    count = 0
    for n, name in enumerate(names):
        at = 1000.0 + 2 * n
        if not breaker.judge("chat", "cat, please", at, at):
            breaker.note_reply("chat", "Here it is:", at + 1, files=name)
            count += 1
        elif n > 5:
            break
    assert count == answered


def test_a_new_message_is_answered_at_once_and_a_repeated_one_after_a_pause() -> None:
    chat = Chat(fixed())
    converse(chat, fixed("So am I."), "So am I.", pause_s=2)
    silent_at = chat.now
    assert chat.hears("So am I.", silent_at + 4) == []
    assert chat.hears("Are you there?", silent_at + 5) == ["I am a bot."]
    assert converse(chat, fixed("So am I."), "So am I.", pause_s=2) == chat.count
    silent_at = chat.now
    assert chat.hears("So am I.", silent_at + PAUSE_S - 0.5) == []
    assert chat.hears("So am I.", silent_at + PAUSE_S) == ["I am a bot."]


def test_a_person_who_goes_on_asking_gets_the_answer_once_it_changes() -> None:
    answers = itertools.chain(["Not yet."] * 6, itertools.repeat("Here it is!"))
    chat = Chat(lambda _: next(answers))
    said = [chat.hears("status", chat.now + 5) for _ in range(12)]
    assert said.index(["Here it is!"]) <= 9


def test_bubbles_before_a_pause_are_not_counted() -> None:
    messages = []
    for alerts in (0, 8):
        chat = Chat(counting())
        chat.hears(OFFICE, chat.now + 2)
        for _ in range(alerts):
            chat.now += 3600
            chat.breaker.note_reply("chat", "The server is down.", chat.now)
        messages.append(converse(chat, fixed(OFFICE), OFFICE, pause_s=0.3))
    assert messages[0] == messages[1] <= 10


def test_a_message_that_is_handled_again_is_the_same_message() -> None:
    breaker = LoopBreaker()
    for n in (1, 2, 3, 4, 4, 4, 4):
        assert not breaker.judge("chat", "go", 1000.0 + n, 1000.0 + n, message_id=f"{n}")
        breaker.note_reply("chat", "One moment.", 1000.5 + n)
    assert breaker.judge("chat", "go", 1005.0, 1005.0, message_id="5")


def test_chats_do_not_affect_each_other() -> None:
    breaker = LoopBreaker()
    for n in range(50):
        assert not breaker.judge(f"chat {n}", "x", 1000.0 + n, 1000.0 + n)
        breaker.note_reply(f"chat {n}", "x", 1000.5 + n)


def test_a_message_without_a_reply_neither_makes_a_loop_nor_hides_one() -> None:
    breaker = LoopBreaker()
    assert not any(breaker.judge("chat", "So am I.", 1000.0 + n, 1000.0 + n) for n in range(20))
    chat = Chat(lambda _: next(replies))
    replies: Iterator[str | Sequence[str]] = itertools.chain(["I am a bot.", ()], itertools.repeat("I am a bot."))
    for _ in range(7):
        chat.hears("So am I.", chat.now + 2)
    assert chat.unanswered == ["So am I."]


WORDS = st.text(st.sampled_from("abAB 1!\n😀"), max_size=12) | st.text(max_size=30)
BOTS = st.sampled_from([echo, quoting, fixed(), fixed("ok"), fixed("a b"), fixed(""), translating()])


@given(
    texts=st.lists(WORDS, unique=True, min_size=5, max_size=40),
    pauses=st.lists(st.floats(-1, 12), min_size=40, max_size=40),
    bot=BOTS,
)
def test_a_person_whose_messages_are_all_different_is_never_silenced(
    texts: list[str], pauses: list[float], bot: Answers
) -> None:
    for skew_s in SKEWS_S:
        chat = Chat(bot, skew_s=skew_s)
        said: list[str] = []
        for text, pause_s in zip(texts, pauses, strict=False):
            # Only machines quote the whole reply each time.
            assume(not any(len(bubble) >= 4 and bubble.casefold() in text.casefold() for bubble in said))
            said = chat.hears(text, chat.now + pause_s)
        assert chat.unanswered == [], f"clocks differ by {skew_s} s"


async def test_every_photo_is_handled_and_the_same_one_is_a_loop() -> None:
    async with talking(bot_of(says("Saved."))) as phone:
        for n in range(10):
            await phone.media(b"x" * (n + 1), "photo.png", text="receipt")
            assert await phone.next_reply() == "Saved."
        for _ in range(10):
            await phone.media(b"x", "photo.png")
            assert await phone.next_reply() == "Saved."
        for _ in range(5):
            await phone.media(b"x", "photo.png", text="receipt")
        assert await phone.replies() == ["Saved."] * 3


async def test_another_picture_under_the_same_text_is_another_answer() -> None:
    numbers = itertools.count()

    async def show(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("Here it is:", media(f"https://example.com/{next(numbers)}.jpg"))

    async with talking(bot_of(show)) as phone:
        for _ in range(10):
            assert await answers(phone, "cat, please") == ["Here it is:"]
            await phone.advance(2)


async def test_a_tapback_is_a_reply_too() -> None:
    async with talking(bot_of(does(lambda ctx: ctx.react("love")))) as phone:
        said = []
        for _ in range(5):
            said.append(await phone.text("Thank you for your reaction!"))
            await phone.advance(2)
        assert [bubble.tapbacks for bubble in said] == [["love"]] * 4 + [[]]


async def test_a_handler_that_fails_is_run_again_and_is_no_loop() -> None:
    runs = itertools.count(1)

    async def fails(message: MessageReceived, ctx: Context) -> None:
        await ctx.reply("One moment.")
        if next(runs) == 4:
            raise ValueError
        done.append(message.id)

    done: list[str] = []

    async with talking(bot_of(fails)) as phone:
        for _ in range(3):
            await phone.text("go")
            await phone.advance(2)
        last = await phone.text("go")
        with pytest.raises(HandlerFailed):
            await phone.advance(2)
        assert done[3:] == [last.id]


async def test_the_same_words_of_several_people_of_a_group_are_no_loop() -> None:
    heard = set[str]()

    async def count(message: MessageReceived, ctx: Context) -> None:
        heard.add(str(message.actor))
        await ctx.send("Noted!")

    async with talking(bot_of(count, "in", groups="all")) as ann:
        people = [ann.person(f"+141555502{n}") for n in range(10, 19)]
        group = ann.group(*people)
        for each in people:
            await group.by(each).text("in")
            await group.quiet()
            await group.advance(3)
    assert len(heard) == 9
