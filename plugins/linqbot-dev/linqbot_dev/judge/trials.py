"""The trials: what goes wrong while people talk to the bot, each aimed at a promise or two.

A trial is an async function of a `Play`. It ends when all that is due has been seen, or the patience of people is over, and when
what must not happen had the time to happen. `TRIALS` are in the order in which they are made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from linqbot.linq.signatures import random_secret
from linqbot_dev.emulator.engine.webhook import WebhookDelivery
from linqbot_dev.emulator.model.faults import Fault
from linqbot_dev.judge import promises
from linqbot_dev.judge.judged_bot import STOP_S, NotStarted
from linqbot_dev.judge.play import BrokenRule, NotTried, Play, PlayedText
from linqbot_dev.judge.scene import SceneLine
from linqbot_dev.judge.wire import Lost, SendFault

ACK_S: Final = 2.0
"""Seconds that a send is held until the webhook is answered. A bot that answers it only after its send gets no more."""
ENDS_AT_ONCE_S: Final = 0.5
"""Seconds from SIGTERM until a process that still runs is taken to finish its work."""
OLD_S: Final = 600
"""The age of an old webhook. Standard Webhooks allows five minutes."""
MOST_TRIES: Final = 3
STOP_WATCH_S: Final = 10.0
"""Seconds in which Linq would deliver a webhook four times that the bot has answered 500."""
DELAY_MS: Final = 1000
RETRY_AFTER_S: Final = 2
EARLY_S: Final = 0.1
"""Seconds by which a retry may be earlier than Retry-After: clocks and timers are not exact."""


@dataclass(frozen=True)
class Trial:
    """A trial.

    Attributes:
        play: What happens.
        promise: The promise that it is made for.
        by_rule: Other promises, by the rules that speak of them.
        size: The number of texts of each person.
        is_of_process: True if it kills or restarts the bot.
    """

    name: str
    play: Callable[[Play], Awaitable[object]]
    promise: str
    by_rule: Mapping[str, str] = field(default_factory=dict)
    size: int = 2
    is_of_process: bool = False

    @property
    def promises(self) -> set[str]:
        """The promises that are kept if the trial finds nothing."""
        return {self.promise, *self.by_rule.values()}


async def plain(play: Play) -> None:
    """People talk, and nothing goes wrong."""
    await play.each_in_turn()
    await play.quiet()


async def at_once(play: Play) -> None:
    """Each person writes all texts without waiting for an answer."""
    play.note("all texts are written at once")
    await play.all_at_once()
    await play.met()
    await play.quiet()


# --- webhooks ---------------------------------------------------------------------------------------------------------


async def twice(play: Play) -> None:
    """Linq delivers each webhook a second time after it was answered."""

    def before(person: str, _: int) -> None:
        play.wire.emulator.world.faults.add(Fault(on="delivery", match=play.handles[person], duplicate=True))

    play.note("each webhook is delivered twice, one after the other")
    await play.each_in_turn(before)
    await play.quiet()


async def twice_at_once(play: Play) -> None:
    """Linq delivers each webhook twice at the same time."""
    play.note("each webhook is delivered twice at the same time")
    play.wire.at_once.update(play.handles.values())
    await play.each_in_turn()
    await play.quiet()


async def again_after_restart(play: Play) -> None:
    """The webhooks of texts that were answered come once more after a restart."""
    texts: list[PlayedText] = []

    async def after(text: PlayedText) -> None:
        texts.append(text)

    await play.each_in_turn(after=after)
    await play.quiet()
    await play.restart()
    play.note("the webhooks are delivered once more")
    before = len(play.wire.webhooks)
    for text in texts:
        for delivery in play.wire.deliveries_of(text.message_id):
            play.wire.emulator.world.deliveries.replay(delivery.event_id)
    await play.until(lambda: sum(each.at is not None for each in play.wire.webhooks[before:]) >= len(texts))
    await play.quiet()


async def late(play: Play) -> None:
    """Webhooks come in another order, and late."""

    def before(number: int, person: str) -> None:
        fault = Fault(on="delivery", match=play.handles[person])
        wrong = {"delay_ms": DELAY_MS} if number % 4 == 2 else {"reorder": True} if number % 2 == 0 else {}
        if wrong:
            play.wire.emulator.world.faults.add(fault.model_copy(update=wrong))

    play.note("each second webhook comes late, after that of the next text")
    for number in range(max(map(len, play.people.values()))):
        for person, lines in play.people.items():
            if number < len(lines):
                before(number, person)
                await play.write(person, lines[number])
    await play.met()
    await play.quiet()


# --- the end of the process -------------------------------------------------------------------------------------------


async def killed_after_200(play: Play) -> None:
    """The process is killed right after it has accepted a webhook, before its answer is sent."""
    for person, line in _lines(play):
        hold = play.hold_sends(person, limit_s=ACK_S)
        killed = _Killing(play)
        play.wire.on_accepted = killed.kill
        await play.write(person, line)
        if not await play.until(killed.is_done):
            return
        play.note("kill -9, right after the webhook was accepted; the bot is started again")
        hold.ended.set()
        play.wire.holds.clear()
        await play.start_again()
        await play.met()
    await play.quiet()


async def killed_while_sending(play: Play) -> None:
    """The process is killed while a send is on the wire, which never arrives."""
    for person, line in _lines(play):
        await _kill_at_send(play, person, line, "request")
        play.note("kill -9, while a send is on the wire; the bot is started again")
        await play.start_again()
        await play.met()
    await play.quiet()


async def killed_after_sending(play: Play) -> None:
    """The process is killed when Linq has taken its send, before it has the answer."""
    for person, line in _lines(play):
        await _kill_at_send(play, person, line, "answer")
        play.note("kill -9, when Linq has taken the send and before the bot knows it; it is started again")
        again = play.further_sends(person)
        await play.start_again()
        await play.met()
        await play.until(again, at_most_s=play.patience_s / 2)  # the phone has the bubble already
    await play.quiet()


class _Killing:
    """Kills the bot, once."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self._done = False

    def is_done(self) -> bool:
        return self._done

    def kill(self, *_: object) -> None:
        if not self._done:
            self._done = True
            self._play.bot.kill_now()


async def _kill_at_send(play: Play, person: str, line: SceneLine, lost: Lost) -> None:
    """Let a person write, and kill the bot at its first send. Raises NotTried."""
    killed = _Killing(play)
    play.wire.send_faults.append(SendFault(play.handles[person], lost=lost, then=killed.kill))
    await play.write(person, line)
    if not await play.until(killed.is_done):
        raise NotTried("no send was seen")


async def restarted(play: Play) -> None:
    """The bot is asked to stop right after it has accepted a webhook, and people write while it is away."""
    (person, line), *others = _lines(play)
    accepted = asyncio.Event()
    play.wire.on_accepted = lambda _: accepted.set()
    hold = play.hold_sends(person, limit_s=ACK_S)
    await play.write(person, line)
    await play.until(accepted.is_set)
    play.note("SIGTERM, right after the webhook was accepted")
    stopping = asyncio.create_task(play.bot.stop())
    # A send of a process that has ended is lost; one that ends its work first may finish it.
    await asyncio.wait({stopping}, timeout=ENDS_AT_ONCE_S)
    hold.ended.set()
    if not await stopping:
        says = f"Lost: the bot did not stop within {STOP_S:g} s of SIGTERM, and was killed."
        play.broken.append(BrokenRule("lost", says, [person]))
    for person, line in others:
        if line.answers is None:
            await play.write(person, line)
    play.note("the bot is started again")
    await play.start_again()
    await play.met()
    await play.quiet()


# --- sends ------------------------------------------------------------------------------------------------------------


async def refused_503(play: Play) -> None:
    """Linq refuses the first send of a text with 503, and of the next text the first three."""

    def before(person: str, number: int) -> None:
        play.wire.send_faults.append(SendFault(play.handles[person], status=503, times=3 if number % 2 else 1))

    play.note("Linq refuses the first send of the first text with 503, and the first three of the second text")
    await play.each_in_turn(before)
    await play.quiet()


async def refused_429(play: Play) -> None:
    """Linq refuses the first send of each text with 429 and Retry-After."""

    def before(person: str, _: int) -> None:
        play.wire.send_faults.append(SendFault(play.handles[person], status=429, retry_after=RETRY_AFTER_S))

    play.note(f"Linq refuses the first send of each text with 429 and Retry-After: {RETRY_AFTER_S}")
    await play.each_in_turn(before)
    await play.quiet()
    for person, handle in play.handles.items():
        early = [each for each in play.tried_again_after(handle, status=429) if each < RETRY_AFTER_S - EARLY_S]
        if early:
            says = f"Early: Linq asked to wait {RETRY_AFTER_S} s, and the send came again after {early[0]:.1f} s."
            play.broken.append(BrokenRule("early", says, [person]))


async def request_lost(play: Play) -> None:
    """The connection of the first send of each text breaks before Linq has done anything."""
    await _lost(play, "request", "the connection of the first send of each text breaks before Linq has read it")


async def answer_lost(play: Play) -> None:
    """Linq takes the first send of each text, and its answer is lost."""
    await _lost(play, "answer", "Linq takes the first send of each text, and its answer is lost on the way to the bot")


async def _lost(play: Play, lost: Lost, note: str) -> None:
    def before(person: str, _: int) -> None:
        play.wire.send_faults.append(SendFault(play.handles[person], lost=lost))

    async def repeated(text: PlayedText) -> None:
        # The first send, and its repetition: the phone may have the bubble already.
        await play.until(play.further_sends(text.person, 2), at_most_s=play.patience_s / 2)

    play.note(note)
    await play.each_in_turn(before, after=repeated)
    await play.quiet()


# --- signatures -------------------------------------------------------------------------------------------------------


async def overlap(play: Play) -> None:
    """The bot has two signing secrets while one is rotated, and gets webhooks that are signed with each.

    Raises:
        NotTried: The bot takes no list of secrets.
    """
    bot, old = play.bot, play.bot.secrets[0]
    new = random_secret()
    bot.secrets = [new, old]
    play.note("the bot is started with two secrets, the new one and the old one")
    try:
        await bot.stop()
        try:
            await bot.start()
        except NotStarted:
            raise NotTried("it does not start with two secrets") from None
        taken = [await _takes(play, secret) for secret in (new, old)]
        if not all(taken):
            if not bot.takes_list:
                raise NotTried("it takes one secret at a time; if it takes more, say where: --env NAME={secrets}")
            which = [name for name, is_taken in zip(("new", "old"), taken, strict=True) if not is_taken]
            says = f"Overlap: a webhook that is signed with the {' or the '.join(which)} secret was refused."
            play.broken.append(BrokenRule("overlap", says))
        await play.quiet()
    finally:
        await _with_secret(play, old)


async def rotated(play: Play) -> None:
    """The bot gets a new signing secret. Webhooks are then signed with it; one that is signed with the old one is forged."""
    old, new = play.bot.secrets[0], random_secret()
    play.note("the bot is started with a new secret")
    try:
        await _with_secret(play, new)
        await play.each_in_turn()
        person = play.another()
        if await _takes(play, old, person):
            says = "Old secret: a webhook that is signed with the old secret was accepted."
            play.broken.append(BrokenRule("old secret", says, [person]))
        await play.quiet()
    finally:
        await _with_secret(play, old)


async def _with_secret(play: Play, secret: str) -> None:
    """Start the bot with another secret, and let Linq sign with it."""
    play.bot.secrets = [secret]
    play.wire.subscription.secret = secret
    await play.start_again()


async def _takes(play: Play, secret: str, person: str | None = None) -> bool:
    """Let a new person write, with a webhook that is signed with a secret. Return True if the bot accepts it."""
    person = person or play.another()
    play.wire.subscription.secret = secret
    text = await play.write(person, play.people[person][0], counts=False)

    def answers() -> list[bool]:
        posts = [each for each in play.wire.webhooks if each.message_id == text.message_id]
        return [each.is_accepted for each in posts if each.at is not None]

    await play.until(answers)
    return any(answers())


async def forged(play: Play) -> None:
    """Webhooks come with a signature of another secret, with a changed body, and without a signature."""
    for how in ("with another secret", "with the signature of another body", "without a signature"):
        person, delivery = await _kept_back(play)
        play.note(f"a webhook {how} is posted")
        now = int(time.time())
        headers = play.wire.headers(delivery, timestamp=now, secret=random_secret() if "secret" in how else None)
        if "without" in how:
            headers = {name: value for name, value in headers.items() if "signature" not in name}
        body = delivery.body.replace(b'"event_type"', b'"event_type" ') if "body" in how else delivery.body
        status = await play.wire.post(body, headers)
        await play.quiet()
        if play.wire.sends_to(play.handles[person]):
            play.broken.append(BrokenRule("forged", f"Forged: a webhook {how} was answered on the phone.", [person]))
        elif status is None or not 400 <= status < 500:
            says = f"Forged: a webhook {how} was answered {status or 'not at all'}, and not 4xx."
            play.broken.append(BrokenRule("forged", says, [person]))


async def _kept_back(play: Play) -> tuple[str, WebhookDelivery]:
    """Let a new person write, and keep back the webhook."""
    person = play.another()
    fault = Fault(on="delivery", match=play.handles[person], drop="request")
    play.wire.emulator.world.faults.add(fault)
    text = await play.write(person, play.people[person][0], counts=False)
    return person, play.wire.deliveries_of(text.message_id)[0]


async def stale(play: Play) -> None:
    """A webhook that was answered is posted again, with a genuine signature that is ten minutes old."""
    texts: list[PlayedText] = []

    async def after(text: PlayedText) -> None:
        texts.append(text)

    await play.each_in_turn(after=after)
    play.note("the webhooks are posted again, signed ten minutes ago")
    for text in texts:
        for delivery in play.wire.deliveries_of(text.message_id):
            await play.wire.post(delivery.body, play.wire.headers(delivery, timestamp=int(time.time()) - OLD_S))
    await play.quiet()


# --- people -----------------------------------------------------------------------------------------------------------


async def stopped(play: Play) -> None:
    """A person writes STOP. Linq refuses all that is sent to them after it."""
    await play.each_in_turn()
    for person, handle in play.handles.items():
        before = len(play.wire.sends_to(handle))
        too_many = play.further_sends(person, MOST_TRIES + 1)
        await play.write(person, SceneLine("STOP", []), counts=False)
        await play.until(too_many, at_most_s=STOP_WATCH_S)
        tries = len(play.wire.sends_to(handle)) - before
        if tries > MOST_TRIES:
            says = f"Stop: Linq refused a send after STOP with 403, and it was tried again {tries - 1} times in {STOP_WATCH_S:g} s."
            play.broken.append(BrokenRule("stop", says, [person]))


def _lines(play: Play) -> list[tuple[str, SceneLine]]:
    """Return all that people say, one person after the other."""
    return [(person, line) for person, lines in play.people.items() for line in lines]


TRIALS: Final = (
    Trial("plain talk", plain, promises.ANSWERS, size=3),
    Trial("many texts at once", at_once, promises.ANSWERS, {"out of order": promises.ORDER}, size=8),
    Trial("doubled webhooks", twice, promises.ONCE),
    Trial("doubled webhooks at the same time", twice_at_once, promises.ONCE),
    Trial("late webhooks", late, promises.LATE, size=4),
    Trial("old webhooks", stale, promises.STALE, size=1),
    Trial("forged webhooks", forged, promises.FORGED, size=1),
    Trial("sends refused with 503", refused_503, promises.REFUSED),
    Trial("sends refused with 429", refused_429, promises.REFUSED, {"early": promises.WAITS}),
    Trial("sends whose connection breaks", request_lost, promises.REFUSED, {"doubled": promises.KEY}),
    Trial("sends whose answer is lost", answer_lost, promises.REFUSED, {"doubled": promises.KEY}),
    Trial("STOP", stopped, promises.STOP, size=1),
    Trial("restart", restarted, promises.RESTART, {"doubled": promises.KEY}, size=3, is_of_process=True),
    Trial("doubled webhooks after a restart", again_after_restart, promises.ONCE, is_of_process=True),
    Trial("kill after a webhook", killed_after_200, promises.KILL, {"doubled": promises.KEY}, is_of_process=True),
    Trial("kill during a send", killed_while_sending, promises.KILL, {"doubled": promises.KEY}, is_of_process=True),
    Trial("kill after a send", killed_after_sending, promises.KILL, {"doubled": promises.KEY}, is_of_process=True),
    Trial("two secrets", overlap, promises.OVERLAP, size=1, is_of_process=True),
    Trial("a new secret", rotated, promises.ROTATED, size=1, is_of_process=True),
)
"""The trials in their order. The first one must find nothing, else the others say nothing."""
