"""A new signing secret for a subscription that is in use, without losing a delivery.

Linq has no way to change a secret, so the subscription is replaced: a second one is made for the same address and says
nothing yet; the bot is seen to know its secret; it begins to deliver beside the first, and what comes twice is handled
once; when Linq cannot be retrying anything of the first any more, that one is deleted. How far this has come can be
read from Linq and from the secret file, so that whoever was interrupted runs it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from linqbot.client.client import Client
from linqbot.clock import Clock
from linqbot.errors import ConfigError, LinqApiError, LinqbotError
from linqbot.ops.doctor.probe import Trouble, confirm
from linqbot.ops.subscriptions import create_quiet, is_pending, next_generation, of_address
from linqbot.server.secret_file import SecretFile
from linqbot.types.webhook import WebhookSubscription
from linqbot.worker.missed import LINQ_RETRIES_S

OVERLAP_S: Final = LINQ_RETRIES_S
"""How long both deliver, unless told otherwise: as long as Linq may be retrying what the first one had to say."""

LEARN_S: Final = 15.0
"""How long the bot may take to notice its new secret."""

Tell: TypeAlias = Callable[[str], None]


class RotationStopped(LinqbotError):
    """A rotation cannot go on. Nothing is lost: the old secret is good, and the new subscription says nothing yet.

    Why: The bot at the address does not take what is signed with the new secret: it is not served, or it reads another
        secret file than the one the new secret was kept in.
    To do: Let the bot read that file: LINQ_WEBHOOK_SECRET_FILE, where it is served. Then run `linqbot webhooks rotate`
        again: it goes on from where it stopped.
    """

    lqb = "LQB6100"


@dataclass(frozen=True, slots=True)
class Rotated:
    """How far a rotation has come.

    Attributes:
        new, old: Ids of the two subscriptions; `old` None when it is gone.
        ends_at: When the old one may be deleted, Unix seconds; None when that is done.
    """

    new: str
    old: str | None
    ends_at: float | None = None


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation is made with."""

    client: Client
    secrets: SecretFile
    clock: Clock
    tell: Tell

    async def run(self, target_url: str, *, overlap_s: float, wait: bool = True) -> Rotated:
        """Begin a rotation of the subscription at an address, or go on with one.

        Args:
            overlap_s: How long both subscriptions deliver.
            wait: Stay until the old one can be deleted; else another run deletes it.
        Raises:
            RotationStopped: the bot does not take the new secret.
            ConfigError: there is nothing to rotate, or it is being rotated from elsewhere.
        """
        there = await of_address(self.client, target_url)
        finished = await self._finished_before(there)
        if finished is not None:
            return finished
        new, old = await self._new_beside_old(there, target_url)
        if is_pending(new):
            await self._begin(new, old)
            new = await self.client.webhook_subscriptions.retrieve(new.id)
        else:
            self.tell(f"{new.id} has begun to deliver before.")
        begun = new.updated_at.timestamp() if new.updated_at else self.clock.now()
        ends_at = begun + overlap_s
        if ends_at > self.clock.now():
            if not wait:
                return Rotated(new.id, old.id, ends_at)
            minutes = max(1, round((ends_at - self.clock.now()) / 60))
            self.tell(
                f"Both deliver now. For about {minutes} min Linq may still retry what {old.id} had to say. "
                "You may stop here: the same command, run later, goes on."
            )
            await self.clock.wait_until(ends_at)
        await self._end(old)
        return Rotated(new.id, None)

    async def _finished_before(self, there: list[WebhookSubscription]) -> Rotated | None:
        """A run that had deleted the old one and not yet its secret: what is left of it is done."""
        ids = {one.id async for one in self.client.webhook_subscriptions.list()}
        gone = [each.subscription_id for each in self.secrets.read() if each.is_ending]
        for subscription_id in gone:
            if subscription_id is not None and subscription_id not in ids:
                self.secrets.drop(subscription_id)
                self.tell(f"{subscription_id} was deleted before; its secret is believed no longer.")
        return Rotated(there[0].id, None) if gone and len(there) == 1 else None

    async def _new_beside_old(
        self, there: list[WebhookSubscription], target_url: str
    ) -> tuple[WebhookSubscription, WebhookSubscription]:
        kept = {each.subscription_id for each in self.secrets.read()}
        for one in [one for one in there if is_pending(one) and one.id not in kept]:
            # Made by a run that could not keep its secret. It has never delivered anything.
            await self.client.webhook_subscriptions.delete(one.id)
            there.remove(one)
        if not there or all(is_pending(one) for one in there):
            raise ConfigError(f"Nothing is subscribed to {target_url}. See: linqbot webhooks list")
        if len(there) > 2:
            ids = ", ".join(one.id for one in there)
            raise ConfigError(f"{len(there)} subscriptions deliver there: {ids}. Delete all but one, then rotate it.")
        if len(there) == 2:
            new, old = there
            if new.id not in kept:
                raise ConfigError(
                    f"{new.id} delivers there beside {old.id}, and its secret is not in {self.secrets.path}: it was made "
                    f"elsewhere. Finish its rotation there, or delete it: linqbot webhooks delete {new.id}"
                )
            return new, old
        (old,) = there
        new = await create_quiet(self.client, self.secrets, next_generation(old.target_url), like=old)
        self.tell(f"Made {new.id} beside {old.id}, and kept its secret in {self.secrets.path}.")
        return new, old

    async def _begin(self, new: WebhookSubscription, old: WebhookSubscription) -> None:
        """Let the new one deliver, once the bot is seen to know its secret."""
        secret = next(each.secret for each in self.secrets.read() if each.subscription_id == new.id)
        trouble = await self._trouble_with(new.target_url, secret)
        if trouble is not None:
            raise RotationStopped(
                f"The bot does not take the new secret: {trouble.what} [{trouble.code}] {old.id} goes on as before. "
                f"Let the bot read {self.secrets.path} (LINQ_WEBHOOK_SECRET_FILE where it is served), then run this again."
            )
        self.tell("The bot takes what is signed with the new secret.")
        await self.client.webhook_subscriptions.update(
            new.id,
            subscribed_events=old.subscribed_events,
            phone_numbers=old.phone_numbers or (),
            is_active=old.is_active,
        )

    async def _trouble_with(self, url: str, secret: str) -> Trouble | None:
        until = self.clock.now() + LEARN_S
        while True:
            trouble = (await confirm(url, secret)).trouble
            # What a restart or a slow file system mends by itself is waited for.
            if trouble is None or trouble.code not in {"LQB6070", "LQB6060", "LQB6073"} or self.clock.now() > until:
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
        self.tell(f"Deleted {old.id}; its secret is believed no longer." if was_kept else f"Deleted {old.id}.")
