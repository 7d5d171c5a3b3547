"""Give a subscription a new signing secret while it is in use, without losing a delivery.

Linq cannot change a secret, so the subscription is replaced, in four steps. A second, pending subscription is created for
the same address. A test event shows that the bot knows its secret. Then it delivers next to the first subscription; the
bot handles an event that comes twice only once. When Linq can no longer be retrying a delivery of the first
subscription, that one is deleted. The progress can be read from Linq and from the secret file, so an interrupted
rotation is continued by running it again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from linqbot.client.client import Client
from linqbot.clock import SystemClock
from linqbot.errors import ConfigError, LinqApiError, LinqbotError
from linqbot.features.gaps import LINQ_RETRIES_S
from linqbot.linq.types.line import WebhookSubscription
from linqbot.ops.doctor.probe import Trouble, confirm
from linqbot.ops.subscriptions import create_pending, is_pending, next_generation, of_address
from linqbot.server.secret_file import REFRESH_EVERY_S, SecretFile

OVERLAP_S: Final = LINQ_RETRIES_S
"""Default time for which both subscriptions deliver: as long as Linq may be retrying a delivery of the first."""

LEARN_S: Final = 15.0
"""Seconds that the bot may take to notice its new secret."""

_CLOCK: Final = SystemClock()
_SECRET_ENDS: Final = f"A running server accepts its secret for at most {REFRESH_EVERY_S:.0f} more seconds."

Report: TypeAlias = Callable[[str], None]
"""Called with a sentence about each step of a rotation."""


def duration(seconds: float) -> str:
    """Return a duration in words: in seconds up to a minute and a half, otherwise in minutes."""
    return f"{max(1, round(seconds))} s" if seconds <= 90 else f"{round(seconds / 60)} min"


class RotationStopped(LinqbotError):
    """A rotation cannot continue. Nothing is lost: the old secret is still valid, and the new subscription is pending.

    Why: The bot at the address does not accept an event signed with the new secret: it is not served, or it reads
        another secret file than the one with the new secret.
    To do: Let the bot read that file: set LINQ_WEBHOOK_SECRET_FILE where it is served. Then run
        `linqbot connect rotate` again: it continues where it stopped.
    """

    lqb = "LQB6100"


@dataclass(frozen=True, slots=True)
class Rotation:
    """Rotates the secret of one address.

    Attributes:
        secrets: The file that stores the new secret, and from which the bot reads it.
        given: Secrets that the bot may have from its environment.
    """

    client: Client
    secrets: SecretFile
    report: Report
    given: tuple[str, ...] = ()

    async def run(self, target_url: str, *, overlap_s: float) -> str:
        """Begin to rotate the secret of an address, or continue an interrupted rotation. Return the new subscription's id.

        Args:
            overlap_s: Seconds for which both subscriptions deliver.
        """
        every = [one async for one in self.client.webhook_subscriptions.list()]
        there = of_address(every, target_url)
        finished = self._finished_before(every, there)
        if finished is not None:
            return finished
        new, old = await self._new_and_old(there, target_url)
        if is_pending(new):
            await self._begin(new, old)
            new = await self.client.webhook_subscriptions.retrieve(new.id)
        else:
            self.report(f"{new.id} already delivers.")
        begun = new.updated_at.timestamp() if new.updated_at else _CLOCK.now()
        ends_at = begun + overlap_s
        if ends_at > _CLOCK.now():
            self.report(
                f"Both deliver now. For about {duration(ends_at - _CLOCK.now())} Linq may still retry deliveries of {old.id}. "
                "You may stop here: run the same command later to continue."
            )
            await _CLOCK.wait_until(ends_at)
        await self._end(old)
        return new.id

    def _finished_before(self, every: list[WebhookSubscription], there: list[WebhookSubscription]) -> str | None:
        """Finish a run that deleted the old subscription but not its secret. Return None if there was no such run."""
        ids = {one.id for one in every}
        # A subscription that still exists belongs to the unfinished rotation of another address.
        ending = [each.subscription_id for each in self.secrets.read() if each.is_ending]
        gone = [each for each in ending if each is not None and each not in ids]
        for subscription_id in gone:
            self.secrets.drop(subscription_id)
            self.report(f"{subscription_id} was deleted earlier. {_SECRET_ENDS}")
        return there[0].id if gone and len(there) == 1 else None

    async def _new_and_old(
        self, there: list[WebhookSubscription], target_url: str
    ) -> tuple[WebhookSubscription, WebhookSubscription]:
        """Return the new and the old subscription of an address. The new one is created if there is none yet."""
        kept = {each.subscription_id for each in self.secrets.read()}
        for one in [one for one in there if is_pending(one) and one.id not in kept]:
            # Created by a run that could not store its secret. It has never delivered an event.
            await self.client.webhook_subscriptions.delete(one.id)
            there.remove(one)
        if not there or all(is_pending(one) for one in there):
            raise ConfigError(f"Nothing is subscribed to {target_url}. See: linqbot connect list")
        if len(there) > 2:
            ids = ", ".join(one.id for one in there)
            raise ConfigError(
                f"{len(there)} subscriptions deliver there: {ids}. Delete all but one, then rotate that one."
            )
        if len(there) == 2:
            new, old = there
            if new.id not in kept:
                raise ConfigError(
                    f"{new.id} delivers there next to {old.id}, and its secret is not in {self.secrets.path}: it was created "
                    f"elsewhere. Finish the rotation there, or delete it: linqbot connect remove {new.id}"
                )
            return new, old
        (old,) = there
        new = await create_pending(self.client, self.secrets, next_generation(old.target_url), like=old)
        self.report(f"Created {new.id} next to {old.id}, and stored its secret in {self.secrets.path}.")
        return new, old

    async def _begin(self, new: WebhookSubscription, old: WebhookSubscription) -> None:
        secret = next(each.secret for each in self.secrets.read() if each.subscription_id == new.id)
        trouble = await self._trouble_with(new.target_url, secret)
        if trouble is not None:
            raise RotationStopped(
                f"The bot does not accept the new secret: {trouble.what} [{trouble.code}] {old.id} still delivers as before. "
                f"Let the bot read {self.secrets.path} (LINQ_WEBHOOK_SECRET_FILE where it is served), then run this again."
            )
        self.report("The bot accepts the new secret.")
        await self.client.webhook_subscriptions.update(
            new.id,
            subscribed_events=old.subscribed_events,
            phone_numbers=old.phone_numbers or (),
            is_active=old.is_active,
        )

    async def _trouble_with(self, url: str, secret: str) -> Trouble | None:
        """Return why the bot does not accept a secret; None if it does. Waits up to `LEARN_S` for it."""
        until = _CLOCK.now() + LEARN_S
        while True:
            # Secrets that the bot knows already show it that these events are tests, and no forgeries.
            known = [*self.given, *(each.secret for each in self.secrets.read() if each.secret != secret)]
            # A company's own authority may sign what this machine sees; that Linq reaches the bot is known.
            trouble = (await confirm(url, secret, known=known, authorities=ssl.create_default_context())).trouble
            # These end by themselves: the bot restarts, or its file system is slow to show the new secret.
            if trouble is None or trouble.code not in {"LQB6070", "LQB6060", "LQB6073"} or _CLOCK.now() > until:
                return trouble
            await asyncio.sleep(0.5)

    async def _end(self, old: WebhookSubscription) -> None:
        self.secrets.mark_ending(old.id)
        try:
            await self.client.webhook_subscriptions.delete(old.id)
        except LinqApiError as error:
            if error.status != 404:  # deleted by a run whose answer was lost
                raise
        was_kept = self.secrets.drop(old.id)
        self.report(f"Deleted {old.id}. {_SECRET_ENDS}" if was_kept else f"Deleted {old.id}.")
