"""The calls of deliveries that linqbot has created for them: a due send, a person of a broadcast, the notice of an outage.

No handler runs for such a delivery. `worker/turn.py` runs this module in its place.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import structlog

from linqbot.bot.deadline import Deadline
from linqbot.client.call import Call
from linqbot.client.client import Client
from linqbot.errors import LinqApiError, MessageGone
from linqbot.events.delivery import Delivery
from linqbot.storage.backend import Storage
from linqbot.worker import trouble
from linqbot.worker.calls.turn_journal import TurnJournal
from linqbot.worker.due import BroadcastSend, DueSend, broadcast_send, due_send, ends_series, is_recurring_send

log = structlog.get_logger("linqbot.worker")


@dataclass(frozen=True, slots=True)
class OwnCalls:
    """The calls of one delivery that linqbot has created.

    Attributes:
        client: Its calls are recorded in `journal`.
        deadline: The time limit of the calls.
    """

    delivery: Delivery
    client: Client
    journal: TurnJournal
    deadline: Deadline
    storage: Storage

    async def make(self, *, serving_since: float, on_trouble: str | None) -> bool:
        """Make the calls. Return False, without a call, if the delivery is for a handler.

        Args:
            serving_since: The Unix time at which this process began to serve.
            on_trouble: The text of `Bot(on_trouble=…)`; None if the bot has none.
        Raises:
            SendMissed: a scheduled send is too late.
            LinqApiError: Linq refused a call, or did not answer.
        """
        if (due := due_send(self.delivery)) is not None:
            await self._send_due(due, serving_since)
        elif (to_person := broadcast_send(self.delivery)) is not None:
            await self._send_to_person(to_person)
        elif trouble.is_outage_notice(self.delivery):
            self.journal.origin = trouble.origin_of_notice(self.delivery)
            with self.deadline:
                await trouble.send_outage_text(self.delivery, self.client, on_trouble, self.storage)
        else:
            return False
        return True

    async def _send_due(self, due: DueSend, serving_since: float) -> None:
        if is_recurring_send(self.delivery) and await self.storage.timer(due.id) is None:
            log.info("send.cancelled", delivery=self.delivery.id)
            return
        # A send that has begun, and one that a server made a delivery in time, goes on however long Linq is away. If the server
        # has stopped since, it is unknown for how long none ran.
        if not self.journal.unmatched():
            due.check(max(self.delivery.received_at, serving_since))
        self.journal.origin = due.origin
        with self.deadline:
            for call in due.calls:
                with suppress(MessageGone):
                    await self._run(call, due.id)

    async def _run(self, call: Call, scheduled_id: str) -> None:
        try:
            await self.client.run(call)
        except LinqApiError as error:
            if ends_series(self.delivery, error):
                self.journal.cancelled.append(scheduled_id)
            raise

    async def _send_to_person(self, to_person: BroadcastSend) -> None:
        self.journal.origin = to_person.origin
        with self.deadline:
            self.journal.recipients = (await to_person.send(self.client),)
